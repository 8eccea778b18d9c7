//! What a module instance and its device have to do with each other, in plain types.
//!
//! [`ModuleHost`] is the device as one instance sees it; [`Delivery`] is a message on its way in.
//! The device implements both sides; this crate calls them and never asks who is behind.

use std::any::Any;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::Stream;
use futures_util::future::BoxFuture;
use serde_json::{Map, Value};
use wasm_edge_model::identity::{ModuleId, ModuleIdentity};
use wasm_edge_model::message::{InputName, Message, MessageId, OutputName};

/// The identity that an instance acts under.
#[derive(Clone, Debug)]
pub struct GuestIdentity {
    /// Device and module.
    pub identity: ModuleIdentity,
    /// Host name of the hub that holds the identity.
    pub hub_host_name: String,
    /// Generation of the identity.
    pub generation_id: String,
}

/// The device, as one module instance reaches it.
///
/// Each value belongs to one identity; no method takes the caller's name.
/// Methods without a future answer at once and do not block.
pub trait ModuleHost: Send + Sync + 'static {
    /// Who the module is.
    fn identity(&self) -> &GuestIdentity;

    /// HMAC-SHA256 of `data` with the identity's primary key.
    fn sign(&self, data: &[u8]) -> Result<Vec<u8>, CryptoError>;

    /// Encrypts for this identity on this device.
    fn encrypt(&self, plaintext: &[u8]) -> Result<Vec<u8>, CryptoError>;

    /// Gives back what `encrypt` was given.
    fn decrypt(&self, ciphertext: &[u8]) -> Result<Vec<u8>, CryptoError>;

    /// Takes a message and reserves its places, without letting it out.
    fn stage(&self, output: Option<OutputName>, message: Message) -> Result<Staged, SendError>;

    /// Lets staged messages out, all or none.
    fn commit(&self, staged: Vec<Staged>) -> BoxFuture<'static, Result<(), SendError>>;

    /// The desired properties with `$version`, as JSON text.
    fn desired(&self) -> String;

    /// The reported properties with `$version`, as JSON text.
    fn reported(&self) -> String;

    /// Merges a patch into the reported properties; done when it is stored.
    fn update_reported(
        &self,
        patch: Map<String, Value>,
    ) -> BoxFuture<'static, Result<(), TwinError>>;

    /// Calls a direct method.
    fn invoke(&self, call: Invocation) -> BoxFuture<'static, Result<MethodResponse, InvokeError>>;

    /// Takes a log line. Lines may be dropped when there are too many; the host counts them.
    fn log(&self, line: LogLine);

    /// The instance is ready.
    fn ready(&self);
}

/// A message that was taken and waits for the commit; dropping it gives its places back.
pub struct Staged(Box<dyn Any + Send + Sync>);

impl Staged {
    /// Wraps the device's own value.
    pub fn new(value: impl Any + Send + Sync) -> Self {
        Self(Box::new(value))
    }

    /// The device's own value again; `None` if it is of another type.
    pub fn into_inner<T: Any>(self) -> Option<T> {
        self.0.downcast::<T>().ok().map(|value| *value)
    }
}

/// A message handed to an instance.
///
/// Dropping it without an end puts it back at its place; no try is counted.
pub struct Delivery {
    /// The message; its body is held once on the device.
    pub message: Arc<Message>,
    /// Its identity, shown as `messageId` where its sender set none.
    pub id: MessageId,
    /// The input that it arrived at.
    pub input: InputName,
    /// How often it was handed over before.
    pub previous_tries: u32,
    /// How it ends.
    pub completion: Box<dyn Completion>,
}

/// The ends that a delivery can have.
pub trait Completion: Send + Sync {
    /// The message leaves the queue and `staged` goes out, in one step. It need not be on the disk when this
    /// returns; whatever the instance does next comes after it there.
    fn complete(self: Box<Self>, staged: Vec<Staged>) -> BoxFuture<'static, Result<(), SendError>>;

    /// As [`Completion::complete`], and returns once it is kept as the routes of what goes out say. For those who
    /// act on that.
    fn complete_and_keep(
        self: Box<Self>,
        staged: Vec<Staged>,
    ) -> BoxFuture<'static, Result<(), SendError>>;

    /// The message comes again, no failure counted.
    fn retry(self: Box<Self>, after: Duration);

    /// The message is put aside.
    fn reject(self: Box<Self>, reason: String);

    /// A try that ended with the instance.
    fn fail(self: Box<Self>, reason: String);

    /// What the instance ends with when it is done with this message, whatever it answers; for a test bed that
    /// shows a module's author what a failure leads to.
    fn injected(&self) -> Option<InjectedFailure> {
        None
    }
}

/// A failure that a module under test did not bring about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InjectedFailure {
    /// As if the guest had trapped.
    Trap,
    /// As if the call had run longer than its deadline.
    Deadline,
}

/// The messages for one instance, best first; the next one is asked for when the last has ended.
pub type Messages = Pin<Box<dyn Stream<Item = Delivery> + Send>>;

/// Whom a direct method is called on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MethodTarget {
    /// A module of this device.
    Module(ModuleId),
    /// The device itself.
    Device,
}

/// A direct method call by this module.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// Whom to ask.
    pub target: MethodTarget,
    /// Name of the method, at most [`METHOD_NAME_MAX_BYTES`].
    pub name: String,
    /// JSON text, checked, at most [`METHOD_PAYLOAD_MAX_BYTES`].
    pub payload: String,
    /// How long to wait for the answer.
    pub response_timeout: Duration,
    /// How long to wait for a callee that is not there.
    pub connect_timeout: Duration,
}

/// An answer to a direct method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MethodResponse {
    /// The callee's verdict.
    pub status: u32,
    /// JSON text.
    pub payload: String,
}

/// Longest name of a direct method in bytes (IoT Hub: 100 characters).
pub const METHOD_NAME_MAX_BYTES: usize = 100;

/// Largest payload of a direct method in bytes, each way (IoT Hub quotas).
pub const METHOD_PAYLOAD_MAX_BYTES: usize = 128 * 1024;

/// Where a log line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogStream {
    /// The module's call of `log`.
    Log,
    /// Standard output of the module.
    Stdout,
    /// Standard error of the module.
    Stderr,
    /// The device, about the module.
    Host,
}

/// How much a log line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Finest.
    Trace,
    /// For those who look for a fault.
    Debug,
    /// The usual.
    Info,
    /// Something to look at.
    Warn,
    /// Something went wrong.
    Error,
}

/// A log line of a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Where it came from.
    pub stream: LogStream,
    /// How much it matters.
    pub level: LogLevel,
    /// The text, without line end; cut to [`LOG_TEXT_MAX_BYTES`].
    pub text: String,
    /// Names and values.
    pub fields: Vec<(String, String)>,
}

/// Longest text of a log line in bytes. A longer one is cut and ends in `…`.
pub const LOG_TEXT_MAX_BYTES: usize = 16 * 1024;

/// Why a message was not taken; the cases of the WIT's `send-error`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// A queue on its way is full.
    #[error("a queue on its way is full")]
    WouldBlock,
    /// Larger than a message may be.
    #[error("the message has {size_bytes} bytes")]
    TooLarge {
        /// Body, property names and values.
        size_bytes: u32,
    },
    /// Name or property not allowed.
    #[error("{0}")]
    Invalid(String),
    /// The module's allowance in the host is used up.
    #[error("{0}")]
    OverLimit(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

/// Why a patch was refused; the cases of the WIT's `twin-error`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TwinError {
    /// Not a JSON object.
    #[error("{0}")]
    InvalidJson(String),
    /// Against a rule for twins.
    #[error("{0}")]
    Limit(String),
    /// More than can be stored now.
    #[error("cannot be stored now")]
    WouldBlock,
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

/// Why a key could not be used; the cases of the WIT's `crypto-error`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CryptoError {
    /// The input is too long.
    #[error("the input is too long")]
    TooLarge,
    /// Not made by `encrypt` of this identity, or changed since.
    #[error("not made by this identity, or changed since")]
    InvalidCiphertext,
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

/// Why a method call has no answer; the cases of the WIT's `invoke-error`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvokeError {
    /// No such callee.
    #[error("there is no such module, or it takes no methods")]
    NotFound,
    /// No answer in time.
    #[error("no answer in time")]
    Timeout,
    /// The call would wait for itself.
    #[error("the call would wait for itself")]
    Busy,
    /// Name or payload not allowed.
    #[error("{0}")]
    Invalid(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

/// Cuts `text` to `limit_bytes` at a character's border; what was cut ends in `…`.
pub fn cut(mut text: String, limit_bytes: usize) -> String {
    const MARK: char = '…';
    if text.len() <= limit_bytes {
        return text;
    }
    let end = text.floor_char_boundary(limit_bytes.saturating_sub(MARK.len_utf8()));
    text.truncate(end);
    text.push(MARK);
    text
}
