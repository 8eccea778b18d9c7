//! A hub of our own for the load: this binary's `hub serve`, as a process of its own in a temporary folder.
//!
//! Owns the process and its folder, which end with it. Leaves the load to others.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use tempfile::TempDir;
use tokio::task::spawn_blocking;

use super::process::Process;
use super::target::Hub;
use crate::client::Client;

/// The shared access policy that may do everything.
const POLICY: &str = "iothubowner";

/// How long it may take to listen, and to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often is looked whether it has ended.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A running hub; killed when dropped.
pub(in crate::bench) struct Server {
    child: Child,
    folder: TempDir,
    told: Told,
}

/// What a hub tells of itself once it listens.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    mqtt: Vec<SocketAddr>,
    https: Vec<SocketAddr>,
    ca_file: PathBuf,
    connection_strings: BTreeMap<String, String>,
}

impl Server {
    /// Starts one that has no devices.
    pub(in crate::bench) async fn start() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let (child, told) = spawn(folder.path(), (0, 0)).await?;
        Ok(Self {
            child,
            folder,
            told,
        })
    }

    /// Ends it and starts it again with what it has, where it was.
    pub(super) async fn restart(&mut self) -> anyhow::Result<()> {
        self.restart_after(Duration::ZERO).await
    }

    /// The same after some time.
    pub(in crate::bench) async fn restart_after(&mut self, outage: Duration) -> anyhow::Result<()> {
        self.end().await?;
        tokio::time::sleep(outage).await;
        let ports = self.ports()?;
        (self.child, self.told) = spawn(self.folder.path(), ports).await?;
        Ok(())
    }

    /// Ends it in order.
    pub(in crate::bench) async fn stop(mut self) -> anyhow::Result<()> {
        self.end().await
    }

    /// The running process.
    pub(super) fn process(&self) -> Process {
        Process(self.child.id())
    }

    /// A client of its control socket.
    pub(in crate::bench) fn client(&self) -> anyhow::Result<Client> {
        Ok(Client::open(self.folder.path())?)
    }

    /// Its ports of MQTT and HTTPS.
    pub(in crate::bench) fn ports(&self) -> anyhow::Result<(u16, u16)> {
        Ok((port(&self.told.mqtt)?, port(&self.told.https)?))
    }

    /// The certificate that it is trusted by.
    pub(in crate::bench) fn ca_file(&self) -> &Path {
        &self.told.ca_file
    }

    /// How it is reached.
    pub(super) async fn hub(&self) -> anyhow::Result<Hub> {
        let text = self.told.connection_strings.get(POLICY);
        let text = text.with_context(|| format!("the hub has no policy `{POLICY}`"))?;
        Hub::of_connection_string(text, port(&self.told.mqtt)?, Some(&self.told.ca_file)).await
    }

    async fn end(&mut self) -> anyhow::Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                ensure!(status.success(), "the hub ended with {status}");
                return Ok(());
            }
            ensure!(begun.elapsed() < PATIENCE, "the hub does not end");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended in order already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn port(addresses: &[SocketAddr]) -> anyhow::Result<u16> {
    let first = addresses.first().context("the hub listens nowhere")?;
    Ok(first.port())
}

/// Starts a hub on these ports of MQTT and HTTPS, or on free ones where they are 0, and waits until it listens.
async fn spawn(data: &Path, (mqtt, https): (u16, u16)) -> anyhow::Result<(Child, Told)> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["hub", "serve", "--quiet", "--output", "json"]);
    command
        .args(["--listen", "127.0.0.1", "--data-dir"])
        .arg(data);
    command.args(["--mqtt-port", &mqtt.to_string()]);
    command.args(["--https-port", &https.to_string()]);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command
        .spawn()
        .context("cannot start this binary once more")?;
    let stdout = child.stdout.take().context("it has no standard output")?;
    let line = spawn_blocking(move || BufReader::new(stdout).lines().next());
    let line = tokio::time::timeout(PATIENCE, line).await;
    let line = line.context("the hub does not listen")??;
    match line {
        Some(line) => Ok((child, serde_json::from_str(&line?)?)),
        None => bail!("the hub ended before its time: {}", child.wait()?),
    }
}
