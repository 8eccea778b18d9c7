//! What words of a condition mean together: the tree of values and operators.
//!
//! Owns grammar and precedence, and the faults of these. Leaves types and
//! names to [`super::check`]. Recursion is bounded by [`DEPTH_MAX`]; operators
//! in a row make one node, however many they are.

use super::error::{Fault, Span};
use super::hint;
use crate::route::lexer::{self, Keyword, Operator, Token, Word};

/// How deep parentheses, calls, `NOT` and `-` may stand in each other.
///
/// Reading and evaluating recurse by level, up to eight times each.
pub const DEPTH_MAX: usize = 32;

/// How many values and calls a condition may have.
pub const PARTS_MAX: usize = 1000;

/// A part of a condition, as it was written.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Syntax {
    pub(super) kind: Kind,
    pub(super) span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Text(String),
    Number(f64),
    Bool(bool),
    Null,
    Undefined,
    /// A name without `$`.
    Name,
    /// A name with `$`; in braces if it is escaped.
    Dollar {
        name: Span,
        is_escaped: bool,
    },
    Not(Box<Syntax>),
    Negate(Box<Syntax>),
    /// Operators of one precedence in a row.
    Chain {
        first: Box<Syntax>,
        rest: Vec<Link>,
    },
    Call {
        name: Span,
        /// What stands between the parentheses.
        inner: Span,
        arguments: Vec<Syntax>,
    },
}

/// An operator and what stands to the right of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Link {
    pub(super) operator: Operator,
    pub(super) place: Span,
    pub(super) right: Syntax,
}

/// Reads the condition that begins at an offset, up to `INTO` or the end, and
/// gives it with the offset of that.
///
/// # Errors
/// The first fault.
pub(super) fn condition(text: &str, offset: usize) -> Result<(Syntax, usize), Fault> {
    let mut parser = Parser::new(text, offset)?;
    let syntax = parser.expression(0)?;
    match parser.next.word {
        Word::End | Word::Keyword(Keyword::Into) => Ok((syntax, parser.next.span.start)),
        _ => Err(parser.no_operator()),
    }
}

/// How tightly an operator binds.
fn precedence(operator: Operator) -> u8 {
    use Operator::*;
    match operator {
        Coalesce => 0,
        Or => 1,
        And => 2,
        Equal | NotEqual => 3,
        Less | LessOrEqual | Greater | GreaterOrEqual => 4,
        Add | Subtract | Concat => 5,
        Multiply | Divide | Modulo => 6,
    }
}

struct Parser<'a> {
    text: &'a str,
    /// The word that was not taken yet.
    next: Token,
    /// The word that was taken last.
    last: Span,
    depth: usize,
    parts: usize,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, offset: usize) -> Result<Self, Fault> {
        Ok(Self {
            text,
            next: token(text, offset)?,
            last: Span::new(offset, offset),
            depth: 0,
            parts: 0,
        })
    }

    fn take(&mut self) -> Result<Token, Fault> {
        let next = token(self.text, self.next.span.end)?;
        let taken = std::mem::replace(&mut self.next, next);
        self.last = taken.span;
        Ok(taken)
    }

    /// Operators that bind at least as tightly as this.
    fn expression(&mut self, tightness: u8) -> Result<Syntax, Fault> {
        let mut left = self.operand()?;
        // What a chain of this row binds like; one in parentheses is closed.
        let mut row = None;
        while let Word::Operator(operator) = self.next.word {
            let binds = precedence(operator);
            if binds < tightness {
                break;
            }
            let place = self.take()?.span;
            let right = self.expression(binds + 1)?;
            let span = left.span.to(right.span);
            let link = Link {
                operator,
                place,
                right,
            };
            left = match left.kind {
                Kind::Chain { first, mut rest } if row == Some(binds) => {
                    rest.push(link);
                    let kind = Kind::Chain { first, rest };
                    Syntax { kind, span }
                }
                _ => {
                    let first = Box::new(left);
                    let rest = vec![link];
                    let kind = Kind::Chain { first, rest };
                    Syntax { kind, span }
                }
            };
            row = Some(binds);
        }
        Ok(left)
    }

    fn operand(&mut self) -> Result<Syntax, Fault> {
        self.parts += 1;
        if self.parts > PARTS_MAX {
            let problem = format!("the condition has more than {PARTS_MAX} parts");
            let expected = format!("at most {PARTS_MAX}");
            return Err(Fault::new(self.next.span, problem, expected));
        }
        let span = self.next.span;
        let kind = match &self.next.word {
            Word::Text(text) => Kind::Text(text.clone()),
            Word::Number(Some(number)) => Kind::Number(*number),
            Word::Number(None) => return Err(hint::exponent_alone(self.text, span)),
            Word::Keyword(Keyword::True) => Kind::Bool(true),
            Word::Keyword(Keyword::False) => Kind::Bool(false),
            Word::Keyword(Keyword::Null) => Kind::Null,
            Word::Keyword(Keyword::Undefined) => Kind::Undefined,
            Word::Keyword(Keyword::Not) => return self.nested(|parser| parser.prefix(Kind::Not)),
            Word::Operator(Operator::Subtract) => {
                return self.nested(|parser| parser.prefix(Kind::Negate));
            }
            Word::Dollar => {
                let (name, is_escaped) = (span, false);
                Kind::Dollar { name, is_escaped }
            }
            Word::Name => Kind::Name,
            Word::Mark('(') => return self.nested(Self::parentheses),
            Word::Mark('{') => return self.braces(),
            _ => return Err(self.no_operand()),
        };
        self.take()?;
        if kind == Kind::Name && self.next.word == Word::Mark('(') {
            return self.nested(|parser| parser.call(span));
        }
        Ok(Syntax { kind, span })
    }

    fn nested(
        &mut self,
        inner: impl FnOnce(&mut Self) -> Result<Syntax, Fault>,
    ) -> Result<Syntax, Fault> {
        if self.depth >= DEPTH_MAX {
            let problem = format!("more than {DEPTH_MAX} levels stand in each other");
            let expected = format!("at most {DEPTH_MAX}");
            return Err(Fault::new(self.next.span, problem, expected));
        }
        self.depth += 1;
        let syntax = inner(self)?;
        self.depth -= 1;
        Ok(syntax)
    }

    /// `NOT` or `-` with one value: both bind tighter than what stands
    /// between two, and `-` tighter than `NOT`.
    fn prefix(&mut self, kind: fn(Box<Syntax>) -> Kind) -> Result<Syntax, Fault> {
        let start = self.take()?.span;
        let operand = self.operand()?;
        let span = start.to(operand.span);
        Ok(Syntax {
            kind: kind(Box::new(operand)),
            span,
        })
    }

    fn parentheses(&mut self) -> Result<Syntax, Fault> {
        let start = self.take()?.span;
        let inner = self.expression(0)?;
        let end = self.close(start)?;
        // Without them in its kind: they only say what belongs together.
        let span = start.to(end);
        Ok(Syntax { span, ..inner })
    }

    /// The `)` to the `(` at `start`.
    fn close(&mut self, start: Span) -> Result<Span, Fault> {
        match self.next.word {
            Word::Mark(')') => Ok(self.take()?.span),
            Word::End | Word::Keyword(Keyword::Into) => {
                let (column, _) = start.columns(self.text);
                let expected = format!("`)` to the `(` in column {column}");
                Err(lexer::unexpected(self.text, self.next.span.start, expected))
            }
            _ => Err(self.no_operator()),
        }
    }

    fn braces(&mut self) -> Result<Syntax, Fault> {
        let start = self.take()?.span;
        let name = self.next.span;
        if self.next.word != Word::Dollar {
            return Err(self.unexpected("a name with `$`, as in `{$messageId}`"));
        }
        self.take()?;
        if self.next.word != Word::Mark('}') {
            return Err(self.unexpected("`}`"));
        }
        let end = self.take()?.span;
        let is_escaped = true;
        Ok(Syntax {
            kind: Kind::Dollar { name, is_escaped },
            span: start.to(end),
        })
    }

    fn call(&mut self, name: Span) -> Result<Syntax, Fault> {
        let open = self.take()?.span;
        let first = self.next.span.start;
        let mut arguments = Vec::new();
        if self.next.word != Word::Mark(')') {
            loop {
                arguments.push(self.expression(0)?);
                if self.next.word != Word::Mark(',') {
                    break;
                }
                self.take()?;
            }
        }
        let inner = Span::new(first, self.last.end.max(first));
        let end = self.close(open)?;
        Ok(Syntax {
            kind: Kind::Call {
                name,
                inner,
                arguments,
            },
            span: name.to(end),
        })
    }

    fn unexpected(&self, expected: &str) -> Fault {
        lexer::unexpected(self.text, self.next.span.start, expected)
    }

    /// The fault that no value stands where one has to.
    fn no_operand(&self) -> Fault {
        let fault = self.unexpected("a value, such as `as_number(temperature)` or 'hot'");
        hint::no_operand(self.text, &self.next, self.last, fault)
    }

    /// The fault that a value is followed by what is no operator.
    fn no_operator(&self) -> Fault {
        let expected = match self.depth {
            0 => "an operator such as `=` or AND, or the end of the condition",
            _ => "an operator such as `=` or AND, `,` or `)`",
        };
        let fault = self.unexpected(expected);
        hint::no_operator(self.text, &self.next, self.last, fault)
    }
}

/// The word at an offset, behind space and comments.
fn token(text: &str, offset: usize) -> Result<Token, Fault> {
    let mut at = offset;
    loop {
        at = text.len() - text[at..].trim_start_matches(lexer::is_space).len();
        let Some(comment) = text[at..].strip_prefix("/*") else {
            return lexer::token(text, at);
        };
        match comment.find("*/") {
            Some(length) => at += length + 4,
            None => {
                let span = Span::new(at, at + 2);
                let problem = "a comment begins here and does not end";
                return Err(Fault::new(span, problem, "`*/` behind it"));
            }
        }
    }
}
