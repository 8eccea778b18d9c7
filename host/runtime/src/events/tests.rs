use futures_util::{FutureExt as _, StreamExt as _, stream};
use tokio::time::Instant;
use wasm_edge_model::message::{InputName, Message, MessageId};

use super::*;
use crate::guest::{Completion, SendError, Staged};
use crate::timers::Schedule;

struct NoCompletion;

impl Completion for NoCompletion {
    fn complete(
        self: Box<Self>,
        _: Vec<Staged>,
    ) -> futures_util::future::BoxFuture<'static, Result<(), SendError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn complete_and_keep(
        self: Box<Self>,
        staged: Vec<Staged>,
    ) -> futures_util::future::BoxFuture<'static, Result<(), SendError>> {
        self.complete(staged)
    }

    fn retry(self: Box<Self>, _: Duration) {}

    fn reject(self: Box<Self>, _: String) {}

    fn fail(self: Box<Self>, _: String) {}
}

fn delivery(body: &str) -> Delivery {
    Delivery {
        message: Arc::new(Message {
            body: body.to_owned().into(),
            ..Message::default()
        }),
        id: MessageId {
            store: 0,
            sequence: 1,
        },
        input: InputName::new("in").expect("valid"),
        previous_tries: 0,
        completion: Box::new(NoCompletion),
    }
}

fn messages(bodies: &[&'static str]) -> Messages {
    let bodies = bodies.to_vec();
    Box::pin(stream::iter(bodies).map(delivery).chain(stream::pending()))
}

fn patch(text: &str) -> Control {
    Control::Desired(DesiredUpdate::Patch(text.to_owned()))
}

fn name(event: Option<Event>) -> String {
    match event {
        None => "end".to_owned(),
        Some(Event::Control(Control::Desired(DesiredUpdate::Patch(text)))) => text,
        Some(Event::Control(Control::Shutdown(_))) => "shutdown".to_owned(),
        Some(Event::Control(other)) => format!("{other:?}"),
        Some(Event::Method(call)) => call.name,
        Some(Event::Tick(tick)) => format!("{} missed {}", tick.name, tick.missed),
        Some(Event::Message(delivery)) => {
            String::from_utf8_lossy(&delivery.message.body).into_owned()
        }
    }
}

fn every(events: &SharedEvents, timer: &str, seconds: u64) {
    let schedule = Schedule::Every(Duration::from_secs(seconds));
    events
        .lock()
        .start_timer(timer, schedule, Instant::now())
        .expect("valid");
}

#[tokio::test(start_paused = true)]
async fn control_comes_before_timers_and_timers_before_messages() {
    let (control, receiver) = mpsc::channel(4);
    let events = SharedEvents::new(receiver, None, Some(messages(&["one", "two"])));
    every(&events, "t", 10);
    tokio::time::advance(Duration::from_secs(35)).await;
    control.send(patch("p1")).await.expect("taken");
    control.send(patch("p2")).await.expect("taken");
    let mut seen = Vec::new();
    for _ in 0..5 {
        seen.push(name(events.next().await));
    }
    assert_eq!(seen, ["p1", "p2", "t missed 2", "one", "two"]);
    control.send(patch("p3")).await.expect("taken");
    assert_eq!(name(events.next().await), "p3");
}

#[tokio::test(start_paused = true)]
async fn waiting_ends_when_a_timer_is_due() {
    let (_control, receiver) = mpsc::channel(1);
    let events = SharedEvents::new(receiver, None, None);
    every(&events, "slow", 3600);
    every(&events, "quick", 5);
    let begun = Instant::now();
    assert_eq!(name(events.next().await), "quick missed 0");
    assert_eq!(begun.elapsed().as_secs(), 5);
    events.lock().cancel_timer("quick");
    assert_eq!(name(events.next().await), "slow missed 0");
    assert_eq!(begun.elapsed().as_secs(), 3600);
}

#[tokio::test(start_paused = true)]
async fn a_look_ahead_takes_nothing_away() {
    let (control, receiver) = mpsc::channel(4);
    let events = SharedEvents::new(receiver, None, Some(messages(&["one"])));
    events.wait().await;
    events.wait().await;
    // What was seen first comes first, also when something more urgent has come since.
    control.send(patch("p")).await.expect("taken");
    assert_eq!(name(events.next().await), "one");
    assert_eq!(name(events.next().await), "p");
    assert!(events.wait().now_or_never().is_none());
}

#[tokio::test(start_paused = true)]
async fn an_instance_knows_that_it_was_told_to_stop() {
    let (control, receiver) = mpsc::channel(4);
    let events = SharedEvents::new(receiver, None, None);
    assert!(!events.was_told_to_stop());
    let grace = Duration::from_secs(1);
    control.send(Control::Shutdown(grace)).await.expect("taken");
    assert_eq!(name(events.next().await), "shutdown");
    assert!(events.was_told_to_stop());

    let (control, receiver) = mpsc::channel(4);
    let events = SharedEvents::new(receiver, None, Some(messages(&["one"])));
    drop(control);
    // A device that has let go of it wants no more messages handled.
    assert_eq!(name(events.next().await), "end");
    assert!(events.was_told_to_stop());
}

#[tokio::test(start_paused = true)]
async fn messages_that_end_leave_the_rest_going() {
    let (control, receiver) = mpsc::channel(4);
    let events = SharedEvents::new(
        receiver,
        None,
        Some(Box::pin(stream::iter([delivery("last")]))),
    );
    assert_eq!(name(events.next().await), "last");
    assert!(events.next().now_or_never().is_none());
    control.send(patch("p")).await.expect("taken");
    assert_eq!(name(events.next().await), "p");
}

fn call(name: &str) -> (MethodCall, oneshot::Receiver<MethodResponse>) {
    let (respond, answer) = oneshot::channel();
    let call = MethodCall {
        name: name.to_owned(),
        payload: "null".to_owned(),
        respond,
    };
    (call, answer)
}

#[tokio::test(start_paused = true)]
async fn methods_timers_and_messages_take_turns() {
    let (_control, receiver) = mpsc::channel(1);
    let (caller, methods) = mpsc::channel(8);
    let messages = messages(&["one", "two", "three"]);
    let events = SharedEvents::new(receiver, Some(methods), Some(messages));
    let mut answers = Vec::new();
    for name in ["a", "b", "c"] {
        let (call, answer) = call(name);
        caller.send(call).await.expect("taken");
        answers.push(answer);
    }
    every(&events, "t", 1);
    let mut seen = Vec::new();
    for _ in 0..8 {
        tokio::time::advance(Duration::from_secs(1)).await;
        seen.push(name(events.next().await));
    }
    assert_eq!(
        seen,
        [
            "a",
            "t missed 1",
            "one",
            "b",
            "t missed 2",
            "two",
            "c",
            "t missed 2"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn calls_whose_callers_are_gone_are_not_begun_and_a_stop_ends_those_that_wait() {
    let (control, receiver) = mpsc::channel(1);
    let (caller, methods) = mpsc::channel(8);
    let events = SharedEvents::new(receiver, Some(methods), None);
    let (gone, answer) = call("gone");
    drop(answer);
    caller.send(gone).await.expect("taken");
    let (waiting, _answer) = call("waiting");
    caller.send(waiting).await.expect("taken");
    assert_eq!(name(events.next().await), "waiting");

    let (late, answer) = call("late");
    caller.send(late).await.expect("taken");
    let grace = Duration::from_secs(1);
    control.send(Control::Shutdown(grace)).await.expect("taken");
    assert_eq!(name(events.next().await), "shutdown");
    assert!(answer.await.is_err());
    assert!(caller.is_closed());
}

#[tokio::test(start_paused = true)]
async fn a_timer_that_is_stopped_does_not_tick_though_it_was_due() {
    let (_control, receiver) = mpsc::channel(1);
    let events = SharedEvents::new(receiver, None, None);
    every(&events, "t", 1);
    tokio::time::advance(Duration::from_secs(1)).await;
    events.wait().await;
    events.lock().cancel_timer("t");
    assert!(events.next_within(Duration::ZERO).await.is_none());
    every(&events, "t", 5);
    tokio::time::advance(Duration::from_secs(5)).await;
    events.wait().await;
    // Started anew, it is due after its new period only.
    every(&events, "t", 10);
    assert!(events.next_within(Duration::ZERO).await.is_none());
    assert_eq!(name(events.next().await), "t missed 0");
}

#[tokio::test]
async fn a_look_without_a_wait_finds_what_is_there_however_long_the_task_has_run() {
    let (control, receiver) = mpsc::channel(4096);
    let events = SharedEvents::new(receiver, None, None);
    for _ in 0..4096 {
        control.send(patch("p")).await.expect("taken");
    }
    let mut found = 0;
    while events.next_within(Duration::ZERO).await.is_some() {
        found += 1;
    }
    assert_eq!(found, 4096);
    assert!(events.wait().now_or_never().is_none());
    control.send(patch("p")).await.expect("taken");
    assert!(events.wait().now_or_never().is_some());
}
