//! What people meant who wrote something else: faults with a guess.
//!
//! Owns the wording of faults that need more than the place and the word that
//! stands there, and of what is odd though it may stand. Decides nothing
//! about what a condition means.

use super::Compatibility;
use super::error::{Fault, Span};
use super::function::{SIGNATURES, Signature, TWIN_CHANGE_INCLUDES};
use super::reference::{Reference, System};
use super::syntax::{Kind as Written, Link, Syntax};
use super::value::Type;
use crate::message::SystemProperty;
use crate::route::lexer::{Operator, Token, Word};

/// How much of what was written is repeated.
const SHOWN_MAX_CHARS: usize = 60;

/// A part of a condition whose type was looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Operand {
    pub(super) span: Span,
    pub(super) result: Type,
    /// Whether it is a name without `$`.
    pub(super) is_name: bool,
    /// Whether it is a name of any kind.
    pub(super) is_reference: bool,
}

/// What was written, cut to a readable length.
pub(super) fn shown(written: &str) -> String {
    match written.char_indices().nth(SHOWN_MAX_CHARS) {
        Some((end, _)) => format!("{}…", &written[..end]),
        None => written.to_owned(),
    }
}

pub(super) fn exponent_alone(text: &str, span: Span) -> Fault {
    let problem = format!(
        "`{}` is read as a number, of which only the exponent is there",
        span.of(text)
    );
    Fault::new(
        span,
        problem,
        "a number such as `1e5`; no property can have this name here",
    )
}

/// A value was expected behind `last`, and `next` stands there.
pub(super) fn no_operand(text: &str, next: &Token, last: Span, fault: Fault) -> Fault {
    let both = Span::new(last.start, next.span.end);
    let meant = match (last.of(text), next.span.of(text)) {
        ("=", "=") => "=",
        ("=", ">") => ">=",
        ("=", "<") => "<=",
        ("=", ">=" | "<=") => next.span.of(text),
        ("<", "<") => "<",
        _ => "",
    };
    if !meant.is_empty() {
        let problem = format!("`{}` is no operator", both.of(text));
        let fault = Fault::new(both, problem, format!("`{meant}`"));
        return fault;
    }
    match &next.word {
        Word::Path => {
            let word = next.span.of(text);
            let problem = format!(
                "`{}` is no name: brackets stand in `$body` paths only",
                shown(word)
            );
            Fault::new(next.span, problem, "a value").fix(format!("$body.{word}"))
        }
        Word::Keyword(_) => {
            let problem = format!("`{}` is a word of the language", next.span.of(text));
            Fault::new(next.span, problem, fault.expected)
        }
        _ => fault,
    }
}

/// An operator was expected behind `last`, and `next` stands there.
pub(super) fn no_operator(text: &str, next: &Token, last: Span, fault: Fault) -> Fault {
    let (before, word) = (last.of(text), next.span.of(text));
    let is_word = matches!(next.word, Word::Name | Word::Number(_) | Word::Path);
    let meant = match word.to_ascii_uppercase().as_str() {
        "&&" | "&" => Some(("AND", None)),
        "|" => Some(("OR", None)),
        "IN" => Some(("`=` with OR between", None)),
        "LIKE" => Some(("a function such as `starts_with` or `contains`", None)),
        "BETWEEN" => Some(("`>=` AND `<=`", None)),
        "IS" => Some((
            "`is_null(...)` or `is_defined(...)`",
            Some(format!("is_null({before})")),
        )),
        _ => None,
    };
    if let Some((expected, fix)) = meant {
        let problem = format!("`{word}` is no operator");
        let fault = Fault::new(next.span, problem, expected);
        return match fix {
            Some(fix) => fault.fix(fix),
            None => fault,
        };
    }
    match word.chars().next() {
        Some(sign @ ('-' | '+' | '*' | '%')) if is_word && word.len() > 1 => {
            let problem = format!("`{}` is one word", shown(word));
            let expected = "spaces on both sides of an operator";
            Fault::new(next.span, problem, expected).fix(format!("{before} {sign} {}", &word[1..]))
        }
        _ if is_word && next.word != Word::Path => {
            let fault = Fault {
                expected: format!("{}; a text stands in quotes", fault.expected),
                ..fault
            };
            match is_plain(before) {
                true => fault.fix(format!("'{before} {word}'")),
                false => fault,
            }
        }
        _ => fault,
    }
}

fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_')
}

/// # Errors
/// The operand is no number.
pub(super) fn number(text: &str, operand: Operand) -> Result<(), Fault> {
    match operand.result {
        Type::Number | Type::Any | Type::Undefined | Type::Null => Ok(()),
        Type::Bool | Type::Text => Err(wrong_type(text, operand, "a number")),
    }
}

/// # Errors
/// The operand is no text.
pub(super) fn text(text: &str, operand: Operand) -> Result<(), Fault> {
    match operand.result {
        Type::Text | Type::Any | Type::Undefined => Ok(()),
        Type::Bool | Type::Number | Type::Null => Err(wrong_type(text, operand, "a text")),
    }
}

/// An argument of another type than the function takes.
pub(super) fn argument(text: &str, operand: Operand, expected: &str, wants_number: bool) -> Fault {
    match wants_number {
        true => wrong_type(text, operand, "a number"),
        false => Fault::new(operand.span, is(text, operand), expected),
    }
}

fn wrong_type(text: &str, operand: Operand, expected: &str) -> Fault {
    let fault = Fault::new(operand.span, is(text, operand), expected);
    match (expected, operand.result) {
        ("a number", Type::Text) => match as_number(text, operand) {
            Some(fix) => fault.fix(fix),
            None => fault,
        },
        _ => fault,
    }
}

fn is(text: &str, operand: Operand) -> String {
    format!("`{}` is {}", shown(operand.span.of(text)), operand.result)
}

/// A text as a number: by the function, or without its quotes.
fn as_number(text: &str, operand: Operand) -> Option<String> {
    let written = operand.span.of(text);
    if let Some((left, sign, right)) = joined(written).filter(|_| operand.is_name) {
        let side = |side: &str| match side.parse::<f64>() {
            Ok(_) => side.to_owned(),
            Err(_) => format!("as_number({side})"),
        };
        return Some(format!("{} {sign} {}", side(left), side(right)));
    }
    if let Some(inner) = unquoted(written) {
        return inner.parse::<f64>().is_ok().then(|| inner.to_owned());
    }
    Some(format!("as_number({written})"))
}

fn unquoted(written: &str) -> Option<&str> {
    let quote = written.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    written.strip_prefix(quote)?.strip_suffix(quote)
}

/// The two sides of a name that looks like arithmetic: `a-1`, `x*2`. Many
/// names have a `-`, so that this needs a number behind it.
fn joined(name: &str) -> Option<(&str, char, &str)> {
    let (index, sign) = name.char_indices().rfind(|(_, c)| "+-*%".contains(*c))?;
    let (left, right) = (&name[..index], &name[index + 1..]);
    let is_sum = sign != '-' || right.parse::<f64>().is_ok();
    (!left.is_empty() && !right.is_empty() && is_sum).then_some((left, sign, right))
}

/// Two values of types that are never equal.
pub(super) fn comparison(text: &str, left: Operand, link: &Link, right: Operand) -> Fault {
    let fault = two_types(text, left.span.to(right.span), left, right);
    let operator = link.place.of(text);
    let (left_text, right_text) = (left.span.of(text), right.span.of(text));
    let fix = match (left.result, right.result) {
        (Type::Text, Type::Number) => {
            as_number(text, left).map(|left| format!("{left} {operator} {right_text}"))
        }
        (Type::Number, Type::Text) => {
            as_number(text, right).map(|right| format!("{left_text} {operator} {right}"))
        }
        (Type::Text, Type::Bool) if left.is_reference && is_constant(right_text) => {
            Some(format!("{left_text} {operator} '{right_text}'"))
        }
        (Type::Bool, Type::Text) if right.is_reference && is_constant(left_text) => {
            Some(format!("'{left_text}' {operator} {right_text}"))
        }
        (Type::Text, Type::Null) if left.is_reference => without(link.operator, left_text),
        (Type::Null, Type::Text) if right.is_reference => without(link.operator, right_text),
        _ => None,
    };
    match fix {
        Some(fix) => fault.fix(fix),
        None => fault,
    }
}

fn is_constant(written: &str) -> bool {
    matches!(written, "true" | "false")
}

/// A property compared with null is there, or is not.
fn without(operator: Operator, name: &str) -> Option<String> {
    match operator {
        Operator::Equal => Some(format!("NOT is_defined({name})")),
        Operator::NotEqual => Some(format!("is_defined({name})")),
        _ => None,
    }
}

pub(super) fn two_types(text: &str, span: Span, left: Operand, right: Operand) -> Fault {
    let problem = format!("{}, and {}", is(text, left), is(text, right));
    Fault::new(span, problem, "two values of one type")
}

/// An operand of AND, OR or NOT that is never true or false.
pub(super) fn logical(text: &str, operand: Operand) -> Fault {
    let fault = Fault::new(operand.span, is(text, operand), "true or false");
    let written = operand.span.of(text);
    if !operand.is_reference {
        return fault;
    }
    let lower = written.to_ascii_lowercase();
    match written.strip_prefix('!').filter(|rest| !rest.is_empty()) {
        _ if matches!(&*lower, "true" | "false" | "null" | "undefined") => fault.fix(lower),
        Some(rest) => fault.fix(format!("NOT {rest}")),
        None => fault.fix(format!("{written} = 'true'")),
    }
}

/// The fault of `NOT a = b`, where `NOT a` stands together.
pub(super) fn not_of_comparison(
    text: &str,
    first: &Syntax,
    rest: &[Link],
    span: Span,
    fault: Fault,
) -> Fault {
    match &first.kind {
        Written::Not(inner) if rest[0].operator.is_comparison() && fault.span == inner.span => {
            let problem = format!(
                "{}, and NOT binds tighter than `{}`",
                fault.problem,
                rest[0].place.of(text)
            );
            let all = Span::new(inner.span.start, span.end);
            Fault::new(fault.span, problem, "parentheses").fix(format!("NOT ({})", all.of(text)))
        }
        _ => fault,
    }
}

/// A call of what is no function.
pub(super) fn no_function(
    text: &str,
    name: Span,
    call: Span,
    compatibility: Compatibility,
) -> Fault {
    let written = name.of(text);
    let rest = &text[name.end..call.end];
    if let Some(signature) = Signature::named(written) {
        let problem = format!("IoT Edge's hub has no function `{}`", signature.name);
        return Fault::new(name, problem, "one that it has, or another `compatibility`");
    }
    let problem = format!("there is no function `{}`", shown(written));
    let fault = Fault::new(name, problem, "a function");
    if let Some(inner) = written.strip_prefix('!') {
        return fault.fix(format!("NOT {inner}{rest}"));
    }
    if let Some(inner) = written.strip_prefix('-') {
        return fault.fix(format!("- {inner}{rest}"));
    }
    let nearest = match written.to_ascii_lowercase().as_str() {
        "len" => Some("length"),
        "number" | "to_number" | "cast" | "int" | "float" | "double" => Some("as_number"),
        "ceil" => Some("ceiling"),
        "pow" => Some("power"),
        "substr" | "mid" => Some("substring"),
        "indexof" | "instr" => Some("index_of"),
        "exists" | "has" => Some("is_defined"),
        lower => nearest(lower, compatibility),
    };
    match nearest {
        Some(nearest) => fault.fix(format!("{nearest}{rest}")),
        None => fault,
    }
}

/// The function whose name differs the least, and by no more than two
/// characters.
fn nearest(name: &str, compatibility: Compatibility) -> Option<&'static str> {
    const DIFFERENCES_MAX: usize = 2;
    let known = SIGNATURES
        .iter()
        .filter(|signature| signature.is_in(compatibility))
        .map(|signature| signature.name)
        .chain([TWIN_CHANGE_INCLUDES]);
    known
        .map(|known| (differences(known, name), known))
        .filter(|(differences, _)| *differences <= DIFFERENCES_MAX)
        .min()
        .map(|(_, known)| known)
}

/// How many characters have to be put in, taken out or replaced; of long
/// names, which are near to nothing, only that they are long.
fn differences(known: &str, name: &str) -> usize {
    if name.len() > 2 * known.len() {
        return usize::MAX;
    }
    let name: Vec<char> = name.chars().collect();
    let mut row: Vec<usize> = (0..=name.len()).collect();
    for (line, c) in known.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (index, other) in name.iter().enumerate() {
            let replaced = diagonal + usize::from(c != *other);
            diagonal = row[index + 1];
            row[index + 1] = replaced.min(diagonal + 1).min(row[index] + 1);
        }
    }
    row[name.len()]
}

/// What is odd about the name of a property.
pub(super) fn odd_name(name: &str) -> Option<String> {
    let lower = name.to_ascii_lowercase();
    if matches!(&*lower, "true" | "false" | "null" | "undefined") {
        return Some(format!(
            "`{name}` is read as a property; the constant is `{lower}`"
        ));
    }
    if let Some(start) = name.strip_suffix('!') {
        return Some(format!(
            "`{name}` is one name; `!=` needs a space before it: `{start} !=`"
        ));
    }
    if name.contains('\'') {
        return Some(format!(
            "`{}` is one name; a text ends before a space",
            shown(name)
        ));
    }
    let (left, sign, right) = joined(name)?;
    Some(format!(
        "`{name}` is one name; an operator needs spaces: `{left} {sign} {right}`"
    ))
}

/// What is odd about a name with `$`.
pub(super) fn odd_reference(name: &str, reference: &Reference) -> Option<String> {
    match reference {
        Reference::Nothing => Some(format!(
            "`{name}` is always undefined: a path into the body is `$body.name`"
        )),
        Reference::SystemFirst(System::Unset, _) | Reference::PropertyFirst(_, System::Unset) => {
            let near = SystemProperty::all().find(|property| {
                differences(
                    &property.name().to_ascii_lowercase(),
                    &name[1..].to_ascii_lowercase(),
                ) <= 2
            });
            let near = near.map_or(String::new(), |near| format!("; there is `${near}`"));
            Some(format!("no message has the system property `{name}`{near}"))
        }
        _ => None,
    }
}
