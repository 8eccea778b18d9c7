//! What a service manager hears of `daemon`: a socket in the place of systemd's.

use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

use wasm_edge_tests::daemon::DaemonOptions;
use wasm_edge_tests::deployment::{Deployment, Module};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::wait;

/// A service manager of this test's.
struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Manager {
    fn listen(home: &Home) -> Self {
        let path = home.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket can be made");
        socket
            .set_read_timeout(Some(wait::LIMIT))
            .expect("a timeout can be set");
        Self { socket, path }
    }

    fn told(&self, options: DaemonOptions) -> DaemonOptions {
        options.env("NOTIFY_SOCKET", self.path.to_str().expect("text"))
    }

    /// The next line that begins so; those before it are passed over.
    fn hears(&self, begin: &str) -> String {
        let mut buffer = [0; 4096];
        loop {
            let length = self.socket.recv(&mut buffer);
            let length = length.unwrap_or_else(|err| panic!("no `{begin}`: {err}"));
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if let Some(line) = text.lines().find(|line| line.starts_with(begin)) {
                return line.to_owned();
            }
        }
    }
}

#[test]
fn it_hears_that_the_device_runs_lives_and_ends() {
    let home = Home::new();
    let manager = Manager::listen(&home);
    let manifest = Deployment::new().module(Module::guest("echo")).write(&home);
    let options = DaemonOptions::of_file(&manifest)
        .set("deployment", "device_id", "d1")
        .env("WATCHDOG_USEC", "400000");
    let daemon = manager.told(options).start(&home);
    manager.hears("READY=1");
    manager.hears("WATCHDOG=1");
    assert_eq!(
        manager.hears("STATUS=device"),
        "STATUS=device `d1`, without a hub"
    );
    manager.hears("WATCHDOG=1");
    daemon.stop().ok();
    manager.hears("STOPPING=1");
}

#[test]
fn it_hears_that_the_device_runs_without_its_hub_and_why_it_is_not_connected() {
    let home = Home::new();
    let manager = Manager::listen(&home);
    // Nobody listens on the port that the system gave away and took back.
    let port = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
        free.local_addr().expect("it has an address").port()
    };
    let secret = "SharedAccessKey=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let options = DaemonOptions::new()
        .set("provisioning", "source", "connection-string")
        .set(
            "provisioning",
            "connection_string",
            format!("HostName=127.0.0.1;DeviceId=d1;{secret}"),
        )
        .set("hub", "mqtt_port", port)
        .set("hub", "https_port", port)
        .env("WATCHDOG_USEC", "400000");
    let daemon = manager.told(options).start(&home);
    manager.hears("READY=1");
    let status = manager.hears("STATUS=device `d1` of `127.0.0.1`: not connected: ");
    assert!(!status.contains("AAEC"), "{status}");
    manager.hears("WATCHDOG=1");
    daemon.stop().ok();
    manager.hears("STOPPING=1");
}
