//! What is said about wrong arguments, and in which colour.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;

use crate::invocation::Home;

#[test]
fn wrong_arguments_end_with_2_and_say_what_was_expected() {
    let home = Home::new();
    let check = |args: &[&str], expected: &str| {
        let ending = home.run(args);
        assert_eq!(
            (ending.code, ending.stdout.as_str()),
            (Some(2), ""),
            "{args:?}"
        );
        assert!(
            ending.stderr.starts_with(expected),
            "{args:?}:\n{}",
            ending.stderr
        );
    };
    check(
        &["moniter"],
        "error: unrecognized subcommand 'moniter'\n\n  tip: a similar subcommand exists: 'monitor'\n",
    );
    check(
        &["twin", "patch"],
        "error: the following required arguments were not provided:\n  <[MODULE] PATCH>...\n",
    );
    check(
        &["twin", "patch", "a b", "--tags", "{}"],
        "error: invalid value 'a b' for '[MODULE]': an id cannot contain ` `: letters, digits and",
    );
    check(
        &["twin", "patch", "filter", "{}", "--tags", "{}"],
        "error: unexpected argument '{}' found\n",
    );
    check(
        &["twin", "get", "--desired", "--tags"],
        "error: the argument '--desired' cannot be used with '--tags'\n",
    );
    check(
        &["inspect", "a b"],
        "error: invalid value 'a b' for '<MODULE>': an id cannot contain ` `: letters, digits and",
    );
    check(
        &["logs", "--tail", "-1"],
        "error: unexpected argument '-1' found\n",
    );
    check(
        &["-q", "-v", "list"],
        "error: the argument '--quiet' cannot be used with '--verbose...'\n",
    );
    check(
        &["list", "--output", "xml"],
        "error: invalid value 'xml' for '--output <FORMAT>'\n  [possible values: text, json]\n",
    );
}

#[cfg(feature = "hub")]
#[test]
fn wrong_arguments_of_run_end_with_2() {
    let home = Home::new();
    let check = |args: &[&str], expected: &str| {
        let ending = home.run(args);
        assert_eq!(
            (ending.code, ending.stdout.as_str()),
            (Some(2), ""),
            "{args:?}"
        );
        assert!(
            ending.stderr.starts_with(expected),
            "{args:?}:\n{}",
            ending.stderr
        );
    };
    check(
        &["run"],
        "error: the following required arguments were not provided:\n  <FILE>\n",
    );
    check(
        &["run", "a.json", "--for", "20"],
        "error: invalid value '20' for '--for <DURATION>': expected a number with a unit, such as `20s`, `5m` or `1h30m`\n",
    );
    check(
        &["run", "a.wasm", "--env", "A"],
        "error: invalid value 'A' for '--env <NAME=VALUE>': expected NAME=VALUE\n",
    );
    check(
        &["run", "--device", "d1"],
        "error: nothing to run on the device `d1`\n\nhint: give a FILE, or `--device d1=FILE`\n",
    );
}

#[test]
fn help_and_version_are_data() {
    let home = Home::new();
    let version = concat!("wasm-edge ", env!("CARGO_PKG_VERSION"), "\n");
    home.run(&["--version"]).is(0, version, "");
    let help = home.run(&["help", "twin", "patch"]);
    assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""));
    assert!(
        help.stdout
            .contains("Usage: wasm-edge twin patch [OPTIONS] [MODULE] <PATCH>"),
        "{}",
        help.stdout
    );
    let help = home.run(&["--help"]);
    assert!(
        help.stdout
            .contains("Exit codes:\n    0  The command did what was asked.\n"),
        "{}",
        help.stdout
    );
    let nothing = home.run(&[]);
    assert_eq!((nothing.code, nothing.stdout.as_str()), (Some(2), ""));
    assert!(
        nothing.stderr.contains("Usage: wasm-edge"),
        "{}",
        nothing.stderr
    );
}

#[test]
fn completions_know_the_commands() {
    let home = Home::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let ending = home.run(&["completions", shell]);
        assert_eq!((ending.code, ending.stderr.as_str()), (Some(0), ""));
        assert!(ending.stdout.contains("monitor"), "{shell}");
    }
}

#[test]
fn colour_is_used_when_asked_for_and_never_into_a_pipe_by_itself() {
    let home = Home::new();
    let colored = |args: &[&str], no_color: Option<&str>| {
        let mut command = home.command(args);
        if let Some(value) = no_color {
            command.env("NO_COLOR", value);
        }
        let output = command.output().unwrap();
        assert_ne!(output.status.code(), Some(0));
        output.stderr.contains(&0x1b)
    };
    assert!(!colored(&["list"], None));
    assert!(!colored(&["list"], Some("1")));
    assert!(colored(&["list", "--color", "always"], None));
    assert!(
        colored(&["list", "--color", "always"], Some("1")),
        "the flag was given for this one run"
    );
    assert!(!colored(&["list", "--color", "never"], None));
    // What clap says follows the same rule.
    assert!(!colored(&["moniter"], None));
    assert!(colored(&["lst", "--color=always"], None));
}

#[test]
fn on_a_terminal_no_color_is_heeded() {
    let home = Home::new();
    let on_terminal = |no_color: &str| {
        let (mut screen, keyboard) = terminal();
        let mut command = home.command(&["list"]);
        command.env("NO_COLOR", no_color).stderr(keyboard);
        assert_eq!(command.status().unwrap().code(), Some(3));
        drop(command);
        let mut shown = [0; 4096];
        let length = screen.read(&mut shown).unwrap();
        String::from_utf8(shown[..length].to_vec()).unwrap()
    };
    assert!(on_terminal("1").starts_with("error: no running device was found"));
    assert!(on_terminal("").starts_with("\u{1b}[1;31merror:\u{1b}[0m no running device was found"));
}

/// Both ends of a new pseudo terminal: what is shown on it, and what a program writes to.
fn terminal() -> (File, File) {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let screen = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&screen).unwrap();
    unlockpt(&screen).unwrap();
    let name = ptsname(&screen, Vec::new()).unwrap();
    let program = File::options()
        .read(true)
        .write(true)
        .open(OsStr::from_bytes(name.as_bytes()))
        .unwrap();
    (screen.into(), program)
}
