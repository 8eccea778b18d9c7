//! A device of a hub: this binary's `daemon`, as a process of its own in a temporary folder.
//!
//! Owns the process, its folder and its configuration, and asks it what went over the network. Leaves what is measured
//! to others.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use hyper::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::super::hub::server::Server;
use crate::client::target::Target;
use crate::client::{Ask, Client};

/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often is looked for what no line tells.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Sessions that a device has beside those of its modules: `$edgeAgent`, `$edgeHub`.
pub(super) const OWN_SESSIONS: usize = 2;

/// A running device; killed when dropped.
pub(super) struct Device {
    child: Child,
    client: Client,
    _folder: TempDir,
}

/// What went over the network under one name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Traffic {
    /// Both ways.
    pub(super) bytes: u64,
    /// Connections that were begun.
    pub(super) connections: u64,
}

impl Device {
    /// Makes a device at the hub with so many modules of a component, starts it with these further settings of
    /// `[hub]`, and waits until all of its sessions are open.
    pub(super) async fn start(
        server: &Server,
        (name, modules): (&str, usize),
        component: &Path,
        settings: &[(&str, u64)],
    ) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let key = register(server, name).await?;
        deploy(server, name, modules, component).await?;
        let data = folder.path().join("data");
        std::fs::create_dir(&data)?;
        let config = folder.path().join("config.toml");
        std::fs::write(&config, configuration(server, name, &key, settings)?)?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["daemon", "--quiet", "--config"]).arg(&config);
        command.arg("--data-dir").arg(&data);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let mut device = Self {
            child: command
                .spawn()
                .context("cannot start this binary once more")?,
            client: Client::open(&data)?,
            _folder: folder,
        };
        device.wait_sessions(modules + OWN_SESSIONS).await?;
        Ok(device)
    }

    /// Waits until so many sessions are open; answers when that was seen.
    pub(super) async fn wait_sessions(&mut self, count: usize) -> anyhow::Result<Instant> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("the device ended before its time: {status}");
            }
            // Its socket may not be there yet.
            let open = match self.upstream().await {
                Ok(upstream) => upstream["sessions"].as_array().map_or(0, Vec::len),
                Err(_) => 0,
            };
            if open >= count {
                return Ok(Instant::now());
            }
            ensure!(
                Instant::now() < deadline,
                "waited {} s in vain for {count} sessions; there are {open}",
                PATIENCE.as_secs()
            );
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// What went over the network since the start, by name.
    pub(super) async fn traffic(&self) -> anyhow::Result<BTreeMap<String, Traffic>> {
        let upstream = self.upstream().await?;
        let names = upstream["traffic"].as_object();
        let names = names.with_context(|| format!("no traffic is told: {upstream}"))?;
        let number = |of: &Value, key: &str| of[key].as_u64().unwrap_or_default();
        Ok(names
            .iter()
            .map(|(name, of)| {
                let traffic = Traffic {
                    bytes: number(of, "sentBytes") + number(of, "receivedBytes"),
                    connections: number(of, "connections"),
                };
                (name.clone(), traffic)
            })
            .collect())
    }

    async fn upstream(&self) -> anyhow::Result<Value> {
        let info = self.client.get(&Target::path(&["v1", "info"])).await?;
        Ok(info["upstream"][0].clone())
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What was added from one look to the next, by name.
pub(super) fn added(
    before: &BTreeMap<String, Traffic>,
    after: &BTreeMap<String, Traffic>,
) -> BTreeMap<String, Traffic> {
    let one = |(name, after): (&String, &Traffic)| {
        let before = before.get(name).copied().unwrap_or_default();
        let traffic = Traffic {
            bytes: after.bytes - before.bytes,
            connections: after.connections - before.connections,
        };
        (name.clone(), traffic)
    };
    after.iter().map(one).collect()
}

/// Makes the device's identity; answers with its key.
async fn register(server: &Server, name: &str) -> anyhow::Result<String> {
    let identity = json!({ "deviceId": name, "capabilities": { "iotEdge": true } });
    let ask = Ask {
        json: Some(identity.to_string()),
        ..Ask::default()
    };
    let hub = server.client()?;
    let answer = hub
        .ask(Method::PUT, &Target::identity(name, None), ask)
        .await?;
    let key = answer.document["authentication"]["symmetricKey"]["primaryKey"].as_str();
    Ok(key.context("a new device has a key")?.to_owned())
}

async fn deploy(
    server: &Server,
    name: &str,
    modules: usize,
    component: &Path,
) -> anyhow::Result<()> {
    let modules =
        (0..modules).map(|number| (format!("m{number}"), super::super::module(component)));
    let manifest = super::super::manifest(modules, []);
    let ask = Ask {
        json: Some(manifest.to_string()),
        ..Ask::default()
    };
    let hub = server.client()?;
    hub.ask(Method::POST, &Target::apply_configuration(name), ask)
        .await?;
    Ok(())
}

fn configuration(
    server: &Server,
    name: &str,
    key: &str,
    settings: &[(&str, u64)],
) -> anyhow::Result<String> {
    let (mqtt, https) = server.ports()?;
    let ca = server.ca_file().to_str().context("a path is no text")?;
    let mut text = format!(
        "[provisioning]\nsource = \"connection-string\"\n\
         connection_string = \"HostName=localhost;DeviceId={name};SharedAccessKey={key}\"\n\
         [deployment]\nfile_images = true\n\
         [hub]\nca_file = {}\nmqtt_port = {mqtt}\nhttps_port = {https}\n",
        json!(ca)
    );
    for (key, value) in settings {
        writeln!(text, "{key} = {value}")?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_new_counts_whole() {
        let of = |bytes, connections| Traffic { bytes, connections };
        let map = |entries: &[(&str, Traffic)]| {
            let entries = entries.iter();
            entries
                .map(|(name, traffic)| ((*name).to_owned(), *traffic))
                .collect()
        };
        let before = map(&[("a", of(10, 1))]);
        let after = map(&[("a", of(15, 1)), ("b", of(7, 2))]);
        let expected = map(&[("a", of(5, 0)), ("b", of(7, 2))]);
        assert_eq!(added(&before, &after), expected);
    }
}
