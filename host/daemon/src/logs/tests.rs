use std::ops::ControlFlow;
use std::time::Duration;

use wasm_edge_model::time::Timestamp;

use super::feed::FeedEvent;
use super::filter::{LogFilter, Pattern};
use super::slots::tests::SimulatedSlots;
use super::*;

fn line(text: &str) -> LogLine {
    LogLine {
        stream: LogStream::Log,
        level: LogLevel::Info,
        text: text.to_owned(),
        fields: vec![("n".to_owned(), text.len().to_string())],
    }
}

fn module(id: &str) -> ModuleId {
    ModuleId::new(id).expect("valid")
}

fn device() -> DeviceId {
    DeviceId::new("d").expect("valid")
}

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self { folder }
    }

    fn open(&self) -> Logs {
        self.open_bounded(DEVICE_SIZE_MAX_BYTES)
    }

    fn open_bounded(&self, size_max_bytes: u64) -> Logs {
        Logs::open(device(), self.dir(), size_max_bytes)
    }

    fn dir(&self) -> Dir {
        Dir::open_ambient_dir(self.folder.path(), cap_std::ambient_authority()).expect("a folder")
    }

    fn size_bytes(&self) -> u64 {
        let folders = std::fs::read_dir(self.folder.path()).expect("a folder");
        let files = folders.flat_map(|entry| std::fs::read_dir(entry.unwrap().path()).unwrap());
        files
            .map(|file| file.unwrap().metadata().unwrap().len())
            .sum()
    }
}

/// Logs on simulated disks, the same for every module.
fn simulated(slots: &Arc<SimulatedSlots>) -> Logs {
    let slots = Arc::clone(slots);
    let slots_of = Box::new(move |_: &ModuleId| Arc::clone(&slots) as Arc<dyn slots::Slots>);
    let shared = Shared::open(device(), slots_of, Vec::new(), DEVICE_SIZE_MAX_BYTES);
    Logs { shared }
}

fn texts(logs: &Logs, filter: &LogFilter, tail: Option<usize>) -> Vec<String> {
    let mut texts = Vec::new();
    reader::read(&[logs.snapshot()], filter, tail, |entry| {
        texts.push(entry.line.text);
        ControlFlow::Continue(())
    })
    .expect("readable");
    texts
}

fn all(logs: &Logs) -> Vec<String> {
    texts(logs, &LogFilter::default(), None)
}

#[tokio::test(start_paused = true)]
async fn lines_beyond_the_rate_are_counted_and_the_count_is_told_though_none_follows() {
    let place = Place::new();
    let logs = place.open();
    for n in 0..1500 {
        logs.take(&module("m"), line(&n.to_string()));
    }
    assert_eq!(all(&logs).last().map(String::as_str), Some("999"));
    tokio::time::sleep(Duration::from_secs(3)).await;
    let last = texts(&logs, &LogFilter::default(), Some(1));
    assert_eq!(last, ["500 lines were dropped: more than 1000 a second"]);
    logs.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_flood_is_not_made_larger_by_the_notes_about_it() {
    let place = Place::new();
    let logs = place.open();
    for _ in 0..3000 {
        for _ in 0..5 {
            logs.take(&module("m"), line("x"));
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let pattern = Some(Pattern::new("were dropped").expect("valid"));
    let notes = texts(
        &logs,
        &LogFilter {
            pattern,
            ..LogFilter::default()
        },
        None,
    )
    .len();
    assert!((2..=4).contains(&notes), "{notes}");
    logs.close().await;
}

#[tokio::test]
async fn the_history_is_there_after_a_restart_and_numbers_go_on() {
    let place = Place::new();
    let logs = place.open();
    logs.take(&module("a"), line("1"));
    logs.take(&module("b"), line("2"));
    logs.note(&module("a"), LogLevel::Warn, "3".to_owned());
    assert_eq!(all(&logs), ["1", "2", "3"]);
    logs.close().await;
    assert_eq!(all(&logs), ["1", "2", "3"], "written, and still there once");
    let logs = place.open();
    logs.take(&module("b"), line("4"));
    assert_eq!(all(&logs), ["1", "2", "3", "4"]);
    let mut seqs = Vec::new();
    reader::read(&[logs.snapshot()], &LogFilter::default(), None, |entry| {
        seqs.push(entry.seq);
        ControlFlow::Continue(())
    })
    .expect("readable");
    assert!(seqs.windows(2).all(|pair| pair[0] < pair[1]), "{seqs:?}");
    logs.close().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_at_once_but_errors_and_full_groups_are() {
    let place = Place::new();
    let logs = place.open();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(place.size_bytes(), 0, "nothing was said");
    logs.take(&module("m"), line("first"));
    tokio::time::sleep(Duration::from_millis(900)).await;
    assert_eq!(place.size_bytes(), 0);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let first = place.size_bytes();
    assert!(first > 0);
    let mut error = line("error");
    error.level = LogLevel::Error;
    logs.take(&module("m"), error);
    tokio::time::sleep(Duration::from_millis(5)).await;
    let second = place.size_bytes();
    assert!(second > first);
    logs.take(&module("m"), line(&"x".repeat(16 * 1024)));
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert!(place.size_bytes() > second);
    logs.close().await;
}

#[tokio::test]
async fn tail_counts_after_the_other_filters() {
    let place = Place::new();
    let logs = place.open();
    for n in 0..10 {
        logs.take(&module("a"), line(&format!("odd {n}")));
        logs.take(&module("b"), line(&format!("even {n}")));
    }
    let filter = LogFilter {
        pattern: Some(Pattern::new("^even [1-3]").expect("valid")),
        ..LogFilter::default()
    };
    assert_eq!(texts(&logs, &filter, Some(2)), ["even 2", "even 3"]);
    assert_eq!(texts(&logs, &filter, Some(0)), Vec::<String>::new());
    assert_eq!(texts(&logs, &filter, Some(100)).len(), 3);
    let filter = LogFilter {
        module: Some(module("a")),
        since: Some(Timestamp::from_unix_millis(0)),
        ..LogFilter::default()
    };
    assert_eq!(texts(&logs, &filter, Some(1)), ["odd 9"]);
    logs.close().await;
}

#[tokio::test]
async fn a_follower_begins_where_the_snapshot_ends() {
    let place = Place::new();
    let logs = place.open();
    logs.take(&module("m"), line("1"));
    let (snapshot, mut feed) = logs.snapshot_and_follow(None).expect("room");
    logs.take(&module("m"), line("2"));
    logs.close().await;
    let mut read = Vec::new();
    reader::read(&[snapshot], &LogFilter::default(), None, |entry| {
        read.push(entry.line.text);
        ControlFlow::Continue(())
    })
    .expect("readable");
    assert_eq!(read, ["1"]);
    let Some(FeedEvent::Line(entry)) = feed.next().await else {
        panic!("the second line");
    };
    assert_eq!(entry.line.text, "2");
    assert_eq!(feed.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn all_logs_of_a_device_are_bounded_and_the_largest_gives_way() {
    const SIZE: u64 = 600 * 1024;
    let place = Place::new();
    let logs = place.open_bounded(SIZE);
    logs.take(&module("quiet"), line("here"));
    for n in 0..60 {
        for id in ["loud", "louder"] {
            let text = format!("{n} {}", "x".repeat(12 * 1024));
            logs.note(&module(id), LogLevel::Error, text);
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    logs.close().await;
    assert!(place.size_bytes() <= SIZE, "{}", place.size_bytes());
    assert!(place.size_bytes() > SIZE / 2, "{}", place.size_bytes());
    let kept = all(&logs);
    assert_eq!(kept[0], "here");
    assert!(kept[kept.len() - 1].starts_with("59 "));
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_loses_lines_and_says_how_many_when_it_has_room_again() {
    let slots = Arc::new(SimulatedSlots::default());
    slots.set_full(true);
    let logs = simulated(&slots);
    let mut feed = logs.follow().expect("room");
    for n in 0..3 {
        logs.take(&module("m"), line(&n.to_string()));
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(feed.drain().len(), 3, "those who follow miss nothing");
    slots.set_full(false);
    logs.take(&module("m"), line("after"));
    tokio::time::sleep(Duration::from_secs(5)).await;
    let expected = "3 lines are missing here: they could not be written to the disk";
    assert_eq!(all(&logs), ["after", expected]);
    logs.close().await;
}

#[tokio::test]
async fn a_forgotten_module_leaves_no_file_and_may_begin_anew() {
    let place = Place::new();
    let logs = place.open();
    logs.note(&module("m"), LogLevel::Error, "old".to_owned());
    logs.take(&module("n"), line("other"));
    logs.forget(&module("m")).await.expect("removed");
    logs.forget(&module("m")).await.expect("once more");
    assert!(!logs.knows(&module("m")) && logs.knows(&module("n")));
    assert!(!place.folder.path().join("m").exists());
    assert_eq!(all(&logs), ["other"]);
    logs.take(&module("m"), line("new"));
    logs.close().await;
    assert_eq!(all(&logs), ["other", "new"]);
}

#[tokio::test]
async fn what_is_no_log_in_the_folder_is_left_alone() {
    let place = Place::new();
    let foreign = place.folder.path().join("thesis");
    std::fs::create_dir(&foreign).expect("made");
    std::fs::write(foreign.join("0.log"), "years of work").expect("written");
    std::fs::write(place.folder.path().join("notes"), "more").expect("written");
    let logs = place.open();
    logs.take(&module("m"), line("x"));
    logs.close().await;
    assert_eq!(all(&logs), ["x"]);
    assert_eq!(
        std::fs::read(foreign.join("0.log")).expect("there"),
        b"years of work"
    );
}

#[tokio::test(start_paused = true)]
async fn other_limits_take_effect_without_a_further_line() {
    let place = Place::new();
    let logs = place.open();
    for _ in 0..40 {
        logs.note(&module("m"), LogLevel::Error, "x".repeat(12 * 1024));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    logs.close().await;
    assert!(place.size_bytes() > 300 * 1024);
    let logs = place.open();
    let limits = Limits {
        log_size_max_bytes: 64 * 1024,
        ..Limits::default()
    };
    logs.set_limits(&module("m"), &limits);
    logs.close().await;
    assert!(place.size_bytes() <= 64 * 1024, "{}", place.size_bytes());
}

#[tokio::test]
async fn logs_without_files_are_for_followers_alone() {
    let logs = Logs::without_files(device());
    let mut feed = logs.follow().expect("room");
    logs.take(&module("m"), line("x"));
    assert!(all(&logs).is_empty());
    logs.forget(&module("m")).await.expect("nothing to remove");
    logs.close().await;
    assert!(matches!(feed.next().await, Some(FeedEvent::Line(_))));
    assert_eq!(feed.next().await, None);
}
