//! Answers to the direct methods that a module under test calls, in place of the modules that it calls.

use std::time::Duration;

use serde_json::Value;

/// The answer to one method of one callee.
#[derive(Clone, Debug, PartialEq)]
pub struct MethodStub {
    /// The module that is called; `None` is the device.
    pub module: Option<String>,
    /// The method.
    pub name: String,
    /// The status it answers with.
    pub status: u32,
    /// What it answers.
    pub payload: Value,
    /// How long it takes; longer than the caller waits is no answer.
    pub after: Duration,
}
