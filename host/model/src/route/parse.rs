//! Reads the text of a route.
//!
//! Takes its words one by one from a cursor, since what a word is depends on
//! the place: after `FROM`, `/*` may be a source or open a comment, and a
//! source may hold keywords. The condition is read by
//! [`super::condition`].

use super::condition::error::{Fault, Span};
use super::condition::{Compatibility, Condition};
use super::{PRIORITY_DEFAULT, ROUTE_TEXT_MAX_BYTES, Route, RouteName, Sink, Source, lexer};
use crate::identity::ModuleId;
use crate::message::InputName;

pub(super) fn route(
    name: RouteName,
    text: &str,
    compatibility: Compatibility,
) -> Result<Route, Fault> {
    if text.len() > ROUTE_TEXT_MAX_BYTES {
        let problem = format!("the route has {} bytes", text.len());
        let expected = format!("at most {ROUTE_TEXT_MAX_BYTES} bytes");
        return Err(Fault::new(Span::new(0, 0), problem, expected));
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
    let condition = match cursor.take_keyword("WHERE") {
        true => {
            let (condition, end) =
                Condition::read(text, cursor.offset, compatibility, Some(&source))?;
            cursor.offset = end;
            cursor.expect_keyword("INTO", "INTO")?;
            condition
        }
        false => {
            cursor.expect_keyword("INTO", "`/`, WHERE or INTO")?;
            Condition::always()
        }
    };
    cursor.skip_space();
    let sink = sink(&mut cursor)?;
    cursor.skip_space();
    if !cursor.rest().is_empty() {
        return Err(cursor.unexpected("the end of the route"));
    }
    Ok(Route {
        name,
        source,
        condition,
        sink,
        priority: PRIORITY_DEFAULT,
        time_to_live: None,
        durability: None,
        when_full: None,
    })
}

fn source(cursor: &mut Cursor<'_>) -> Result<Source, Fault> {
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

fn sink(cursor: &mut Cursor<'_>) -> Result<Sink, Fault> {
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
    let start = cursor.offset;
    let (endpoint, end) = lexer::quoted(cursor.text, start)?;
    cursor.offset = end;
    cursor.skip_space();
    if !cursor.take(")") {
        return Err(cursor.unexpected("`)`"));
    }
    module_sink(&endpoint, Span::new(start, end))
}

/// Of the four parts only the second and the fourth count, as in IoT Edge.
fn module_sink(endpoint: &str, span: Span) -> Result<Sink, Fault> {
    let parts: Vec<&str> = endpoint
        .strip_prefix('/')
        .unwrap_or(endpoint)
        .split('/')
        .collect();
    let [_, module, _, input] = parts[..] else {
        let shown: String = endpoint.chars().take(200).collect();
        let problem = format!("`{}` is no endpoint", shown.escape_debug());
        let expected = "\"/modules/{module}/inputs/{input}\"";
        return Err(Fault::new(span, problem, expected));
    };
    let fault =
        |error: &dyn std::fmt::Display, expected| Fault::new(span, error.to_string(), expected);
    Ok(Sink::Module {
        module: ModuleId::new(module).map_err(|error| fault(&error, "the id of a module"))?,
        input: InputName::new(input).map_err(|error| fault(&error, "the name of an input"))?,
    })
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
        lexer::name(self.rest())
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

    fn expect_keyword(&mut self, keyword: &str, expected: &'static str) -> Result<(), Fault> {
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

    fn unexpected(&self, expected: &str) -> Fault {
        lexer::unexpected(self.text, self.offset, expected)
    }
}
