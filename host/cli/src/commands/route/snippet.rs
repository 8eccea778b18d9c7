//! A fault under the text that it is in: the line, and carets below what is wrong.

use std::fmt;

use wasm_edge_model::route::condition::CompileError;

/// How much of a line is shown, in characters.
const SHOWN_MAX_CHARS: usize = 100;

/// How much of it stands before what is wrong, at most.
const BEFORE_MAX_CHARS: usize = 60;

/// An error with the line of the text that it is about.
#[derive(Debug)]
pub(crate) struct Marked {
    error: CompileError,
    line: String,
    carets: String,
}

impl Marked {
    pub(crate) fn new(text: &str, error: CompileError) -> Self {
        let characters: Vec<char> = text.chars().collect();
        let at = (error.column - 1).min(characters.len());
        let is_break = |c: &char| matches!(c, '\n' | '\r');
        let start = characters[..at].iter().rposition(is_break);
        let start = start.map_or(0, |index| index + 1);
        let rest = &characters[start..];
        let line = &rest[..rest.iter().position(is_break).unwrap_or(rest.len())];
        let before = at - start;
        let cut = before.saturating_sub(BEFORE_MAX_CHARS);
        // Each character takes one place, whatever it is shown as.
        let shown: String = line[cut.min(line.len())..]
            .iter()
            .take(SHOWN_MAX_CHARS)
            .map(|c| match c.is_control() || c.is_whitespace() {
                true => ' ',
                false => *c,
            })
            .collect();
        let room = shown.chars().count().saturating_sub(before - cut);
        let carets = "^".repeat(error.width.min(room).max(1));
        Self {
            line: shown,
            carets: format!("{}{carets}", " ".repeat(before - cut)),
            error,
        }
    }
}

impl std::error::Error for Marked {}

impl fmt::Display for Marked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CompileError {
            column,
            problem,
            expected,
            ..
        } = &self.error;
        write!(f, "column {column}: {problem}; expected {expected}")?;
        write!(f, "\n  {}\n  {}", self.line.trim_end(), self.carets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, column: usize, width: usize, expected: &str) {
        let error = CompileError {
            column,
            width,
            problem: "p".into(),
            expected: "e".into(),
            fix: None,
        };
        let expected = format!("column {column}: p; expected e\n{expected}");
        assert_eq!(Marked::new(text, error).to_string(), expected);
    }

    #[test]
    fn carets_stand_below_what_is_wrong() {
        check("a > 1", 3, 1, "  a > 1\n    ^");
        check("ä > 'ö'", 5, 3, "  ä > 'ö'\n      ^^^");
        check("a =", 4, 0, "  a =\n     ^");
        check("", 1, 0, "  \n  ^");
        check("a\tb", 3, 1, "  a b\n    ^");
    }

    #[test]
    fn of_many_lines_the_one_is_shown() {
        check("FROM /*\nWHERE a\nINTO b", 15, 1, "  WHERE a\n        ^");
        check("a\nb", 1, 3, "  a\n  ^");
        check("a\n", 3, 0, "  \n  ^");
    }

    #[test]
    fn long_lines_are_cut_around_it() {
        let text = format!("{}!{}", "a".repeat(500), "b".repeat(500));
        let line = format!("{}!{}", "a".repeat(60), "b".repeat(39));
        let carets = format!("{}{}", " ".repeat(60), "^".repeat(40));
        check(&text, 501, 400, &format!("  {line}\n  {carets}"));
    }
}
