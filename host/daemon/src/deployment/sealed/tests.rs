use wasm_edge_store::folder::DataFolder;
use wasm_edge_store::keys::MasterKey;

use super::*;

const PASSWORD: &str = "Tr0ub4dor-and-3";

struct Device {
    _temp: tempfile::TempDir,
    path: std::path::PathBuf,
    file: SealedFile,
}

fn device() -> Device {
    let temp = tempfile::tempdir().expect("a temporary folder");
    let data = DataFolder::open(&temp.path().join("data")).expect("made");
    let folder = Arc::new(data.device(&"d".parse().unwrap()).expect("made"));
    let keys = Keyring::new(&MasterKey::open(&folder.keys().unwrap()).expect("made"));
    folder.store().expect("made");
    Device {
        path: folder.path().join("store").join(FILE),
        file: SealedFile::new(folder, &keys),
        _temp: temp,
    }
}

fn stored() -> Stored {
    let agent = json!({ "runtime": { "settings": { "registryCredentials": {
        "r": { "address": "a.example", "username": "u", "password": PASSWORD },
    } } } });
    let sections = Sections {
        agent: agent.as_object().unwrap().clone(),
        agent_version: 4,
        hub: Map::new(),
        hub_version: 1,
    };
    let module = || ModuleId::new("m").unwrap();
    Stored {
        current: Some(StoredDeployment {
            sections,
            images: [(module(), "sha256:1".to_owned())].into(),
            manifests: [(module(), "sha256:2".to_owned())].into(),
        }),
        last_good: None,
        rejected: Some(Rejected {
            digest: "ab".to_owned(),
            agent_version: 3,
            hub_version: 1,
            reason: "not healthy".to_owned(),
        }),
        leaving: [(module(), Leaving { keep_data: true })].into(),
        credentials: [(
            module(),
            StoredCredentials {
                generation_id: "7".to_owned(),
                primary_key: b"key of the module".to_vec(),
            },
        )]
        .into(),
    }
}

#[test]
fn what_is_written_is_read_and_nobody_else_can_read_it() {
    let device = device();
    assert_eq!(device.file.read(), Stored::default());
    device.file.write(stored()).expect("written");
    assert_eq!(device.file.read(), stored());
    let bytes = std::fs::read(&device.path).unwrap();
    for secret in [PASSWORD, "key of the module", "a.example"] {
        let secret = secret.as_bytes();
        assert!(!bytes.windows(secret.len()).any(|part| part == secret));
    }
}

#[test]
fn a_damaged_file_and_another_device_s_count_as_absent() {
    let (device, other) = (device(), self::device());
    device.file.write(stored()).expect("written");
    std::fs::copy(&device.path, &other.path).unwrap();
    assert_eq!(other.file.read(), Stored::default());
    let whole = std::fs::read(&device.path).unwrap();
    for damaged in [&whole[..whole.len() - 1], &whole[..5], b""] {
        std::fs::write(&device.path, damaged).unwrap();
        assert_eq!(device.file.read(), Stored::default());
    }
    std::fs::write(&device.path, &whole).unwrap();
    assert_eq!(device.file.read(), stored());
}

#[test]
fn another_version_counts_as_absent() {
    let device = device();
    let key = Arc::clone(&device.file.key);
    let write = |version: u32| {
        let form = Form {
            version,
            ..Form::from(stored())
        };
        let sealed = key.seal(&serde_json::to_vec(&form).unwrap()).unwrap();
        std::fs::write(&device.path, sealed).unwrap();
    };
    write(VERSION);
    assert_eq!(device.file.read(), stored());
    write(VERSION + 1);
    assert_eq!(device.file.read(), Stored::default());
}

#[test]
fn version_1_is_read() {
    let text = r#"{"version":1,"current":{"sections":{"agent":{"a":1},"agent_version":4,"hub":{},"hub_version":1},
        "images":{"m":"sha256:1"}},"last_good":null,
        "rejected":{"digest":"ab","agent_version":3,"hub_version":1,"reason":"r"},
        "leaving":{"m":{"keep_data":false}},"credentials":{"m":{"generation_id":"7","primary_key":[1,2]}}}"#;
    let device = device();
    let sealed = device.file.key.seal(text.as_bytes()).unwrap();
    std::fs::write(&device.path, sealed).unwrap();
    let stored = device.file.read();
    let current = stored.current.expect("there");
    assert_eq!(current.sections.agent_version, 4);
    assert_eq!((current.images.len(), current.manifests.len()), (1, 0));
    let credentials: Credentials = stored.credentials.values().next().unwrap().into();
    assert_eq!(credentials.primary_key.as_slice(), [1, 2]);
    assert_eq!(stored.leaving.len(), 1);
}

#[test]
fn passwords_are_not_shown() {
    let shown = stored().current.expect("there").sections.without_secrets();
    let text = shown.to_manifest().to_string();
    assert!(!text.contains(PASSWORD), "{text}");
    assert!(text.contains("a.example"), "{text}");
    assert!(!format!("{:?}", stored()).contains(PASSWORD));
}
