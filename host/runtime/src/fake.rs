//! A device for the tests of this crate: it keeps what it is told and answers the least.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use serde_json::{Map, Value};
use wasm_edge_model::identity::{DeviceId, ModuleId, ModuleIdentity};
use wasm_edge_model::message::{Message, OutputName};

use crate::guest::{
    CryptoError, GuestIdentity, Invocation, InvokeError, LogLine, MethodResponse, ModuleHost,
    SendError, Staged, TwinError,
};

/// Keeps log lines, and whether the module was ready.
pub(crate) struct FakeHost {
    identity: GuestIdentity,
    lines: Mutex<Vec<LogLine>>,
    ready: Mutex<bool>,
}

impl FakeHost {
    pub(crate) fn new() -> Arc<Self> {
        let identity = ModuleIdentity {
            device: DeviceId::new("d").expect("valid"),
            module: ModuleId::new("m").expect("valid"),
        };
        Arc::new(Self {
            identity: GuestIdentity {
                identity,
                hub_host_name: "hub".to_owned(),
                generation_id: "1".to_owned(),
            },
            lines: Mutex::default(),
            ready: Mutex::default(),
        })
    }

    /// The log lines so far.
    pub(crate) fn lines(&self) -> Vec<LogLine> {
        self.lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The texts of the log lines so far.
    pub(crate) fn texts(&self) -> Vec<String> {
        self.lines().into_iter().map(|line| line.text).collect()
    }

    /// Whether the module was ready.
    #[cfg(feature = "compiler")]
    pub(crate) fn was_ready(&self) -> bool {
        *self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ModuleHost for FakeHost {
    fn identity(&self) -> &GuestIdentity {
        &self.identity
    }

    fn sign(&self, data: &[u8]) -> Result<Vec<u8>, CryptoError> {
        Ok(data.to_vec())
    }

    fn encrypt(&self, plaintext: &[u8]) -> Result<Vec<u8>, CryptoError> {
        Ok(plaintext.to_vec())
    }

    fn decrypt(&self, ciphertext: &[u8]) -> Result<Vec<u8>, CryptoError> {
        Ok(ciphertext.to_vec())
    }

    fn stage(&self, _: Option<OutputName>, message: Message) -> Result<Staged, SendError> {
        Ok(Staged::new(message))
    }

    fn commit(&self, _: Vec<Staged>) -> BoxFuture<'static, Result<(), SendError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn desired(&self) -> String {
        r#"{"$version":1}"#.to_owned()
    }

    fn reported(&self) -> String {
        r#"{"$version":1}"#.to_owned()
    }

    fn update_reported(&self, _: Map<String, Value>) -> BoxFuture<'static, Result<(), TwinError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn invoke(&self, _: Invocation) -> BoxFuture<'static, Result<MethodResponse, InvokeError>> {
        Box::pin(std::future::ready(Err(InvokeError::NotFound)))
    }

    fn log(&self, line: LogLine) {
        self.lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(line);
    }

    fn ready(&self) {
        *self.ready.lock().unwrap_or_else(PoisonError::into_inner) = true;
    }
}
