//! `man`: manual pages, of the program and of each command, made from the grammar.

use std::path::Path;

use clap::{Command, CommandFactory};
use clap_mangen::Man;

use crate::args::{Cli, ManArgs};
use crate::exit_codes::ExitStatus;
use crate::failure::Failure;
use crate::output::Output;
use crate::output::text::Text;

/// The section of user commands.
const SECTION: &str = "1";

/// A manual page.
struct Page {
    /// Its file's name, such as `wasm-edge-twin-get.1`.
    name: String,
    /// What `man` reads.
    roff: Vec<u8>,
}

/// Writes all pages into a folder, or prints the one of the program.
///
/// # Errors
/// When a page cannot be written.
pub(super) fn execute(args: &ManArgs, output: &Output) -> anyhow::Result<ExitStatus> {
    let pages = pages()?;
    let Some(folder) = &args.dir else {
        if let Some(first) = pages.first() {
            output.verbatim(&String::from_utf8_lossy(&first.roff))?;
        }
        return Ok(ExitStatus::Ok);
    };
    for page in &pages {
        write(folder, page)?;
    }
    let text = format!("{} pages are in `{}`", pages.len(), folder.display());
    output.note(&Text::new().plain(&text));
    Ok(ExitStatus::Ok)
}

fn write(folder: &Path, page: &Page) -> Result<(), Failure> {
    let file = folder.join(&page.name);
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(&file, &page.roff))
        .map_err(|err| {
            let what = format!("cannot write `{}`", file.display());
            Failure::new(ExitStatus::Failure, what).caused_by(err)
        })
}

/// The page of the program, then those of all commands and groups of commands.
fn pages() -> std::io::Result<Vec<Page>> {
    let mut program = Cli::command().disable_help_subcommand(true);
    program.build();
    let mut pages = Vec::new();
    add(&program, &mut pages)?;
    Ok(pages)
}

fn add(command: &Command, pages: &mut Vec<Page>) -> std::io::Result<()> {
    let title = command
        .get_display_name()
        .unwrap_or(command.get_name())
        .to_owned();
    let mut roff = Vec::new();
    Man::new(command.clone())
        .title(&title)
        .section(SECTION)
        .render(&mut roff)?;
    pages.push(Page {
        name: format!("{title}.{SECTION}"),
        roff,
    });
    for child in command
        .get_subcommands()
        .filter(|child| !child.is_hide_set())
    {
        add(child, pages)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_that_names_its_options() {
        let pages = pages().unwrap();
        let text = |name: &str| {
            let page = pages.iter().find(|page| page.name == name);
            let page = page.unwrap_or_else(|| panic!("there is no page `{name}`"));
            String::from_utf8(page.roff.clone()).unwrap()
        };
        assert!(text("wasm-edge.1").contains(r"wasm\-edge\-twin(1)"));
        assert!(text("wasm-edge.1").contains("Exit codes:"));
        assert!(text("wasm-edge-twin.1").contains(r"wasm\-edge\-twin\-patch(1)"));
        assert!(text("wasm-edge-twin-patch.1").contains(r"\-\-etag"));
        assert!(text("wasm-edge-logs.1").contains(r"\-\-data\-dir"));
        let mut names: Vec<_> = pages.iter().map(|page| &page.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), pages.len());
    }
}
