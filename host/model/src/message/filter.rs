//! Which messages somebody wants to see: of a device, of a module, with properties, by a condition.
//!
//! Owns the decision for one message, and the names of what can be asked for. The conditions are those of routes. Hubs
//! and devices that show what they got call it.

use crate::identity::TwinOwner;
use crate::message::{Message, MessageSource, OutputName, SystemProperty};
use crate::route::condition::{BodyCache, Compatibility, CompileError, Condition, Facts, Truth};

/// How many properties may be asked for at once.
pub const FILTER_PROPERTIES_MAX: usize = 16;

/// What is wanted; what is not given is not looked at.
#[derive(Debug, Clone, Default)]
pub struct MessageFilter {
    /// The device that sent it, itself or by a module.
    pub device: Option<String>,
    /// The module that sent it.
    pub module: Option<String>,
    /// Application properties that it has, with these values.
    pub properties: Vec<(String, String)>,
    /// What is true of it.
    pub condition: Condition,
}

/// Why a parameter cannot be part of a filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// A property without a name or a value.
    #[error("`property` is not of the form `name=value`")]
    Property,
    /// Too many of them.
    #[error("there are more than {FILTER_PROPERTIES_MAX} `property`")]
    TooManyProperties,
    /// No condition.
    #[error("`where`: {0}")]
    Condition(CompileError),
}

impl MessageFilter {
    /// Asks for one thing more: `device`, `module`, `property` (`name=value`, several times for several) or `where`, a
    /// condition as it stands behind `WHERE` of a route. Of others it answers that they are no part of a filter.
    ///
    /// # Errors
    /// [`FilterError`].
    pub fn ask(&mut self, name: &str, value: String) -> Result<bool, FilterError> {
        match name {
            "device" => drop(self.device.get_or_insert(value)),
            "module" => drop(self.module.get_or_insert(value)),
            "property" => {
                let parts = value.split_once('=').filter(|(name, _)| !name.is_empty());
                let (name, value) = parts.ok_or(FilterError::Property)?;
                if self.properties.len() == FILTER_PROPERTIES_MAX {
                    return Err(FilterError::TooManyProperties);
                }
                self.properties.push((name.to_owned(), value.to_owned()));
            }
            "where" => {
                let compiled = Condition::parse(&value, Compatibility::Documented, None);
                self.condition = compiled.map_err(FilterError::Condition)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Whether a message of this sender is wanted.
    pub fn takes(&self, source: &TwinOwner, message: &Message) -> bool {
        let module = source.module().map(|module| module.as_str());
        let has =
            |(name, value): &(String, String)| message.properties.get(name) == Some(value.as_str());
        let device = self.device.as_deref();
        device.is_none_or(|device| device == source.device().as_str())
            && self
                .module
                .as_deref()
                .is_none_or(|wanted| Some(wanted) == module)
            && self.properties.iter().all(has)
            && self.is_true_of(source, message)
    }

    fn is_true_of(&self, source: &TwinOwner, message: &Message) -> bool {
        if self.condition.is_always() {
            return true;
        }
        let route_source = route_source(source, message);
        let facts = Facts {
            source: route_source.as_ref(),
            device: Some(source.device()),
            // Whoever accepted it noted it in the message itself.
            enqueued_time: None,
        };
        let truth = self
            .condition
            .evaluate(message, facts, &mut BodyCache::new());
        truth == Truth::True
    }
}

/// Where a module's message came from, as routes have it.
fn route_source(source: &TwinOwner, message: &Message) -> Option<MessageSource> {
    let TwinOwner::Module(identity) = source else {
        return None;
    };
    let output = message.system.get(SystemProperty::OutputName);
    Some(MessageSource::Module {
        module: identity.module.clone(),
        output: output.and_then(|name| OutputName::new(name).ok()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(id: &str) -> TwinOwner {
        format!("/devices/{id}").parse().unwrap()
    }

    fn module(device: &str, id: &str) -> TwinOwner {
        format!("/devices/{device}/modules/{id}").parse().unwrap()
    }

    fn message() -> Message {
        let mut message = Message {
            body: r#"{"temperature": 40}"#.into(),
            ..Message::default()
        };
        message.properties.set("level", "high");
        for (property, value) in [
            (SystemProperty::ContentType, "application/json"),
            (SystemProperty::ContentEncoding, "utf-8"),
            (SystemProperty::OutputName, "alerts"),
        ] {
            message.system.set(property, value);
        }
        message
    }

    fn check(filter: MessageFilter, source: TwinOwner, expected: bool) {
        assert_eq!(filter.takes(&source, &message()), expected, "{filter:?}");
    }

    #[test]
    fn what_is_not_asked_for_is_not_looked_at() {
        check(MessageFilter::default(), device("d"), true);
        check(MessageFilter::default(), module("d", "m"), true);
    }

    #[test]
    fn device_and_module_are_those_of_the_sender() {
        let of = |device: Option<&str>, module: Option<&str>| MessageFilter {
            device: device.map(str::to_owned),
            module: module.map(str::to_owned),
            ..MessageFilter::default()
        };
        check(of(Some("d"), None), module("d", "m"), true);
        check(of(Some("d"), Some("m")), module("d", "m"), true);
        check(of(None, Some("m")), device("d"), false);
        check(of(Some("D"), None), device("d"), false);
    }

    #[test]
    fn all_properties_have_to_be_there() {
        let with = |properties: &[(&str, &str)]| MessageFilter {
            properties: properties
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            ..MessageFilter::default()
        };
        check(with(&[("level", "high")]), device("d"), true);
        check(with(&[("level", "low")]), device("d"), false);
        check(with(&[("Level", "high")]), device("d"), false);
        check(with(&[("level", "high"), ("a", "")]), device("d"), false);
    }

    #[test]
    fn conditions_are_those_of_routes() {
        let by = |condition: &str| {
            let mut filter = MessageFilter::default();
            assert_eq!(filter.ask("where", condition.to_owned()), Ok(true));
            filter
        };
        check(by("$body.temperature > 30"), device("d"), true);
        check(by("$body.temperature > 50"), device("d"), false);
        check(by("$body.humidity > 50"), device("d"), false);
        check(by("level = 'high'"), module("d", "m"), true);
        check(by("$connectionDeviceId = 'd'"), device("d"), true);
        let asked = MessageFilter::default().ask("where", "level =".to_owned());
        assert!(matches!(asked, Err(FilterError::Condition(_))));
    }

    #[test]
    fn what_is_asked_for_has_names() {
        let mut filter = MessageFilter::default();
        let mut ask = |name: &str, value: &str| filter.ask(name, value.to_owned());
        assert_eq!(ask("device", "d"), Ok(true));
        assert_eq!(ask("module", "m"), Ok(true));
        assert_eq!(ask("from", "1"), Ok(false));
        assert_eq!(ask("property", "=1"), Err(FilterError::Property));
        assert_eq!(ask("property", "a"), Err(FilterError::Property));
        for n in 0..FILTER_PROPERTIES_MAX {
            assert_eq!(ask("property", &format!("p{n}=a=b")), Ok(true));
        }
        assert_eq!(ask("property", "p=1"), Err(FilterError::TooManyProperties));
        assert_eq!(filter.properties[0], ("p0".to_owned(), "a=b".to_owned()));
    }
}
