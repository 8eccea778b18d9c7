//! The binary `wasm-edge`.

mod args;
#[cfg(feature = "hub")]
mod bench;
#[cfg(feature = "compiler")]
mod build;
mod client;
mod commands;
mod component_file;
mod config_file;
mod daemon;
mod data_folder;
mod deployment_file;
mod device_name;
mod duration;
mod exit_codes;
mod failure;
#[cfg(feature = "hub")]
mod hub_server;
mod lines_file;
mod live;
mod logging;
mod logins;
mod metrics_server;
mod open_files;
mod output;
mod registries;
#[cfg(feature = "hub")]
mod run;
mod run_view;
#[cfg(feature = "compiler")]
mod sdk;
#[cfg(feature = "compiler")]
mod template;
#[cfg(feature = "test")]
mod test;
mod text_file;
mod uploads;
#[cfg(any(feature = "compiler", feature = "hub"))]
mod user_folders;

fn main() -> std::process::ExitCode {
    commands::main(std::env::args_os()).into()
}
