//! Addresses that are asked, and where a registry may send us from there.
//!
//! Pure. Owns the rule of redirects: never from TLS to a connection without, unless the owner of this device named
//! that host as one without TLS, and never to anything but HTTP.

use std::fmt;

use hyper::Uri;
use thiserror::Error;
use wasm_edge_model::connection_string::HostAddress;
use wasm_edge_net::dial::Security;

/// The longest address: more than storage services sign theirs with.
const ADDRESS_MAX_BYTES: usize = 8 * 1024;

/// Whom a connection is with. What was told to one is told to no other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// What protects it.
    pub security: Security,
    /// The host, in small letters.
    pub host: HostAddress,
    /// The port, also where it is the usual one.
    pub port: u16,
}

/// An address of HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// With whom.
    pub origin: Origin,
    /// Path and query.
    pub target: String,
}

/// Why an address that a registry names is not asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AddressFault {
    /// It names none.
    #[error("it names no address")]
    Missing,
    /// It is no address.
    #[error("`{}` is not an address", .address.escape_debug())]
    Malformed {
        /// Its first 80 characters.
        address: String,
    },
    /// It is of something else than HTTP.
    #[error("`{}` is not of `https:`", .address.escape_debug())]
    Scheme {
        /// Its first 80 characters.
        address: String,
    },
    /// A user or a password stands in it.
    #[error("a user stands in the address that it names")]
    Login,
    /// It leads away from TLS.
    #[error("`{}` is without TLS, and not named as such in the configuration", .address.escape_debug())]
    Plain {
        /// Its first 80 characters.
        address: String,
    },
}

impl Origin {
    /// The host on its usual port, if it names none.
    pub fn new(host: &HostAddress, security: Security) -> Self {
        // One form for one host: names are compared without regard to capitals.
        let lower = HostAddress::parse(&host.to_string().to_ascii_lowercase());
        let host = lower.unwrap_or_else(|| host.clone());
        let usual = match security {
            Security::Tls => 443,
            Security::Plain => 80,
        };
        Self {
            security,
            port: host.port().unwrap_or(usual),
            host,
        }
    }

    /// As keys of settings have it: the port stands there unless it is the usual one.
    pub fn key(&self) -> String {
        match (self.security, self.port) {
            (Security::Tls, 443) | (Security::Plain, 80) => self.host.name().to_owned(),
            (_, port) => format!("{}:{port}", self.host.name()),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key())
    }
}

impl Address {
    /// An address on its own, as that of whoever gives out tokens.
    ///
    /// # Errors
    /// Any [`AddressFault`].
    pub fn read(text: &str, is_plain: impl Fn(&Origin) -> bool) -> Result<Self, AddressFault> {
        if text.is_empty() {
            return Err(AddressFault::Missing);
        }
        let shown = || text.chars().take(80).collect::<String>();
        let malformed = || AddressFault::Malformed { address: shown() };
        let is_visible = text.bytes().all(|byte| (0x21..0x7f).contains(&byte));
        if text.len() > ADDRESS_MAX_BYTES || !is_visible {
            return Err(malformed());
        }
        let scheme = scheme(text).map(str::to_ascii_lowercase);
        let security = match scheme.as_deref() {
            Some("https") => Security::Tls,
            Some("http") => Security::Plain,
            Some(_) => return Err(AddressFault::Scheme { address: shown() }),
            None => return Err(malformed()),
        };
        let uri: Uri = text.parse().map_err(|_| malformed())?;
        let authority = uri.authority().ok_or_else(malformed)?;
        if authority.as_str().contains('@') {
            return Err(AddressFault::Login);
        }
        let host = HostAddress::parse(authority.as_str()).ok_or_else(malformed)?;
        let origin = Origin::new(&host, security);
        if security == Security::Plain && !is_plain(&origin) {
            return Err(AddressFault::Plain { address: shown() });
        }
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        // A query alone has no path before it.
        let target = match target.starts_with('/') {
            true => target.to_owned(),
            false => format!("/{target}"),
        };
        Ok(Self { origin, target })
    }

    /// Where a `Location` of this address' answer leads (RFC 9110 section 10.2.2).
    ///
    /// # Errors
    /// Any [`AddressFault`].
    pub fn redirected(
        &self,
        location: &str,
        is_plain: impl Fn(&Origin) -> bool,
    ) -> Result<Self, AddressFault> {
        let location = location.split('#').next().unwrap_or(location);
        let own = match self.origin.security {
            Security::Tls => "https",
            Security::Plain => "http",
        };
        let absolute = if location.is_empty() || scheme(location).is_some() {
            location.to_owned()
        } else if location.starts_with("//") {
            format!("{own}:{location}")
        } else {
            let authority = format!("{}:{}", self.origin.host.name(), self.origin.port);
            format!("{own}://{authority}{}", self.relative(location))
        };
        // From a host without TLS to itself is no step down.
        Self::read(&absolute, |origin| {
            *origin == self.origin || is_plain(origin)
        })
    }

    /// The same with something more in the query.
    pub fn with_query(&self, query: &str) -> Self {
        let joint = match self.target.contains('?') {
            true => '&',
            false => '?',
        };
        Self {
            origin: self.origin.clone(),
            target: format!("{}{joint}{query}", self.target),
        }
    }

    fn relative(&self, location: &str) -> String {
        let path = self.target.split('?').next().unwrap_or(&self.target);
        match location.as_bytes().first() {
            Some(b'/') => location.to_owned(),
            Some(b'?') => format!("{path}{location}"),
            _ => {
                let folder = path.rfind('/').map_or("", |slash| &path[..slash]);
                format!("{folder}/{location}")
            }
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin, self.target)
    }
}

/// What stands before the colon, if it begins with `name:` (RFC 3986 section 3.1).
fn scheme(text: &str) -> Option<&str> {
    let (scheme, _) = text.split_once(':')?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    let begins = scheme.starts_with(|c: char| c.is_ascii_alphabetic());
    (begins && scheme.bytes().all(allowed)).then_some(scheme)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(text: &str) -> Address {
        Address::read(text, |_| true).unwrap()
    }

    #[test]
    fn a_location_leads_from_one_address_to_another() {
        let check = |from: &str, location: &str, expected: Result<&str, &str>| {
            let is_plain = |origin: &Origin| origin.key() == "plain.example.org:5000";
            let found = base(from).redirected(location, is_plain);
            let found = found.map(|address| match address.origin.security {
                Security::Tls => format!("https://{address}"),
                Security::Plain => format!("http://{address}"),
            });
            let found = found.map_err(|err| err.to_string());
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(found, expected, "{from} {location}");
        };
        let tls = "https://a.example.org/v2/x/blobs/sha256:1";
        check(tls, "/y?z=1", Ok("https://a.example.org/y?z=1"));
        check(tls, "y", Ok("https://a.example.org/v2/x/blobs/y"));
        check(tls, "?y", Ok("https://a.example.org/v2/x/blobs/sha256:1?y"));
        check(
            tls,
            "//B.example.org:444/y#f",
            Ok("https://b.example.org:444/y"),
        );
        check(tls, "https://b.example.org", Ok("https://b.example.org/"));
        check(
            tls,
            "https://b.example.org?q",
            Ok("https://b.example.org/?q"),
        );
        check(
            tls,
            "HTTPS://b.example.org/y",
            Ok("https://b.example.org/y"),
        );
        check(tls, "https://[::1]:5/y", Ok("https://[::1]:5/y"));
        check(
            tls,
            "http://plain.example.org:5000/y",
            Ok("http://plain.example.org:5000/y"),
        );
        let plain = |address| {
            format!("`{address}` is without TLS, and not named as such in the configuration")
        };
        check(
            tls,
            "http://a.example.org/y",
            Err(&plain("http://a.example.org/y")),
        );
        check(
            tls,
            "http://plain.example.org/y",
            Err(&plain("http://plain.example.org/y")),
        );
        let from_plain = "http://a.example.org:5000/v2/";
        check(from_plain, "/y", Ok("http://a.example.org:5000/y"));
        check(
            from_plain,
            "http://a.example.org:5000/y",
            Ok("http://a.example.org:5000/y"),
        );
        check(
            from_plain,
            "http://a.example.org:5001/y",
            Err(&plain("http://a.example.org:5001/y")),
        );
        check(
            from_plain,
            "https://a.example.org/y",
            Ok("https://a.example.org/y"),
        );
        check(tls, "", Err("it names no address"));
        check(tls, "#x", Err("it names no address"));
        let scheme = |address| format!("`{address}` is not of `https:`");
        for other in [
            "file:///etc/passwd",
            "file:/etc/passwd",
            "FILE:x",
            "ftp://a/b",
            "javascript:alert(1)",
        ] {
            check(tls, other, Err(&scheme(other)));
        }
        check(
            tls,
            "https://user:secret@b.example.org/",
            Err("a user stands in the address that it names"),
        );
        let malformed = |address| format!("`{address}` is not an address");
        for wrong in [
            "https:///y",
            "https://a b/",
            "https://b.example.org:99999/",
            "https://b.example.org:x/",
            "https://ä.example.org/",
            "https:b",
        ] {
            check(tls, wrong, Err(&malformed(wrong)));
        }
        let long = format!("/{}", "y".repeat(ADDRESS_MAX_BYTES));
        let found = base(tls).redirected(&long, |_| false).unwrap_err();
        assert!(matches!(found, AddressFault::Malformed { .. }));
    }

    #[test]
    fn a_header_cannot_be_written_into_by_an_address() {
        for wrong in ["/a\r\nx: y", "/a\nb", "/a b", "/\u{7f}", "/a\0"] {
            let found = base("https://a.example.org/").redirected(wrong, |_| false);
            assert!(found.is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_query_grows() {
        let check = |text: &str, expected: &str| {
            let grown = base(text).with_query("digest=1");
            assert_eq!(grown.target, expected);
        };
        check("https://a/b", "/b?digest=1");
        check("https://a/b?c=d", "/b?c=d&digest=1");
    }
}
