//! Requests about the twin and what the hub answers them.
//!
//! Pure: request ids and answers in, outcomes out. The hub may answer late, twice, for somebody else or with anything:
//! an answer counts once, for the request whose id it has, and a twin is one only if all of it can be read.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use tokio::time::Instant;

use crate::upstream::{SessionEvent, TwinDocument, UpstreamError};

/// Requests of one module under way; its twin task has one at a time.
const REQUESTS_MAX: usize = 8;

/// What is repeated of the hub's words, in characters.
const WORDS_MAX_CHARS: usize = 200;

/// What is asked about the twin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// The whole twin.
    Get,
    /// That reported properties be merged.
    Report,
}

/// What a request came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The twin.
    Twin(TwinDocument),
    /// It was merged, and the section has this version, if that is told.
    Reported(Option<u64>),
    /// The hub asks for patience, or has a fault of its own; the same may work later.
    Later(String),
    /// The hub does not do it.
    Refused(String),
    /// It is no answer to what was asked.
    Broken(String),
}

/// Requests under way, each with one that waits for its answer.
#[derive(Debug)]
pub(super) struct Requests<R> {
    waiting: BTreeMap<u64, Request<R>>,
    next_id: u64,
}

#[derive(Debug)]
struct Request<R> {
    asked: Asked,
    until: Instant,
    waits: R,
}

impl<R> Requests<R> {
    /// None is under way. `first_id` is best one that no connection of this module had before: answers to those may
    /// still come.
    pub(super) fn new(first_id: u64) -> Self {
        Self {
            waiting: BTreeMap::new(),
            next_id: first_id,
        }
    }

    /// Whether another one may be begun.
    pub(super) fn has_room(&self) -> bool {
        self.waiting.len() < REQUESTS_MAX
    }

    /// Whether none is under way.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Begins one that is waited for until then; its id.
    pub(super) fn begin(&mut self, asked: Asked, until: Instant, waits: R) -> u64 {
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        let request = Request {
            asked,
            until,
            waits,
        };
        self.waiting.insert(id, request);
        id
    }

    /// What was asked under this id, and who waits; nothing if nobody does, or no longer.
    pub(super) fn answered(&mut self, id: u64) -> Option<(Asked, R)> {
        let request = self.waiting.remove(&id)?;
        Some((request.asked, request.waits))
    }

    /// When the first of those under way has waited long enough.
    pub(super) fn first_end(&self) -> Option<Instant> {
        self.waiting.values().map(|request| request.until).min()
    }

    /// Those who have waited long enough, who are waited for no longer.
    pub(super) fn overdue(&mut self, now: Instant) -> Vec<R> {
        let is_over = |request: &Request<R>| request.until <= now;
        let over = self.waiting.extract_if(.., |_, request| is_over(request));
        over.map(|(_, request)| request.waits).collect()
    }
}

impl Answer {
    /// What an answer to `asked` means.
    pub(super) fn of(asked: Asked, status: u16, version: Option<u64>, body: &[u8]) -> Self {
        match (status, asked) {
            (200, Asked::Get) => match document(body) {
                Ok(twin) => Self::Twin(twin),
                Err(what) => Self::Broken(format!("its twin {what}")),
            },
            (200 | 204, Asked::Report) => Self::Reported(version),
            (408 | 429 | 500..=599, _) => Self::Later(words(status, body)),
            (400..=499, _) => Self::Refused(words(status, body)),
            _ => Self::Broken(format!("it answered with status {status}")),
        }
    }
}

/// What a change of desired properties means. One that cannot be read says at least that there was one.
pub(super) fn desired_event(version: Option<u64>, body: &[u8]) -> SessionEvent {
    let Ok(Value::Object(mut patch)) = serde_json::from_slice(body) else {
        return SessionEvent::Gap;
    };
    let stated = patch.get("$version").and_then(Value::as_u64);
    let Some(version) = stated.or(version) else {
        return SessionEvent::Gap;
    };
    remove_metadata(&mut patch);
    SessionEvent::Desired { patch, version }
}

impl From<Answer> for UpstreamError {
    /// What those that are not what was asked for come to.
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Refused(cause) => Self::Refused { cause },
            Answer::Later(cause) | Answer::Broken(cause) => Self::Unreachable { cause },
            Answer::Twin(_) | Answer::Reported(_) => Self::Unreachable {
                cause: "it answered something else".to_owned(),
            },
        }
    }
}

fn document(body: &[u8]) -> Result<TwinDocument, &'static str> {
    let Ok(Value::Object(mut twin)) = serde_json::from_slice(body) else {
        return Err("is no JSON object");
    };
    let mut section = |name| match twin.remove(name) {
        Some(Value::Object(section)) => split_version(section),
        _ => None,
    };
    let (desired, desired_version) =
        section("desired").ok_or("has no `desired` with a `$version`")?;
    let (reported, reported_version) =
        section("reported").ok_or("has no `reported` with a `$version`")?;
    Ok(TwinDocument {
        desired,
        desired_version,
        reported,
        reported_version,
    })
}

fn split_version(mut section: Map<String, Value>) -> Option<(Map<String, Value>, u64)> {
    let version = section.get("$version")?.as_u64()?;
    remove_metadata(&mut section);
    Some((section, version))
}

/// Takes away what is no property: names of properties have no `$`.
fn remove_metadata(section: &mut Map<String, Value>) {
    section.retain(|name, _| !name.starts_with('$'));
}

/// The status, and what the hub says of it, as far as a person can read it.
fn words(status: u16, body: &[u8]) -> String {
    let said = match serde_json::from_slice(body) {
        Ok(Value::Object(body)) => {
            let message = ["message", "Message"].map(|key| body.get(key)?.as_str());
            let [message, other] = message.map(|text| text.map(str::to_owned));
            message.or(other)
        }
        _ => None,
    };
    let said = said.unwrap_or_default();
    let said: String = said
        .chars()
        .filter(|c| !c.is_control())
        .take(WORDS_MAX_CHARS)
        .collect();
    match said.trim() {
        "" => format!("it answered with status {status}"),
        said => format!("it answered with status {status}: {said}"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(object) => object,
            other => panic!("{other} is no object"),
        }
    }

    #[test]
    fn an_answer_counts_once_for_the_request_that_it_is_for() {
        let now = Instant::now();
        let mut requests = Requests::new(7);
        let get = requests.begin(Asked::Get, now, "get");
        let report = requests.begin(Asked::Report, now, "report");
        assert_eq!((get, report), (7, 8));
        assert_eq!(requests.answered(report), Some((Asked::Report, "report")));
        assert_eq!(requests.answered(report), None, "answered twice");
        assert_eq!(requests.answered(6), None, "another connection's");
        assert_eq!(requests.answered(u64::MAX), None);
        assert_eq!(requests.answered(get), Some((Asked::Get, "get")));
        assert!(requests.is_empty());
        let mut requests = Requests::new(u64::MAX);
        assert_eq!(requests.begin(Asked::Get, now, ""), u64::MAX);
        assert_eq!(requests.begin(Asked::Get, now, ""), 0);
    }

    #[test]
    fn a_request_is_not_waited_for_longer_than_its_time() {
        let start = Instant::now();
        let after = |secs| start + Duration::from_secs(secs);
        let mut requests = Requests::new(0);
        let ids = [3, 1, 2].map(|secs| requests.begin(Asked::Get, after(secs), secs));
        assert_eq!(requests.first_end(), Some(after(1)));
        assert_eq!(requests.overdue(start), [0_u64; 0]);
        assert_eq!(requests.overdue(after(2)), [1, 2]);
        assert_eq!(requests.first_end(), Some(after(3)));
        assert_eq!(requests.answered(ids[1]), None, "its answer came late");
        while requests.has_room() {
            requests.begin(Asked::Get, start, 0);
        }
        assert_eq!(requests.waiting.len(), REQUESTS_MAX);
    }

    #[test]
    fn answers_mean_what_their_status_says() {
        let check = |asked, status, version, body: &str, expected| {
            let answer = Answer::of(asked, status, version, body.as_bytes());
            assert_eq!(answer, expected, "{status} {body}");
        };
        let twin = r#"{"desired":{"a":1,"$version":4,"$metadata":{}},"reported":{"$version":9}}"#;
        let document = TwinDocument {
            desired: object(json!({ "a": 1 })),
            desired_version: 4,
            reported: Map::new(),
            reported_version: 9,
        };
        check(Asked::Get, 200, None, twin, Answer::Twin(document));
        check(Asked::Report, 204, Some(9), "", Answer::Reported(Some(9)));
        check(Asked::Report, 204, None, "", Answer::Reported(None));
        check(Asked::Report, 200, Some(2), "x", Answer::Reported(Some(2)));
        let later = |text: &str| Answer::Later(format!("it answered with status {text}"));
        check(
            Asked::Get,
            429,
            None,
            r#"{"errorCode":429001,"message":"slow down"}"#,
            later("429: slow down"),
        );
        check(Asked::Report, 503, None, "<html>", later("503"));
        check(Asked::Report, 408, None, "", later("408"));
        let refused = |text: &str| Answer::Refused(format!("it answered with status {text}"));
        check(
            Asked::Report,
            400,
            None,
            r#"{"Message":"too\u0007 deep"}"#,
            refused("400: too deep"),
        );
        check(Asked::Report, 413, None, r#"{"message":7}"#, refused("413"));
        let long = format!(r#"{{"message":"{}"}}"#, "ä".repeat(5000));
        let cut = format!("404: {}", "ä".repeat(WORDS_MAX_CHARS));
        check(Asked::Get, 404, None, &long, refused(&cut));
        let broken = |text: &str| Answer::Broken(text.to_owned());
        for status in [0, 100, 201, 302, 600, 65_535] {
            let expected = broken(&format!("it answered with status {status}"));
            check(Asked::Report, status, None, "", expected);
        }
        check(
            Asked::Get,
            204,
            None,
            "",
            broken("it answered with status 204"),
        );
    }

    #[test]
    fn a_twin_is_one_only_if_all_of_it_can_be_read() {
        let check = |body: &str, what: &str| {
            let expected = Answer::Broken(format!("its twin {what}"));
            assert_eq!(Answer::of(Asked::Get, 200, None, body.as_bytes()), expected);
        };
        check("", "is no JSON object");
        check("[]", "is no JSON object");
        check(&"[".repeat(100_000), "is no JSON object");
        check("{}", "has no `desired` with a `$version`");
        check(
            r#"{"desired":{},"reported":{"$version":1}}"#,
            "has no `desired` with a `$version`",
        );
        check(
            r#"{"desired":{"$version":1},"reported":[]}"#,
            "has no `reported` with a `$version`",
        );
        check(
            r#"{"desired":{"$version":1},"reported":{"$version":-1}}"#,
            "has no `reported` with a `$version`",
        );
    }

    #[test]
    fn a_change_that_cannot_be_read_is_a_gap() {
        let check = |version, body: &str, expected: Option<(Value, u64)>| {
            let found = match desired_event(version, body.as_bytes()) {
                SessionEvent::Desired { patch, version } => Some((Value::Object(patch), version)),
                SessionEvent::Gap => None,
                other => panic!("{other:?}"),
            };
            assert_eq!(found, expected, "{body}");
        };
        let patch = json!({ "a": null });
        check(
            Some(4),
            r#"{"a":null,"$version":4}"#,
            Some((patch.clone(), 4)),
        );
        check(None, r#"{"a":null,"$version":4}"#, Some((patch.clone(), 4)));
        check(Some(4), r#"{"a":null}"#, Some((patch.clone(), 4)));
        check(Some(4), r#"{"a":null,"$version":"x"}"#, Some((patch, 4)));
        check(None, r#"{"a":null}"#, None);
        check(Some(4), "", None);
        check(Some(4), "[1]", None);
        check(Some(4), r#"{"a":"#, None);
    }
}
