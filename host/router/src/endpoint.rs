//! Where routes lead: upstream, or an input of a module.

use std::fmt;

use serde::{Serialize, Serializer};
use wasm_edge_model::identity::ModuleId;
use wasm_edge_model::message::InputName;
use wasm_edge_model::route::Sink;

/// A place where messages wait to be taken.
///
/// Its text form is `$upstream` or `/modules/{module}/inputs/{input}`, as in a route's sink.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Endpoint {
    /// The device's way to its hub.
    Upstream,
    /// One input of a module of this device.
    Module {
        /// The module.
        module: ModuleId,
        /// The input.
        input: InputName,
    },
}

impl From<&Sink> for Endpoint {
    fn from(sink: &Sink) -> Self {
        match sink {
            Sink::Upstream => Endpoint::Upstream,
            Sink::Module { module, input } => Endpoint::Module {
                module: module.clone(),
                input: input.clone(),
            },
        }
    }
}

impl Endpoint {
    /// The module that takes from here; `None` for upstream.
    pub fn module(&self) -> Option<&ModuleId> {
        match self {
            Endpoint::Upstream => None,
            Endpoint::Module { module, .. } => Some(module),
        }
    }

    /// The input that a message arrives at; `None` for upstream.
    pub fn input(&self) -> Option<&InputName> {
        match self {
            Endpoint::Upstream => None,
            Endpoint::Module { input, .. } => Some(input),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Upstream => f.write_str("$upstream"),
            Endpoint::Module { module, input } => {
                write!(f, "/modules/{module}/inputs/{}", input.as_str())
            }
        }
    }
}

impl Serialize for Endpoint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
