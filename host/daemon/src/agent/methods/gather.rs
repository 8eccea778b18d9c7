//! Gathers the lines of logs that were asked for: into an answer that is bounded, or into a file.
//!
//! Owns which modules are meant, how much of each fits into an answer, and how what does not is told. Everything here
//! blocks; it ends early when nobody waits for it any more.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::ops::ControlFlow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;
use wasm_edge_model::agent_method::{ALL_MODULES, LogEncoding, LogItem, LogRequest};
use wasm_edge_model::identity::ModuleId;
use wasm_edge_model::time::Timestamp;

use super::line::{Form, Note};
use crate::logs::filter::{LogFilter, Pattern, PatternError};
use crate::logs::reader::{self, LogSnapshot};

/// The largest answer, as JSON text: a kibibyte below what IoT Hub takes, for what it counts around it.
pub(super) const ANSWER_MAX_BYTES: usize = 127 * 1024;

/// Kept back of each module's share for the line that tells what was left out, with the longest names in it.
const NOTE_BYTES: usize = 1024;

/// The most text that is compressed for one module of an answer: what lies before it would not fit.
const PACKED_TEXT_MAX_BYTES: usize = 1024 * 1024;

/// How many lines are read between two looks at whether anybody still waits.
const LINES_PER_LOOK: u64 = 256;

/// What was read so far, and who asks.
pub(super) struct Gathering<'a> {
    pub(super) snapshot: &'a [LogSnapshot; 1],
    pub(super) form: &'a Form,
    pub(super) now: Timestamp,
    /// Cancelled when nobody waits for it any more.
    pub(super) unwanted: &'a CancellationToken,
}

/// Why there are no logs.
#[derive(Debug, thiserror::Error)]
pub(super) enum GatherError {
    /// A regular expression is none.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// They cannot be read, or the file cannot be written.
    #[error("the logs cannot be read or written: {0}")]
    Io(#[from] io::Error),
    /// Nobody waits for them any more.
    #[error("the request was given up")]
    Unwanted,
}

/// What a file was filled with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Filled {
    /// How many lines were left out for want of room.
    pub(super) left_out: u64,
}

/// Which modules are meant, each with the first item that fits it.
///
/// # Errors
/// [`PatternError`] where one of the regular expressions is none, also one that no module needs.
pub(super) fn chosen(
    request: &LogRequest,
    modules: impl IntoIterator<Item = ModuleId>,
) -> Result<Vec<(ModuleId, &LogItem)>, PatternError> {
    let mut left: Vec<ModuleId> = modules.into_iter().collect();
    let mut chosen = Vec::new();
    for item in &request.items {
        if let Some(pattern) = &item.pattern {
            Pattern::new(pattern)?;
        }
        let pattern = match item.id.eq_ignore_ascii_case(ALL_MODULES) {
            true => None,
            false => Some(Pattern::new(&format!("(?i){}", item.id))?),
        };
        left.retain(|module| {
            let fits = pattern
                .as_ref()
                .is_none_or(|pattern| pattern.is_in_text(module.as_str()));
            if fits {
                chosen.push((module.clone(), item));
            }
            !fits
        });
    }
    chosen.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(chosen)
}

/// The answer to a request for logs: JSON text of at most [`ANSWER_MAX_BYTES`].
///
/// Each module has an equal share of it; what one leaves is for those behind it. Where it is not enough, the oldest
/// lines are left out, and the first line says how many.
///
/// # Errors
/// [`GatherError`].
pub(super) fn answer(
    gathering: &Gathering<'_>,
    request: &LogRequest,
    modules: impl IntoIterator<Item = ModuleId>,
) -> Result<String, GatherError> {
    let chosen = chosen(request, modules)?;
    let mut answer = "[".to_owned();
    let count = chosen.len();
    for (place, (module, item)) in chosen.into_iter().enumerate() {
        let member = match request.encoding {
            LogEncoding::None => "payload",
            LogEncoding::Gzip => "payloadBytes",
        };
        let mut entry = Map::new();
        entry.insert("id".to_owned(), Value::from(module.as_str()));
        entry.insert(member.to_owned(), Value::from(""));
        let around = Value::from(entry.clone()).to_string().len() + 1;
        let free = ANSWER_MAX_BYTES.saturating_sub(answer.len() + 1);
        let share = (free / (count - place)).saturating_sub(around);
        let payload = match request.encoding {
            LogEncoding::None => gathering.plain(&module, item, share)?,
            LogEncoding::Gzip => gathering.packed(&module, item, share)?,
        };
        entry.insert(member.to_owned(), Value::from(payload));
        if place > 0 {
            answer.push(',');
        }
        answer.push_str(&Value::from(entry).to_string());
    }
    answer.push(']');
    Ok(answer)
}

impl Gathering<'_> {
    /// Writes all wanted lines of a module into a file, up to so many bytes before they are packed.
    ///
    /// # Errors
    /// [`GatherError`].
    pub(super) fn fill(
        &self,
        file: impl Write,
        module: &ModuleId,
        item: &LogItem,
        encoding: LogEncoding,
        max_bytes: u64,
    ) -> Result<Filled, GatherError> {
        match encoding {
            LogEncoding::None => {
                let mut file = io::BufWriter::new(file);
                let filled = self.write(&mut file, module, item, max_bytes)?;
                file.flush()?;
                Ok(filled)
            }
            LogEncoding::Gzip => {
                let mut packer = GzEncoder::new(file, Compression::default());
                let filled = self.write(&mut packer, module, item, max_bytes)?;
                packer.finish()?.flush()?;
                Ok(filled)
            }
        }
    }

    fn write(
        &self,
        file: &mut impl Write,
        module: &ModuleId,
        item: &LogItem,
        max_bytes: u64,
    ) -> Result<Filled, GatherError> {
        let [before, between, after] = self.form.frame();
        let mut left_bytes = max_bytes;
        let mut filled = Filled::default();
        let mut lines = 0;
        let mut written = file.write_all(before.as_bytes());
        self.each(module, item, |line| {
            let separator = if lines == 0 { "" } else { between };
            let size = (separator.len() + line.len()) as u64;
            if filled.left_out > 0 || size > left_bytes {
                filled.left_out += 1;
                return ControlFlow::Continue(());
            }
            left_bytes -= size;
            lines += 1;
            let both = file.write_all(separator.as_bytes());
            written = both.and_then(|()| file.write_all(line.as_bytes()));
            match written {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            }
        })?;
        written?;
        if filled.left_out > 0 {
            let separator = if lines == 0 { "" } else { between };
            let text = format!(
                "{} lines after this are left out: the file is full",
                filled.left_out
            );
            file.write_all(separator.as_bytes())?;
            file.write_all(self.note(module, &text).as_bytes())?;
        }
        file.write_all(after.as_bytes())?;
        Ok(filled)
    }

    /// The newest lines whose text takes no more than `share` bytes as a JSON string.
    fn plain(
        &self,
        module: &ModuleId,
        item: &LogItem,
        share: usize,
    ) -> Result<String, GatherError> {
        let newest = self.newest(module, item, share, escaped_len)?;
        let joined = self.joined(module, &newest);
        Ok(within(share, escaped_len(&joined), joined))
    }

    /// The newest lines that take no more than `share` bytes, packed and in base64.
    fn packed(
        &self,
        module: &ModuleId,
        item: &LogItem,
        share: usize,
    ) -> Result<String, GatherError> {
        let mut newest = self.newest(module, item, PACKED_TEXT_MAX_BYTES, str::len)?;
        loop {
            let mut packer = GzEncoder::new(Vec::new(), Compression::default());
            packer.write_all(self.joined(module, &newest).as_bytes())?;
            let packed = STANDARD.encode(packer.finish()?);
            if packed.len() <= share || newest.lines.is_empty() {
                return Ok(within(share, packed.len(), packed));
            }
            // Lines are packed about alike; a tenth less, so that it comes to an end.
            let keep = newest.cost as u64 * share as u64 / packed.len() as u64 / 10 * 9;
            newest.shrink(usize::try_from(keep).unwrap_or(0));
        }
    }

    /// The newest lines that fit; what leaves them out is noted.
    fn newest(
        &self,
        module: &ModuleId,
        item: &LogItem,
        max_cost: usize,
        cost: fn(&str) -> usize,
    ) -> Result<Newest, GatherError> {
        let mut newest = Newest {
            lines: VecDeque::new(),
            cost: 0,
            max_cost: max_cost.saturating_sub(NOTE_BYTES),
            left_out: 0,
        };
        let [_, between, _] = self.form.frame();
        self.each(module, item, |line| {
            newest.push(cost(&line) + between.len(), line);
            ControlFlow::Continue(())
        })?;
        Ok(newest)
    }

    fn joined(&self, module: &ModuleId, newest: &Newest) -> String {
        let [before, between, after] = self.form.frame();
        let note = (newest.left_out > 0).then(|| {
            let left_out = newest.left_out;
            let text = format!(
                "{left_out} lines before this are left out: an answer has at most {ANSWER_MAX_BYTES} bytes"
            );
            self.note(module, &text)
        });
        let lines = newest.lines.iter().map(|(_, line)| line.as_str());
        let lines: Vec<&str> = note.as_deref().into_iter().chain(lines).collect();
        format!("{before}{}{after}", lines.join(between))
    }

    fn note(&self, module: &ModuleId, text: &str) -> String {
        self.form.note(&Note {
            device: self.snapshot[0].device().as_str(),
            module: module.as_str(),
            time: self.now,
            text,
        })
    }

    /// Hands over each wanted line of a module, oldest first.
    fn each(
        &self,
        module: &ModuleId,
        item: &LogItem,
        mut take: impl FnMut(String) -> ControlFlow<()>,
    ) -> Result<(), GatherError> {
        let filter = LogFilter {
            module: Some(module.clone()),
            since: item.since,
            until: item.until,
            severity: item.severity,
            pattern: item.pattern.as_deref().map(Pattern::new).transpose()?,
            ..LogFilter::default()
        };
        let mut read = 0;
        reader::read(self.snapshot, &filter, item.tail, |entry| {
            read += 1;
            if read % LINES_PER_LOOK == 0 && self.unwanted.is_cancelled() {
                return ControlFlow::Break(());
            }
            take(self.form.line(&entry))
        })?;
        match self.unwanted.is_cancelled() {
            true => Err(GatherError::Unwanted),
            false => Ok(()),
        }
    }
}

/// The newest lines that fit into a limit, oldest first.
struct Newest {
    lines: VecDeque<(usize, String)>,
    cost: usize,
    max_cost: usize,
    left_out: u64,
}

impl Newest {
    fn push(&mut self, cost: usize, line: String) {
        self.lines.push_back((cost, line));
        self.cost += cost;
        self.shrink(self.max_cost);
    }

    fn shrink(&mut self, max_cost: usize) {
        while self.cost > max_cost
            && let Some((cost, _)) = self.lines.pop_front()
        {
            self.cost -= cost;
            self.left_out += 1;
        }
    }
}

/// The payload, or nothing where even the line that tells what was left out is too much, as with hundreds of modules.
fn within(share: usize, size: usize, payload: String) -> String {
    match size <= share {
        true => payload,
        false => String::new(),
    }
}

/// How many bytes a text takes in a JSON string.
fn escaped_len(text: &str) -> usize {
    let escaped = |character: char| match character {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        '\0'..='\u{1f}' => 6,
        other => other.len_utf8(),
    };
    text.chars().map(escaped).sum()
}

#[cfg(test)]
mod tests;
