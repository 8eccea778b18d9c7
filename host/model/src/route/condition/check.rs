//! From what was written to what can be evaluated: names, types, constants.
//!
//! Owns which values stand together, and what is odd though it may stand.
//! Leaves grammar to [`super::syntax`], and the wording of guesses to
//! [`super::hint`]. What is the same for every message is evaluated here,
//! once.

use super::body::BodyCache;
use super::error::{Fault, Span};
use super::evaluate::{Context, Kind, Node, twin_path_begin};
use super::function::{Function, Parameter, Signature, TWIN_CHANGE_INCLUDES};
use super::hint::{self, Operand};
use super::reference::{self, Path, Reference, Step};
use super::syntax::{Kind as Written, Link, Syntax};
use super::value::{Type, Value};
use super::{Compatibility, Facts};
use crate::message::Message;
use crate::route::lexer::Operator;

/// What decides the meaning of a condition beside its text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setting {
    pub(super) compatibility: Compatibility,
    /// Whether messages come from changes of twins alone; none if that is not
    /// known.
    pub(super) is_twin_change: Option<bool>,
    /// Whether parts that are the same for every message are evaluated now.
    pub(super) is_folding: bool,
}

/// Builds the tree of a condition.
pub(super) struct Checker<'a> {
    text: &'a str,
    setting: Setting,
    /// What is odd, in the order of the text.
    pub(super) oddities: Vec<(Span, String)>,
}

impl<'a> Checker<'a> {
    pub(super) fn new(text: &'a str, setting: Setting) -> Self {
        Self {
            text,
            setting,
            oddities: Vec::new(),
        }
    }

    /// # Errors
    /// The first part whose type cannot be, or whose name is none.
    pub(super) fn node(&mut self, syntax: &Syntax) -> Result<Node, Fault> {
        let span = syntax.span;
        let constant = |value: Value<'static>| {
            let result = value.kind();
            Ok(Node {
                kind: Kind::Constant(value),
                result,
                span,
            })
        };
        match &syntax.kind {
            Written::Text(text) => constant(Value::Text(text.clone().into())),
            Written::Number(number) => constant(Value::number(*number)),
            Written::Bool(value) => constant(Value::Bool(*value)),
            Written::Null => constant(Value::Null),
            Written::Undefined => constant(Value::Undefined),
            Written::Name => Ok(self.property(span)),
            Written::Dollar { name, is_escaped } => self.dollar(span, *name, *is_escaped),
            Written::Not(inner) => {
                let inner = self.logical(inner)?;
                Ok(self.folded(Kind::Not(Box::new(inner)), Type::Bool, span))
            }
            Written::Negate(inner) => {
                let inner = self.node(inner)?;
                hint::number(self.text, self.operand(&inner))?;
                Ok(self.folded(Kind::Negate(Box::new(inner)), Type::Number, span))
            }
            Written::Chain { first, rest } => self.chain(first, rest, span),
            Written::Call {
                name,
                inner,
                arguments,
            } => self.call(*name, *inner, arguments, span),
        }
    }

    fn property(&mut self, span: Span) -> Node {
        let name = span.of(self.text);
        if let Some(oddity) = hint::odd_name(name) {
            self.oddities.push((span, oddity));
        }
        Node {
            kind: Kind::Reference(Reference::Property(name.to_owned())),
            result: Type::Text,
            span,
        }
    }

    fn dollar(&mut self, span: Span, name: Span, is_escaped: bool) -> Result<Node, Fault> {
        let compatibility = self.setting.compatibility;
        let reference = reference::dollar(self.text, name, is_escaped, compatibility)?;
        if let Some(oddity) = hint::odd_reference(name.of(self.text), &reference) {
            self.oddities.push((span, oddity));
        }
        let (kind, result) = match reference {
            Reference::Nothing => (Kind::Constant(Value::Undefined), Type::Undefined),
            body if body.reads_body() => (Kind::Reference(body), Type::Any),
            other => (Kind::Reference(other), Type::Text),
        };
        Ok(Node { kind, result, span })
    }

    fn chain(&mut self, first: &Syntax, rest: &[Link], span: Span) -> Result<Node, Fault> {
        let all = || std::iter::once(first).chain(rest.iter().map(|link| &link.right));
        match rest[0].operator {
            Operator::And => {
                let nodes = all().map(|operand| self.logical(operand));
                let nodes: Vec<Node> = nodes.collect::<Result<_, _>>()?;
                // As IoT Edge's hub has it: null AND anything is null.
                if let Some(null) = nodes.iter().position(|node| node.result == Type::Null) {
                    let kind = Kind::Constant(Value::Null);
                    let result = nodes[null].result;
                    return Ok(Node { kind, result, span });
                }
                Ok(self.folded(Kind::All(nodes), Type::Bool, span))
            }
            Operator::Or => {
                let nodes = all().map(|operand| self.logical(operand));
                let mut nodes: Vec<Node> = nodes.collect::<Result<_, _>>()?;
                // And null OR anything is that.
                nodes.retain(|node| node.result != Type::Null);
                if nodes.is_empty() {
                    let (kind, result) = (Kind::Constant(Value::Null), Type::Null);
                    return Ok(Node { kind, result, span });
                }
                Ok(self.folded(Kind::Any(nodes), Type::Bool, span))
            }
            Operator::Coalesce => {
                let nodes = all().map(|operand| self.node(operand));
                let nodes = nodes.collect::<Result<_, _>>()?;
                self.coalesce(nodes, span)
            }
            _ => self.fold(first, rest, span),
        }
    }

    fn coalesce(&self, nodes: Vec<Node>, span: Span) -> Result<Node, Fault> {
        let mut result = Type::Undefined;
        for (index, node) in nodes.iter().enumerate() {
            result = match (result, node.result) {
                (Type::Undefined, other) | (other, Type::Undefined) => other,
                (Type::Any, _) | (_, Type::Any) => Type::Any,
                (a, b) if a == b => a,
                _ => {
                    let place = nodes[index - 1].span.to(node.span);
                    let (left, right) = (self.operand(&nodes[index - 1]), self.operand(node));
                    return Err(hint::two_types(self.text, place, left, right));
                }
            };
        }
        Ok(self.folded(Kind::First(nodes), result, span))
    }

    /// Operators that need both their values, from left to right.
    fn fold(&mut self, first: &Syntax, rest: &[Link], span: Span) -> Result<Node, Fault> {
        let first_node = self
            .node(first)
            .map_err(|fault| hint::not_of_comparison(self.text, first, rest, span, fault))?;
        let mut left = self.operand(&first_node);
        let mut nodes = Vec::new();
        for link in rest {
            let node = self.node(&link.right)?;
            let right = self.operand(&node);
            let result = match link.operator {
                Operator::Concat => {
                    hint::text(self.text, left)?;
                    hint::text(self.text, right)?;
                    Type::Text
                }
                operator if operator.is_comparison() => {
                    if !are_comparable(left.result, right.result) {
                        return Err(hint::comparison(self.text, left, link, right));
                    }
                    self.compare_names(first, link);
                    Type::Bool
                }
                _ => {
                    hint::number(self.text, left)?;
                    hint::number(self.text, right)?;
                    Type::Number
                }
            };
            left = Operand {
                span: left.span.to(right.span),
                result,
                is_name: false,
                is_reference: false,
            };
            nodes.push((link.operator, node));
        }
        let result = left.result;
        Ok(self.folded(Kind::Fold(Box::new(first_node), nodes), result, span))
    }

    /// Two names, one of them perhaps a text without its quotes.
    fn compare_names(&mut self, first: &Syntax, link: &Link) {
        let is_equality = matches!(link.operator, Operator::Equal | Operator::NotEqual);
        if is_equality && first.kind == Written::Name && link.right.kind == Written::Name {
            let span = link.right.span;
            let name = span.of(self.text);
            if hint::odd_name(name).is_none() {
                let oddity = format!("`{name}` is read as a property; a text is `'{name}'`");
                self.oddities.push((span, oddity));
            }
        }
    }

    /// An operand of AND, OR or NOT.
    fn logical(&mut self, syntax: &Syntax) -> Result<Node, Fault> {
        let node = self.node(syntax)?;
        match node.result {
            Type::Bool | Type::Null | Type::Undefined | Type::Any => Ok(node),
            Type::Text | Type::Number => Err(hint::logical(self.text, self.operand(&node))),
        }
    }

    fn call(
        &mut self,
        name: Span,
        inner: Span,
        arguments: &[Syntax],
        span: Span,
    ) -> Result<Node, Fault> {
        let written = name.of(self.text);
        if written.eq_ignore_ascii_case(TWIN_CHANGE_INCLUDES) {
            return self.twin_change_includes(name, inner, arguments, span);
        }
        let compatibility = self.setting.compatibility;
        let signature = Signature::named(written)
            .filter(|signature| signature.is_in(compatibility))
            .ok_or_else(|| hint::no_function(self.text, name, span, compatibility))?;
        if !signature.takes(arguments.len()) {
            let count = match arguments.len() {
                0 => "no argument".to_owned(),
                1 => "one argument".to_owned(),
                count => format!("{count} arguments"),
            };
            let problem = format!("`{written}` has {count}");
            return Err(Fault::new(span, problem, format!("`{}`", signature.form)));
        }
        let mut nodes = Vec::new();
        for (index, argument) in arguments.iter().enumerate() {
            let node = self.node(argument)?;
            let parameter = signature.parameter(index);
            if !parameter.takes(node.result) {
                let operand = self.operand(&node);
                let expected = parameter.expected();
                let wants_number = parameter == Parameter::Number;
                return Err(hint::argument(self.text, operand, expected, wants_number));
            }
            nodes.push(node);
        }
        let kind = match answer_by_type(signature.function, &nodes) {
            Some(answer) if self.setting.is_folding => Kind::Constant(Value::Bool(answer)),
            _ => Kind::Call(signature.function, nodes),
        };
        Ok(self.folded(kind, signature.result, span))
    }

    fn twin_change_includes(
        &mut self,
        name: Span,
        inner: Span,
        arguments: &[Syntax],
        span: Span,
    ) -> Result<Node, Fault> {
        const EXPECTED: &str =
            "a path that begins with `properties.reported.`, `properties.desired.` or `tags.`";
        if self.setting.is_twin_change == Some(false) {
            let problem = format!(
                "`{}` asks for changes of twins, which this source has not",
                name.of(self.text)
            );
            return Err(Fault::new(
                span,
                problem,
                "the source `/twinChangeNotifications`",
            ));
        }
        let written = match arguments {
            [argument] => argument.span.of(self.text),
            _ => {
                let problem = format!("`{}` takes one path", name.of(self.text));
                return Err(Fault::new(span, problem, EXPECTED));
            }
        };
        if let [
            Syntax {
                kind: Written::Text(path),
                ..
            },
        ] = arguments
        {
            let fix = format!("{}({path})", name.of(self.text));
            let fault = Fault::new(inner, "a text stands here", "a path without quotes");
            return Err(fault.fix(fix));
        }
        let problem = || format!("`{written}` is no path of a twin");
        let begin = twin_path_begin(written)
            .filter(|_| arguments[0].kind == Written::Name)
            .ok_or_else(|| Fault::new(arguments[0].span, problem(), EXPECTED))?;
        let rest = Span::new(arguments[0].span.start + begin.len(), arguments[0].span.end);
        let steps = begin.trim_end_matches('.').split('.');
        let mut path: Vec<Step> = steps.map(|step| Step::Name(step.to_owned())).collect();
        path.extend(Path::parse(self.text, rest)?.0);
        Ok(Node {
            kind: Kind::TwinChangeIncludes(Path(path)),
            result: Type::Bool,
            span,
        })
    }

    fn operand(&self, node: &Node) -> Operand {
        let is_reference = matches!(node.kind, Kind::Reference(_));
        Operand {
            span: node.span,
            result: node.result,
            is_name: matches!(node.kind, Kind::Reference(Reference::Property(_))),
            is_reference,
        }
    }

    /// The node, or the constant that it is for every message.
    fn folded(&self, kind: Kind, result: Type, span: Span) -> Node {
        let node = Node { kind, result, span };
        if !self.setting.is_folding || matches!(node.kind, Kind::Constant(_)) {
            return node;
        }
        let constant = match &node.kind {
            _ if node.parts().into_iter().all(is_constant) => {
                Some(constant_value(&node, self.setting.compatibility))
            }
            Kind::Fold(..) => node
                .parts()
                .into_iter()
                .any(|part| is_value(part, &Value::Undefined))
                .then_some(Value::Undefined),
            Kind::All(nodes) => nodes
                .iter()
                .any(|part| is_value(part, &Value::Bool(false)))
                .then_some(Value::Bool(false)),
            Kind::Any(nodes) => nodes
                .iter()
                .any(|part| is_value(part, &Value::Bool(true)))
                .then_some(Value::Bool(true)),
            _ => None,
        };
        match constant {
            Some(value) => Node {
                kind: Kind::Constant(value),
                ..node
            },
            None => node,
        }
    }
}

impl Operator {
    pub(super) fn is_comparison(self) -> bool {
        use Operator::*;
        matches!(
            self,
            Equal | NotEqual | Less | LessOrEqual | Greater | GreaterOrEqual
        )
    }
}

fn are_comparable(left: Type, right: Type) -> bool {
    let is_open = |side| matches!(side, Type::Any | Type::Undefined);
    left == right || is_open(left) || is_open(right)
}

fn is_constant(node: &Node) -> bool {
    matches!(node.kind, Kind::Constant(_))
}

fn is_value(node: &Node, value: &Value<'_>) -> bool {
    matches!(&node.kind, Kind::Constant(constant) if constant == value)
}

/// What a question for a type comes to where the type is known.
fn answer_by_type(function: Function, arguments: &[Node]) -> Option<bool> {
    use Function::*;
    let asked = match function {
        IsBool => Some(Type::Bool),
        IsNumber => Some(Type::Number),
        IsString => Some(Type::Text),
        IsNull => Some(Type::Null),
        IsArray | IsObject => None,
        _ => return None,
    };
    let given = arguments.first()?.result;
    // Whether one of this type is defined is another question.
    (given != Type::Any && Some(given) != asked).then_some(false)
}

/// The value of a node that looks at no message.
fn constant_value(node: &Node, compatibility: Compatibility) -> Value<'static> {
    let facts = Facts {
        source: None,
        device: None,
        enqueued_time: None,
    };
    let context = Context {
        message: &Message::default(),
        facts: &facts,
        body: &BodyCache::new(),
        compatibility,
    };
    node.value(&context).into_owned()
}

/// Why a condition cannot hold for any message; none if it can, as far as is
/// seen.
pub(super) fn never(node: &Node, text: &str) -> Option<String> {
    match &node.kind {
        Kind::Constant(Value::Bool(true)) => None,
        Kind::Constant(value @ (Value::Bool(false) | Value::Undefined | Value::Null)) => Some(
            format!("`{}` is always {value}", hint::shown(node.span.of(text))),
        ),
        Kind::All(nodes) => nodes
            .iter()
            .find_map(|part| never(part, text))
            .or_else(|| contradiction(nodes, text)),
        Kind::Any(nodes) => {
            let reasons: Option<Vec<String>> = nodes.iter().map(|part| never(part, text)).collect();
            reasons.map(|reasons| reasons.join(", and "))
        }
        _ => match node.result {
            result @ (Type::Text | Type::Number | Type::Null) => Some(format!(
                "`{}` is {result}, and never true",
                hint::shown(node.span.of(text))
            )),
            _ => None,
        },
    }
}

/// The same name equal to two constants.
fn contradiction(nodes: &[Node], text: &str) -> Option<String> {
    let equalities: Vec<(&str, &Value<'static>)> = nodes
        .iter()
        .filter_map(|node| equality(node, text))
        .collect();
    equalities
        .iter()
        .enumerate()
        .find_map(|(index, (name, value))| {
            let (_, other) = equalities[..index]
                .iter()
                .find(|(known, other)| known == name && other != value)?;
            Some(format!("`{name}` is never {other} and {value} at once"))
        })
}

fn equality<'a>(node: &'a Node, text: &'a str) -> Option<(&'a str, &'a Value<'static>)> {
    let Kind::Fold(first, rest) = &node.kind else {
        return None;
    };
    let [(Operator::Equal, second)] = &rest[..] else {
        return None;
    };
    match (&first.kind, &second.kind) {
        (Kind::Reference(_), Kind::Constant(value)) => Some((first.span.of(text), value)),
        (Kind::Constant(value), Kind::Reference(_)) => Some((second.span.of(text), value)),
        _ => None,
    }
}
