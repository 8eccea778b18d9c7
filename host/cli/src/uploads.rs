//! What the agents of this process need to upload: a way out as the environment says, and support bundles.
//!
//! A bundle is made by asking the process's own control socket, as `support-bundle` does from outside.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use wasm_edge_daemon::uploads::{BundleMaker, Uploads, WayOut};
use wasm_edge_model::agent_method::BundleRequest;
use wasm_edge_model::identity::DeviceId;
use wasm_edge_net::clock::HubClock;
use wasm_edge_net::dial::{Dialer, DialerOptions};
use wasm_edge_net::proxy::Proxy;
use wasm_edge_net::traffic::Counter;
use wasm_edge_net::trust;

use crate::commands::support_bundle;

/// How long connecting to the storage may take, with TLS.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(30);

/// Uploads of devices whose data folder this is: the system's certificates are trusted, and the proxy of the
/// environment is used.
#[cfg(feature = "hub")]
pub(crate) fn of(data_folder: &Path, clock: HubClock) -> Uploads {
    through(
        data_folder,
        || Ok(Proxy::from_env()?),
        clock,
        Counter::default(),
    )
}

/// The same through another proxy, which is asked for when something is uploaded first; what goes over the network is
/// counted.
pub(crate) fn through(
    data_folder: &Path,
    proxy: impl Fn() -> anyhow::Result<Option<Proxy>> + Send + Sync + 'static,
    clock: HubClock,
    counter: Counter,
) -> Uploads {
    let open = move || {
        let options = DialerOptions {
            roots: Arc::new(trust::roots(None)?),
            proxy: proxy()?,
            identity: None,
            clock: clock.clone(),
            connect_timeout: CONNECT_TIME_MAX,
        };
        Ok(Dialer::new(options)?)
    };
    over(data_folder, WayOut::new(open, counter))
}

/// Uploads over a way that is there.
fn over(data_folder: &Path, way_out: WayOut) -> Uploads {
    let data_folder = data_folder.to_owned();
    Uploads {
        way_out: Some(way_out),
        bundles: Some(Arc::new(OwnBundles { data_folder })),
    }
}

/// Makes bundles of devices of this process.
struct OwnBundles {
    data_folder: PathBuf,
}

impl BundleMaker for OwnBundles {
    fn make(
        &self,
        device: DeviceId,
        request: BundleRequest,
        file: File,
    ) -> BoxFuture<'static, Result<(), String>> {
        let data_folder = self.data_folder.clone();
        Box::pin(async move {
            // Dropped with this future, which ends the work.
            let unwanted = CancellationToken::new();
            let _wanted = unwanted.clone().drop_guard();
            let runtime = tokio::runtime::Handle::current();
            // Packing and looking for secrets take long, too long for the threads of others.
            let making = tokio::task::spawn_blocking(move || {
                let made = support_bundle::of_device(data_folder, &device, request, file);
                runtime.block_on(async {
                    tokio::select! {
                        made = made => made.map_err(|err| format!("{err:#}")),
                        () = unwanted.cancelled() => Err("it was given up".to_owned()),
                    }
                })
            });
            making.await.map_err(|err| err.to_string())?
        })
    }
}
