//! Makes text from outside harmless for a terminal.
//!
//! Log lines, message bodies, names and error texts come from guests, hubs and files. Printed as they are, they
//! could move the cursor, recolour, retitle or answer for the person. Called by every other part of `output`.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Writes characters that act on a terminal, or that reorder or break lines, as escapes (`\n`, `\u{1b}`).
///
/// The result is one line. Other characters, a backslash too, stay as they are: this is for reading, not for parsing.
pub(crate) fn harmless(text: &str) -> Cow<'_, str> {
    if !text.chars().any(acts) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if acts(c) => write!(out, "\\u{{{:x}}}", u32::from(c)).expect("a String takes all"),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// Does the same to JSON text, with JSON's own escapes, so that the value stays the same.
///
/// JSON writers escape the C0 control characters; what is left can stand inside strings only.
pub(crate) fn json(text: &str) -> Cow<'_, str> {
    let acts_in_json = |c: char| !c.is_ascii_control() && acts(c) || c == '\u{7f}';
    if !text.chars().any(acts_in_json) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if acts_in_json(c) {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                write!(out, "\\u{unit:04x}").expect("a String takes all");
            }
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// Control characters (C0, DEL, C1), line and paragraph separators, and what changes the direction of text or hides.
fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}'
            | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        assert_eq!(harmless(text), expected);
    }

    #[test]
    fn ordinary_text_stays_as_it_is() {
        for text in [
            "",
            "plain",
            "grüße, 你好, 🎉",
            r"C:\temp \n",
            "\u{300}combining",
        ] {
            check(text, text);
            assert!(matches!(harmless(text), Cow::Borrowed(_)));
        }
    }

    #[test]
    fn what_acts_on_a_terminal_is_written_out() {
        check(
            "\x1b[31mred\x1b]0;title\x07",
            "\\u{1b}[31mred\\u{1b}]0;title\\u{7}",
        );
        check("one\r\ntwo\tthree", "one\\r\\ntwo\\tthree");
        check("\u{9b}2J\x7f\0", "\\u{9b}2J\\u{7f}\\u{0}");
        check(
            "abc\u{202e}cba\u{2028}x\u{e0041}",
            "abc\\u{202e}cba\\u{2028}x\\u{e0041}",
        );
    }

    #[test]
    fn json_keeps_its_meaning() {
        let value = serde_json::json!({"a\u{9b}": "b\u{7f}\u{2066}\u{e0001}\n", "c": "é"});
        let text = serde_json::to_string_pretty(&value).unwrap();
        let safe = json(&text);
        assert!(!safe.chars().any(|c| acts(c) && c != '\n'), "{safe}");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&safe).unwrap(),
            value
        );
    }
}
