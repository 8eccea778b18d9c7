use std::sync::Mutex;

use futures_util::FutureExt as _;
use wasm_edge_model::identity::{DeviceId, ModuleId};

use super::*;

/// A hub whose sessions take every message and acknowledge none; it keeps its end of each session.
#[derive(Clone, Default)]
struct SilentHub(Arc<Mutex<Vec<mpsc::Sender<SessionEvent>>>>);

fn never<T: Send + 'static>() -> BoxFuture<'static, T> {
    Box::pin(std::future::pending())
}

impl Upstream for SilentHub {
    fn host_name(&self) -> String {
        "hub".to_owned()
    }

    fn provision(
        &self,
        _: ModuleIdentity,
    ) -> BoxFuture<'static, Result<Credentials, UpstreamError>> {
        never()
    }

    fn deprovision(&self, _: ModuleIdentity) -> BoxFuture<'static, Result<(), UpstreamError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn connect(
        &self,
        _: ModuleIdentity,
        _: Interest,
    ) -> BoxFuture<'static, Result<Session, UpstreamError>> {
        let (sender, events) = mpsc::channel(1);
        self.0.lock().unwrap().push(sender);
        let calls = Arc::new(self.clone());
        Box::pin(std::future::ready(Ok(Session {
            calls,
            events,
            generation_id: None,
        })))
    }
}

impl SessionCalls for SilentHub {
    fn twin(&self) -> BoxFuture<'static, Result<TwinDocument, UpstreamError>> {
        Box::pin(std::future::ready(Ok(TwinDocument::default())))
    }

    fn report(
        &self,
        _: Map<String, Value>,
    ) -> BoxFuture<'static, Result<Option<u64>, UpstreamError>> {
        never()
    }

    fn accept_methods(&self, _: bool) -> BoxFuture<'static, Result<(), UpstreamError>> {
        never()
    }

    fn send(&self, _: Arc<Message>) -> BoxFuture<'static, Result<(), UpstreamError>> {
        never()
    }
}

fn module() -> ModuleIdentity {
    ModuleIdentity {
        device: DeviceId::new("d").unwrap(),
        module: ModuleId::new("m").unwrap(),
    }
}

fn gated() -> (SilentHub, Gate, GatedUpstream) {
    let (hub, gate) = (SilentHub::default(), Gate::default());
    let upstream = GatedUpstream::new(Arc::new(hub.clone()), gate.clone());
    (hub, gate, upstream)
}

async fn connect(upstream: &GatedUpstream) -> Result<Session, UpstreamError> {
    let interest = Interest { methods: false };
    upstream.connect(module(), interest).await
}

fn is_unreachable<T>(result: &Result<T, UpstreamError>) -> bool {
    matches!(result, Err(UpstreamError::Unreachable { .. }))
}

#[tokio::test]
async fn a_cut_line_ends_calls_under_way_and_the_session_for_both_sides() {
    let (hub, gate, upstream) = gated();
    let mut session = connect(&upstream).await.unwrap();
    let at_hub = hub.0.lock().unwrap().remove(0);
    at_hub.send(SessionEvent::Gap).await.unwrap();
    assert!(matches!(
        session.events.recv().await,
        Some(SessionEvent::Gap)
    ));
    let mut sending = session.calls.send(Arc::default());
    assert!((&mut sending).now_or_never().is_none());
    gate.disconnect();
    assert!(is_unreachable(&sending.await));
    assert!(session.events.recv().await.is_none());
    at_hub.closed().await;
    assert!(is_unreachable(&session.calls.twin().await));
    assert!(is_unreachable(&session.calls.accept_methods(true).await));

    assert!(gate.is_disconnected());
    assert!(is_unreachable(&connect(&upstream).await));
    assert!(is_unreachable(&upstream.deprovision(module()).await));
    gate.connect();
    // The old session does not come back with the line.
    assert!(is_unreachable(&session.calls.twin().await));
    let session = connect(&upstream).await.unwrap();
    session.calls.twin().await.unwrap();
}

#[tokio::test]
async fn who_waits_for_the_next_try_hears_when_the_line_is_there_again() {
    let (_, gate, upstream) = gated();
    gate.connect();
    let mut opened = upstream.opened();
    assert!((&mut opened).now_or_never().is_none());
    gate.disconnect();
    assert!((&mut opened).now_or_never().is_none());
    gate.connect();
    opened.await;
    // What was before the call does not count.
    assert!(upstream.opened().now_or_never().is_none());
}

#[tokio::test]
async fn a_device_that_stops_waits_for_its_sessions() {
    let (hub, gate, upstream) = gated();
    let _session = connect(&upstream).await.unwrap();
    gate.ended().await;
    assert!(hub.0.lock().unwrap()[0].is_closed());
}
