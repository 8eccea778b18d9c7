//! The management interface served by this very command, for a data folder that no process holds.
//!
//! A command then has one way to ask, whether a device runs or not. Each request has a connection of its own, in
//! memory; who serves ends with the last of them.

use std::future::IntoFuture;
use std::io;
use std::sync::Mutex;

use axum::Router;
use axum::serve::Listener;
use tokio::io::DuplexStream;
use tokio_util::task::AbortOnDropHandle;

/// What is on its way in a connection, each way, in bytes.
const IN_FLIGHT_BYTES: usize = 64 * 1024;

/// What is served here.
#[derive(Debug)]
pub(crate) struct Here {
    router: Router,
    /// Those who serve, by connection; they end with this.
    servers: Mutex<Vec<AbortOnDropHandle<io::Result<()>>>>,
}

/// One connection that was made before it is accepted.
struct Made(Option<DuplexStream>);

impl Here {
    /// Serves this.
    pub(crate) fn new(router: Router) -> Self {
        Self {
            router,
            servers: Mutex::default(),
        }
    }

    /// A new connection.
    pub(super) fn connect(&self) -> DuplexStream {
        let (near, far) = tokio::io::duplex(IN_FLIGHT_BYTES);
        let serving = axum::serve(Made(Some(far)), self.router.clone());
        let server = tokio::spawn(serving.into_future());
        let mut servers = self.servers.lock().expect("nobody panics with it");
        servers.push(AbortOnDropHandle::new(server));
        near
    }
}

impl Listener for Made {
    type Io = DuplexStream;
    type Addr = ();

    async fn accept(&mut self) -> (DuplexStream, ()) {
        match self.0.take() {
            Some(stream) => (stream, ()),
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<()> {
        Ok(())
    }
}
