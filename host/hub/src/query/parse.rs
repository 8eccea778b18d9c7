//! Reads queries.
//!
//! Owns the grammar and the wording of its faults. Leaves words to the lexer.

use super::lexer::{self, Fault, Token, Word};
use super::syntax::{Aggregate, Column, ColumnValue, Constant, Expression, Path, Select};
use super::{COLUMNS_MAX, QUERY_MAX_BYTES, Query, QueryError, Source, Target};

mod expression;

pub(super) fn query(text: &str) -> Result<Query, QueryError> {
    read(text, |parser| parser.query())
}

pub(super) fn target(text: &str) -> Result<Target, QueryError> {
    read(text, |parser| parser.target())
}

/// Reads the whole text, and tells a fault by its column.
fn read<T>(
    text: &str,
    parse: impl FnOnce(&mut Parser<'_>) -> Result<T, Fault>,
) -> Result<T, QueryError> {
    let parsed = if text.len() > QUERY_MAX_BYTES {
        let problem = format!("the text has {} bytes", text.len());
        let expected = format!("at most {QUERY_MAX_BYTES} bytes");
        Err(Fault::new(0, problem, expected))
    } else {
        Parser::new(text).and_then(|mut parser| parse(&mut parser))
    };
    parsed.map_err(|fault| QueryError {
        column: text[..fault.at].chars().count() + 1,
        problem: fault.problem,
        expected: fault.expected,
    })
}

struct Parser<'a> {
    text: &'a str,
    next: Token,
    depth: usize,
    source: Source,
}

/// A path as it is written.
struct Written {
    names: Vec<String>,
    /// Whether it may begin with the name of the source: a name in brackets never is that.
    may_name_source: bool,
}

/// A column before the source is known.
struct WrittenColumn {
    aggregate: Option<Aggregate>,
    path: Option<Written>,
    alias: Option<String>,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Result<Self, Fault> {
        let next = lexer::token(text, 0)?;
        Ok(Self {
            text,
            next,
            depth: 0,
            source: Source::Devices,
        })
    }

    fn query(&mut self) -> Result<Query, Fault> {
        self.keyword("SELECT")?;
        let top = match self.take_keyword("TOP")? {
            true => Some(self.top()?),
            false => None,
        };
        let columns_at = self.next.start;
        let columns = self.columns()?;
        self.keyword("FROM")?;
        self.source = self.source()?;
        let select = self.select(columns);
        let condition = match self.take_keyword("WHERE")? {
            true => Some(self.expression()?),
            false => None,
        };
        let group_by = match self.take_keyword("GROUP")? {
            true => {
                self.keyword("BY")?;
                self.paths()?
            }
            false => Vec::new(),
        };
        self.end(condition.is_some(), !group_by.is_empty())?;
        let query = Query {
            select,
            top,
            source: self.source,
            condition,
            group_by,
        };
        check_columns(&query)
            .map_err(|(problem, expected)| Fault::new(columns_at, problem, expected))?;
        Ok(query)
    }

    /// `*`, nothing, a condition, or `FROM … [WHERE condition]`.
    fn target(&mut self) -> Result<Target, Fault> {
        let all = Some(Expression::Constant(Constant::Bool(true)));
        if self.next.word == Word::End {
            let (source, condition) = (Source::Devices, None);
            return Ok(Target { source, condition });
        }
        if self.take_mark("*")? {
            self.end(true, true)?;
            let (source, condition) = (Source::Devices, all);
            return Ok(Target { source, condition });
        }
        if !self.take_keyword("FROM")? {
            let condition = Some(self.expression()?);
            self.end(true, true)?;
            let source = Source::Devices;
            return Ok(Target { source, condition });
        }
        let at = self.next.start;
        self.source = self.source()?;
        if self.source == Source::Jobs {
            let problem = "jobs have no configurations";
            return Err(Fault::new(at, problem, "`devices` or `devices.modules`"));
        }
        let condition = match self.take_keyword("WHERE")? {
            true => Some(self.expression()?),
            false => all,
        };
        self.end(condition.is_some(), true)?;
        Ok(Target {
            source: self.source,
            condition,
        })
    }

    fn top(&mut self) -> Result<u64, Fault> {
        let Word::Number(number) = self.next.word else {
            return Err(self.unexpected("how many at most, as in `TOP 10`"));
        };
        if number < 1.0 || number.fract() != 0.0 || number > f64::from(u32::MAX) {
            let problem = format!("`TOP` is followed by {number}");
            return Err(Fault::new(
                self.next.start,
                problem,
                format!("a whole number from 1 to {}", u32::MAX),
            ));
        }
        self.advance()?;
        // Whole and in range.
        Ok(number as u64)
    }

    /// The columns as they are written; none for `*`.
    fn columns(&mut self) -> Result<Option<Vec<WrittenColumn>>, Fault> {
        if self.take_mark("*")? {
            return Ok(None);
        }
        let mut columns = Vec::new();
        loop {
            if columns.len() == COLUMNS_MAX {
                let problem = format!("there are more than {COLUMNS_MAX} columns");
                return Err(Fault::new(self.next.start, problem, "`FROM`"));
            }
            columns.push(self.column()?);
            if !self.take_mark(",")? {
                return Ok(Some(columns));
            }
        }
    }

    fn select(&self, columns: Option<Vec<WrittenColumn>>) -> Select {
        let Some(columns) = columns else {
            return Select::All;
        };
        let mut unnamed = 0;
        let columns = columns.into_iter().map(|column| {
            let path = column.path.map(|path| self.within_source(path));
            let value = match (column.aggregate, path) {
                (Some(aggregate), path) => ColumnValue::Aggregate(aggregate, path),
                (None, path) => {
                    ColumnValue::Path(path.expect("a column without a function is a path"))
                }
            };
            let key = match (&column.alias, &value) {
                (Some(alias), _) => alias.clone(),
                (None, ColumnValue::Path(path)) => path.last().to_owned(),
                (None, ColumnValue::Aggregate(..)) => {
                    unnamed += 1;
                    format!("${unnamed}")
                }
            };
            Column {
                value,
                alias: column.alias,
                key,
            }
        });
        Select::Columns(columns.collect())
    }

    fn column(&mut self) -> Result<WrittenColumn, Fault> {
        if !self.is_name() {
            return Err(self.unexpected("`*`, a path such as `tags.site`, or `COUNT()`"));
        }
        let at = self.next.start;
        let path = self.written()?;
        let is_call = self.next.word == Word::Mark("(") && path.names.len() == 1;
        let (aggregate, path) = match is_call {
            true => self.aggregate(&path.names[0], at)?,
            false => (None, Some(path)),
        };
        let alias = match self.take_keyword("AS")? {
            true => Some(self.alias()?),
            false => None,
        };
        Ok(WrittenColumn {
            aggregate,
            path,
            alias,
        })
    }

    fn aggregate(
        &mut self,
        name: &str,
        at: usize,
    ) -> Result<(Option<Aggregate>, Option<Written>), Fault> {
        let found = Aggregate::ALL
            .into_iter()
            .find(|aggregate| aggregate.name().eq_ignore_ascii_case(name));
        let Some(aggregate) = found else {
            let problem = format!("`{name}` is no function of a group");
            let expected = "`COUNT()`, `AVG(path)`, `SUM(path)`, `MIN(path)` or `MAX(path)`";
            return Err(Fault::new(at, problem, expected));
        };
        self.mark("(")?;
        let path = match aggregate {
            Aggregate::Count => None,
            _ => Some(self.written()?),
        };
        if !self.take_mark(")")? {
            return Err(self.unexpected(match aggregate {
                Aggregate::Count => "`)`: `COUNT` takes nothing",
                _ => "`)`",
            }));
        }
        Ok((Some(aggregate), path))
    }

    fn alias(&mut self) -> Result<String, Fault> {
        match self.next.word.clone() {
            Word::Bracketed(name) => {
                self.advance()?;
                Ok(name)
            }
            Word::Name(name) if !lexer::is_reserved(&name) => {
                self.advance()?;
                Ok(name)
            }
            _ => Err(self.unexpected("a name for the column")),
        }
    }

    fn source(&mut self) -> Result<Source, Fault> {
        const EXPECTED: &str = "`devices`, `devices.modules` or `devices.jobs`";
        if !self.take_keyword("devices")? {
            return Err(self.unexpected(EXPECTED));
        }
        if !self.take_mark(".")? {
            return Ok(Source::Devices);
        }
        if self.take_keyword("modules")? {
            return Ok(Source::Modules);
        }
        match self.take_keyword("jobs")? {
            true => Ok(Source::Jobs),
            false => Err(self.unexpected(EXPECTED)),
        }
    }

    fn paths(&mut self) -> Result<Vec<Path>, Fault> {
        let mut paths = Vec::new();
        loop {
            if paths.len() == COLUMNS_MAX {
                let problem = format!("there are more than {COLUMNS_MAX} paths to group by");
                return Err(Fault::new(self.next.start, problem, "the end of the query"));
            }
            paths.push(self.path()?);
            if !self.take_mark(",")? {
                return Ok(paths);
            }
        }
    }

    fn path(&mut self) -> Result<Path, Fault> {
        let written = self.written()?;
        Ok(self.within_source(written))
    }

    fn written(&mut self) -> Result<Written, Fault> {
        let may_name_source = matches!(self.next.word, Word::Name(_));
        let mut names = vec![self.name()?];
        while self.take_mark(".")? {
            match self.next.word.clone() {
                Word::Name(name) | Word::Bracketed(name) => {
                    names.push(name);
                    self.advance()?;
                }
                _ => return Err(self.unexpected("a name behind the point")),
            }
        }
        Ok(Written {
            names,
            may_name_source,
        })
    }

    /// The path as it is within a document: `devices.modules.moduleId` is `moduleId`.
    fn within_source(&self, written: Written) -> Path {
        let mut names = written.names;
        let source: Vec<&str> = self.source.name().split('.').collect();
        let names_source = written.may_name_source
            && names.len() > source.len()
            && names
                .iter()
                .zip(&source)
                .all(|(name, part)| name.eq_ignore_ascii_case(part));
        if names_source {
            names.drain(..source.len());
        }
        Path::new(names)
    }

    fn name(&mut self) -> Result<String, Fault> {
        if !self.is_name() {
            return Err(self.unexpected("a path such as `tags.site`"));
        }
        match self.advance()?.word {
            Word::Name(name) | Word::Bracketed(name) => Ok(name),
            _ => unreachable!("it was seen to be a name"),
        }
    }

    fn is_name(&self) -> bool {
        match &self.next.word {
            Word::Bracketed(_) => true,
            Word::Name(name) => !lexer::is_reserved(name),
            _ => false,
        }
    }

    /// Nothing may follow.
    fn end(&self, has_condition: bool, has_groups: bool) -> Result<(), Fault> {
        if self.next.word == Word::End {
            return Ok(());
        }
        Err(self.unexpected(match (has_condition, has_groups) {
            (false, false) => "`WHERE`, `GROUP BY` or the end of the query",
            (true, false) => "an operator such as `=` or `AND`, `GROUP BY` or the end of the query",
            (true, true) => "an operator such as `=` or `AND`, or the end",
            (false, true) => "`,` or the end of the query",
        }))
    }

    fn is_keyword(&self, keyword: &str) -> bool {
        matches!(&self.next.word, Word::Name(name) if name.eq_ignore_ascii_case(keyword))
    }

    fn take_keyword(&mut self, keyword: &str) -> Result<bool, Fault> {
        let found = self.is_keyword(keyword);
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    fn keyword(&mut self, keyword: &str) -> Result<(), Fault> {
        match self.take_keyword(keyword)? {
            true => Ok(()),
            false => Err(self.unexpected(&format!("`{keyword}`"))),
        }
    }

    fn take_mark(&mut self, mark: &str) -> Result<bool, Fault> {
        let found = matches!(&self.next.word, Word::Mark(found) if *found == mark);
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    fn mark(&mut self, mark: &str) -> Result<(), Fault> {
        match self.take_mark(mark)? {
            true => Ok(()),
            false => Err(self.unexpected(&format!("`{mark}`"))),
        }
    }

    /// The word that stands here; the next one takes its place.
    fn advance(&mut self) -> Result<Token, Fault> {
        let following = lexer::token(self.text, self.next.end)?;
        Ok(std::mem::replace(&mut self.next, following))
    }

    fn unexpected(&self, expected: &str) -> Fault {
        let problem = match &self.next.word {
            Word::End => "the text ends here".to_owned(),
            _ => format!("`{}` cannot stand here", self.next.text(self.text)),
        };
        Fault::new(self.next.start, problem, expected)
    }
}

impl Token {
    /// How the word is written, cut to a readable length.
    fn text(&self, text: &str) -> String {
        let mut shown = String::new();
        for character in text[self.start..self.end].chars().take(40) {
            match character {
                '\'' | '"' | '\\' => shown.push(character),
                other => shown.extend(other.escape_debug()),
            }
        }
        shown
    }
}

/// What cannot be answered: the problem, and what would be right.
fn check_columns(query: &Query) -> Result<(), (String, String)> {
    let Select::Columns(columns) = &query.select else {
        return match query.group_by.is_empty() {
            true => Ok(()),
            false => Err((
                "`*` has no value for a group".to_owned(),
                "the paths behind `GROUP BY`, `COUNT()` and such".to_owned(),
            )),
        };
    };
    if query.source == Source::Jobs {
        return Err(("jobs are answered whole".to_owned(), "`*`".to_owned()));
    }
    for (index, column) in columns.iter().enumerate() {
        if columns[..index].iter().any(|other| other.key == column.key) {
            return Err((
                format!("two columns are called `{}`", column.key),
                "another name for one of them, with `AS`".to_owned(),
            ));
        }
        if let ColumnValue::Path(path) = &column.value
            && query.is_grouped()
            && !query.group_by.contains(path)
        {
            return Err((
                format!("`{path}` has no single value for a group"),
                format!("`GROUP BY {path}`, or a function of it"),
            ));
        }
    }
    Ok(())
}
