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

fn exports(module: &Type, found: &[Handler]) -> TokenStream {
    let worlds: Vec<&str> = found.iter().map(|handler| handler.kind.world()).collect();
    let wit = wit::inline(&worlds);
    let with = IMPORTS.iter().map(|name| {
        let interface = format!("{}/{name}@{}", wit::PACKAGE, wit::VERSION);
        let path = syn::Ident::new(name, Span::call_site());
        quote! { #interface: ::wasm_edge_sdk::__private::bindings::module::#path }
    });
    let guests = found.iter().map(|handler| guest(module, handler));
    let state = quote_spanned! { module.span() =>
        <#module as ::core::default::Default>::default()
    };
    quote! {
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
        const _: () = {
            struct Module;
            ::std::thread_local! {
                static STATE: ::wasm_edge_sdk::__private::Slot<#module> =
                    ::wasm_edge_sdk::__private::Slot::new(#state);
            }
            #(#guests)*
            #[allow(unsafe_code, reason = "the exports of a component are unsafe to name")]
            const _: () = {
                __wasm_edge_module::export!(Module with_types_in __wasm_edge_module);
            };
        };
    }
}

/// The trait of one exported interface, whose only function calls the author's.
fn guest(module: &Type, handler: &Handler) -> TokenStream {
    let sdk = quote! { ::wasm_edge_sdk::__private };
    let raw = quote! { #sdk::bindings::module };
    let call = call(module, handler);
    let enter = quote! { #sdk::enter(&STATE, |module| #call) };
    let failed = quote! { ::core::result::Result<(), ::std::string::String> };
    let (interface, function) = match handler.kind {
        Kind::Init => (quote!(init), quote! { fn init() -> #failed { #enter } }),
        Kind::Message => (
            quote!(message_handler),
            quote! {
                fn handle(message: &#raw::messages::Message) -> ::core::result::Result<(), #raw::messages::Failure> { #enter }
            },
        ),
        Kind::Desired | Kind::DesiredUpdate => (
            quote!(twin_handler),
            quote! { fn handle(update: #raw::twin::DesiredUpdate) -> #failed { #enter } },
        ),
        Kind::Method => (
            quote!(method_handler),
            quote! {
                fn handle(name: ::std::string::String, payload: ::std::string::String) -> #raw::methods::Response { #enter }
            },
        ),
        Kind::Timer => (
            quote!(timer_handler),
            quote! { fn handle(tick: #raw::timer::Tick) -> #failed { #enter } },
        ),
        Kind::Shutdown => (
            quote!(shutdown),
            quote! { fn shutdown(grace_ms: u32) { #enter } },
        ),
        Kind::Health => (quote!(health), quote! { fn check() -> #failed { #enter } }),
    };
    quote! {
        impl __wasm_edge_module::exports::wasm_edge::module::#interface::Guest for Module {
            #function
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
