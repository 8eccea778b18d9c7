//! What others say to us: a broker's packets, parted anywhere; the head of a proxy's answer; a `Date`.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use tokio::io::AsyncWriteExt as _;
use tokio::runtime::Builder;
use wasm_edge_net::http::date;
use wasm_edge_net::mqtt::{ConnectOptions, Connection, Incoming};
use wasm_edge_net::proxy;
use wasm_edge_net::stream::Stream;
use wasm_edge_net::traffic::Counter;
use zeroize::Zeroizing;

/// The longest packet that is taken.
const PACKET_MAX_BYTES: usize = 256;

fn options() -> ConnectOptions {
    ConnectOptions {
        client_id: "d/m".to_owned(),
        user_name: "hub/d/m/?api-version=2021-04-12".to_owned(),
        password: Zeroizing::new("token".to_owned()),
        clean_session: false,
        keep_alive: Duration::from_secs(60),
        answer_timeout: Duration::from_secs(30),
        incoming_max_bytes: PACKET_MAX_BYTES,
        outgoing_max_bytes: PACKET_MAX_BYTES,
        is_message: |_| true,
    }
}

/// Lets a client in and sends it these bytes, in pieces of this size; it takes them until something is wrong.
async fn talk(bytes: &[u8], size: usize) {
    let (ours, mut theirs) = tokio::io::duplex(4096);
    let speaking = async {
        let _ = theirs.write_all(&[0x20, 2, 0, 0]).await;
        for piece in bytes.chunks(size) {
            if theirs.write_all(piece).await.is_err() {
                return;
            }
            tokio::task::yield_now().await;
        }
        let _ = theirs.shutdown().await;
    };
    let listening = async {
        let opened = Connection::open(Stream::new(ours), options(), Counter::default()).await;
        let (mut connection, present) = opened.expect("it is let in");
        assert!(!present);
        while let Ok(incoming) = connection.receive().await {
            if let Incoming::Published(published) = incoming {
                assert!(!published.topic.is_empty());
                assert!(published.topic.len() + published.payload.len() <= PACKET_MAX_BYTES);
            }
        }
    };
    tokio::join!(speaking, listening);
}

fuzz_target!(|bytes: &[u8]| {
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    let size = bytes.first().map_or(1, |size| usize::from(size % 16) + 1);
    runtime.expect("a runtime").block_on(talk(bytes, size));

    // Once there is an answer, what comes behind it does not matter; the head of one is bounded.
    for end in 0..=bytes.len() {
        if proxy::answer(&bytes[..end]).is_some() {
            break;
        }
    }
    assert!(proxy::answer(&vec![b'x'; 1 << 14]).is_some());

    if let Some(time) = std::str::from_utf8(bytes).ok().and_then(date::parse) {
        let shown = time.to_string();
        assert!(shown.ends_with(".0000000Z"), "{shown}");
    }
});
