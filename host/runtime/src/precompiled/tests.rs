use cap_std::ambient_authority;
use tempfile::TempDir;

use super::*;

const SECRET: [u8; 32] = [7; 32];

/// A data folder's `precompiled/` with an engine to fill it.
struct Device {
    folder: TempDir,
    engine: Engine,
}

impl Device {
    fn new() -> Self {
        Self {
            folder: TempDir::new().expect("a temporary folder"),
            engine: Engine::new().expect("it runs on this machine"),
        }
    }

    fn open_with(&self, secret: [u8; 32]) -> PrecompiledCache {
        let dir = Dir::open_ambient_dir(self.folder.path(), ambient_authority()).expect("opened");
        PrecompiledCache::open(&dir, &self.engine, Zeroizing::new(secret)).expect("opened")
    }

    fn open(&self) -> PrecompiledCache {
        self.open_with(SECRET)
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        let profile = self.engine.profile().name();
        self.folder.path().join(profile).join(name)
    }

    fn file(&self, end: &str) -> std::path::PathBuf {
        self.path(&format!("{}.{end}", hex(&digest_of(&component()))))
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(self.path(""))
            .expect("it is there")
            .map(|entry| {
                entry
                    .expect("readable")
                    .file_name()
                    .into_string()
                    .expect("text")
            })
            .collect();
        names.sort();
        names
    }

    fn compile(&self) -> ModuleCode {
        let bytes = component();
        self.open()
            .compile(&self.engine, &digest_of(&bytes), &bytes)
            .unwrap_or_else(|err| panic!("{err}"))
    }

    fn load(&self) -> Found {
        let found = self.open().load(&self.engine, &digest_of(&component()));
        found.unwrap_or_else(|err| panic!("{err}"))
    }

    fn is_cached(&self) -> bool {
        matches!(self.load(), Found::Code(_))
    }

    /// Why the code that is there is not used.
    fn unusable(&self) -> String {
        match self.load() {
            Found::Code(_) => panic!("it is used"),
            Found::Absent => panic!("there is none"),
            Found::Unusable(why) => why.to_string(),
        }
    }

    fn change_record(&self, change: impl FnOnce(&mut Record)) {
        let text = std::fs::read(self.file("json")).expect("it is there");
        let mut record: Record = serde_json::from_slice(&text).expect("a record");
        change(&mut record);
        std::fs::write(
            self.file("json"),
            serde_json::to_vec(&record).expect("written"),
        )
        .expect("written");
    }

    /// As [`Device::change_record`], by somebody who has the device's key.
    fn change_and_sign_record(&self, change: impl FnOnce(&mut Record)) {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &SECRET);
        self.change_record(|record| {
            change(record);
            record.mac = hex(hmac::sign(&key, record.signed_text().as_bytes()).as_ref());
        });
    }
}

fn component() -> Vec<u8> {
    let text = r#"(component
        (core module $m (func (export "g") (param i32)))
        (core instance $i (instantiate $m))
        (func $grace (param "grace-ms" u32) (canon lift (core func $i "g")))
        (instance $e (export "shutdown" (func $grace)))
        (export "wasm-edge:module/shutdown@0.1.0" (instance $e)))"#;
    wat::parse_str(text).expect("valid")
}

fn digest_of(bytes: &[u8]) -> ComponentDigest {
    let hash = digest::digest(&digest::SHA256, bytes);
    hash.as_ref().try_into().expect("32 bytes")
}

#[test]
fn what_was_compiled_once_is_loaded_from_then_on() {
    let device = Device::new();
    assert!(!device.is_cached());
    device.compile();
    assert!(device.is_cached());
    let name = hex(&digest_of(&component()));
    assert_eq!(
        device.names(),
        [format!("{name}.cwasm"), format!("{name}.json")]
    );
    let absent = device.open().load(&device.engine, &[0; 32]);
    assert!(matches!(absent, Ok(Found::Absent)));
}

#[test]
fn code_that_was_changed_cut_or_lengthened_is_not_loaded() {
    let device = Device::new();
    device.compile();
    let whole = std::fs::read(device.file("cwasm")).expect("it is there");
    let mut changes = vec![
        Vec::new(),
        whole[..whole.len() - 1].to_vec(),
        [whole.as_slice(), b"\0"].concat(),
    ];
    for at in [0, whole.len() / 2, whole.len() - 1] {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        changes.push(changed);
    }
    for changed in changes {
        std::fs::write(device.file("cwasm"), changed).expect("written");
        assert_eq!(device.unusable(), "the file is damaged");
    }
    std::fs::write(device.file("cwasm"), &whole).expect("written");
    assert!(device.is_cached());
    std::fs::remove_file(device.file("cwasm")).expect("removed");
    assert!(!device.is_cached());
    // Made anew, it is good again.
    device.compile();
    assert!(device.is_cached());
}

#[test]
fn a_link_in_place_of_the_code_is_not_followed() {
    let device = Device::new();
    device.compile();
    let moved = device.path("moved");
    std::fs::rename(device.file("cwasm"), &moved).expect("moved");
    std::os::unix::fs::symlink("moved", device.file("cwasm")).expect("linked");
    assert!(!device.is_cached());
}

#[test]
fn a_record_that_this_device_did_not_write_is_worth_nothing() {
    let device = Device::new();
    device.compile();
    let good = std::fs::read(device.file("json")).expect("it is there");
    let code = std::fs::read(device.file("cwasm")).expect("it is there");
    let foreign = device.open_with([8; 32]);
    let loaded = foreign.load(&device.engine, &digest_of(&component()));
    assert!(matches!(loaded, Ok(Found::Unusable(UnusableCode::Foreign))));

    device.change_record(|record| record.mac.clear());
    assert!(!device.is_cached());
    device.change_record(|record| record.mac = "é".repeat(32));
    assert!(!device.is_cached());
    std::fs::write(device.file("json"), &good).expect("written");
    device.change_record(|record| record.code_size_bytes += 1);
    assert!(!device.is_cached());

    // Other code, with a record that says so: the device's key is missing in it.
    std::fs::write(device.file("json"), &good).expect("written");
    std::fs::write(device.file("cwasm"), b"other code").expect("written");
    device.change_record(|record| {
        record.code_sha256 = hex(digest::digest(&digest::SHA256, b"other code").as_ref());
        record.code_size_bytes = 10;
    });
    assert!(!device.is_cached());

    for text in ["", "{", "{}", "null", "[1]"] {
        std::fs::write(device.file("json"), text).expect("written");
        assert!(!device.is_cached());
    }
    std::fs::write(device.file("cwasm"), code).expect("written");
    std::fs::write(device.file("json"), " ".repeat(1 << 20)).expect("written");
    assert!(!device.is_cached());
    std::fs::write(device.file("json"), &good).expect("written");
    assert!(device.is_cached());
    std::fs::remove_file(device.file("json")).expect("removed");
    assert!(!device.is_cached());
}

#[test]
fn code_of_another_profile_version_or_component_is_made_anew() {
    let device = Device::new();
    device.compile();
    let good = std::fs::read(device.file("json")).expect("it is there");
    let engine =
        format!("it was made by version `47.0.0` of the engine, and this is `{ENGINE_VERSION}`");
    let misfiled = "it belongs to another component or engine profile";
    type Change = fn(&mut Record);
    let changes: [(Change, &str); 4] = [
        (|record| record.profile = "pulley32-1".to_owned(), misfiled),
        (
            |record| record.engine_version = "47.0.0".to_owned(),
            &engine,
        ),
        (
            |record| record.format += 1,
            "its record has version 2, and this is 1",
        ),
        (|record| record.component_sha256 = hex(&[1; 32]), misfiled),
    ];
    for (change, expected) in changes {
        std::fs::write(device.file("json"), &good).expect("written");
        device.change_and_sign_record(change);
        assert_eq!(device.unusable(), expected);
    }
    std::fs::write(device.file("json"), &good).expect("written");
    device.change_and_sign_record(|_| ());
    assert!(device.is_cached());
}

#[test]
fn code_that_no_engine_made_is_not_loaded_even_when_it_is_signed() {
    let device = Device::new();
    device.compile();
    std::fs::write(device.file("cwasm"), b"no code at all").expect("written");
    device.change_and_sign_record(|record| {
        record.code_sha256 = hex(digest::digest(&digest::SHA256, b"no code at all").as_ref());
        record.code_size_bytes = 14;
    });
    assert!(device.unusable().starts_with("the engine does not take it"));
}

#[test]
fn files_that_a_crash_left_unfinished_are_removed() {
    let device = Device::new();
    device.compile();
    std::fs::write(device.path(".tmp-abc.cwasm"), b"half").expect("written");
    assert!(device.is_cached());
    assert!(device.names().iter().all(|name| !name.starts_with('.')));
}

#[test]
fn only_what_is_asked_for_is_kept() {
    let device = Device::new();
    device.compile();
    let digest = digest_of(&component());
    std::fs::write(device.path("00.cwasm"), b"old").expect("written");
    std::fs::write(device.path("00.json"), b"old").expect("written");
    device.open().keep_only(&[digest]).expect("removed");
    assert!(device.is_cached());
    assert_eq!(device.names().len(), 2);
    device.open().keep_only(&[]).expect("removed");
    assert!(!device.is_cached());
    assert_eq!(device.names(), [""; 0]);
}

#[test]
fn what_is_no_component_is_refused_and_leaves_nothing_behind() {
    let device = Device::new();
    let core = wat::parse_str("(module)").expect("valid");
    let cut = component()[..40].to_vec();
    for (bytes, expected) in [
        (
            core.as_slice(),
            "it is a core WebAssembly module; a module image is a component",
        ),
        (b"", "cannot compile the component"),
        (b"hello", "cannot compile the component"),
        (b"\0asm", "cannot compile the component"),
        (
            b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0",
            "cannot compile the component",
        ),
        (b"(component)", "cannot compile the component"),
        (&cut, "cannot compile the component"),
    ] {
        match device
            .open()
            .compile(&device.engine, &digest_of(bytes), bytes)
        {
            Ok(_) => panic!("it was taken: {bytes:?}"),
            Err(err) => assert!(err.to_string().contains(expected), "{err}"),
        }
    }
    assert_eq!(device.names(), [""; 0]);
}

#[test]
fn a_component_that_is_no_module_is_refused_each_time() {
    let device = Device::new();
    let bytes = wat::parse_str("(component)").expect("valid");
    let digest = digest_of(&bytes);
    let made = device.open().compile(&device.engine, &digest, &bytes);
    assert!(matches!(
        made,
        Err(PrecompiledError::Code(CodeError::NothingToRun))
    ));
    let loaded = device.open().load(&device.engine, &digest);
    assert!(matches!(
        loaded,
        Err(PrecompiledError::Code(CodeError::NothingToRun))
    ));
}
