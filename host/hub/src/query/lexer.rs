//! The words of a query.
//!
//! Owns where a word begins and ends, and what names, numbers and texts hold.
//! Leaves what words mean together to the parser, which takes one at a time.

use winnow::Parser;
use winnow::ascii::{digit1, hex_digit1};
use winnow::combinator::{alt, opt, preceded};
use winnow::error::EmptyError;
use winnow::token::{one_of, take_while};

/// A word.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Word {
    /// A name or a keyword.
    Name(String),
    /// A name in brackets: never a keyword.
    Bracketed(String),
    /// A text in quotes, with its escapes replaced.
    Text(String),
    /// A number, finite.
    Number(f64),
    /// An operator, a comma, a point, a parenthesis or a bracket.
    Mark(&'static str),
    /// Nothing more.
    End,
}

/// A word and where it stands, in bytes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) word: Word,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// What is wrong, at an offset in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) at: usize,
    pub(super) problem: String,
    pub(super) expected: String,
}

impl Fault {
    pub(super) fn new(at: usize, problem: impl Into<String>, expected: impl Into<String>) -> Self {
        Self {
            at,
            problem: problem.into(),
            expected: expected.into(),
        }
    }
}

/// Longer ones first.
const MARKS: [&str; 19] = [
    "!=", "<>", "<=", ">=", "=", "<", ">", "+", "-", "*", "/", "%", "(", ")", "[", "]", ",", ".",
    ";",
];

/// Words that are no names unless in brackets or behind a point.
const RESERVED: [&str; 18] = [
    "SELECT",
    "TOP",
    "AS",
    "FROM",
    "WHERE",
    "GROUP",
    "BY",
    "AND",
    "OR",
    "NOT",
    "IN",
    "NIN",
    "TRUE",
    "FALSE",
    "NULL",
    "UNDEFINED",
    "IS_DEFINED",
    "ORDER",
];

/// Whether a word is no name unless in brackets.
pub(super) fn is_reserved(word: &str) -> bool {
    RESERVED
        .iter()
        .any(|reserved| reserved.eq_ignore_ascii_case(word))
}

/// Whether a name can be written without brackets.
pub(super) fn is_plain_name(name: &str) -> bool {
    name.starts_with(is_name_start) && name.chars().all(is_name_part)
}

fn is_name_start(c: char) -> bool {
    c.is_alphabetic() || matches!(c, '_' | '$')
}

fn is_name_part(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '$')
}

/// The word at or behind an offset.
///
/// # Errors
/// A text or a bracket without its end, an escape that is none, a number that is none, a character
/// that belongs to no word.
pub(super) fn token(text: &str, offset: usize) -> Result<Token, Fault> {
    let rest = text[offset..].trim_start_matches([' ', '\t', '\r', '\n']);
    let start = text.len() - rest.len();
    let token = |word, length| {
        Ok(Token {
            word,
            start,
            end: start + length,
        })
    };
    let Some(first) = rest.chars().next() else {
        return token(Word::End, 0);
    };
    if let Some(inner) = rest.strip_prefix("[[") {
        let Some(length) = inner.find("]]") else {
            let problem = "a name in brackets begins here and does not end";
            return Err(Fault::new(start, problem, "`]]` behind the name"));
        };
        if length == 0 {
            return Err(Fault::new(
                start,
                "the brackets are empty",
                "a name in them",
            ));
        }
        return token(Word::Bracketed(inner[..length].to_owned()), length + 4);
    }
    if is_name_start(first) {
        let name = leading(rest, is_name_part);
        return token(Word::Name(name.to_owned()), name.len());
    }
    if first.is_ascii_digit() {
        let (value, length) =
            number(rest).map_err(|(problem, expected)| Fault::new(start, problem, expected))?;
        return token(Word::Number(value), length);
    }
    if matches!(first, '\'' | '"') {
        let (value, length) = quoted(rest, first, start)?;
        return token(Word::Text(value), length);
    }
    match MARKS.iter().find(|mark| rest.starts_with(**mark)) {
        Some(mark) => token(Word::Mark(mark), mark.len()),
        None => {
            let problem = format!("`{}` belongs to no word", first.escape_debug());
            let expected = "a name, a number, a text in quotes or an operator";
            Err(Fault::new(start, problem, expected))
        }
    }
}

fn leading(text: &str, is_part: impl Fn(char) -> bool) -> &str {
    let mut rest = text;
    take_while::<_, _, EmptyError>(0.., is_part)
        .parse_next(&mut rest)
        .unwrap_or_default()
}

/// The number that a text begins with, and how long it is.
fn number(text: &str) -> Result<(f64, usize), (String, String)> {
    let written = leading(text, is_name_part);
    let mut rest = text;
    let mut hexadecimal = preceded::<_, _, _, EmptyError, _, _>(alt(("0x", "0X")), hex_digit1);
    if let Ok(digits) = hexadecimal.parse_next(&mut rest) {
        let length = text.len() - rest.len();
        let value = u64::from_str_radix(digits, 16);
        return match value {
            _ if length != written.len() => Err(no_number(written)),
            // Exactness ends at 2^53, as for every number of a twin.
            Ok(value) => Ok((value as f64, length)),
            Err(_) => Err((
                format!("`{written}` is too large"),
                "at most 16 hexadecimal digits".to_owned(),
            )),
        };
    }
    let mut rest = text;
    let exponent = (one_of(['e', 'E']), opt(one_of(['+', '-'])), digit1);
    let taken = (digit1::<_, EmptyError>, opt(('.', digit1)), opt(exponent))
        .take()
        .parse_next(&mut rest)
        .unwrap_or_default();
    if rest.starts_with(is_name_part) {
        return Err(no_number(written));
    }
    match taken.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok((value, taken.len())),
        _ => Err((
            format!("`{taken}` is too large"),
            "a number below 1.8e308".to_owned(),
        )),
    }
}

fn no_number(written: &str) -> (String, String) {
    (
        format!("`{written}` is neither a number nor a name"),
        format!("a number, or a name in brackets: `[[{written}]]`"),
    )
}

/// The text in quotes that `text` begins with, and how long it is with them.
fn quoted(text: &str, quote: char, start: usize) -> Result<(String, usize), Fault> {
    let mut value = String::new();
    let mut characters = text.char_indices().skip(1);
    while let Some((index, character)) = characters.next() {
        if character == quote {
            return Ok((value, index + 1));
        }
        if character != '\\' {
            value.push(character);
            continue;
        }
        match characters.next() {
            Some((_, escaped @ ('\'' | '"' | '\\'))) => value.push(escaped),
            Some((at, 'u')) => {
                let digits = text.get(at + 1..at + 5).unwrap_or_default();
                let unit = (digits.len() == 4)
                    .then(|| u16::from_str_radix(digits, 16).ok())
                    .flatten()
                    .filter(|_| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
                let character = unit.and_then(|unit| char::from_u32(u32::from(unit)));
                let Some(character) = character else {
                    let problem = "`\\u` is followed by no character's number";
                    let expected = "four hexadecimal digits of one character, as in `\\u00e4`";
                    return Err(Fault::new(start + index, problem, expected));
                };
                value.push(character);
                characters.nth(3);
            }
            Some((_, other)) => {
                let problem = format!("`\\{}` is no escape", other.escape_debug());
                let expected = r#"`\'`, `\"`, `\\` or `\uXXXX`"#;
                return Err(Fault::new(start + index, problem, expected));
            }
            None => break,
        }
    }
    let expected = format!("`{quote}` behind it");
    Err(Fault::new(
        start,
        "a text begins here and does not end",
        expected,
    ))
}
