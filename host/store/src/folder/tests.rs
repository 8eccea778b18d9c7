use std::os::unix::net::{UnixListener, UnixStream};

use wasm_edge_model::identity::ModuleId;

use super::*;

fn device() -> DeviceId {
    DeviceId::new("line 1".replace(' ', "#").as_str()).unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_new_folder_is_private_and_has_its_layout() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("a/b");
    let folder = DataFolder::open(&path).unwrap();
    let device = folder.device(&device()).unwrap();
    device.keys().unwrap();
    device.module_data(&ModuleId::edge_agent()).unwrap();
    assert_eq!(mode(&path), 0o700);
    for part in [
        "images",
        "precompiled",
        "hub",
        "devices/line%231/keys",
        "devices/line%231/modules/%24edgeAgent/data",
    ] {
        assert_eq!(mode(&path.join(part)), 0o700, "{part}");
    }
    assert_eq!(
        fs::read_to_string(path.join("format")).unwrap(),
        "wasm-edge-data 1\n"
    );
    assert_eq!(mode(&path.join("lock")), 0o600);
}

#[test]
fn an_empty_folder_of_the_user_is_taken_over_and_made_private() {
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    DataFolder::open(place.path()).unwrap();
    assert_eq!(mode(place.path()), 0o700);
}

#[test]
fn a_folder_with_other_things_is_refused_and_left_alone() {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("holiday.jpg"), "").unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let err = DataFolder::open(place.path()).unwrap_err();
    assert!(matches!(err, FolderError::Foreign { .. }), "{err}");
    assert_eq!(mode(place.path()), 0o755);
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
}

#[test]
fn a_second_holder_is_told_which_process_has_the_folder() {
    let place = tempfile::tempdir().unwrap();
    let first = DataFolder::open(place.path()).unwrap();
    let err = DataFolder::open(place.path()).unwrap_err();
    let said = format!("is in use by process {}", std::process::id());
    assert!(err.to_string().ends_with(&said), "{err}");
    drop(first);
    DataFolder::open(place.path()).unwrap();
}

#[test]
fn a_folder_of_another_format_is_refused_by_name_and_not_changed() {
    for (content, expected) in [
        (
            "wasm-edge-data 2\n",
            "has format 2, this version reads format 1",
        ),
        (
            "wasm-edge-data 0",
            "has format 0, this version reads format 1",
        ),
        ("something", "is damaged: it holds `something`"),
        ("", "is damaged: it holds ``"),
    ] {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("format"), content).unwrap();
        let err = DataFolder::open(place.path()).unwrap_err();
        assert!(err.to_string().ends_with(expected), "{err}");
        assert_eq!(
            fs::read_to_string(place.path().join("format")).unwrap(),
            content
        );
        assert!(!place.path().join("hub").exists());
    }
}

#[test]
fn a_crash_between_lock_and_format_is_no_obstacle() {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("lock"), "1\n").unwrap();
    fs::write(place.path().join(".tmp-1-0"), "wasm-").unwrap();
    DataFolder::open(place.path()).unwrap();
    assert!(!place.path().join(".tmp-1-0").exists());
}

#[test]
fn temporary_files_go_at_open_and_those_of_modules_stay() {
    let place = tempfile::tempdir().unwrap();
    let folder = DataFolder::open(place.path()).unwrap();
    let device = folder.device(&device()).unwrap();
    device.store().unwrap();
    device.module_data(&ModuleId::edge_hub()).unwrap();
    drop(folder);
    let orphans = [
        "images/.tmp-9-9",
        "hub/.tmp-9-9",
        "devices/line%231/store/.tmp-9-9",
    ];
    let guest = "devices/line%231/modules/%24edgeHub/data/.tmp-9-9";
    for file in orphans.iter().chain([&guest]) {
        fs::write(place.path().join(file), "").unwrap();
    }
    DataFolder::open(place.path()).unwrap();
    for file in orphans {
        assert!(!place.path().join(file).exists(), "{file}");
    }
    assert!(place.path().join(guest).exists());
}

#[test]
fn the_devices_of_a_folder_are_found_by_the_names_of_their_folders() {
    let place = tempfile::tempdir().unwrap();
    let folder = DataFolder::open(place.path()).unwrap();
    assert!(folder.devices().unwrap().is_empty());
    folder.device(&device()).unwrap().store().unwrap();
    folder.device(&"a".parse().unwrap()).unwrap();
    fs::write(place.path().join("devices/a file"), "").unwrap();
    let devices = folder.devices().unwrap();
    let names: Vec<&str> = devices.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["a", device().folder_name().as_str()]);
    assert!(devices[1].1.path().join("store").is_dir());
}

#[test]
fn a_module_folder_is_removed_whole_and_twice() {
    let place = tempfile::tempdir().unwrap();
    let folder = DataFolder::open(place.path()).unwrap();
    let device = folder.device(&device()).unwrap();
    let module = ModuleId::edge_hub();
    device
        .module_data(&module)
        .unwrap()
        .write("x", b"1")
        .unwrap();
    device.remove_module(&module).unwrap();
    device.remove_module(&module).unwrap();
    assert!(
        !place
            .path()
            .join("devices/line%231/modules/%24edgeHub")
            .exists()
    );
}

#[test]
fn the_control_socket_is_reached_however_long_the_path_is() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("x".repeat(150));
    let folder = DataFolder::open(&path).unwrap();
    let client = ControlSocket::open(&path).unwrap();
    assert!(!client.exists());
    let _listener = UnixListener::bind(folder.control_socket_path()).unwrap();
    assert!(client.exists());
    UnixStream::connect(client.path()).unwrap();
    assert!(path.join(CONTROL_SOCKET).exists());
}
