//! Devices and their hub, each a process, and what goes wrong between them: whatever fails and whenever, no number that
//! a module was told is taken gets lost, and twins and methods are right again in the end.
//!
//! Two modules of each device send numbers all the time, and note which were taken. Each kind of fault hits at random
//! moments, whose seed is printed; `make soak` has more of them (`WASM_EDGE_SOAK_FAULTS`). What hits one device alone
//! hits several under one hub at moments of their own, for most of the time is spent on waiting.

mod bed;

use std::process::Command;
use std::thread;
use std::time::Duration;

use wasm_edge_tests::daemon::DaemonOptions;
use wasm_edge_tests::home::Home;
use wasm_edge_tests::hub::{HubOptions, HubServe};
use wasm_edge_tests::line::Conduct;
use wasm_edge_tests::meddler::Meddler;
use wasm_edge_tests::{debian, soak, wait};

use self::bed::{Bed, Homes};

/// So many devices share the moments of a fault that hits them one by one.
const DEVICES: usize = 4;

/// A token is good for so long at least, in seconds, and so this is what tests wait for.
const TOKEN_LIFE_SECS: u64 = 10;

/// Who has a session with the hub.
const IDENTITIES: [&str; 5] = ["$edgeAgent", "$edgeHub", "left", "right", "twin-echo"];

/// At how many random moments each fault hits.
fn moments() -> u64 {
    soak::amount("WASM_EDGE_SOAK_FAULTS", 20)
}

/// Each of them lost the hub and found it again.
fn came_back(said: &[String]) {
    for said in said {
        assert!(said.matches("connected to the hub").count() > 1, "{said}");
    }
}

/// One of them said so.
fn was_said(said: &[String], text: &str) {
    assert!(said.iter().any(|said| said.contains(text)), "{said:#?}");
}

#[test]
fn a_hub_that_is_killed_and_comes_back() {
    let homes = Homes::of(1);
    let bed = Bed::start("hub killed", &homes);
    let said = bed.hit(moments(), |bed| {
        let options = bed.hub.take().expect("it is there").kill();
        bed.pass(500);
        bed.hub = Some(options.start(&bed.homes.hub));
    });
    came_back(&said);
}

#[test]
fn a_network_that_is_cut_tears_is_silent_or_slow() {
    let homes = Homes::of(DEVICES);
    let bed = Bed::start("network", &homes);
    let most_ms = soak::amount("WASM_EDGE_SOAK_CUT_MS", 800);
    let said = bed.hit_each(moments(), |device, _| {
        // The first time for as long as ever.
        let dice = match device.breaks {
            1 => 0,
            _ => 1 + device.chance.below(5),
        };
        let conduct = match dice {
            0..=2 => Conduct::Cut,
            3 => Conduct::Silent,
            4 => Conduct::Slow(Duration::from_millis(device.chance.below(60))),
            _ => Conduct::Torn(device.chance.below(20_000)),
        };
        device.lines(conduct);
        match dice {
            0 => thread::sleep(Duration::from_millis(most_ms)),
            _ => device.pass(most_ms),
        }
        if dice == 3 && device.chance.below(2) == 0 {
            // What was on its way is lost; else it goes on where it was.
            device.lines(Conduct::Cut);
        }
        device.lines(Conduct::Whole);
    });
    came_back(&said);
}

#[test]
fn a_device_that_is_killed_while_its_hub_is_out_of_reach() {
    let homes = Homes::of(DEVICES);
    let bed = Bed::start("device killed", &homes);
    bed.hit_each(moments(), |device, _| {
        device.lines(Conduct::Cut);
        device.pass(500);
        device.daemon.take().expect("it runs").kill();
        device.daemon = Some(device.options.start(device.home));
        device.pass(500);
        device.lines(Conduct::Whole);
    });
}

#[test]
fn a_token_that_expires_while_the_hub_is_out_of_reach() {
    // Each moment takes a token's life, whatever else is done: more devices have their moments meanwhile.
    let homes = Homes::of(7);
    let change = |options: DaemonOptions, _: &HubServe<'_>| {
        options.set("hub", "token_life_secs", TOKEN_LIFE_SECS)
    };
    let bed = Bed::start_with("token expired", &homes, change);
    bed.hit_each(moments(), |device, _| {
        let conduct = match device.chance.below(2) {
            0 => Conduct::Cut,
            // The hub closes meanwhile what lasts longer than its token.
            _ => Conduct::Silent,
        };
        let before = IDENTITIES.map(|module| device.connections(module));
        device.lines(conduct);
        thread::sleep(Duration::from_millis(TOKEN_LIFE_SECS * 1000 + 500));
        device.lines(Conduct::Whole);
        // Each came in again, by another token.
        for (module, before) in IDENTITIES.iter().zip(before) {
            device.wait_connected_anew(module, before);
        }
    });
}

#[test]
fn a_token_that_is_renewed_while_messages_are_sent() {
    let homes = Homes::of(1);
    let change = |options: DaemonOptions, _: &HubServe<'_>| {
        options.set("hub", "token_life_secs", TOKEN_LIFE_SECS)
    };
    let bed = Bed::start_with("token renewed", &homes, change);
    let said = bed.hit(1, |bed| {
        let device = &bed.devices[0];
        let before = IDENTITIES.map(|module| device.connections(module));
        for (module, before) in IDENTITIES.iter().zip(before) {
            device.wait_connected_anew(module, before);
        }
    });
    // It was there all the time.
    let times = said[0].matches("connected to the hub").count();
    assert_eq!(times, 1, "{}", said[0]);
}

#[test]
fn an_identity_that_is_deleted_or_given_other_keys_at_the_hub() {
    let homes = Homes::of(DEVICES);
    let bed = Bed::start("identity changed", &homes);
    let said = bed.hit_each(moments(), |device, hub| {
        let modules = ["left", "right", "twin-echo"];
        let module = modules[device.chance.below(3) as usize];
        let id = device.id.clone();
        let path = format!("/devices/{id}/modules/{module}");
        let key = "/authentication/symmetricKey/primaryKey";
        wait::until_so("a session", || device.connections(module).is_some());
        let before = device.connections(module);
        let started = device.last_start(module);
        if device.chance.below(2) == 0 {
            assert_eq!(hub.ask("DELETE", &path, None).status, 204);
            wait::until_so("the identity to be made again", || {
                hub.ask("GET", &path, None).status == 200
            });
            // And the module is started again under it, as a whole: what it is told before would be told to the one
            // that ends.
            wait::until_so("the module to start again", || {
                device.last_start(module) != started
            });
        } else {
            let was = hub.get(&path).pointer(key).cloned();
            let args = ["hub", "module", "update", &id, module, "--new-keys"];
            hub.verb(&args).ok();
            wait::until_so("the keys to be those of the device again", || {
                hub.get(&path).pointer(key) == was.as_ref()
            });
        }
        device.wait_connected_anew(module, before);
        // It came in at once with what it has now: nobody waited because the hub had refused.
        let failure = device.upstream()["lastFailure"]["cause"].clone();
        let cause = failure.as_str().unwrap_or_default();
        assert!(!cause.contains("user name or password"), "{cause}");
    });
    for said in said {
        // Nobody but the module itself lost its connection.
        assert_eq!(said.matches("connected to the hub").count(), 1, "{said}");
    }
}

/// With a meddler's certificates trusted beside those of the hub.
fn trusting(options: DaemonOptions, hub: &HubServe<'_>, meddler: &Meddler) -> DaemonOptions {
    let both = format!("{}{}", hub.ca_pem(), meddler.ca_pem());
    let both = hub.home().write("both.pem", both);
    options.set("hub", "ca_file", both.to_str().expect("the path is text"))
}

#[test]
fn a_hub_whose_certificate_is_for_another_name() {
    const CAUSE: &str = "it is for another name";
    let homes = Homes::of(DEVICES);
    let hub = HubServe::start(&homes.hub);
    let other = Meddler::named(&hub, "other.test");
    let change = |options: DaemonOptions, hub: &HubServe<'_>| {
        // There is no other way to the hub.
        trusting(options, hub, &other).set("hub", "transport", "mqtt")
    };
    let bed = Bed::between("other name", &homes, hub, change, |_, command| command);
    let said = bed.hit_each(moments(), |device, hub| {
        let before = device.upstream()["lastFailure"].clone();
        device.mqtt.lead_to(other.port());
        device.wait_fails(&before, CAUSE);
        device.pass(500);
        device.mqtt.lead_to(hub.mqtt_port());
    });
    was_said(&said, CAUSE);
    came_back(&said);
}

#[test]
fn a_hub_that_answers_late_twice_wrongly_and_what_was_not_asked() {
    let homes = Homes::of(1);
    let hub = HubServe::start(&homes.hub);
    let meddler = Meddler::before(&hub);
    let change = |options: DaemonOptions, hub: &HubServe<'_>| {
        let options = trusting(options, hub, &meddler);
        options.set("hub", "mqtt_port", meddler.port())
    };
    let bed = Bed::between("meddler", &homes, hub, change, |_, command| command);
    bed.hit(moments(), |bed| {
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
    const CAUSE: &str = "cannot find an address for `hub.test`";
    const HOSTS: &str = "127.0.0.1 localhost hub.test\n";
    let homes = Homes::of(DEVICES);
    for home in &homes.devices {
        home.write("hosts", HOSTS);
        home.write("resolv.conf", "nameserver 127.0.0.1\n");
    }
    if !in_names_of_its_own(&homes.devices[0], Command::new("true"))
        .status()
        .is_ok_and(|status| status.success())
    {
        eprintln!("LEFT OUT: no mount namespace can be made here");
        return;
    }
    let hub = HubOptions::new().args(["--host-name", "hub.test"]);
    let hub = hub.start(&homes.hub);
    let same = |options, _: &HubServe<'_>| options;
    let bed = Bed::between("no name", &homes, hub, same, in_names_of_its_own);
    let said = bed.hit_each(moments(), |device, _| {
        let before = device.upstream()["lastFailure"].clone();
        device.home.write("hosts", "");
        device.lines(Conduct::Cut);
        device.lines(Conduct::Whole);
        device.wait_fails(&before, CAUSE);
        device.pass(500);
        device.home.write("hosts", HOSTS);
    });
    was_said(&said, CAUSE);
    came_back(&said);
}

/// A command that finds the names of `hosts` in the home folder, and asks nobody else.
fn in_names_of_its_own(home: &Home, command: Command) -> Command {
    let mut wrapped = home.program("unshare", ["--mount", "sh", "-ec"]);
    wrapped
        .arg("mount --bind \"$1\" /etc/hosts; mount --bind \"$2\" /etc/resolv.conf; shift 2; exec \"$@\"")
        .arg("sh")
        .args(["hosts", "resolv.conf"].map(|file| home.path().join(file)))
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            wrapped.env(name, value);
        }
    }
    wrapped
}

#[test]
fn a_clock_that_is_set_forward_and_back() {
    // Two hours, some days, and many years, forward and back.
    const SECS: [i64; 5] = [7200, 300_000, -7200, -300_000, -900_000_000];
    let homes = Homes::of(DEVICES);
    let Some(library) = debian::library("libfaketime", "faketime/libfaketimeMT.so.1") else {
        return;
    };
    let wrap = |home: &Home, mut command: Command| {
        command
            .env("LD_PRELOAD", &library)
            .env("FAKETIME_TIMESTAMP_FILE", home.write("offset", "+0"))
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("NO_FAKE_STAT", "1");
        command
    };
    let hub = HubServe::start(&homes.hub);
    let change = |options: DaemonOptions, _: &HubServe<'_>| {
        let options = options.set("clock", "wait_secs", 0);
        options.set("hub", "token_life_secs", TOKEN_LIFE_SECS)
    };
    let bed = Bed::between("clock set", &homes, hub, change, wrap);
    let said = bed.hit_each(moments(), |device, _| {
        let next = device.number + device.breaks as usize;
        let secs = SECS[next % SECS.len()];
        device.home.write("offset", format!("{secs:+}"));
        // Connections that there are last as long as their tokens, whatever the time is.
        device.lines(Conduct::Cut);
        device.lines(Conduct::Whole);
        device.wait_sending();
        device.pass(1000);
    });
    was_said(&said, "is not that of the hub");
}
