//! What a registry says when it wants to know who asks.
//!
//! Pure. Reads `WWW-Authenticate` (RFC 9110 section 11.6.1) and what whoever gives out tokens answers (distribution
//! specification, *Token Authentication*). Both come from a stranger: what is too long or malformed is nothing.

use percent_encoding::{percent_encode, utf8_percent_encode};
use serde::Deserialize;
use wasm_edge_model::percent::RESERVED;
use zeroize::Zeroizing;

/// The longest header that is read.
const HEADER_MAX_BYTES: usize = 8 * 1024;

/// The most ways of signing in that are read; registries offer two.
const CHALLENGES_MAX: usize = 8;

/// The most parameters of one way; five are defined.
const PARAMETERS_MAX: usize = 16;

/// The longest token. Larger ones do not fit into the heads of requests that servers take.
const TOKEN_MAX_BYTES: usize = 24 * 1024;

/// A way of signing in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenge {
    /// With user and password (RFC 7617).
    Basic,
    /// With a token that is given out elsewhere (RFC 6750).
    Bearer {
        /// By whom.
        realm: String,
        /// For whom.
        service: Option<String>,
        /// For what.
        scope: Option<String>,
    },
}

/// Reads the ways that the headers offer, those that are not known left out.
pub fn read<'a>(headers: impl IntoIterator<Item = &'a [u8]>) -> Vec<Challenge> {
    let mut challenges = Vec::new();
    for header in headers {
        let text = std::str::from_utf8(header).ok();
        let text = text.filter(|text| text.len() <= HEADER_MAX_BYTES);
        let mut rest = Rest(text.unwrap_or_default());
        while challenges.len() < CHALLENGES_MAX {
            let Some(scheme) = rest.scheme() else {
                break;
            };
            let parameters = rest.parameters();
            challenges.extend(Challenge::of(scheme, parameters));
        }
    }
    challenges
}

impl Challenge {
    fn of(scheme: &str, parameters: Vec<(String, String)>) -> Option<Self> {
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let value = |name: &str| {
            let found = parameters.iter().find(|(found, _)| found == name);
            found.map(|(_, value)| value.clone())
        };
        Some(Self::Bearer {
            realm: value("realm")?,
            service: value("service"),
            scope: value("scope"),
        })
    }
}

/// What asks for a token: the query behind the realm. The scope is the one that was asked for, else `own_scope`.
pub fn query(service: Option<&str>, scope: Option<&str>, own_scope: &str) -> String {
    let encoded = |text: &str| utf8_percent_encode(text, RESERVED).to_string();
    let mut query = String::new();
    if let Some(service) = service {
        query = format!("service={}&", encoded(service));
    }
    let scope = scope.filter(|scope| !scope.is_empty()).unwrap_or(own_scope);
    // Several stand there with a space between them, and are asked for one by one.
    let scopes = scope.split(' ').filter(|scope| !scope.is_empty());
    let scopes: Vec<_> = scopes
        .map(|scope| format!("scope={}", percent_encode(scope.as_bytes(), RESERVED)))
        .collect();
    query + &scopes.join("&")
}

/// The token of an answer; none if there is none, or one that cannot be sent.
pub fn token(answer: &[u8]) -> Option<Zeroizing<String>> {
    #[derive(Deserialize)]
    struct Answer {
        token: Option<String>,
        access_token: Option<String>,
    }
    let answer: Answer = serde_json::from_slice(answer).ok()?;
    let token = answer.token.filter(|token| !token.is_empty());
    let token = Zeroizing::new(token.or(answer.access_token)?);
    let is_token = token.bytes().all(|byte| (0x21..0x7f).contains(&byte));
    (is_token && !token.is_empty() && token.len() <= TOKEN_MAX_BYTES).then_some(token)
}

/// What is left of a header.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    /// The name of a way.
    fn scheme(&mut self) -> Option<&'a str> {
        self.skip(|c| c == ' ' || c == '\t' || c == ',');
        self.token()
    }

    /// Parameters up to the name of the next way, their names in small letters.
    fn parameters(&mut self) -> Vec<(String, String)> {
        let mut parameters = Vec::new();
        loop {
            self.skip(|c| c == ' ' || c == '\t' || c == ',');
            let before = self.0;
            let Some(name) = self.token() else {
                break;
            };
            self.skip(|c| c == ' ' || c == '\t');
            let Some(rest) = self.0.strip_prefix('=') else {
                // A name without a value is that of the next way.
                self.0 = before;
                break;
            };
            self.0 = rest;
            self.skip(|c| c == ' ' || c == '\t');
            let Some(value) = self.value() else {
                self.0 = "";
                break;
            };
            if parameters.len() < PARAMETERS_MAX {
                parameters.push((name.to_ascii_lowercase(), value));
            }
        }
        parameters
    }

    fn value(&mut self) -> Option<String> {
        let Some(quoted) = self.0.strip_prefix('"') else {
            return self.token().map(str::to_owned);
        };
        let mut value = String::new();
        let mut characters = quoted.char_indices();
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => {
                    self.0 = &quoted[at + 1..];
                    return Some(value);
                }
                '\\' => value.push(characters.next()?.1),
                other => value.push(other),
            }
        }
        None
    }

    /// A token (RFC 9110 section 5.6.2).
    fn token(&mut self) -> Option<&'a str> {
        let is_in = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        let end = self.0.find(|c| !is_in(c)).unwrap_or(self.0.len());
        let (token, rest) = self.0.split_at(end);
        self.0 = rest;
        (!token.is_empty()).then_some(token)
    }

    fn skip(&mut self, is_out: impl Fn(char) -> bool) {
        self.0 = self.0.trim_start_matches(is_out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        Challenge::Bearer {
            realm: realm.to_owned(),
            service: service.map(str::to_owned),
            scope: scope.map(str::to_owned),
        }
    }

    #[test]
    fn challenges_are_read_as_registries_write_them() {
        let check = |headers: &[&str], expected: &[Challenge]| {
            let found = read(headers.iter().map(|header| header.as_bytes()));
            assert_eq!(found, expected, "{headers:?}");
        };
        let hub = bearer(
            "https://auth.docker.io/token",
            Some("registry.docker.io"),
            Some("repository:library/a:pull"),
        );
        check(
            &[
                r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/a:pull""#,
            ],
            std::slice::from_ref(&hub),
        );
        check(
            &[
                r#"bearer  Realm = "https://auth.docker.io/token" , service=registry.docker.io,scope="repository:library/a:pull",error="invalid_token""#,
            ],
            std::slice::from_ref(&hub),
        );
        check(&[r#"Basic realm="Registry Realm""#], &[Challenge::Basic]);
        check(&["basic"], &[Challenge::Basic]);
        let both = [bearer("https://a", None, None), Challenge::Basic];
        check(&[r#"Bearer realm="https://a", Basic realm="x""#], &both);
        check(&[r#"Bearer realm="https://a""#, "Basic"], &both);
        check(
            &[r#"Negotiate, NTLM, Digest realm="x", nonce="y", Bearer realm="https://a", Basic"#],
            &both,
        );
        check(
            &[r#"Bearer realm="a\"b\\c", scope="x,y=z Basic""#],
            &[bearer("a\"b\\c", None, Some("x,y=z Basic"))],
        );
        check(
            &[r#"Bearer realm="a",realm="b""#],
            &[bearer("a", None, None)],
        );
        for nothing in [
            "",
            ",,, ,",
            "Bearer",
            "Bearer service=\"x\"",
            "Bearer realm=\"x",
            "Bearer realm=\"x\\",
            "Bearer realm=",
            "=x",
            "\"",
            "ä",
        ] {
            check(&[nothing], &[]);
        }
        assert_eq!(read([&b"Basic \xff"[..]]), []);
        let long = format!("Bearer realm=\"{}\"", "x".repeat(HEADER_MAX_BYTES));
        check(&[&long], &[]);
        assert_eq!(read([&b"Basic, "[..]; 100]).len(), CHALLENGES_MAX);
        let many = "a=b,".repeat(2000);
        check(&[&format!("Bearer {many}")], &[]);
    }

    #[test]
    fn a_token_is_asked_for_with_what_the_challenge_says() {
        let check = |service, scope, expected: &str| {
            assert_eq!(query(service, scope, "repository:a/b:pull"), expected);
        };
        check(None, None, "scope=repository%3Aa%2Fb%3Apull");
        check(
            Some("a b&c"),
            Some(""),
            "service=a%20b%26c&scope=repository%3Aa%2Fb%3Apull",
        );
        check(None, Some("x:y:pull z"), "scope=x%3Ay%3Apull&scope=z");
    }

    #[test]
    fn a_token_is_what_can_stand_in_a_header() {
        let check = |answer: &str, expected: Option<&str>| {
            let found = token(answer.as_bytes());
            assert_eq!(found.as_deref().map(String::as_str), expected, "{answer}");
        };
        check(r#"{"token":"a.b-c_d","expires_in":300}"#, Some("a.b-c_d"));
        check(r#"{"access_token":"x"}"#, Some("x"));
        check(r#"{"token":"","access_token":"x"}"#, Some("x"));
        check(r#"{"token":"a","access_token":"x"}"#, Some("a"));
        check(r#"{"token":"a\r\nHost: b"}"#, None);
        check(r#"{"token":"a b"}"#, None);
        check(r#"{"token":"ä"}"#, None);
        check(r#"{"token":7}"#, None);
        check(r#"{"token":null}"#, None);
        check("{}", None);
        check("[]", None);
        check("", None);
        let long = format!(r#"{{"token":"{}"}}"#, "x".repeat(TOKEN_MAX_BYTES + 1));
        check(&long, None);
    }

    proptest::proptest! {
        #[test]
        fn no_header_makes_reading_panic(header in ".{0,60}", quoted in "[a-z=\", \\\\]{0,60}") {
            read([header.as_bytes(), quoted.as_bytes()]);
            let both = format!("Bearer realm=\"{header}\", {quoted}");
            read([both.as_bytes()]);
        }
    }
}
