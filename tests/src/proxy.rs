//! An HTTP proxy as it stands before a company's network: tinyproxy, with what it let through.

use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Child;

use crate::home::Home;
use crate::{debian, wait};

/// A running proxy on 127.0.0.1; dropping it ends it.
#[derive(Debug)]
pub struct Proxy {
    child: Child,
    port: u16,
    log: PathBuf,
}

impl Proxy {
    /// Starts it with its files in this home; with a user name and a password nobody else gets through. Nothing where
    /// there is no tinyproxy.
    ///
    /// # Panics
    /// When it does not listen.
    pub fn start(home: &Home, login: Option<(&str, &str)>) -> Option<Self> {
        let mut command = debian::program("tinyproxy-bin", "/usr/bin/tinyproxy")?;
        let port = wait::free_port();
        let log = home.path().join(format!("proxy-{port}.log"));
        let login = login.map(|(user, password)| format!("BasicAuth {user} {password}\n"));
        let config = format!(
            "Port {port}\nListen 127.0.0.1\nAllow 127.0.0.1\nTimeout 600\nMaxClients 50\n\
             LogFile \"{}\"\nLogLevel Connect\n{}",
            log.display(),
            login.unwrap_or_default()
        );
        let config = home.write(&format!("proxy-{port}.conf"), config);
        let child = command.arg("-d").arg("-c").arg(config).spawn();
        let proxy = Self {
            child: child.expect("tinyproxy can be started"),
            port,
            log,
        };
        wait::until_so("the proxy to listen", || {
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Some(proxy)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address as the environment and configurations name it; `login` is `user:password@`, or nothing.
    pub fn url(&self, login: &str) -> String {
        format!("http://{login}127.0.0.1:{}", self.port)
    }

    /// How often it was asked for a tunnel to this port.
    pub fn tunnels(&self, port: u16) -> usize {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let asked = format!("CONNECT localhost:{port} ");
        log.lines().filter(|line| line.contains(&asked)).count()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
