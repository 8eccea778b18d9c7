use super::super::Config;
use super::super::source::{ConfigFaults, ConfigFile, Sources};
use super::*;

fn read(texts: &[&str]) -> Result<Config, ConfigFaults> {
    let files = texts.iter().zip(1..).map(|(text, number)| ConfigFile {
        path: format!("/etc/it/{number}.toml").into(),
        text: (*text).to_owned(),
    });
    Config::read(&Sources::new(files.collect(), []))
}

fn host(text: &str) -> RegistryHost {
    RegistryHost::parse(text).unwrap()
}

#[test]
fn every_key_is_read() {
    let config = read(&[r#"
        [policy]
        registries = ["Registry.example.org:5000", "index.docker.io"]
        [images]
        max_bytes = 5000000
        unused_max_days = 0
        docker_config = "docker/config.json"
        [registries."registry.example.org:5000"]
        username = "board"
        password_file = "password"
        mirrors = ["https://mirror.example.org/proxy/own", "http://plain.local:5000"]
        ca_file = "ca.pem"
        [registries."plain.local:5000"]
        plain_http = true
        [registries."docker.io"]
        username = "u"
        password = "secret"
    "#])
    .unwrap();
    let allowed = ["registry.example.org:5000", "docker.io"].map(host);
    assert_eq!(config.policy.registries, Some(allowed.to_vec()));
    let images = ImagesConfig {
        max_bytes: 5_000_000,
        unused_max: Duration::ZERO,
        docker_config: Some("/etc/it/docker/config.json".into()),
    };
    assert_eq!(config.images, images);
    let mirror = |text: &str| Mirror::parse(text).unwrap();
    let expected = [
        (
            "registry.example.org:5000",
            HostSettings {
                credentials: Credentials::basic("board", "", LoginSource::Configuration),
                password_file: Some("/etc/it/password".into()),
                mirrors: vec![
                    mirror("mirror.example.org/proxy/own"),
                    mirror("plain.local:5000"),
                ],
                plain_http: false,
                ca_file: Some("/etc/it/ca.pem".into()),
            },
        ),
        (
            "plain.local:5000",
            HostSettings {
                plain_http: true,
                ..HostSettings::default()
            },
        ),
        (
            "docker.io",
            HostSettings {
                credentials: Credentials::basic("u", "secret", LoginSource::Configuration),
                ..HostSettings::default()
            },
        ),
    ];
    let expected = expected.map(|(name, settings)| (host(name), settings));
    assert_eq!(config.registries, expected.into());
    assert!(config.holds_secret());
    assert!(!format!("{config:?}").contains("secret"));
    let in_file = "[registries.\"a.b\"]\nusername = 'u'\npassword_file = 'p'\n";
    assert!(!read(&[in_file]).unwrap().holds_secret());
}

#[test]
fn a_registry_is_as_the_last_file_that_has_it_says() {
    let config = read(&[
        "[registries.\"a.b\"]\nplain_http = true\nca_file = 'x'\n[registries.\"c.d\"]\nca_file = 'c'\n",
        "[registries.\"a.b\"]\nca_file = 'y'\n",
    ])
    .unwrap();
    let of_a = &config.registries[&host("a.b")];
    assert!(!of_a.plain_http);
    assert_eq!(of_a.ca_file, Some("/etc/it/y".into()));
    assert_eq!(config.registries.len(), 2);
}

#[test]
fn every_fault_is_told_with_its_place() {
    let check = |text: &str, expected: &[&str]| {
        let told = read(&[text]).unwrap_err().to_string();
        let told: Vec<_> = told.lines().collect();
        let begin = "/etc/it/1.toml: ";
        let expected: Vec<_> = expected
            .iter()
            .map(|line| format!("{begin}{line}"))
            .collect();
        assert_eq!(told, expected, "{text}");
    };
    check(
        "[registries]\n\"a b\" = {}\n\"c.d\" = 1\n",
        &[
            "line 2, column 1: registries.\"a b\": this is no host; expected the host of a registry, with a port or without",
            "line 3, column 9: registries.\"c.d\": a whole number stands here; expected a table",
        ],
    );
    check(
        "[registries.\"a.b\"]\nuser = 'x'\nplain_http = 1\nmirrors = ['a.b']\n",
        &[
            "line 2, column 1: registries.\"a.b\".user: the key is not known; expected `username`, `password`, `password_file`, `mirrors`, `plain_http` or `ca_file`",
            "line 3, column 14: registries.\"a.b\".plain_http: a whole number stands here; expected `true` or `false`",
            "line 4, column 12: registries.\"a.b\".mirrors[0]: `a.b` stands here; expected an array of addresses `https://HOST:PORT/PATH`, the port and the path left out where there are none",
        ],
    );
    let expected = "expected `username` with `password` or `password_file`, or none of them";
    for (keys, problem) in [
        ("username = 'u'", "`username` stands here alone"),
        ("password = 'p'", "there is a password and no `username`"),
        (
            "password_file = 'p'",
            "there is a password and no `username`",
        ),
        (
            "username = 'u'\npassword = 'p'\npassword_file = 'p'",
            "both `password` and `password_file` stand here",
        ),
    ] {
        check(
            &format!("[registries.\"a.b\"]\n{keys}\n"),
            &[&format!(
                "line 1, column 13: registries.\"a.b\": {problem}; {expected}"
            )],
        );
    }
    check(
        "[registries.\"a.b\"]\nusername = 'u:v'\npassword = \"se\\ncret\"\n",
        &[
            "line 2, column 12: registries.\"a.b\".username: `u:v` stands here; expected the name of a user, without a colon",
            "line 3, column 12: registries.\"a.b\".password: it is too long, or has letters that cannot be typed; expected a password of at most 4096 bytes",
        ],
    );
    check(
        "[registries.\"docker.io\"]\n[registries.\"index.docker.io\"]\n",
        &[
            "line 2, column 13: registries.\"index.docker.io\": the same registry stands here under another name; expected each once",
        ],
    );
    check(
        "[registries.\"a.b\"]\nmirrors = ['http://c.d']\n[registries.\"e.f\"]\nplain_http = true\nmirrors = ['https://e.f/x']\n",
        &[
            "line 2, column 1: registries.\"a.b\".mirrors: `c.d` is named without TLS, and not said to have none; expected `http://` for a mirror whose `[registries.\"c.d\"]` says `plain_http = true`, else `https://`",
            "line 5, column 1: registries.\"e.f\".mirrors: `e.f` is named with TLS, and said to have none; expected `http://` for a mirror whose `[registries.\"e.f\"]` says `plain_http = true`, else `https://`",
        ],
    );
    check(
        "[policy]\nregistries = ['https://a.b', 'c.d', 'a b']\n[images]\nmax_bytes = 7\n",
        &[
            "line 2, column 15: policy.registries[0]: `https://a.b` stands here; expected an array of hosts of registries, each with a port or without",
            "line 2, column 37: policy.registries[2]: `a b` stands here; expected an array of hosts of registries, each with a port or without",
            "line 4, column 13: images.max_bytes: 7 stands here; expected a whole number from 1048576 to 1099511627776",
        ],
    );
}
