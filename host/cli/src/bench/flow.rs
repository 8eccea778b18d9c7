//! Rows of messages and instances inside one process.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use serde_json::{Value, json};
use wasm_edge_daemon::logs::feed::{FeedEvent, LogFeed};
use wasm_edge_daemon::measure::{self, Bare};
use wasm_edge_hub::hub::registry::MODULES_PER_DEVICE_MAX;
use wasm_edge_model::identity::ModuleId;
use wasm_edge_model::message::{Message, OutputName};
use wasm_edge_model::route::Durability;

use super::report::Figure;
use super::rows::Row;
use super::setting::{Setting, patiently};
use super::{Components, Effort, manifest, module};

/// What stands between source and sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Middle {
    /// Nothing but the route.
    Nothing,
    /// The component, at this input.
    Component(&'static str),
    /// The filter as a native function.
    NativeFilter,
    /// So many routes with conditions, of which one is true.
    Conditions(usize),
}

/// What the sink says at its last message.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Done {
    received: u64,
    bytes: u64,
    elapsed_ns: u64,
}

/// A reading, as the filter knows it.
#[derive(Deserialize)]
struct Reading {
    machine: Machine,
}

#[derive(Deserialize)]
struct Machine {
    temperature: f64,
}

/// Measures one of the rows.
pub(super) fn measure(
    row: &'static Row,
    components: &Components,
    effort: Effort,
) -> anyhow::Result<Figure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let measured = runtime.block_on(async {
        match row.id {
            "instance" => instances(row, components, effort, End::InOrder).await,
            "restart" => instances(row, components, effort, End::InATrap).await,
            "call" => calls(row, components, effort).await,
            id => match id.split_once('-') {
                Some(("modules", modules)) => {
                    spread(row, components, effort, modules.parse()?).await
                }
                Some((kind, size)) => rates(row, components, effort, kind, size).await,
                None => bail!("no such row"),
            },
        }
    });
    runtime.shutdown_background();
    measured
}

async fn rates(
    row: &'static Row,
    components: &Components,
    effort: Effort,
    kind: &str,
    size: &str,
) -> anyhow::Result<Figure> {
    let (size, durability) = match size.split_once('-') {
        Some((size, "process")) => (size, Durability::Process),
        Some((size, _)) => (size, Durability::Power),
        None => (size, Durability::None),
    };
    let (size_bytes, messages) = match size {
        "1KB" => (1 << 10, effort.messages),
        // The largest body that leaves room for a property is not far from here.
        "64KB" => (64 << 10, effort.large_messages),
        // One program waits for a sync with each of them.
        _ if durability == Durability::Power => (64, effort.messages / 20),
        _ => (64, effort.messages),
    };
    let order = Order {
        messages,
        size_bytes,
        described: kind == "routes",
    };
    let middle = match kind {
        "forward" => Middle::Component("forward"),
        "filter" => Middle::Component("filter"),
        "routes" => Middle::Conditions(size.parse()?),
        _ => Middle::Nothing,
    };
    let mut samples = Vec::new();
    let mut baseline = Vec::new();
    for _ in 0..effort.repetitions {
        samples.push(rate(components, middle, durability, order).await?);
        let beside = match kind {
            "filter" => Middle::NativeFilter,
            "routes" => Middle::Nothing,
            _ => continue,
        };
        baseline.push(rate(components, beside, durability, order).await?);
    }
    let figure = Figure::new(row, samples);
    Ok(match kind {
        "filter" => figure.against("the same filter, native", &baseline),
        "routes" => figure.against("one route without a condition", &baseline),
        _ => figure,
    })
}

/// What is sent for one sample.
#[derive(Clone, Copy, Debug)]
struct Order {
    messages: u64,
    size_bytes: u64,
    /// Whether each message says that it is JSON.
    described: bool,
}

/// Messages per second from a source through the middle to a sink, from the first to the last that the sink got.
async fn rate(
    components: &Components,
    middle: Middle,
    durability: Durability,
    order: Order,
) -> anyhow::Result<f64> {
    let manifests = [flow_manifest(components, middle)];
    let mut setting = Setting::start(components, &manifests, durability).await?;
    let native = (middle == Middle::NativeFilter).then(|| {
        let router = setting.view(0).router.clone();
        let module = ModuleId::new("native").expect("a valid id");
        tokio::spawn(measure::native_module(router, module, out(), filter))
    });
    setting
        .call("sink", "expect", json!({ "messages": order.messages }))
        .await?;
    let payload = json!({
        "messages": order.messages,
        "sizeBytes": order.size_bytes,
        "described": order.described,
    });
    setting.call("source", "send", payload).await?;
    let done: Done = serde_json::from_value(setting.upstream("sink").await?)?;
    if let Some(native) = native {
        native.abort();
    }
    setting.stop().await;
    ensure!(
        done.received == order.messages && done.bytes == order.messages * order.size_bytes,
        "sent {order:?}, received {done:?}"
    );
    let elapsed = Duration::from_nanos(done.elapsed_ns);
    Ok((done.received - 1) as f64 / elapsed.as_secs_f64())
}

fn flow_manifest(components: &Components, middle: Middle) -> Value {
    let into = |from: &str, module: &str, input: &str| {
        (
            format!("{from}-{module}"),
            format!(
                "FROM /messages/modules/{from}/outputs/out INTO BrokeredEndpoint(\"/modules/{module}/inputs/{input}\")"
            ),
        )
    };
    let upstream = (
        "done".to_owned(),
        "FROM /messages/modules/sink/* INTO $upstream".to_owned(),
    );
    let mut modules = vec![
        ("source".to_owned(), module(&components.source)),
        ("sink".to_owned(), module(&components.load)),
    ];
    let mut routes = vec![upstream];
    match middle {
        Middle::Nothing => routes.push(into("source", "sink", "sink")),
        Middle::Conditions(count) => routes.extend((0..count).map(|n| {
            let (name, route) = into("source", "sink", "sink");
            (format!("{name}-{n}"), conditional(&route, n))
        })),
        Middle::Component(input) => {
            modules.push(("middle".to_owned(), module(&components.load)));
            routes.push(into("source", "middle", input));
            routes.push(into("middle", "sink", "sink"));
        }
        Middle::NativeFilter => {
            routes.push(into("source", "native", "filter"));
            routes.push(into("native", "sink", "sink"));
        }
    }
    manifest(modules, routes)
}

/// A route with a condition on the body, and for every second one on what is said of the message; the one with
/// number 0 is true.
fn conditional(route: &str, number: usize) -> String {
    let condition = match number % 2 {
        0 => format!("$body.machine.temperature > {}", 20 + number),
        _ => format!("$connectionModuleId = 'module{number}'"),
    };
    route.replace(" INTO ", &format!(" WHERE {condition} INTO "))
}

/// The filter of the component, natively: reads the body as JSON, passes on what is too warm.
fn filter(message: &Message) -> Option<Message> {
    let reading: Reading = serde_json::from_slice(&message.body).ok()?;
    (reading.machine.temperature > 20.0).then(|| {
        let mut message = message.clone();
        message.properties.set("alert", "temperature");
        message
    })
}

/// Messages per second to so many modules, sent by as many native senders through as many routes: what grows with the
/// number of modules is the device's own part.
async fn spread(
    row: &'static Row,
    components: &Components,
    effort: Effort,
    modules: usize,
) -> anyhow::Result<Figure> {
    let mut samples = Vec::new();
    for _ in 0..effort.repetitions {
        samples.push(1e9 / nanoseconds_each(components, effort.messages, modules).await?);
    }
    Ok(Figure::new(row, samples))
}

/// What a message costs on its way through a queue and an empty handler, beside what wasmtime needs for an empty call.
async fn calls(
    row: &'static Row,
    components: &Components,
    effort: Effort,
) -> anyhow::Result<Figure> {
    let bare = Bare::load(&components.code, &components.empty).await?;
    let (mut samples, mut baseline) = (Vec::new(), Vec::new());
    for _ in 0..effort.repetitions {
        baseline.push(bare.calls(effort.calls).await?.as_nanos() as f64 / effort.calls as f64);
        samples.push(nanoseconds_each(components, effort.messages, 1).await?);
    }
    Ok(Figure::new(row, samples).against("wasmtime's own empty call", &baseline))
}

/// Sends so many messages to so many empty modules and waits until all are handled.
async fn nanoseconds_each(
    components: &Components,
    messages: u64,
    modules: usize,
) -> anyhow::Result<f64> {
    let module = module(&components.empty);
    let route = |n: usize| {
        format!("FROM /messages/modules/s{n}/* INTO BrokeredEndpoint(\"/modules/m{n}/inputs/in\")")
    };
    let numbers: Vec<usize> = (0..modules).collect();
    let manifests: Vec<Value> = numbers
        .chunks(MODULES_PER_DEVICE_MAX)
        .map(|chunk| {
            manifest(
                chunk.iter().map(|n| (format!("m{n}"), module.clone())),
                chunk.iter().map(|n| (format!("s{n}"), route(*n))),
            )
        })
        .collect();
    let setting = Setting::start(components, &manifests, Durability::None).await?;
    let each = messages / modules as u64;
    let message = Message {
        body: vec![b'x'; 64].into(),
        ..Message::default()
    };
    let begun = Instant::now();
    let mut sources = tokio::task::JoinSet::new();
    for n in numbers {
        let router = setting.view(n / MODULES_PER_DEVICE_MAX).router.clone();
        let sender = ModuleId::new(&format!("s{n}"))?;
        sources.spawn(measure::native_source(
            router,
            sender,
            out(),
            message.clone(),
            each,
        ));
    }
    while let Some(sent) = sources.join_next().await {
        sent??;
    }
    let sent = each * modules as u64;
    let handled = patiently(setting.handled(sent)).await?;
    let elapsed = begun.elapsed();
    setting.stop().await;
    ensure!(handled == sent, "sent {sent}, handled {handled}");
    Ok(elapsed.as_nanos() as f64 / sent as f64)
}

/// How an instance comes to its end, so that the next one takes its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It is told to stop, and does.
    InOrder,
    /// In a trap, without any wait before the next one.
    InATrap,
}

/// From the end of an instance to that of the next one's `init`.
async fn instances(
    row: &'static Row,
    components: &Components,
    effort: Effort,
    end: End,
) -> anyhow::Result<Figure> {
    let setting = one_load_module(components).await?;
    let bare = Bare::load(&components.code, &components.load).await?;
    let mut lines = setting.view(0).logs.follow()?;
    let (mut samples, mut baseline) = (Vec::new(), Vec::new());
    for _ in 0..10 * effort.repetitions {
        let next = async {
            match end {
                End::InOrder => restarted(&setting, &mut lines).await,
                End::InATrap => trapped(&setting, &mut lines).await,
            }
        };
        samples.push(patiently(next).await??.as_nanos() as f64 / 1e3);
        baseline.push(bare.instances(1).await?.as_nanos() as f64 / 1e3);
    }
    setting.stop().await;
    Ok(Figure::new(row, samples).against("an instance by wasmtime alone", &baseline))
}

/// From the order to restart the module on.
async fn restarted(setting: &Setting, lines: &mut LogFeed) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    let module = ModuleId::new("m")?;
    setting.view(0).supervisor.restart(&module).await?;
    Ok(line(lines, "up").await?.duration_since(begun))
}

/// From the last line of the instance on, which it writes before it traps.
async fn trapped(setting: &Setting, lines: &mut LogFeed) -> anyhow::Result<Duration> {
    // It ends in the middle of the call, so that there is no answer.
    let call = setting.call("m", "trap", json!({ "messages": 0 }));
    let anew = async {
        let down = line(lines, "down").await?;
        Ok(line(lines, "up").await?.duration_since(down))
    };
    tokio::join!(call, anew).1
}

async fn one_load_module(components: &Components) -> anyhow::Result<Setting> {
    let mut module = module(&components.load);
    module["restartPolicy"] = "always".into();
    let manifests = [manifest([("m".to_owned(), module)], [])];
    Setting::start(components, &manifests, Durability::None).await
}

fn out() -> OutputName {
    OutputName::new("out").expect("a valid name")
}

/// The next line of a log with this text; answers with when it was seen.
async fn line(lines: &mut LogFeed, text: &str) -> anyhow::Result<Instant> {
    loop {
        match lines.next().await.context("the log has ended")? {
            FeedEvent::Line(entry) if entry.line.text == text => return Ok(Instant::now()),
            FeedEvent::Line(_) => {}
            FeedEvent::Missed(lines) => bail!("{lines} log lines were missed"),
        }
    }
}
