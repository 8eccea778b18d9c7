//! The commands of README.md, run in their order by a reader who has a clone and nothing else.
//!
//! Each console block is typed into one shell; a `run` that goes on until Ctrl-C stays in the background while the
//! blocks after it are typed, as in a second terminal. README.md is parsed and not copied: a command that is added
//! there is run here.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use wasm_edge_tests::console::{Shell, Step, shape, steps};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::paths;
use wasm_edge_tests::process::Process;
use wasm_edge_tests::wait;

/// What is done in place of a command.
#[derive(Clone, Copy)]
enum Instead {
    /// Nothing.
    Nothing,
    /// A `run` with these arguments, in the folder of the reader.
    Run(&'static [&'static str]),
}

/// The commands that are not run as they stand, by how they begin, and what is done in their place. All others are.
const EXCEPTIONS: &[(&str, Instead)] = &[
    // Builds the binary and the guests, which takes minutes and has happened when this test runs; then it runs this.
    (
        "make demo",
        Instead::Run(&[
            "wasm-edge/examples/deployments/demo.json",
            "--device",
            "Hannover01",
        ]),
    ),
    // This test is a part of it.
    ("make test", Instead::Nothing),
    // The binary of this build is found by its name here.
    ("alias wasm-edge=", Instead::Nothing),
];

/// A reader at work.
struct Reader<'a> {
    home: &'a Home,
    shell: Shell,
    /// What the shell has beside the home, and a `run` as well: it may build a crate.
    environment: Vec<(&'static str, OsString)>,
    /// What the last command printed.
    printed: Vec<String>,
    running: Option<Process>,
}

#[test]
fn a_reader_can_type_what_the_readme_shows() {
    let document = fs::read_to_string(paths::repository().join("README.md")).expect("README.md");
    let steps = steps(&without_hub(&document));
    let commands = steps
        .iter()
        .filter(|step| matches!(step, Step::Command { .. }))
        .count();
    assert!(commands >= 5, "README.md was not understood: {steps:#?}");
    let home = Home::new();
    let mut reader = Reader::new(&home);
    for step in &steps {
        reader.take(step);
    }
    reader.end_run();
}

/// The document without the section that needs the ports of a hub; `tests/sdk` types that, where they are free.
fn without_hub(document: &str) -> String {
    const HEADING: &str = "\n## A hub for the Azure SDKs\n";
    let (before, section) = document
        .split_once(HEADING)
        .expect("README.md has the section about the SDKs");
    let after = section.split_once("\n## ").map_or("", |(_, after)| after);
    format!("{before}\n## {after}")
}

#[test]
fn every_exception_stands_in_the_readme() {
    let document = fs::read_to_string(paths::repository().join("README.md")).expect("README.md");
    for (begin, _) in EXCEPTIONS {
        assert!(
            document.contains(&format!("$ {begin}")),
            "`{begin}` is no command of README.md"
        );
    }
}

impl<'a> Reader<'a> {
    fn new(home: &'a Home) -> Self {
        std::os::unix::fs::symlink(paths::repository(), home.path().join("wasm-edge"))
            .expect("a link can be made");
        let programs = home.path().join("programs");
        fs::create_dir(&programs).expect("a folder can be made");
        std::os::unix::fs::symlink(paths::binary(), programs.join("wasm-edge"))
            .expect("a link can be made");
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path =
            std::env::join_paths(std::iter::once(programs).chain(std::env::split_paths(&path)));
        let path = path.expect("search paths can be joined");
        let (cargo, rustup) = (
            tool_home("CARGO_HOME", ".cargo"),
            tool_home("RUSTUP_HOME", ".rustup"),
        );
        // What cargo builds of the SDK's dependencies stays from one run of the tests to the next.
        let kept = paths::repository().join("target/readme");
        fs::create_dir_all(&kept).expect("a folder in `target` can be made");
        let environment: Vec<(&str, OsString)> = vec![
            ("PATH", path),
            ("CARGO_HOME", cargo.into()),
            ("RUSTUP_HOME", rustup.into()),
            ("CARGO_NET_OFFLINE", "true".into()),
            ("KEPT", kept.into()),
        ];
        let shell = Shell::start(
            home,
            &environment
                .iter()
                .map(|(name, value)| (*name, value.as_os_str()))
                .collect::<Vec<_>>(),
        );
        Self {
            home,
            shell,
            environment,
            printed: Vec::new(),
            running: None,
        }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Command { text, shown } => {
                self.command(text);
                self.has_printed(text, shown);
            }
            Step::File { path, content } => {
                let path = self.folder().join(path);
                fs::write(&path, content).unwrap_or_else(|err| panic!("{}: {err}", path.display()));
            }
            Step::Output(lines) => {
                for line in lines {
                    self.prints(&format!("a line as `{line}`"), |printed| {
                        shape(printed) == shape(line)
                    });
                }
            }
            Step::Prints(text) => self.prints(&format!("`{text}`"), |printed| {
                printed.contains(text.as_str())
            }),
        }
    }

    fn command(&mut self, text: &str) {
        let exception = EXCEPTIONS.iter().find(|(begin, _)| text.starts_with(begin));
        match exception {
            Some((_, Instead::Nothing)) => self.printed = Vec::new(),
            Some((_, Instead::Run(args))) => self.start_run(args),
            None if goes_on(text) => {
                let words: Vec<&str> = text.split_whitespace().skip(2).collect();
                self.start_run(&words);
            }
            None => {
                self.printed = self.shell.run(text);
                // A crate's own `target` is the kept one.
                self.shell
                    .run("[ ! -e Cargo.toml ] || [ -e target ] || ln -s \"$KEPT\" target");
            }
        }
    }

    /// Starts a `run` as the shell would, in the folder that it is in, and waits until its modules run.
    fn start_run(&mut self, args: &[&str]) {
        self.end_run();
        let mut command = self
            .home
            .command(std::iter::once("run").chain(args.iter().copied()));
        let folder = self.folder();
        let environment = self.environment.iter().map(|(name, value)| (*name, value));
        command.current_dir(folder).envs(environment);
        let mut process = Process::start(command);
        wait::until_so("all modules of the run to be running", || {
            assert!(
                !process.has_ended(),
                "{args:?} ended: {:#?}",
                process.wait()
            );
            let list = self.home.verb(&["list", "--output", "json"]);
            let modules = (list.status == Some(0)).then(|| list.json()["modules"].clone());
            let modules = modules.as_ref().and_then(|it| it.as_array());
            modules.is_some_and(|modules| {
                !modules.is_empty() && modules.iter().all(|module| module["status"] == "running")
            })
        });
        self.printed = Vec::new();
        self.running = Some(process);
    }

    /// Ctrl-C, which ends in order.
    fn end_run(&mut self) {
        if let Some(mut process) = self.running.take() {
            process.signal(Signal::INT);
            process.wait().ok();
        }
    }

    /// The lines that are shown below a command come in their order.
    #[track_caller]
    fn has_printed(&self, command: &str, shown: &[String]) {
        let mut printed = self.printed.iter();
        for line in shown {
            let found = printed.any(|printed| shape(printed) == shape(line));
            assert!(
                found,
                "`{command}` does not print `{line}` there:\n{}",
                self.printed.join("\n")
            );
        }
    }

    /// Waits for a line of the last command, or of the `run` if it is one that goes on.
    #[track_caller]
    fn prints(&self, what: &str, is_so: impl Fn(&str) -> bool) {
        let Some(running) = self.running.as_ref().filter(|_| self.printed.is_empty()) else {
            let found = self.printed.iter().any(|line| is_so(line));
            assert!(
                found,
                "it does not print {what}:\n{}",
                self.printed.join("\n")
            );
            return;
        };
        wait::until_so(&format!("the run to print {what}"), || {
            let lines = [running.stdout.all(), running.stderr.all()];
            lines.iter().flatten().any(|line| is_so(line))
        });
    }

    /// The folder that the shell is in.
    fn folder(&mut self) -> PathBuf {
        let lines = self.shell.run("pwd");
        lines
            .iter()
            .find(|line| !line.is_empty())
            .expect("a folder")
            .into()
    }
}

/// Whether a command goes on until Ctrl-C.
fn goes_on(command: &str) -> bool {
    let ends = ["--for ", "--input "]
        .iter()
        .any(|option| command.contains(option));
    command.starts_with("wasm-edge run ") && !ends
}

/// The folder of a tool of the machine that the home of a test does not have.
fn tool_home(variable: &str, below_home: &str) -> PathBuf {
    let of_user = || Some(Path::new(&std::env::var_os("HOME")?).join(below_home));
    let set = std::env::var_os(variable).map(PathBuf::from);
    set.or_else(of_user).unwrap_or_default()
}
