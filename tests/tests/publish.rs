//! The page about publishing a module, typed in one shell by a reader who has Debian's registry.

use std::ffi::OsStr;
use std::fs;

use wasm_edge_tests::console::{Shell, Step, steps};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::{debian, paths, wait};

/// What begins commands that are not typed, since they change the machine.
const INSTALLS: &str = "sudo apt ";

/// The port of the page: not that of the service of Debian's package, which runs where a reader has installed it.
const PORT: &str = "5050";

/// What begins the command that starts the registry.
const SERVES: &str = "docker-registry ";

#[test]
fn a_reader_can_type_what_the_page_shows() {
    let Some(registry) = debian::program("docker-registry", "/usr/bin/docker-registry") else {
        return;
    };
    let page = paths::repository().join("docs/publish.md");
    let port = wait::free_port();
    // It may be taken here.
    let page = fs::read_to_string(page).expect("the page is there");
    let page = page.replace(PORT, &port.to_string());
    let home = Home::new();
    fs::copy(paths::example("hello"), home.path().join("hello.wasm")).expect("it can be copied");
    let programs = home.path().join("programs");
    fs::create_dir(&programs).expect("a folder can be made");
    let links = [
        ("wasm-edge", paths::binary()),
        ("docker-registry", registry.get_program().into()),
    ];
    for (name, program) in links {
        std::os::unix::fs::symlink(program, programs.join(name)).expect("a link can be made");
    }
    let rest = std::env::var_os("PATH").unwrap_or_default();
    let path = [programs].into_iter().chain(std::env::split_paths(&rest));
    let path = std::env::join_paths(path).expect("search paths can be joined");
    let mut shell = Shell::start(&home, &[("PATH", OsStr::new(&path))]);
    let (mut typed, mut served) = (0, false);
    for step in steps(&page) {
        match step {
            Step::Command { text, .. } if text.starts_with(INSTALLS) => {}
            Step::Command { text, .. } => {
                shell.run(&text);
                typed += 1;
                if text.starts_with(SERVES) {
                    served = true;
                    wait::until_so("the registry to listen", || {
                        std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
                    });
                }
            }
            Step::File { path, content } => {
                home.write(&path, content);
            }
            Step::Output(_) | Step::Prints(_) => {}
        }
    }
    assert!(served && typed >= 8, "the page was not understood: {typed}");
    shell.run("kill %1; wait");
}
