//! The control socket: a Unix socket in the data folder, for its owner alone.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::unix::SocketAddr;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wasm_edge_store::folder::DataFolder;

use crate::twins::local::Author;

/// How long open requests may go on when the socket closes; those that follow something never end by
/// themselves.
const CLOSE_MAX: Duration = Duration::from_millis(300);

/// Connections that are served at once; a further one waits until another ends.
const CONNECTIONS_MAX: usize = 128;

/// How long to wait after a connection could not be accepted, as when no file can be opened any more.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// A served control socket.
pub struct ControlSocket {
    server: JoinHandle<()>,
    stop: CancellationToken,
    path: std::path::PathBuf,
}

impl ControlSocket {
    /// Serves `router` on the control socket of `folder`, which this process holds.
    ///
    /// A socket left by a process that was killed is replaced. Only the owner can connect: the folder has
    /// mode 0700 and the socket 0600.
    ///
    /// # Errors
    /// The I/O error.
    pub fn serve(folder: &DataFolder, router: Router) -> io::Result<Self> {
        let path = folder.control_socket_path();
        match std::fs::remove_file(&path) {
            Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let server = tokio::spawn(async move {
            let serving = axum::serve(
                Bounded::new(listener),
                router.into_make_service_with_connect_info::<Caller>(),
            )
            .with_graceful_shutdown(stopped.clone().cancelled_owned());
            let overdue = async {
                stopped.cancelled().await;
                tokio::time::sleep(CLOSE_MAX).await;
            };
            tokio::select! {
                served = serving => if let Err(err) = served {
                    tracing::error!(%err, "the control socket ended");
                },
                () = overdue => {}
            }
        });
        Ok(Self { server, stop, path })
    }

    /// Closes the socket and removes it.
    pub async fn close(self) {
        self.stop.cancel();
        let _ = self.server.await;
        if let Err(err) = std::fs::remove_file(&self.path) {
            tracing::debug!(%err, "the control socket could not be removed");
        }
    }
}

/// Who connected, as the system says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller(Option<Author>);

impl Caller {
    /// User and process; `None` where the system does not say.
    pub(super) fn author(self) -> Option<Author> {
        self.0
    }
}

impl Connected<IncomingStream<'_, Bounded>> for Caller {
    fn connect_info(stream: IncomingStream<'_, Bounded>) -> Self {
        let credentials = stream.io().stream.peer_cred().ok();
        Self(credentials.map(|peer| Author {
            uid: peer.uid(),
            pid: peer.pid(),
        }))
    }
}

/// Accepts no more connections than [`CONNECTIONS_MAX`].
struct Bounded {
    listener: UnixListener,
    places: Arc<Semaphore>,
}

impl Bounded {
    fn new(listener: UnixListener) -> Self {
        Self {
            listener,
            places: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
        }
    }
}

impl Listener for Bounded {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let place = Arc::clone(&self.places).acquire_owned().await;
        let place = place.expect("the semaphore is never closed");
        loop {
            match self.listener.accept().await {
                Ok((stream, addr)) => {
                    let connection = Connection {
                        stream,
                        _place: place,
                    };
                    return (connection, addr);
                }
                Err(err) => {
                    tracing::warn!(%err, "a connection to the control socket was not accepted");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection with its place among those that are served.
struct Connection {
    stream: UnixStream,
    _place: OwnedSemaphorePermit,
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
