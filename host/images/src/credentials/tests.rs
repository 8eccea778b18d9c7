use std::path::Path;

use super::*;
use crate::reference::Reference;

fn user(credentials: &Credentials) -> Option<String> {
    match credentials {
        Credentials::Anonymous => None,
        Credentials::Basic {
            username, password, ..
        } => Some(format!("{username}:{}", password.as_str())),
    }
}

#[test]
fn a_docker_config_says_who_asks() {
    // `a:b`, `c:d:e`, `f:g` and the form that older versions of Docker padded.
    let text = r#"{
        "auths": {
            "https://index.docker.io/v1/": { "auth": "YTpi" },
            "registry.example.org": { "auth": "YzpkOmU=" },
            "registry.example.org/team": { "username": "t", "password": "u" },
            "http://Plain.example.org:5000/v2/": { "auth": "Zjpn", "email": "x@example.org" },
            "padded.example.org": { "auth": "YTpiAAAA" },
            "empty.example.org": {},
            "token.example.org": { "auth": "PHRva2VuPjp4", "identitytoken": "secret" },
            "no host": { "auth": "YTpi" }
        },
        "credHelpers": { "helped.example.org": "ecr-login" },
        "HttpHeaders": { "User-Agent": "Docker-Client" }
    }"#;
    let config = DockerConfig::read(Path::new("config.json"), text).unwrap();
    let check = |reference: &str, expected: Result<Option<&str>, &str>| {
        let reference: Reference = reference.parse().unwrap();
        let found = config.credentials(&reference);
        let found = found.map(|found| user(&found)).map_err(|none| match none {
            NoLogin::Helper(helper) => helper,
            NoLogin::Malformed(fault) => fault.to_string(),
        });
        let expected = expected.map(|text| text.map(str::to_owned));
        assert_eq!(found, expected.map_err(str::to_owned), "{reference}");
    };
    check("alpine", Ok(Some("a:b")));
    check("docker.io/a/b", Ok(Some("a:b")));
    check("registry.example.org/a", Ok(Some("c:d:e")));
    check("registry.example.org/teams/a", Ok(Some("c:d:e")));
    check("registry.example.org/team/a", Ok(Some("t:u")));
    check("registry.example.org/team", Ok(Some("t:u")));
    check("plain.example.org:5000/a", Ok(Some("f:g")));
    check("plain.example.org/a", Ok(None));
    check("padded.example.org/a", Ok(Some("a:b")));
    check("empty.example.org/a", Ok(None));
    check("other.example.org/a", Ok(None));
    check("token.example.org/a", Err("identitytoken"));
    check("helped.example.org/a", Err("docker-credential-ecr-login"));
}

#[test]
fn a_store_of_passwords_is_named_for_every_host_without_one() {
    let text = r#"{ "auths": { "a.example.org": { "auth": "YTpi" }, "b.example.org": {} }, "credsStore": "desktop" }"#;
    let config = DockerConfig::read(Path::new("config.json"), text).unwrap();
    let of = |text: &str| config.credentials(&text.parse().unwrap());
    assert_eq!(
        of("a.example.org/a"),
        Ok(Credentials::basic(
            "a",
            "b",
            LoginSource::DockerConfig("config.json".into())
        ))
    );
    let helper = NoLogin::Helper("docker-credential-desktop".to_owned());
    assert_eq!(of("b.example.org/a"), Err(helper.clone()));
    assert_eq!(of("c.example.org/a"), Err(helper));
}

#[test]
fn another_file_is_refused_without_its_secrets() {
    let check = |text: &str, expected: &str| {
        let err = DockerConfig::read(Path::new("config.json"), text).unwrap_err();
        assert_eq!(err.to_string(), expected);
    };
    check(
        "{ \"auths\":\n 7 }",
        "it is not the JSON of a `config.json`, see line 2, column 2",
    );
    let long = " ".repeat(DOCKER_CONFIG_BYTES_MAX + 1);
    check(&long, "it has more than 1048576 bytes");
    for nothing in [
        "{}",
        r#"{"auths":null,"credHelpers":null,"credsStore":null}"#,
    ] {
        let config = DockerConfig::read(Path::new("config.json"), nothing).unwrap();
        assert_eq!(config.faults().count(), 0);
    }
}

#[test]
fn a_malformed_entry_matters_to_its_registry_alone() {
    let check = |entry: &str, expected: &str| {
        let text = format!(
            r#"{{ "auths": {{ "good.example.org": {{ "auth": "YTpi" }}, "bad.example.org": {entry} }} }}"#
        );
        let config = DockerConfig::read(Path::new("config.json"), &text).unwrap();
        let of = |text: &str| config.credentials(&text.parse().unwrap());
        let good = user(&of("good.example.org/x").unwrap());
        assert_eq!(good.as_deref(), Some("a:b"), "{entry}");
        assert_eq!(of("other.example.org/x"), Ok(Credentials::Anonymous));
        let Err(NoLogin::Malformed(fault)) = of("bad.example.org/x") else {
            panic!("{entry} is of use");
        };
        assert_eq!(fault.to_string(), expected, "{entry}");
        let told: Vec<_> = config.faults().collect();
        assert_eq!(told, [&fault]);
    };
    let auth = "`auth` of `bad.example.org` is not `user:password` in Base64";
    check(r#"{ "auth": "c2VjcmV0" }"#, auth);
    check(r#"{ "auth": "%%" }"#, auth);
    check(r#"{ "auth": "/////w==" }"#, auth);
    let form = "the entry `bad.example.org` is not of the form that `docker login` writes";
    check("7", form);
    check(r#""YTpi""#, form);
    check("[]", form);
    check(r#"{ "auth": 7 }"#, form);
    check(r#"{ "username": ["a"], "password": "b" }"#, form);
    let helpers = r#"{ "credHelpers": { "bad.example.org": {}, "other.example.org": "x" } }"#;
    let config = DockerConfig::read(Path::new("config.json"), helpers).unwrap();
    let of = |text: &str| config.credentials(&text.parse().unwrap());
    assert!(matches!(
        of("bad.example.org/a"),
        Err(NoLogin::Malformed(_))
    ));
    assert!(matches!(of("other.example.org/a"), Err(NoLogin::Helper(_))));
}

#[test]
fn credentials_of_a_deployment_are_found_by_the_host() {
    let entry = |address: &str, username: &str| RegistryCredential {
        address: address.to_owned(),
        username: username.to_owned(),
        password: "p".to_owned(),
    };
    let entries = [
        entry("docker.io", "hub"),
        entry("Registry.example.org:5000", "port"),
        entry("https://registry.example.org/", "url"),
        entry("registry.example.org", "second"),
    ];
    let check = |host: &str, expected: Option<&str>| {
        let host = RegistryHost::parse(host).unwrap();
        let found = user(&Credentials::of_manifest(&entries, &host));
        assert_eq!(found, expected.map(|name| format!("{name}:p")));
    };
    check("docker.io", Some("hub"));
    check("registry.example.org:5000", Some("port"));
    check("registry.example.org", Some("url"));
    check("example.org", None);
}

#[test]
fn a_password_is_shown_nowhere_and_sent_as_basic() {
    let credentials = Credentials::basic("a", "secret", LoginSource::Deployment);
    assert_eq!(
        format!("{credentials:?}"),
        "Basic { username: \"a\", source: Deployment, .. }"
    );
    // The example of RFC 7617, section 2.
    let example = Credentials::basic("Aladdin", "open sesame", LoginSource::Deployment).header();
    assert_eq!(
        example.as_deref().map(String::as_str),
        Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")
    );
    assert_eq!(Credentials::Anonymous.header(), None);
    let named = Credentials::Anonymous.or(|| credentials.clone());
    assert_eq!(named, credentials);
    let first = credentials.clone().or(|| panic!("somebody is named"));
    assert_eq!(first, credentials);
}
