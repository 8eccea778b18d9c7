//! `bench hub` at work: connections, telemetry, patches and calls on a hub, and the same on a plain MQTT broker beside it.
//!
//! Owns the order of the loads and what becomes a figure. The server is another process: one of this binary that is
//! started for it, or one that is there already. The load on a broker is the same as far as a broker goes: connections
//! and messages. What is not answered as it should be is an error and no figure; nothing fails for being slow.

mod connection;
mod load;
mod process;
mod readings;
mod rows;
pub(super) mod server;
mod service;
mod target;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use rumqttc::mqttbytes::QoS;
use serde_json::{Value, json};

use self::connection::{Connection, Endpoint, Login};
use self::load::{Client, Timing};
use self::process::Process;
use self::readings::Readings;
use self::rows::ROWS;
use self::server::Server;
use self::target::Hub;
use super::report::{self, Figure, Machine};
use crate::args::bench::HubBenchArgs;
use crate::exit_codes::ExitStatus;
use crate::open_files;
use crate::output::Output;
use crate::output::text::Text;

/// How many call the service API at the same time.
const CALLERS: usize = 16;

/// How many connect and leave before memory is read for the first time: what only the first ones cost is not counted.
const FIRST_ONES: usize = 32;

/// How long the server is left alone before its memory is read.
const SETTLE: Duration = Duration::from_secs(2);

/// Files that this process needs besides its connections.
const OTHER_FILES: u64 = 64;

/// The client whose lasting session keeps a broker's messages, which it would drop otherwise.
const READER: &str = "bench-reader";

/// The load.
#[derive(Clone, Debug)]
struct Load {
    connections: usize,
    publishers: usize,
    in_flight: u16,
    body: Arc<[u8]>,
    timing: Timing,
}

/// What came out of a server.
#[derive(Debug)]
struct Measured {
    connect: Readings,
    memory_kib: Option<f64>,
    telemetry: Readings,
    all: Readings,
    patch: Option<Readings>,
    rest: Option<Readings>,
}

/// Puts the load on a hub and, if one is named, on a broker, and prints what came out.
pub(super) fn bench(args: &HubBenchArgs, output: &Output) -> anyhow::Result<ExitStatus> {
    let machine = Machine::of_this_process();
    if !machine.optimised {
        output.warn("this is a debug build: its figures say nothing about a hub");
    }
    let load = Load::of(args);
    let files = open_files::raise();
    ensure!(
        files.is_none_or(|files| files > load.connections as u64 + OTHER_FILES),
        "{} connections are more than the {} open files that the system allows",
        load.connections,
        files.unwrap_or_default()
    );
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the threads of the load")?;
    let (hub, broker) = runtime.block_on(async {
        let hub = match args.broker_only {
            true => None,
            false => Some(of_hub(args, &load, output).await?),
        };
        let broker = match &args.broker {
            Some(address) => Some(of_broker(address, args, &load, output).await?),
            None => None,
        };
        anyhow::Ok((hub, broker))
    })?;
    let figures = figures(hub.as_ref(), broker.as_ref());
    let mut json = report::to_json(&machine, &figures);
    json["load"] = load.to_json();
    report::tell(&json, &figures, args.json.as_deref(), output)?;
    Ok(ExitStatus::Ok)
}

async fn of_hub(args: &HubBenchArgs, load: &Load, output: &Output) -> anyhow::Result<Measured> {
    let Some(text) = &args.hub else {
        let mut server = Server::start().await?;
        let hub = server.hub().await?;
        let logins = make_devices(&hub, load, output).await?;
        // What making them left in memory would hide what connections take.
        server.restart().await?;
        let measured = load.put_on_hub(&hub, &logins, Some(server.process()), output);
        let measured = measured.await?;
        server.stop().await?;
        return Ok(measured);
    };
    let hub = Hub::of_connection_string(text, args.mqtt_port, args.hub_ca.as_deref()).await?;
    let logins = make_devices(&hub, load, output).await?;
    let process = args.hub_pid.map(Process);
    let measured = load.put_on_hub(&hub, &logins, process, output).await;
    hub.service.delete_devices(&logins).await?;
    measured
}

/// Makes the devices, under names that no other run of this has.
async fn make_devices(hub: &Hub, load: &Load, output: &Output) -> anyhow::Result<Vec<Arc<Login>>> {
    say(output, "hub", "making devices");
    let prefix = format!("bench-{}", std::process::id());
    hub.service.make_devices(&prefix, load.connections).await
}

async fn of_broker(
    address: &str,
    args: &HubBenchArgs,
    load: &Load,
    output: &Output,
) -> anyhow::Result<Measured> {
    let endpoint = target::broker(address, args.broker_ca.as_deref()).await?;
    let process = args.broker_pid.map(Process);
    let logins: Vec<_> = (0..load.connections)
        .map(|number| {
            let client = format!("bench-{number:05}");
            Arc::new(Login {
                client,
                secret: None,
            })
        })
        .collect();
    let reader = Login {
        client: READER.to_owned(),
        secret: None,
    };
    let mut reader = Connection::open(&endpoint, &reader).await?;
    let everything = ["devices/#".to_owned()];
    reader.subscribe(&everything, QoS::AtLeastOnce).await?;
    reader.close().await?;
    let commands = |device: &str| vec![format!("commands/{device}/#")];
    let (mut clients, connect, memory_kib) = load
        .connect(&endpoint, &logins, commands, process, ("broker", output))
        .await?;
    let telemetry = load
        .publish(&mut clients, process, ("broker", output))
        .await?;
    let all = load
        .publish_from_all(&mut clients, process, ("broker", output))
        .await?;
    Ok(Measured {
        connect,
        memory_kib,
        telemetry,
        all,
        patch: None,
        rest: None,
    })
}

impl Load {
    fn of(args: &HubBenchArgs) -> Self {
        let connections = usize::from(args.connections);
        let (connections, timing) = match args.quick {
            true => (connections.min(50), (200, 500)),
            false => (connections, (1_000, 1_000 * u64::from(args.seconds))),
        };
        let (warm_up_ms, counted_ms) = timing;
        // Not one byte again and again, in case something on the way compresses.
        let body = (0..args.size_bytes).map(|at| (at.wrapping_mul(167) ^ (at >> 8)) as u8);
        Self {
            connections,
            publishers: usize::from(args.publishers).min(connections),
            in_flight: args.in_flight,
            body: body.collect(),
            timing: Timing {
                warm_up: Duration::from_millis(warm_up_ms),
                counted: Duration::from_millis(counted_ms),
            },
        }
    }

    fn to_json(&self) -> Value {
        json!({
            "connections": self.connections,
            "publishers": self.publishers,
            "inFlight": self.in_flight,
            "sizeBytes": self.body.len(),
            "seconds": self.timing.counted.as_secs_f64(),
        })
    }

    async fn put_on_hub(
        &self,
        hub: &Hub,
        logins: &[Arc<Login>],
        process: Option<Process>,
        output: &Output,
    ) -> anyhow::Result<Measured> {
        let whose = ("hub", output);
        let (mut clients, connect, memory_kib) = self
            .connect(&hub.mqtt, logins, load::device_filters, process, whose)
            .await?;
        let before = hub.service.messages_taken().await?;
        let telemetry = self.publish(&mut clients, process, whose).await?;
        let all = self.publish_from_all(&mut clients, process, whose).await?;
        let taken = hub.service.messages_taken().await? - before;
        let acknowledged = telemetry.answered + all.answered;
        ensure!(
            taken == acknowledged,
            "{acknowledged} messages were acknowledged, the hub has {taken}"
        );
        say(output, "hub", "reporting properties");
        let timing = self.timing;
        let reporters = self.publishers;
        let patch = load::report(&mut clients, reporters, timing, process).await?;
        say(output, "hub", "reading twins");
        let service = Arc::clone(&hub.service);
        let rest = service.read_twins(logins, CALLERS, timing, process).await?;
        Ok(Measured {
            connect,
            memory_kib,
            telemetry,
            all,
            patch: Some(patch),
            rest: Some(rest),
        })
    }

    /// Connects and subscribes all: how long that takes, and what each takes of the server's memory.
    async fn connect(
        &self,
        endpoint: &Endpoint,
        logins: &[Arc<Login>],
        filters: fn(&str) -> Vec<String>,
        process: Option<Process>,
        whose: (&str, &Output),
    ) -> anyhow::Result<(Vec<Client>, Readings, Option<f64>)> {
        say(whose.1, whose.0, "connecting");
        let memory = async || {
            tokio::time::sleep(SETTLE).await;
            process.map(Process::anonymous_kib).transpose()
        };
        let first = &logins[..FIRST_ONES.min(logins.len())];
        let (clients, _) = load::connect(endpoint, first).await?;
        for client in load::subscribe(clients, filters).await? {
            client.connection.close().await?;
        }
        let before = memory().await?;
        let (clients, readings) = load::connect(endpoint, logins).await?;
        let clients = load::subscribe(clients, filters).await?;
        let each = |(before, after): (f64, f64)| (after - before) / clients.len() as f64;
        let memory_kib = before.zip(memory().await?).map(each);
        Ok((clients, readings, memory_kib))
    }

    async fn publish(
        &self,
        clients: &mut Vec<Client>,
        process: Option<Process>,
        whose: (&str, &Output),
    ) -> anyhow::Result<Readings> {
        say(whose.1, whose.0, "publishing");
        let (publishers, in_flight) = (self.publishers, self.in_flight);
        load::publish(
            clients,
            publishers,
            in_flight,
            &self.body,
            self.timing,
            process,
        )
        .await
    }

    async fn publish_from_all(
        &self,
        clients: &mut Vec<Client>,
        process: Option<Process>,
        whose: (&str, &Output),
    ) -> anyhow::Result<Readings> {
        say(whose.1, whose.0, "publishing from all connections");
        let publishers = clients.len();
        load::publish(clients, publishers, 1, &self.body, self.timing, process).await
    }
}

impl Measured {
    /// What a row shows of it.
    fn value(&self, row: &str) -> Option<f64> {
        let (load, what) = row.split_once('-').unwrap_or((row, "rate"));
        let readings = match load {
            "memory" => return self.memory_kib,
            "connect" => &self.connect,
            "telemetry" => &self.telemetry,
            "all" => &self.all,
            "patch" => self.patch.as_ref()?,
            "rest" => self.rest.as_ref()?,
            _ => return None,
        };
        match what {
            "rate" => Some(readings.rate()),
            "p50" => Some(readings.percentile_ms(50)),
            "p99" => Some(readings.percentile_ms(99)),
            "cpu" => readings.server_time_us(),
            _ => None,
        }
    }
}

/// The rows that there is a value for: the hub's, with the broker's as baseline, or the broker's alone.
fn figures(hub: Option<&Measured>, broker: Option<&Measured>) -> Vec<Figure> {
    let figure = |row| {
        let value = |measured: &Measured| measured.value(row_id(row));
        let (hub, broker) = (hub.map(value), broker.and_then(value));
        match hub {
            Some(hub) => {
                let figure = Figure::new(row, vec![hub?]);
                Some(match broker {
                    Some(broker) => figure.against("the broker", &[broker]),
                    None => figure,
                })
            }
            None => Some(Figure::new(row, vec![broker?])),
        }
    };
    ROWS.iter().filter_map(figure).collect()
}

fn row_id(row: &super::rows::Row) -> &'static str {
    row.id
}

fn say(output: &Output, whose: &str, what: &str) {
    output.note(&Text::new().plain(whose).plain(": ").plain(what));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(milliseconds: u32) -> Measured {
        let readings = Readings {
            took: Duration::from_secs(1),
            latencies_us: vec![milliseconds * 1000; 10],
            answered: 10,
            server_time: Some(Duration::from_millis(1)),
        };
        Measured {
            connect: readings.clone(),
            memory_kib: Some(f64::from(milliseconds)),
            telemetry: readings.clone(),
            all: readings.clone(),
            patch: Some(readings.clone()),
            rest: Some(readings),
        }
    }

    #[test]
    fn every_row_has_a_value() {
        let all = figures(Some(&measured(2)), None);
        assert_eq!(all.len(), ROWS.len());
        assert!(all.iter().all(|figure| figure.baseline.is_none()));
    }

    #[test]
    fn a_broker_is_the_baseline_as_far_as_it_goes() {
        let broker = Measured {
            patch: None,
            rest: None,
            ..measured(4)
        };
        let beside = figures(Some(&measured(2)), Some(&broker));
        assert_eq!(beside.len(), ROWS.len());
        for figure in beside {
            let is_of_hub_only = ["patch", "rest"]
                .iter()
                .any(|it| figure.row.id.starts_with(it));
            assert_eq!(figure.baseline.is_none(), is_of_hub_only, "{figure:?}");
        }
        let alone = figures(None, Some(&broker));
        let memory = alone.iter().find(|figure| figure.row.id == "memory");
        assert_eq!(memory.map(|figure| figure.value), Some(4.0));
        assert!(
            alone
                .iter()
                .all(|figure| !figure.row.id.starts_with("rest"))
        );
    }
}
