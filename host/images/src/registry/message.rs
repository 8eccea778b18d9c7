//! What a registry says of why it refused.
//!
//! Pure. Read from a stranger's text and shown to people: it is cut, and what could steer a terminal is escaped.

use serde_json::Value;

/// How much of it is shown, in characters.
const SHOWN_MAX_CHARACTERS: usize = 256;

/// The words of an error's body (distribution specification, *Error Codes*, and what those who give out tokens use);
/// none if it is of another form.
pub fn read(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let text = |value: &Value, key: &str| value.get(key)?.as_str().map(str::to_owned);
    let first = body.get("errors").and_then(|errors| errors.get(0));
    let words = match first {
        Some(error) => [text(error, "code"), text(error, "message")]
            .into_iter()
            .flatten()
            .filter(|word| !word.is_empty())
            .collect::<Vec<_>>()
            .join(": "),
        None => ["message", "details", "error_description", "error"]
            .iter()
            .find_map(|key| text(&body, key))?,
    };
    let cut: String = words.chars().take(SHOWN_MAX_CHARACTERS).collect();
    (!cut.is_empty()).then(|| cut.escape_debug().to_string())
}

/// Whether a server that speaks TLS says so to whoever came without: each does in words of its own, and names the
/// scheme.
pub fn wants_tls(body: &[u8]) -> bool {
    body.windows(5).any(|word| word == b"HTTPS")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_with_tls_is_known_by_its_words() {
        let check = |body: &str, expected: bool| {
            assert_eq!(wants_tls(body.as_bytes()), expected, "{body}");
        };
        // Of Go's server, nginx and Apache.
        check("Client sent an HTTP request to an HTTPS server.\n", true);
        check(
            "<title>400 The plain HTTP request was sent to HTTPS port</title>",
            true,
        );
        check("Instead use the HTTPS scheme to access this URL", true);
        check("400 Bad Request", false);
        check("", false);
    }

    #[test]
    fn the_words_of_a_registry_are_found_cut_and_escaped() {
        let check = |body: &str, expected: Option<&str>| {
            assert_eq!(read(body.as_bytes()).as_deref(), expected, "{body}");
        };
        check(
            r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{}},{"code":"X"}]}"#,
            Some("MANIFEST_UNKNOWN: manifest unknown"),
        );
        check(r#"{"errors":[{"message":"m"}]}"#, Some("m"));
        check(
            r#"{"details":"incorrect username"}"#,
            Some("incorrect username"),
        );
        check(r#"{"error":"e","error_description":"d"}"#, Some("d"));
        check(
            "{\"message\":\"\\u001b[2Ja\\nb\\u202ec\"}",
            Some("\\u{1b}[2Ja\\nb\\u{202e}c"),
        );
        for nothing in [
            "",
            "{}",
            "<html>",
            r#"{"errors":[]}"#,
            r#"{"errors":[{}]}"#,
            "[1]",
            r#"{"message":7}"#,
        ] {
            check(nothing, None);
        }
        let long = format!(r#"{{"message":"{}"}}"#, "ä".repeat(10_000));
        assert_eq!(read(long.as_bytes()).unwrap().chars().count(), 256);
    }
}
