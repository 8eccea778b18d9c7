//! The load on mosquitto with persistence: a publisher of QoS 1 while the subscriber with a lasting session is away, then
//! that subscriber; in flight is as much as a group has.
//!
//! mosquitto writes its queues to the disk as a whole: now and then (every half hour by default) and at its end, or after
//! each change if it is told to. What it acknowledged in between is in its memory only; [`Saved`] tells these apart.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rumqttc::{Client, Connection, Event, MqttOptions, Packet, QoS, Transport};
use rustix::process::{Pid, Signal, kill_process};

use crate::load::{BODY_BYTES, Bodies, Load, Measured, Readings, kib_of};
use crate::process::Process;

const TOPIC: &str = "load";

/// The file in its folder where it says what is wrong.
const MESSAGES: &str = "messages";

/// How long mosquitto may take to answer or to write its file.
const PATIENCE: Duration = Duration::from_secs(30);

/// When mosquitto writes its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Saved {
    /// By default: once all messages are in, once all are out.
    NowAndThen,
    /// After each change, which is the nearest that it has to a durable queue.
    EachChange,
}

/// An installed mosquitto.
pub(crate) struct Mosquitto {
    program: PathBuf,
    libraries: Option<PathBuf>,
}

/// A running one.
struct Broker {
    child: Child,
    folder: PathBuf,
}

impl Mosquitto {
    /// The one that was unpacked into a folder, or that of the system.
    pub(crate) fn find(unpacked: Option<&Path>) -> Option<Self> {
        let unpacked = unpacked.map(|root| (root.join("usr/sbin/mosquitto"), root));
        if let Some((program, root)) = unpacked.filter(|(program, _)| program.is_file()) {
            let libraries = std::fs::read_dir(root.join("usr/lib")).ok()?;
            let is_multiarch =
                |path: &PathBuf| path.is_dir() && path.to_string_lossy().contains("-linux-gnu");
            let mut folders = libraries.flatten().map(|entry| entry.path());
            return Some(Self {
                program,
                libraries: folders.find(is_multiarch),
            });
        }
        let system = ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto"];
        let program = system
            .iter()
            .map(PathBuf::from)
            .find(|path| path.is_file())?;
        Some(Self {
            program,
            libraries: None,
        })
    }

    fn start(&self, load: Load, saved: Saved, folder: &Path) -> anyhow::Result<Broker> {
        // As root it would change to a user of its own, who cannot write here.
        let user = if rustix::process::getuid().is_root() {
            "user root\n"
        } else {
            ""
        };
        let autosave = match saved {
            Saved::NowAndThen => "",
            Saved::EachChange => "autosave_on_changes true\nautosave_interval 1\n",
        };
        let config = format!(
            "{user}listener 0 {socket}\nallow_anonymous true\npersistence true\npersistence_location {}/\n\
             {autosave}max_queued_messages 0\nmax_inflight_messages {}\nlog_type error\n",
            folder.display(),
            load.group,
            socket = folder.join("socket").display(),
        );
        let file = folder.join("mosquitto.conf");
        std::fs::write(&file, config)?;
        let mut command = Command::new(&self.program);
        if let Some(libraries) = &self.libraries {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        let child = command
            .arg("-c")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(File::create(folder.join(MESSAGES))?)
            .spawn()?;
        let mut broker = Broker {
            child,
            folder: folder.to_owned(),
        };
        broker.wait_for("to listen", |folder| {
            std::os::unix::net::UnixStream::connect(folder.join("socket")).is_ok()
        })?;
        Ok(broker)
    }

    /// Puts the load on it, in an empty folder.
    pub(crate) fn run(&self, load: Load, saved: Saved, folder: &Path) -> anyhow::Result<Measured> {
        let mut broker = self.start(load, saved, folder)?;
        let process = Process::with_id(broker.child.id());
        let before_kib = process.resident_kib()?;
        let written_before = process.written_bytes()?;
        broker.subscribe(load)?;
        let (appended, calls) = broker.publish(load)?;
        broker.save()?;
        let (written_full, full_kib) = (process.written_bytes()?, kib_of(folder)?);
        let drained = broker.drain(load)?;
        broker.save()?;
        let readings = Readings {
            before_kib,
            written_before,
            written_full,
            full_kib,
            appended,
            drained,
            calls,
        };
        let mut measured = load.measured(&process, folder, readings)?;
        drop(broker);
        let again = tempfile::tempdir_in(folder)?;
        measured.lost_after_kill = Some(self.lost_after_kill(load, saved, again.path())?);
        Ok(measured)
    }

    /// How many of the messages that it acknowledged are gone when it was killed right afterwards.
    fn lost_after_kill(&self, load: Load, saved: Saved, folder: &Path) -> anyhow::Result<u64> {
        let broker = self.start(load, saved, folder)?;
        broker.subscribe(load)?;
        broker.publish(load)?;
        drop(broker);
        std::fs::remove_file(folder.join("socket")).ok();
        let broker = self.start(load, saved, folder)?;
        // A last message tells that all before it have come.
        let (client, mut connection) = broker.connect("last", load, true);
        client.try_publish(TOPIC, QoS::AtLeastOnce, false, "end")?;
        until(&mut connection, |packet| {
            matches!(packet, Packet::PubAck(_))
        })?;
        let (_client, mut connection) = broker.connect("subscriber", load, false);
        let mut came = 0;
        until(&mut connection, |packet| match packet {
            Packet::ConnAck(ack) if !ack.session_present => true,
            Packet::Publish(publish) => {
                came += u64::from(publish.payload.len() == BODY_BYTES);
                publish.payload.len() != BODY_BYTES
            }
            _ => false,
        })?;
        Ok(load.messages - came)
    }
}

impl Broker {
    fn connect(&self, id: &str, load: Load, clean: bool) -> (Client, Connection) {
        let socket = self.folder.join("socket");
        let mut options = MqttOptions::new(id, socket.to_string_lossy(), 0);
        options.set_transport(Transport::Unix);
        options.set_clean_session(clean);
        options.set_inflight(u16::try_from(load.group).expect("a group is small"));
        Client::new(options, load.group_size() + 1)
    }

    /// Makes the lasting session and leaves.
    fn subscribe(&self, load: Load) -> anyhow::Result<()> {
        let (client, mut connection) = self.connect("subscriber", load, false);
        client.try_subscribe(TOPIC, QoS::AtLeastOnce)?;
        until(&mut connection, |packet| {
            matches!(packet, Packet::SubAck(_))
        })?;
        client.try_disconnect()?;
        while let Ok(event) = connection.iter().next().context("an event")? {
            if matches!(event, Event::Outgoing(rumqttc::Outgoing::Disconnect)) {
                break;
            }
        }
        Ok(())
    }

    /// Publishes all, a group at a time: how long it took, and how long each group.
    fn publish(&self, load: Load) -> anyhow::Result<(Duration, Vec<Duration>)> {
        let (client, mut connection) = self.connect("publisher", load, true);
        until(&mut connection, |packet| {
            matches!(packet, Packet::ConnAck(_))
        })?;
        let mut bodies = Bodies::new();
        let mut calls = Vec::new();
        let begun = Instant::now();
        for first in (0..load.messages).step_by(load.group_size()) {
            let mut waiting = load.group.min(load.messages - first);
            let call = Instant::now();
            for body in bodies.group(waiting) {
                client.try_publish(TOPIC, QoS::AtLeastOnce, false, body)?;
            }
            until(&mut connection, |packet| {
                waiting -= u64::from(matches!(packet, Packet::PubAck(_)));
                waiting == 0
            })?;
            calls.push(call.elapsed());
        }
        let all = begun.elapsed();
        Ok((all, calls))
    }

    /// Takes all, in order: how long it took from connecting.
    fn drain(&self, load: Load) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        let (client, mut connection) = self.connect("subscriber", load, false);
        let mut bodies = Bodies::new();
        let mut taken = 0;
        let mut wrong = None;
        until(&mut connection, |packet| {
            if let Packet::Publish(publish) = packet {
                if bodies.group(1)[0] != publish.payload[..] {
                    wrong.get_or_insert(taken);
                }
                taken += 1;
            }
            taken == load.messages
        })?;
        ensure!(
            wrong.is_none(),
            "message {wrong:?} is another than was sent"
        );
        let all = begun.elapsed();
        // The last acknowledgement is on its way: it has been written when the client says that it leaves.
        client.try_disconnect()?;
        while let Ok(event) = connection.iter().next().context("an event")? {
            if matches!(event, Event::Outgoing(rumqttc::Outgoing::Disconnect)) {
                break;
            }
        }
        Ok(all)
    }

    /// Has it write its file and waits until that has been done.
    fn save(&mut self) -> anyhow::Result<()> {
        let file = self.folder.join("mosquitto.db");
        let modified = |file: &Path| std::fs::metadata(file).and_then(|it| it.modified()).ok();
        let before = modified(&file);
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::USR1)?;
        self.wait_for("to save", |_| modified(&file) != before)
    }

    fn wait_for(&mut self, what: &str, is_so: impl Fn(&Path) -> bool) -> anyhow::Result<()> {
        let begun = Instant::now();
        while !is_so(&self.folder) {
            if let Some(status) = self.child.try_wait()? {
                let said = std::fs::read_to_string(self.folder.join(MESSAGES))?;
                bail!("mosquitto has ended, {status}: {}", said.trim());
            }
            ensure!(
                begun.elapsed() < PATIENCE,
                "waited in vain for mosquitto {what}"
            );
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // kill -9; it may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Goes on with a connection until a packet comes that is the one.
fn until(
    connection: &mut Connection,
    mut is_it: impl FnMut(&Packet) -> bool,
) -> anyhow::Result<()> {
    loop {
        match connection.recv_timeout(PATIENCE) {
            Ok(Ok(Event::Incoming(packet))) if is_it(&packet) => return Ok(()),
            Ok(Ok(_)) => {}
            Ok(Err(err)) => return Err(err.into()),
            Err(_) => bail!("mosquitto says nothing any more"),
        }
    }
}
