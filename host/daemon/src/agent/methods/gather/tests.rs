use std::io::Read as _;

use cap_std::fs::Dir;
use flate2::read::GzDecoder;
use proptest::prelude::*;
use serde_json::json;
use wasm_edge_model::agent_method::{AgentMethod, LogContent};
use wasm_edge_model::identity::DeviceId;
use wasm_edge_runtime::guest::{LogLevel, LogLine, LogStream};

use super::*;
use crate::logs::Logs;

fn now() -> Timestamp {
    "2026-08-01T10:00:00Z".parse().unwrap()
}

fn module(name: &str) -> ModuleId {
    ModuleId::new(name).unwrap()
}

fn request(more: &Value) -> LogRequest {
    let mut payload = json!({ "schemaVersion": "1.0", "items": [{ "id": "all" }] });
    let members = payload.as_object_mut().unwrap();
    members.extend(more.as_object().unwrap().clone());
    match AgentMethod::parse("GetModuleLogs", &payload.to_string(), now()) {
        Ok(AgentMethod::GetModuleLogs(request)) => request,
        other => panic!("{other:?}"),
    }
}

struct Bed {
    logs: Logs,
    modules: Vec<ModuleId>,
    _folder: tempfile::TempDir,
}

impl Bed {
    /// Modules with a log, each with these lines. They are on the disk: memory holds few.
    async fn new(modules: &[&str], lines: &[String]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let open = || {
            let dir = Dir::open_ambient_dir(folder.path(), cap_std::ambient_authority());
            Logs::open(DeviceId::new("d1").unwrap(), dir.unwrap(), 32 << 20)
        };
        let modules: Vec<_> = modules.iter().map(|name| module(name)).collect();
        let each = |text| modules.iter().map(move |module| (module, text));
        let pairs: Vec<(&ModuleId, &String)> = lines.iter().flat_map(each).collect();
        for some in pairs.chunks(250) {
            let logs = open();
            for (module, text) in some {
                logs.note(module, LogLevel::Info, (*text).clone());
            }
            logs.close().await;
        }
        Self {
            logs: open(),
            modules,
            _folder: folder,
        }
    }

    fn take(&self, level: LogLevel, text: &str) {
        let line = LogLine {
            stream: LogStream::Log,
            level,
            text: text.to_owned(),
            fields: Vec::new(),
        };
        self.logs.take(&self.modules[0], line);
    }

    fn with<T>(&self, content: LogContent, run: impl FnOnce(&Gathering<'_>) -> T) -> T {
        let form = Form {
            content,
            hub_host_name: "hub".to_owned(),
        };
        run(&Gathering {
            snapshot: &[self.logs.snapshot()],
            form: &form,
            now: now(),
            unwanted: &CancellationToken::new(),
        })
    }

    fn answer(&self, more: &Value) -> Value {
        let request = request(more);
        let text = self.with(request.content, |gathering| {
            answer(gathering, &request, self.modules.clone()).unwrap()
        });
        assert!(text.len() <= ANSWER_MAX_BYTES, "{}", text.len());
        serde_json::from_str(&text).unwrap()
    }

    fn fill(&self, more: &Value, max_bytes: u64) -> (Vec<u8>, Filled) {
        let request = request(more);
        let mut file = Vec::new();
        let filled = self.with(request.content, |gathering| {
            let (module, item) = (&self.modules[0], &request.items[0]);
            let filled = gathering.fill(&mut file, module, item, request.encoding, max_bytes);
            filled.unwrap()
        });
        (file, filled)
    }
}

fn unpacked(payload: &Value) -> String {
    let packed = STANDARD.decode(payload.as_str().unwrap()).unwrap();
    let mut text = String::new();
    GzDecoder::new(&packed[..])
        .read_to_string(&mut text)
        .unwrap();
    text
}

fn many(lines: usize) -> Vec<String> {
    (0..lines)
        .map(|n| format!("line \"{n}\" of a log\twith {}", n * 7919))
        .collect()
}

#[test]
fn the_first_item_that_fits_a_module_counts_and_case_does_not() {
    let check = |items: Value, expected: &[(&str, usize)]| {
        let request = request(&json!({ "items": items }));
        let modules = ["filter", "Filter2", "sensor"].map(module);
        let chosen = chosen(&request, modules).unwrap();
        let place = |item: &LogItem| {
            let mut items = request.items.iter();
            items.position(|known| std::ptr::eq(known, item)).unwrap()
        };
        let found: Vec<_> = chosen
            .iter()
            .map(|(module, item)| (module.as_str(), place(item)))
            .collect();
        assert_eq!(found, expected);
    };
    check(
        json!([{ "id": "ALL" }]),
        &[("Filter2", 0), ("filter", 0), ("sensor", 0)],
    );
    check(
        json!([{ "id": "^filter$" }, { "id": "filter" }]),
        &[("Filter2", 1), ("filter", 0)],
    );
    check(json!([{ "id": "nobody" }]), &[]);
    check(
        json!([{ "id": "s$|2" }, { "id": "or$" }]),
        &[("Filter2", 0), ("sensor", 1)],
    );
    for bad in [
        json!([{ "id": "(" }]),
        json!([{ "id": "a" }, { "id": "b", "filter": { "regex": "[" } }]),
    ] {
        let request = request(&json!({ "items": bad }));
        assert!(chosen(&request, [module("a")]).is_err());
    }
}

#[tokio::test]
async fn an_answer_has_the_lines_that_pass_all_filters() {
    let bed = Bed::new(&["m"], &[]).await;
    bed.take(LogLevel::Error, "out of paper");
    bed.take(LogLevel::Info, "paper is back");
    bed.take(LogLevel::Info, "idle");
    let check = |filter: Value, expected: &[&str]| {
        let answer = bed.answer(&json!({ "items": [{ "id": "m", "filter": filter }] }));
        assert_eq!(answer[0]["id"], "m");
        let text = answer[0]["payload"].as_str().unwrap();
        let texts: Vec<_> = text
            .lines()
            .map(|line| line.splitn(5, ' ').last().unwrap())
            .collect();
        assert_eq!(texts, expected, "{filter}");
    };
    check(json!({}), &["out of paper", "paper is back", "idle"]);
    check(json!({ "loglevel": 6 }), &["paper is back", "idle"]);
    check(json!({ "loglevel": 5 }), &[]);
    check(
        json!({ "regex": "paper" }),
        &["out of paper", "paper is back"],
    );
    check(json!({ "tail": 1, "regex": "paper" }), &["paper is back"]);
    check(json!({ "tail": 0 }), &[]);
    check(json!({ "until": 5 }), &[]);
    check(json!({ "since": 5, "loglevel": 3 }), &["out of paper"]);
    assert_eq!(
        bed.answer(&json!({ "items": [{ "id": "other" }] })),
        json!([])
    );
    let answer = bed.answer(&json!({ "contentType": "json" }));
    let lines: Value = serde_json::from_str(answer[0]["payload"].as_str().unwrap()).unwrap();
    assert_eq!(lines[2]["text"], "idle");
    assert_eq!(lines[0]["loglevel"], 3);
    bed.logs.close().await;
}

#[tokio::test]
async fn what_does_not_fit_is_left_out_from_the_oldest_on_and_told() {
    let lines = many(2500);
    let bed = Bed::new(&["a", "b"], &lines).await;
    let answer = bed.answer(&json!({}));
    for place in 0..2 {
        let text = answer[place]["payload"].as_str().unwrap();
        let (note, rest) = text.split_once('\n').unwrap();
        let left_out: usize = note.split(' ').nth(4).unwrap().parse().unwrap();
        assert!(note.contains("lines before this are left out"), "{note}");
        assert_eq!(rest.lines().count() + left_out, lines.len());
        assert!(rest.ends_with(&format!("{}\n", lines.last().unwrap())));
        // About half of the answer each.
        assert!(text.len() > ANSWER_MAX_BYTES / 3, "{}", text.len());
    }
    let answer = bed.answer(&json!({ "contentType": "json", "items": [{ "id": "b" }] }));
    let lines: Value = serde_json::from_str(answer[0]["payload"].as_str().unwrap()).unwrap();
    assert_eq!(lines[0]["stream"], "host");
    assert!(
        lines[0]["text"].as_str().unwrap().contains("left out"),
        "{}",
        lines[0]
    );
    bed.logs.close().await;
}

#[tokio::test]
async fn a_packed_answer_holds_more_and_is_bounded_as_well() {
    let lines = many(3000);
    let bed = Bed::new(&["a"], &lines).await;
    let text = unpacked(&bed.answer(&json!({ "encoding": "gzip" }))[0]["payloadBytes"]);
    assert_eq!(text.lines().count(), lines.len());
    assert!(text.len() > ANSWER_MAX_BYTES);
    bed.logs.close().await;

    // Text that hardly can be packed.
    let mut state = 7_u64;
    let mut word = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        format!("{:016x}", state >> 3)
    };
    let lines: Vec<String> = (0..4000)
        .map(|_| (0..16).map(|_| word()).collect())
        .collect();
    let bed = Bed::new(&["a"], &lines).await;
    let answer = bed.answer(&json!({ "encoding": "gzip" }));
    let packed = answer[0]["payloadBytes"].as_str().unwrap();
    assert!(packed.len() > ANSWER_MAX_BYTES / 2, "{}", packed.len());
    let text = unpacked(&answer[0]["payloadBytes"]);
    assert!(text.lines().next().unwrap().contains("left out"));
    assert!(text.ends_with(&format!("{}\n", lines.last().unwrap())));
    bed.logs.close().await;
}

#[tokio::test]
async fn an_answer_about_very_many_modules_is_bounded_too() {
    let names: Vec<String> = (0..250)
        .map(|n| format!("{}{n}", "m".repeat(120)))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let bed = Bed::new(&names, &many(3)).await;
    for content in ["text", "json"] {
        for encoding in ["none", "gzip"] {
            let answer = bed.answer(&json!({ "contentType": content, "encoding": encoding }));
            assert_eq!(answer.as_array().unwrap().len(), names.len());
        }
    }
    bed.logs.close().await;
}

#[tokio::test]
async fn a_file_gets_all_lines_up_to_its_size_and_says_what_it_has_not() {
    let lines = many(500);
    let bed = Bed::new(&["a"], &lines).await;
    let (file, filled) = bed.fill(&json!({}), u64::MAX);
    assert_eq!(filled, Filled::default());
    assert_eq!(String::from_utf8(file).unwrap().lines().count(), 500);
    let (file, filled) = bed.fill(&json!({ "contentType": "json" }), 10_000);
    let lines: Value = serde_json::from_slice(&file).unwrap();
    let lines = lines.as_array().unwrap();
    assert_eq!(
        lines.len() - 1 + usize::try_from(filled.left_out).unwrap(),
        500
    );
    let last = lines.last().unwrap()["text"].as_str().unwrap();
    assert!(last.ends_with("left out: the file is full"), "{last}");
    let (file, _) = bed.fill(&json!({ "encoding": "gzip" }), u64::MAX);
    let mut text = String::new();
    GzDecoder::new(&file[..]).read_to_string(&mut text).unwrap();
    assert_eq!(text.lines().count(), 500);
    bed.logs.close().await;
}

#[tokio::test]
async fn nothing_more_is_read_for_a_caller_who_gave_up() {
    let bed = Bed::new(&["a"], &many(5000)).await;
    let unwanted = CancellationToken::new();
    unwanted.cancel();
    let form = Form {
        content: LogContent::Text,
        hub_host_name: "hub".to_owned(),
    };
    let gathering = Gathering {
        snapshot: &[bed.logs.snapshot()],
        form: &form,
        now: now(),
        unwanted: &unwanted,
    };
    let answered = answer(&gathering, &request(&json!({})), bed.modules.clone());
    assert!(matches!(answered, Err(GatherError::Unwanted)));
    bed.logs.close().await;
}

proptest! {
    #[test]
    fn the_length_of_a_json_string_is_known_before(text in "\\PC{0,40}|[\\x00-\\x7f]{0,40}") {
        let written = serde_json::to_string(&text).unwrap();
        prop_assert_eq!(escaped_len(&text), written.len() - 2);
    }
}
