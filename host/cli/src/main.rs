//! The binary `wasm-edge`.

mod args;
#[cfg(feature = "hub")]
mod bench;
mod client;
mod commands;
#[cfg(feature = "hub")]
mod deployment_file;
mod duration;
mod exit_codes;
mod failure;
mod lines_file;
mod live;
#[cfg(feature = "hub")]
mod logging;
mod output;
#[cfg(feature = "hub")]
mod run;
mod run_view;
mod text_file;

fn main() -> std::process::ExitCode {
    commands::main(std::env::args_os()).into()
}
