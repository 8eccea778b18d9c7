//! The attribute `#[module]` of `wasm-edge-sdk`; authors use it from there.
//!
//! It checks the handlers in an `impl` block (`handlers`), writes the exports for them (`expand`), and carries the WIT package in its text (`wit`), so that an author's crate needs no WIT of its own and one that is there is left alone.

mod expand;
mod handlers;
mod wit;

use proc_macro::TokenStream;

/// Makes a type the module: the handlers in this `impl` block are exported, and nothing else.
///
/// The type needs [`Default`]; it is made at the first call and keeps its state until the instance ends.
/// All handlers take `&mut self` or `&self`, and answer nothing, or a `Result<(), E>` with any error `E`.
/// Other functions go into an `impl` block without the attribute.
///
/// | Handler | When it is called |
/// | --- | --- |
/// | `fn init(&mut self)` | once, before anything else; an error ends the module as failed |
/// | `fn message(&mut self, message: &Message)` | a message came to an input; an error says what becomes of it |
/// | `fn desired(&mut self, desired: T)` | with all desired properties, read into `T` by serde: once after `init`, then each time they change |
/// | `fn desired_update(&mut self, update: DesiredUpdate)` | instead of `desired`: with all of them once, then what changed |
/// | `fn method(&mut self, name: &str, payload: T) -> Response` | a direct method was called, its payload read into `T` (`Value` for any) |
/// | `fn timer(&mut self, tick: Tick)` | a timer was due |
/// | `fn health(&self)` | from time to time; an error says what is wrong |
/// | `fn shutdown(&mut self, grace: Duration)` | once, before the module is stopped |
#[proc_macro_attribute]
pub fn module(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand::module(arguments.into(), item.into()).into()
}
