//! An HTTP proxy as it stands before a company's network: tinyproxy, with what it let through.

use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Child;

use crate::home::Home;
use crate::{debian, space, wait};

/// A running proxy on 127.0.0.1; dropping it ends it.
#[derive(Debug)]
pub struct Proxy {
    child: Child,
    port: u16,
    log: PathBuf,
}

/// Whom a proxy lets through, and where to.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProxyOptions<'a> {
    /// The user name and the password without which nobody gets through.
    pub login: Option<(&'a str, &'a str)>,
    /// The port that tunnels may lead to; any without.
    pub only_port: Option<u16>,
    /// A name that leads to 127.0.0.1 for the proxy alone, as those behind it do not know it.
    pub name: Option<&'a str>,
}

impl Proxy {
    /// Starts it with its files in this home; with a user name and a password nobody else gets through. Nothing where
    /// there is no tinyproxy.
    ///
    /// # Panics
    /// When it does not listen.
    pub fn start(home: &Home, login: Option<(&str, &str)>) -> Option<Self> {
        let login_only = ProxyOptions {
            login,
            ..ProxyOptions::default()
        };
        Self::start_with(home, login_only)
    }

    /// The same with these options. Nothing, too, where a name is wanted and no namespace can be made for it.
    ///
    /// # Panics
    /// When it does not listen.
    pub fn start_with(home: &Home, options: ProxyOptions<'_>) -> Option<Self> {
        let mut command = debian::program("tinyproxy-bin", "/usr/bin/tinyproxy")?;
        if let Some(name) = options.name {
            let hosts = home.write("proxy-hosts", format!("127.0.0.1 localhost {name}\n"));
            command = space::with_hosts(&command, &hosts)?;
        }
        let port = wait::free_port();
        let log = home.path().join(format!("proxy-{port}.log"));
        let mut config = format!(
            "Port {port}\nListen 127.0.0.1\nAllow 127.0.0.1\nTimeout 600\nMaxClients 50\n\
             LogFile \"{}\"\nLogLevel Connect\n",
            log.display(),
        );
        if let Some((user, password)) = options.login {
            config += &format!("BasicAuth {user} {password}\n");
        }
        if let Some(port) = options.only_port {
            config += &format!("ConnectPort {port}\n");
        }
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
        let to_port = format!(":{port} ");
        let asked = |line: &str| line.contains("CONNECT ") && line.contains(&to_port);
        log.lines().filter(|line| asked(line)).count()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
