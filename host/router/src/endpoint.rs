//! Where routes lead: upstream, or an input of a module.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use wasm_edge_model::identity::ModuleId;
use wasm_edge_model::message::InputName;
use wasm_edge_model::route::{Durability, Sink};

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

/// A text names no endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{}` names no queue: expected `$upstream`, or `module/input`",
    .text.escape_debug()
)]
pub struct EndpointError {
    /// The text, cut to a readable length.
    pub text: String,
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

    /// The durability of messages for which nothing else is said: what leaves the device was perhaps acted upon, so
    /// that it must not come again under another number.
    pub(crate) fn default_durability(&self) -> Durability {
        match self {
            Endpoint::Upstream => Durability::Power,
            Endpoint::Module { .. } => Durability::Process,
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

impl FromStr for Endpoint {
    type Err = EndpointError;

    /// Reads the text form, and the short ones of those who type it: `module/input` and `upstream`.
    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let error = || EndpointError {
            text: text.chars().take(200).collect(),
        };
        if matches!(text, "$upstream" | "upstream") {
            return Ok(Endpoint::Upstream);
        }
        let parts: Vec<&str> = text.split('/').collect();
        let (module, input) = match parts[..] {
            [module, input] | ["", "modules", module, "inputs", input] => (module, input),
            _ => return Err(error()),
        };
        Ok(Endpoint::Module {
            module: ModuleId::new(module).map_err(|_| error())?,
            input: InputName::new(input).map_err(|_| error())?,
        })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_read_as_it_is_shown_and_as_it_is_typed() {
        let check = |text: &str, expected: Option<&str>| {
            let read = text
                .parse::<Endpoint>()
                .map(|endpoint| endpoint.to_string());
            assert_eq!(read.ok().as_deref(), expected, "{text}");
        };
        check("$upstream", Some("$upstream"));
        check("upstream", Some("$upstream"));
        check("filter/in", Some("/modules/filter/inputs/in"));
        check(
            "/modules/filter/inputs/in",
            Some("/modules/filter/inputs/in"),
        );
        for text in [
            "",
            "filter",
            "a/b/c",
            "/filter/in",
            "a b/in",
            "filter/",
            "/modules/a/outputs/in",
        ] {
            check(text, None);
        }
        let err = "filter".parse::<Endpoint>().unwrap_err();
        assert_eq!(
            err.to_string(),
            "`filter` names no queue: expected `$upstream`, or `module/input`"
        );
    }
}
