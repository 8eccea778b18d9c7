//! `build`: a module's crate to a component, and what came out. The building itself is in [`crate::build`].

use std::path::Path;

use serde::Serialize;

use crate::args::author::BuildArgs;
use crate::build::component::{BuiltComponent, Kind, imports_by_package};
use crate::build::{self, BuildError, BuildRequest, Built, Voice};
use crate::exit_codes::ExitStatus;
use crate::output::text::{Style, Text};
use crate::output::{Output, OutputError, Verbosity, human};

/// The column that values begin in.
const VALUE_COLUMN: usize = 12;

/// The JSON output.
#[derive(Serialize)]
struct Report<'a> {
    components: &'a [BuiltComponent],
    warnings: &'a [String],
}

/// Builds, and prints what came out.
///
/// # Errors
/// When cargo fails, or a device would refuse what came out.
pub(super) fn execute(args: BuildArgs, output: &Output) -> anyhow::Result<ExitStatus> {
    let Some(folder) = build::crate_folder(&args.path) else {
        let folder = args.path.clone();
        return Err(BuildError::NoCrate { folder }
            .into_failure(&args.path)
            .into());
    };
    let request = BuildRequest {
        folder,
        profile: args.profile(),
        names: args.names,
        cargo_args: args.cargo_args,
        voice: Voice {
            color: output.colors_messages(),
            quiet: output.verbosity() == Verbosity::Quiet,
        },
    };
    let built = build::build(&request, None).map_err(|err| err.into_failure(&args.path))?;
    for warning in &built.warnings {
        output.warn(warning);
    }
    let took = format!("built in {:.1} s", built.took.as_secs_f64());
    output.note(&Text::new().plain(&took));
    if output.is_json() {
        output.json(&Report {
            components: &built.components,
            warnings: &built.warnings,
        })?;
    } else {
        print(&built, output)?;
    }
    Ok(ExitStatus::Ok)
}

fn print(built: &Built, output: &Output) -> Result<(), OutputError> {
    let here = std::env::current_dir().unwrap_or_default();
    for (index, component) in built.components.iter().enumerate() {
        if index > 0 {
            output.line(&Text::new())?;
        }
        for line in page(component, &here) {
            output.line(&line)?;
        }
    }
    Ok(())
}

/// What a person sees of a component; its path from `here`, if it lies below.
fn page(component: &BuiltComponent, here: &Path) -> Vec<Text> {
    let path = component.path.strip_prefix(here).unwrap_or(&component.path);
    let mut lines = vec![Text::new().styled(Style::Bold, &path.display().to_string())];
    let mut line = |name: &str, value: &str| {
        let text = Text::new().plain("  ").plain(name).pad_to(VALUE_COLUMN);
        lines.push(text.plain(value));
    };
    line("size", &human::size(component.size_bytes));
    match component.kind {
        Kind::Handlers => line("handlers", &component.handlers.join(", ")),
        Kind::Program => line("program", "has a loop of its own"),
    }
    for (index, (package, interfaces)) in imports_by_package(&component.imports).iter().enumerate()
    {
        let name = if index == 0 { "imports" } else { "" };
        line(name, &format!("{package}: {interfaces}"));
    }
    let memory = format!(
        "{} at its start",
        human::size(component.memory_initial_bytes)
    );
    line("memory", &memory);
    line("digest", &component.digest);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_is_shown_with_what_its_author_asks_first() {
        let component = BuiltComponent {
            path: "/w/target/greeter.wasm".into(),
            size_bytes: 99_000,
            digest: "sha256:00".to_owned(),
            kind: Kind::Handlers,
            handlers: vec!["init".to_owned(), "message".to_owned()],
            imports: vec![
                "wasi:cli/exit@0.2.6".to_owned(),
                "wasm-edge:module/log@0.1.0".to_owned(),
                "wasm-edge:module/messages@0.1.0".to_owned(),
            ],
            memory_initial_bytes: 17 << 16,
        };
        let lines = page(&component, Path::new("/w"));
        let text: Vec<String> = lines.iter().map(|line| line.render(false)).collect();
        let expected = [
            "target/greeter.wasm",
            "  size      96.6 KiB",
            "  handlers  init, message",
            "  imports   wasi:cli: exit",
            "            wasm-edge:module: log, messages",
            "  memory    1.06 MiB at its start",
            "  digest    sha256:00",
        ];
        assert_eq!(text, expected);
        let elsewhere = page(&component, Path::new("/v"));
        assert_eq!(elsewhere[0].render(false), "/w/target/greeter.wasm");
    }
}
