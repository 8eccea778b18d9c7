use std::path::{Path, PathBuf};
use std::time::Duration;

use wasm_edge_model::connection_string::HostAddress;
use wasm_edge_model::identity::DeviceId;
use wasm_edge_model::manifest::Fault;
use wasm_edge_net::proxy::Exceptions;

use super::hub::{ProxySource, TransportChoice};
use super::provisioning::{
    Attestation, CertificateFiles, ConnectionStringSource, DpsConfig, GLOBAL_ENDPOINT_DEFAULT,
    KeyOwner, Reprovision,
};
use super::source::{ConfigFile, Source};
use super::*;

const PAGE: &str = include_str!("../../../../docs/configuration.md");

/// A device's connection string.
const DEVICE: &str =
    "HostName=hub.example;DeviceId=d1;SharedAccessKey=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

fn sources(files: &[(&str, &str)], variables: &[(&str, &str)]) -> Sources {
    let files = files.iter().map(|(path, text)| ConfigFile {
        path: PathBuf::from(path),
        text: (*text).to_owned(),
    });
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Sources::new(files.collect(), variables.iter().map(owned))
}

fn read(text: &str) -> Config {
    let config = Config::read(&sources(&[("/etc/it/a.toml", text)], &[]));
    config.unwrap_or_else(|faults| panic!("{text}:\n{faults}"))
}

fn router(text: &str) -> RouterConfig {
    read(text).router
}

/// The faults of a single file.
fn faults(text: &str) -> Vec<Fault> {
    let ConfigFaults(faults) =
        Config::read(&sources(&[("a.toml", text)], &[])).expect_err("it is wrong");
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert_eq!(faults[0].0, Source::File("a.toml".into()));
    faults[0].1.0.clone()
}

fn check(text: &str, expected: &[&str]) {
    let told: Vec<_> = faults(text).iter().map(ToString::to_string).collect();
    assert_eq!(told, expected, "{text}");
}

#[test]
fn nothing_said_is_the_default() {
    assert_eq!(router(""), RouterConfig::default());
    assert_eq!(router("# nothing\n[router]\n"), RouterConfig::default());
}

#[test]
fn every_key_is_read() {
    let text = r#"
        [router]
        durability = "process"
        compatibility = "edgehub"
        max_bytes = 16_777_216
        max_messages = 100000
        endpoint_max_bytes = 0x200000
        endpoint_max_messages = 50000
        when_full = "thin-out"
    "#;
    let expected = RouterConfig {
        durability: Some(Durability::Process),
        compatibility: Compatibility::EdgeHub,
        max_bytes: 16 << 20,
        max_messages: Some(100_000),
        endpoint_max_bytes: Some(2 << 20),
        endpoint_max_messages: Some(50_000),
        when_full: WhenFull::ThinOut,
    };
    assert_eq!(router(text), expected);
    assert_eq!(
        router("router.durability = 'none'").durability,
        Some(Durability::None)
    );
}

#[test]
fn every_fault_is_told_with_its_place() {
    check(
        "size = 1\n[router]\ndurability = \"disk\"\n  max_bytes = \"1 GiB\"\nmax_messages = 3\nqueue = 2\nwhen_full = true\n[logs]\nlevel = 1\n",
        &[
            "line 1, column 1: size: the key is not known; expected `provisioning`, `hub`, `proxy`, `deployment`, `policy`, `images`, `registries`, `metrics`, `clock`, `log` or `router`",
            "line 3, column 14: router.durability: `disk` stands here; expected `none`, `process` or `power`",
            "line 4, column 15: router.max_bytes: a string stands here; expected a whole number from 4194304 to 1099511627776",
            "line 5, column 16: router.max_messages: 3 stands here; expected a whole number from 16 to 1000000000",
            "line 6, column 1: router.queue: the key is not known; expected `durability`, `compatibility`, `max_bytes`, `max_messages`, `endpoint_max_bytes`, `endpoint_max_messages` or `when_full`",
            "line 7, column 13: router.when_full: a boolean stands here; expected `refuse`, `drop-oldest`, `drop-newest` or `thin-out`",
            "line 8, column 2: logs: the key is not known; expected `provisioning`, `hub`, `proxy`, `deployment`, `policy`, `images`, `registries`, `metrics`, `clock`, `log` or `router`",
        ],
    );
    check(
        "router = 5",
        &["line 1, column 10: router: a whole number stands here; expected a table"],
    );
    check(
        "[router]\nmax_bytes = -1\nendpoint_max_bytes = 99999999999999999999\n",
        &[
            "line 2, column 13: router.max_bytes: -1 stands here; expected a whole number from 4194304 to 1099511627776",
            "line 3, column 22: router.endpoint_max_bytes: 99999999999999999999 stands here; expected a whole number from 1048576 to 1099511627776",
        ],
    );
}

#[test]
fn a_text_that_is_not_toml_is_told_where_it_is_not() {
    for (text, line, column) in [
        ("[router\n", 1, 8),
        ("[router]\nmax_bytes = 1\nmax_bytes = 2\n", 3, 1),
        ("[router]\n# ä\nä = = 1\n", 3, 1),
    ] {
        let faults = faults(text);
        let first = &faults[0];
        assert_eq!(
            (first.line, first.column),
            (Some(line), Some(column)),
            "{faults:?}"
        );
        assert!(
            first.problem.starts_with("the text is not TOML: "),
            "{faults:?}"
        );
    }
    let long = " ".repeat(CONFIG_SIZE_MAX_BYTES + 1);
    check(
        &long,
        &[
            "line 1, column 1: configuration: the text has 65537 bytes; expected at most 65536 bytes",
        ],
    );
}

#[test]
fn hostile_texts_end_in_faults_of_bounded_number() {
    let keys: String = (0..5_000).map(|n| format!("k{n} = 1\n")).collect();
    assert_eq!(faults(&keys).len(), wasm_edge_model::manifest::FAULTS_MAX);
    for text in [
        "a = ".to_owned() + &"[".repeat(30_000),
        "a.".repeat(20_000) + "b = 1",
        "[".repeat(60_000),
        "\u{0}".to_owned(),
    ] {
        assert!(!faults(&text).is_empty());
    }
}

#[test]
fn every_key_of_the_other_sections_is_read() {
    let config = read(
        r#"
        [hub]
        transport = "mqtt-ws"
        mqtt_port = 18883
        https_port = 18443
        ca_file = "ca.pem"
        keep_alive_secs = 1177
        token_life_secs = 600
        refresh_secs = 86_400
        connect_timeout_secs = 60
        retry_max_secs = 120
        gateway = "gw.local"
        [proxy]
        url = "http://user:pass@proxy:3128"
        no_proxy = ["localhost", ".local"]
        [deployment]
        device_id = "d1"
        file_images = true
        health_timeout_secs = 90
        ready_timeout_secs = 20
        [policy]
        memory_max_bytes = 16777216
        [metrics]
        listen = "[::1]:9600"
        [clock]
        from_hub = false
        wait_secs = 0
        [log]
        level = "debug"
        format = "json"
    "#,
    );
    let expected = Config {
        hub: HubConfig {
            transport: TransportChoice::MqttWs,
            mqtt_port: Some(18_883),
            https_port: 18_443,
            ca_file: Some("/etc/it/ca.pem".into()),
            keep_alive: Duration::from_secs(1177),
            token_life: Duration::from_secs(600),
            refresh: Duration::from_secs(86_400),
            retry_max: Duration::from_secs(120),
            connect_timeout: Duration::from_secs(60),
            gateway: HostAddress::parse("gw.local"),
        },
        proxy: ProxyConfig {
            proxy: Some(ProxySource::Inline(
                "http://user:pass@proxy:3128".parse().unwrap(),
            )),
            exceptions: Exceptions::parse(["localhost", ".local"]).ok(),
        },
        deployment: DeploymentConfig {
            file: None,
            device_id: DeviceId::new("d1").ok(),
            file_images: Some(true),
            health_timeout: Some(Duration::from_secs(90)),
            ready_timeout: Some(Duration::from_secs(20)),
        },
        policy: PolicyConfig {
            memory_max_bytes: Some(16 << 20),
            registries: None,
        },
        metrics: MetricsConfig {
            listen: Some("[::1]:9600".parse().unwrap()),
        },
        clock: ClockConfig {
            from_hub: false,
            wait: Duration::ZERO,
        },
        log: LogConfig {
            level: device::LogLevel::Debug,
            format: device::LogFormat::Json,
        },
        ..Config::default()
    };
    assert_eq!(config, expected);
    assert!(!format!("{config:?}").contains("pass@"), "{config:?}");
}

#[test]
fn each_kind_of_provisioning_is_read() {
    let check = |text: &str, expected: ProvisioningConfig| {
        let text = format!("[provisioning]\n{text}\n");
        assert_eq!(read(&text).provisioning, Some(expected), "{text}");
    };
    let host = |name: &str| HostAddress::parse(name).unwrap();
    let certificate = || CertificateFiles {
        certificate_file: "/etc/it/c.pem".into(),
        private_key_file: "/keys/k.pem".into(),
    };
    check(
        &format!("source = 'connection-string'\nconnection_string = '{DEVICE}'"),
        ProvisioningConfig::ConnectionString {
            connection_string: ConnectionStringSource::Inline(DEVICE.parse().unwrap()),
            certificate: None,
        },
    );
    check(
        "source = 'connection-string'\nconnection_string_file = 'cs'\ncertificate_file = 'c.pem'\nprivate_key_file = '/keys/k.pem'",
        ProvisioningConfig::ConnectionString {
            connection_string: ConnectionStringSource::File("/etc/it/cs".into()),
            certificate: Some(certificate()),
        },
    );
    check(
        "source = 'sas-key-file'\nhost_name = 'hub.example:8883'\ndevice_id = 'd1'\nkey_file = 'key'",
        ProvisioningConfig::SasKeyFile {
            host_name: host("hub.example:8883"),
            device_id: DeviceId::new("d1").unwrap(),
            key_file: "/etc/it/key".into(),
        },
    );
    check(
        "source = 'x509'\nhost_name = 'hub.example'\ndevice_id = 'd1'\ncertificate_file = 'c.pem'\nprivate_key_file = '/keys/k.pem'",
        ProvisioningConfig::X509 {
            host_name: host("hub.example"),
            device_id: DeviceId::new("d1").unwrap(),
            certificate: certificate(),
        },
    );
    check(
        "source = 'dps'\nid_scope = '0ne000A1B2C'\nregistration_id = 'board-1'\nkey_file = 'key'\ngroup = true",
        ProvisioningConfig::Dps(DpsConfig {
            id_scope: "0ne000A1B2C".to_owned(),
            registration_id: "board-1".to_owned(),
            attestation: Attestation::Key {
                file: "/etc/it/key".into(),
                owner: KeyOwner::Group,
            },
            global_endpoint: host(GLOBAL_ENDPOINT_DEFAULT),
            reprovision: Reprovision::OnRefusal,
        }),
    );
    check(
        "source = 'dps'\nid_scope = '0ne'\nregistration_id = 'b'\ncertificate_file = 'c.pem'\nprivate_key_file = '/keys/k.pem'\nglobal_endpoint = 'dps.local:1'\nreprovision = 'at-start'",
        ProvisioningConfig::Dps(DpsConfig {
            id_scope: "0ne".to_owned(),
            registration_id: "b".to_owned(),
            attestation: Attestation::Certificate(certificate()),
            global_endpoint: host("dps.local:1"),
            reprovision: Reprovision::AtStart,
        }),
    );
}

#[test]
fn what_a_kind_of_provisioning_lacks_or_has_too_much_is_told() {
    check(
        "[provisioning]\ndevice_id = 'a b'\n",
        &[
            "line 1, column 2: provisioning.source: the key is missing; expected `connection-string`, `sas-key-file`, `x509` or `dps`",
            "line 2, column 13: provisioning.device_id: `a b` stands here; expected the id of a device",
        ],
    );
    check(
        "[provisioning]\nsource = 'dps'\nhost_name = 'h'\n",
        &[
            "line 1, column 2: provisioning.id_scope: the key is missing; expected the key, as `source` is `dps`",
            "line 1, column 2: provisioning.registration_id: the key is missing; expected the key, as `source` is `dps`",
            "line 1, column 2: provisioning.key_file: the key is missing; expected `key_file` or `certificate_file`, as `source` is `dps`",
            "line 3, column 13: provisioning.host_name: the key has no meaning with `source = \"dps\"`; expected `id_scope`, `registration_id`, `key_file`, `certificate_file`, `private_key_file`, `group`, `global_endpoint` or `reprovision`",
        ],
    );
    check(
        &format!(
            "[provisioning]\nsource = 'connection-string'\nconnection_string = '{DEVICE}'\nconnection_string_file = 'x'\nprivate_key_file = 'k'"
        ),
        &[
            "line 1, column 2: provisioning.connection_string: `connection_string_file` stands here as well; expected one of them",
            "line 1, column 2: provisioning.certificate_file: the key is missing; expected the key, as `source` is `connection-string`",
        ],
    );
    check(
        &format!(
            "[provisioning]\nsource = 'connection-string'\nconnection_string = '{DEVICE}'\n[deployment]\nfile = 'd.json'\n"
        ),
        &[
            "line 5, column 8: deployment.file: the device has a hub, which says what it runs; expected either this or `[provisioning]`",
        ],
    );
}

#[test]
fn no_fault_shows_a_secret() {
    let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    for (text, told) in [
        (
            format!("HostName=h;SharedAccessKeyName=service;SharedAccessKey={key}"),
            "the connection string is a service's",
        ),
        (
            format!("HostName=h;DeviceId=d;ModuleId=m;SharedAccessKey={key}"),
            "the connection string is a module's",
        ),
        (
            format!("DeviceId=d;SharedAccessKey={key}"),
            "`HostName` is missing in the connection string",
        ),
    ] {
        check(
            &format!("[provisioning]\nsource='connection-string'\nconnection_string='{text}'\n"),
            &[&format!(
                "line 3, column 19: provisioning.connection_string: {told}; expected the connection string of a device"
            )],
        );
    }
    for url in ["http://u:secret@", "https://u:secret@p", "u:secret@p:1"] {
        let told = &faults(&format!("[proxy]\nurl = '{url}'\n"))[0].to_string();
        assert!(!told.contains("secret"), "{told}");
    }
}

#[test]
fn later_files_and_then_variables_win_key_by_key() {
    let sources = sources(
        &[
            (
                "/etc/a.toml",
                "[hub]\nca_file = 'a.pem'\nkeep_alive_secs = 60\nrefresh_secs = 60\n[log]\nlevel = 'warn'\n",
            ),
            (
                "/etc/config.d/b.toml",
                "[hub]\nca_file = 'b.pem'\nkeep_alive_secs = 70\n",
            ),
        ],
        &[
            ("WASM_EDGE_HUB_KEEP_ALIVE_SECS", "80"),
            ("WASM_EDGE_CLOCK_FROM_HUB", "false"),
            ("WASM_EDGE_PROXY_NO_PROXY", "a, .b,"),
            ("WASM_EDGE_METRICS_LISTEN", "127.0.0.1:9600"),
            // Of verbs, of tests, and of others.
            ("WASM_EDGE_HUB_CA", "x"),
            ("WASM_EDGE_HUB_CONNECTION_STRING", "x"),
            ("WASM_EDGE_BIN", "x"),
            ("HUB_KEEP_ALIVE_SECS", "x"),
        ],
    );
    let config = Config::read(&sources).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(
        config.hub.ca_file.as_deref(),
        Some(Path::new("/etc/config.d/b.pem"))
    );
    assert_eq!(config.hub.keep_alive, Duration::from_secs(80));
    assert_eq!(config.hub.refresh, Duration::from_secs(60));
    assert_eq!(config.log.level, device::LogLevel::Warn);
    assert!(!config.clock.from_hub);
    assert_eq!(config.proxy.exceptions, Exceptions::parse(["a", ".b"]).ok());
    assert_eq!(config.metrics.listen, "127.0.0.1:9600".parse().ok());
}

#[test]
fn faults_are_told_by_their_source() {
    let sources = sources(
        &[
            ("/etc/a.toml", "hub = 1\n[log]\nlevel = 'loud'\n"),
            ("/etc/config.d/b.toml", "[hub]\nports = 1\n"),
        ],
        &[
            ("WASM_EDGE_HUB_HTTPS_PORT", "0"),
            ("WASM_EDGE_ROUTER_DURABILTY", "none"),
        ],
    );
    let told = Config::read(&sources).unwrap_err().to_string();
    let told: Vec<_> = told.lines().collect();
    assert_eq!(told.len(), 5, "{told:#?}");
    for (line, begin) in told.iter().zip([
        "/etc/a.toml: line 1, column 7: hub: a whole number stands here; expected a table",
        "/etc/a.toml: line 3, column 9: log.level: `loud` stands here; expected ",
        "/etc/config.d/b.toml: line 2, column 1: hub.ports: the key is not known; expected ",
        "environment: WASM_EDGE_HUB_HTTPS_PORT: 0 stands here; expected a whole number from 1 to 65535",
        "environment: WASM_EDGE_ROUTER_DURABILTY: the key is not known; expected ",
    ]) {
        assert!(line.starts_with(begin), "{line}\n{begin}");
    }
}

/// The keys of each section with a range, as the code has it.
const RANGES: [(&str, &str, RangeInclusive<u64>); 19] = [
    ("hub", "mqtt_port", hub::PORT),
    ("hub", "https_port", hub::PORT),
    ("hub", "keep_alive_secs", hub::KEEP_ALIVE_SECS),
    ("hub", "token_life_secs", hub::TOKEN_LIFE_SECS),
    ("hub", "refresh_secs", hub::REFRESH_SECS),
    ("hub", "connect_timeout_secs", hub::CONNECT_TIMEOUT_SECS),
    ("hub", "retry_max_secs", hub::RETRY_MAX_SECS),
    ("deployment", "health_timeout_secs", device::DEPLOYMENT_SECS),
    ("deployment", "ready_timeout_secs", device::DEPLOYMENT_SECS),
    ("policy", "memory_max_bytes", device::MEMORY_BYTES),
    ("images", "max_bytes", images::IMAGES_BYTES),
    ("images", "unused_max_days", images::UNUSED_DAYS),
    ("clock", "wait_secs", hub::CLOCK_WAIT_SECS),
    ("router", "max_bytes", STORE_BYTES),
    ("router", "endpoint_max_bytes", ENDPOINT_BYTES),
    ("router", "max_messages", MESSAGES),
    ("router", "endpoint_max_messages", MESSAGES),
    // Words, for their defaults alone.
    ("router", "when_full", 0..=0),
    ("router", "compatibility", 0..=0),
];

/// The value of a key in a configuration where nothing is said, as the page has it.
fn default_of(section: &str, key: &str) -> Option<String> {
    let config = Config::default();
    let seconds = |time: Duration| Some(time.as_secs().to_string());
    let settings = crate::agent::AgentSettings::default();
    match (section, key) {
        ("hub", "transport") => Some("`auto`".to_owned()),
        ("hub", "https_port") => Some(config.hub.https_port.to_string()),
        ("hub", "keep_alive_secs") => seconds(config.hub.keep_alive),
        ("hub", "token_life_secs") => seconds(config.hub.token_life),
        ("hub", "refresh_secs") => seconds(config.hub.refresh),
        ("hub", "connect_timeout_secs") => seconds(config.hub.connect_timeout),
        ("hub", "retry_max_secs") => seconds(config.hub.retry_max),
        ("deployment", "health_timeout_secs") => seconds(settings.health_timeout),
        ("deployment", "ready_timeout_secs") => seconds(settings.ready_timeout),
        ("images", "max_bytes") => Some(config.images.max_bytes.to_string()),
        ("images", "unused_max_days") => {
            Some((config.images.unused_max.as_secs() / 86_400).to_string())
        }
        ("registries.\"HOST\"", "plain_http") => Some("`false`".to_owned()),
        ("clock", "wait_secs") => seconds(config.clock.wait),
        ("clock", "from_hub") => Some(format!("`{}`", config.clock.from_hub)),
        ("log", "level") => Some("`info`".to_owned()),
        ("log", "format") => Some("`text`".to_owned()),
        ("provisioning", "global_endpoint") => Some(format!("`{GLOBAL_ENDPOINT_DEFAULT}`")),
        ("provisioning", "reprovision") => Some("`on-refusal`".to_owned()),
        ("provisioning", "group") => Some("`false`".to_owned()),
        ("router", "max_bytes") => Some(STORE_BYTES_DEFAULT.to_string()),
        ("router", "when_full") => Some("`refuse`".to_owned()),
        ("router", "compatibility") => Some("`documented`".to_owned()),
        _ => None,
    }
}

#[test]
fn the_page_has_every_key_with_its_range_and_default() {
    let sections: [(&str, &[&str]); 11] = [
        ("provisioning", &provisioning::KEYS),
        ("hub", &hub::HUB_KEYS),
        ("proxy", &hub::PROXY_KEYS),
        ("deployment", &device::DEPLOYMENT_KEYS),
        ("policy", &device::POLICY_KEYS),
        ("images", &images::IMAGES_KEYS),
        ("registries.\"HOST\"", &images::REGISTRY_KEYS),
        ("metrics", &device::METRICS_KEYS),
        ("clock", &hub::CLOCK_KEYS),
        ("log", &device::LOG_KEYS),
        ("router", &ROUTER_KEYS),
    ];
    for (section, keys) in sections {
        let heading = format!("\n## `[{section}]`\n");
        let text = PAGE.split(&heading).nth(1).expect(section);
        let text = text.split("\n## ").next().unwrap();
        let rows: Vec<Vec<&str>> = text
            .lines()
            .filter_map(|line| line.strip_prefix("| `"))
            .map(|line| line.split('|').map(str::trim).collect())
            .collect();
        let named: Vec<_> = rows
            .iter()
            .map(|row| row[0].trim_end_matches('`'))
            .collect();
        assert_eq!(named, keys, "[{section}]");
        for (row, key) in rows.iter().zip(keys) {
            let number = |cell: usize| row[cell].parse::<u64>().ok();
            let range = RANGES
                .iter()
                .find(|range| (range.0, range.1) == (section, key));
            let range = range.map(|range| (*range.2.start(), *range.2.end()));
            let range = range.filter(|range| *range != (0, 0));
            assert_eq!(number(2).zip(number(3)), range, "{section}.{key}");
            match default_of(section, key) {
                Some(default) => assert_eq!(row[1], default, "{section}.{key}"),
                None => assert!(!row[1].is_empty(), "{section}.{key}"),
            }
            // A key that is not read would be told as one that is not known.
            let faults = faults(&format!("[{section}]\n{key} = 1979-05-27\n"));
            let told = faults
                .iter()
                .any(|fault| fault.problem.contains("a time stands here"));
            assert!(told, "{section}.{key}: {faults:?}");
        }
    }
}
