//! Rounds of kill -9: a process appends and takes as fast as it can and says what was acknowledged, is killed at a random
//! moment, and what the store has then is compared with what it had said.

use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::load::{Bodies, Random};
use crate::queue::Store;

/// The most lines of the process that are awaited before it is killed.
const LINES_MAX: u64 = 300;

/// What the process said last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Said {
    /// All below this number were appended.
    appended: u64,
    /// All below this number were taken.
    taken: u64,
}

/// Appends groups from a number on and takes one group for two, for ever; prints after each call what was acknowledged.
pub(crate) fn fill(store: Store, first: u64, group: u64, folder: &Path) -> anyhow::Result<()> {
    let mut queue = store.open(folder)?;
    let mut bodies = Bodies::new();
    let mut out = std::io::stdout().lock();
    let mut said = Said {
        appended: first,
        taken: first,
    };
    for round in 0_u64.. {
        queue.append(said.appended, &bodies.group(group))?;
        said.appended += group;
        writeln!(out, "{} {}", said.appended, said.taken)?;
        if round % 2 == 1 {
            said.taken += queue.take(usize::try_from(group)?)?.len() as u64;
            writeln!(out, "{} {}", said.appended, said.taken)?;
        }
    }
    Ok(())
}

/// Kills so many times; answers how long opening took afterwards in the middle.
pub(crate) fn rounds(store: Store, rounds: u64, seed: u64) -> anyhow::Result<Duration> {
    let folder = tempfile::tempdir_in(crate::scratch()?)?;
    let mut random = Random::new(seed);
    let mut first = 0;
    let mut opened = Vec::new();
    for round in 0..rounds {
        let group = [1, 8, 32][usize::try_from(round % 3)?];
        let said = killed(store, first, group, random.below(LINES_MAX), folder.path())?;
        let begun = Instant::now();
        let mut queue = store.open(folder.path())?;
        opened.push(begun.elapsed());
        let mut found = Vec::new();
        loop {
            let taken = queue.take(256)?;
            if taken.is_empty() {
                break;
            }
            found.extend(taken.into_iter().map(|(number, _)| number));
        }
        let context = || format!("round {round} with groups of {group}, {said:?}");
        first = check(&found, said, group).with_context(context)?;
    }
    opened.sort_unstable();
    Ok(opened[opened.len() / 2])
}

/// Compares what was found with what was said; answers with the number that comes next.
///
/// The call that was under way may have been carried out or not, and nothing in between.
fn check(found: &[u64], said: Said, group: u64) -> anyhow::Result<u64> {
    let begin = found.first().copied().unwrap_or(said.appended);
    let end = found.last().map_or(begin, |last| last + 1);
    ensure!(
        found.iter().copied().eq(begin..end),
        "a number is missing or stands twice"
    );
    let is_one_of =
        |seen: u64, acknowledged: u64| seen == acknowledged || seen == acknowledged + group;
    ensure!(is_one_of(begin, said.taken), "begins with {begin}");
    ensure!(is_one_of(end, said.appended), "ends before {end}");
    Ok(end)
}

/// Starts the process and kills it after so many lines: what it had said.
fn killed(store: Store, first: u64, group: u64, lines: u64, folder: &Path) -> anyhow::Result<Said> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["fill", store.name(), "--first", &first.to_string()]);
    command.args(["--group", &group.to_string()]).arg(folder);
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let mut said = Said {
        appended: first,
        taken: first,
    };
    let mut reader = BufReader::new(child.stdout.take().expect("its output is piped"));
    let mut line = String::new();
    let mut read = 0;
    loop {
        if read == lines {
            child.kill()?;
        }
        line.clear();
        // What it wrote before it was killed was acknowledged as well; a torn last line was not yet said.
        if reader.read_line(&mut line)? == 0 || !line.ends_with('\n') {
            break;
        }
        let (appended, taken) = line.trim().split_once(' ').context("two numbers")?;
        said = Said {
            appended: appended.parse()?,
            taken: taken.parse()?,
        };
        read += 1;
    }
    child.wait()?;
    ensure!(read >= lines, "it ended by itself after {read} lines");
    Ok(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_found_has_to_be_what_was_said_give_or_take_the_call_under_way() {
        let check = |found: std::ops::Range<u64>, expected: Option<u64>| {
            let said = Said {
                appended: 20,
                taken: 10,
            };
            let found: Vec<u64> = found.collect();
            assert_eq!(super::check(&found, said, 4).ok(), expected, "{found:?}");
        };
        check(10..20, Some(20));
        check(10..24, Some(24));
        check(14..20, Some(20));
        check(11..20, None);
        check(6..20, None);
        check(10..19, None);
        check(10..28, None);
    }
}
