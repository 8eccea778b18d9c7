//! The target of a request: an encoded path with an encoded query.

use std::fmt;

use percent_encoding::utf8_percent_encode;
use wasm_edge_model::percent::RESERVED;

/// IoT Hub's REST interface asks for a version in each request.
const API_VERSION: (&str, &str) = ("api-version", "2021-04-12");

/// A path and a query that name one thing at a device or its hub.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    text: String,
    has_query: bool,
}

impl Target {
    /// The path made of these segments, each encoded.
    pub(crate) fn path(segments: &[&str]) -> Self {
        let mut text = String::new();
        for segment in segments {
            text.push('/');
            text.extend(utf8_percent_encode(segment, RESERVED));
        }
        Self {
            text,
            has_query: false,
        }
    }

    /// The twin of a device or of one of its modules, at the hub's REST face.
    pub(crate) fn twin(device: &str, module: Option<&str>) -> Self {
        let target = match module {
            None => Self::path(&["twins", device]),
            Some(module) => Self::path(&["twins", device, "modules", module]),
        };
        target.query(API_VERSION.0, API_VERSION.1)
    }

    /// The identities of all devices, at the hub's REST face.
    #[cfg(feature = "hub")]
    pub(crate) fn devices() -> Self {
        Self::path(&["devices"]).query(API_VERSION.0, API_VERSION.1)
    }

    /// The identity of a device or of one of its modules, at the hub's REST face.
    #[cfg(feature = "hub")]
    pub(crate) fn identity(device: &str, module: Option<&str>) -> Self {
        let target = match module {
            None => Self::path(&["devices", device]),
            Some(module) => Self::path(&["devices", device, "modules", module]),
        };
        target.query(API_VERSION.0, API_VERSION.1)
    }

    /// The identities of the modules of a device, at the hub's REST face.
    #[cfg(feature = "hub")]
    pub(crate) fn modules(device: &str) -> Self {
        Self::path(&["devices", device, "modules"]).query(API_VERSION.0, API_VERSION.1)
    }

    /// All configurations, at the hub's REST face.
    #[cfg(feature = "hub")]
    pub(crate) fn configurations() -> Self {
        Self::path(&["configurations"]).query(API_VERSION.0, API_VERSION.1)
    }

    /// A configuration, at the hub's REST face.
    #[cfg(feature = "hub")]
    pub(crate) fn configuration(id: &str) -> Self {
        Self::path(&["configurations", id]).query(API_VERSION.0, API_VERSION.1)
    }

    /// The queries over all twins, at the hub's REST face.
    #[cfg(feature = "hub")]
    pub(crate) fn devices_query() -> Self {
        Self::path(&["devices", "query"]).query(API_VERSION.0, API_VERSION.1)
    }

    /// The deployment of a device, at the hub's REST face.
    pub(crate) fn apply_configuration(device: &str) -> Self {
        let target = Self::path(&["devices", device, "applyConfigurationContent"]);
        target.query(API_VERSION.0, API_VERSION.1)
    }

    /// The direct methods of a device or, with `module`, of one of its modules, at the hub's REST face.
    pub(crate) fn methods(device: &str, module: Option<&str>) -> Self {
        let target = match module {
            None => Self::path(&["twins", device, "methods"]),
            Some(module) => Self::path(&["twins", device, "modules", module, "methods"]),
        };
        target.query(API_VERSION.0, API_VERSION.1)
    }

    /// The twin of a module as its device has it, or something of it.
    pub(crate) fn device_twin(device: &str, module: &str, of_it: &[&str]) -> Self {
        Self::path(&[&["v1", "twins", device, module], of_it].concat())
    }

    /// Something that hubs of ours offer beyond Azure's.
    pub(crate) fn own(segments: &[&str]) -> Self {
        Self::path(&[&["wasm-edge", "v1"], segments].concat())
    }

    /// The stream of changes of a twin.
    pub(crate) fn twin_changes(device: &str, module: Option<&str>) -> Self {
        match module {
            None => Self::own(&["twins", device, "changes"]),
            Some(module) => Self::own(&["twins", device, "modules", module, "changes"]),
        }
    }

    /// Adds a parameter.
    #[must_use]
    pub(crate) fn query(mut self, name: &str, value: &str) -> Self {
        self.text.push(if self.has_query { '&' } else { '?' });
        self.has_query = true;
        self.text.extend(utf8_percent_encode(name, RESERVED));
        self.text.push('=');
        self.text.extend(utf8_percent_encode(value, RESERVED));
        self
    }

    /// Adds a parameter if there is a value.
    #[must_use]
    pub(crate) fn query_if(self, name: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.query(name, value),
            None => self,
        }
    }

    /// As it stands in the request's first line.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_encoded() {
        let target = Target::path(&["v1", "modules", "a/b?c", "$edgeAgent"]);
        assert_eq!(target.as_str(), "/v1/modules/a%2Fb%3Fc/%24edgeAgent");
        let target = target
            .query("tail", "1&2")
            .query_if("module", None)
            .query_if("follow", Some("true"));
        assert_eq!(
            target.to_string(),
            "/v1/modules/a%2Fb%3Fc/%24edgeAgent?tail=1%262&follow=true"
        );
    }

    #[test]
    fn twins_are_addressed_as_iot_hub_does() {
        assert_eq!(
            Target::twin("d", None).as_str(),
            "/twins/d?api-version=2021-04-12"
        );
        assert_eq!(
            Target::twin("d", Some("m")).as_str(),
            "/twins/d/modules/m?api-version=2021-04-12"
        );
        assert_eq!(
            Target::methods("d", Some("$edgeAgent")).as_str(),
            "/twins/d/modules/%24edgeAgent/methods?api-version=2021-04-12"
        );
        assert_eq!(
            Target::twin_changes("d", Some("m")).as_str(),
            "/wasm-edge/v1/twins/d/modules/m/changes"
        );
    }
}
