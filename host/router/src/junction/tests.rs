//! Random messages by random routes, against a model that knows no junctions, paths and caches; and what is kept.

use std::collections::BTreeMap;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use serde_json::{Map, Value, json};
use tokio::time::Instant;
use wasm_edge_model::identity::ModuleId;
use wasm_edge_model::message::{Properties, SystemProperty};
use wasm_edge_model::route::{PRIORITY_DEFAULT, Route, RouteName};

use super::*;
use crate::endpoint::Endpoint;
use crate::inbox::Inbox;
use crate::limits::Limits;
use crate::router::Router;
use crate::table::RouteTable;

const MODULES: [&str; 3] = ["a", "b", "c"];
const OUTPUTS: [Option<&str>; 3] = [None, Some("x"), Some("y")];
const NAMES: [&str; 3] = ["level", "size", "kind"];
const VALUES: [&str; 4] = ["high", "low", "3", "7"];

/// Each with what it takes: of a module and an output, or of a change of a twin.
type Takes = fn(&From) -> bool;
const SOURCES: [(&str, Takes); 6] = [
    ("/*", |_| true),
    ("/messages/*", |from| matches!(from, From::Output(..))),
    ("/messages/modules/a/*", |from| {
        matches!(from, From::Output(0, _))
    }),
    ("/messages/modules/B/outputs/*", |from| {
        matches!(from, From::Output(1, 1 | 2))
    }),
    ("/messages/modules/a/outputs/x", |from| {
        matches!(from, From::Output(0, 1))
    }),
    ("/twinChangeNotifications", |from| {
        matches!(from, From::Change(_))
    }),
];

const SINKS: [&str; 4] = [
    "$upstream",
    "BrokeredEndpoint('/modules/b/inputs/in')",
    "BrokeredEndpoint('/modules/c/inputs/in')",
    "BrokeredEndpoint('/modules/c/inputs/other')",
];

const PRIORITIES: [u32; 3] = [0, 4, PRIORITY_DEFAULT];

/// Who sends, as numbers of the tables above.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    Output(usize, usize),
    Change(usize),
}

/// A condition that the model understands.
#[derive(Debug, Clone)]
enum Naive {
    Always,
    Text(usize, usize),
    Above(usize, i64),
    Body(i64),
    Sender(usize),
    Not(Box<Naive>),
    And(Box<Naive>, Box<Naive>),
    Or(Box<Naive>, Box<Naive>),
}

#[derive(Debug, Clone)]
struct NaiveRoute {
    source: usize,
    condition: Naive,
    sink: usize,
    priority: usize,
}

#[derive(Debug, Clone)]
struct NaiveMessage {
    from: From,
    properties: BTreeMap<usize, usize>,
    body: Option<i64>,
}

#[derive(Debug, Clone)]
enum Op {
    Apply(Vec<NaiveRoute>),
    Send(NaiveMessage),
}

impl Naive {
    fn text(&self) -> String {
        match self {
            Self::Always => "true".to_owned(),
            Self::Text(name, value) => format!("{} = '{}'", NAMES[*name], VALUES[*value]),
            Self::Above(name, number) => format!("as_number({}) > {number}", NAMES[*name]),
            Self::Body(number) => format!("$body.n <= {number}"),
            Self::Sender(module) => format!("$connectionModuleId = '{}'", MODULES[*module]),
            Self::Not(inner) => format!("NOT ({})", inner.text()),
            Self::And(a, b) => format!("({}) AND ({})", a.text(), b.text()),
            Self::Or(a, b) => format!("({}) OR ({})", a.text(), b.text()),
        }
    }

    /// `None` is undefined.
    fn is_true(&self, message: &NaiveMessage) -> Option<bool> {
        let property = |name: &usize| message.properties.get(name).map(|value| VALUES[*value]);
        match self {
            Self::Always => Some(true),
            Self::Text(name, value) => property(name).map(|found| found == VALUES[*value]),
            Self::Above(name, number) => {
                let found: Option<i64> = property(name).and_then(|found| found.parse().ok());
                found.map(|found| found > *number)
            }
            // The patch of a change has no such member.
            Self::Body(_) if matches!(message.from, From::Change(_)) => None,
            Self::Body(number) => message.body.map(|found| found <= *number),
            Self::Sender(module) => Some(match message.from {
                From::Output(sender, _) => sender == *module,
                From::Change(_) => false,
            }),
            Self::Not(inner) => inner.is_true(message).map(|value| !value),
            Self::And(a, b) => match (a.is_true(message), b.is_true(message)) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            },
            Self::Or(a, b) => match (a.is_true(message), b.is_true(message)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
        }
    }
}

impl NaiveRoute {
    fn route(&self) -> Route {
        let text = format!(
            "FROM {} WHERE {} INTO {}",
            SOURCES[self.source].0,
            self.condition.text(),
            SINKS[self.sink]
        );
        let route = Route::parse(RouteName::new("r").unwrap(), &text);
        Route {
            priority: PRIORITIES[self.priority],
            ..route.unwrap_or_else(|err| panic!("{text}: {err}"))
        }
    }
}

/// Where a message goes by the routes, and at which priority.
fn targets(routes: &[NaiveRoute], message: &NaiveMessage) -> BTreeMap<Endpoint, u32> {
    let mut targets = BTreeMap::new();
    for route in routes {
        let takes = SOURCES[route.source].1(&message.from);
        if takes && route.condition.is_true(message) == Some(true) {
            let priority = PRIORITIES[route.priority];
            let endpoint = Endpoint::from(&route.route().sink);
            let best = targets.entry(endpoint).or_insert(priority);
            *best = priority.min(*best);
        }
    }
    targets
}

/// Runs a future that never has to wait.
fn run<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

fn module(name: &str) -> ModuleId {
    ModuleId::new(name).unwrap()
}

fn message(naive: &NaiveMessage) -> Message {
    let properties = naive.properties.iter();
    let properties = properties.map(|(name, value)| (NAMES[*name], VALUES[*value]));
    let mut message = Message {
        properties: properties.collect::<Properties>(),
        ..Message::default()
    };
    if let Some(number) = naive.body {
        message.body = json!({ "n": number }).to_string().into();
        message
            .system
            .set(SystemProperty::ContentType, "application/json");
        message.system.set(SystemProperty::ContentEncoding, "utf-8");
    }
    message
}

struct Bed {
    router: Router,
    inboxes: Vec<Inbox>,
    routes: Vec<NaiveRoute>,
}

impl Bed {
    fn new() -> Self {
        let device = DeviceId::new("d").unwrap();
        let router = Router::new(device, Limits::default());
        let inboxes = ["b", "c"].map(|name| router.inbox(&module(name)));
        let inboxes = inboxes.into_iter().chain([router.upstream_inbox()]);
        Self {
            inboxes: inboxes.collect(),
            router,
            routes: Vec::new(),
        }
    }

    fn apply(&mut self, routes: Vec<NaiveRoute>) {
        let table: Vec<Route> = routes.iter().map(NaiveRoute::route).collect();
        self.router.apply(RouteTable::new(&table, None).unwrap());
        self.routes = routes;
    }

    fn send(&self, naive: &NaiveMessage) {
        match naive.from {
            From::Output(sender, output) => {
                let output = OUTPUTS[output].map(|name| OutputName::new(name).unwrap());
                let sender = self.router.sender(&module(MODULES[sender]));
                let staged = sender.stage(output, message(naive), Instant::now());
                let committed = run(self.router.commit(None, vec![staged.unwrap()]));
                committed.unwrap().unwrap();
            }
            From::Change(sender) => {
                let patch = Map::from_iter([("x".to_owned(), Value::from(1))]);
                let sender = self.router.sender(&module(MODULES[sender]));
                sender.notify_twin_change(&patch, Instant::now());
            }
        }
    }

    /// Takes and completes everything that waits.
    fn arrived(&self) -> BTreeMap<Endpoint, u32> {
        let mut arrived = BTreeMap::new();
        for inbox in &self.inboxes {
            while let Some(delivery) = run(inbox.next()) {
                let again = arrived.insert(delivery.endpoint().clone(), delivery.priority());
                assert_eq!(again, None, "{delivery:?}");
                run(delivery.complete(Vec::new())).unwrap().unwrap();
            }
        }
        arrived
    }
}

fn condition() -> impl Strategy<Value = Naive> {
    let leaf = prop_oneof![
        2 => Just(Naive::Always),
        3 => (0..NAMES.len(), 0..VALUES.len()).prop_map(|(name, value)| Naive::Text(name, value)),
        3 => (0..NAMES.len(), 0..9_i64).prop_map(|(name, number)| Naive::Above(name, number)),
        2 => (0..9_i64).prop_map(Naive::Body),
        1 => (0..MODULES.len()).prop_map(Naive::Sender),
    ];
    leaf.prop_recursive(3, 8, 2, |inner| {
        let boxed = || inner.clone().prop_map(Box::new);
        prop_oneof![
            boxed().prop_map(Naive::Not),
            (boxed(), boxed()).prop_map(|(a, b)| Naive::And(a, b)),
            (boxed(), boxed()).prop_map(|(a, b)| Naive::Or(a, b)),
        ]
    })
}

fn route() -> impl Strategy<Value = NaiveRoute> {
    let numbers = (0..SOURCES.len(), 0..SINKS.len(), 0..PRIORITIES.len());
    (numbers, condition()).prop_map(|((source, sink, priority), condition)| NaiveRoute {
        source,
        condition,
        sink,
        priority,
    })
}

fn naive_message() -> impl Strategy<Value = NaiveMessage> {
    let from = prop_oneof![
        6 => (0..MODULES.len(), 0..OUTPUTS.len()).prop_map(|(sender, output)| From::Output(sender, output)),
        1 => (0..MODULES.len()).prop_map(From::Change),
    ];
    let properties = prop::collection::btree_map(0..NAMES.len(), 0..VALUES.len(), 0..3);
    let body = prop::option::of(0..9_i64);
    (from, properties, body).prop_map(|(from, properties, body)| {
        let of_twin = matches!(from, From::Change(_));
        NaiveMessage {
            from,
            properties: if of_twin { BTreeMap::new() } else { properties },
            body,
        }
    })
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        1 => prop::collection::vec(route(), 0..12).prop_map(Op::Apply),
        12 => naive_message().prop_map(Op::Send),
    ]
}

fn check(ops: Vec<Op>) -> TestCaseResult {
    let mut bed = Bed::new();
    for op in ops {
        match op {
            Op::Apply(routes) => bed.apply(routes),
            Op::Send(message) => {
                bed.send(&message);
                let expected = targets(&bed.routes, &message);
                prop_assert_eq!(bed.arrived(), expected, "{:?} by {:?}", message, bed.routes);
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]
    #[test]
    fn messages_go_where_the_naive_model_says(
        routes in prop::collection::vec(route(), 1..12),
        ops in prop::collection::vec(op(), 1..120),
    ) {
        check([Op::Apply(routes)].into_iter().chain(ops).collect())?;
    }
}

fn conditional(count: usize) -> Arc<Routes> {
    let mut state = crate::state::State::new(Limits::default(), crate::store::Store::none());
    let routes: Vec<_> = (0..count)
        .map(|number| {
            let text = format!("FROM /* WHERE p{number} = '1' INTO $upstream");
            Route::parse(RouteName::new("r").unwrap(), &text).unwrap()
        })
        .collect();
    state.apply(RouteTable::new(&routes, None).unwrap());
    Arc::clone(&state.routes)
}

fn junction(count: usize) -> Arc<Junction> {
    let source = MessageSource::Module {
        module: module("a"),
        output: None,
    };
    Arc::new(Junction::find(conditional(count), source))
}

/// The sets of routes that messages with these properties choose.
fn chosen(junction: &Junction, properties: &[usize]) -> Chosen {
    let properties = properties.iter().map(|number| (format!("p{number}"), "1"));
    let message = Message {
        properties: properties.collect(),
        ..Message::default()
    };
    junction.choose(&message, &DeviceId::new("d").unwrap(), "")
}

#[test]
fn each_of_many_routes_has_its_own_bit() {
    let junction = junction(ROUTES_MAX);
    for number in [0, 1, 63, 64, 127, 128, ROUTES_MAX - 1] {
        let one = chosen(&junction, &[number]);
        let bits: u32 = one.0.iter().map(|word| word.count_ones()).sum();
        assert_eq!(bits, 1, "{number}");
        assert!(one.contains(number));
    }
    assert_eq!(chosen(&junction, &[]), Chosen::NONE);
}

#[test]
fn a_path_is_found_once_and_however_many_there_are_few_are_kept() {
    let junction = junction(10);
    let mut junctions = Junctions::default();
    junctions.remember(Arc::clone(&junction));
    let mut kept = 0;
    for number in 0..500_usize {
        let set: Vec<_> = (0..10).filter(|bit| number & (1 << bit) != 0).collect();
        let set = chosen(&junction, &set);
        if junctions.path(&junction, &set).is_none() {
            let path = junction.path(&set);
            junctions.remember_path(&junction, &set, Arc::clone(&path));
            let found = junctions.path(&junction, &set).expect("remembered");
            assert!(Arc::ptr_eq(&found, &path));
        }
        kept = kept.max(junctions.known[0].paths.len());
    }
    assert_eq!(kept, CACHED_PATHS_MAX);
}
