//! The words of routes and conditions.
//!
//! Owns where a word begins and ends, and what a text in quotes holds. Leaves
//! what words mean together to the two parsers, for routes and for
//! conditions, which take one word at a time: what a word is depends on the
//! place.

use winnow::Parser;
use winnow::ascii::{digit0, digit1, hex_digit1};
use winnow::combinator::{alt, opt, preceded};
use winnow::error::EmptyError;
use winnow::token::{one_of, take_while};

use super::condition::error::{Fault, Span};

/// A word of a condition.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Word {
    /// A text in quotes, without them and with its escapes replaced.
    Text(String),
    /// A number, which is none where there is an exponent alone.
    Number(Option<f64>),
    /// `true`, `false`, `null`, `undefined`, `AND`, `INTO` and such.
    Keyword(Keyword),
    /// `=`, `<>`, `||` and such.
    Operator(Operator),
    /// A name that begins with `$`, and may hold `[` and `]`.
    Dollar,
    /// A name.
    Name,
    /// A name with `[` or `]`, which is none.
    Path,
    /// `(`, `)`, `,`, `{` or `}`.
    Mark(char),
    /// A character that belongs to no word.
    Other,
    /// Nothing more.
    End,
}

/// A word that is no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keyword {
    True,
    False,
    Null,
    Undefined,
    Not,
    Select,
    From,
    Where,
    Into,
}

/// What stands between two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Coalesce,
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Add,
    Subtract,
    Concat,
    Multiply,
    Divide,
    Modulo,
}

/// A word and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) word: Word,
    pub(super) span: Span,
}

/// Whether a character can be part of a name.
///
/// Control characters and white space beyond ASCII cannot either: they get
/// into routes by copying, and nobody sees them there.
pub(super) fn is_name_char(c: char) -> bool {
    !(c.is_whitespace() || c.is_control() || "()<>@,;:\\\"/[]?={}".contains(c))
}

/// What separates words: nothing else may be invisible.
pub(super) fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

/// The name that a text begins with; empty if it begins with none.
pub(super) fn name(text: &str) -> &str {
    leading(text, is_name_char)
}

fn leading(text: &str, is_part: impl Fn(char) -> bool) -> &str {
    let mut rest = text;
    take_while::<_, _, EmptyError>(0.., is_part)
        .parse_next(&mut rest)
        .unwrap_or_default()
}

/// The word at an offset that is behind all space, comments included.
///
/// # Errors
/// A text without its end, or with an escape that is none.
pub(super) fn token(text: &str, offset: usize) -> Result<Token, Fault> {
    let rest = &text[offset..];
    let token = |word, length| {
        let span = Span::new(offset, offset + length);
        Ok(Token { word, span })
    };
    let name = name(rest);
    // Longer wins: `'a'b` is a name, though it begins as a text.
    if let Some(length) = quoted_length(rest)
        && length >= name.len()
    {
        return token(Word::Text(quoted(text, offset)?.0), length);
    }
    if rest.starts_with(['\'', '"']) && quoted_length(rest).is_none() {
        // The fault is told where the text is read.
        quoted(text, offset)?;
    }
    let path = leading(rest, |c| is_name_char(c) || matches!(c, '[' | ']'));
    if path.starts_with('$') && path.len() > 1 {
        return token(Word::Dollar, path.len());
    }
    if path.len() > name.len() {
        return token(Word::Path, path.len());
    }
    if let Some(number) = number(name) {
        return token(Word::Number(number), name.len());
    }
    if let Some(word) = keyword(name) {
        return token(word, name.len());
    }
    if let Some((operator, length)) = operator(rest)
        && length >= name.len()
    {
        return token(Word::Operator(operator), length);
    }
    match rest.chars().next() {
        None => token(Word::End, 0),
        _ if !name.is_empty() => token(Word::Name, name.len()),
        Some(mark @ ('(' | ')' | ',' | '{' | '}')) => token(Word::Mark(mark), 1),
        Some(other) => token(Word::Other, other.len_utf8()),
    }
}

/// The number that a whole word is: some without a value if it is an exponent
/// alone, which counts as a number nevertheless.
fn number(word: &str) -> Option<Option<f64>> {
    fn hexadecimal<'a>(input: &mut &'a str) -> Result<&'a str, EmptyError> {
        preceded(('0', one_of(['x', 'X'])), hex_digit1).parse_next(input)
    }
    fn decimal<'a>(input: &mut &'a str) -> Result<&'a str, EmptyError> {
        let exponent = || (one_of(['e', 'E']), opt(one_of(['+', '-'])), digit1).void();
        let real = (digit0, '.', digit1, opt(exponent())).void();
        let integer = (digit1, opt(exponent())).void();
        (opt('-'), alt((real, integer, exponent())))
            .take()
            .parse_next(input)
    }
    if let Ok(digits) = hexadecimal.parse(word) {
        let digits = digits.chars().filter_map(|digit| digit.to_digit(16));
        return Some(Some(
            digits.fold(0.0, |number, digit| number * 16.0 + f64::from(digit)),
        ));
    }
    decimal.parse(word).ok().map(|number| number.parse().ok())
}

fn keyword(word: &str) -> Option<Word> {
    Some(Word::Keyword(match word {
        "true" => Keyword::True,
        "false" => Keyword::False,
        "null" => Keyword::Null,
        "undefined" => Keyword::Undefined,
        _ => {
            let any_case: [(&str, Word); 7] = [
                ("NOT", Word::Keyword(Keyword::Not)),
                ("AND", Word::Operator(Operator::And)),
                ("OR", Word::Operator(Operator::Or)),
                ("SELECT", Word::Keyword(Keyword::Select)),
                ("FROM", Word::Keyword(Keyword::From)),
                ("WHERE", Word::Keyword(Keyword::Where)),
                ("INTO", Word::Keyword(Keyword::Into)),
            ];
            let found = any_case
                .into_iter()
                .find(|(known, _)| known.eq_ignore_ascii_case(word));
            return found.map(|(_, word)| word);
        }
    }))
}

/// The operator that a text begins with, and its length.
fn operator(text: &str) -> Option<(Operator, usize)> {
    // Those of two characters first.
    const SYMBOLS: [(&str, Operator); 14] = [
        ("??", Operator::Coalesce),
        ("!=", Operator::NotEqual),
        ("<>", Operator::NotEqual),
        ("<=", Operator::LessOrEqual),
        (">=", Operator::GreaterOrEqual),
        ("||", Operator::Concat),
        ("=", Operator::Equal),
        ("<", Operator::Less),
        (">", Operator::Greater),
        ("+", Operator::Add),
        ("-", Operator::Subtract),
        ("*", Operator::Multiply),
        ("/", Operator::Divide),
        ("%", Operator::Modulo),
    ];
    let found = SYMBOLS.iter().find(|(symbol, _)| text.starts_with(symbol));
    found.map(|(symbol, operator)| (*operator, symbol.len()))
}

/// The length of the text in quotes that stands here, quotes included; none
/// if there is none, or none that ends.
fn quoted_length(text: &str) -> Option<usize> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    let mut is_escaped = false;
    let end = text[1..].find(|c| {
        let is_end = c == quote && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        is_end
    });
    end.map(|end| end + 2)
}

/// Reads the text in single or double quotes that begins at an offset, with
/// the escapes `\'`, `\"`, `\\` and `\uXXXX`, and gives it with the offset
/// behind it.
///
/// # Errors
/// No quote stands there, the second quote is missing, or an escape is none.
pub(super) fn quoted(text: &str, offset: usize) -> Result<(String, usize), Fault> {
    let rest = &text[offset..];
    let Some(quote) = rest.chars().next().filter(|c| matches!(c, '\'' | '"')) else {
        return Err(unexpected(text, offset, "a text in quotes"));
    };
    let mut value = String::new();
    let mut at = offset + 1;
    loop {
        let plain = leading(&text[at..], |c| c != quote && c != '\\');
        value.push_str(plain);
        at += plain.len();
        match text[at..].chars().next() {
            Some('\\') => {
                let Some((c, length)) = escape(&text[at..]) else {
                    let expected = "an escape: `\\'`, `\\\"`, `\\\\` or `\\uXXXX`";
                    return Err(unexpected(text, at, expected));
                };
                value.push(c);
                at += length;
            }
            Some(_) => return Ok((value, at + 1)),
            None => {
                return Err(unexpected(text, at, "the quote at the end of the text"));
            }
        }
    }
}

/// The character of an escape, and the escape's length.
fn escape(text: &str) -> Option<(char, usize)> {
    match text.as_bytes().get(1)? {
        quoted @ (b'\'' | b'"' | b'\\') => Some((char::from(*quoted), 2)),
        b'u' => match hex4(text, 0)? {
            // Two escapes that stand for one character, as in UTF-16.
            high @ 0xd800..=0xdbff => {
                let low = hex4(text, 6).filter(|low| (0xdc00..=0xdfff).contains(low))?;
                let code = 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00);
                Some((char::from_u32(code)?, 12))
            }
            code => Some((char::from_u32(code)?, 6)),
        },
        _ => None,
    }
}

/// The value of `\uXXXX` at an offset.
fn hex4(text: &str, offset: usize) -> Option<u32> {
    let escape = text.as_bytes().get(offset..offset + 6)?;
    let digits = escape.strip_prefix(b"\\u")?;
    digits.iter().try_fold(0, |code, digit| {
        Some(code * 16 + char::from(*digit).to_digit(16)?)
    })
}

/// The fault that something else than this stands at an offset.
pub(super) fn unexpected(text: &str, offset: usize, expected: impl Into<String>) -> Fault {
    const SHOWN_MAX_CHARS: usize = 60;
    let rest = &text[offset..];
    let (found, length) = match (name(rest), rest.chars().next()) {
        (_, None) => ("the end".into(), 0),
        ("", Some(c)) if c.is_whitespace() || c.is_control() => (
            format!("the invisible `{}`", c.escape_unicode()),
            c.len_utf8(),
        ),
        ("", Some(c)) => (format!("`{c}`"), c.len_utf8()),
        (word, _) => {
            let shown: String = word.chars().take(SHOWN_MAX_CHARS).collect();
            (format!("`{}`", shown.escape_debug()), word.len())
        }
    };
    let span = Span::new(offset, offset + length);
    Fault::new(span, format!("{found} stands here"), expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[(&str, Word)]) {
        let mut offset = 0;
        let mut found = Vec::new();
        loop {
            offset += leading(&text[offset..], is_space).len();
            let token = token(text, offset).unwrap();
            if token.word == Word::End {
                break;
            }
            offset = token.span.end;
            found.push((&text[token.span.start..token.span.end], token.word));
        }
        assert_eq!(found, expected);
    }

    #[test]
    fn operators_join_into_names() {
        use Word::Name;
        for name in [
            "a-b", "a+1", "x*2", "a%b", "a!", "a|b", "a||b", "&&", "a.b", "a'b", "$", "1.",
        ] {
            check(name, &[(name, Name)]);
        }
        check(
            "a - b",
            &[
                ("a", Name),
                ("-", Word::Operator(Operator::Subtract)),
                ("b", Name),
            ],
        );
        check(
            "a!=b",
            &[
                ("a!", Name),
                ("=", Word::Operator(Operator::Equal)),
                ("b", Name),
            ],
        );
        check(
            "a != b",
            &[
                ("a", Name),
                ("!=", Word::Operator(Operator::NotEqual)),
                ("b", Name),
            ],
        );
        check(
            "a/b",
            &[
                ("a", Name),
                ("/", Word::Operator(Operator::Divide)),
                ("b", Name),
            ],
        );
        check("-a", &[("-a", Name)]);
        check("30abc", &[("30abc", Name)]);
        check("-0x10", &[("-0x10", Name)]);
    }

    #[test]
    fn the_longest_word_wins_and_texts_come_first() {
        check("'abc'", &[("'abc'", Word::Text("abc".into()))]);
        check("'abc'd", &[("'abc'd", Word::Name)]);
        check("'a b'", &[("'a b'", Word::Text("a b".into()))]);
        check("'a'||'b'", &[("'a'||'b'", Word::Name)]);
        check(
            "\"a\"||\"b\"",
            &[
                ("\"a\"", Word::Text("a".into())),
                ("||", Word::Operator(Operator::Concat)),
                ("\"b\"", Word::Text("b".into())),
            ],
        );
        check(
            r#"'\u0041\'\"\\'"#,
            &[(r#"'\u0041\'\"\\'"#, Word::Text("A'\"\\".into()))],
        );
        check(
            r"'\ud83d\ude00'",
            &[(r"'\ud83d\ude00'", Word::Text("😀".into()))],
        );
    }

    #[test]
    fn numbers_are_whole_words() {
        let number = |text, value| check(text, &[(text, Word::Number(value))]);
        number("30", Some(30.0));
        number("-1", Some(-1.0));
        number("0x1F", Some(31.0));
        number("0XfF", Some(255.0));
        number(".5", Some(0.5));
        number("-.5e1", Some(-5.0));
        number("1.5e-3", Some(0.0015));
        number("2e3", Some(2000.0));
        number("e5", None);
        number("-E+5", None);
        check("1.5.2", &[("1.5.2", Word::Name)]);
        check("e", &[("e", Word::Name)]);
    }

    #[test]
    fn keywords_are_whole_words_and_constants_have_one_case() {
        let keyword = |text, word| check(text, &[(text, Word::Keyword(word))]);
        keyword("true", Keyword::True);
        keyword("null", Keyword::Null);
        keyword("nOt", Keyword::Not);
        keyword("into", Keyword::Into);
        check("aNd", &[("aNd", Word::Operator(Operator::And))]);
        check("TRUE", &[("TRUE", Word::Name)]);
        check("Null", &[("Null", Word::Name)]);
        check("order", &[("order", Word::Name)]);
        check("not-a", &[("not-a", Word::Name)]);
    }

    #[test]
    fn only_names_with_a_dollar_hold_brackets() {
        check("$body.a[0].b", &[("$body.a[0].b", Word::Dollar)]);
        check("a[0]", &[("a[0]", Word::Path)]);
        check(
            "{$a}",
            &[
                ("{", Word::Mark('{')),
                ("$a", Word::Dollar),
                ("}", Word::Mark('}')),
            ],
        );
    }

    #[test]
    fn texts_without_an_end_are_refused_where_it_is_missing() {
        let check = |text: &str, at: usize| {
            assert_eq!(token(text, 0).unwrap_err().span.start, at, "{text}");
        };
        check("'abc", 4);
        check("\"abc'", 5);
        check(r"'a\q'", 2);
        check(r"'a\u12'", 2);
        check(r"'\ud800'", 1);
        check(r"'a\'", 4);
    }
}
