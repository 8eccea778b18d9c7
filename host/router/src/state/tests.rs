//! The queues against a naive model of them: any sequence of calls gives what the model says.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use wasm_edge_model::message::{MessageSource, OutputName};
use wasm_edge_model::route::{Route, RouteName};

use super::*;
use crate::ledger::Wish;
use crate::limits::TRIES_MAX;
use crate::table::RouteTable;

const SENDERS: [&str; 3] = ["a", "b", "c"];
const OUTPUTS: [Option<&str>; 3] = [None, Some("o1"), Some("o2")];

/// Small, so that every limit is met.
const LIMITS: Limits = Limits {
    store_endpoint_messages: 0,
    store_endpoint_bytes: 0,
    store_messages: 0,
    store_bytes: usize::MAX,
    endpoint_messages: 8,
    endpoint_bytes: 400,
    messages: 14,
    bytes: 800,
    aside_messages: 3,
    aside_bytes: 150,
    aside_total_bytes: 250,
};

#[derive(Debug, Clone)]
enum Op {
    Stage {
        sender: usize,
        output: usize,
        bytes: usize,
    },
    /// Commits the staged message of that index, with the completion of one in hand if there is one.
    Commit {
        staged: usize,
        completed: Option<usize>,
    },
    Cancel(usize),
    /// Takes for upstream or a module.
    Take(Option<usize>),
    PutBack(usize),
    Retry(usize, u64),
    Fail(usize),
    Reject(usize),
    Advance(u64),
    Apply(usize),
    Remove(usize),
}

fn op() -> impl Strategy<Value = Op> {
    let index = 0..8_usize;
    let module = 0..SENDERS.len();
    prop_oneof![
        6 => (module.clone(), 0..OUTPUTS.len(), 1..120_usize)
            .prop_map(|(sender, output, bytes)| Op::Stage { sender, output, bytes }),
        6 => (index.clone(), proptest::option::of(index.clone()))
            .prop_map(|(staged, completed)| Op::Commit { staged, completed }),
        1 => index.clone().prop_map(Op::Cancel),
        6 => proptest::option::of(module.clone()).prop_map(Op::Take),
        1 => index.clone().prop_map(Op::PutBack),
        1 => (index.clone(), 0..30_u64).prop_map(|(index, after)| Op::Retry(index, after)),
        2 => index.clone().prop_map(Op::Fail),
        1 => index.prop_map(Op::Reject),
        2 => (0..6_u64).prop_map(Op::Advance),
        1 => (0..4_usize).prop_map(Op::Apply),
        1 => module.prop_map(Op::Remove),
    ]
}

fn module(name: &str) -> ModuleId {
    ModuleId::new(name).unwrap()
}

fn route(text: &str, priority: Option<u32>, time_to_live_secs: Option<u64>) -> Route {
    let mut route = Route::parse(RouteName::new("r").unwrap(), text).unwrap();
    route.priority = priority.unwrap_or(route.priority);
    route.time_to_live = time_to_live_secs.map(Duration::from_secs);
    route
}

fn table(number: usize) -> Vec<Route> {
    let to_b = "INTO BrokeredEndpoint(\"/modules/b/inputs/in\")";
    match number {
        0 => vec![
            route("FROM /messages/* INTO $upstream", Some(5), None),
            route(
                "FROM /messages/modules/a/outputs/o1 INTO $upstream",
                Some(0),
                Some(7),
            ),
            route(&format!("FROM /messages/modules/a/* {to_b}"), None, None),
        ],
        1 => vec![
            route(
                &format!("FROM /messages/modules/a/* {to_b}"),
                Some(1),
                Some(4),
            ),
            route(
                &format!("FROM /messages/modules/a/outputs/o2 {to_b}"),
                Some(1),
                Some(30),
            ),
            route(&format!("FROM /messages/modules/c/* {to_b}"), Some(3), None),
            route(
                "FROM /messages/* INTO BrokeredEndpoint(\"/modules/b/inputs/second\")",
                Some(2),
                Some(9),
            ),
        ],
        2 => vec![route(
            "FROM /messages/modules/b/outputs/* INTO BrokeredEndpoint(\"/modules/c/inputs/in\")",
            None,
            None,
        )],
        _ => Vec::new(),
    }
}

/// What the model knows of a message at one endpoint.
#[derive(Debug, Clone)]
struct Copy {
    id: u64,
    sender: usize,
    bytes: usize,
    endpoint: Endpoint,
    priority: u32,
    expires: Option<u64>,
    not_before: u64,
    failed: u32,
    in_hand: bool,
}

/// A message with places in the model.
#[derive(Debug, Clone)]
struct NaiveStaged {
    id: u64,
    sender: usize,
    bytes: usize,
    targets: BTreeMap<Endpoint, (u32, Option<u64>)>,
    taken_at: u64,
}

/// The router as one list, searched from end to end.
#[derive(Default)]
struct Naive {
    now: u64,
    routes: Vec<Route>,
    copies: Vec<Copy>,
    removed: BTreeSet<ModuleId>,
    ended: BTreeSet<(u64, Endpoint)>,
    /// For each consumer and priority, how often in a row it went before a lower one that waited.
    in_a_row: BTreeMap<(Option<ModuleId>, u32), u32>,
}

impl Naive {
    fn targets(&self, source: &MessageSource) -> BTreeMap<Endpoint, (u32, Option<u64>)> {
        let mut targets = BTreeMap::new();
        for route in self
            .routes
            .iter()
            .filter(|route| route.source.matches(source))
        {
            let found = (route.priority, route.time_to_live.map(|ttl| ttl.as_secs()));
            let entry = targets.entry(Endpoint::from(&route.sink)).or_insert(found);
            // The highest priority, and then the longest time.
            let rank =
                |(priority, ttl): (u32, Option<u64>)| (priority, Reverse(ttl.unwrap_or(u64::MAX)));
            *entry = std::cmp::min_by_key(*entry, found, |found| rank(*found));
        }
        targets
    }

    fn expire(&mut self) {
        let now = self.now;
        self.copies
            .retain(|copy| copy.in_hand || copy.expires.is_none_or(|at| at > now));
    }

    /// Whether a message fits at its endpoints and in all, given what else is staged.
    fn fits(&self, staged: &[NaiveStaged], new: &NaiveStaged) -> bool {
        let mut held: Vec<(u64, usize, usize, &Endpoint)> = Vec::new();
        for copy in &self.copies {
            held.push((copy.id, copy.sender, copy.bytes, &copy.endpoint));
        }
        for other in staged {
            held.extend(
                other
                    .targets
                    .keys()
                    .map(|at| (other.id, other.sender, other.bytes, at)),
            );
        }
        let room = |held: &HashMap<u64, (usize, usize)>, messages: usize, bytes: usize| {
            let sum = |of: Option<usize>| {
                let counted = held
                    .values()
                    .filter(|(sender, _)| of.is_none_or(|of| of == *sender));
                counted.fold((0, 0), |(count, sum), (_, bytes)| (count + 1, sum + bytes))
            };
            let (all, mine) = (sum(None), sum(Some(new.sender)));
            // What the sender then holds is at most what is then free.
            mine.0 < messages.saturating_sub(all.0 + 1)
                && mine.1 + new.bytes <= bytes.saturating_sub(all.1 + new.bytes)
        };
        let at = |endpoint: Option<&Endpoint>| {
            let here = held
                .iter()
                .filter(|held| endpoint.is_none_or(|endpoint| endpoint == held.3));
            here.map(|held| (held.0, (held.1, held.2)))
                .collect::<HashMap<_, _>>()
        };
        new.targets.is_empty()
            || room(&at(None), LIMITS.messages, LIMITS.bytes)
                && new.targets.keys().all(|endpoint| {
                    room(
                        &at(Some(endpoint)),
                        LIMITS.endpoint_messages,
                        LIMITS.endpoint_bytes,
                    )
                })
    }

    /// The copy that a consumer gets, or until when nothing is due.
    fn next(&mut self, consumer: Option<&ModuleId>) -> Result<(u64, Endpoint), Option<u64>> {
        let mut heads: BTreeMap<(&Endpoint, u32, Option<usize>), &Copy> = BTreeMap::new();
        let waiting = self.copies.iter().filter(|copy| !copy.in_hand);
        for copy in waiting.filter(|copy| copy.endpoint.module() == consumer) {
            // Upstream each sender has a queue of its own.
            let sender = consumer.is_none().then_some(copy.sender);
            let lane = (&copy.endpoint, copy.priority, sender);
            let head = heads.entry(lane).or_insert(copy);
            if copy.id < head.id {
                *head = copy;
            }
        }
        let due = heads.values().filter(|copy| copy.not_before <= self.now);
        let due: Vec<(u32, u64, Endpoint)> = due
            .map(|copy| (copy.priority, copy.id, copy.endpoint.clone()))
            .collect();
        if due.is_empty() {
            let until = |copy: &&Copy| copy.not_before.min(copy.expires.unwrap_or(u64::MAX));
            return Err(heads.values().map(until).min());
        }
        let mut priorities: Vec<u32> = due.iter().map(|(priority, ..)| *priority).collect();
        priorities.sort_unstable();
        priorities.dedup();
        let mut chosen = priorities[priorities.len() - 1];
        for priority in &priorities {
            let count = self
                .in_a_row
                .entry((consumer.cloned(), *priority))
                .or_default();
            if *priority != chosen && *count < 15 {
                *count += 1;
                chosen = *priority;
            } else {
                *count = 0;
            }
            if *priority == chosen {
                break;
            }
        }
        let of_chosen = due.into_iter().filter(|(priority, ..)| *priority == chosen);
        let (_, id, endpoint) = of_chosen.min_by_key(|(_, id, _)| *id).expect("it is due");
        Ok((id, endpoint))
    }

    fn copy(&mut self, key: &(u64, Endpoint)) -> &mut Copy {
        let found = self
            .copies
            .iter_mut()
            .find(|copy| copy.id == key.0 && copy.endpoint == key.1);
        found.expect("the model has every copy that is in hand")
    }

    fn end(&mut self, key: &(u64, Endpoint)) {
        self.copies
            .retain(|copy| copy.id != key.0 || copy.endpoint != key.1);
        assert!(self.ended.insert(key.clone()), "{key:?} ended twice");
    }

    /// Puts a copy back, unless its module is gone.
    fn put_back(&mut self, key: &(u64, Endpoint)) {
        if key
            .1
            .module()
            .is_some_and(|module| self.removed.contains(module))
        {
            self.end(key);
        } else {
            self.copy(key).in_hand = false;
        }
    }
}

/// The real thing beside the model.
struct Pair {
    state: State,
    start: Instant,
    naive: Naive,
    /// In the order of staging.
    staged: Vec<(Arc<Path>, Held, NaiveStaged)>,
    /// With the keys of the copies.
    in_hand: Vec<(Lease, (u64, Endpoint))>,
    ids: u64,
    senders: Vec<(SenderId, Arc<()>)>,
}

impl Pair {
    fn new() -> Self {
        let mut state = State::new(LIMITS, Store::none());
        let senders = SENDERS
            .iter()
            .map(|name| state.sender(&module(name)))
            .collect();
        Pair {
            state,
            start: Instant::now(),
            naive: Naive::default(),
            staged: Vec::new(),
            in_hand: Vec::new(),
            ids: 0,
            senders,
        }
    }

    fn now(&self) -> Instant {
        self.start + Duration::from_secs(self.naive.now)
    }

    fn run(&mut self, op: Op) -> TestCaseResult {
        match op {
            Op::Stage {
                sender,
                output,
                bytes,
            } => self.stage(sender, output, bytes)?,
            Op::Commit { staged, completed } => self.commit(staged, completed),
            Op::Cancel(index) if index < self.staged.len() => {
                let (path, held, _) = self.staged.remove(index);
                self.state.cancel(&path, &held);
            }
            Op::Take(consumer) => self.take(consumer)?,
            Op::PutBack(index) if index < self.in_hand.len() => {
                let (lease, key) = self.in_hand.remove(index);
                self.state.put_back(lease);
                self.naive.put_back(&key);
            }
            Op::Retry(index, after) => {
                self.end_try(index, Ending::Retry(Duration::from_secs(after)))?
            }
            Op::Fail(index) => self.end_try(index, Ending::Fail("trap"))?,
            Op::Reject(index) => self.end_try(index, Ending::Reject("no"))?,
            Op::Advance(secs) => self.naive.now += secs,
            Op::Apply(number) => {
                let routes = table(number);
                self.state.apply(RouteTable::new(&routes, None).unwrap());
                let sinks = routes.iter().map(|route| Endpoint::from(&route.sink));
                for named in sinks.filter_map(|endpoint| endpoint.module().cloned()) {
                    self.naive.removed.remove(&named);
                }
                self.naive.routes = routes;
            }
            Op::Remove(index) => self.remove(&module(SENDERS[index])),
            Op::Cancel(_) | Op::PutBack(_) => {}
        }
        self.naive.expire();
        self.check()
    }

    fn stage(&mut self, sender: usize, output: usize, bytes: usize) -> TestCaseResult {
        let output = OUTPUTS[output].map(|output| OutputName::new(output).unwrap());
        let source = MessageSource::Module {
            module: module(SENDERS[sender]),
            output: output.clone(),
        };
        let id = self.senders[sender].0;
        let origin = Origin::Output(output.as_ref());
        if self.state.junction(id, origin).is_none() {
            let found = Junction::find(Arc::clone(&self.state.routes), source.clone());
            self.state.remember(id, Arc::new(found));
        }
        let junction = self.state.junction(id, origin).expect("remembered");
        let path = Arc::clone(junction.plain().expect("no route has a condition"));
        self.ids += 1;
        let new = NaiveStaged {
            id: self.ids,
            sender,
            bytes,
            targets: self.naive.targets(&source),
            taken_at: self.naive.now,
        };
        let found = path.targets.iter().map(|target| {
            let endpoint = Endpoint::clone(&self.state.queues[target.endpoint].endpoint);
            (
                endpoint,
                (
                    target.priority,
                    target.time_to_live.map(|ttl| ttl.as_secs()),
                ),
            )
        });
        prop_assert_eq!(found.collect::<BTreeMap<_, _>>(), new.targets.clone());
        let others: Vec<_> = self
            .staged
            .iter()
            .map(|(_, _, naive)| naive.clone())
            .collect();
        let expected = self.naive.fits(&others, &new);
        let reserved = {
            let wish = Wish {
                sender: id,
                class: Class::Memory,
                bytes,
            };
            self.state.reserve(wish, &path, self.now())
        };
        prop_assert_eq!(reserved.is_ok(), expected, "{:?}", new);
        if let Ok(Reserved { holding, dropped }) = reserved {
            let body = Bytes::copy_from_slice(&self.ids.to_le_bytes());
            let message = Arc::new(Message {
                body,
                ..Message::default()
            });
            let message = (!path.targets.is_empty()).then_some(message);
            let held = Held {
                holding,
                dropped,
                message,
                taken_at: self.now(),
                receipt: None,
            };
            self.staged.push((path, held, new));
        }
        Ok(())
    }

    fn commit(&mut self, staged: usize, completed: Option<usize>) {
        if let Some(index) = completed.filter(|index| *index < self.in_hand.len()) {
            let (mut lease, key) = self.in_hand.remove(index);
            self.state.complete(&mut lease);
            self.naive.end(&key);
        }
        if staged >= self.staged.len() {
            return;
        }
        let (path, mut held, mut new) = self.staged.remove(staged);
        // Committed out of the order of staging: the order of commits is the one that counts.
        self.ids += 1;
        new.id = self.ids;
        held.message = held.message.map(|_| {
            let body = Bytes::copy_from_slice(&new.id.to_le_bytes());
            Arc::new(Message {
                body,
                ..Message::default()
            })
        });
        self.state.enter(&path, held);
        for (endpoint, (priority, time_to_live)) in new.targets {
            let key = (new.id, endpoint.clone());
            if endpoint
                .module()
                .is_some_and(|module| self.naive.removed.contains(module))
            {
                self.naive.ended.insert(key);
                continue;
            }
            self.naive.copies.push(Copy {
                id: new.id,
                sender: new.sender,
                bytes: new.bytes,
                endpoint,
                priority,
                expires: time_to_live.map(|ttl| new.taken_at + ttl),
                not_before: 0,
                failed: 0,
                in_hand: false,
            });
        }
    }

    fn take(&mut self, consumer: Option<usize>) -> TestCaseResult {
        let consumer = consumer.map(|index| module(SENDERS[index]));
        if let Some(consumer) = &consumer {
            self.naive.removed.remove(consumer);
        }
        self.naive.expire();
        let (mailbox, _notify) = self.state.inbox(consumer.as_ref());
        let taken = match self.state.take(mailbox, usize::MAX, self.now()) {
            Next::Lease(lease, endpoint) => {
                let body = lease.entry.message.body.as_ref().try_into().unwrap();
                let key = (u64::from_le_bytes(body), Endpoint::clone(&endpoint));
                self.in_hand.push((lease, key.clone()));
                Ok(key)
            }
            Next::Waits(at) => Err(Some((at - self.start).as_secs())),
            Next::Empty => Err(None),
            Next::Stalled(_) => panic!("nothing is on a disk"),
        };
        prop_assert_eq!(&taken, &self.naive.next(consumer.as_ref()));
        if let Ok(key) = taken {
            prop_assert!(!self.naive.ended.contains(&key), "{:?} came again", key);
            self.naive.copy(&key).in_hand = true;
        }
        Ok(())
    }

    fn end_try(&mut self, index: usize, ending: Ending<'_>) -> TestCaseResult {
        if index >= self.in_hand.len() {
            return Ok(());
        }
        let (lease, key) = self.in_hand.remove(index);
        let removed = key
            .1
            .module()
            .is_some_and(|module| self.naive.removed.contains(module));
        let after = self.state.end_try(lease, ending, self.now());
        let now = self.naive.now;
        let copy = self.naive.copy(&key);
        let wait = match ending {
            Ending::Retry(after) => Some(after.as_secs()),
            Ending::Fail(_) => {
                copy.failed += 1;
                (copy.failed < TRIES_MAX).then(|| 1 << (copy.failed - 1))
            }
            Ending::Reject(_) => None,
        };
        prop_assert_eq!(after == AfterTry::Removed, removed);
        match wait {
            Some(wait) => {
                copy.not_before = now + wait;
                self.naive.put_back(&key);
            }
            None => self.naive.end(&key),
        }
        Ok(())
    }

    fn remove(&mut self, gone: &ModuleId) {
        self.naive.expire();
        self.state.remove_module(gone);
        let sinks = self
            .naive
            .routes
            .iter()
            .map(|route| Endpoint::from(&route.sink));
        if !sinks
            .into_iter()
            .any(|endpoint| endpoint.module() == Some(gone))
        {
            self.naive.removed.insert(gone.clone());
        }
        let dropped: Vec<_> = self
            .naive
            .copies
            .iter()
            .filter(|copy| copy.endpoint.module() == Some(gone) && !copy.in_hand)
            .map(|copy| (copy.id, copy.endpoint.clone()))
            .collect();
        for key in dropped {
            self.naive.end(&key);
        }
    }

    /// Sums and counters agree with what is known to be there.
    fn check(&mut self) -> TestCaseResult {
        let snapshot = self.state.snapshot(self.now());
        let mut messages = BTreeMap::new();
        for copy in &self.naive.copies {
            messages.insert(("entered", copy.id), (copy.sender, copy.bytes));
        }
        for (_, _, staged) in self
            .staged
            .iter()
            .filter(|(_, _, staged)| !staged.targets.is_empty())
        {
            messages.insert(("staged", staged.id), (staged.sender, staged.bytes));
        }
        let sum = |held: Vec<&(usize, usize)>| {
            (
                held.len(),
                held.iter().map(|(_, bytes)| bytes).sum::<usize>(),
            )
        };
        prop_assert_eq!(
            (snapshot.messages, snapshot.bytes),
            sum(messages.values().collect())
        );
        for sender in &snapshot.senders {
            let index = SENDERS
                .iter()
                .position(|name| *name == sender.module.as_str())
                .unwrap();
            let mine = messages.values().filter(|(sender, _)| *sender == index);
            prop_assert_eq!((sender.messages, sender.bytes), sum(mine.collect()));
        }
        let aside: usize = snapshot
            .endpoints
            .iter()
            .map(|endpoint| endpoint.aside_bytes)
            .sum();
        prop_assert!(aside <= LIMITS.aside_total_bytes);
        for endpoint in snapshot.endpoints {
            let here = self
                .naive
                .copies
                .iter()
                .filter(|copy| copy.endpoint == endpoint.endpoint);
            let in_hand = here.clone().filter(|copy| copy.in_hand).count();
            let staged = self.staged.iter().map(|(_, _, staged)| staged);
            let staged = staged.filter(|staged| staged.targets.contains_key(&endpoint.endpoint));
            let bytes = here.clone().map(|copy| copy.bytes).sum::<usize>()
                + staged.clone().map(|staged| staged.bytes).sum::<usize>();
            let counts = (in_hand, here.count() - in_hand, staged.count(), bytes);
            prop_assert_eq!(
                (
                    endpoint.in_hand_messages,
                    endpoint.queued_messages,
                    endpoint.staged_messages,
                    endpoint.bytes
                ),
                counts
            );
            prop_assert!(endpoint.bytes <= LIMITS.endpoint_bytes);
            let counters = endpoint.counters;
            let put_aside =
                counters.rejected + counters.tries_exhausted + counters.retries_exhausted;
            prop_assert_eq!(
                counters.taken,
                counters.delivered
                    + counters.expired
                    + counters.removed
                    + put_aside
                    + (counts.0 + counts.1) as u64
            );
            prop_assert_eq!(
                put_aside,
                counters.aside_dropped + endpoint.aside_messages as u64
            );
            prop_assert!(endpoint.aside_messages <= LIMITS.aside_messages);
            prop_assert!(endpoint.aside_bytes <= LIMITS.aside_bytes);
        }
        Ok(())
    }

    /// Ends everything; nothing may be left.
    fn drain(&mut self) -> TestCaseResult {
        while !self.staged.is_empty() {
            self.run(Op::Cancel(0))?;
        }
        for consumer in [None, Some(0), Some(1), Some(2)] {
            loop {
                while !self.in_hand.is_empty() {
                    self.run(Op::Commit {
                        staged: usize::MAX,
                        completed: Some(0),
                    })?;
                }
                let known = consumer.map(|index| module(SENDERS[index]));
                let in_a_row = self.naive.in_a_row.clone();
                let next = self.naive.next(known.as_ref());
                self.naive.in_a_row = in_a_row;
                match next {
                    Ok(_) => self.run(Op::Take(consumer))?,
                    Err(Some(at)) => self.run(Op::Advance(at - self.naive.now))?,
                    Err(None) => break,
                }
            }
        }
        let snapshot = self.state.snapshot(self.now());
        prop_assert_eq!((snapshot.messages, snapshot.bytes), (0, 0));
        self.senders.clear();
        for name in SENDERS {
            self.state.remove_module(&module(name));
        }
        self.state.apply(RouteTable::default());
        let slots = (
            self.state.queues.len(),
            self.state.mailboxes.len(),
            self.state.ledger.senders.len(),
        );
        let aside = self.state.aside(self.now());
        prop_assert!(
            aside
                .iter()
                .all(|message| message.endpoint == Endpoint::Upstream)
        );
        // Upstream's mailbox stays, and its endpoint as long as it shows messages put aside.
        prop_assert_eq!(slots, (usize::from(!aside.is_empty()), 1, 0));
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_queues_do_what_the_naive_model_says(ops in proptest::collection::vec(op(), 1..120)) {
        let mut pair = Pair::new();
        pair.run(Op::Apply(0))?;
        for op in ops {
            pair.run(op)?;
        }
        pair.drain()?;
    }
}
