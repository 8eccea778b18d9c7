//! What stands between a module under test and its device: it records what passes, and lets it fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use serde_json::{Map, Value};
use wasm_edge_model::message::{Message, OutputName};
use wasm_edge_runtime::exit::{Exit, ExitReason};
use wasm_edge_runtime::guest::{
    Completion, CryptoError, Delivery, GuestIdentity, InjectedFailure, Invocation, InvokeError,
    LogLine, MethodResponse, MethodTarget, ModuleHost, SendError, Staged, TwinError,
};
use wasm_edge_runtime::instance::InstanceConfig;

use super::faults::{Faults, MethodFailure};
use super::outcome::{Answer, Outcome, Record};
use super::stub::MethodStub;
use crate::supervisor::interpose::Interposer;

/// Stands between all instances and the device; clones share what they know.
#[derive(Clone)]
pub(super) struct Between {
    pub(super) record: Record,
    pub(super) faults: Faults,
    pub(super) stubs: Arc<[MethodStub]>,
    pub(super) seed: u64,
    /// The number of the message that was given last; the driver writes.
    pub(super) message: Arc<AtomicU64>,
}

impl Interposer for Between {
    fn starting(&self, config: InstanceConfig) -> InstanceConfig {
        let InstanceConfig { host, messages, .. } = config;
        let between = self.clone();
        InstanceConfig {
            host: Arc::new(Host {
                device: host,
                between: self.clone(),
            }),
            messages: messages.map(|messages| {
                let messages = messages.map(move |delivery| between.deliver(delivery));
                Box::pin(messages) as wasm_edge_runtime::guest::Messages
            }),
            random_seed: Some(self.seed),
            ..config
        }
    }

    fn ended(&self, exit: &Exit) {
        if exit.reason != ExitReason::Stopped {
            self.record.push(Outcome::Ended {
                reason: exit.reason.to_string(),
                exit_code: exit.code(),
                backtrace: exit.backtrace.clone(),
            });
        }
    }
}

impl Between {
    fn deliver(&self, delivery: Delivery) -> Delivery {
        let message = self.message.load(Ordering::Relaxed);
        Delivery {
            completion: Box::new(Watched {
                completion: delivery.completion,
                failure: self.faults.take_failure(message),
                message,
                record: self.record.clone(),
            }),
            ..delivery
        }
    }

    /// How a call of a method ends, and after how long; `None` leaves it to the device.
    fn answer(&self, call: &Invocation, own: &str) -> Option<(Duration, InvokeResult)> {
        let target = match &call.target {
            MethodTarget::Module(module) if module.as_str() == own => return None,
            MethodTarget::Module(module) => Some(module.as_str()),
            MethodTarget::Device => None,
        };
        if let Some(failure) = self.faults.method() {
            return Some(failed(failure, call));
        }
        let stub = self
            .stubs
            .iter()
            .find(|stub| stub.module.as_deref() == target && stub.name == call.name);
        Some(match stub {
            None => (call.connect_timeout, Err(InvokeError::NotFound)),
            Some(stub) if stub.after > call.response_timeout => {
                (call.response_timeout, Err(InvokeError::Timeout))
            }
            Some(stub) => {
                let response = MethodResponse {
                    status: stub.status,
                    payload: stub.payload.to_string(),
                };
                (stub.after, Ok(response))
            }
        })
    }
}

type InvokeResult = Result<MethodResponse, InvokeError>;

fn failed(failure: MethodFailure, call: &Invocation) -> (Duration, InvokeResult) {
    match failure {
        MethodFailure::NotFound => (call.connect_timeout, Err(InvokeError::NotFound)),
        MethodFailure::Timeout => (call.response_timeout, Err(InvokeError::Timeout)),
        MethodFailure::Busy => (Duration::ZERO, Err(InvokeError::Busy)),
        MethodFailure::Status(status) => {
            let payload = "null".to_owned();
            (Duration::ZERO, Ok(MethodResponse { status, payload }))
        }
    }
}

/// The device as an instance reaches it, seen from between.
struct Host {
    device: Arc<dyn ModuleHost>,
    between: Between,
}

impl ModuleHost for Host {
    fn identity(&self) -> &GuestIdentity {
        self.device.identity()
    }

    fn sign(&self, data: &[u8]) -> Result<Vec<u8>, CryptoError> {
        self.device.sign(data)
    }

    fn encrypt(&self, plaintext: &[u8]) -> Result<Vec<u8>, CryptoError> {
        self.device.encrypt(plaintext)
    }

    fn decrypt(&self, ciphertext: &[u8]) -> Result<Vec<u8>, CryptoError> {
        self.device.decrypt(ciphertext)
    }

    fn stage(&self, output: Option<OutputName>, message: Message) -> Result<Staged, SendError> {
        if self.between.faults.is_full(output.as_ref()) {
            return Err(SendError::WouldBlock);
        }
        self.device.stage(output, message)
    }

    fn commit(&self, staged: Vec<Staged>) -> BoxFuture<'static, Result<(), SendError>> {
        self.device.commit(staged)
    }

    fn desired(&self) -> String {
        self.device.desired()
    }

    fn reported(&self) -> String {
        self.device.reported()
    }

    fn update_reported(
        &self,
        patch: Map<String, Value>,
    ) -> BoxFuture<'static, Result<(), TwinError>> {
        let record = self.between.record.clone();
        let reporting = self.device.update_reported(patch.clone());
        Box::pin(async move {
            reporting.await?;
            record.push(Outcome::Reported(patch));
            Ok(())
        })
    }

    fn invoke(&self, call: Invocation) -> BoxFuture<'static, InvokeResult> {
        let own = &self.device.identity().identity.module;
        let (target, name, payload) = (
            match &call.target {
                MethodTarget::Module(module) => Some(module.to_string()),
                MethodTarget::Device => None,
            },
            call.name.clone(),
            call.payload.clone(),
        );
        let answer = self.between.answer(&call, own.as_str());
        let record = self.between.record.clone();
        let device = Arc::clone(&self.device);
        Box::pin(async move {
            let result = match answer {
                None => device.invoke(call).await,
                Some((after, result)) => {
                    wasm_edge_clock::sleep(after).await;
                    result
                }
            };
            record.push(Outcome::Invoked {
                target,
                name,
                payload,
                result: shown(&result),
            });
            result
        })
    }

    fn log(&self, line: LogLine) {
        self.between.record.push(Outcome::Log(line));
    }

    fn ready(&self) {
        self.device.ready();
    }
}

fn shown(result: &InvokeResult) -> Result<Answer, String> {
    match result {
        Ok(response) => Ok(Answer {
            status: response.status,
            payload: response.payload.clone(),
        }),
        Err(InvokeError::NotFound) => Err("not-found".to_owned()),
        Err(InvokeError::Timeout) => Err("timeout".to_owned()),
        Err(InvokeError::Busy) => Err("busy".to_owned()),
        Err(other) => Err(other.to_string()),
    }
}

/// The end of a message, which may be that the instance is to fail.
struct Watched {
    completion: Box<dyn Completion>,
    failure: Option<InjectedFailure>,
    message: u64,
    record: Record,
}

impl Completion for Watched {
    fn complete(self: Box<Self>, staged: Vec<Staged>) -> BoxFuture<'static, Result<(), SendError>> {
        self.completion.complete(staged)
    }

    fn complete_and_keep(
        self: Box<Self>,
        staged: Vec<Staged>,
    ) -> BoxFuture<'static, Result<(), SendError>> {
        self.completion.complete_and_keep(staged)
    }

    fn retry(self: Box<Self>, after: Duration) {
        self.record.push(Outcome::Retry {
            message: self.message,
            after,
        });
        self.completion.retry(after);
    }

    fn reject(self: Box<Self>, reason: String) {
        self.completion.reject(reason);
    }

    fn fail(self: Box<Self>, reason: String) {
        self.completion.fail(reason);
    }

    fn injected(&self) -> Option<InjectedFailure> {
        self.failure
    }
}
