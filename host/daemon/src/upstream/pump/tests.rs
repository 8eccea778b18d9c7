//! The pump between a real router and a hub that answers when the test says so.

use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use wasm_edge_model::identity::DeviceId;
use wasm_edge_model::message::Message;
use wasm_edge_model::route::{Route, RouteName};
use wasm_edge_router::limits::Limits;
use wasm_edge_router::router::Router;
use wasm_edge_router::table::RouteTable;

use super::line::IN_FLIGHT_BYTES_EACH_MAX;
use super::*;
use crate::upstream::{SessionCalls, TwinDocument};

fn module(name: &str) -> ModuleId {
    ModuleId::new(name).expect("valid")
}

/// A message on its way, as the hub sees it.
struct Sent {
    text: String,
    answer: oneshot::Sender<Result<(), UpstreamError>>,
}

/// A session whose messages go where the test says.
struct Session<S>(S);

impl<S> SessionCalls for Session<S>
where
    S: Fn(String) -> BoxFuture<'static, Result<(), UpstreamError>> + Send + Sync + 'static,
{
    fn twin(&self) -> BoxFuture<'static, Result<TwinDocument, UpstreamError>> {
        unreachable!("the pump reads no twin")
    }

    fn report(
        &self,
        _: Map<String, Value>,
    ) -> BoxFuture<'static, Result<Option<u64>, UpstreamError>> {
        unreachable!("the pump reports nothing")
    }

    fn accept_methods(&self, _: bool) -> BoxFuture<'static, Result<(), UpstreamError>> {
        unreachable!("the pump takes no methods")
    }

    fn send(&self, message: Arc<Message>) -> BoxFuture<'static, Result<(), UpstreamError>> {
        self.0(String::from_utf8_lossy(&message.body).into_owned())
    }
}

/// A session whose messages the test answers.
fn answered(sent: mpsc::UnboundedSender<Sent>) -> Arc<dyn SessionCalls> {
    Arc::new(Session(move |text| -> BoxFuture<'static, _> {
        let sent = sent.clone();
        Box::pin(async move {
            let (answer, answered) = oneshot::channel();
            sent.send(Sent { text, answer }).expect("the test listens");
            answered.await.unwrap_or(Err(lost()))
        })
    }))
}

/// A session whose messages go through a channel with little room, as those to a connection do.
fn narrow(sent: mpsc::Sender<String>) -> Arc<dyn SessionCalls> {
    Arc::new(Session(move |text| -> BoxFuture<'static, _> {
        let sent = sent.clone();
        Box::pin(async move {
            // What a gate and a session look at before the message goes to the connection.
            for _ in 0..3 {
                tokio::task::consume_budget().await;
            }
            sent.send(text).await.map_err(|_| lost())
        })
    }))
}

fn lost() -> UpstreamError {
    UpstreamError::Unreachable {
        cause: "the connection broke".to_owned(),
    }
}

struct Bed {
    router: Router,
    sessions: Sessions,
    counters: PumpCounters,
    stop: CancellationToken,
    pump: JoinHandle<()>,
}

impl Bed {
    fn new() -> Self {
        let router = Router::new(DeviceId::new("d").expect("valid"), Limits::default());
        let name = RouteName::new("up").expect("valid");
        let route = Route::parse(name, "FROM /* INTO $upstream").expect("valid");
        router.apply(RouteTable::new(&[route], None).expect("one route"));
        let (sessions, counters) = (Sessions::default(), PumpCounters::default());
        let stop = CancellationToken::new();
        let pump = tokio::spawn(run(
            router.upstream_inbox(),
            sessions.clone(),
            counters.clone(),
            crate::pulse::pulse().1,
            stop.clone(),
        ));
        Self {
            router,
            sessions,
            counters,
            stop,
            pump,
        }
    }

    fn open(&self, name: &str) -> Hub {
        let (sender, sent) = mpsc::unbounded_channel();
        self.sessions.opened(&module(name), answered(sender));
        Hub { sent }
    }

    async fn send(&self, from: &str, texts: impl IntoIterator<Item = String>) {
        let sender = self.router.sender(&module(from));
        for text in texts {
            let message = Message {
                body: text.into(),
                ..Message::default()
            };
            let staged = sender.stage(None, message, wasm_edge_clock::now());
            let staged = staged.expect("there is room");
            let committed = self.router.commit(None, vec![staged]).await;
            committed.expect("one router");
        }
    }

    /// Messages that wait, those in flight included.
    fn waiting(&self) -> usize {
        self.router.snapshot().messages
    }
}

/// What one session got.
struct Hub {
    sent: mpsc::UnboundedReceiver<Sent>,
}

impl Hub {
    /// All that comes without an answer; virtual time goes on only when nothing else can.
    async fn all(&mut self) -> Vec<Sent> {
        let mut all = Vec::new();
        let moment = Duration::from_millis(1);
        while let Ok(Some(sent)) = tokio::time::timeout(moment, self.sent.recv()).await {
            all.push(sent);
        }
        all
    }

    /// Acknowledges whatever comes, and tells what it was.
    async fn take_all(&mut self) -> Vec<String> {
        let mut texts = Vec::new();
        loop {
            let sent = self.all().await;
            if sent.is_empty() {
                return texts;
            }
            texts.extend(sent.into_iter().map(Sent::take));
        }
    }
}

impl Sent {
    fn take(self) -> String {
        self.answer.send(Ok(())).expect("the pump waits for it");
        self.text
    }
}

fn texts(of: &str, numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|number| format!("{of}{number}")).collect()
}

fn shown(sent: &[Sent]) -> Vec<String> {
    sent.iter().map(|sent| sent.text.clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_sender_has_so_many_in_flight_and_each_answer_makes_room_for_one() {
    let bed = Bed::new();
    let mut hub = bed.open("a");
    bed.send("a", texts("a", 0..200)).await;
    let mut sent = hub.all().await;
    assert_eq!(shown(&sent), texts("a", 0..IN_FLIGHT_EACH_MAX));
    sent.drain(..2).for_each(|sent| drop(sent.take()));
    let next = hub.all().await;
    assert_eq!(
        shown(&next),
        texts("a", IN_FLIGHT_EACH_MAX..IN_FLIGHT_EACH_MAX + 2)
    );
    sent.into_iter()
        .chain(next)
        .for_each(|sent| drop(sent.take()));
    assert_eq!(
        hub.take_all().await,
        texts("a", IN_FLIGHT_EACH_MAX + 2..200)
    );
    assert_eq!((bed.counters.sent(), bed.counters.returned()), (200, 0));
    assert_eq!(bed.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn large_messages_are_few_in_flight() {
    let bed = Bed::new();
    let mut hub = bed.open("a");
    let large = "x".repeat(IN_FLIGHT_BYTES_EACH_MAX / 2);
    bed.send("a", vec![large; 5]).await;
    let sent = hub.all().await;
    assert_eq!(sent.len(), 2);
    sent.into_iter().for_each(|sent| drop(sent.take()));
    assert_eq!(hub.take_all().await.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn senders_without_answer_leave_room_for_others() {
    let bed = Bed::new();
    let names: Vec<_> = (0..12).map(|number| format!("silent{number}")).collect();
    let mut silent = Vec::new();
    for name in &names {
        let mut hub = bed.open(name);
        bed.send(name, texts("s", 0..100)).await;
        silent.push(hub.all().await);
    }
    let in_flight: usize = silent.iter().map(Vec::len).sum();
    assert!(in_flight < IN_FLIGHT_MAX + names.len(), "{in_flight}");
    let mut hub = bed.open("quick");
    bed.send("quick", texts("q", 0..100)).await;
    assert_eq!(hub.take_all().await, texts("q", 0..100));
}

#[tokio::test(start_paused = true)]
async fn after_a_failure_a_sender_goes_on_with_the_first_that_was_not_acknowledged() {
    let bed = Bed::new();
    let (mut hub, mut other) = (bed.open("a"), bed.open("b"));
    bed.send("a", texts("a", 0..10)).await;
    bed.send("b", texts("b", 0..2)).await;
    let mut sent = hub.all().await;
    assert_eq!(sent.len(), 10);
    // Acknowledged out of order; the connection breaks with the fourth.
    sent.remove(4).take();
    sent.drain(..3).for_each(|sent| drop(sent.take()));
    sent.remove(0).answer.send(Err(lost())).expect("waited for");
    bed.sessions.ended(&module("a"));
    assert!(hub.all().await.is_empty());
    assert!(
        sent.iter().all(|sent| sent.answer.is_closed()),
        "none goes on over the old one"
    );
    // Whoever else sends has not noticed.
    assert_eq!(other.take_all().await, texts("b", 0..2));

    let mut hub = bed.open("a");
    let again = hub.take_all().await;
    let expected: Vec<_> = [3].into_iter().chain(5..10).collect();
    let expected: Vec<_> = expected.into_iter().map(|n| format!("a{n}")).collect();
    assert_eq!(again, expected);
    assert_eq!((bed.counters.sent(), bed.counters.returned()), (12, 6));
}

#[tokio::test(start_paused = true)]
async fn over_a_session_that_is_still_open_it_is_tried_again_after_a_wait() {
    let bed = Bed::new();
    let mut hub = bed.open("a");
    bed.send("a", texts("a", 0..3)).await;
    for sent in hub.all().await {
        let _ = sent.answer.send(Err(lost()));
    }
    tokio::time::sleep(RETRY_WAIT / 2).await;
    assert!(hub.all().await.is_empty());
    tokio::time::sleep(RETRY_WAIT).await;
    assert_eq!(hub.take_all().await, texts("a", 0..3));
}

#[tokio::test(start_paused = true)]
async fn a_sender_without_session_waits_and_no_other_with_it() {
    let bed = Bed::new();
    let mut hub = bed.open("here");
    bed.send("away", texts("w", 0..3)).await;
    bed.send("here", texts("h", 0..3)).await;
    assert_eq!(hub.take_all().await, texts("h", 0..3));
    // However long it takes, a try is not counted.
    tokio::time::sleep(Duration::from_secs(10 * 3600)).await;
    assert_eq!(bed.waiting(), 3);
    let mut back = bed.open("away");
    assert_eq!(back.take_all().await, texts("w", 0..3));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_the_hub_refuses_is_put_aside_and_the_next_go_on() {
    let bed = Bed::new();
    let mut hub = bed.open("a");
    bed.send("a", texts("a", 0..3)).await;
    let mut sent = hub.all().await;
    let refused = UpstreamError::Refused {
        cause: "not this one".to_owned(),
    };
    sent.remove(1)
        .answer
        .send(Err(refused))
        .expect("waited for");
    sent.into_iter().for_each(|sent| drop(sent.take()));
    bed.send("a", texts("a", 3..4)).await;
    assert_eq!(hub.take_all().await, ["a3"]);
    let aside = bed.router.set_aside();
    assert_eq!(aside.len(), 1);
    assert_eq!(aside[0].message.body, "a1".as_bytes());
}

#[tokio::test(start_paused = true)]
async fn a_new_session_begins_where_nothing_of_the_old_one_is_under_way() {
    let bed = Bed::new();
    let mut old = bed.open("a");
    bed.send("a", texts("a", 0..2)).await;
    let sent = old.all().await;
    let mut new = bed.open("a");
    bed.send("a", texts("a", 2..4)).await;
    assert!(new.all().await.is_empty(), "it could overtake the others");
    for sent in sent {
        let _ = sent.answer.send(Err(lost()));
    }
    assert_eq!(new.take_all().await, texts("a", 0..4));
}

#[tokio::test(start_paused = true)]
async fn a_change_of_a_twin_goes_out_under_the_identity_of_the_hub_part() {
    let bed = Bed::new();
    let (mut own, mut edge_hub) = (bed.open("a"), bed.open("$edgeHub"));
    let sender = bed.router.sender(&module("a"));
    bed.send("a", texts("a", 0..1)).await;
    sender.notify_twin_change(&Map::new(), wasm_edge_clock::now());
    bed.send("a", texts("a", 1..2)).await;
    let first = own.all().await;
    assert_eq!(shown(&first), ["a0"]);
    assert!(
        edge_hub.all().await.is_empty(),
        "what comes before it is under way"
    );
    first.into_iter().for_each(|sent| drop(sent.take()));
    assert_eq!(edge_hub.take_all().await, ["{}"]);
    assert_eq!(own.take_all().await, ["a1"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_under_way_at_the_end_is_back_in_its_place() {
    let bed = Bed::new();
    let mut hub = bed.open("a");
    bed.send("a", texts("a", 0..3)).await;
    assert_eq!(hub.all().await.len(), 3);
    bed.stop.cancel();
    bed.pump.await.expect("it ends");
    let inbox = bed.router.upstream_inbox();
    for text in texts("a", 0..3) {
        let delivery = inbox.next().await;
        assert_eq!(delivery.message().body, text.as_bytes());
        assert_eq!(delivery.previous_tries(), 0);
        delivery.complete(Vec::new()).await.expect("one router");
    }
}

#[tokio::test(start_paused = true)]
async fn many_at_once_keep_their_order_whatever_the_scheduler_lets_a_task_do() {
    for room in [1, 3, 16] {
        let bed = Bed::new();
        bed.send("a", texts("a", 0..500)).await;
        let (sender, mut sent) = mpsc::channel(room);
        bed.sessions.opened(&module("a"), narrow(sender));
        let mut all = Vec::new();
        while all.len() < 500 {
            all.push(sent.recv().await.expect("the pump runs"));
        }
        assert_eq!(all, texts("a", 0..500));
        bed.stop.cancel();
        bed.pump.await.expect("it ends");
    }
}
