//! Reads conditions, from the loosest operator to the tightest.

use super::super::DEPTH_MAX;
use super::super::lexer::{Fault, Word};
use super::super::syntax::{Arithmetic, Comparison, Constant, Expression};
use super::Parser;

impl Parser<'_> {
    pub(super) fn expression(&mut self) -> Result<Expression, Fault> {
        self.any()
    }

    fn any(&mut self) -> Result<Expression, Fault> {
        let first = self.all()?;
        let mut parts = vec![first];
        while self.take_keyword("OR")? {
            parts.push(self.all()?);
        }
        Ok(one_or(parts, Expression::Any))
    }

    fn all(&mut self) -> Result<Expression, Fault> {
        let first = self.negation()?;
        let mut parts = vec![first];
        while self.take_keyword("AND")? {
            parts.push(self.negation()?);
        }
        Ok(one_or(parts, Expression::All))
    }

    fn negation(&mut self) -> Result<Expression, Fault> {
        if !self.is_keyword("NOT") {
            return self.comparison();
        }
        self.deeper(|parser| {
            parser.advance()?;
            Ok(Expression::Not(Box::new(parser.negation()?)))
        })
    }

    fn comparison(&mut self) -> Result<Expression, Fault> {
        let left = self.sum()?;
        let negated = self.is_keyword("NIN");
        if negated || self.is_keyword("IN") {
            self.advance()?;
            let list = self.list()?;
            self.no_second_comparison()?;
            let value = Box::new(left);
            return Ok(Expression::In {
                value,
                negated,
                list,
            });
        }
        let Some(comparison) = comparison_of(&self.next.word) else {
            return Ok(left);
        };
        self.advance()?;
        let right = self.sum()?;
        self.no_second_comparison()?;
        let (left, right) = (Box::new(left), Box::new(right));
        Ok(Expression::Compare(left, comparison, right))
    }

    fn no_second_comparison(&self) -> Result<(), Fault> {
        let is_list = self.is_keyword("IN") || self.is_keyword("NIN");
        match is_list || comparison_of(&self.next.word).is_some() {
            true => Err(self.unexpected("`AND`, `OR` or parentheses around one comparison")),
            false => Ok(()),
        }
    }

    fn sum(&mut self) -> Result<Expression, Fault> {
        let first = self.product()?;
        let mut rest = Vec::new();
        loop {
            let operator = match self.next.word {
                Word::Mark("+") => Arithmetic::Add,
                Word::Mark("-") => Arithmetic::Subtract,
                _ => break,
            };
            self.advance()?;
            rest.push((operator, self.product()?));
        }
        Ok(match rest.is_empty() {
            true => first,
            false => Expression::Sum(Box::new(first), rest),
        })
    }

    fn product(&mut self) -> Result<Expression, Fault> {
        let first = self.unary()?;
        let mut rest = Vec::new();
        loop {
            let operator = match self.next.word {
                Word::Mark("*") => Arithmetic::Multiply,
                Word::Mark("/") => Arithmetic::Divide,
                Word::Mark("%") => Arithmetic::Modulo,
                _ => break,
            };
            self.advance()?;
            rest.push((operator, self.unary()?));
        }
        Ok(match rest.is_empty() {
            true => first,
            false => Expression::Product(Box::new(first), rest),
        })
    }

    fn unary(&mut self) -> Result<Expression, Fault> {
        if self.next.word != Word::Mark("-") {
            return self.atom();
        }
        self.deeper(|parser| {
            parser.advance()?;
            Ok(Expression::Negate(Box::new(parser.unary()?)))
        })
    }

    fn atom(&mut self) -> Result<Expression, Fault> {
        if let Some(constant) = self.constant()? {
            return Ok(Expression::Constant(constant));
        }
        if self.next.word == Word::Mark("(") {
            let at = self.next.start;
            return self.deeper(|parser| {
                parser.advance()?;
                let inner = parser.expression()?;
                parser.close(at)?;
                Ok(inner)
            });
        }
        if self.is_keyword("IS_DEFINED") {
            self.advance()?;
            let at = self.next.start;
            self.mark("(")?;
            let path = self.path()?;
            self.close(at)?;
            return Ok(Expression::IsDefined(path));
        }
        if !self.is_name() {
            let expected = "a value, such as `tags.site`, 'text', 5 or `IS_DEFINED(tags.site)`";
            return Err(self.unexpected(expected));
        }
        let name = self.next.clone();
        let path = self.path()?;
        if self.next.word == Word::Mark("(") {
            let problem = format!("`{}` is no function here", name.text(self.text));
            return Err(Fault::new(
                name.start,
                problem,
                "`IS_DEFINED(path)`, the only one",
            ));
        }
        Ok(Expression::Path(path))
    }

    fn list(&mut self) -> Result<Vec<Constant>, Fault> {
        let at = self.next.start;
        if !self.take_mark("[")? {
            return Err(self.unexpected("`[` and the values, as in `IN ['a', 'b']`"));
        }
        let mut list = Vec::new();
        loop {
            let is_negative = self.take_mark("-")?;
            match (self.constant()?, is_negative) {
                (Some(Constant::Number(number)), true) => list.push(Constant::Number(-number)),
                (Some(constant), false) => list.push(constant),
                _ => return Err(self.unexpected("a text, a number, true, false or null")),
            }
            if !self.take_mark(",")? {
                break;
            }
        }
        match self.take_mark("]")? {
            true => Ok(list),
            false => {
                let column = self.text[..at].chars().count() + 1;
                Err(self.unexpected(&format!("`,` or `]` to the `[` in column {column}")))
            }
        }
    }

    /// The constant that stands here, if one does.
    fn constant(&mut self) -> Result<Option<Constant>, Fault> {
        let constant = match &self.next.word {
            Word::Text(text) => Constant::Text(text.clone()),
            Word::Number(number) => Constant::Number(*number),
            Word::Name(_) if self.is_keyword("true") => Constant::Bool(true),
            Word::Name(_) if self.is_keyword("false") => Constant::Bool(false),
            Word::Name(_) if self.is_keyword("null") => Constant::Null,
            Word::Name(_) if self.is_keyword("undefined") => Constant::Undefined,
            _ => return Ok(None),
        };
        self.advance()?;
        Ok(Some(constant))
    }

    fn deeper<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        if self.depth == DEPTH_MAX {
            let problem = "parentheses, `NOT` and `-` stand too deep in each other";
            let expected = format!("at most {DEPTH_MAX} in each other");
            return Err(Fault::new(self.next.start, problem, expected));
        }
        self.depth += 1;
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    fn close(&mut self, open: usize) -> Result<(), Fault> {
        match self.take_mark(")")? {
            true => Ok(()),
            false => {
                let column = self.text[..open].chars().count() + 1;
                Err(self.unexpected(&format!(
                    "an operator, or `)` to the `(` in column {column}"
                )))
            }
        }
    }
}

fn one_or(
    mut parts: Vec<Expression>,
    several: impl FnOnce(Vec<Expression>) -> Expression,
) -> Expression {
    match parts.len() {
        1 => parts.remove(0),
        _ => several(parts),
    }
}

fn comparison_of(word: &Word) -> Option<Comparison> {
    Some(match word {
        Word::Mark("=") => Comparison::Equal,
        Word::Mark("!=" | "<>") => Comparison::NotEqual,
        Word::Mark("<") => Comparison::Less,
        Word::Mark("<=") => Comparison::LessOrEqual,
        Word::Mark(">") => Comparison::Greater,
        Word::Mark(">=") => Comparison::GreaterOrEqual,
        _ => return None,
    })
}
