//! Routes: from where to where messages go.
//!
//! Owns the route's text form and the comparison of sources. Leaves queues,
//! priorities at work and delivery to the router, and the place of a route
//! in a deployment to the manifest.

pub mod condition;
mod keeping;
mod lexer;
mod parse;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::identity::ModuleId;
use crate::message::{InputName, MessageSource};
use condition::{Compatibility, CompileError, Condition};
pub use keeping::{Durability, KeepingError, WhenFull};

/// The longest text of a route, in bytes.
pub const ROUTE_TEXT_MAX_BYTES: usize = 8 * 1024;

/// The priority of a route that names none: after all that do.
pub const PRIORITY_DEFAULT: u32 = 2_000_000_000;

/// The last priority that a route can name; 0 is the first.
pub const PRIORITY_MAX: u32 = 9;

/// The longest name of a route, in bytes: the longest key of a twin.
pub const ROUTE_NAME_MAX_BYTES: usize = 1024;

/// A route's name: not empty, without `.`, `$`, `#`, spaces and control
/// characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteName(String);

/// A text is no name of a route.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{}` is no name of a route: one has 1 to {ROUTE_NAME_MAX_BYTES} bytes without `.`, `$`, `#` and spaces",
    .name.escape_debug()
)]
pub struct RouteNameError {
    /// The text, cut to a readable length.
    pub name: String,
}

/// A way for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Its name in the deployment.
    pub name: RouteName,
    /// Which messages it takes.
    pub source: Source,
    /// Which of these it takes.
    pub condition: Condition,
    /// Where it brings them.
    pub sink: Sink,
    /// 0 (first) to 9, or [`PRIORITY_DEFAULT`].
    pub priority: u32,
    /// How long a message may wait on this route; none takes that of the
    /// deployment.
    pub time_to_live: Option<Duration>,
    /// When a message on this route counts as kept; none takes that of the
    /// device.
    pub durability: Option<Durability>,
    /// What happens to a message for which there is no room; none takes that
    /// of the device.
    pub when_full: Option<WhenFull>,
}

/// The sources that a route takes: a pattern such as `/messages/modules/a/*`.
///
/// Compared with [`MessageSource::text`] as a prefix by whole segments,
/// upper and lower case alike, after a `*` at its end was taken away. A `*`
/// anywhere else is a character.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    text: String,
    /// The text without a `*` at its end, in lower case, ending in one `/`.
    prefix: String,
}

/// Where a route leads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sink {
    /// To the hub: `$upstream`.
    Upstream,
    /// To a module of this device:
    /// `BrokeredEndpoint("/modules/{m}/inputs/{i}")`.
    Module {
        /// Which module.
        module: ModuleId,
        /// Which of its inputs.
        input: InputName,
    },
}

impl Route {
    /// Reads the text of a route:
    /// `[SELECT *] FROM source [WHERE condition] INTO sink`.
    ///
    /// Keywords, `$upstream` and `BrokeredEndpoint` may be in upper or lower
    /// case, and `/* ... */` is a comment wherever a space may stand. The
    /// priority is [`PRIORITY_DEFAULT`], and all else that the text does not
    /// say is not set; the manifest sets it. The condition is that of the
    /// documentation ([`Compatibility::Documented`]).
    ///
    /// # Errors
    /// [`CompileError`] at the first fault. Takes time linear in the text.
    pub fn parse(name: RouteName, text: &str) -> Result<Self, CompileError> {
        Self::parse_with(name, text, Compatibility::default())
    }

    /// As [`Route::parse`], with a condition that behaves as is said.
    ///
    /// # Errors
    /// As [`Route::parse`].
    pub fn parse_with(
        name: RouteName,
        text: &str,
        compatibility: Compatibility,
    ) -> Result<Self, CompileError> {
        parse::route(name, text, compatibility).map_err(|fault| fault.into_error(text))
    }
}

impl RouteName {
    /// Checks a text and makes it a name.
    ///
    /// # Errors
    /// [`RouteNameError`].
    pub fn new(text: &str) -> Result<Self, RouteNameError> {
        let is_forbidden =
            |c: char| matches!(c, '.' | '$' | '#') || c.is_whitespace() || c.is_control();
        match text.is_empty() || text.len() > ROUTE_NAME_MAX_BYTES || text.contains(is_forbidden) {
            true => Err(RouteNameError {
                name: text.chars().take(60).collect(),
            }),
            false => Ok(Self(text.into())),
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RouteName {
    type Err = RouteNameError;

    fn from_str(text: &str) -> Result<Self, RouteNameError> {
        Self::new(text)
    }
}

impl fmt::Display for RouteName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for RouteName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl Source {
    /// Whether messages of this source are taken.
    pub fn matches(&self, source: &MessageSource) -> bool {
        let mut text = source.text().to_lowercase();
        if !text.ends_with('/') {
            text.push('/');
        }
        text.starts_with(&self.prefix)
    }

    /// The pattern that one source matches.
    pub fn of(source: &MessageSource) -> Self {
        Self::new(source.text())
    }

    /// The pattern, as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What sources are compared with: the pattern without a `*` at its end,
    /// in lower case, ending in one `/`.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Whether any message can have a source that this matches. Routes of
    /// IoT Hub know more sources than a device has.
    pub fn can_match(&self) -> bool {
        const ALL: &str = "/messages/modules/";
        let prefix = self.prefix.as_str();
        if ALL.starts_with(prefix) || "/twinchangenotifications/".starts_with(prefix) {
            return true;
        }
        let Some(rest) = prefix.strip_prefix(ALL) else {
            return false;
        };
        let mut parts = rest.trim_end_matches('/').splitn(4, '/');
        // `*` is a character of ids, but stands for "any" in the writer's mind.
        let is_id = |module: &str| module != "*" && ModuleId::new(module).is_ok();
        let is_module = parts.next().is_some_and(is_id);
        is_module
            && parts.next().is_none_or(|outputs| outputs == "outputs")
            && parts.next().is_none_or(|output| !output.is_empty())
            && parts.next().is_none()
    }

    /// Whether only changes of twins match.
    pub fn is_twin_change(&self) -> bool {
        self.prefix == "/twinchangenotifications/"
    }

    /// The module in the pattern, in lower case, where it names one.
    pub fn module(&self) -> Option<&str> {
        let rest = self.prefix.strip_prefix("/messages/modules/")?;
        rest.split('/').next().filter(|module| !module.is_empty())
    }

    fn new(text: String) -> Self {
        let path = text
            .strip_suffix('*')
            .unwrap_or(&text)
            .trim_end_matches('/');
        let prefix = format!("{}/", path.to_lowercase());
        Self { text, prefix }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Upstream => f.write_str("$upstream"),
            Self::Module { module, input } => {
                let escaped = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
                let (module, input) = (escaped(module.as_str()), escaped(input.as_str()));
                write!(f, "BrokeredEndpoint(\"/modules/{module}/inputs/{input}\")")
            }
        }
    }
}

#[cfg(test)]
mod tests;
