//! A device and its hub, two processes, and what goes wrong between them: whatever fails and whenever, no number that a
//! module was told is taken gets lost, and twins and methods are right again in the end.
//!
//! Two modules send numbers all the time, and note which were taken. Each kind of fault hits at random moments, whose
//! seed is printed; `make soak` has more of them (`WASM_EDGE_SOAK_FAULTS`).

use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wasm_edge_tests::daemon::{Daemon, DaemonOptions};
use wasm_edge_tests::deployment::{Deployment, Module};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::hub::{HubOptions, HubServe};
use wasm_edge_tests::line::{Conduct, Line};
use wasm_edge_tests::management::Management;
use wasm_edge_tests::meddler::Meddler;
use wasm_edge_tests::numbers::{self, Notes};
use wasm_edge_tests::soak::{self, Chance};
use wasm_edge_tests::{debian, wait};

const PRODUCERS: [&str; 2] = ["left", "right"];

/// How many messages of a module are on their way at most, and so come again when a connection breaks.
const IN_FLIGHT_MAX: u64 = 64;

/// The homes of a hub and of its device.
#[derive(Default)]
struct Homes {
    hub: Home,
    device: Home,
}

/// A hub, a device, and the lines between them.
struct Bed<'a> {
    name: &'static str,
    homes: &'a Homes,
    /// Nothing while it is away.
    hub: Option<HubServe<'a>>,
    mqtt: Line,
    https: Line,
    options: DaemonOptions,
    daemon: Option<Daemon<'a>>,
    chance: Chance,
    /// How often something was done that may break connections.
    breaks: u64,
    patches: u64,
    begun: Instant,
}

/// How many moments, of which `make test` has so many.
fn moments(short: u64) -> u64 {
    soak::amount("WASM_EDGE_SOAK_FAULTS", short)
}

fn deployment() -> Deployment {
    let producer = |name| {
        let module = Module::guest("producer").named(name);
        module
            .env("NOTES", "yes")
            .env("EVERY_MS", "3")
            .env("BYTES", "64")
    };
    let deployment = Deployment::new().module(Module::guest("twin-echo"));
    PRODUCERS.iter().fold(deployment, |deployment, name| {
        deployment.module(producer(name)).upstream(name)
    })
}

impl<'a> Bed<'a> {
    fn start(name: &'static str, homes: &'a Homes) -> Self {
        Self::start_with(name, homes, |options, _| options)
    }

    /// With what else the device is told of its hub.
    fn start_with(
        name: &'static str,
        homes: &'a Homes,
        change: impl FnOnce(DaemonOptions, &HubServe<'_>) -> DaemonOptions,
    ) -> Self {
        let hub = HubServe::start(&homes.hub);
        Self::between(name, homes, hub, change, |command| command)
    }

    /// Of a hub that runs, and a device whose command is changed before it starts.
    fn between(
        name: &'static str,
        homes: &'a Homes,
        hub: HubServe<'a>,
        change: impl FnOnce(DaemonOptions, &HubServe<'_>) -> DaemonOptions,
        wrap: impl FnOnce(Command) -> Command,
    ) -> Self {
        let (mqtt, https) = (Line::to(hub.mqtt_port()), Line::to(hub.https_port()));
        let options = DaemonOptions::of_hub(&hub, &hub.make_device("d1"))
            .set("hub", "mqtt_port", mqtt.port())
            .set("hub", "https_port", https.port())
            .set("hub", "connect_timeout_secs", 2)
            .set("hub", "retry_max_secs", 1);
        let options = change(options, &hub);
        hub.apply("d1", &deployment());
        let command = wrap(options.command(&homes.device));
        let daemon = options.start_command(&homes.device, command);
        hub.wait_deployed("d1");
        let chance = Chance::new();
        println!("{name}: WASM_EDGE_SOAK_SEED={}", chance.seed());
        Self {
            name,
            homes,
            hub: Some(hub),
            mqtt,
            https,
            options,
            daemon: Some(daemon),
            chance,
            breaks: 0,
            patches: 0,
            begun: Instant::now(),
        }
    }

    /// Some time of at most so many milliseconds.
    fn pass(&mut self, most_ms: u64) {
        thread::sleep(Duration::from_millis(self.chance.below(most_ms)));
    }

    /// Both lines do so from now on.
    fn lines(&mut self, conduct: Conduct) {
        self.mqtt.set(conduct);
        self.https.set(conduct);
    }

    /// The hub is told something for the device.
    fn patch(&mut self) {
        self.patches += 1;
        let desired = json!({ "x": self.patches, "pad": "x".repeat(200) });
        self.hub().patch("d1", "twin-echo", &desired);
    }

    fn hub(&self) -> &HubServe<'a> {
        self.hub.as_ref().expect("it is there")
    }

    /// Waits until more has arrived than there is now.
    fn wait_sending(&self) {
        let before = self.arrived();
        wait::until_so("messages to arrive again", || self.arrived() > before);
    }

    fn arrived(&self) -> u64 {
        let status = self.hub().get("/wasm-edge/v1/telemetry/status");
        status["next"]
            .as_u64()
            .unwrap_or_else(|| panic!("{status}"))
    }

    /// All is whole again: whether all is there that was taken, and both sides say the same. Answers what the device
    /// said of itself.
    fn finish(mut self) -> String {
        self.mqtt.set(Conduct::Whole);
        self.https.set(Conduct::Whole);
        if self.daemon.is_none() {
            self.daemon = Some(self.options.start(&self.homes.device));
        }
        self.patch();
        for producer in PRODUCERS {
            wait::until_so("a producer to stop", || {
                let body = json!({ "methodName": "stop", "responseTimeoutInSeconds": 5 });
                let path = format!("/twins/d1/modules/{producer}/methods");
                let answer = self.hub().ask("POST", &path, Some(&body));
                answer.status == 200 && answer.body["status"] == 200
            });
        }
        let hub = Management::of(&self.homes.hub);
        let arrivals = numbers::arrivals(&hub, &PRODUCERS);
        for (producer, arrivals) in PRODUCERS.iter().zip(arrivals) {
            let notes = Notes::of_device(&self.homes.device, "d1", producer);
            assert_eq!(numbers::check(&notes, &arrivals), Ok(()), "{producer}");
            let twice = arrivals.len() as u64 - distinct(&arrivals);
            println!(
                "{} {producer}: {} taken, {} arrived, {twice} twice in {} breaks, {:.1} s",
                self.name,
                notes.taken.len(),
                arrivals.len(),
                self.breaks,
                self.begun.elapsed().as_secs_f64(),
            );
            assert!(!notes.taken.is_empty());
            assert!(twice <= self.breaks * IN_FLIGHT_MAX, "{twice} came twice");
        }
        self.check_twin();
        let daemon = self.daemon.take().expect("it runs");
        for module in daemon.modules() {
            assert_eq!(module["restartCount"], 0, "{module}");
        }
        daemon.stop().ok().stderr
    }

    fn check_twin(&self) {
        let wanted = json!(self.patches);
        let twin = self.hub().wait_reported("d1", "twin-echo", "/x", &wanted);
        let daemon = self.daemon.as_ref().expect("it runs");
        let mut ours = Value::Null;
        let section = |twin: &Value, section: &str| {
            let mut section = twin["properties"][section].clone();
            if let Some(section) = section.as_object_mut() {
                section.remove("$metadata");
            }
            section
        };
        let same = wait::try_until(|| {
            let twin = self.hub().twin("d1", "twin-echo");
            ours = daemon
                .verb(&["twin", "get", "twin-echo", "--output", "json"])
                .ok()
                .json();
            let same = |name| section(&ours, name) == section(&twin, name);
            (same("desired") && same("reported")).then_some(())
        });
        assert!(same.is_some(), "the hub: {twin:#}\nthe device: {ours:#}");
    }
}

/// It lost the hub and found it again.
fn came_back(said: &str) {
    assert!(said.matches("connected to the hub").count() > 1, "{said}");
}

fn distinct(arrivals: &[numbers::Arrival]) -> u64 {
    let mut numbers: Vec<u64> = arrivals.iter().map(|arrival| arrival.number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers.len() as u64
}

/// Does it at random moments, most of them while messages arrive; answers what the device said of itself.
fn hit<'a>(mut bed: Bed<'a>, moments: u64, mut fault: impl FnMut(&mut Bed<'a>)) -> String {
    for _ in 0..moments {
        if bed.chance.below(3) > 0 {
            bed.wait_sending();
        }
        bed.pass(300);
        bed.patch();
        bed.breaks += 1;
        fault(&mut bed);
    }
    bed.finish()
}

#[test]
fn a_hub_that_is_killed_and_comes_back() {
    let homes = Homes::default();
    let bed = Bed::start("hub killed", &homes);
    let said = hit(bed, moments(20), |bed| {
        let options = bed.hub.take().expect("it is there").kill();
        bed.pass(500);
        bed.hub = Some(options.start(&bed.homes.hub));
    });
    came_back(&said);
}

#[test]
fn a_network_that_is_cut_tears_is_silent_or_slow() {
    let homes = Homes::default();
    let bed = Bed::start("network", &homes);
    let said = hit(bed, moments(20), |bed| {
        let dice = bed.chance.below(5);
        let conduct = match dice {
            0 | 1 => Conduct::Cut,
            2 => Conduct::Silent,
            3 => Conduct::Slow(Duration::from_millis(bed.chance.below(60))),
            _ => Conduct::Torn(bed.chance.below(20_000)),
        };
        bed.lines(conduct);
        bed.pass(soak::amount("WASM_EDGE_SOAK_CUT_MS", 800));
        if dice == 2 && bed.chance.below(2) == 0 {
            // What was on its way is lost; else it goes on where it was.
            bed.lines(Conduct::Cut);
        }
        bed.lines(Conduct::Whole);
    });
    came_back(&said);
}

#[test]
fn a_device_that_is_killed_while_its_hub_is_out_of_reach() {
    let homes = Homes::default();
    let bed = Bed::start("device killed", &homes);
    hit(bed, moments(8), |bed| {
        bed.lines(Conduct::Cut);
        bed.pass(500);
        bed.daemon.take().expect("it runs").kill();
        bed.daemon = Some(bed.options.start(&bed.homes.device));
        bed.pass(500);
        bed.lines(Conduct::Whole);
    });
}

#[test]
fn tokens_that_expire_while_the_hub_is_out_of_reach_and_while_it_is_not() {
    let homes = Homes::default();
    let change =
        |options: DaemonOptions, _: &HubServe<'_>| options.set("hub", "token_life_secs", 10);
    let bed = Bed::start_with("token expired", &homes, change);
    let mut connections = 0;
    hit(bed, moments(2), |bed| {
        if bed.chance.below(2) == 0 {
            bed.lines(Conduct::Cut);
        } else {
            bed.lines(Conduct::Silent);
        }
        thread::sleep(Duration::from_millis(10_500));
        bed.lines(Conduct::Whole);
        bed.wait_sending();
        connections = bed.mqtt.connections();
        // And once with the hub, which closes what lasts longer than its token.
        thread::sleep(Duration::from_millis(4_000));
    });
    // Each of the five identities has had another token.
    assert!(connections >= 10, "{connections}");
}

#[test]
fn an_identity_that_is_deleted_at_the_hub() {
    let homes = Homes::default();
    let bed = Bed::start("identity deleted", &homes);
    let said = hit(bed, moments(6), |bed| {
        let modules = ["left", "right", "twin-echo"];
        let module = modules[bed.chance.below(3) as usize];
        let path = format!("/devices/d1/modules/{module}");
        assert_eq!(bed.hub().ask("DELETE", &path, None).status, 204);
        wait::until_so("the identity to be made again", || {
            bed.hub().ask("GET", &path, None).status == 200
        });
    });
    // Nobody but the module itself lost its connection.
    assert_eq!(said.matches("connected to the hub").count(), 1, "{said}");
}

/// With a meddler's certificates trusted beside those of the hub.
fn trusting(options: DaemonOptions, hub: &HubServe<'_>, meddler: &Meddler) -> DaemonOptions {
    let both = format!("{}{}", hub.ca_pem(), meddler.ca_pem());
    let both = hub.home().write("both.pem", both);
    options.set("hub", "ca_file", both.to_str().expect("the path is text"))
}

#[test]
fn a_hub_whose_certificate_is_for_another_name() {
    let homes = Homes::default();
    let hub = HubServe::start(&homes.hub);
    let other = Meddler::named(&hub, "other.test");
    let change = |options: DaemonOptions, hub: &HubServe<'_>| trusting(options, hub, &other);
    let bed = Bed::between("other name", &homes, hub, change, |command| command);
    let said = hit(bed, moments(5), |bed| {
        bed.mqtt.lead_to(other.port());
        bed.pass(1500);
        bed.mqtt.lead_to(bed.hub().mqtt_port());
    });
    assert!(said.contains("it is for another name"), "{said}");
}

#[test]
fn a_hub_that_answers_late_twice_wrongly_and_what_was_not_asked() {
    let homes = Homes::default();
    let hub = HubServe::start(&homes.hub);
    let meddler = Meddler::before(&hub);
    let change = |options: DaemonOptions, hub: &HubServe<'_>| {
        let options = trusting(options, hub, &meddler);
        options.set("hub", "mqtt_port", meddler.port())
    };
    let bed = Bed::between("meddler", &homes, hub, change, |command| command);
    hit(bed, moments(20), |bed| {
        meddler.meddle(true);
        bed.pass(800);
        meddler.meddle(false);
    });
    let done = meddler.done();
    println!("meddler: {done:?}");
    assert!(done.contains_key("said twice"), "{done:?}");
}

#[test]
fn names_that_cannot_be_resolved() {
    let homes = Homes::default();
    let hub = HubOptions::new().args(["--host-name", "hub.test"]);
    let hub = hub.start(&homes.hub);
    let hosts = homes
        .device
        .write("hosts", "127.0.0.1 localhost hub.test\n");
    let resolv = homes.device.write("resolv.conf", "nameserver 127.0.0.1\n");
    let wrap = |command: Command| {
        let mut wrapped = homes.device.program("unshare", ["--mount", "sh", "-ec"]);
        wrapped
            .arg("mount --bind \"$1\" /etc/hosts; mount --bind \"$2\" /etc/resolv.conf; shift 2; exec \"$@\"")
            .args(["sh".as_ref(), hosts.as_os_str(), resolv.as_os_str()])
            .arg(command.get_program())
            .args(command.get_args());
        for (name, value) in command.get_envs() {
            if let Some(value) = value {
                wrapped.env(name, value);
            }
        }
        wrapped
    };
    let mut probe = wrap(Command::new("true"));
    if !probe.status().is_ok_and(|status| status.success()) {
        eprintln!("LEFT OUT: no mount namespace can be made here");
        return;
    }
    let bed = Bed::between("no name", &homes, hub, |options, _| options, wrap);
    let said = hit(bed, moments(5), |bed| {
        fs::write(&hosts, "").expect("the file can be written");
        bed.lines(Conduct::Cut);
        bed.lines(Conduct::Whole);
        bed.pass(1500);
        fs::write(&hosts, "127.0.0.1 localhost hub.test\n").expect("the file can be written");
    });
    assert!(
        said.contains("cannot find an address for `hub.test`"),
        "{said}"
    );
}

#[test]
fn a_clock_that_is_set_forward_and_back() {
    let homes = Homes::default();
    let Some(library) = debian::library("libfaketime", "faketime/libfaketimeMT.so.1") else {
        return;
    };
    let offset = homes.device.write("offset", "+0");
    let wrap = |mut command: Command| {
        command
            .env("LD_PRELOAD", &library)
            .env("FAKETIME_TIMESTAMP_FILE", &offset)
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("NO_FAKE_STAT", "1");
        command
    };
    let hub = HubServe::start(&homes.hub);
    let change = |options: DaemonOptions, _: &HubServe<'_>| {
        let options = options.set("clock", "wait_secs", 0);
        options.set("hub", "token_life_secs", 10)
    };
    let bed = Bed::between("clock set", &homes, hub, change, wrap);
    // Two hours, some days, and many years, forward and back.
    const SECS: [i64; 5] = [7200, 300_000, -7200, -300_000, -900_000_000];
    let mut next = SECS.into_iter().cycle();
    let said = hit(bed, moments(5), |bed| {
        let secs = next.next().expect("it has no end");
        fs::write(&offset, format!("{secs:+}")).expect("the file can be written");
        // Connections that there are last as long as their tokens, whatever the time is.
        bed.lines(Conduct::Cut);
        bed.lines(Conduct::Whole);
        bed.wait_sending();
        bed.pass(1000);
    });
    assert!(said.contains("is not that of the hub"), "{said}");
}
