use super::*;
use crate::fake::FakeHost;

fn stream(kind: LogStream) -> (Arc<FakeHost>, LineStream) {
    let host = FakeHost::new();
    let stream = LineStream::new(Arc::clone(&host) as Arc<dyn ModuleHost>, kind);
    (host, stream)
}

#[track_caller]
fn check(parts: &[&[u8]], expected: &[&str]) {
    let (host, stream) = stream(LogStream::Stdout);
    parts.iter().for_each(|part| stream.take(part));
    stream.finish();
    assert_eq!(host.texts(), expected);
}

#[test]
fn lines_are_taken_as_they_end_and_the_last_at_the_end() {
    check(&[b"one\ntwo\n"], &["one", "two"]);
    check(&[b"o", b"ne", b"\ntw", b"o"], &["one", "two"]);
    check(&[b"\n\n", b"\n"], &[]);
    check(&[b"one\r\n"], &["one\r"]);
    check(&[], &[]);
    // A character cut in two by two writes is whole in the line.
    check(&[b"gr\xc3", b"\xbc\xc3\x9f\n"], &["gr\u{fc}\u{df}"]);
    check(&[b"\xff\n"], &["\u{fffd}"]);
}

#[test]
fn a_line_without_end_is_logged_once_and_its_rest_dropped() {
    let (host, stream) = stream(LogStream::Stdout);
    let part = vec![b'x'; 10_000];
    for _ in 0..1000 {
        stream.take(&part);
    }
    assert_eq!(host.texts().len(), 1);
    let text = &host.texts()[0];
    assert!(
        text.len() <= LOG_TEXT_MAX_BYTES && text.ends_with('…'),
        "{}",
        text.len()
    );
    let held = stream.line.lock().expect("not poisoned").held.capacity();
    assert!(held <= 1024, "{held}");
    stream.take(b"\nnext\n");
    stream.finish();
    assert_eq!(host.texts()[1..], ["next"]);
}

#[test]
fn a_line_of_just_the_longest_text_stays_whole() {
    let line = "x".repeat(LOG_TEXT_MAX_BYTES);
    check(&[line.as_bytes(), b"\n"], &[&line]);
}

#[test]
fn the_two_streams_have_their_names_and_levels() {
    for (kind, level) in [
        (LogStream::Stdout, LogLevel::Info),
        (LogStream::Stderr, LogLevel::Warn),
    ] {
        let (host, stream) = stream(kind);
        stream.clone().take(b"a");
        stream.take(b"b\n");
        let lines = host.lines();
        assert_eq!(lines.len(), 1);
        assert_eq!((lines[0].stream, lines[0].level), (kind, level));
        assert_eq!(lines[0].text, "ab");
    }
}

#[test]
fn a_guest_that_writes_more_than_it_may_is_ended() {
    let (host, mut stream) = stream(LogStream::Stdout);
    let permitted = stream.check_write().expect("it may write");
    let much = Bytes::from(vec![b'\n'; permitted + 1]);
    assert!(matches!(stream.write(much), Err(StreamError::Trap(_))));
    stream
        .write(Bytes::from(vec![b'x'; permitted]))
        .expect("as much as it may");
    assert_eq!(host.texts().len(), 1);
}
