//! Which telemetry somebody wants to see: of a device, of a module, with properties, by a condition.
//!
//! Owns the decision for one message. The conditions are those of routes; leaves their language to the model.

use wasm_edge_model::identity::TwinOwner;
use wasm_edge_model::message::{MessageSource, OutputName, SystemProperty};
use wasm_edge_model::route::condition::{
    BodyCache, Compatibility, CompileError, Condition, Facts, Truth,
};

use super::Telemetry;

/// How many properties may be asked for at once.
pub const FILTER_PROPERTIES_MAX: usize = 16;

/// What is wanted; what is not given is not looked at.
#[derive(Debug, Clone, Default)]
pub struct TelemetryFilter {
    /// The device that sent it, itself or by a module.
    pub device: Option<String>,
    /// The module that sent it.
    pub module: Option<String>,
    /// Application properties that it has, with these values.
    pub properties: Vec<(String, String)>,
    /// What is true of it.
    pub condition: Condition,
}

impl TelemetryFilter {
    /// Compiles a condition as it stands behind `WHERE` of a route.
    ///
    /// # Errors
    /// [`CompileError`], with the column of the fault.
    pub fn condition(text: &str) -> Result<Condition, CompileError> {
        Condition::parse(text, Compatibility::Documented, None)
    }

    /// Whether this is wanted.
    pub fn takes(&self, telemetry: &Telemetry) -> bool {
        let source = &telemetry.source;
        let module = source.module().map(|module| module.as_str());
        let has = |(name, value): &(String, String)| {
            telemetry.message.properties.get(name) == Some(value.as_str())
        };
        self.device
            .as_deref()
            .is_none_or(|device| device == source.device().as_str())
            && self
                .module
                .as_deref()
                .is_none_or(|wanted| Some(wanted) == module)
            && self.properties.iter().all(has)
            && self.is_true_of(telemetry)
    }

    fn is_true_of(&self, telemetry: &Telemetry) -> bool {
        if self.condition.is_always() {
            return true;
        }
        let message = &telemetry.message;
        let source = route_source(telemetry);
        let facts = Facts {
            source: source.as_ref(),
            device: Some(telemetry.source.device()),
            // The hub notes it in the message itself.
            enqueued_time: None,
        };
        let truth = self
            .condition
            .evaluate(message, facts, &mut BodyCache::new());
        truth == Truth::True
    }
}

/// Where a module's message came from, as routes have it.
fn route_source(telemetry: &Telemetry) -> Option<MessageSource> {
    let TwinOwner::Module(identity) = &telemetry.source else {
        return None;
    };
    let output = telemetry.message.system.get(SystemProperty::OutputName);
    Some(MessageSource::Module {
        module: identity.module.clone(),
        output: output.and_then(|name| OutputName::new(name).ok()),
    })
}

#[cfg(test)]
mod tests {
    use wasm_edge_model::message::Message;

    use super::*;
    use crate::hub::tests::{NOW, device, module};

    fn telemetry(source: TwinOwner) -> Telemetry {
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
        Telemetry {
            position: 0,
            source,
            enqueued: NOW.parse().unwrap(),
            message,
        }
    }

    fn check(filter: TelemetryFilter, source: TwinOwner, expected: bool) {
        assert_eq!(filter.takes(&telemetry(source)), expected, "{filter:?}");
    }

    #[test]
    fn what_is_not_asked_for_is_not_looked_at() {
        check(TelemetryFilter::default(), device("d"), true);
        check(TelemetryFilter::default(), module("d", "m"), true);
    }

    #[test]
    fn device_and_module_are_those_of_the_sender() {
        let of = |device: Option<&str>, module: Option<&str>| TelemetryFilter {
            device: device.map(str::to_owned),
            module: module.map(str::to_owned),
            ..TelemetryFilter::default()
        };
        check(of(Some("d"), None), module("d", "m"), true);
        check(of(Some("d"), Some("m")), module("d", "m"), true);
        check(of(None, Some("m")), device("d"), false);
        check(of(Some("D"), None), device("d"), false);
    }

    #[test]
    fn all_properties_have_to_be_there() {
        let with = |properties: &[(&str, &str)]| TelemetryFilter {
            properties: properties
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            ..TelemetryFilter::default()
        };
        check(with(&[("level", "high")]), device("d"), true);
        check(with(&[("level", "low")]), device("d"), false);
        check(with(&[("Level", "high")]), device("d"), false);
        check(with(&[("level", "high"), ("a", "")]), device("d"), false);
    }

    #[test]
    fn conditions_are_those_of_routes() {
        let by = |condition: &str| TelemetryFilter {
            condition: TelemetryFilter::condition(condition).unwrap(),
            ..TelemetryFilter::default()
        };
        check(by("$body.temperature > 30"), device("d"), true);
        check(by("$body.temperature > 50"), device("d"), false);
        check(by("$body.humidity > 50"), device("d"), false);
        check(by("level = 'high'"), module("d", "m"), true);
        check(by("$connectionDeviceId = 'd'"), device("d"), true);
        assert!(TelemetryFilter::condition("level =").is_err());
    }
}
