use super::*;

const CHECKS: HealthChecks = HealthChecks {
    interval: Duration::from_secs(30),
    timeout: Duration::from_secs(5),
    failures_max: 3,
};

/// The question in an instance's queue.
async fn question(controls: &mut mpsc::Receiver<Control>) -> oneshot::Sender<Checked> {
    match controls.recv().await {
        Some(Control::Health(answer)) => answer,
        other => panic!("{other:?}"),
    }
}

fn wrong(text: &str) -> Checked {
    Err(text.to_owned())
}

fn late() -> Checked {
    wrong("no answer within 5000 ms")
}

#[tokio::test(start_paused = true)]
async fn an_instance_is_asked_each_interval_and_its_answers_are_told() {
    let (control, mut controls) = mpsc::channel(4);
    let begun = Instant::now();
    let mut questions = Questions::new(CHECKS);
    for (round, said) in [(1, Ok(())), (2, wrong("no water")), (3, Ok(()))] {
        let answered = async {
            let answer = question(&mut controls).await;
            assert_eq!(begun.elapsed(), CHECKS.interval * round);
            tokio::time::sleep(Duration::from_secs(4)).await;
            answer.send(said.clone()).expect("it is waited for");
        };
        let (checked, ()) = tokio::join!(questions.next(&control), answered);
        assert_eq!(checked, said);
    }
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_does_not_answer_fails_each_time_and_has_one_question_only() {
    let (control, mut controls) = mpsc::channel(4);
    let begun = Instant::now();
    let mut questions = Questions::new(CHECKS);
    for round in 1..=3 {
        assert_eq!(questions.next(&control).await, late());
        assert_eq!(begun.elapsed(), CHECKS.interval * round + CHECKS.timeout);
    }
    let open = question(&mut controls).await;
    assert!(controls.try_recv().is_err(), "a second question waits");
    // The answer to it comes too late for its own time, and is there in time for the next one.
    let answered = async {
        tokio::time::sleep(Duration::from_secs(28)).await;
        open.send(Ok(())).expect("it is waited for");
    };
    let (checked, ()) = tokio::join!(questions.next(&control), answered);
    assert_eq!(checked, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_counts_for_nothing() {
    let (control, mut controls) = mpsc::channel(4);
    let mut questions = Questions::new(CHECKS);
    assert_eq!(questions.next(&control).await, late());
    let open = question(&mut controls).await;
    open.send(Ok(())).expect("it is kept");
    let answered = async {
        let answer = question(&mut controls).await;
        answer.send(wrong("still")).expect("it is waited for");
    };
    let (checked, ()) = tokio::join!(questions.next(&control), answered);
    assert_eq!(checked, wrong("still"));
}

#[tokio::test(start_paused = true)]
async fn a_queue_without_a_place_is_no_answer() {
    let (control, mut controls) = mpsc::channel(1);
    let full = Control::Shutdown(Duration::ZERO);
    control.try_send(full).expect("a place");
    let mut questions = Questions::new(CHECKS);
    assert_eq!(questions.next(&control).await, late());
    assert!(matches!(controls.recv().await, Some(Control::Shutdown(_))));
    let answered = async {
        let answer = question(&mut controls).await;
        answer.send(Ok(())).expect("it is waited for");
    };
    let (checked, ()) = tokio::join!(questions.next(&control), answered);
    assert_eq!(checked, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_ended_gives_no_news_of_its_health() {
    for asked in [false, true] {
        let (control, mut controls) = mpsc::channel(1);
        let mut questions = Questions::new(CHECKS);
        let ends = async {
            if asked {
                drop(question(&mut controls).await);
            }
            drop(controls);
            tokio::time::sleep(CHECKS.interval * 10).await;
        };
        tokio::select! {
            checked = questions.next(&control) => panic!("{checked:?}"),
            () = ends => {}
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_lost_by_asking_anew_each_moment() {
    let (control, mut controls) = mpsc::channel(4);
    let mut questions = Questions::new(CHECKS);
    let mut checked = Vec::new();
    let mut asked = 0;
    let begun = Instant::now();
    while begun.elapsed() < CHECKS.interval * 10 + Duration::from_secs(1) {
        let moment = Duration::from_millis(700);
        if let Ok(said) = tokio::time::timeout(moment, questions.next(&control)).await {
            checked.push(said);
        }
        while let Ok(Control::Health(answer)) = controls.try_recv() {
            asked += 1;
            answer.send(Ok(())).expect("it is waited for");
        }
    }
    assert!((9..=10).contains(&asked), "{asked}");
    assert!(checked.len() >= asked - 1, "{checked:?}");
    assert!(checked.iter().all(Result::is_ok), "{checked:?}");
}

#[tokio::test(start_paused = true)]
async fn other_settings_hold_from_the_next_question_on() {
    let (control, _controls) = mpsc::channel(4);
    let begun = Instant::now();
    let mut questions = Questions::new(CHECKS);
    questions.set(HealthChecks {
        interval: Duration::from_secs(1),
        timeout: Duration::from_secs(2),
        failures_max: 1,
    });
    let checked = [
        questions.next(&control).await,
        questions.next(&control).await,
    ];
    assert_eq!(
        checked,
        [
            wrong("no answer within 2000 ms"),
            wrong("no answer within 2000 ms")
        ]
    );
    assert_eq!(begun.elapsed(), Duration::from_secs(30 + 2 + 2));
}
