//! The router on a journal against a naive model: any sequence of calls, restarts and crashes in between.

use std::collections::VecDeque;

use proptest::prelude::*;
use wasm_edge_model::route::Durability;
use wasm_edge_store::disk::faults::Survivors;
use wasm_edge_store::volume::simulated::SimulatedVolume;

use super::durable::{FILTER_UP, PATIENCE, TO_FILTER_ONLY, apply, open, route};
use super::*;
use crate::limits::WINDOW_MESSAGES;
use crate::operate::Part;

/// More than a window in a few operations.
const BURST_MAX: usize = WINDOW_MESSAGES;

const VOLATILE: &str =
    r#"FROM /messages/modules/quick/* INTO BrokeredEndpoint("/modules/filter/inputs/in")"#;

#[derive(Debug, Clone)]
enum Op {
    /// So many from the sensor, or without durability.
    Send {
        volatile: bool,
        count: usize,
    },
    /// The filter passes so many on upstream.
    Forward(usize),
    /// So many are taken and completed.
    Take {
        upstream: bool,
        count: usize,
    },
    /// One is taken and kept in hand.
    Hold {
        upstream: bool,
    },
    /// All in hand go back.
    LetGo,
    /// The filter rejects one.
    Reject,
    RetryAside,
    Purge {
        upstream: bool,
    },
    /// The device is stopped and started.
    Restart,
    /// The process is killed.
    Kill,
}

fn op() -> impl Strategy<Value = Op> {
    let count = 1..BURST_MAX;
    prop_oneof![
        4 => (any::<bool>(), count.clone()).prop_map(|(volatile, count)| Op::Send { volatile, count }),
        4 => count.clone().prop_map(Op::Forward),
        3 => (any::<bool>(), count).prop_map(|(upstream, count)| Op::Take { upstream, count }),
        1 => any::<bool>().prop_map(|upstream| Op::Hold { upstream }),
        1 => Just(Op::LetGo),
        1 => Just(Op::Reject),
        1 => Just(Op::RetryAside),
        1 => any::<bool>().prop_map(|upstream| Op::Purge { upstream }),
        1 => Just(Op::Restart),
        1 => Just(Op::Kill),
    ]
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Known {
    text: String,
    volatile: bool,
}

/// One endpoint as the model sees it.
#[derive(Debug, Default)]
struct Naive {
    waiting: VecDeque<Known>,
    in_hand: VecDeque<Known>,
    aside: VecDeque<Known>,
}

impl Naive {
    fn let_go(&mut self) {
        while let Some(known) = self.in_hand.pop_back() {
            self.waiting.push_front(known);
        }
    }

    fn lose_memory(&mut self) {
        self.let_go();
        self.waiting.retain(|known| !known.volatile);
    }
}

struct Pair {
    volume: SimulatedVolume,
    router: Router,
    in_hand: Vec<Delivery>,
    filter: Naive,
    upstream: Naive,
    sent: usize,
}

impl Pair {
    fn new() -> Self {
        let volume = SimulatedVolume::new(1);
        let router = opened(&volume);
        Pair {
            volume,
            router,
            in_hand: Vec::new(),
            filter: Naive::default(),
            upstream: Naive::default(),
            sent: 0,
        }
    }

    fn naive(&mut self, upstream: bool) -> &mut Naive {
        match upstream {
            true => &mut self.upstream,
            false => &mut self.filter,
        }
    }

    async fn next(&mut self, upstream: bool) -> Option<Delivery> {
        let expected = self.naive(upstream).waiting.front()?.text.clone();
        let inbox = match upstream {
            true => self.router.upstream_inbox(),
            false => self.router.inbox(&module("filter")),
        };
        let delivery = tokio::time::timeout(PATIENCE, inbox.next()).await;
        let delivery = delivery.expect("the model has one more");
        assert_eq!(text(&delivery), expected);
        Some(delivery)
    }

    async fn run(&mut self, op: Op) {
        match op {
            Op::Send { volatile, count } => {
                let from = if volatile { "quick" } else { "sensor" };
                for _ in 0..count {
                    let text = self.sent.to_string();
                    self.sent += 1;
                    send(&self.router, from, None, &text).await;
                    self.filter.waiting.push_back(Known { text, volatile });
                }
            }
            Op::Forward(count) => {
                let sender = self.router.sender(&module("filter"));
                for _ in 0..count {
                    let Some(delivery) = self.next(false).await else {
                        return;
                    };
                    let staged = stage(&sender, None, &text(&delivery)).unwrap();
                    delivery.complete(vec![staged]).await.unwrap();
                    let known = self.filter.waiting.pop_front().unwrap();
                    let volatile = false;
                    self.upstream.waiting.push_back(Known { volatile, ..known });
                }
            }
            Op::Take { upstream, count } => {
                for _ in 0..count {
                    let Some(delivery) = self.next(upstream).await else {
                        return;
                    };
                    delivery.complete(Vec::new()).await.unwrap();
                    self.naive(upstream).waiting.pop_front();
                }
            }
            Op::Hold { upstream } => {
                if let Some(delivery) = self.next(upstream).await {
                    self.in_hand.push(delivery);
                    let naive = self.naive(upstream);
                    let known = naive.waiting.pop_front().unwrap();
                    naive.in_hand.push_back(known);
                }
            }
            Op::LetGo => {
                self.in_hand.clear();
                self.filter.let_go();
                self.upstream.let_go();
            }
            Op::Reject => {
                if let Some(delivery) = self.next(false).await {
                    delivery.reject("no");
                    let known = self.filter.waiting.pop_front().unwrap();
                    // Whatever it was before, it is kept now.
                    self.filter.aside.push_back(Known {
                        volatile: false,
                        ..known
                    });
                }
            }
            Op::RetryAside => {
                let retried = self.router.retry(&filter_input("in"), None);
                assert_eq!(retried.messages, self.filter.aside.len());
                let again = std::mem::take(&mut self.filter.aside);
                self.filter.waiting.extend(again);
            }
            Op::Purge { upstream } => {
                let endpoint = match upstream {
                    true => Endpoint::Upstream,
                    false => filter_input("in"),
                };
                let purged = self.router.purge(&endpoint, Part::Waiting);
                let waiting = std::mem::take(&mut self.naive(upstream).waiting);
                assert_eq!(purged, waiting.len());
            }
            Op::Restart => {
                self.in_hand.clear();
                self.router.close().await;
                self.router = opened(&self.volume);
                self.filter.lose_memory();
                self.upstream.lose_memory();
            }
            Op::Kill => self.kill().await,
        }
    }

    async fn kill(&mut self) {
        // What is acknowledged comes after all before it in the journal.
        let last = Op::Send {
            volatile: false,
            count: 1,
        };
        Box::pin(self.run(last)).await;
        self.volume = self.volume.after_power_cut(Survivors::Written);
        self.in_hand.clear();
        self.router = opened(&self.volume);
        self.filter.lose_memory();
        self.upstream.lose_memory();
    }

    fn check(&mut self) {
        let snapshot = self.router.snapshot();
        for (endpoint, naive) in [
            (filter_input("in"), &self.filter),
            (Endpoint::Upstream, &self.upstream),
        ] {
            let found = snapshot
                .endpoints
                .iter()
                .find(|found| found.endpoint == endpoint)
                .unwrap();
            let counts = (
                found.queued_messages,
                found.in_hand_messages,
                found.aside_messages,
            );
            let expected = (naive.waiting.len(), naive.in_hand.len(), naive.aside.len());
            assert_eq!(counts, expected, "{endpoint}");
        }
        let all = [&self.filter, &self.upstream];
        let held = |naive: &&Naive| naive.waiting.len() + naive.in_hand.len();
        let held: usize = all.iter().map(held).sum();
        assert_eq!(snapshot.messages + snapshot.store.unwrap().messages, held);
    }

    async fn drain(&mut self) {
        self.run(Op::LetGo).await;
        for upstream in [false, true] {
            self.run(Op::Take {
                upstream,
                count: usize::MAX,
            })
            .await;
        }
        self.check();
        let snapshot = self.router.snapshot();
        assert_eq!((snapshot.bytes, snapshot.store.unwrap().bytes), (0, 0));
        self.router.close().await;
    }
}

fn opened(volume: &SimulatedVolume) -> Router {
    let router = open(volume);
    let volatile = Route {
        durability: Some(Durability::None),
        ..route(VOLATILE, 3)
    };
    let up = Route {
        durability: Some(Durability::Process),
        ..route(FILTER_UP, 0)
    };
    apply(&router, &[route(TO_FILTER_ONLY, 3), volatile, up]);
    // Everything that was put aside is kept, so that the model need not forget the oldest.
    router.set_limits(Limits {
        aside_messages: usize::MAX,
        ..Limits::default()
    });
    router
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn the_durable_queues_do_what_the_naive_model_says(ops in proptest::collection::vec(op(), 1..30)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut pair = Pair::new();
            for op in ops {
                pair.run(op).await;
                pair.check();
            }
            pair.drain().await;
        });
    }
}
