//! Which handlers an `impl` block has, and whether each is written as it must be; every fault points at its place.

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::{
    Error, FnArg, ImplItem, ImplItemFn, ItemImpl, ReceiverKind, Result, ReturnType, Signature,
};

/// A kind of handler, by the name of its function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Init,
    Message,
    Desired,
    DesiredUpdate,
    Method,
    Timer,
    Shutdown,
    Health,
}

use Kind::{Desired, DesiredUpdate, Health, Init, Message, Method, Shutdown, Timer};

/// Kind, name, world to include, and how it is written.
const KINDS: &[(Kind, &str, &str, &str)] = &[
    (Init, "init", "with-init", "fn init(&mut self) -> Result"),
    (
        Message,
        "message",
        "with-message-handler",
        "fn message(&mut self, message: &Message) -> Result",
    ),
    (
        Desired,
        "desired",
        "with-twin-handler",
        "fn desired(&mut self, desired: T) -> Result",
    ),
    (
        DesiredUpdate,
        "desired_update",
        "with-twin-handler",
        "fn desired_update(&mut self, update: DesiredUpdate) -> Result",
    ),
    (
        Method,
        "method",
        "with-method-handler",
        "fn method(&mut self, name: &str, payload: Value) -> Response",
    ),
    (
        Timer,
        "timer",
        "with-timer-handler",
        "fn timer(&mut self, tick: Tick) -> Result",
    ),
    (
        Shutdown,
        "shutdown",
        "with-shutdown",
        "fn shutdown(&mut self, grace: Duration)",
    ),
    (
        Health,
        "health",
        "with-health",
        "fn health(&self) -> Result",
    ),
];

impl Kind {
    fn row(self) -> &'static (Kind, &'static str, &'static str, &'static str) {
        KINDS
            .iter()
            .find(|row| row.0 == self)
            .expect("every kind has a row")
    }

    /// The name of its function.
    pub(crate) fn name(self) -> &'static str {
        self.row().1
    }

    /// The world of the WIT package that exports it.
    pub(crate) fn world(self) -> &'static str {
        self.row().2
    }

    fn form(self) -> &'static str {
        self.row().3
    }

    fn fault(self, place: Span, text: &str) -> Error {
        Error::new(place, format!("{text}; it is written `{}`", self.form()))
    }

    fn arguments(self) -> usize {
        match self {
            Init | Health => 0,
            Message | Desired | DesiredUpdate | Timer | Shutdown => 1,
            Method => 2,
        }
    }
}

/// A handler as written.
pub(crate) struct Handler {
    pub(crate) kind: Kind,
    /// Where its arguments' types are written, so that the compiler reports a wrong one there.
    pub(crate) arguments: Vec<Span>,
    /// Where its answer's type is written.
    pub(crate) answer: Span,
}

/// The handlers of an `impl` block.
///
/// # Errors
/// All faults of the block, each at its place.
pub(crate) fn find(block: &ItemImpl) -> Result<Vec<Handler>> {
    let mut faults = Faults(None);
    if let Some((path, _)) = &block.trait_ {
        faults.add(
            path.span(),
            "`#[module]` stands at an `impl` block of the module's own type, not of a trait",
        );
    }
    if !block.generics.params.is_empty() {
        faults.add(
            block.generics.span(),
            "a module's type has no parameters: the host makes one of it",
        );
    }
    let mut handlers: Vec<Handler> = Vec::new();
    for item in &block.items {
        let ImplItem::Fn(function) = item else {
            continue;
        };
        match check(function) {
            Ok(handler) => handlers.push(handler),
            Err(fault) => faults.join(fault),
        }
    }
    let has = |kind| handlers.iter().any(|handler| handler.kind == kind);
    if has(Desired) && has(DesiredUpdate) {
        faults.add(
            block.self_ty.span(),
            "a module has `desired` or `desired_update`, not both",
        );
    }
    if handlers.is_empty() && faults.0.is_none() {
        let names: Vec<String> = KINDS.iter().map(|row| format!("`{}`", row.1)).collect();
        let text = format!("a module has at least one handler: {}", names.join(", "));
        faults.add(block.self_ty.span(), &text);
    }
    faults.0.map_or(Ok(handlers), Err)
}

fn check(function: &ImplItemFn) -> Result<Handler> {
    let signature = &function.sig;
    let name = signature.ident.to_string();
    let Some((kind, ..)) = KINDS.iter().find(|row| row.1 == name) else {
        return Err(Error::new(signature.ident.span(), unknown(&name)));
    };
    if let Some(cfg) = function
        .attrs
        .iter()
        .find(|attr| attr.path().is_ident("cfg"))
    {
        let text = "a handler cannot depend on `cfg`: put the attribute at the whole block";
        return Err(kind.fault(cfg.span(), text));
    }
    if let Some(token) = &signature.asyncness {
        let text = format!("`{name}` is called and has to answer: it cannot be `async`");
        return Err(kind.fault(token.span(), &text));
    }
    if !signature.generics.params.is_empty() {
        let text = format!("`{name}` has no parameters of types or lifetimes");
        return Err(kind.fault(signature.generics.span(), &text));
    }
    let arguments = arguments(*kind, signature)?;
    let answer = match &signature.output {
        ReturnType::Default => signature.ident.span(),
        ReturnType::Type(_, ty) => ty.span(),
    };
    Ok(Handler {
        kind: *kind,
        arguments,
        answer,
    })
}

/// Where the types of the arguments stand, the module itself left out.
fn arguments(kind: Kind, signature: &Signature) -> Result<Vec<Span>> {
    let name = &signature.ident;
    match signature.inputs.first() {
        Some(FnArg::Receiver(receiver)) if matches!(receiver.kind, ReceiverKind::Reference(..)) => {
        }
        Some(FnArg::Receiver(receiver)) => {
            let text = format!("`{name}` borrows the module, which stays for the next call");
            return Err(kind.fault(receiver.span(), &text));
        }
        _ => {
            let text = format!("`{name}` takes the module as `&mut self` or `&self`");
            return Err(kind.fault(name.span(), &text));
        }
    }
    let others = signature
        .inputs
        .iter()
        .filter_map(|argument| match argument {
            FnArg::Typed(typed) => Some(typed.ty.span()),
            FnArg::Receiver(_) => None,
        });
    let spans: Vec<Span> = others.collect();
    if spans.len() == kind.arguments() {
        return Ok(spans);
    }
    let place = spans
        .get(kind.arguments())
        .copied()
        .unwrap_or_else(|| name.span());
    let text = match kind.arguments() {
        0 => format!("`{name}` takes nothing beside the module"),
        1 => format!(
            "`{name}` takes one thing beside the module, not {}",
            spans.len()
        ),
        _ => format!(
            "`{name}` takes two things beside the module, not {}",
            spans.len()
        ),
    };
    Err(kind.fault(place, &text))
}

fn unknown(name: &str) -> String {
    let nearest = KINDS
        .iter()
        .map(|row| (distance(name, row.1), row.1))
        .min()
        .filter(|(distance, known)| *distance <= known.len() / 3);
    let hint = match nearest {
        Some((_, known)) => format!("did you mean `{known}`?"),
        None => {
            let names: Vec<&str> = KINDS.iter().map(|row| row.1).collect();
            format!("handlers are {}", names.join(", "))
        }
    };
    format!(
        "no handler is named `{name}`: {hint}; other functions go into an `impl` block without `#[module]`"
    )
}

/// How many letters have to be changed, added or taken away to get from one word to the other.
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in to.bytes().enumerate() {
            let changed = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[to.len()]
}

struct Faults(Option<Error>);

impl Faults {
    fn add(&mut self, span: Span, text: &str) {
        self.join(Error::new(span, text));
    }

    fn join(&mut self, fault: Error) {
        match &mut self.0 {
            Some(faults) => faults.combine(fault),
            None => self.0 = Some(fault),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(block: &str) -> Vec<String> {
        let block: ItemImpl = syn::parse_str(block).expect("an `impl` block");
        let found = find(&block);
        found
            .err()
            .into_iter()
            .flatten()
            .map(|fault| fault.to_string())
            .collect()
    }

    fn check(block: &str, expected: &[&str]) {
        assert_eq!(faults(block), expected);
    }

    #[test]
    fn every_form_that_the_messages_show_is_accepted() {
        for (kind, name, _, form) in KINDS {
            let block = syn::parse_str(&format!("impl M {{ {form} {{}} }}")).expect(name);
            let found = find(&block).unwrap_or_else(|err| panic!("{name}: {err}"));
            assert_eq!(found[0].kind, *kind);
            assert_eq!(found[0].arguments.len(), kind.arguments());
        }
    }

    #[test]
    fn a_misspelt_handler_is_named_with_the_right_one() {
        check(
            "impl M { fn mesage(&mut self, message: &Message) {} }",
            &[
                "no handler is named `mesage`: did you mean `message`?; other functions go into an `impl` block without `#[module]`",
            ],
        );
    }

    #[test]
    fn another_function_is_sent_elsewhere() {
        check(
            "impl M { fn compute_average(&self) -> f64 { 0.0 } fn init(&mut self) {} }",
            &[
                "no handler is named `compute_average`: handlers are init, message, desired, desired_update, method, timer, shutdown, health; other functions go into an `impl` block without `#[module]`",
            ],
        );
    }

    #[test]
    fn wrong_signatures_are_told_with_the_right_form() {
        check(
            "impl M { fn message(&mut self) {} }",
            &[
                "`message` takes one thing beside the module, not 0; it is written `fn message(&mut self, message: &Message) -> Result`",
            ],
        );
        check(
            "impl M { fn health(&self, x: u32) {} }",
            &[
                "`health` takes nothing beside the module; it is written `fn health(&self) -> Result`",
            ],
        );
        check(
            "impl M { fn init(self) {} }",
            &[
                "`init` borrows the module, which stays for the next call; it is written `fn init(&mut self) -> Result`",
            ],
        );
        check(
            "impl M { fn timer(tick: Tick) {} }",
            &[
                "`timer` takes the module as `&mut self` or `&self`; it is written `fn timer(&mut self, tick: Tick) -> Result`",
            ],
        );
        check(
            "impl M { async fn init(&mut self) {} }",
            &[
                "`init` is called and has to answer: it cannot be `async`; it is written `fn init(&mut self) -> Result`",
            ],
        );
        check(
            "impl M { fn desired<T>(&mut self, desired: T) {} }",
            &[
                "`desired` has no parameters of types or lifetimes; it is written `fn desired(&mut self, desired: T) -> Result`",
            ],
        );
        check(
            "impl M { #[cfg(test)] fn init(&mut self) {} }",
            &[
                "a handler cannot depend on `cfg`: put the attribute at the whole block; it is written `fn init(&mut self) -> Result`",
            ],
        );
    }

    #[test]
    fn all_faults_are_told_at_once() {
        assert_eq!(
            faults("impl M { fn inti(&mut self) {} fn health(self) {} }").len(),
            2
        );
    }

    #[test]
    fn a_block_that_cannot_be_a_module_is_refused() {
        check(
            "impl M {}",
            &[
                "a module has at least one handler: `init`, `message`, `desired`, `desired_update`, `method`, `timer`, `shutdown`, `health`",
            ],
        );
        check(
            "impl<T> M<T> { fn init(&mut self) {} }",
            &["a module's type has no parameters: the host makes one of it"],
        );
        check(
            "impl Default for M { fn init(&mut self) {} }",
            &["`#[module]` stands at an `impl` block of the module's own type, not of a trait"],
        );
        check(
            "impl M { fn desired(&mut self, d: D) {} fn desired_update(&mut self, u: U) {} }",
            &["a module has `desired` or `desired_update`, not both"],
        );
    }
}
