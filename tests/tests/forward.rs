//! Telemetry that goes on to a plain MQTT broker: a real one, which ends and comes back, as the hub does.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::Child;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use rumqttc::{Client, Event, MqttOptions, Packet, QoS};
use rustix::process::{Pid, Signal, kill_process};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::hub::HubOptions;
use wasm_edge_tests::mqtt::Mqtt;
use wasm_edge_tests::{debian, wait};

/// A broker on a port of its own, which keeps what its subscribers have not got; dropping it ends it.
struct Broker {
    child: Child,
    port: u16,
}

impl Broker {
    fn start(folder: &Path, port: u16) -> Option<Self> {
        Self::start_with(folder, port, "")
    }

    /// With these further lines of configuration.
    fn start_with(folder: &Path, port: u16, further: &str) -> Option<Self> {
        let mut command = debian::program("mosquitto", "/usr/sbin/mosquitto")?;
        let user = if rustix::process::getuid().is_root() {
            "user root\n"
        } else {
            ""
        };
        let config = format!(
            "{user}listener {port} 127.0.0.1\nallow_anonymous false\npassword_file {0}/passwords\n\
             persistence true\npersistence_location {0}/\nmax_queued_messages 0\nlog_type error\n{further}",
            folder.display()
        );
        fs::create_dir_all(folder).expect("the folder can be made");
        fs::write(folder.join("mosquitto.conf"), config).expect("the file can be written");
        fs::write(folder.join("passwords"), PASSWORDS).expect("the file can be written");
        let child = command.arg("-c").arg(folder.join("mosquitto.conf")).spawn();
        let broker = Self {
            child: child.expect("mosquitto can be started"),
            port,
        };
        wait::until_so("the broker to listen", || {
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Some(broker)
    }

    /// In order, so that it saves what it has.
    fn stop(mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("the broker runs");
        self.child
            .wait()
            .expect("a child of ours can be waited for");
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // It may have ended in order.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The user `hub` with the password `p:w@d`, as mosquitto keeps it.
const PASSWORDS: &str = "hub:$7$101$MDEyMzQ1Njc4OWFi$ocsVfPiZjcKq1FtAe4fWxxRwmlO1HwojvIJKXm6v/pU6tctBxvSZ3pwrm6jaD9ZqggNQphpnJy+twD1M3EzqHw==\n";

/// The topic of the device `d+1`.
const TOPIC: &str = "devices/d%2B1/messages/events/";

/// What a subscriber gets: topics with bodies. It keeps its session, and connects again where it was cut off.
fn subscribe(port: u16) -> Receiver<(String, String)> {
    let mut options = MqttOptions::new("subscriber", "127.0.0.1", port);
    options
        .set_credentials("hub", "p:w@d")
        .set_clean_session(false)
        .set_keep_alive(Duration::from_secs(5));
    let (client, mut connection) = Client::new(options, 64);
    client
        .subscribe("plant/#", QoS::AtLeastOnce)
        .expect("there is room");
    let (sender, receiver): (Sender<_>, _) = channel();
    let (ready, is_ready) = channel();
    std::thread::spawn(move || {
        // Held, so that the connection goes on.
        let _client = client;
        for event in connection.iter() {
            match event {
                Ok(Event::Incoming(Packet::SubAck(_))) => drop(ready.send(())),
                Ok(Event::Incoming(Packet::Publish(publish))) => {
                    let body = String::from_utf8_lossy(&publish.payload).into_owned();
                    if sender.send((publish.topic, body)).is_err() {
                        return;
                    }
                }
                Ok(_) => {}
                // The broker is away; it is asked again, not too often.
                Err(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    });
    is_ready
        .recv_timeout(wait::LIMIT)
        .expect("the broker takes the subscription");
    receiver
}

/// Sends these numbers; they are on the hub's disk when this returns.
fn send(device: &mut Mqtt, topic: &str, numbers: std::ops::Range<u64>) {
    for number in numbers {
        device.publish(topic, number.to_string());
    }
}

/// Takes messages until all of these numbers came, in order; those before them may come again, as after a kill.
fn numbers(subscriber: &Receiver<(String, String)>, expected: std::ops::Range<u64>) {
    let mut missing: BTreeSet<u64> = expected.clone().collect();
    while let Some(next) = missing.first().copied() {
        let came = subscriber.recv_timeout(wait::LIMIT);
        let (topic, body) = came.unwrap_or_else(|_| panic!("waited in vain for {missing:?}"));
        assert_eq!(topic, "plant/1/devices/d%2B1/messages/events");
        let number: u64 = body.parse().expect("a number");
        assert!(
            number <= next && number < expected.end,
            "{number} before {next}"
        );
        missing.remove(&number);
    }
}

fn options(port: u16) -> HubOptions {
    let url = format!("mqtt://hub:p%3Aw%40d@127.0.0.1:{port}/plant/1");
    HubOptions::new().args(["--forward", &url])
}

#[test]
fn telemetry_goes_on_through_restarts_of_broker_and_hub() {
    let home = Home::new();
    let folder = home.path().join("broker");
    let Some(broker) = Broker::start(&folder, wait::free_port()) else {
        return;
    };
    let port = broker.port;
    let subscriber = subscribe(port);
    let hub = options(port).start(&home);
    hub.verb(&["hub", "device", "create", "d+1"]).ok();
    let mut device = Mqtt::open(&hub, "d+1");
    send(&mut device, TOPIC, 0..20);
    numbers(&subscriber, 0..20);

    // While the broker is away the hub takes and keeps what comes.
    broker.stop();
    send(&mut device, TOPIC, 20..40);
    let broker = Broker::start(&folder, port).expect("it was there before");
    numbers(&subscriber, 20..40);

    // What the hub had taken when it was killed goes on after it.
    send(&mut device, TOPIC, 40..60);
    let hub = hub.kill_and_restart();
    numbers(&subscriber, 40..60);
    let mut device = Mqtt::open(&hub, "d+1");
    send(&mut device, TOPIC, 60..70);
    numbers(&subscriber, 60..70);
    let consumers = hub
        .verb(&["hub", "consumer", "list", "--output", "json"])
        .ok()
        .json();
    let name = consumers[0]["name"].as_str().expect("a name");
    assert!(name.starts_with("$forward-"), "{consumers}");
    wait::until_so("the position to be noted", || {
        hub.get("/wasm-edge/v1/consumers")[0]["position"] == "70"
    });
    hub.stop().ok();
    broker.stop();
}

#[test]
fn a_broker_that_lets_nobody_in_is_told_of_and_harms_nothing() {
    let home = Home::new();
    let Some(broker) = Broker::start(&home.path().join("broker"), wait::free_port()) else {
        return;
    };
    let url = format!("mqtt://hub:wrong-secret@127.0.0.1:{}", broker.port);
    let hub = HubOptions::new().args(["--forward", &url]).start(&home);
    let told = hub.process.stderr.find(0, |line| {
        line.contains("forwarding is tried again")
            .then(|| line.to_owned())
    });
    let (told, _) =
        told.unwrap_or_else(|| panic!("nothing is told: {}", hub.process.stderr.text()));
    assert!(!told.contains("wrong-secret"), "{told}");
    hub.verb(&["hub", "device", "create", "d1"]).ok();
    Mqtt::open(&hub, "d1").publish("devices/d1/messages/events/", "1");
    let outcome = hub.stop().ok();
    assert!(!outcome.stderr.contains("wrong-secret"), "{outcome:?}");
}

#[test]
fn a_broker_is_reached_by_tls_where_its_certificate_is_trusted() {
    let home = Home::new();
    let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]);
    let certificate = certificate.expect("a certificate");
    let file = home.write("broker.pem", certificate.cert.pem());
    let key = home.write("broker.key", certificate.signing_key.serialize_pem());
    let tls_port = wait::free_port();
    let listener = format!(
        "listener {tls_port} 127.0.0.1\ncertfile {}\nkeyfile {}\n",
        file.display(),
        key.display()
    );
    let folder = home.path().join("broker");
    let Some(broker) = Broker::start_with(&folder, wait::free_port(), &listener) else {
        return;
    };
    let subscriber = subscribe(broker.port);
    // An address in a file, out of sight of other programs.
    let url = format!("mqtts://hub:p%3Aw%40d@localhost:{tls_port}/plant/1\n");
    let url = format!("@{}", home.write("url", url).display());
    let ca = file.display().to_string();
    let hub = HubOptions::new()
        .args(["--forward", &url, "--forward-ca", &ca])
        .start(&home);
    hub.verb(&["hub", "device", "create", "d+1"]).ok();
    let mut device = Mqtt::open(&hub, "d+1");
    send(&mut device, TOPIC, 0..5);
    numbers(&subscriber, 0..5);
    let hub = {
        let other = home.write("other.pem", hub.ca_pem());
        hub.stop().ok();
        let other = other.display().to_string();
        HubOptions::new()
            .args(["--forward", &url, "--forward-ca", &other])
            .start(&home)
    };
    let untrusted = |line: &str| line.contains("forwarding is tried again").then_some(());
    let told = hub.process.stderr.find(0, untrusted);
    assert!(told.is_some(), "{}", hub.process.stderr.text());
    hub.stop().ok();
}

#[test]
fn a_wrong_address_is_told_without_its_password() {
    let home = Home::new();
    for (url, expected) in [
        ("http://u:secret@b", "begins with `mqtt://` or `mqtts://`"),
        ("mqtt://u:secret@", "host and port"),
        ("mqtt://u:secret@b/a/#", "prefix"),
        ("mqtt://u:secret@b?qos=2", "`payload=body`"),
    ] {
        let outcome = HubOptions::new().args(["--forward", url]).to_end(&home);
        let outcome = outcome.ended_with(7).says(&["`--forward`", expected]);
        assert!(!outcome.stderr.contains("secret"), "{outcome:?}");
    }
    let twice = HubOptions::new().args(["--forward", "mqtt://b", "--forward", "mqtt://b:1883"]);
    twice.to_end(&home).ended_with(7).says(&["twice"]);
}
