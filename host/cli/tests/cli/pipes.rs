//! Commands whose output is no longer read.

use std::io::{BufRead, BufReader};

use crate::fake_device::FakeDevice;
use crate::invocation::{Ending, Home};

#[test]
fn a_command_whose_reader_has_gone_ends_quietly() {
    let home = Home::new();
    let mut child = home.spawn(&["completions", "bash"]);
    drop(child.stdout.take());
    Ending::of(child.wait_with_output().unwrap()).is(0, "", "");
}

#[test]
fn an_endless_stream_ends_with_its_reader() {
    let (home, device) = (Home::new(), FakeDevice::start(&["d1"]));
    let folder = device.data_folder().to_str().unwrap();
    for format in ["text", "json"] {
        let mut child = home.spawn(&[
            "logs",
            "--tail",
            "1000",
            "--data-dir",
            folder,
            "--output",
            format,
        ]);
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert!(line.contains("load 0.4"), "{line}");
        Ending::of(child.wait_with_output().unwrap()).is(0, "", "");
    }
}

#[test]
fn a_silent_stream_ends_with_its_reader_too() {
    let (home, device) = (Home::new(), FakeDevice::start(&["d1"]));
    let folder = device.data_folder().to_str().unwrap();
    let mut child = home.spawn(&["logs", "--follow", "--data-dir", folder]);
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    reader.read_line(&mut line).unwrap();
    drop(reader);
    Ending::of(child.wait_with_output().unwrap()).is(0, "", "");
}

#[test]
fn a_device_that_goes_away_in_the_middle_is_a_failure() {
    let (home, device) = (Home::new(), FakeDevice::start(&["d1"]));
    let folder = device.data_folder().to_str().unwrap().to_owned();
    let mut child = home.spawn(&["logs", "--follow", "--data-dir", &folder]);
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    reader.read_line(&mut line).unwrap();
    drop(device);
    let ending = Ending::of(child.wait_with_output().unwrap());
    assert_eq!(ending.code, Some(3), "{}", ending.stderr);
    assert!(
        ending
            .stderr
            .starts_with("error: the connection to the device broke\ncaused by: "),
        "{}",
        ending.stderr
    );
}
