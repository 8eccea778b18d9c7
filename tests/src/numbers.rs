//! Numbered messages of the guest `producer`: what it was told is taken, and what arrived at the hub.
//!
//! [`check`] is the promise that messages are kept by, as a pure function.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::{Value, json};

use crate::home::Home;
use crate::management::Management;
use crate::run::{DEVICE, Run};
use crate::wait;

/// What a producer has noted in its `/data`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    /// Numbers that it was about to send.
    pub begun: BTreeSet<u64>,
    /// Numbers of which it was told that they are taken.
    pub taken: BTreeSet<u64>,
}

/// A numbered message as the hub has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Its number.
    pub number: u64,
    /// The id that the device gave it.
    pub id: String,
}

impl Notes {
    /// What a producer on [`DEVICE`] has noted so far.
    ///
    /// # Panics
    /// When it has noted nothing.
    pub fn of(home: &Home, producer: &str) -> Self {
        Self::of_device(home, DEVICE, producer)
    }

    /// What a producer on a device has noted so far.
    ///
    /// # Panics
    /// When it has noted nothing.
    pub fn of_device(home: &Home, device: &str, producer: &str) -> Self {
        let file = format!("devices/{device}/modules/{producer}/data/notes");
        let text = fs::read_to_string(home.in_data(&file));
        Self::parse(&text.expect("the notes of a producer"))
    }

    /// Reads the text of the notes.
    ///
    /// # Panics
    /// When a line is neither `+N` nor `=N`.
    pub fn parse(text: &str) -> Self {
        let mut notes = Self::default();
        for line in text.lines() {
            let (mark, number) = line.split_at(1);
            let number = number.parse().unwrap_or_else(|_| panic!("note `{line}`"));
            match mark {
                "+" => notes.begun.insert(number),
                "=" => notes.taken.insert(number),
                _ => panic!("note `{line}`"),
            };
        }
        notes
    }
}

impl Arrival {
    /// Of a line of `monitor`, if that is a numbered message.
    ///
    /// # Panics
    /// When a message has a number and no id.
    pub fn of(message: &Value) -> Option<Self> {
        let number = message["properties"]["n"].as_str()?;
        let id = message["systemProperties"]["messageId"].as_str();
        Some(Self {
            number: number.parse().unwrap_or_else(|_| panic!("{message}")),
            id: id.unwrap_or_else(|| panic!("no id: {message}")).to_owned(),
        })
    }
}

/// Ends a producer on [`DEVICE`]: what it sends last is a message with the property `end`.
pub fn stop(run: &Run<'_>, producer: &str) {
    wait::until_so("room for a last message", || {
        run.call(producer, "stop", &json!(null)).0 == 200
    });
}

/// What the hub has of each of these modules, from the first message on to the one that says that it is the last.
///
/// # Panics
/// When the last message of one of them does not come, or another module sends.
pub fn arrivals(hub: &Management<'_>, modules: &[&str]) -> Vec<Vec<Arrival>> {
    until_last(hub, &[], modules)
}

/// The same, of a device among others.
///
/// # Panics
/// When the last message of one of them does not come, or another module of the device sends.
pub fn arrivals_of(hub: &Management<'_>, device: &str, modules: &[&str]) -> Vec<Vec<Arrival>> {
    until_last(hub, &["--device", device], modules)
}

fn until_last(hub: &Management<'_>, of: &[&str], modules: &[&str]) -> Vec<Vec<Arrival>> {
    let args = ["monitor", "--from", "earliest", "--output", "json"];
    let monitor = hub.verb_process(&[&args, of].concat());
    let mut arrivals = vec![Vec::new(); modules.len()];
    let mut ended = vec![false; modules.len()];
    let mut next = 0;
    while !ended.iter().all(|ended| *ended) {
        let (message, line) = monitor.find_json("the rest", next, |line| Some(line.clone()));
        next = line;
        assert!(message.get("lost").is_none(), "{message}");
        let module = modules.iter().position(|name| message["module"] == *name);
        let module = module.unwrap_or_else(|| panic!("nobody else sends: {message}"));
        arrivals[module].extend(Arrival::of(&message));
        ended[module] |= message["properties"].get("end").is_some();
    }
    arrivals
}

/// What is wrong with what arrived, in the order in which it did.
///
/// Every number that was taken arrived, and none that was not begun. A number has one id and an id one number, however
/// often they came. Each came first after all lower ones.
///
/// # Errors
/// The first thing that is wrong, as a sentence.
pub fn check(notes: &Notes, arrivals: &[Arrival]) -> Result<(), String> {
    let mut ids: BTreeMap<u64, &str> = BTreeMap::new();
    let mut numbers: BTreeMap<&str, u64> = BTreeMap::new();
    for arrival in arrivals {
        let Arrival { number, id } = arrival;
        if let Some(first) = ids.get(number) {
            if first != id {
                return Err(format!("{number} stands under {first} and {id}"));
            }
            continue;
        }
        if let Some(last) = ids.keys().next_back().filter(|last| *last > number) {
            return Err(format!("{number} came first after {last}"));
        }
        if let Some(other) = numbers.insert(id, *number) {
            return Err(format!("{id} is that of {other} and of {number}"));
        }
        if !notes.begun.contains(number) {
            return Err(format!("{number} came, and was never sent"));
        }
        ids.insert(*number, id);
    }
    let missing: Vec<u64> = notes
        .taken
        .iter()
        .filter(|number| !ids.contains_key(number))
        .copied()
        .collect();
    match missing.first() {
        Some(first) => Err(format!(
            "{} that were acknowledged are missing, from {first} on",
            missing.len()
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_has_to_arrive_once_and_in_order() {
        let notes = Notes::parse("+1\n=1\n+2\n+3\n=3\n+4\n=4\n+5\n");
        assert_eq!(notes.taken.iter().copied().collect::<Vec<_>>(), [1, 3, 4]);
        let check = |arrived: &[(u64, &str)], expected: Result<(), &str>| {
            let arrivals: Vec<Arrival> = arrived
                .iter()
                .map(|(number, id)| Arrival {
                    number: *number,
                    id: (*id).to_owned(),
                })
                .collect();
            assert_eq!(
                super::check(&notes, &arrivals),
                expected.map_err(str::to_owned)
            );
        };
        check(&[(1, "a"), (3, "b"), (4, "c")], Ok(()));
        // What was in doubt may have been taken, and what was not acknowledged comes again.
        check(
            &[
                (1, "a"),
                (2, "x"),
                (1, "a"),
                (2, "x"),
                (3, "b"),
                (4, "c"),
                (5, "y"),
            ],
            Ok(()),
        );
        check(
            &[(1, "a"), (4, "c")],
            Err("1 that were acknowledged are missing, from 3 on"),
        );
        check(
            &[(1, "a"), (3, "b"), (1, "d")],
            Err("1 stands under a and d"),
        );
        check(&[(1, "a"), (3, "a")], Err("a is that of 1 and of 3"));
        check(&[(3, "b"), (1, "a")], Err("1 came first after 3"));
        check(&[(1, "a"), (6, "b")], Err("6 came, and was never sent"));
    }
}
