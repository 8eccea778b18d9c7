use futures_util::{FutureExt as _, StreamExt as _, stream};
use wasm_edge_model::message::{InputName, Message};

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
        Some(Event::Tick(tick)) => format!("{} missed {}", tick.name, tick.missed),
        Some(Event::Message(delivery)) => {
            String::from_utf8_lossy(&delivery.message.body).into_owned()
        }
    }
}

fn every(events: &SharedEvents, timer: &str, seconds: u64) {
    let schedule = Schedule::Every(Duration::from_secs(seconds));
    let mut source = events.lock();
    source
        .timers
        .start(timer, schedule, Instant::now())
        .expect("valid");
}

#[tokio::test(start_paused = true)]
async fn control_comes_before_timers_and_timers_before_messages() {
    let (control, receiver) = mpsc::channel(4);
    let events = SharedEvents::new(receiver, Some(messages(&["one", "two"])));
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
    let events = SharedEvents::new(receiver, None);
    every(&events, "slow", 3600);
    every(&events, "quick", 5);
    let begun = Instant::now();
    assert_eq!(name(events.next().await), "quick missed 0");
    assert_eq!(begun.elapsed().as_secs(), 5);
    events.lock().timers.cancel("quick");
    assert_eq!(name(events.next().await), "slow missed 0");
    assert_eq!(begun.elapsed().as_secs(), 3600);
}

#[tokio::test(start_paused = true)]
async fn a_look_ahead_takes_nothing_away() {
    let (control, receiver) = mpsc::channel(4);
    let events = SharedEvents::new(receiver, Some(messages(&["one"])));
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
    let events = SharedEvents::new(receiver, None);
    assert!(!events.was_told_to_stop());
    let grace = Duration::from_secs(1);
    control.send(Control::Shutdown(grace)).await.expect("taken");
    assert_eq!(name(events.next().await), "shutdown");
    assert!(events.was_told_to_stop());

    let (control, receiver) = mpsc::channel(4);
    let events = SharedEvents::new(receiver, Some(messages(&["one"])));
    drop(control);
    // A device that has let go of it wants no more messages handled.
    assert_eq!(name(events.next().await), "end");
    assert!(events.was_told_to_stop());
}

#[tokio::test(start_paused = true)]
async fn messages_that_end_leave_the_rest_going() {
    let (control, receiver) = mpsc::channel(4);
    let events = SharedEvents::new(receiver, Some(Box::pin(stream::iter([delivery("last")]))));
    assert_eq!(name(events.next().await), "last");
    assert!(events.next().now_or_never().is_none());
    control.send(patch("p")).await.expect("taken");
    assert_eq!(name(events.next().await), "p");
}
