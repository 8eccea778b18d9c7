//! Reads the text of a route.
//!
//! Written by hand, since the words of this language depend on the place:
//! after `FROM`, `/*` may be a source or open a comment, and a source may
//! hold keywords.

use super::condition::{Compatibility, Condition};
use super::{PRIORITY_DEFAULT, ROUTE_TEXT_MAX_BYTES, Route, RouteError, RouteName, Sink, Source};
use crate::identity::ModuleId;
use crate::message::InputName;

pub(super) fn route(
    name: RouteName,
    text: &str,
    _compatibility: Compatibility,
) -> Result<Route, RouteError> {
    if text.len() > ROUTE_TEXT_MAX_BYTES {
        return Err(RouteError::TooLong {
            length: text.len(),
            limit: ROUTE_TEXT_MAX_BYTES,
        });
    }
    let mut cursor = Cursor {
        text,
        offset: 0,
        last_comment_end: text.rfind("*/").unwrap_or(0),
    };
    cursor.skip_space();
    if cursor.take_keyword("SELECT") {
        cursor.skip_space();
        if !cursor.take_word("*") {
            return Err(cursor.unexpected("`*`"));
        }
        cursor.skip_space();
        cursor.expect_keyword("FROM", "FROM")?;
    } else {
        cursor.expect_keyword("FROM", "FROM, or SELECT * FROM")?;
    }
    let source = source(&mut cursor)?;
    if cursor.at_keyword("WHERE") {
        return Err(RouteError::ConditionUnsupported {
            column: cursor.column(),
        });
    }
    cursor.expect_keyword("INTO", "`/` or INTO")?;
    cursor.skip_space();
    let sink = sink(&mut cursor)?;
    cursor.skip_space();
    if !cursor.rest().is_empty() {
        return Err(cursor.unexpected("the end of the route"));
    }
    Ok(Route {
        name,
        source,
        condition: Condition::always(),
        sink,
        priority: PRIORITY_DEFAULT,
        time_to_live: None,
        durability: None,
        when_full: None,
    })
}

fn source(cursor: &mut Cursor<'_>) -> Result<Source, RouteError> {
    let mut text = String::new();
    loop {
        cursor.skip_space_in_source();
        if !cursor.take("/") {
            return match text.is_empty() {
                true => Err(cursor.unexpected("a source such as `/messages/*`")),
                false => Ok(Source::new(text)),
            };
        }
        // What follows the slash is a name, even where it looks like a comment;
        // a keyword only where no space says that a name was forgotten.
        let after_slash = cursor.offset;
        cursor.skip_white();
        let has_space = cursor.offset > after_slash;
        match cursor.word() {
            _ if has_space && (cursor.at_keyword("INTO") || cursor.at_keyword("WHERE")) => {
                return Err(cursor.unexpected("a name or `*`"));
            }
            "" => return Err(cursor.unexpected("a name or `*`")),
            word => {
                cursor.offset += word.len();
                text.push('/');
                text.push_str(word);
            }
        }
    }
}

fn sink(cursor: &mut Cursor<'_>) -> Result<Sink, RouteError> {
    const EXPECTED: &str =
        "`$upstream` or `BrokeredEndpoint(\"/modules/{module}/inputs/{input}\")`";
    if cursor.take_keyword("$upstream") {
        return Ok(Sink::Upstream);
    }
    if !cursor.take_keyword("BrokeredEndpoint") {
        return Err(cursor.unexpected(EXPECTED));
    }
    cursor.skip_space();
    if !cursor.take("(") {
        return Err(cursor.unexpected("`(`"));
    }
    cursor.skip_space();
    let column = cursor.column();
    let endpoint = string(cursor)?;
    cursor.skip_space();
    if !cursor.take(")") {
        return Err(cursor.unexpected("`)`"));
    }
    module_sink(&endpoint, column)
}

/// Of the four parts only the second and the fourth count, as in IoT Edge.
fn module_sink(endpoint: &str, column: usize) -> Result<Sink, RouteError> {
    let parts: Vec<&str> = endpoint
        .strip_prefix('/')
        .unwrap_or(endpoint)
        .split('/')
        .collect();
    let [_, module, _, input] = parts[..] else {
        return Err(RouteError::Endpoint {
            column,
            text: endpoint.chars().take(200).collect(),
        });
    };
    Ok(Sink::Module {
        module: ModuleId::new(module).map_err(|error| RouteError::Module { column, error })?,
        input: InputName::new(input).map_err(|error| RouteError::Input { column, error })?,
    })
}

/// A text in single or double quotes with the escapes `\'`, `\"`, `\\` and
/// `\uXXXX`.
fn string(cursor: &mut Cursor<'_>) -> Result<String, RouteError> {
    let quote = match cursor.rest().chars().next() {
        Some(quote @ ('"' | '\'')) => quote,
        _ => return Err(cursor.unexpected("a text in quotes")),
    };
    cursor.offset += 1;
    let mut text = String::new();
    loop {
        match cursor.rest().chars().next() {
            Some(c) if c == quote => {
                cursor.offset += 1;
                return Ok(text);
            }
            Some('\\') => text.push(escape(cursor)?),
            Some(c) => {
                text.push(c);
                cursor.offset += c.len_utf8();
            }
            None => return Err(cursor.unexpected("the quote at the end of the text")),
        }
    }
}

fn escape(cursor: &mut Cursor<'_>) -> Result<char, RouteError> {
    let rest = &cursor.rest()[1..];
    let escaped = match rest.chars().next() {
        Some(c @ ('\'' | '"' | '\\')) => Some((c, 2)),
        Some('u') => rest.get(1..5).and_then(|digits| Some((hex(digits)?, 6))),
        _ => None,
    };
    let Some((c, length)) = escaped else {
        return Err(cursor.unexpected("an escape: `\\'`, `\\\"`, `\\\\` or `\\uXXXX`"));
    };
    cursor.offset += length;
    Ok(c)
}

fn hex(digits: &str) -> Option<char> {
    let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    char::from_u32(u32::from_str_radix(digits, 16).ok().filter(|_| is_hex)?)
}

struct Cursor<'a> {
    text: &'a str,
    offset: usize,
    /// Where the last `*/` of the text begins, or 0: behind it nothing opens
    /// a comment, and nobody needs to search.
    last_comment_end: usize,
}

impl<'a> Cursor<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.offset..]
    }

    fn take(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        self.offset += if found { token.len() } else { 0 };
        found
    }

    /// The name that stands here; empty if none does.
    fn word(&self) -> &'a str {
        let ends =
            |c: char| c.is_whitespace() || c.is_control() || "()<>@,;:\\\"/[]?={}".contains(c);
        let rest = self.rest();
        &rest[..rest.find(ends).unwrap_or(rest.len())]
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = self.word() == word;
        self.offset += if found { word.len() } else { 0 };
        found
    }

    fn at_keyword(&self, keyword: &str) -> bool {
        self.word().eq_ignore_ascii_case(keyword)
    }

    fn take_keyword(&mut self, keyword: &str) -> bool {
        let found = self.at_keyword(keyword);
        self.offset += if found { keyword.len() } else { 0 };
        found
    }

    fn expect_keyword(&mut self, keyword: &str, expected: &'static str) -> Result<(), RouteError> {
        match self.take_keyword(keyword) {
            true => Ok(()),
            false => Err(self.unexpected(expected)),
        }
    }

    fn skip_white(&mut self) {
        self.offset = self.text.len() - self.rest().trim_start().len();
    }

    fn skip_space(&mut self) {
        self.skip_white();
        while self.skip_comment() {
            self.skip_white();
        }
    }

    /// As `skip_space`, but a `/*` with nothing but space between it and the
    /// rest of the route is the source's last segment.
    fn skip_space_in_source(&mut self) {
        self.skip_white();
        while !self.at_last_segment() && self.skip_comment() {
            self.skip_white();
        }
    }

    fn at_last_segment(&self) -> bool {
        let Some(after) = self.rest().strip_prefix("/*") else {
            return false;
        };
        let after = Cursor {
            offset: self.text.len() - after.trim_start().len(),
            ..*self
        };
        after.at_keyword("INTO") || after.at_keyword("WHERE") || after.rest().starts_with("/*")
    }

    fn skip_comment(&mut self) -> bool {
        let can_close = self.offset + 2 <= self.last_comment_end;
        if !can_close || !self.rest().starts_with("/*") {
            return false;
        }
        let length = self.rest()[2..].find("*/").expect("the last `*/` is ahead");
        self.offset += length + 4;
        true
    }

    /// The column of the next character, from 1.
    fn column(&self) -> usize {
        self.text[..self.offset].chars().count() + 1
    }

    fn unexpected(&self, expected: &'static str) -> RouteError {
        let found = match (self.word(), self.rest().chars().next()) {
            (_, None) => "the end".into(),
            ("", Some(c)) => format!("`{}`", c.escape_debug()),
            (word, _) => format!(
                "`{}`",
                word.chars().take(60).collect::<String>().escape_debug()
            ),
        };
        RouteError::Unexpected {
            column: self.column(),
            found,
            expected,
        }
    }
}
