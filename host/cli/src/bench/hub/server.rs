//! A hub of our own for the load: this binary's `hub serve`, as a process of its own in a temporary folder.
//!
//! Owns the process and its folder, which end with it. Leaves the load to others.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::net::TcpStream;

use super::process::Process;
use super::target::Hub;

/// How long it may take to listen, to say its connection string, and to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often is looked for what nobody tells.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A running hub; killed when dropped.
pub(super) struct Server {
    child: Child,
    folder: TempDir,
    ports: Ports,
    connection_string: String,
}

#[derive(Clone, Copy, Debug)]
struct Ports {
    mqtt: u16,
    https: u16,
}

impl Server {
    /// Starts one that has no devices.
    pub(super) async fn start() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let ports = Ports {
            mqtt: free_port()?,
            https: free_port()?,
        };
        let mut child = spawn(folder.path(), ports, Stdio::piped())?;
        let stdout = child.stdout.take().context("it has no standard output")?;
        let (said, connection_string) = mpsc::sync_channel(1);
        // Ends with the process.
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Some(text) = connection_string_in(&line) {
                    let _ = said.try_send(text.to_owned());
                }
            }
        });
        let mut server = Self {
            child,
            folder,
            ports,
            connection_string: String::new(),
        };
        server.wait_until_it_listens().await?;
        server.connection_string = connection_string
            .recv_timeout(PATIENCE)
            .context("the hub says no connection string")?;
        Ok(server)
    }

    /// Ends it and starts it again with what it has.
    pub(super) async fn restart(&mut self) -> anyhow::Result<()> {
        self.end().await?;
        self.child = spawn(self.folder.path(), self.ports, Stdio::null())?;
        self.wait_until_it_listens().await
    }

    /// Ends it in order.
    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        self.end().await
    }

    /// The running process.
    pub(super) fn process(&self) -> Process {
        Process(self.child.id())
    }

    /// How it is reached.
    pub(super) async fn hub(&self) -> anyhow::Result<Hub> {
        let ca = self.ca();
        Hub::of_connection_string(&self.connection_string, self.ports.mqtt, Some(&ca)).await
    }

    /// The certificate that devices are to trust.
    fn ca(&self) -> PathBuf {
        self.folder.path().join("hub/pki/ca.pem")
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

    async fn wait_until_it_listens(&mut self) -> anyhow::Result<()> {
        let begun = Instant::now();
        for port in [self.ports.mqtt, self.ports.https] {
            while TcpStream::connect((Ipv4Addr::LOCALHOST, port))
                .await
                .is_err()
            {
                if let Some(status) = self.child.try_wait()? {
                    bail!("the hub ended before its time: {status}");
                }
                ensure!(begun.elapsed() < PATIENCE, "the hub does not listen");
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended in order already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(data: &Path, ports: Ports, stdout: Stdio) -> anyhow::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["hub", "serve", "--quiet", "--data-dir"])
        .arg(data);
    command.args(["--mqtt-port", &ports.mqtt.to_string()]);
    command.args(["--https-port", &ports.https.to_string()]);
    command.stdin(Stdio::null()).stdout(stdout);
    command
        .spawn()
        .context("cannot start this binary once more")
}

/// A port that nobody uses just now.
fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}

/// The connection string in a line, of text or JSON.
fn connection_string_in(line: &str) -> Option<&str> {
    let text = &line[line.find("HostName=")?..];
    let end = text.find(|byte: char| byte.is_whitespace() || byte == '"');
    Some(&text[..end.unwrap_or(text.len())])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_string_is_found_in_text_and_json() {
        let check = |line: &str, expected| assert_eq!(connection_string_in(line), expected);
        let text = "HostName=h;SharedAccessKeyName=a;SharedAccessKey=b=";
        check(text, Some(text));
        check(&format!("  {text}  "), Some(text));
        check(&format!(r#"{{"connectionString":"{text}"}}"#), Some(text));
        check("nothing", None);
    }
}
