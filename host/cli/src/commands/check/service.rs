//! The daemon of this machine: its configuration, and the way to its hub.

use super::facts::service::{Credentials, Hub, Service};
use super::verdict::Verdict;
use crate::output::human;

/// Judges the configuration.
pub(super) fn judge_configuration(service: &Service) -> Verdict {
    match service {
        Service::None => nothing_configured(),
        Service::Faulty { file, problems } => {
            let summary = format!(
                "`{}` cannot be used: {}",
                file.display(),
                human::count(problems.len(), "fault")
            );
            Verdict::error(summary)
                .details(problems.clone())
                .hint("docs/configuration.md has all keys; `wasm-edge daemon --check` shows the faults again")
        }
        Service::Alone { file } => Verdict::ok(format!(
            "`{}` has no faults; the device has no hub",
            file.display()
        )),
        Service::OfHub(hub) => Verdict::ok(format!(
            "`{}` has no faults; the device belongs to `{}`",
            hub.file.display(),
            hub.host
        )),
    }
}

/// Judges whether the hub's name is found.
pub(super) fn judge_name(service: &Service) -> Verdict {
    with_hub(service, |hub| match &hub.addresses {
        _ if hub.has_proxy => Verdict::skipped("the proxy finds the hub's name"),
        Ok(0) => Verdict::error(format!("`{}` has no address", hub.host)),
        Ok(count) => Verdict::ok(format!(
            "`{}` has {}",
            hub.host,
            human::count(*count, "address").replace("addresss", "addresses")
        )),
        Err(problem) => Verdict::error(format!("`{}` is not found: {problem}", hub.host))
            .hint("look at /etc/resolv.conf, and whether there is a network"),
    })
}

/// Judges whether the hub is reached.
pub(super) fn judge_connection(service: &Service) -> Verdict {
    with_hub(service, |hub| {
        let failed = hub.ports.iter().filter_map(|(port, tried)| {
            let problem = tried.as_ref().err()?;
            Some(format!("port {port}: {problem}"))
        });
        let failed: Vec<_> = failed.collect();
        let reached = hub.ports.iter().find(|(_, tried)| tried.is_ok());
        match reached {
            Some((port, _)) => {
                Verdict::ok(format!("`{}` answers by TLS on port {port}", hub.host)).details(failed)
            }
            None => Verdict::error(format!("`{}` is not reached", hub.host))
                .details(failed)
                .hint("the device goes on without it; a firewall has to let out port 8883, or 443 with `transport = \"mqtt-ws\"`"),
        }
    })
}

/// Judges whether the hub knows the device.
pub(super) fn judge_credentials(service: &Service) -> Verdict {
    with_hub(service, |hub| {
        match &hub.credentials {
        Credentials::Accepted => Verdict::ok(format!("`{}` knows the device", hub.host)),
        Credentials::NotAnEdgeDevice => Verdict::error(format!(
            "`{}` knows the device, and not as one that runs modules",
            hub.host
        ))
        .hint("make it an IoT Edge device: `wasm-edge hub device update ID --edge true`, or in the portal"),
        Credentials::Refused(cause) => {
            Verdict::error(format!("`{}` refuses the device: {cause}", hub.host)).hint(
                "look whether the device is there, enabled and has this key, and whether the clock is right",
            )
        }
        Credentials::Unknown(cause) => Verdict::skipped(format!("the hub was not asked: {cause}")),
    }
    })
}

/// The verdict over what is known of the hub, where there is one.
pub(super) fn with_hub(service: &Service, judge: impl FnOnce(&Hub) -> Verdict) -> Verdict {
    match service {
        Service::None => nothing_configured(),
        Service::Faulty { .. } => Verdict::skipped("the configuration cannot be used"),
        Service::Alone { .. } => Verdict::skipped("the device has no hub"),
        Service::OfHub(hub) => judge(hub),
    }
}

fn nothing_configured() -> Verdict {
    Verdict::skipped("there is no configuration of a daemon")
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::verdict::Grade;
    use super::*;

    pub(in super::super) fn hub() -> Hub {
        Hub {
            file: "/etc/it.toml".into(),
            host: "hub.example".to_owned(),
            has_proxy: false,
            addresses: Ok(2),
            ports: vec![(8883, Ok(()))],
            credentials: Credentials::Accepted,
            certificates: Vec::new(),
        }
    }

    fn check(
        judge: fn(&Service) -> Verdict,
        change: impl FnOnce(&mut Hub),
        grade: Grade,
        part: &str,
    ) {
        let mut hub = hub();
        change(&mut hub);
        let verdict = judge(&Service::OfHub(Box::new(hub)));
        assert_eq!(verdict.grade, grade, "{verdict:?}");
        assert!(format!("{verdict:?}").contains(part), "{verdict:?}");
    }

    #[test]
    fn a_hub_is_found_reached_and_knows_the_device() {
        check(
            judge_configuration,
            |_| {},
            Grade::Ok,
            "belongs to `hub.example`",
        );
        check(judge_name, |_| {}, Grade::Ok, "has 2 addresses");
        check(
            judge_name,
            |hub| hub.addresses = Ok(1),
            Grade::Ok,
            "1 address",
        );
        check(
            judge_name,
            |hub| hub.addresses = Ok(0),
            Grade::Error,
            "no address",
        );
        let gone = |hub: &mut Hub| hub.addresses = Err("no such name".to_owned());
        check(judge_name, gone, Grade::Error, "is not found: no such name");
        check(
            judge_name,
            |hub| hub.has_proxy = true,
            Grade::Skipped,
            "proxy",
        );
        check(judge_connection, |_| {}, Grade::Ok, "port 8883");
        let blocked = |hub: &mut Hub| {
            hub.ports = vec![(8883, Err("timed out".to_owned())), (443, Ok(()))];
        };
        check(judge_connection, blocked, Grade::Ok, "port 8883: timed out");
        let away = |hub: &mut Hub| hub.ports = vec![(8883, Err("refused".to_owned()))];
        check(judge_connection, away, Grade::Error, "is not reached");
        check(judge_credentials, |_| {}, Grade::Ok, "knows the device");
        let other = |hub: &mut Hub| hub.credentials = Credentials::NotAnEdgeDevice;
        check(judge_credentials, other, Grade::Error, "--edge true");
        let refused = |hub: &mut Hub| hub.credentials = Credentials::Refused("401".to_owned());
        check(
            judge_credentials,
            refused,
            Grade::Error,
            "refuses the device: 401",
        );
    }

    #[test]
    fn without_a_hub_there_is_nothing_to_reach() {
        let file = || "/etc/it.toml".into();
        let faulty = Service::Faulty {
            file: file(),
            problems: vec!["line 1".to_owned(), "line 2".to_owned()],
        };
        for (service, grade) in [
            (Service::None, Grade::Skipped),
            (Service::Alone { file: file() }, Grade::Ok),
            (faulty, Grade::Error),
        ] {
            assert_eq!(judge_configuration(&service).grade, grade);
            for judge in [judge_name, judge_connection, judge_credentials] {
                assert_eq!(judge(&service).grade, Grade::Skipped);
            }
        }
    }
}
