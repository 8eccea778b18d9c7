//! The code that `#[module]` stands for: the author's block as it is, and beside it the exports.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Error, ItemImpl, Type};

use crate::handlers::{self, Handler, Kind};
use crate::wit;

/// The interfaces of the world `imports`; exports use the SDK's types for them.
const IMPORTS: &[&str] = &["identity", "log", "messages", "methods", "timer", "twin"];

/// Expands the attribute. Faults become compile errors beside the author's block, which stays, so that nothing else is reported missing.
pub(crate) fn module(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let code = check(arguments, item.clone()).map(|(block, found)| exports(&block.self_ty, &found));
    let code = code.unwrap_or_else(Error::into_compile_error);
    quote! { #item #code }
}

fn check(arguments: TokenStream, item: TokenStream) -> syn::Result<(ItemImpl, Vec<Handler>)> {
    if !arguments.is_empty() {
        return Err(Error::new_spanned(
            arguments,
            "`#[module]` takes no arguments",
        ));
    }
    let Ok(block) = syn::parse2::<ItemImpl>(item.clone()) else {
        let text = "`#[module]` stands at the `impl` block that has the handlers";
        return Err(Error::new_spanned(item, text));
    };
    let found = handlers::find(&block)?;
    Ok((block, found))
}

/// The trait that both the component's exports and the tests' harness call, and the exports, where there are some.
fn exports(module: &Type, found: &[Handler]) -> TokenStream {
    let handlers = found.iter().map(|handler| handler_fn(module, handler));
    let names = found.iter().map(|handler| handler.kind.name());
    let component = component(module, found);
    let sdk = quote! { ::wasm_edge_sdk::__private };
    quote! {
        #[allow(clippy::all, clippy::pedantic, reason = "generated")]
        impl #sdk::Module for #module {
            const HANDLERS: &'static [&'static str] = &[#(#names),*];
            #(#handlers)*
        }
        // Natively nothing but a test makes one; this keeps the compiler from calling the type unused.
        const _: fn() -> #module = <#module as ::core::default::Default>::default;
        #component
    }
}

/// What only a component has: the world, its exports, and the one instance of the module that they call.
fn component(module: &Type, found: &[Handler]) -> TokenStream {
    let worlds: Vec<&str> = found.iter().map(|handler| handler.kind.world()).collect();
    let wit = wit::inline(&worlds);
    let with = IMPORTS.iter().map(|name| {
        let interface = format!("{}/{name}@{}", wit::PACKAGE, wit::VERSION);
        let path = syn::Ident::new(name, Span::call_site());
        quote! { #interface: ::wasm_edge_sdk::__private::bindings::#path }
    });
    let guests = found.iter().map(|handler| guest(module, handler.kind));
    let state = quote_spanned! { module.span() =>
        <#module as ::core::default::Default>::default()
    };
    quote! {
        #[cfg(target_arch = "wasm32")]
        #[doc(hidden)]
        #[allow(warnings, clippy::all, clippy::pedantic, unsafe_code, reason = "generated from the WIT")]
        mod __wasm_edge_module {
            ::wasm_edge_sdk::__private::wit_bindgen::generate!({
                // No folder is read, not even one named `wit` in the author's crate.
                path: [],
                inline: #wit,
                runtime_path: "::wasm_edge_sdk::__private::wit_bindgen::rt",
                with: { #(#with),* },
            });
        }
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Exports;
            ::std::thread_local! {
                static STATE: ::wasm_edge_sdk::__private::Slot<#module> =
                    ::wasm_edge_sdk::__private::Slot::new(#state);
            }
            #(#guests)*
            #[allow(unsafe_code, reason = "the exports of a component are unsafe to name")]
            const _: () = {
                __wasm_edge_module::export!(Exports with_types_in __wasm_edge_module);
            };
        };
    }
}

/// Name, arguments with their types, and answer of a handler's function, as in the trait `Module` and as exported.
struct Form {
    interface: TokenStream,
    /// The name of the exported function, where it is not `handle`.
    exported: TokenStream,
    name: TokenStream,
    arguments: TokenStream,
    passed: TokenStream,
    answer: TokenStream,
}

impl Form {
    fn of(kind: Kind) -> Self {
        let raw = quote! { ::wasm_edge_sdk::__private::bindings };
        let string = quote! { ::std::string::String };
        let failed = quote! { ::core::result::Result<(), #string> };
        let form = |interface, exported, name, arguments, passed, answer| Self {
            interface,
            exported,
            name,
            arguments,
            passed,
            answer,
        };
        let (handle, none) = (quote!(handle), TokenStream::new());
        match kind {
            Kind::Init => {
                let init = quote!(init);
                form(init.clone(), init.clone(), init, none.clone(), none, failed)
            }
            Kind::Message => form(
                quote!(message_handler),
                handle,
                quote!(message),
                quote!(message: &#raw::messages::Message),
                quote!(message),
                quote!(::core::result::Result<(), #raw::messages::Failure>),
            ),
            Kind::Desired | Kind::DesiredUpdate => form(
                quote!(twin_handler),
                handle,
                quote!(desired),
                quote!(update: #raw::twin::DesiredUpdate),
                quote!(update),
                failed,
            ),
            Kind::Method => form(
                quote!(method_handler),
                handle,
                quote!(method),
                quote!(name: #string, payload: #string),
                quote!(name, payload),
                quote!(#raw::methods::Response),
            ),
            Kind::Timer => form(
                quote!(timer_handler),
                handle,
                quote!(timer),
                quote!(tick: #raw::timer::Tick),
                quote!(tick),
                failed,
            ),
            Kind::Shutdown => form(
                quote!(shutdown),
                quote!(shutdown),
                quote!(shutdown),
                quote!(grace_ms: u32),
                quote!(grace_ms),
                quote!(()),
            ),
            Kind::Health => form(
                quote!(health),
                quote!(check),
                quote!(health),
                none.clone(),
                none,
                failed,
            ),
        }
    }
}

/// The function of the trait `Module` that calls the author's.
fn handler_fn(module: &Type, handler: &Handler) -> TokenStream {
    let Form {
        name,
        arguments,
        answer,
        ..
    } = Form::of(handler.kind);
    let call = call(module, handler);
    quote! {
        fn #name(&mut self, #arguments) -> #answer {
            let module = self;
            #call
        }
    }
}

/// The trait of one exported interface, whose only function calls that of the trait `Module`.
fn guest(module: &Type, kind: Kind) -> TokenStream {
    let Form {
        interface,
        exported,
        name,
        arguments,
        passed,
        answer,
    } = Form::of(kind);
    quote! {
        impl __wasm_edge_module::exports::wasm_edge::module::#interface::Guest for Exports {
            fn #exported(#arguments) -> #answer {
                ::wasm_edge_sdk::__private::enter(&STATE, |module| {
                    <#module as ::wasm_edge_sdk::__private::Module>::#name(module, #passed)
                })
            }
        }
    }
}

/// The call of the author's function through the SDK's glue.
///
/// Arguments carry the place of the author's types and the call that of the answer's type, so that the compiler reports a wrong type where the author wrote it.
fn call(module: &Type, handler: &Handler) -> TokenStream {
    let sdk = quote! { ::wasm_edge_sdk::__private };
    let names = ["first", "second"];
    let arguments: Vec<syn::Ident> = handler
        .arguments
        .iter()
        .zip(names)
        .map(|(span, name)| syn::Ident::new(name, span.resolved_at(Span::mixed_site())))
        .collect();
    let name = match handler.kind {
        Kind::Init => quote!(init),
        Kind::Message => quote!(message),
        Kind::Desired => quote!(desired),
        Kind::DesiredUpdate => quote!(desired_update),
        Kind::Method => quote!(method),
        Kind::Timer => quote!(timer),
        Kind::Shutdown => quote!(shutdown),
        Kind::Health => quote!(health),
    };
    let author = quote_spanned! { handler.answer => <#module>::#name(module #(, #arguments)*) };
    // A variable of its own gives the compiler one place to point at.
    let answer = syn::Ident::new("answer", handler.answer.resolved_at(Span::mixed_site()));
    let convert = match handler.kind {
        Kind::Method => quote! { #sdk::Answer::answer },
        _ => quote! { #sdk::Outcome::outcome },
    };
    let answer = quote! {{
        let #answer = #author;
        #convert(#answer)
    }};
    let handler_fn = quote! { |#(#arguments),*| #answer };
    // The author's own type of argument, if any, is the last, and the only one with a bound.
    let place = handler
        .arguments
        .last()
        .copied()
        .unwrap_or_else(Span::call_site);
    match handler.kind {
        Kind::Init | Kind::Health => quote! { #sdk::plain(#handler_fn) },
        Kind::Message => quote! { #sdk::message(message, #handler_fn) },
        Kind::Desired => {
            quote_spanned! { place => ::wasm_edge_sdk::__private::desired(update, #handler_fn) }
        }
        Kind::DesiredUpdate => quote! { #sdk::desired_update(update, #handler_fn) },
        Kind::Method => {
            quote_spanned! { place => ::wasm_edge_sdk::__private::method(&name, &payload, #handler_fn) }
        }
        Kind::Timer => quote! { #sdk::timer(tick, #handler_fn) },
        Kind::Shutdown => quote! { #sdk::shutdown(grace_ms, #handler_fn) },
    }
}
