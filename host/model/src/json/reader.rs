//! The reader behind [`super::read`]: one pass, recursive by level.

use std::collections::HashSet;

use serde_json::Number;

use super::{
    Content, Document, JsonError, JsonLimits, JsonPath, Member, Node, Position, REPEATED_KEYS_MAX,
    RepeatedKey,
};

pub(super) struct Reader<'a> {
    text: &'a str,
    limits: JsonLimits,
    /// Offset of the next byte to look at; always on a character boundary
    /// when a position is asked for.
    offset: usize,
    values: usize,
    /// The last offset whose position was asked for; later ones are found by
    /// counting on from here, so that all of them together take linear time.
    known: (usize, Position),
    /// Keys and indices that lead to the value being read.
    trail: Vec<Step>,
    repeated_keys: Vec<RepeatedKey>,
}

enum Step {
    Key(String),
    Index(usize),
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str, limits: JsonLimits) -> Self {
        Self {
            text: text.strip_prefix('\u{feff}').unwrap_or(text),
            limits,
            offset: 0,
            values: 0,
            known: (0, Position::default()),
            trail: Vec::new(),
            repeated_keys: Vec::new(),
        }
    }

    pub(super) fn document(mut self) -> Result<Document, JsonError> {
        if self.text.len() > self.limits.size_max_bytes {
            let problem = format!("the text has {} bytes", self.text.len());
            return Err(self.error(
                problem,
                format!("at most {} bytes", self.limits.size_max_bytes),
            ));
        }
        self.skip_space();
        let root = self.value()?;
        self.skip_space();
        if self.offset < self.text.len() {
            return Err(self.unexpected("the end of the text"));
        }
        Ok(Document {
            root,
            repeated_keys: self.repeated_keys,
        })
    }

    fn value(&mut self) -> Result<Node, JsonError> {
        self.values += 1;
        if self.values > self.limits.values_max {
            let expected = format!("at most {} values", self.limits.values_max);
            return Err(self.error("the text has too many values".into(), expected));
        }
        let position = self.position();
        let content = match self.peek() {
            Some(b'{') => self.nested(Self::object)?,
            Some(b'[') => self.nested(Self::array)?,
            Some(b'"') => Content::String(self.string()?),
            Some(b'-' | b'0'..=b'9') => Content::Number(self.number()?),
            Some(b't') => self.word("true", Content::Bool(true))?,
            Some(b'f') => self.word("false", Content::Bool(false))?,
            Some(b'n') => self.word("null", Content::Null)?,
            _ => return Err(self.unexpected("a value")),
        };
        Ok(Node { position, content })
    }

    fn nested(
        &mut self,
        inner: fn(&mut Self) -> Result<Content, JsonError>,
    ) -> Result<Content, JsonError> {
        if self.trail.len() >= self.limits.depth_max {
            let expected = format!("at most {} levels", self.limits.depth_max);
            return Err(self.error(
                "arrays and objects stand too deep in each other".into(),
                expected,
            ));
        }
        inner(self)
    }

    fn object(&mut self) -> Result<Content, JsonError> {
        self.offset += 1;
        self.skip_space();
        let mut members = Vec::new();
        let mut keys = HashSet::new();
        if self.take(b'}') {
            return Ok(Content::Object(members));
        }
        loop {
            let key_position = self.position();
            if self.peek() != Some(b'"') {
                return Err(self.unexpected("a key in double quotes"));
            }
            let key = self.string()?;
            self.skip_space();
            if !self.take(b':') {
                return Err(self.unexpected("`:`"));
            }
            self.skip_space();
            self.trail.push(Step::Key(key.clone()));
            if !keys.insert(key.clone()) && self.repeated_keys.len() < REPEATED_KEYS_MAX {
                let path = self.path();
                self.repeated_keys.push(RepeatedKey {
                    path,
                    position: key_position,
                });
            }
            let value = self.value()?;
            self.trail.pop();
            members.push(Member {
                key,
                key_position,
                value,
            });
            self.skip_space();
            if self.take(b'}') {
                return Ok(Content::Object(members));
            }
            if !self.take(b',') {
                return Err(self.unexpected("`,` or `}`"));
            }
            self.skip_space();
        }
    }

    fn array(&mut self) -> Result<Content, JsonError> {
        self.offset += 1;
        self.skip_space();
        let mut items = Vec::new();
        if self.take(b']') {
            return Ok(Content::Array(items));
        }
        loop {
            self.trail.push(Step::Index(items.len()));
            items.push(self.value()?);
            self.trail.pop();
            self.skip_space();
            if self.take(b']') {
                return Ok(Content::Array(items));
            }
            if !self.take(b',') {
                return Err(self.unexpected("`,` or `]`"));
            }
            self.skip_space();
        }
    }

    fn word(&mut self, word: &str, content: Content) -> Result<Content, JsonError> {
        if !self.text[self.offset..].starts_with(word) {
            return Err(self.unexpected("a value"));
        }
        self.offset += word.len();
        Ok(content)
    }

    fn number(&mut self) -> Result<Number, JsonError> {
        let rest = &self.text[self.offset..];
        let is_part = |b: &u8| matches!(b, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        let length = rest.bytes().take_while(|b| is_part(b)).count();
        let number = rest[..length].parse().map_err(|_| {
            let shown: String = rest[..length].chars().take(40).collect();
            self.error(
                format!("`{shown}` is no number"),
                "a number in JSON's form and range".into(),
            )
        })?;
        self.offset += length;
        Ok(number)
    }

    fn string(&mut self) -> Result<String, JsonError> {
        self.offset += 1;
        let mut text = String::new();
        loop {
            let rest = &self.text[self.offset..];
            let plain = rest
                .bytes()
                .position(|b| matches!(b, b'"' | b'\\' | 0..=0x1f))
                .unwrap_or(rest.len());
            text.push_str(&rest[..plain]);
            self.offset += plain;
            match self.peek() {
                Some(b'"') => {
                    self.offset += 1;
                    return Ok(text);
                }
                Some(b'\\') => text.push(self.escape()?),
                Some(_) => {
                    let expected = "an escape such as `\\n`".into();
                    return Err(self.error("a control character stands in a text".into(), expected));
                }
                None => return Err(self.unexpected("`\"` at the end of a text")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        let c = match self.text.as_bytes().get(self.offset + 1) {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(),
            _ => return Err(self.bad_escape()),
        };
        self.offset += 2;
        Ok(c)
    }

    fn unicode_escape(&mut self) -> Result<char, JsonError> {
        let first = self.hex4(self.offset).ok_or_else(|| self.bad_escape())?;
        let (code, length) = match first {
            0xd800..=0xdbff => {
                let second = self
                    .hex4(self.offset + 6)
                    .filter(|low| (0xdc00..=0xdfff).contains(low));
                let low = second.ok_or_else(|| self.bad_escape())?;
                (0x1_0000 + ((first - 0xd800) << 10) + (low - 0xdc00), 12)
            }
            code => (code, 6),
        };
        let c = char::from_u32(code).ok_or_else(|| self.bad_escape())?;
        self.offset += length;
        Ok(c)
    }

    /// The value of `\uXXXX` at this offset.
    fn hex4(&self, offset: usize) -> Option<u32> {
        let digits = self
            .text
            .as_bytes()
            .get(offset..offset + 6)?
            .strip_prefix(b"\\u")?;
        digits.iter().try_fold(0, |code, digit| {
            Some(code * 16 + char::from(*digit).to_digit(16)?)
        })
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.offset).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.offset += usize::from(found);
        found
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.offset += 1;
        }
    }

    fn path(&self) -> JsonPath {
        self.trail
            .iter()
            .fold(JsonPath::root(), |path, step| match step {
                Step::Key(key) => path.key(key),
                Step::Index(index) => path.index(*index),
            })
    }

    /// The position of the current offset.
    fn position(&mut self) -> Position {
        let (from, mut position) = self.known;
        for c in self.text[from..self.offset].chars() {
            match c {
                '\n' => {
                    position = Position {
                        line: position.line + 1,
                        column: 1,
                    }
                }
                _ => position.column += 1,
            }
        }
        self.known = (self.offset, position);
        position
    }

    fn error(&mut self, problem: String, expected: String) -> JsonError {
        JsonError {
            position: self.position(),
            problem,
            expected,
        }
    }

    fn bad_escape(&mut self) -> JsonError {
        let expected = "`\\n` or its like, or `\\u` with four hexadecimal digits".into();
        self.error("an escape is not known".into(), expected)
    }

    fn unexpected(&mut self, expected: &str) -> JsonError {
        let problem = match self.text[self.offset..].chars().next() {
            Some(c) => format!("`{}` stands here", c.escape_default()),
            None => "the text ends here".into(),
        };
        self.error(problem, expected.into())
    }
}
