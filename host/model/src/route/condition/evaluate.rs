//! Conditions at work: the value of each part for a message.
//!
//! Owns the tree that was compiled and the order in which it is looked at.
//! Leaves types to [`super::check`], which built it, and what operators and
//! functions do to [`super::value`] and [`super::function`].

use super::body::{BodyCache, BodyProblem, Encoding};
use super::error::Span;
use super::function::{self, Function};
use super::reference::{Path, Reference, Step, System, property, strip_prefix};
use super::value::{Type, Value};
use super::{Compatibility, Facts, Truth};
use crate::message::{Message, MessageSource, SystemProperty};
use crate::route::lexer::Operator;

/// A part of a condition, compiled.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) kind: Kind,
    pub(super) result: Type,
    /// Where it stands.
    pub(super) span: Span,
}

#[derive(Debug)]
pub(super) enum Kind {
    Constant(Value<'static>),
    Reference(Reference),
    Not(Box<Node>),
    Negate(Box<Node>),
    /// Operators that need both values, from left to right.
    Fold(Box<Node>, Vec<(Operator, Node)>),
    /// AND.
    All(Vec<Node>),
    /// OR.
    Any(Vec<Node>),
    /// `??`.
    First(Vec<Node>),
    Call(Function, Vec<Node>),
    /// Whether a twin change has something at a path.
    TwinChangeIncludes(Path),
}

/// What a condition is evaluated for.
pub(super) struct Context<'a> {
    pub(super) message: &'a Message,
    pub(super) facts: &'a Facts<'a>,
    pub(super) body: &'a BodyCache,
    pub(super) compatibility: Compatibility,
}

impl Node {
    /// The parts of this one, in the order of the text.
    pub(super) fn parts(&self) -> Vec<&Self> {
        match &self.kind {
            Kind::Constant(_) | Kind::Reference(_) | Kind::TwinChangeIncludes(_) => Vec::new(),
            Kind::Not(inner) | Kind::Negate(inner) => vec![inner],
            Kind::Fold(first, rest) => {
                let rest = rest.iter().map(|(_, node)| node);
                std::iter::once(&**first).chain(rest).collect()
            }
            Kind::All(nodes) | Kind::Any(nodes) | Kind::First(nodes) | Kind::Call(_, nodes) => {
                nodes.iter().collect()
            }
        }
    }

    pub(super) fn reads_body(&self) -> bool {
        match &self.kind {
            Kind::Reference(reference) => reference.reads_body(),
            Kind::TwinChangeIncludes(_) => true,
            _ => self.parts().into_iter().any(Self::reads_body),
        }
    }

    /// What the whole condition comes to, as an answer.
    pub(super) fn truth(&self, context: &Context<'_>) -> Truth {
        match self.value(context) {
            // A condition that is null does not hold.
            Value::Null if self.result == Type::Null => Truth::False,
            value => value.logical(),
        }
    }

    pub(super) fn value<'a>(&'a self, context: &Context<'a>) -> Value<'a> {
        match &self.kind {
            Kind::Constant(value) => borrowed(value),
            Kind::Reference(reference) => context.reference(reference),
            Kind::Not(inner) => match inner.value(context).logical() {
                Truth::True => Value::Bool(false),
                Truth::False => Value::Bool(true),
                // `NOT null` is true where null was written.
                Truth::Undefined if inner.result == Type::Null => Value::Bool(true),
                Truth::Undefined => Value::Undefined,
            },
            Kind::Negate(inner) => inner.value(context).negated(),
            Kind::Fold(first, rest) => {
                let first = first.value(context);
                rest.iter().fold(first, |left, (operator, right)| {
                    left.combine(*operator, right.value(context))
                })
            }
            Kind::All(nodes) => decided(nodes, Truth::False, context),
            Kind::Any(nodes) => decided(nodes, Truth::True, context),
            Kind::First(nodes) => {
                let mut values = nodes.iter().map(|node| node.value(context));
                let defined = values.find(Value::is_defined);
                defined.unwrap_or(Value::Undefined)
            }
            Kind::Call(function, arguments) => context.call(*function, arguments),
            Kind::TwinChangeIncludes(path) => context.twin_change_includes(path),
        }
    }
}

/// AND and OR: one value decides, else one that is not known leaves all
/// unknown.
fn decided<'a>(nodes: &'a [Node], deciding: Truth, context: &Context<'a>) -> Value<'a> {
    let mut is_known = true;
    for node in nodes {
        match node.value(context).logical() {
            truth if truth == deciding => return truth.into(),
            Truth::Undefined => is_known = false,
            _ => {}
        }
    }
    match is_known {
        true => Value::Bool(deciding == Truth::False),
        false => Value::Undefined,
    }
}

fn borrowed<'a>(value: &'a Value<'static>) -> Value<'a> {
    match value {
        Value::Text(text) => Value::Text((&**text).into()),
        other => other.clone(),
    }
}

impl<'a> Context<'a> {
    fn reference(&self, reference: &'a Reference) -> Value<'a> {
        let text = |found: Option<&'a str>| {
            found.map_or(Value::Undefined, |text| Value::Text(text.into()))
        };
        let (message, facts) = (self.message, self.facts);
        match reference {
            Reference::Property(name) => text(property(message, name)),
            Reference::SystemFirst(system, name) => {
                let or_else = || property(message, name.as_ref()?);
                text(system.value(message, facts).or_else(or_else))
            }
            Reference::PropertyFirst(name, system) => {
                let or_else = || system.value(message, facts);
                text(property(message, name).or_else(or_else))
            }
            Reference::PropertyOrBody(name, path) => match property(message, name) {
                Some(value) => text(Some(value)),
                None => self.body(path),
            },
            Reference::Body(path) => self.body(path),
            Reference::Nothing => Value::Undefined,
        }
    }

    /// The value at a path of the body, which is undefined if nothing is
    /// there, and for IoT Edge's hub null.
    fn body(&self, path: &'a Path) -> Value<'a> {
        let missing = match self.compatibility {
            Compatibility::Documented => Value::Undefined,
            Compatibility::EdgeHub => Value::Null,
        };
        match self.encoding() {
            Ok(encoding) => {
                let found = self.body.value(&self.message.body, encoding, &path.0);
                found.unwrap_or(missing)
            }
            Err(_) => Value::Undefined,
        }
    }

    /// How the body is encoded, if it may be read: it has to be said that it
    /// is JSON, and in which characters.
    fn encoding(&self) -> Result<Encoding, BodyProblem> {
        let system = |property| System::Of(property).value(self.message, self.facts);
        let is_json = match (system(SystemProperty::ContentType), self.compatibility) {
            (None, _) => false,
            (Some(name), Compatibility::Documented) => {
                name.eq_ignore_ascii_case("application/json")
            }
            (Some(name), Compatibility::EdgeHub) => name == "application/json",
        };
        if !is_json {
            return Err(BodyProblem::ContentType);
        }
        system(SystemProperty::ContentEncoding)
            .and_then(Encoding::named)
            .ok_or(BodyProblem::ContentEncoding)
    }

    /// Why the body is not seen; reads it.
    pub(super) fn body_problem(&self) -> Option<BodyProblem> {
        match self.encoding() {
            Ok(encoding) => (!self.body.is_readable(&self.message.body, encoding))
                .then_some(BodyProblem::NotAnObject),
            Err(problem) => Some(problem),
        }
    }

    fn call(&self, function: Function, arguments: &'a [Node]) -> Value<'a> {
        let value = |index: usize| {
            let argument = arguments.get(index)?;
            Some(argument.value(self))
        };
        let first = value(0).unwrap_or(Value::Undefined);
        match function {
            Function::Concat => arguments[1..]
                .iter()
                .fold(first, |text, next| text.concat(next.value(self))),
            Function::AsNumber => match first {
                Value::Text(text) => function::number_of(&text, self.compatibility)
                    .map_or(Value::Undefined, Value::number),
                other => function.value(other, [Value::Null, Value::Null]),
            },
            // IoT Edge's hub answers the other way round for what is in the
            // body, where anything is.
            Function::IsNull
                if self.compatibility == Compatibility::EdgeHub
                    && arguments[0].result == Type::Any =>
            {
                match first.is_defined() {
                    true => Value::Bool(first != Value::Null),
                    false => Value::Undefined,
                }
            }
            // A missing argument is null to it, and null in its place is none
            // that it takes.
            _ => function.value(
                first,
                [value(1), value(2)].map(|value| match value {
                    None => Value::Null,
                    Some(Value::Null) => Value::Undefined,
                    Some(value) => value,
                }),
            ),
        }
    }

    /// Whether the change has something at a path, null included.
    ///
    /// The body is the change of the reported properties alone, or all of
    /// `properties` and `tags` around it.
    fn twin_change_includes(&self, path: &'a Path) -> Value<'a> {
        if matches!(self.facts.source, Some(MessageSource::Module { .. })) {
            return Value::Undefined;
        }
        let Ok(encoding) = self.encoding() else {
            return Value::Undefined;
        };
        let found = |steps: &'a [Step]| self.body.value(&self.message.body, encoding, steps);
        let alone = match &path.0[..] {
            [Step::Name(properties), Step::Name(reported), rest @ ..]
                if properties == "properties" && reported == "reported" =>
            {
                found(rest)
            }
            _ => None,
        };
        match alone.or_else(|| found(&path.0)) {
            None => Value::Bool(false),
            Some(Value::Undefined) => Value::Undefined,
            Some(_) => Value::Bool(true),
        }
    }
}

/// The path that `twin_change_includes` takes, with its begin in lower case;
/// none if it begins otherwise.
pub(super) fn twin_path_begin(path: &str) -> Option<&'static str> {
    ["properties.reported.", "properties.desired.", "tags."]
        .into_iter()
        .find(|begin| strip_prefix(path, begin).is_some())
}
