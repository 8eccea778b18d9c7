//! Tests of [`super`], and the captured output that tests of other files print to.

use std::sync::Arc;

use super::*;
use crate::exit_codes::ExitStatus;
use crate::failure::Failure;

/// What was printed to one stream.
#[derive(Clone, Default)]
pub(crate) struct Captured(Arc<Mutex<Vec<u8>>>);

impl Captured {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An output whose standard output and standard error are captured.
pub(crate) fn captured(
    format: Format,
    color: bool,
    verbosity: Verbosity,
) -> (Output, Captured, Captured) {
    let (data, messages) = (Captured::default(), Captured::default());
    let output = Output {
        format,
        verbosity,
        data: Sink::new(data.clone(), color),
        messages: Sink::new(messages.clone(), color),
    };
    (output, data, messages)
}

struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn colour_follows_the_flag_then_no_color_then_the_terminal() {
    let set = |text: &'static str| Some(OsStr::new(text));
    let check = |choice, terminal, no_color, term, expected| {
        assert_eq!(use_color(choice, terminal, no_color, term), expected);
    };
    check(ColorChoice::Auto, true, None, set("xterm"), true);
    check(ColorChoice::Auto, false, None, set("xterm"), false);
    check(ColorChoice::Auto, true, set("1"), set("xterm"), false);
    check(ColorChoice::Auto, true, set(""), set("xterm"), true);
    check(ColorChoice::Auto, true, None, set("dumb"), false);
    check(ColorChoice::Always, false, set("1"), set("dumb"), true);
    check(ColorChoice::Never, true, None, set("xterm"), false);
}

#[test]
fn an_error_is_printed_with_its_causes_and_its_hint() {
    let (output, data, messages) = captured(Format::Text, false, Verbosity::Quiet);
    let failure = Failure::new(ExitStatus::NotFound, "no module `x`").hint("run\n  wasm-edge list");
    let error = anyhow::Error::from(failure).context("cannot read the twin");
    output.error(&error);
    assert_eq!(
        messages.text(),
        "error: cannot read the twin\ncaused by: no module `x`\n\nhint: run\n  wasm-edge list\n"
    );
    assert_eq!(data.text(), "");
}

#[test]
fn an_error_cannot_carry_control_characters_to_the_terminal() {
    let (output, _, messages) = captured(Format::Text, true, Verbosity::Normal);
    output.error(&anyhow::anyhow!("bad \x1b[2J name\nsecond \x07 line"));
    assert_eq!(
        messages.text(),
        "\x1b[1;31merror:\x1b[0m bad \\u{1b}[2J name\nsecond \\u{7} line\n"
    );
}

#[test]
fn quiet_hides_notes_and_warnings() {
    let (output, _, messages) = captured(Format::Text, false, Verbosity::Quiet);
    output.warn("slow disk");
    output.note(&Text::new().plain("started"));
    assert_eq!(messages.text(), "");
    let (output, _, messages) = captured(Format::Text, false, Verbosity::Normal);
    output.warn("slow disk");
    assert_eq!(messages.text(), "warning: slow disk\n");
}

#[test]
fn a_closed_pipe_is_told_apart_from_a_failed_write() {
    let (mut output, ..) = captured(Format::Json, false, Verbosity::Normal);
    output.data = Sink::new(Closed, false);
    let error = output.json(&1).unwrap_err();
    assert!(matches!(error, OutputError::ReaderGone), "{error:?}");
}

#[test]
fn json_carries_no_control_characters_either() {
    let (output, data, _) = captured(Format::Json, false, Verbosity::Normal);
    output.json_line(&"a\x1b\u{9b}\u{202e}é").unwrap();
    assert_eq!(data.text(), "\"a\\u001b\\u009b\\u202eé\"\n");
}
