//! Console blocks of a document, run in one shell as a reader would, and what is shown compared with what comes.
//!
//! A document is read into [`Step`]s: commands with the output that is shown below them, files that the reader is told
//! to write, and what the text says that is printed. Compared is the *shape* of output: names and words, not numbers,
//! sizes and times; see [`shape`].

use std::process::Stdio;

use crate::home::Home;
use crate::lines::Lines;
use crate::process::Process;

/// How many times the usual limit one command may take; some build.
const LIMITS_PER_COMMAND: usize = 10;

/// Printed after each command, with its exit code.
const MARK: &str = "end-of-command";

/// One thing that a document has its reader do or see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A command, with the lines that are shown below it.
    Command {
        /// All lines of it, without the prompt.
        text: String,
        /// What is shown, line by line.
        shown: Vec<String>,
    },
    /// A file with the text of a block.
    File {
        /// Its path, from the folder that the shell is in.
        path: String,
        /// Its content.
        content: String,
    },
    /// A block of text: lines that the command before it prints, in no order.
    Output(Vec<String>),
    /// A text that the command before it prints somewhere.
    Prints(String),
}

/// Reads the steps of a document in Markdown.
///
/// A file is `put this into `PATH`` before a block, or `above into `PATH``, which means the last block of Rust.
/// What is printed is each code in a paragraph that begins with `It prints`.
pub fn steps(document: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut rust = String::new();
    let mut next_file = None;
    let mut lines = document.lines();
    while let Some(line) = lines.next() {
        let Some(kind) = line.strip_prefix("```") else {
            match code_after(line, "above into ") {
                Some(path) => steps.push(Step::File {
                    path,
                    content: rust.clone(),
                }),
                None => next_file = code_after(line, "this into ").or(next_file),
            }
            if line.starts_with("It prints ") {
                let codes = line.split('`').skip(1).step_by(2);
                steps.extend(codes.map(|code| Step::Prints(code.to_owned())));
            }
            continue;
        };
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        let content = || block.iter().map(|line| format!("{line}\n")).collect();
        match (kind, next_file.take()) {
            ("console", _) => steps.extend(commands(&block)),
            ("text", None) => {
                let shown = block.iter().map(|line| (*line).to_owned()).collect();
                steps.push(Step::Output(shown));
            }
            (_, Some(path)) => steps.push(Step::File {
                path,
                content: content(),
            }),
            ("rust", None) => rust = content(),
            (_, None) => {}
        }
    }
    steps
}

/// The code that follows a text in a line.
fn code_after(line: &str, text: &str) -> Option<String> {
    let rest = line.split_once(text)?.1.strip_prefix('`')?;
    Some(rest.split_once('`')?.0.to_owned())
}

/// The commands of a block: a `$` begins one; a `\` at a line's end and a here-document make it longer.
fn commands(block: &[&str]) -> Vec<Step> {
    let mut found: Vec<Step> = Vec::new();
    let mut lines = block.iter();
    while let Some(line) = lines.next() {
        let Some(command) = line.strip_prefix("$ ") else {
            if let Some(Step::Command { shown, .. }) = found.last_mut() {
                shown.push((*line).to_owned());
            }
            continue;
        };
        let mut text = command.to_owned();
        let here = command
            .split_once("<<")
            .map(|(_, word)| word.trim().trim_matches('\''));
        let mut goes_on = here.is_some() || command.ends_with('\\');
        while goes_on {
            let Some(line) = lines.next() else { break };
            text.push('\n');
            text.push_str(line);
            goes_on = match here {
                Some(word) => *line != word,
                None => line.ends_with('\\'),
            };
        }
        found.push(Step::Command {
            text,
            shown: Vec::new(),
        });
    }
    found
}

/// A line without what differs from run to run: each word with a digit in it is `#`, units, etags and `now` too, and
/// of a path its last part is left.
pub fn shape(line: &str) -> String {
    let word = |word: &str| {
        let is_unit = matches!(
            word,
            "B" | "KiB" | "MiB" | "GiB" | "ms" | "s" | "now" | "ago"
        );
        if let Some(path) = word.strip_prefix("file:") {
            return format!("file:{}", path.rsplit('/').next().unwrap_or_default());
        }
        let has_digit = word.contains(|c: char| c.is_ascii_digit());
        match is_unit || has_digit || word.ends_with('=') {
            true => "#".to_owned(),
            false => word.to_owned(),
        }
    };
    let mut words: Vec<String> = line.split_whitespace().map(word).collect();
    words.dedup_by(|next, last| next == "#" && last == "#");
    words.join(" ")
}

/// A shell that a reader types into.
pub struct Shell {
    process: Process,
    read: usize,
}

impl Shell {
    /// A shell in a home folder, with these variables.
    pub fn start(home: &Home, variables: &[(&str, &std::ffi::OsStr)]) -> Self {
        let mut command = home.program("bash", ["--noprofile", "--norc", "-s"]);
        command.stdin(Stdio::piped());
        command.envs(variables.iter().copied());
        let mut process = Process::start(command);
        process.write_line("exec 2>&1; shopt -s expand_aliases");
        Self { process, read: 0 }
    }

    /// Runs a command to its end: what it printed.
    ///
    /// # Panics
    /// When it does not end, or not with 0.
    pub fn run(&mut self, text: &str) -> Vec<String> {
        self.process.write_line(text);
        self.process
            .write_line(&format!("printf '\\n{MARK} %d\\n' \"$?\""));
        let mark = format!("{MARK} ");
        let find = |lines: &Lines, from| {
            lines.find(from, |line| line.strip_prefix(&mark).map(str::to_owned))
        };
        let found = (0..LIMITS_PER_COMMAND).find_map(|_| find(&self.process.stdout, self.read));
        let all = self.process.stdout.all();
        let (code, next) =
            found.unwrap_or_else(|| panic!("`{text}` does not end:\n{}", all.join("\n")));
        let printed = all[self.read..next - 1].to_vec();
        self.read = next;
        assert_eq!(code, "0", "`{text}` printed:\n{}", printed.join("\n"));
        printed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_read_into_what_its_reader_does() {
        let document = "\
Some text, and code:

```rust
fn main() {}
```

Put the module above into `src/main.rs`, then run:

```console
$ cat > people <<'END'
Ada
END
$ wasm-edge list \\
    --quiet
NAME  IMAGE
a     file:a.wasm
```

It prints `Hello, Ada!` and more.
Now put this into `deployment.json`.

```json
{}
```

```text
ready
```
";
        let command = |text: &str, shown: &[&str]| Step::Command {
            text: text.to_owned(),
            shown: shown.iter().map(|line| (*line).to_owned()).collect(),
        };
        let file = |path: &str, content: &str| Step::File {
            path: path.to_owned(),
            content: content.to_owned(),
        };
        let expected = [
            file("src/main.rs", "fn main() {}\n"),
            command("cat > people <<'END'\nAda\nEND", &[]),
            command(
                "wasm-edge list \\\n    --quiet",
                &["NAME  IMAGE", "a     file:a.wasm"],
            ),
            Step::Prints("Hello, Ada!".to_owned()),
            file("deployment.json", "{}\n"),
            Step::Output(vec!["ready".to_owned()]),
        ];
        assert_eq!(steps(document), expected);
    }

    #[test]
    fn a_shape_has_words_and_no_figures() {
        let check = |line: &str, expected: &str| assert_eq!(shape(line), expected);
        check(
            "alarm   running  7s ago     0  1.06 MiB  file:../x/alarm.wasm",
            "alarm running # file:alarm.wasm",
        );
        check(
            "alarm   running  now  12  999 KiB  file:/alarm.wasm",
            "alarm running # file:alarm.wasm",
        );
        check(
            "Hannover01/alarm: desired is now at version 3  etag AAAAAAAAAAM=",
            "# desired is # at version # etag #",
        );
        check("compiled alarm in 1.4 s", "compiled alarm in #");
    }
}
