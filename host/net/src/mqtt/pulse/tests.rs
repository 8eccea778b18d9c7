use super::*;

const KEEP_ALIVE: Duration = Duration::from_secs(240);
const LIMIT: Duration = Duration::from_secs(60);

/// A pulse, and the time so many seconds after it began.
fn begun() -> (Pulse, impl Fn(u64) -> Instant) {
    let start = Instant::now();
    let pulse = Pulse::new(KEEP_ALIVE, LIMIT, start);
    (pulse, move |secs| start + Duration::from_secs(secs))
}

fn failure(due: Result<Due, MqttError>) -> &'static str {
    match due {
        Err(MqttError::Timeout { what, limit }) if limit == LIMIT => what,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_ping_goes_before_the_keep_alive_ends_when_nothing_else_went() {
    let (mut pulse, at) = begun();
    assert_eq!(pulse.due(at(0)).unwrap(), Due::At(at(230)));
    pulse.sent(at(200));
    assert_eq!(pulse.due(at(230)).unwrap(), Due::At(at(430)));
    // What comes in saves no ping: the broker counts what it receives.
    pulse.heard(at(429));
    assert_eq!(pulse.due(at(430)).unwrap(), Due::Ping);
    pulse.pinged(at(430));
    assert_eq!(pulse.due(at(430)).unwrap(), Due::At(at(490)));
    pulse.answered(at(431));
    assert_eq!(pulse.due(at(431)).unwrap(), Due::At(at(660)));
}

#[test]
fn a_short_keep_alive_leaves_a_quarter_and_none_needs_no_ping() {
    let start = Instant::now();
    let pulse = Pulse::new(Duration::from_secs(8), LIMIT, start);
    assert_eq!(
        pulse.due(start).unwrap(),
        Due::At(start + Duration::from_secs(6))
    );
    let pulse = Pulse::new(Duration::ZERO, LIMIT, start);
    assert_eq!(pulse.due(start + KEEP_ALIVE * 9).unwrap(), Due::Never);
}

#[test]
fn a_broker_that_does_not_answer_a_ping_is_given_up() {
    let (mut pulse, at) = begun();
    pulse.pinged(at(230));
    assert_eq!(pulse.due(at(289)).unwrap(), Due::At(at(290)));
    assert_eq!(failure(pulse.due(at(290))), "answer");
}

#[test]
fn a_broker_that_owes_an_answer_is_asked_whether_it_is_there() {
    let (mut pulse, at) = begun();
    pulse.asked(at(10));
    pulse.asked(at(20));
    assert_eq!(pulse.due(at(20)).unwrap(), Due::At(at(40)));
    assert_eq!(pulse.due(at(40)).unwrap(), Due::Ping);
    pulse.pinged(at(40));
    assert_eq!(pulse.due(at(69)).unwrap(), Due::At(at(70)));
    assert_eq!(failure(pulse.due(at(70))), "answer");
    // It is there and slow.
    pulse.answered(at(69));
    assert_eq!(pulse.due(at(70)).unwrap(), Due::At(at(129)));
    pulse.answered(at(71));
    pulse.answered(at(72));
    assert_eq!(pulse.due(at(72)).unwrap(), Due::At(at(270)));
}

#[test]
fn answers_that_nobody_asked_for_do_not_disturb() {
    let (mut pulse, at) = begun();
    pulse.answered(at(1));
    pulse.asked(at(2));
    assert_eq!(pulse.due(at(2)).unwrap(), Due::At(at(32)));
}

#[test]
fn a_broker_that_takes_nothing_is_given_up() {
    let (mut pulse, at) = begun();
    pulse.held_up(at(5));
    pulse.held_up(at(30));
    assert_eq!(pulse.due(at(30)).unwrap(), Due::At(at(65)));
    assert_eq!(pulse.stuck(at(64)).unwrap(), Some(at(65)));
    assert_eq!(failure(pulse.due(at(65))), "take what is sent");
    pulse.sent(at(64));
    assert_eq!(pulse.stuck(at(70)).unwrap(), None);
}
