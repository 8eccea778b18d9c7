//! The sockets that the server listens on.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket};

use super::{Addresses, ServerError, ServerOptions};

/// Connections that wait to be accepted, per listener: a thousand devices come back at once after a restart.
const BACKLOG: u32 = 1024;

/// How often a free port is looked for that all addresses have free.
const PORT_TRIES_MAX: usize = 16;

/// All listeners of a server.
pub(super) struct Listeners {
    pub(super) mqtt: Vec<TcpListener>,
    pub(super) https: Vec<TcpListener>,
    pub(super) metrics: Vec<TcpListener>,
}

impl Listeners {
    pub(super) fn bind(options: &ServerOptions) -> Result<Self, ServerError> {
        Ok(Self {
            mqtt: bind_all(&options.mqtt, "MQTT")?,
            https: bind_all(&options.https, "HTTPS")?,
            metrics: bind_all(&options.metrics, "metrics")?,
        })
    }

    pub(super) fn addresses(&self) -> Addresses {
        let of = |listeners: &[TcpListener]| {
            let addresses = listeners.iter().map(TcpListener::local_addr);
            addresses.filter_map(Result::ok).collect()
        };
        Addresses {
            mqtt: of(&self.mqtt),
            https: of(&self.https),
            metrics: of(&self.metrics),
        }
    }
}

/// Listens on all of them; those with port 0 get the same free port.
fn bind_all(addresses: &[SocketAddr], what: &'static str) -> Result<Vec<TcpListener>, ServerError> {
    let mut tries = 0;
    loop {
        tries += 1;
        match bind_once(addresses) {
            Ok(listeners) => return Ok(listeners),
            // Somebody has the port that was free on the first address.
            Err((address, err))
                if err.kind() == io::ErrorKind::AddrInUse
                    && !addresses.contains(&address)
                    && tries < PORT_TRIES_MAX => {}
            Err((address, source)) => {
                return Err(ServerError::Listen {
                    address,
                    what,
                    source,
                });
            }
        }
    }
}

fn bind_once(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, (SocketAddr, io::Error)> {
    let mut listeners = Vec::with_capacity(addresses.len());
    let mut free_port = 0;
    for address in addresses {
        let mut address = *address;
        if address.port() == 0 {
            address.set_port(free_port);
        }
        let failed = |err| (address, err);
        let listener = listen(address).map_err(failed)?;
        free_port = listener.local_addr().map_err(failed)?.port();
        listeners.push(listener);
    }
    Ok(listeners)
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A hub that starts again takes its port back from connections of before that are not forgotten yet.
    socket.set_reuseaddr(true)?;
    // Connections inherit it: a client that went without a word is noticed at last.
    socket.set_keepalive(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(addresses: &[&str]) -> Result<Vec<SocketAddr>, ServerError> {
        let addresses: Vec<SocketAddr> = addresses.iter().map(|a| a.parse().unwrap()).collect();
        let listeners = bind_all(&addresses, "MQTT")?;
        Ok(listeners.iter().map(|l| l.local_addr().unwrap()).collect())
    }

    #[tokio::test]
    async fn addresses_without_a_port_get_the_same_one() {
        let bound = bind(&["127.0.0.1:0", "127.0.0.2:0"]).unwrap();
        assert_ne!(bound[0].port(), 0);
        assert_eq!(bound[0].port(), bound[1].port());
    }

    #[tokio::test]
    async fn a_port_in_use_is_named() {
        let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = other.local_addr().unwrap();
        let err = bind(&[&address.to_string()]).unwrap_err();
        let expected = format!("cannot listen on `{address}` for MQTT");
        assert_eq!(err.to_string(), expected);
        assert!(matches!(
            err,
            ServerError::Listen { source, .. } if source.kind() == io::ErrorKind::AddrInUse
        ));
    }
}
