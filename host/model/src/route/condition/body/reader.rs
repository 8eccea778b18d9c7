//! Reads JSON onto a tape, in one pass and without recursion.
//!
//! It exists beside the reader with positions and beside serde since texts
//! and numbers stay where they are written: nothing is allocated for a value,
//! and a number that a condition asks for is rounded once, as those in the
//! condition are.

use super::tape::{Entry, Tape};
use super::{BODY_DEPTH_MAX, BODY_VALUES_MAX};

/// Reads a text that is one JSON object; none if it is something else, or
/// beyond the limits. A byte order mark before it is passed over.
pub(super) fn object(text: &str, tape: &mut Tape) -> Option<()> {
    let mark = '\u{feff}';
    let at = match text.starts_with(mark) {
        true => mark.len_utf8(),
        false => 0,
    };
    let mut reader = Reader {
        text,
        at,
        tape,
        open: [0; BODY_DEPTH_MAX],
        depth: 0,
    };
    reader.space();
    match reader.peek()? {
        b'{' => reader.values(),
        _ => None,
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    tape: &'a mut Tape,
    /// The entries of those arrays and objects that are open.
    open: [u32; BODY_DEPTH_MAX],
    depth: usize,
}

impl Reader<'_> {
    fn values(&mut self) -> Option<()> {
        loop {
            if self.value()? {
                continue;
            }
            // A value has ended.
            while let Some(container) = self.innermost() {
                let is_object = matches!(self.tape.entries[container], Entry::Object(_));
                self.space();
                match (self.next()?, is_object) {
                    (b',', true) => {
                        self.key()?;
                        break;
                    }
                    (b',', false) => break,
                    (b'}', true) | (b']', false) => self.close(container),
                    _ => return None,
                }
            }
            if self.depth == 0 {
                self.space();
                return (self.at == self.text.len()).then_some(());
            }
        }
    }

    /// Reads a value, and of an array or object that is not empty what stands
    /// before its first value: true, if that is to follow.
    fn value(&mut self) -> Option<bool> {
        self.space();
        let start = self.at;
        match self.peek()? {
            b'{' => return self.begin(Entry::Object(0), b'}'),
            b'[' => return self.begin(Entry::Array(0), b']'),
            b'"' => self.string()?,
            b't' => self.word("true", Entry::Bool(true))?,
            b'f' => self.word("false", Entry::Bool(false))?,
            b'n' => self.word("null", Entry::Null)?,
            _ => {
                self.number()?;
                self.push(Entry::Number(offset(start), offset(self.at)))?;
            }
        }
        Some(false)
    }

    fn begin(&mut self, entry: Entry, end: u8) -> Option<bool> {
        let container = self.tape.entries.len();
        *self.open.get_mut(self.depth)? = offset(container);
        self.depth += 1;
        self.at += 1;
        self.push(entry)?;
        self.space();
        if self.peek()? == end {
            self.at += 1;
            self.close(container);
            return Some(false);
        }
        if matches!(entry, Entry::Object(_)) {
            self.key()?;
        }
        Some(true)
    }

    fn close(&mut self, container: usize) {
        let end = offset(self.tape.entries.len());
        self.tape.entries[container] = match self.tape.entries[container] {
            Entry::Object(_) => Entry::Object(end),
            _ => Entry::Array(end),
        };
        self.depth -= 1;
    }

    fn innermost(&self) -> Option<usize> {
        let deepest = self.depth.checked_sub(1)?;
        Some(self.open[deepest] as usize)
    }

    fn key(&mut self) -> Option<()> {
        self.space();
        if self.peek()? != b'"' {
            return None;
        }
        self.string()?;
        self.space();
        (self.next()? == b':').then_some(())
    }

    fn word(&mut self, word: &str, entry: Entry) -> Option<()> {
        if !self.text[self.at..].starts_with(word) {
            return None;
        }
        self.at += word.len();
        self.push(entry)
    }

    /// Passes over a number: `-`, digits without a zero before others, a
    /// fraction, an exponent.
    fn number(&mut self) -> Option<()> {
        self.take(b"-");
        let first = self.peek()?;
        self.digits()?;
        let length = self.text[..self.at].bytes().rev();
        let length = length.take_while(u8::is_ascii_digit).count();
        if first == b'0' && length > 1 {
            return None;
        }
        if self.take(b".") {
            self.digits()?;
        }
        if self.take(b"eE") {
            self.take(b"+-");
            self.digits()?;
        }
        Some(())
    }

    fn digits(&mut self) -> Option<()> {
        let rest = self.text[self.at..].bytes();
        let length = rest.take_while(u8::is_ascii_digit).count();
        self.at += length;
        (length > 0).then_some(())
    }

    fn string(&mut self) -> Option<()> {
        self.at += 1;
        let start = self.at;
        self.plain();
        if self.peek()? == b'"' {
            let end = self.at;
            self.at += 1;
            return self.push(Entry::Text(offset(start), offset(end)));
        }
        let begin = self.tape.unescaped.len();
        let mut from = start;
        loop {
            self.tape.unescaped.push_str(&self.text[from..self.at]);
            match self.next()? {
                b'"' => break,
                b'\\' => {
                    let c = self.escape()?;
                    self.tape.unescaped.push(c);
                }
                _ => return None,
            }
            from = self.at;
            self.plain();
        }
        let end = self.tape.unescaped.len();
        self.push(Entry::Unescaped(offset(begin), offset(end)))
    }

    /// Passes over all that stands for itself in a text.
    fn plain(&mut self) {
        let rest = self.text.as_bytes()[self.at..].iter();
        let is_plain = |b: &&u8| !matches!(**b, b'"' | b'\\' | 0..=0x1f);
        self.at += rest.take_while(is_plain).count();
    }

    /// The character of an escape whose `\` was taken; of half a pair, the
    /// replacement character.
    fn escape(&mut self) -> Option<char> {
        Some(match self.next()? {
            c @ (b'"' | b'\\' | b'/') => char::from(c),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.hex4()?;
                let rest = self.at;
                let is_high = (0xd800..0xdc00).contains(&first);
                if is_high && self.text[rest..].starts_with("\\u") {
                    self.at += 2;
                    let second = self.hex4()?;
                    if let Some(Ok(c)) = char::decode_utf16([first, second]).next() {
                        return Some(c);
                    }
                    self.at = rest;
                }
                char::from_u32(first.into()).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            _ => return None,
        })
    }

    fn hex4(&mut self) -> Option<u16> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4)?;
        self.at += 4;
        digits.iter().try_fold(0, |code: u16, digit| {
            let digit = char::from(*digit).to_digit(16)?;
            Some(code * 16 + u16::try_from(digit).ok()?)
        })
    }

    fn push(&mut self, entry: Entry) -> Option<()> {
        let has_room = self.tape.entries.len() < BODY_VALUES_MAX;
        has_room.then(|| self.tape.entries.push(entry))
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn take(&mut self, any_of: &[u8]) -> bool {
        let found = self.peek().is_some_and(|byte| any_of.contains(&byte));
        self.at += usize::from(found);
        found
    }

    fn space(&mut self) {
        while self.take(b" \t\n\r") {}
    }
}

/// A message has at most 256 KiB, and a body of UTF-16 half as much again in
/// UTF-8; what is read never has 4 GiB.
fn offset(offset: usize) -> u32 {
    u32::try_from(offset).unwrap_or(u32::MAX)
}
