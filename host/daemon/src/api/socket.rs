//! The control socket: a Unix socket in the data folder, for its owner alone.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use axum::Router;
use tokio::net::UnixListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wasm_edge_store::folder::DataFolder;

/// How long open requests may go on when the socket closes; those that follow something never end by
/// themselves.
const CLOSE_MAX: Duration = Duration::from_millis(300);

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
            let serving = axum::serve(listener, router)
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
