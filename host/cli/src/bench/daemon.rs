//! `bench daemon` at work: what a device on a network costs while nothing happens, and how it comes back.
//!
//! Owns the order of what is measured and what becomes a figure. Hub and devices are processes of this binary, over
//! loopback with TLS; bytes are counted by the devices, below TLS.
//!
//! A day has few events of each kind, and a measured time of minutes fewer still. So pings are measured with the usual
//! settings over whole periods of them; what a read of a twin and another token cost is measured with settings under
//! which they come often, and counted as often as a day has them.

mod process;
mod rows;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::{Map, Value, json};

use self::process::{Device, LOOK_EVERY, OWN_SESSIONS, Traffic, added};
use self::rows::ROWS;
use super::Components;
use super::hub::server::Server;
use super::report::{self, Figure, Machine};
use super::rows::Row;
use crate::args::bench::DaemonBenchArgs;
use crate::exit_codes::ExitStatus;
use crate::output::Output;
use crate::output::text::Text;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// After which time of silence a device pings with the usual settings: a keep-alive of 240 s, and 10 s for the way.
const PING_EVERY: Duration = Duration::from_secs(230);

/// How often a device reads its own twins as a whole with the usual settings: every hour, up to a tenth earlier.
const TWIN_EVERY: Duration = Duration::from_secs(3600 * 95 / 100);

/// How often a connection is made anew with the usual settings: between 80 and 90 % of a token's hour.
const TOKEN_EVERY: Duration = Duration::from_secs(3600 * 85 / 100);

/// Modules of the devices that are idle.
const IDLE: [usize; 2] = [1, 5];

/// Modules of the device that loses its hub.
const MANY: usize = 20;

/// How long each part is measured.
#[derive(Clone, Copy, Debug)]
struct Times {
    /// Nothing but pings.
    idle: Duration,
    /// Reads of twins, and then tokens.
    parts: Duration,
    /// The hub is away.
    outage: Duration,
    /// A device is left alone after its start before anything is counted.
    settle: Duration,
    /// After which silence a ping goes in that time.
    ping_every: Duration,
    /// Further settings, under which that is so.
    settings: &'static [(&'static str, u64)],
}

/// What a kind of event costs, in bytes.
#[derive(Clone, Copy, Debug)]
struct Costs {
    twin: f64,
    token: f64,
}

/// How a device came back.
#[derive(Clone, Copy, Debug)]
struct Return {
    first: Duration,
    rest: Duration,
    bytes: u64,
}

/// Measures all rows and prints them.
pub(super) fn bench(args: &DaemonBenchArgs, output: &Output) -> anyhow::Result<ExitStatus> {
    let machine = Machine::of_this_process();
    let times = Times::of(args);
    let components = Components::find(args.components.as_deref())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the threads that measure")?;
    let (figures, idle) = runtime.block_on(measure(&components, times, output))?;
    let mut json = report::to_json(&machine, &figures);
    json["seconds"] = json!({
        "idle": times.idle.as_secs_f64(),
        "parts": times.parts.as_secs_f64(),
        "outage": times.outage.as_secs_f64(),
    });
    json["idle"] = idle;
    report::tell(&json, &figures, args.json.as_deref(), output)?;
    Ok(ExitStatus::Ok)
}

impl Times {
    fn of(args: &DaemonBenchArgs) -> Self {
        if args.quick {
            return Self {
                idle: Duration::from_secs(4),
                parts: Duration::from_secs(11),
                outage: Duration::from_secs(1),
                settle: Duration::from_secs(1),
                ping_every: Duration::from_millis(3750),
                settings: &[("keep_alive_secs", 5)],
            };
        }
        // Part of a period would be a ping more or less.
        let periods = (u64::from(args.minutes) * 60).div_ceil(PING_EVERY.as_secs());
        Self {
            idle: Duration::from_secs(periods * PING_EVERY.as_secs()),
            parts: Duration::from_secs(60),
            outage: Duration::from_secs(u64::from(args.outage_seconds)),
            settle: Duration::from_secs(5),
            ping_every: PING_EVERY,
            settings: &[],
        }
    }
}

async fn measure(
    components: &Components,
    times: Times,
    output: &Output,
) -> anyhow::Result<(Vec<Figure>, Value)> {
    let mut server = Server::start().await?;
    say(output, "a device that loses its hub");
    let back = come_back(&mut server, components, times).await?;
    say(output, "twins and tokens");
    let costs = tokio::join!(
        twin(&server, components, times),
        token(&server, components, times)
    );
    let costs = Costs {
        twin: costs.0?,
        token: costs.1?,
    };
    say(output, "idle devices");
    let idle = idle(&server, components, times).await?;
    server.stop().await?;
    let mut figures = Vec::new();
    let mut pings = Vec::new();
    for (modules, traffic) in IDLE.iter().zip(&idle) {
        let bytes: u64 = traffic.values().map(|traffic| traffic.bytes).sum();
        let sessions = (modules + OWN_SESSIONS) as f64;
        let per_day = DAY.as_secs_f64() / times.idle.as_secs_f64();
        let periods = times.idle.as_secs_f64() / times.ping_every.as_secs_f64();
        pings.push(bytes as f64 / sessions / periods);
        let parts = [
            ("pings", bytes as f64 * per_day),
            (
                "twins",
                costs.twin * OWN_SESSIONS as f64 * often(TWIN_EVERY),
            ),
            ("tokens", costs.token * sessions * often(TOKEN_EVERY)),
        ];
        let day: f64 = parts.iter().map(|(_, bytes)| bytes).sum();
        figures.push(figure(&format!("day-{modules}"), day / 1024.0));
        for (part, bytes) in parts {
            figures.push(figure(&format!("day-{modules}-{part}"), bytes / 1024.0));
        }
    }
    let of_reconnect = [
        ("ping", pings.iter().sum::<f64>() / pings.len() as f64),
        ("twin", costs.twin),
        ("token", costs.token),
        ("reconnect-20-first", back.first.as_secs_f64() * 1e3),
        ("reconnect-20", back.rest.as_secs_f64() * 1e3),
        ("reconnect-20-bytes", back.bytes as f64 / 1024.0),
    ];
    figures.extend(of_reconnect.map(|(row, value)| figure(row, value)));
    let idle: Map<String, Value> = IDLE
        .iter()
        .zip(&idle)
        .map(|(modules, traffic)| (modules.to_string(), by_identity(traffic)))
        .collect();
    Ok((figures, Value::Object(idle)))
}

/// What devices with the usual settings send and receive while nothing happens, by identity.
async fn idle(
    server: &Server,
    components: &Components,
    times: Times,
) -> anyhow::Result<Vec<BTreeMap<String, Traffic>>> {
    let mut devices = Vec::new();
    for modules in IDLE {
        let name = format!("idle-{modules}");
        let whose = (name.as_str(), modules);
        devices.push(Device::start(server, whose, &components.empty, times.settings).await?);
    }
    tokio::time::sleep(times.settle).await;
    let mut before = Vec::new();
    for device in &devices {
        before.push(device.traffic().await?);
    }
    tokio::time::sleep(times.idle).await;
    let mut idle = Vec::new();
    for (device, before) in devices.iter().zip(&before) {
        idle.push(added(before, &device.traffic().await?));
    }
    Ok(idle)
}

/// What a whole read of one of the device's own twins costs.
async fn twin(server: &Server, components: &Components, times: Times) -> anyhow::Result<f64> {
    // Each comes up to a tenth of it earlier.
    let every = Duration::from_secs(5) * 95 / 100;
    let settings = [("refresh_secs", 5), ("keep_alive_secs", 1177)];
    let added = counted(server, "twins", components, &settings, times).await?;
    let own = ["$edgeAgent", "$edgeHub"].map(|name| added.get(name).copied().unwrap_or_default());
    let bytes: u64 = own.iter().map(|traffic| traffic.bytes).sum();
    ensure!(bytes > 0, "no twin was read");
    let reads = times.parts.as_secs_f64() / every.as_secs_f64();
    Ok(bytes as f64 / OWN_SESSIONS as f64 / reads)
}

/// What it costs to make a connection anew with another token.
async fn token(server: &Server, components: &Components, times: Times) -> anyhow::Result<f64> {
    let settings = [("token_life_secs", 10), ("keep_alive_secs", 1177)];
    let added = counted(server, "tokens", components, &settings, times).await?;
    let bytes: u64 = added.values().map(|traffic| traffic.bytes).sum();
    let connections: u64 = added.values().map(|traffic| traffic.connections).sum();
    ensure!(connections > 0, "no connection was made anew");
    Ok(bytes as f64 / connections as f64)
}

/// What a device with one module and these settings sends and receives in this time.
async fn counted(
    server: &Server,
    name: &str,
    components: &Components,
    settings: &[(&str, u64)],
    times: Times,
) -> anyhow::Result<BTreeMap<String, Traffic>> {
    let device = Device::start(server, (name, 1), &components.empty, settings).await?;
    tokio::time::sleep(times.settle).await;
    let before = device.traffic().await?;
    tokio::time::sleep(times.parts).await;
    Ok(added(&before, &device.traffic().await?))
}

/// Takes the hub away from a device with many modules and gives it back.
async fn come_back(
    server: &mut Server,
    components: &Components,
    times: Times,
) -> anyhow::Result<Return> {
    let sessions = MANY + OWN_SESSIONS;
    let mut device = Device::start(server, ("many", MANY), &components.empty, &[]).await?;
    tokio::time::sleep(times.settle).await;
    let before = device.traffic().await?;
    server.restart_after(times.outage).await?;
    let returned = Instant::now();
    let first = device.wait_sessions(1).await?;
    let last = device.wait_sessions(sessions).await?;
    // What follows a session's opening, such as the read of its twin.
    tokio::time::sleep(times.settle).await;
    let added = added(&before, &device.traffic().await?);
    Ok(Return {
        // It may have come between two looks.
        first: first.saturating_duration_since(returned).max(LOOK_EVERY),
        rest: last.saturating_duration_since(first).max(LOOK_EVERY),
        bytes: added.values().map(|traffic| traffic.bytes).sum(),
    })
}

/// How often something happens in a day.
fn often(every: Duration) -> f64 {
    DAY.as_secs_f64() / every.as_secs_f64()
}

fn figure(row: &str, value: f64) -> Figure {
    let row: &'static Row = ROWS
        .iter()
        .find(|found| found.id == row)
        .expect("what is measured has a row");
    Figure::new(row, vec![value])
}

fn by_identity(traffic: &BTreeMap<String, Traffic>) -> Value {
    let one = |(name, traffic): (&String, &Traffic)| (name.clone(), json!(traffic.bytes));
    Value::Object(traffic.iter().map(one).collect())
}

fn say(output: &Output, what: &str) {
    output.note(&Text::new().plain(what));
}
