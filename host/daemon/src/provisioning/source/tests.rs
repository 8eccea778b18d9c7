use std::fs::{self, Permissions};

use wasm_edge_model::error::chain;

use super::*;

const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder }
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// An error without the name of the folder.
    fn fault(&self, err: &SourceError) -> String {
        let folder = format!("{}/", self.folder.path().display());
        chain(err).replace(&folder, "")
    }
}

fn host(name: &str) -> HostAddress {
    HostAddress::parse(name).unwrap()
}

fn given(source: Source) -> (Assignment, DeviceCredential) {
    match source.origin {
        Origin::Given {
            assignment,
            credential,
        } => (assignment, credential),
        Origin::Dps(_) => panic!("nothing is given"),
    }
}

fn dps(source: Source) -> DpsSource {
    match source.origin {
        Origin::Dps(dps) => dps,
        Origin::Given { .. } => panic!("nothing is asked"),
    }
}

#[test]
fn a_connection_string_is_read_from_the_configuration_or_a_file() {
    let files = Files::new();
    let text = format!("HostName=h.example:9883;DeviceId=d;SharedAccessKey={KEY}");
    let inline = ConnectionStringSource::Inline(text.parse().unwrap());
    let in_file = ConnectionStringSource::File(files.file("cs", format!("{text}\n")));
    for connection_string in [inline, in_file] {
        let config = ProvisioningConfig::ConnectionString {
            connection_string,
            certificate: None,
        };
        let (assignment, credential) = given(Source::read(&config, &HubConfig::default()).unwrap());
        assert_eq!(assignment.device.as_str(), "d");
        assert_eq!((assignment.mqtt_port, assignment.https_port), (9883, 443));
        assert_eq!(
            credential,
            DeviceCredential::Key(SharedKey::new(KEY).unwrap())
        );
    }
}

#[test]
fn ports_and_gateway_of_the_configuration_come_first() {
    let text = format!("HostName=h:1;DeviceId=d;SharedAccessKey={KEY};GatewayHostName=g:2");
    let hub = HubConfig {
        mqtt_port: Some(3),
        https_port: 4,
        gateway: Some(host("other")),
        ..HubConfig::default()
    };
    let (found, _) = given(Source::of_text(text.parse().unwrap(), &hub).unwrap());
    assert_eq!((found.mqtt_port, found.https_port), (3, 4));
    assert_eq!(found.address().name(), "other");
    assert_eq!(found.hub.name(), "h");
}

#[test]
fn a_key_file_holds_base64() {
    let files = Files::new();
    let read = |content: &[u8]| {
        let config = ProvisioningConfig::SasKeyFile {
            host_name: host("h"),
            device_id: "d".parse().unwrap(),
            key_file: files.file("key", content),
        };
        let read = Source::read(&config, &HubConfig::default());
        read.map(|source| given(source).1)
            .map_err(|err| files.fault(&err))
    };
    let key = DeviceCredential::Key(SharedKey::new(KEY).unwrap());
    assert_eq!(read(KEY.as_bytes()), Ok(key.clone()));
    assert_eq!(read(format!(" {KEY}\r\n").as_bytes()), Ok(key));
    let fault = Err("`key` does not hold a key: a key is base64 of 16 to 64 bytes".to_owned());
    assert_eq!(read(b""), fault);
    assert_eq!(read(b"not base64!"), fault);
    let fault = Err("cannot read `key`: file too large".to_owned());
    assert_eq!(read(&[b'A'; SECRET_MAX_BYTES + 1]), fault);
    let fault = Err("cannot read `key`: stream did not contain valid UTF-8".to_owned());
    assert_eq!(read(&[0xff; 32]), fault);
}

#[test]
fn faults_of_files_name_the_file_and_no_secret() {
    let files = Files::new();
    let check = |config: &ProvisioningConfig, expected: &str| {
        let err = Source::read(config, &HubConfig::default());
        let err = err.err().expect("a fault");
        let fault = files.fault(&err);
        assert!(fault.starts_with(expected), "{fault}");
        assert!(!fault.contains("SECRET"), "{fault}");
    };
    let of_file = |path| ProvisioningConfig::ConnectionString {
        connection_string: ConnectionStringSource::File(path),
        certificate: None,
    };
    check(
        &of_file(files.folder.path().join("none")),
        "cannot read `none`: No such file",
    );
    check(
        &of_file(files.file("cs", "HostName=h;DeviceId=d;SharedAccessKey=SECRET")),
        "`cs` does not hold a connection string: `SharedAccessKey` of the connection string",
    );
    let text = format!("HostName=h;DeviceId=d;ModuleId=m;SharedAccessKey={KEY}");
    check(
        &of_file(files.file("module", text)),
        "the connection string cannot be used: it is that of a module",
    );
    check(
        &of_file(files.file("x509", "HostName=h;DeviceId=d;x509=true")),
        "the connection string says `x509=true`",
    );
    let certificate = CertificateFiles {
        certificate_file: files.file("cert.pem", "SECRET"),
        private_key_file: files.file("key.pem", "SECRET"),
    };
    check(
        &ProvisioningConfig::X509 {
            host_name: host("h"),
            device_id: "d".parse().unwrap(),
            certificate,
        },
        "the device's certificate cannot be used: `cert.pem` holds no certificate",
    );
}

#[test]
fn a_group_key_becomes_that_of_the_registration() {
    let files = Files::new();
    let read = |owner| {
        let config = ProvisioningConfig::Dps(DpsConfig {
            id_scope: "0ne1".to_owned(),
            registration_id: "board".to_owned(),
            attestation: Attestation::Key {
                file: files.file("key", KEY),
                owner,
            },
            global_endpoint: host("dps.example"),
            reprovision: Reprovision::Never,
        });
        let found = dps(Source::read(&config, &HubConfig::default()).unwrap());
        assert_eq!(found.registration_id, "board");
        found.key.unwrap()
    };
    let key = SharedKey::new(KEY).unwrap();
    assert_eq!(read(KeyOwner::Registration), key);
    assert_eq!(read(KeyOwner::Group), key_of_group(&key, "board"));
}
