//! An upstream that makes no connection before the clock is set: tokens that are made too early are refused, and
//! certificates judged wrongly.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::watch;
use wasm_edge_daemon::upstream::status::UpstreamStatus;
use wasm_edge_daemon::upstream::{Credentials, Interest, Session, Upstream, UpstreamError};
use wasm_edge_model::identity::ModuleIdentity;

/// The upstream behind the clock.
pub(super) struct Timely<U> {
    upstream: Arc<U>,
    set: watch::Receiver<bool>,
}

impl<U: Upstream> Timely<U> {
    /// Connects once `set` is true.
    pub(super) fn new(upstream: U, set: watch::Receiver<bool>) -> Self {
        Self {
            upstream: Arc::new(upstream),
            set,
        }
    }
}

impl<U: Upstream> Upstream for Timely<U> {
    fn host_name(&self) -> String {
        self.upstream.host_name()
    }

    fn provision(
        &self,
        module: ModuleIdentity,
    ) -> BoxFuture<'static, Result<Credentials, UpstreamError>> {
        // What is known needs no connection, and whoever asks the hub takes over its time where it has to.
        self.upstream.provision(module)
    }

    fn deprovision(&self, module: ModuleIdentity) -> BoxFuture<'static, Result<(), UpstreamError>> {
        self.upstream.deprovision(module)
    }

    fn connect(
        &self,
        module: ModuleIdentity,
        interest: Interest,
    ) -> BoxFuture<'static, Result<Session, UpstreamError>> {
        let (upstream, mut set) = (Arc::clone(&self.upstream), self.set.clone());
        Box::pin(async move {
            if set.wait_for(|set| *set).await.is_err() {
                return Err(UpstreamError::Unreachable {
                    cause: "the device ends".to_owned(),
                });
            }
            upstream.connect(module, interest).await
        })
    }

    fn opened(&self) -> BoxFuture<'static, ()> {
        self.upstream.opened()
    }

    fn status(&self) -> Option<UpstreamStatus> {
        self.upstream.status()
    }
}
