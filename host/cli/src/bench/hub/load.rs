//! The loads that connections put on a server: connecting, publishing, reporting.
//!
//! Owns what is sent and when it counts; leaves bytes to the connections. Each load takes connections and gives them
//! back, and whatever is not answered as it should be is an error and no figure.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v4::{Packet, Publish};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::connection::{Connection, Encoded, Endpoint, Login};
use super::process::Process;
use super::readings::{Readings, Span, Taken};

/// How many connect at the same time.
const CONNECTING_MAX: usize = 64;

/// Where answers about the twin come.
const TWIN_ANSWERS: &str = "$iothub/twin/res/#";
const TWIN_DESIRED: &str = "$iothub/twin/PATCH/properties/desired/#";
const METHODS: &str = "$iothub/methods/POST/#";

/// A connection with the device that it belongs to.
pub(super) struct Client {
    pub(super) login: Arc<Login>,
    pub(super) connection: Connection,
}

/// How long a load warms up and is counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timing {
    pub(super) warm_up: Duration,
    pub(super) counted: Duration,
}

/// Connects all, so many at a time; they stay.
pub(super) async fn connect(
    endpoint: &Endpoint,
    logins: &[Arc<Login>],
) -> anyhow::Result<(Vec<Client>, Readings)> {
    let turns = Arc::new(Semaphore::new(CONNECTING_MAX));
    let mut tasks = JoinSet::new();
    let begun = Instant::now();
    for login in logins {
        let (endpoint, turns, login) = (endpoint.clone(), Arc::clone(&turns), Arc::clone(login));
        tasks.spawn(async move {
            let _turn = turns.acquire().await?;
            let begun = Instant::now();
            let connection = Connection::open(&endpoint, &login).await?;
            anyhow::Ok((Client { login, connection }, begun.elapsed()))
        });
    }
    let mut clients = Vec::with_capacity(logins.len());
    let mut latencies_us = Vec::with_capacity(logins.len());
    for (client, took) in all(tasks).await? {
        clients.push(client);
        latencies_us.push(u32::try_from(took.as_micros())?);
    }
    let readings = Readings {
        took: begun.elapsed(),
        answered: latencies_us.len() as u64,
        latencies_us,
        server_time: None,
    };
    clients.sort_by(|a, b| a.login.client.cmp(&b.login.client));
    Ok((clients, readings))
}

/// What a device listens to in a hub: answers and desired properties of its twin, methods, messages.
pub(super) fn device_filters(device: &str) -> Vec<String> {
    let commands = format!("devices/{device}/messages/devicebound/#");
    let mut filters = [TWIN_ANSWERS, TWIN_DESIRED, METHODS]
        .map(str::to_owned)
        .to_vec();
    filters.push(commands);
    filters
}

/// Subscribes each to what `filters` says of its device.
pub(super) async fn subscribe(
    clients: Vec<Client>,
    filters: fn(&str) -> Vec<String>,
) -> anyhow::Result<Vec<Client>> {
    let turns = Arc::new(Semaphore::new(CONNECTING_MAX));
    let mut tasks = JoinSet::new();
    for mut client in clients {
        let turns = Arc::clone(&turns);
        tasks.spawn(async move {
            let _turn = turns.acquire().await?;
            let filters = filters(&client.login.client);
            client
                .connection
                .subscribe(&filters, QoS::AtMostOnce)
                .await?;
            client.connection.rest();
            anyhow::Ok(client)
        });
    }
    all(tasks).await
}

/// Publishes telemetry of QoS 1 from the first `publishers` connections, each with so many in flight.
pub(super) async fn publish(
    clients: &mut Vec<Client>,
    publishers: usize,
    window: u16,
    body: &Arc<[u8]>,
    timing: Timing,
    server: Option<Process>,
) -> anyhow::Result<Readings> {
    ensure!(window > 0, "a window of nothing sends nothing");
    let span = Span::after(timing.warm_up, timing.counted);
    let mut tasks = JoinSet::new();
    for client in clients.drain(..publishers.min(clients.len())) {
        tasks.spawn(publish_one(client, window, Arc::clone(body), span));
    }
    gather(tasks, span, server, clients).await
}

async fn publish_one(
    mut client: Client,
    window: u16,
    body: Arc<[u8]>,
    span: Span,
) -> anyhow::Result<(Client, Taken)> {
    let topic = format!("devices/{}/messages/events/", client.login.client);
    let message = Encoded::new(&topic, &body)?;
    let connection = &mut client.connection;
    let mut sent = vec![Instant::now(); usize::from(window)];
    for id in 1..=window {
        connection.push_encoded(&message, id);
    }
    connection.flush().await?;
    let mut in_flight = window;
    let mut taken = Taken::default();
    while in_flight > 0 {
        let mut next = Some(connection.next().await?);
        let now = Instant::now();
        while let Some(packet) = next {
            let Packet::PubAck(ack) = packet else {
                bail!("no PUBACK but {packet:?}");
            };
            let begun = usize::from(ack.pkid)
                .checked_sub(1)
                .and_then(|at| sent.get_mut(at));
            let begun = begun.context("a PUBACK for what was never sent")?;
            if span.note(*begun, now, &mut taken) {
                *begun = now;
                connection.push_encoded(&message, ack.pkid);
            } else {
                in_flight -= 1;
            }
            next = connection.next_read()?;
        }
        connection.flush().await?;
    }
    Ok((client, taken))
}

/// Reports properties from the first `reporters` connections, one patch at a time each.
pub(super) async fn report(
    clients: &mut Vec<Client>,
    reporters: usize,
    timing: Timing,
    server: Option<Process>,
) -> anyhow::Result<Readings> {
    let span = Span::after(timing.warm_up, timing.counted);
    let mut tasks = JoinSet::new();
    for client in clients.drain(..reporters.min(clients.len())) {
        tasks.spawn(report_one(client, span));
    }
    gather(tasks, span, server, clients).await
}

async fn report_one(mut client: Client, span: Span) -> anyhow::Result<(Client, Taken)> {
    let mut taken = Taken::default();
    let mut version = 0;
    for number in 0_u64.. {
        let topic = format!("$iothub/twin/PATCH/properties/reported/?$rid={number}");
        let patch = format!(r#"{{"load":{{"number":{number}}}}}"#);
        let begun = Instant::now();
        let publish = Publish::new(topic, QoS::AtMostOnce, patch);
        client.connection.push(&publish)?;
        client.connection.flush().await?;
        let topic = match client.connection.next().await? {
            Packet::Publish(answer) => answer.topic,
            packet => bail!("no answer but {packet:?}"),
        };
        let answered = version_of(&topic, number)
            .with_context(|| format!("`{topic}` does not answer patch {number}"))?;
        ensure!(answered > version, "version {answered} after {version}");
        version = answered;
        if !span.note(begun, Instant::now(), &mut taken) {
            break;
        }
    }
    Ok((client, taken))
}

/// The version in the topic of a good answer to the request of this number.
fn version_of(topic: &str, number: u64) -> Option<u64> {
    let query = topic.strip_prefix("$iothub/twin/res/204/?")?;
    let part = |name: &str| {
        let mut parts = query.split('&').filter_map(|part| part.split_once('='));
        parts.find(|(key, _)| *key == name).map(|(_, value)| value)
    };
    if part("$rid")?.parse() != Ok(number) {
        return None;
    }
    part("$version")?.parse().ok()
}

/// Waits for all, and gives the connections back.
async fn gather(
    tasks: JoinSet<anyhow::Result<(Client, Taken)>>,
    span: Span,
    server: Option<Process>,
    clients: &mut Vec<Client>,
) -> anyhow::Result<Readings> {
    let (done, server_time) = tokio::join!(all(tasks), span.server_time(server));
    let mut parts = Vec::new();
    for (mut client, taken) in done? {
        parts.push(taken);
        client.connection.rest();
        clients.push(client);
    }
    clients.sort_by(|a, b| a.login.client.cmp(&b.login.client));
    Ok(span.readings(parts, server_time))
}

/// What all tasks came to; the first error ends the others.
pub(super) async fn all<T: 'static>(
    mut tasks: JoinSet<anyhow::Result<T>>,
) -> anyhow::Result<Vec<T>> {
    let mut done = Vec::with_capacity(tasks.len());
    while let Some(ended) = tasks.join_next().await {
        done.push(ended.context("a part of the load panicked")??);
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_its_number_and_a_version() {
        let check = |topic: &str, expected| assert_eq!(version_of(topic, 7), expected, "{topic}");
        check("$iothub/twin/res/204/?$rid=7&$version=12", Some(12));
        check("$iothub/twin/res/204/?$version=12&$rid=7", Some(12));
        check("$iothub/twin/res/204/?$rid=8&$version=12", None);
        check("$iothub/twin/res/204/?$rid=7", None);
        check("$iothub/twin/res/429/?$rid=7&$version=12", None);
    }
}
