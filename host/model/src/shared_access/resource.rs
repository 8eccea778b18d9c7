//! What a token is for: a hub, a device or a module of it.
//!
//! Owns reading the resource of a token and comparing it with what is asked
//! for. Leaves to the hub which resource is needed for what.

use super::{TokenError, percent_decode};
use crate::identity::TwinOwner;

/// A host and what of it: `{host}`, `{host}/devices/{d}` or `{host}/devices/{d}/modules/{m}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    host: String,
    device: Option<String>,
    module: Option<String>,
}

impl Resource {
    /// Reads the percent-encoded resource of a token.
    ///
    /// It is decoded first and split then: ids hold no `/`, so that an
    /// encoded one cannot stand for anything else.
    ///
    /// # Errors
    /// [`TokenError::Field`].
    pub fn parse(encoded: &str) -> Result<Self, TokenError> {
        let error = TokenError::Field {
            name: "sr",
            expected: "the percent-encoded resource of a hub, a device or a module",
        };
        let decoded = percent_decode(encoded).ok_or(error)?;
        let segments: Vec<&str> = decoded.split('/').collect();
        if segments.contains(&"") {
            return Err(error);
        }
        let word = |found: &str, expected: &str| found.eq_ignore_ascii_case(expected);
        let (host, device, module) = match *segments {
            [host] => (host, None, None),
            [host, devices, device] if word(devices, "devices") => (host, Some(device), None),
            [host, devices, device, modules, module]
                if word(devices, "devices") && word(modules, "modules") =>
            {
                (host, Some(device), Some(module))
            }
            _ => return Err(error),
        };
        Ok(Self {
            host: host.to_owned(),
            device: device.map(str::to_owned),
            module: module.map(str::to_owned),
        })
    }

    /// Whether it lies at the host `name`; a port in the resource is passed over, as is case.
    pub fn is_at(&self, name: &str) -> bool {
        without_port(&self.host).eq_ignore_ascii_case(without_port(name))
    }

    /// How much of a hub the resource covers.
    pub fn scope(&self) -> Scope<'_> {
        match (&self.device, &self.module) {
            (None, _) => Scope::Hub,
            (Some(device), None) => Scope::Device(Name(device)),
            (Some(device), Some(module)) => Scope::Module(Name(device), Name(module)),
        }
    }

    /// Whether `owner` lies within the resource: a device covers its modules.
    pub fn covers(&self, owner: &TwinOwner) -> bool {
        let device = owner.device().as_str();
        match self.scope() {
            Scope::Hub => true,
            Scope::Device(name) => name.is(device),
            Scope::Module(name, module) => {
                let wanted = owner.module().map(|module| module.as_str());
                name.is(device) && wanted.is_some_and(|wanted| module.is(wanted))
            }
        }
    }
}

/// How much of a hub a resource covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope<'a> {
    /// All of it.
    Hub,
    /// A device with its modules.
    Device(Name<'a>),
    /// A module of a device.
    Module(Name<'a>, Name<'a>),
}

/// An id as a token writes it.
///
/// Clients write ids in other letter case than the registry, and some encode
/// them once more. Neither lets anybody in who does not hold the key of the
/// identity that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Name<'a>(&'a str);

impl<'a> Name<'a> {
    /// Whether it means `id`.
    pub fn is(self, id: &str) -> bool {
        self.0.eq_ignore_ascii_case(id)
            || percent_decode(self.0).is_some_and(|decoded| decoded.eq_ignore_ascii_case(id))
    }

    /// The id as it stands in the token, decoded once.
    pub fn as_str(self) -> &'a str {
        self.0
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        // The colons of an IPv6 address that stands without brackets are no port's.
        Some((name, port))
            if (1..=5).contains(&port.len())
                && port.bytes().all(|byte| byte.is_ascii_digit())
                && (!name.contains(':') || name.ends_with(']')) =>
        {
            name
        }
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(path: &str) -> TwinOwner {
        path.parse().unwrap()
    }

    #[test]
    fn a_resource_covers_what_lies_within_it_by_whole_segments() {
        let check = |resource: &str, path: &str, expected: bool| {
            let resource = Resource::parse(resource).unwrap();
            let found = resource.is_at("hub.test") && resource.covers(&owner(path));
            assert_eq!(found, expected, "{resource:?} {path}");
        };
        check("hub.test%2Fdevices%2Fd1", "/devices/d1", true);
        check("hub.test%2fdevices%2fd1", "/devices/d1", true);
        check("hub.test/devices/d1", "/devices/d1", true);
        check("HUB.TEST%2FDevices%2FD1", "/devices/d1", true);
        check(
            "hub.test%2Fdevices%2Fhannover01",
            "/devices/Hannover01",
            true,
        );
        check("hub.test%3A8443%2Fdevices%2Fd1", "/devices/d1", true);
        check("hub.test%2Fdevices%2Fd1", "/devices/d1/modules/m", true);
        check("hub.test", "/devices/d1/modules/m", true);
        check(
            "hub.test%2Fdevices%2Fd1%2Fmodules%2Fm",
            "/devices/d1/modules/m",
            true,
        );
        check(
            "hub.test%2Fdevices%2Fd1%2Fmodules%2F%24edgeHub",
            "/devices/d1/modules/$edgeHub",
            true,
        );
        check(
            "hub.test%2Fdevices%2Fd1%2Fmodules%2F%2524edgeHub",
            "/devices/d1/modules/$edgeHub",
            true,
        );
        check("hub.test%2Fdevices%2Fa%2525b", "/devices/a%25b", true);
        check("hub.test%2Fdevices%2Fa%2Bb", "/devices/a+b", true);
        check("hub.test%2Fdevices%2Fa+b", "/devices/a+b", true);

        check(
            "hub.test%2Fdevices%2Fd1%2Fmodules%2Fm",
            "/devices/d1",
            false,
        );
        check(
            "hub.test%2Fdevices%2Fd1%2Fmodules%2Fm",
            "/devices/d1/modules/m2",
            false,
        );
        check(
            "hub.test%2Fdevices%2Fd1%2Fmodules%2Fm",
            "/devices/d2/modules/m",
            false,
        );
        check("hub.test%2Fdevices%2Fd1", "/devices/d10", false);
        check("hub.test%2Fdevices%2Fd10", "/devices/d1", false);
        check("hub.test%2Fdevices%2Fd1%00", "/devices/d1", false);
        check("hub.test%2Fdevices%2Fd1%20", "/devices/d1", false);
        check("hub.test%2Fdevices%2Fa%20b", "/devices/a+b", false);
        check("hub.test%2Fdevices%2F%2564%2531", "/devices/d1", true);
        check("hub.test%2Fdevices%2F%252564%252531", "/devices/d1", false);
        check("other.test%2Fdevices%2Fd1", "/devices/d1", false);
        check("hub.test.other%2Fdevices%2Fd1", "/devices/d1", false);
        check("xhub.test%2Fdevices%2Fd1", "/devices/d1", false);
        check("hub.test%3A8443x%2Fdevices%2Fd1", "/devices/d1", false);
        check("hub.test%3A%2Fdevices%2Fd1", "/devices/d1", false);
        check("hub.test%40x%2Fdevices%2Fd1", "/devices/d1", false);
    }

    #[test]
    fn other_texts_are_no_resources() {
        for text in [
            "",
            "/",
            "hub.test/",
            "/hub.test",
            "hub.test%2Fdevices",
            "hub.test%2Fdevices%2F",
            "hub.test%2F%2Fdevices%2Fd1",
            "hub.test%2Fdevices%2Fd1%2F",
            "hub.test%2Fdevices%2Fd1%2Fmodules",
            "hub.test%2Fdevices%2Fd1%2Fmodules%2F",
            "hub.test%2Fdevices%2Fd1%2Fmodules%2Fm%2Fx",
            "hub.test%2Fdevices%2Fd1%2F..%2Fd2",
            "hub.test%2Fdevices%2Fd1%2Fdevices%2Fd2",
            "hub.test%252Fdevices%252Fd1%2Fx",
            "hub.test%2Fmodules%2Fd1",
            "hub.test%2Fdevices%2Fd1%",
            "hub.test%2Fdevices%2Fd1%2",
            "hub.test%2Fdevices%2Fd1%zz",
            "hub.test%2Fdevices%2Fd1%+1",
            "hub.test%2Fdevices%2F%ff",
            "https%3A%2F%2Fhub.test%2Fdevices%2Fd1",
        ] {
            assert!(Resource::parse(text).is_err(), "{text}");
        }
        // Encoded twice as a whole, it is a host of an odd name.
        let host = Resource::parse("hub.test%252Fdevices%252Fd1").unwrap();
        assert!(!host.is_at("hub.test"));
    }

    #[test]
    fn a_host_is_compared_without_its_port() {
        let check = |host: &str, name: &str, expected: bool| {
            let resource = Resource::parse(host).unwrap();
            assert_eq!(resource.is_at(name), expected, "{host} {name}");
        };
        check("hub", "HUB", true);
        check("hub:443", "hub", true);
        check("hub", "hub:443", true);
        check("%5B%3A%3A1%5D%3A8443", "[::1]", true);
        check("::1", "::1", true);
        check("::1", "::2", false);
        check("hub:123456", "hub", false);
        check("hub:443:443", "hub", false);
    }
}
