//! Everything that the binary prints passes through here.
//!
//! Data goes to standard output, all else to standard error. Text that comes from outside (guests, hubs, files) is
//! made harmless before it reaches a terminal; colour is added here and nowhere else. A reader that goes away ends
//! the command quietly: [`OutputError::ReaderGone`] travels up as an error and `commands` turns it into success.

pub(crate) mod escape;
pub(crate) mod human;
pub(crate) mod progress;
pub(crate) mod table;
pub(crate) mod text;

use std::ffi::OsStr;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use self::table::Table;
use self::text::{Style, Text};
use crate::failure;

/// The form in which data is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people: tables, sizes with units, relative times.
    #[default]
    Text,
    /// For programs: one JSON document, or one JSON value per line where data keeps coming.
    Json,
}

/// When colour is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ColorChoice {
    /// On a terminal, unless `NO_COLOR` is set or `TERM` is `dumb`.
    #[default]
    Auto,
    /// Also into files and pipes.
    Always,
    /// Not at all.
    Never,
}

/// How much goes to standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verbosity {
    /// Errors only.
    Quiet,
    /// Errors, warnings and notes.
    #[default]
    Normal,
    /// What the host does, too.
    Verbose,
    /// Every step of the host.
    Debug,
}

/// Why standard output took no more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OutputError {
    /// The reading end of the pipe was closed, as by `head`. Not a failure of ours.
    #[error("the reader of standard output has gone")]
    ReaderGone,
    /// Writing failed.
    #[error("cannot write to standard output")]
    Write(#[source] io::Error),
    /// The value has no JSON form.
    #[error("cannot write as JSON")]
    Json(#[source] serde_json::Error),
}

/// Where the command's data, notes and errors go.
///
/// Shared among the tasks of a command, clones included; each call writes whole lines.
#[derive(Clone)]
pub(crate) struct Output {
    format: Format,
    verbosity: Verbosity,
    data: Sink,
    messages: Sink,
}

#[derive(Clone)]
struct Sink {
    /// Held only while one piece of text is written.
    writer: Arc<Mutex<Box<dyn Write + Send>>>,
    color: bool,
}

impl Output {
    /// Prints to the process's standard streams.
    pub(crate) fn to_standard_streams(
        format: Format,
        color: ColorChoice,
        verbosity: Verbosity,
    ) -> Self {
        let no_color = std::env::var_os("NO_COLOR");
        let term = std::env::var_os("TERM");
        let uses_color =
            |is_terminal| use_color(color, is_terminal, no_color.as_deref(), term.as_deref());
        Self {
            format,
            verbosity,
            data: Sink::new(io::stdout(), uses_color(io::stdout().is_terminal())),
            messages: Sink::new(io::stderr(), uses_color(io::stderr().is_terminal())),
        }
    }

    /// Whether data is to be printed as JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// How much the person wants to hear on standard error.
    pub(crate) fn verbosity(&self) -> Verbosity {
        self.verbosity
    }

    /// Whether what goes to standard error may be coloured.
    pub(crate) fn colors_messages(&self) -> bool {
        self.messages.color
    }

    /// Prints one line of data.
    pub(crate) fn line(&self, text: &Text) -> Result<(), OutputError> {
        self.data.write(&(text.render(self.data.color) + "\n"))
    }

    /// Prints a table of data with its header.
    pub(crate) fn table(&self, table: &Table) -> Result<(), OutputError> {
        self.data.write(&table.render(self.data.color))
    }

    /// Prints data as one indented JSON document.
    pub(crate) fn json(&self, value: &impl Serialize) -> Result<(), OutputError> {
        let text = serde_json::to_string_pretty(value).map_err(OutputError::Json)?;
        self.data.write(&(escape::json(&text).into_owned() + "\n"))
    }

    /// Prints data as JSON on one line, for output that keeps coming.
    pub(crate) fn json_line(&self, value: &impl Serialize) -> Result<(), OutputError> {
        let text = serde_json::to_string(value).map_err(OutputError::Json)?;
        self.data.write(&(escape::json(&text).into_owned() + "\n"))
    }

    /// Prints data that this program made itself, as it is: a completion script, a help page.
    pub(crate) fn verbatim(&self, text: &str) -> Result<(), OutputError> {
        self.data.write(text)
    }

    /// Prints data that is no text, as it is.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> Result<(), OutputError> {
        self.data.write_bytes(bytes)
    }

    /// Prints a help page of clap's.
    pub(crate) fn page(&self, page: &clap::builder::StyledStr) -> Result<(), OutputError> {
        self.data.write(&self.data.rendered(page))
    }

    /// Prints clap's own message, as it is, to standard error.
    ///
    /// What it quotes of the arguments is the person's own.
    pub(crate) fn usage_error(&self, error: &clap::builder::StyledStr) {
        self.messages
            .write_or_give_up(&self.messages.rendered(error));
    }

    /// Tells the person what to do next, beside what was printed.
    pub(crate) fn hint(&self, hint: &str) {
        let text = Text::new().styled(Style::Cyan, "hint:").plain(" ");
        self.note(&text.plain(hint));
    }

    /// Tells the person something on standard error; nothing when quiet.
    pub(crate) fn note(&self, text: &Text) {
        if self.verbosity >= Verbosity::Normal {
            self.messages
                .write_or_give_up(&(text.render(self.messages.color) + "\n"));
        }
    }

    /// Warns on standard error; nothing when quiet.
    pub(crate) fn warn(&self, text: &str) {
        if self.verbosity >= Verbosity::Normal {
            self.fault(text);
        }
    }

    /// Tells the faults of a file on standard error, also when quiet: they are part of the error that follows. Answers
    /// how many there are, as that error says it.
    pub(crate) fn faults(&self, file: &Path, faults: &[impl Display]) -> String {
        for fault in faults {
            self.fault(&format!("{}: {fault}", file.display()));
        }
        human::count(faults.len(), "fault")
    }

    fn fault(&self, text: &str) {
        let line = Text::new()
            .styled(Style::Yellow, "warning:")
            .plain(" ")
            .plain(text);
        self.messages
            .write_or_give_up(&(line.render(self.messages.color) + "\n"));
    }

    /// Prints an error, what caused it, and the hint, if any.
    pub(crate) fn error(&self, error: &anyhow::Error) {
        let mut page = String::new();
        self.labelled(&mut page, Style::Red, "error:", &error.to_string());
        for cause in error.chain().skip(1) {
            self.labelled(&mut page, Style::Dim, "caused by:", &cause.to_string());
        }
        if let Some(hint) = failure::hint(error) {
            page.push('\n');
            self.labelled(&mut page, Style::Cyan, "hint:", hint);
        }
        self.messages.write_or_give_up(&page);
    }

    /// Whether nobody reads standard output any more, for commands that wait long between two lines.
    ///
    /// Only a pipe or a socket tells; for anything else this is `false`.
    pub(crate) fn reader_is_gone(&self) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let stdout = io::stdout();
        let mut ends = [PollFd::new(&stdout, PollFlags::empty())];
        let at_once = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        poll(&mut ends, Some(&at_once)).is_ok() && ends[0].revents().contains(PollFlags::ERR)
    }

    /// Whether what goes to standard output is shown on a terminal, which is no place for data that is no text.
    pub(crate) fn shows_data(&self) -> bool {
        io::stdout().is_terminal()
    }

    /// A label, then the text; further lines of the text are kept apart, each made harmless.
    fn labelled(&self, page: &mut String, style: Style, label: &str, text: &str) {
        let mut lines = text.lines();
        let first = Text::new()
            .styled(style, label)
            .plain(" ")
            .plain(lines.next().unwrap_or_default());
        page.push_str(&first.render(self.messages.color));
        page.push('\n');
        for line in lines {
            page.push_str(&escape::harmless(line));
            page.push('\n');
        }
    }
}

impl Sink {
    fn new(writer: impl Write + Send + 'static, color: bool) -> Self {
        Self {
            writer: Arc::new(Mutex::new(Box::new(writer))),
            color,
        }
    }

    fn write(&self, text: &str) -> Result<(), OutputError> {
        self.write_bytes(text.as_bytes())
    }

    fn write_bytes(&self, bytes: &[u8]) -> Result<(), OutputError> {
        // A writer that panicked left nothing half done that matters to the next line.
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let written = writer.write_all(bytes).and_then(|()| writer.flush());
        written.map_err(|err| match err.kind() {
            io::ErrorKind::BrokenPipe => OutputError::ReaderGone,
            _ => OutputError::Write(err),
        })
    }

    fn rendered(&self, page: &clap::builder::StyledStr) -> String {
        if self.color {
            page.ansi().to_string()
        } else {
            page.to_string()
        }
    }

    /// For standard error: when it cannot be written there is nobody left to tell.
    fn write_or_give_up(&self, text: &str) {
        drop(self.write(text));
    }
}

/// The rule of <https://no-color.org>: a set and non-empty `NO_COLOR` turns colour off, a flag says otherwise.
fn use_color(
    choice: ColorChoice,
    is_terminal: bool,
    no_color: Option<&OsStr>,
    term: Option<&OsStr>,
) -> bool {
    match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => {
            is_terminal
                && no_color.is_none_or(OsStr::is_empty)
                && term.is_none_or(|term| term != "dumb")
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
