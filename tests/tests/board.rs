//! The commands of docs/board.md, run in their order by a reader with a PC and a board.
//!
//! PC and board are two homes of this machine: what begins with `sudo` is typed on the board, whose root is a folder
//! that the package was unpacked into, the rest on the PC. The page is parsed and not copied: a command that is added
//! there is run here.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use rustix::process::Signal;
use wasm_edge_tests::console::{Shell, Step, steps};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::hub::{HubOptions, HubServe};
use wasm_edge_tests::management::Management;
use wasm_edge_tests::package::Package;
use wasm_edge_tests::paths;
use wasm_edge_tests::process::Process;

/// What is done in place of a command.
#[derive(Clone, Copy, Debug)]
enum Instead {
    /// Nothing.
    Nothing,
    /// A hub, on free ports.
    Hub,
    /// The service, as the unit starts it.
    Service,
    /// The command until it has printed a line.
    OneLine,
    /// The command as it stands, after the service was stopped, and then the program for boards in the same folder.
    ForBoards,
}

/// The commands that are not run as they stand, by how they begin, and what is done in their place.
const EXCEPTIONS: &[(&str, Instead)] = &[
    // Takes minutes; the package is made of the binary of this build.
    ("make deb", Instead::Nothing),
    // It is unpacked, which needs no root.
    ("sudo apt install", Instead::Nothing),
    ("wasm-edge hub serve", Instead::Hub),
    ("sudo systemctl enable --now wasm-edge", Instead::Service),
    ("wasm-edge monitor", Instead::OneLine),
    ("wasm-edge precompile", Instead::ForBoards),
];

/// Options that need root or the user of the package, and are left out on this machine.
const ROOTS: &[&str] = &["-g wasm-edge ", "-u wasm-edge "];

/// Folders of the board.
const FOLDERS: &[&str] = &["/etc/wasm-edge", "/opt/wasm-edge", "/var/lib/wasm-edge"];

/// A PC or a board.
struct Machine<'a> {
    home: &'a Home,
    shell: Shell,
}

/// A reader at work.
struct Reader<'a> {
    pc: Machine<'a>,
    board: Machine<'a>,
    package: Package,
    hub: Option<HubServe<'a>>,
    service: Option<Process>,
    /// The manifest as the page has it.
    manifest: String,
}

#[test]
fn a_reader_can_type_what_the_page_about_boards_shows() {
    let steps = steps(&page());
    let (pc, board) = (Home::new(), Home::new());
    let mut reader = Reader::new(&pc, &board);
    for step in &steps {
        match step {
            Step::Command { text, .. } => reader.command(text),
            Step::File { path, content } => reader.file(path, content),
            other => panic!("the page has nothing to compare with: {other:?}"),
        }
    }
    reader.stop_service();
}

#[test]
fn every_exception_stands_in_the_page_about_boards() {
    let page = page();
    for (begin, _) in EXCEPTIONS {
        assert!(page.contains(&format!("$ {begin}")), "`{begin}`");
    }
    for text in ROOTS.iter().chain(FOLDERS) {
        assert!(page.contains(text), "`{text}`");
    }
}

fn page() -> String {
    fs::read_to_string(paths::repository().join("docs/board.md")).expect("docs/board.md")
}

impl<'a> Machine<'a> {
    fn new(home: &'a Home, program: &Path) -> Self {
        let programs = home.path().join("programs");
        fs::create_dir(&programs).unwrap();
        symlink(program, programs.join("wasm-edge")).unwrap();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path =
            std::env::join_paths(std::iter::once(programs).chain(std::env::split_paths(&path)));
        let path: OsString = path.unwrap();
        let shell = Shell::start(home, &[("PATH", &path)]);
        Self { home, shell }
    }
}

impl<'a> Reader<'a> {
    fn new(pc: &'a Home, board: &'a Home) -> Self {
        let package = Package::unpack(board);
        let installed = package.root().join("usr/bin/wasm-edge");
        let (pc, board) = (
            Machine::new(pc, &paths::binary()),
            Machine::new(board, &installed),
        );
        // What is copied from the PC to the board, and the board's card in the PC.
        for name in ["board-1.txt", "hub-ca.pem"] {
            symlink(pc.home.path().join(name), board.home.path().join(name)).unwrap();
        }
        let component = paths::example("heartbeat");
        symlink(component, board.home.path().join("heartbeat.wasm")).unwrap();
        symlink(package.root(), pc.home.path().join("board")).unwrap();
        symlink(package.state(), board.home.data()).unwrap();
        Self {
            pc,
            board,
            package,
            hub: None,
            service: None,
            manifest: String::new(),
        }
    }

    fn command(&mut self, text: &str) {
        let exception = EXCEPTIONS.iter().find(|(begin, _)| text.starts_with(begin));
        match (
            exception.map(|(_, instead)| *instead),
            text.strip_prefix("sudo "),
        ) {
            (Some(Instead::Nothing), _) => {}
            (Some(Instead::Hub), _) => self.serve_hub(text),
            (Some(Instead::Service), _) => {
                self.start_service(&self.package.root().join("usr/bin/wasm-edge"))
            }
            (Some(Instead::OneLine), _) => self.one_line(text),
            (Some(Instead::ForBoards), _) => self.for_boards(text),
            (None, Some(text)) => {
                let text = self.on_board(text);
                self.board.shell.run(&text);
            }
            (None, None) => drop(self.pc.shell.run(text)),
        }
    }

    /// A command as it is typed on this machine in place of the board.
    fn on_board(&self, text: &str) -> String {
        let text = ROOTS
            .iter()
            .fold(text.to_owned(), |text, option| text.replace(option, ""));
        let text = self.in_root(&text);
        // Where it is by default on a board.
        let config = self.in_root("--check --config /etc/wasm-edge/config.toml");
        text.replace("--check", &config)
    }

    fn in_root(&self, text: &str) -> String {
        FOLDERS.iter().fold(text.to_owned(), |text, folder| {
            let here = self.package.root().join(&folder[1..]);
            text.replace(folder, here.to_str().unwrap())
        })
    }

    fn file(&mut self, path: &str, content: &str) {
        if path.starts_with('/') {
            let path = self.in_root(path);
            fs::write(&path, content).unwrap_or_else(|err| panic!("{path}: {err}"));
            // The hub of this test has ports of its own.
            let hub = self.hub.as_ref().expect("the page has a hub by now");
            let ports = format!(
                "[hub]\nmqtt_port = {}\nhttps_port = {}\n",
                hub.mqtt_port(),
                hub.https_port()
            );
            let more = Path::new(&path).with_file_name("config.d");
            fs::create_dir_all(&more).unwrap();
            fs::write(more.join("ports.toml"), ports).unwrap();
        } else {
            self.manifest = content.to_owned();
            self.pc.home.write(path, self.in_root(content));
        }
    }

    fn serve_hub(&mut self, text: &str) {
        assert!(text.contains("--host-name"), "{text}");
        self.hub = Some(HubOptions::new().start(self.pc.home));
    }

    fn start_service(&mut self, program: &Path) {
        let unit = self.package.service(self.board.home);
        let args = unit.get_args().map(OsString::from);
        let mut command = self.board.home.program(program.to_str().unwrap(), args);
        command.envs(
            unit.get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        );
        let mut process = Process::start(command);
        Management::of(self.board.home).wait_answers(&mut process);
        self.service = Some(process);
    }

    fn stop_service(&mut self) {
        let mut service = self.service.take().expect("the page starts it");
        service.signal(Signal::TERM);
        service.wait().ok();
    }

    fn one_line(&mut self, text: &str) {
        let words: Vec<&str> = text.split_whitespace().skip(1).collect();
        let mut process = Process::start(self.pc.home.command(&words));
        process.find_line(text, 0, |line| (!line.is_empty()).then_some(()));
        process.signal(Signal::INT);
        process.wait();
    }

    fn for_boards(&mut self, text: &str) {
        self.stop_service();
        let manifest = self.pc.home.path().join("deployment.json");
        fs::write(&manifest, &self.manifest).unwrap();
        self.pc.shell.run(text);
        self.start_service(&paths::device_binary());
        let management = Management::of(self.board.home);
        management.wait_running();
        assert_eq!(management.components_compiled(), 0);
    }
}
