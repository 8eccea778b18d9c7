//! Names in conditions, and what they stand for in a message.
//!
//! Owns the order in which application properties, system properties and the
//! body are looked at, and the form of paths. Leaves reading the body to
//! [`super::body`].

use super::error::{Fault, Span};
use super::{Compatibility, Facts};
use crate::message::{Message, MessageSource, SystemProperty};

/// What a name stands for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Reference {
    /// The application property of this name.
    Property(String),
    /// A system property, or else the application property of this name if
    /// there is one.
    SystemFirst(System, Option<String>),
    /// The application property of this name, or else a system property.
    PropertyFirst(String, System),
    /// A value in the body.
    Body(Path),
    /// The application property of this name, or else a value in the body.
    PropertyOrBody(String, Path),
    /// Nothing that a message could have.
    Nothing,
}

/// A system property as conditions name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum System {
    Of(SystemProperty),
    /// `internal`: every sender is a module of the device.
    Origin,
    /// A name that no message has.
    Unset,
}

/// Where a value stands in the body: names, and indexes of arrays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path(pub(super) Vec<Step>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Name(String),
    Index(usize),
}

/// What twin changes say they are.
const TWIN_CHANGE: &str = "twinChangeNotification";

/// What a name with `$` stands for; `span` is where it stands.
///
/// # Errors
/// It begins as a path into the body, and is none.
pub(super) fn dollar(
    text: &str,
    span: Span,
    is_escaped: bool,
    compatibility: Compatibility,
) -> Result<Reference, Fault> {
    let name = span.of(text);
    let is_edge_hub = compatibility == Compatibility::EdgeHub;
    let property = || name.to_owned();
    if let Some(path) = strip_prefix(name, "$body.") {
        let start = span.end - path.len();
        let path = Path::parse(text, Span::new(start, span.end))?;
        // A property's name with a bracket is not looked for.
        let is_property = is_edge_hub && !is_escaped && !name.contains(['[', ']']);
        return Ok(match is_property {
            true => Reference::PropertyOrBody(property(), path),
            false => Reference::Body(path),
        });
    }
    if name.contains(['[', ']']) {
        return Ok(Reference::Nothing);
    }
    if name.eq_ignore_ascii_case("$body") && !is_edge_hub {
        let problem = format!("`{name}` is the whole body, which has no value of its own");
        return Err(Fault::new(
            span,
            problem,
            "a path, such as `$body.temperature`",
        ));
    }
    let system = System::named(&name[1..], compatibility);
    Ok(match (is_escaped, is_edge_hub) {
        (true, _) => Reference::SystemFirst(system, None),
        (false, true) => Reference::PropertyFirst(property(), system),
        (false, false) => Reference::SystemFirst(system, Some(property())),
    })
}

impl Reference {
    /// Whether the body may have to be read.
    pub(super) fn reads_body(&self) -> bool {
        matches!(self, Self::Body(_) | Self::PropertyOrBody(..))
    }
}

impl System {
    /// The property of a name, upper and lower case alike.
    fn named(name: &str, compatibility: Compatibility) -> Self {
        let is = |known: &str| known.eq_ignore_ascii_case(name);
        // IoT Edge's hub keeps this one under its short name.
        let correlation_id = match compatibility {
            Compatibility::Documented => "correlationId",
            Compatibility::EdgeHub => "cid",
        };
        let property = SystemProperty::all().find(|property| match property {
            SystemProperty::CorrelationId => is(correlation_id),
            other => is(other.name()),
        });
        match property {
            Some(property) => Self::Of(property),
            None if is("edgeHubOriginInterface") => Self::Origin,
            None => Self::Unset,
        }
    }

    /// Its value for a message: what the message says, or else what is known
    /// beside it.
    pub(super) fn value<'a>(self, message: &'a Message, facts: &Facts<'a>) -> Option<&'a str> {
        let said = match self {
            Self::Of(property) => message.system.get(property),
            _ => None,
        };
        said.or_else(|| self.fact(facts))
    }

    fn fact<'a>(self, facts: &Facts<'a>) -> Option<&'a str> {
        use SystemProperty::*;
        let device = facts.device.map(|device| device.as_str());
        match (self, facts.source) {
            (Self::Of(ConnectionDeviceId), _) => device,
            (Self::Of(EnqueuedTime), _) => facts.enqueued_time,
            (Self::Origin, _) => Some("internal"),
            (Self::Of(ConnectionModuleId), Some(MessageSource::Module { module, .. })) => {
                Some(module.as_str())
            }
            (Self::Of(OutputName), Some(MessageSource::Module { output, .. })) => {
                output.as_ref().map(|output| output.as_str())
            }
            (Self::Of(ConnectionModuleId), Some(MessageSource::TwinChange { .. })) => {
                Some("$edgeHub")
            }
            (Self::Of(RpSenderModuleId), Some(MessageSource::TwinChange { module })) => {
                Some(module.as_str())
            }
            (Self::Of(RpSenderDeviceId), Some(MessageSource::TwinChange { .. })) => device,
            (Self::Of(MessageSchema | MessageType), Some(MessageSource::TwinChange { .. })) => {
                Some(TWIN_CHANGE)
            }
            (Self::Of(ContentType), Some(MessageSource::TwinChange { .. })) => {
                Some("application/json")
            }
            (Self::Of(ContentEncoding), Some(MessageSource::TwinChange { .. })) => Some("utf-8"),
            _ => None,
        }
    }
}

/// The application property of a name: the one that is written alike, or else
/// the first that differs in upper and lower case only.
pub(super) fn property<'a>(message: &'a Message, name: &str) -> Option<&'a str> {
    let mut alike = None;
    for (known, value) in message.properties.iter() {
        if known == name {
            return Some(value);
        }
        if alike.is_none() && is_alike(known, name) {
            alike = Some(value);
        }
    }
    alike
}

fn is_alike(a: &str, b: &str) -> bool {
    if a.is_ascii() && b.is_ascii() {
        return a.eq_ignore_ascii_case(b);
    }
    a.chars()
        .flat_map(char::to_lowercase)
        .eq(b.chars().flat_map(char::to_lowercase))
}

impl Path {
    /// Reads names with dots between them, each with any number of `[index]`
    /// behind it.
    ///
    /// # Errors
    /// A name or an index is missing, or a bracket is not closed.
    pub(super) fn parse(text: &str, span: Span) -> Result<Self, Fault> {
        let mut steps = Vec::new();
        let mut at = span.start;
        for part in span.of(text).split('.') {
            let (name, indexes) = part.split_at(part.find(['[', ']']).unwrap_or(part.len()));
            if name.is_empty() {
                let span = Span::new(at, (at + part.len()).min(span.end));
                let problem = "a name is missing in the path";
                return Err(Fault::new(span, problem, "names with `.` between them"));
            }
            steps.push(Step::Name(name.to_owned()));
            let Some(numbers) = index_list(indexes) else {
                let start = at + name.len();
                let span = Span::new(start, start + indexes.len());
                let problem = format!("`{indexes}` is no index");
                return Err(Fault::new(
                    span,
                    problem,
                    "a number in brackets, such as `[0]`",
                ));
            };
            steps.extend(numbers.into_iter().map(Step::Index));
            at += part.len() + 1;
        }
        Ok(Self(steps))
    }
}

/// The numbers of `[1][2]`.
fn index_list(text: &str) -> Option<Vec<usize>> {
    let mut numbers = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (number, behind) = rest.strip_prefix('[')?.split_once(']')?;
        let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        // No array has as many elements as would not fit.
        numbers.push(is_number.then(|| number.parse().unwrap_or(usize::MAX))?);
        rest = behind;
    }
    Some(numbers)
}

/// The rest of a text behind a prefix, upper and lower case alike.
pub(super) fn strip_prefix<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}
