//! A hub, its devices, each a process, and the lines between them.
//!
//! Two modules of each device send numbers all the time, and note which were taken; a third one has a twin that
//! changes. [`Device::finish`] compares what both sides have in the end.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wasm_edge_tests::daemon::{Daemon, DaemonOptions};
use wasm_edge_tests::deployment::{Deployment, Module};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::hub::HubServe;
use wasm_edge_tests::line::{Conduct, Line};
use wasm_edge_tests::management::Management;
use wasm_edge_tests::numbers::{self, Notes};
use wasm_edge_tests::soak::Chance;
use wasm_edge_tests::wait;

const PRODUCERS: [&str; 2] = ["left", "right"];

/// How long a producer waits between two messages where there is one device; with more of them they send as much
/// together.
const EVERY_MS: usize = 3;

/// How many messages of a module are on their way at most, and so come again when a connection breaks.
const IN_FLIGHT_MAX: u64 = 64;

/// The homes of a hub and of its devices.
pub(crate) struct Homes {
    pub(crate) hub: Home,
    pub(crate) devices: Vec<Home>,
}

/// A hub, and its devices.
pub(crate) struct Bed<'a> {
    pub(crate) homes: &'a Homes,
    /// Nothing while it is away.
    pub(crate) hub: Option<HubServe<'a>>,
    pub(crate) devices: Vec<Device<'a>>,
    pub(crate) chance: Chance,
}

/// A device, and its lines to the hub.
pub(crate) struct Device<'a> {
    name: &'static str,
    pub(crate) id: String,
    pub(crate) number: usize,
    pub(crate) home: &'a Home,
    pub(crate) mqtt: Line,
    pub(crate) https: Line,
    pub(crate) options: DaemonOptions,
    /// Nothing while it is away.
    pub(crate) daemon: Option<Daemon<'a>>,
    pub(crate) chance: Chance,
    /// How often something was done that may break connections.
    pub(crate) breaks: u64,
    patches: u64,
    begun: Instant,
}

impl Homes {
    /// Of so many devices.
    pub(crate) fn of(devices: usize) -> Self {
        Self {
            hub: Home::new(),
            devices: (0..devices).map(|_| Home::new()).collect(),
        }
    }

    /// What all devices run is compiled once, before they start.
    fn precompile(&self, deployment: &Deployment) {
        let Some((first, others)) = self.devices.split_first() else {
            return;
        };
        let manifest = deployment.write(first);
        let data = first.data();
        let args = [
            manifest.as_os_str(),
            "--data-dir".as_ref(),
            data.as_os_str(),
        ];
        let compiled = first.command(["precompile".as_ref()].iter().chain(&args));
        run(compiled);
        for other in others {
            let mut copy = first.program("cp", ["-a"]);
            copy.args([data.clone(), other.data()]);
            run(copy);
        }
    }
}

/// Runs a command to its end, which is to be a good one.
fn run(mut command: Command) {
    let output = command.output().expect("the program can be started");
    assert!(output.status.success(), "{command:?}: {output:?}");
}

fn deployment(every_ms: usize) -> Deployment {
    let producer = |name| {
        let module = Module::guest("producer").named(name);
        module
            .env("NOTES", "yes")
            .env("EVERY_MS", every_ms.to_string())
            .env("BYTES", "64")
    };
    let deployment = Deployment::new().module(Module::guest("twin-echo"));
    PRODUCERS.iter().fold(deployment, |deployment, name| {
        deployment.module(producer(name)).upstream(name)
    })
}

impl<'a> Bed<'a> {
    pub(crate) fn start(name: &'static str, homes: &'a Homes) -> Self {
        Self::start_with(name, homes, |options, _| options)
    }

    /// With what else the devices are told of their hub.
    pub(crate) fn start_with(
        name: &'static str,
        homes: &'a Homes,
        change: impl Fn(DaemonOptions, &HubServe<'_>) -> DaemonOptions,
    ) -> Self {
        let hub = HubServe::start(&homes.hub);
        Self::between(name, homes, hub, change, |_, command| command)
    }

    /// Of a hub that runs, and devices whose command is changed before they start.
    pub(crate) fn between(
        name: &'static str,
        homes: &'a Homes,
        hub: HubServe<'a>,
        change: impl Fn(DaemonOptions, &HubServe<'_>) -> DaemonOptions,
        wrap: impl Fn(&Home, Command) -> Command,
    ) -> Self {
        let chance = Chance::new();
        println!("{name}: WASM_EDGE_SOAK_SEED={}", chance.seed());
        let deployment = deployment(EVERY_MS * homes.devices.len());
        homes.precompile(&deployment);
        let devices = homes.devices.iter().enumerate().map(|(number, home)| {
            let id = format!("d{number}");
            let (mqtt, https) = (Line::to(hub.mqtt_port()), Line::to(hub.https_port()));
            let options = DaemonOptions::of_hub(&hub, &hub.make_device(&id))
                .set("hub", "mqtt_port", mqtt.port())
                .set("hub", "https_port", https.port())
                .set("hub", "connect_timeout_secs", 2)
                .set("hub", "retry_max_secs", 1);
            let options = change(options, &hub);
            hub.apply(&id, &deployment);
            let command = wrap(home, options.command(home));
            let daemon = options.start_command(home, command);
            Device {
                name,
                id,
                number,
                home,
                mqtt,
                https,
                options,
                daemon: Some(daemon),
                chance: Chance::of(chance.seed().wrapping_add(number as u64)),
                breaks: 0,
                patches: 0,
                begun: Instant::now(),
            }
        });
        let devices: Vec<_> = devices.collect();
        for device in &devices {
            hub.wait_deployed(&device.id);
        }
        Self {
            homes,
            hub: Some(hub),
            devices,
            chance,
        }
    }

    /// Some time of at most so many milliseconds.
    pub(crate) fn pass(&mut self, most_ms: u64) {
        pass(&mut self.chance, most_ms);
    }

    /// Does it to all at so many random moments, most of them while messages arrive; answers what each device said of
    /// itself.
    pub(crate) fn hit(mut self, moments: u64, mut fault: impl FnMut(&mut Self)) -> Vec<String> {
        for _ in 0..moments {
            let waits = self.chance.below(3) > 0;
            for device in self.devices.iter().filter(|_| waits) {
                device.wait_sending();
            }
            self.pass(300);
            let hub = self.hub.as_ref().expect("it is there");
            for device in &mut self.devices {
                device.patch(hub);
                device.breaks += 1;
            }
            fault(&mut self);
        }
        let Self { hub, devices, .. } = self;
        let hub = hub.expect("it is there");
        let finish = |device: Device<'_>| device.finish(&hub);
        devices.into_iter().map(finish).collect()
    }

    /// Does it to each device by itself, at so many random moments in all; answers what each device said of itself.
    pub(crate) fn hit_each(
        self,
        moments: u64,
        fault: impl Fn(&mut Device<'a>, &HubServe<'a>) + Sync,
    ) -> Vec<String> {
        let Self { hub, devices, .. } = self;
        let hub = hub.expect("it is there");
        let moments = moments.div_ceil(devices.len() as u64);
        let strike = |mut device: Device<'a>| {
            for _ in 0..moments {
                if device.chance.below(3) > 0 {
                    device.wait_sending();
                }
                device.pass(300);
                device.patch(&hub);
                device.breaks += 1;
                fault(&mut device, &hub);
            }
            device.finish(&hub)
        };
        thread::scope(|scope| {
            let strike = &strike;
            let threads = devices
                .into_iter()
                .map(|device| scope.spawn(move || strike(device)));
            let threads: Vec<_> = threads.collect();
            let said = threads.into_iter().map(|thread| thread.join());
            said.map(|said| said.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        })
    }
}

impl Device<'_> {
    /// Some time of at most so many milliseconds.
    pub(crate) fn pass(&mut self, most_ms: u64) {
        pass(&mut self.chance, most_ms);
    }

    /// Both lines do so from now on.
    pub(crate) fn lines(&mut self, conduct: Conduct) {
        self.mqtt.set(conduct);
        self.https.set(conduct);
    }

    fn daemon(&self) -> &Daemon<'_> {
        self.daemon.as_ref().expect("it runs")
    }

    /// The hub is told something for the device.
    fn patch(&mut self, hub: &HubServe<'_>) {
        self.patches += 1;
        let desired = json!({ "x": self.patches, "pad": "x".repeat(200) });
        hub.patch(&self.id, "twin-echo", &desired);
    }

    /// What the device says of its way to the hub.
    pub(crate) fn upstream(&self) -> Value {
        self.daemon().get("/v1/upstream")["upstream"][0].clone()
    }

    /// Waits until more has arrived than there is now.
    pub(crate) fn wait_sending(&self) {
        let sent = || self.upstream()["messagesSent"].as_u64();
        let before = sent().expect("a number");
        wait::until_so("messages to arrive again", || {
            sent().is_some_and(|sent| sent > before)
        });
    }

    /// Waits until a try to reach the hub has failed, not as before, for a cause that holds this text.
    pub(crate) fn wait_fails(&self, before: &Value, cause: &str) {
        wait::until_so("the way to the hub to fail", || {
            let failure = &self.upstream()["lastFailure"];
            let said = failure["cause"].as_str().unwrap_or_default();
            failure != before && said.contains(cause)
        });
    }

    /// How many connections were made for a module since the device started; nothing while it has none.
    pub(crate) fn connections(&self, module: &str) -> Option<u64> {
        let upstream = self.upstream();
        let mut sessions = upstream["sessions"].as_array()?.iter();
        sessions.find(|session| session["module"] == module)?["connections"].as_u64()
    }

    /// When a module was started last.
    pub(crate) fn last_start(&self, module: &str) -> Value {
        self.daemon().module(module)["lastStartTime"].clone()
    }

    /// Waits until a module has another connection than before.
    pub(crate) fn wait_connected_anew(&self, module: &str, before: Option<u64>) {
        wait::until_so("another connection", || self.connections(module) > before);
    }

    /// All is whole again: whether all is there that was taken, and both sides say the same. Answers what the device
    /// said of itself.
    fn finish(mut self, hub: &HubServe<'_>) -> String {
        self.lines(Conduct::Whole);
        if self.daemon.is_none() {
            self.daemon = Some(self.options.start(self.home));
        }
        self.patch(hub);
        for producer in PRODUCERS {
            wait::until_so("a producer to stop", || {
                let body = json!({ "methodName": "stop", "responseTimeoutInSeconds": 5 });
                let path = format!("/twins/{}/modules/{producer}/methods", self.id);
                let answer = hub.ask("POST", &path, Some(&body));
                answer.status == 200 && answer.body["status"] == 200
            });
        }
        let arrivals = numbers::arrivals_of(&Management::of(hub.home()), &self.id, &PRODUCERS);
        for (producer, arrivals) in PRODUCERS.iter().zip(arrivals) {
            let notes = Notes::of_device(self.home, &self.id, producer);
            if let Err(fault) = numbers::check(&notes, &arrivals) {
                let daemon = self.daemon.take().expect("it runs");
                panic!("{producer}: {fault}\n{}", daemon.stop().stderr);
            }
            let twice = arrivals.len() as u64 - distinct(&arrivals);
            println!(
                "{} {} {producer}: {} taken, {} arrived, {twice} twice in {} breaks, {:.1} s",
                self.name,
                self.id,
                notes.taken.len(),
                arrivals.len(),
                self.breaks,
                self.begun.elapsed().as_secs_f64(),
            );
            assert!(!notes.taken.is_empty());
            assert!(twice <= self.breaks * IN_FLIGHT_MAX, "{twice} came twice");
        }
        self.check_twin(hub);
        let daemon = self.daemon.take().expect("it runs");
        for module in daemon.modules() {
            assert_eq!(module["restartCount"], 0, "{module}");
        }
        daemon.stop().ok().stderr
    }

    fn check_twin(&self, hub: &HubServe<'_>) {
        let wanted = json!(self.patches);
        hub.wait_reported(&self.id, "twin-echo", "/x", &wanted);
        let (mut ours, mut theirs) = (Value::Null, Value::Null);
        let section = |twin: &Value, section: &str| {
            let mut section = twin["properties"][section].clone();
            if let Some(section) = section.as_object_mut() {
                section.remove("$metadata");
            }
            section
        };
        let same = wait::try_until(|| {
            theirs = hub.twin(&self.id, "twin-echo");
            ours = self
                .daemon()
                .verb(&["twin", "get", "twin-echo", "--output", "json"])
                .ok()
                .json();
            let same = |name| section(&ours, name) == section(&theirs, name);
            (same("desired") && same("reported")).then_some(())
        });
        assert!(same.is_some(), "the hub: {theirs:#}\nthe device: {ours:#}");
    }
}

fn pass(chance: &mut Chance, most_ms: u64) {
    thread::sleep(Duration::from_millis(chance.below(most_ms)));
}

fn distinct(arrivals: &[numbers::Arrival]) -> u64 {
    let mut numbers: Vec<u64> = arrivals.iter().map(|arrival| arrival.number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers.len() as u64
}
