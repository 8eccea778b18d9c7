//! Mirrors: what is asked before a registry, and what became of those that did not serve.
//!
//! Pure. Who is asked in which order is the repository's; where failures are told is for those who pull.

use std::fmt;

use wasm_edge_model::error::chain;

use super::error::RegistryError;
use super::station::Station;
use crate::reference::{Reference, RegistryHost};

/// Where images of a registry can be had as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// The host; whether it is spoken to without TLS, and by which certificates it is trusted, its own settings say.
    pub host: RegistryHost,
    /// What stands before the name of a repository there; empty for nothing.
    pub prefix: String,
}

/// A mirror that was asked and did not serve.
#[derive(Debug)]
pub struct MirrorFailure {
    /// Its address as the configuration has it: host and what stands before names.
    pub mirror: String,
    /// Why.
    pub error: RegistryError,
}

/// A place where a repository can be had.
pub(super) struct Place {
    /// Which mirror it is; none for the registry itself.
    pub(super) mirror: Option<Mirror>,
    pub(super) station: Station,
}

impl Mirror {
    /// Reads `HOST[:PORT][/PREFIX]`.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.strip_suffix('/').unwrap_or(text);
        let (host, prefix) = text.split_once('/').unwrap_or((text, ""));
        let host = RegistryHost::parse(host).ok()?;
        if !prefix.is_empty() {
            // What can stand before a name is what can be one: without tag and digest.
            let named: Reference = format!("registry.invalid/{prefix}").parse().ok()?;
            let is_name = named.repository() == prefix && named.digest().is_none();
            is_name.then_some(())?;
        }
        Some(Self {
            host,
            prefix: prefix.to_owned(),
        })
    }
}

impl fmt::Display for Mirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefix.as_str() {
            "" => write!(f, "{}", self.host),
            prefix => write!(f, "{}/{prefix}", self.host),
        }
    }
}

impl MirrorFailure {
    pub(super) fn of(mirror: &Mirror, error: RegistryError) -> Self {
        let mirror = mirror.to_string();
        tracing::debug!(mirror, err = %chain(&error), "a mirror did not serve");
        Self { mirror, error }
    }
}

/// What the error of a registry comes to after those of its mirrors.
pub(super) fn everywhere(mirrors: Vec<MirrorFailure>, own: RegistryError) -> RegistryError {
    // Mirrors have nothing to add to a registry that says that there is none.
    if own.is_missing() && mirrors.iter().all(|failure| failure.error.is_missing()) {
        return own;
    }
    match mirrors.is_empty() {
        true => own,
        false => RegistryError::Everywhere {
            mirrors,
            source: Box::new(own),
        },
    }
}

/// The mirrors with their reasons, as a sentence.
pub(super) fn told(mirrors: &[MirrorFailure]) -> String {
    let each = mirrors.iter().map(|MirrorFailure { mirror, error }| {
        format!("the mirror `{mirror}` did not serve it ({})", chain(error))
    });
    each.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_is_a_host_and_what_stands_before_names_there() {
        let check = |text: &str, expected: Option<(&str, &str)>| {
            let found = Mirror::parse(text);
            let found = found.as_ref();
            let found = found.map(|mirror| (mirror.host.as_str(), mirror.prefix.as_str()));
            assert_eq!(found, expected, "{text}");
        };
        check("a.example.org", Some(("a.example.org", "")));
        check("mirror:5000/", Some(("mirror:5000", "")));
        check("[::1]:5/proxy/hub/", Some(("[::1]:5", "proxy/hub")));
        for wrong in [
            "", "/", "a b", "a/B", "a//b", "a/..", "a/b:1", "u@a", "a?b", "a/b?c",
        ] {
            check(wrong, None);
        }
    }
    fn status(status: u16) -> RegistryError {
        match status {
            404 => RegistryError::NotFound {
                asked: "it".to_owned(),
                message: None,
            },
            status => RegistryError::Status {
                asked: "it".to_owned(),
                status,
                message: None,
                retry_after: None,
            },
        }
    }

    #[test]
    fn what_is_worth_another_try_is_said_by_all_but_by_the_registry_first() {
        let check = |mirrors: &[u16], own: u16, passing: bool, hint: &str| {
            let mirror = Mirror::parse("mirror.example.org/hub").unwrap();
            let failures = mirrors
                .iter()
                .map(|code| MirrorFailure::of(&mirror, status(*code)));
            let err = everywhere(failures.collect(), status(own));
            assert_eq!(err.is_passing(), passing, "{mirrors:?} {own}");
            assert!(err.hint().starts_with(hint), "{}", err.hint());
            assert!(err.own().to_string().contains("it"));
        };
        let (later, missing) = ("try again later", "check the name and the tag");
        let of_mirror = "as for the mirror `mirror.example.org/hub`: ";
        check(&[], 503, true, later);
        check(&[404], 404, false, missing);
        check(&[503], 404, false, missing);
        check(&[404], 503, true, later);
        check(&[418], 503, true, of_mirror);
        check(&[503], 418, true, later);
        check(&[503, 418], 418, true, later);
        check(&[418], 418, false, later);
    }

    #[test]
    fn an_error_names_each_mirror_and_the_registry() {
        let mirrors = ["a.example.org", "b.example.org/hub"];
        let failures =
            mirrors.map(|mirror| MirrorFailure::of(&Mirror::parse(mirror).unwrap(), status(500)));
        let err = everywhere(failures.into(), status(503));
        assert_eq!(
            chain(&err).to_string(),
            "the mirror `a.example.org` did not serve it (asked for it, it answered with status 500); \
             the mirror `b.example.org/hub` did not serve it (asked for it, it answered with status 500): \
             asked for it, it answered with status 503"
        );
    }
}
