//! Which device a command talks to.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;

use crate::fake_device::FakeDevice;
use crate::invocation::Home;

const NONE_RUNS: &str = "error: no running device was found\n\n\
    hint: start one with `wasm-edge run FILE`, or name its data folder with `--data-dir DIR`\n";

#[test]
fn without_a_running_device_the_hint_says_how_to_start_one() {
    let home = Home::new();
    home.run(&["list"]).is(3, "", NONE_RUNS);
}

#[test]
fn the_only_running_device_is_taken_and_stale_entries_are_removed() {
    let (home, device) = (Home::new(), FakeDevice::start(&["d1"]));
    let killed = home.path().join("killed");
    fs::create_dir(&killed).unwrap();
    drop(UnixListener::bind(killed.join("control.sock")).unwrap());
    home.announce("00000000000000aa", &killed);
    home.announce("00000000000000bb", Path::new("/no/such/folder"));
    home.announce("00000000000000cc", device.data_folder());
    let ending = home.run(&["twin", "get", "filter", "--tags"]);
    ending.is(0, "{\n  \"site\": \"north\"\n}\n", "");
    let left: Vec<_> = fs::read_dir(home.live())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["00000000000000cc"]);
}

#[test]
fn several_running_devices_are_listed() {
    let home = Home::new();
    let (first, second) = (FakeDevice::start(&["d1"]), FakeDevice::start(&["d3", "d2"]));
    let mut lines = Vec::new();
    for (name, device, ids) in [
        ("00000000000000aa", &first, "d1"),
        ("00000000000000bb", &second, "d2, d3"),
    ] {
        let folder = device.canonical_data_folder();
        home.announce(name, &folder);
        lines.push(format!("  {}  ({ids})\n", folder.display()));
    }
    lines.sort();
    let expected = format!(
        "error: several devices are running\n\nhint: choose one with `--data-dir DIR`:\n{}",
        lines.concat()
    );
    home.run(&["list"]).is(5, "", &expected);
}

#[test]
fn a_data_folder_without_a_device_is_told_apart_from_no_folder() {
    let home = Home::new();
    let hint = "\n\nhint: start one with `wasm-edge run FILE`, or name its data folder with `--data-dir DIR`\n";
    fs::create_dir(home.path().join("empty")).unwrap();
    home.run(&["list", "--data-dir", "empty"]).is(
        3,
        "",
        &format!("error: no device is running in `empty`{hint}"),
    );
    let expected = "error: cannot open the data folder `none`\ncaused by: No such file or directory (os error 2)";
    home.run(&["list", "--data-dir", "none"])
        .is(3, "", &format!("{expected}{hint}"));
}

#[test]
fn among_several_devices_of_a_process_one_is_to_be_chosen() {
    let (home, device) = (Home::new(), FakeDevice::start(&["d1", "d2"]));
    let folder = device.data_folder().to_str().unwrap();
    let ambiguous =
        "error: several devices run here\n\nhint: choose one with `--device ID`: d1, d2\n";
    home.run(&["twin", "get", "filter", "--data-dir", folder])
        .is(5, "", ambiguous);
    let unknown = "error: no device `d9` runs here\n\nhint: there is: d1, d2\n";
    home.run(&["twin", "get", "--device", "d9", "--data-dir", folder])
        .is(4, "", unknown);
    assert_eq!(
        home.run(&["twin", "get", "--device", "d2", "--data-dir", folder])
            .code,
        Some(0)
    );
    assert_eq!(device.requests(), ["GET /twins/d2?api-version=2021-04-12"]);
}
