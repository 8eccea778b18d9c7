//! Clients of a hub that are slow, silent, half-open or too many: they are closed in their time, cost little, and
//! nobody waits for them.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::json;
use wasm_edge_tests::home::Home;
use wasm_edge_tests::hub::{HubOptions, HubServe};
use wasm_edge_tests::tls::TlsClient;
use wasm_edge_tests::tokens::Token;
use wasm_edge_tests::{http, wait};

/// What the memory of a hub may grow by while so many clients hang on it, per client.
const CLIENT_MAX_BYTES: u64 = 96 * 1024;

/// A hub whose limits of time are short, with metrics.
fn impatient(args: &[&str]) -> HubOptions {
    let limits = [
        "--metrics-listen",
        "127.0.0.1:0",
        "--handshake-timeout",
        "2s",
        "--connect-timeout",
        "2s",
        "--http-idle-timeout",
        "2s",
        "--http-stall-timeout",
        "2s",
    ];
    HubOptions::new().args(limits).args(args.iter().copied())
}

/// The value of a series of the metrics, 0 where it is not there yet.
fn metric(hub: &HubServe<'_>, series: &str) -> u64 {
    let mut stream = TcpStream::connect(("127.0.0.1", hub.metrics_port())).unwrap();
    let request = http::request_text("GET", "/metrics", &[], None);
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
    let value = text.lines().find_map(|line| line.strip_prefix(series));
    value.map_or(0, |value| value.trim().parse::<f64>().unwrap() as u64)
}

fn open(hub: &HubServe<'_>, transport: &str) -> u64 {
    metric(
        hub,
        &format!("wasm_edge_hub_connections{{transport=\"{transport}\"}}"),
    )
}

fn refusals(hub: &HubServe<'_>, reason: &str) -> u64 {
    metric(
        hub,
        &format!("wasm_edge_hub_refusals_total{{reason=\"{reason}\"}}"),
    )
}

/// Somebody who does all as it should be is served.
fn serves(hub: &HubServe<'_>) {
    let answer = TlsClient::of(hub).ask(hub.https_port(), "GET", "/devices", &[], None);
    assert_eq!(answer.status, 401, "{answer:?}");
    TlsClient::of(hub).connect(hub.mqtt_port()).unwrap();
}

fn tcp(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(wait::LIMIT)).unwrap();
    stream
}

/// Waits until the other end has closed a connection.
fn is_closed(stream: &mut impl Read) {
    let mut buffer = [0; 1024];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return,
            Ok(_) => {}
            Err(err) if matches!(err.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("the connection is still open: {err}")
            }
            Err(_) => return,
        }
    }
}

fn resident_bytes(hub: &HubServe<'_>) -> u64 {
    metric(hub, "process_resident_memory_bytes")
}

/// The first bytes of a handshake: a record of a length that does not come.
const HALF_A_HELLO: [u8; 8] = [22, 3, 1, 0, 200, 1, 0, 0];

#[test]
fn hundreds_who_say_nothing_or_half_of_it_are_closed_and_others_are_served() {
    const EACH: usize = 100;
    let home = Home::new();
    let hub = impatient(&[]).start(&home);
    serves(&hub);
    let before = resident_bytes(&hub);
    let tls = TlsClient::of(&hub);
    let silent: Vec<_> = (0..EACH).map(|_| tcp(hub.mqtt_port())).collect();
    let mut half_hello: Vec<_> = (0..EACH).map(|_| tcp(hub.https_port())).collect();
    for stream in &mut half_hello {
        stream.write_all(&HALF_A_HELLO).unwrap();
    }
    serves(&hub);
    let without_connect: Vec<_> = (0..EACH)
        .map(|_| tls.connect(hub.mqtt_port()).unwrap())
        .collect();
    let mut half_head: Vec<_> = (0..EACH)
        .map(|_| tls.connect(hub.https_port()).unwrap())
        .collect();
    for stream in &mut half_head {
        stream
            .write_all(b"GET /devices HTTP/1.1\r\nhost: loc")
            .unwrap();
    }
    serves(&hub);
    let grown = resident_bytes(&hub).saturating_sub(before);
    assert!(grown < CLIENT_MAX_BYTES * 4 * EACH as u64, "{grown} bytes");
    silent
        .into_iter()
        .chain(half_hello)
        .for_each(|mut stream| is_closed(&mut stream));
    without_connect
        .into_iter()
        .chain(half_head)
        .for_each(|mut stream| is_closed(&mut stream));
    assert_eq!(refusals(&hub, "handshake_timeout"), 2 * EACH as u64);
    serves(&hub);
    wait::until_so("all places to be free again", || {
        open(&hub, "tls") == 0 && open(&hub, "https") == 0
    });
    hub.stop().ok();
}

#[test]
fn a_client_that_sends_a_byte_now_and_then_has_no_more_time_than_others() {
    let home = Home::new();
    let hub = impatient(&[]).start(&home);
    let mut stream = TlsClient::of(&hub).connect(hub.https_port()).unwrap();
    stream.write_all(b"GET /devices HTTP/1.1\r\n").unwrap();
    wait::until_so("the connection to be closed", || {
        let written = stream.write_all(b"x: y\r\n").and_then(|()| stream.flush());
        written.is_err()
    });
    wait::until_so("its place to be free again", || open(&hub, "https") == 0);
}

#[test]
fn a_body_that_does_not_come_and_an_answer_that_is_not_read_are_given_up() {
    let home = Home::new();
    let hub = impatient(&[]).start(&home);
    let tls = TlsClient::of(&hub);
    let mut no_body = tls.connect(hub.https_port()).unwrap();
    let head = "PUT /devices/d HTTP/1.1\r\nhost: localhost\r\ncontent-length: 500\r\n\r\n{";
    no_body.write_all(head.as_bytes()).unwrap();
    is_closed(&mut no_body);
    // Requests without end, and no answer is read: at last the hub cannot write any more.
    let mut unread = tcp(hub.metrics_port());
    unread
        .set_write_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    let request = b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(64);
    wait::until_so("the hub to be stuck, or to give up", || {
        unread.write_all(&request).is_err()
    });
    // The connection that asks for the metrics is one itself.
    wait::until_so("its place to be free again", || open(&hub, "metrics") == 1);
    serves(&hub);
}

#[test]
fn a_head_without_end_is_refused() {
    let home = Home::new();
    let hub = impatient(&[]).start(&home);
    let mut stream = TlsClient::of(&hub).connect(hub.https_port()).unwrap();
    let line = format!("x: {}\r\n", "y".repeat(1000));
    let mut head = "GET /devices HTTP/1.1\r\nhost: localhost\r\n".to_owned();
    head.push_str(&line.repeat(60));
    // The hub may close before all of it is written.
    let _ = stream.write_all(head.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    serves(&hub);
}

#[test]
fn connections_above_the_limit_are_closed_until_one_goes() {
    let home = Home::new();
    let hub = impatient(&["--connections-max", "4"]).start(&home);
    let tls = TlsClient::of(&hub);
    let mut held: Vec<_> = (0..4)
        .map(|_| tls.connect(hub.https_port()).unwrap())
        .collect();
    assert!(tls.connect(hub.mqtt_port()).is_err());
    assert!(tls.connect(hub.https_port()).is_err());
    held.pop();
    wait::until_so("there to be room", || tls.connect(hub.mqtt_port()).is_ok());
    wait::until_so("the refusals to be counted", || {
        refusals(&hub, "connections_limit") >= 2
    });
}

#[test]
fn one_address_cannot_take_all_places() {
    let home = Home::new();
    let hub = impatient(&["--connections-per-address-max", "2"]).start(&home);
    let tls = TlsClient::of(&hub);
    let first = tls.connect(hub.https_port()).unwrap();
    let _second = tls.connect(hub.https_port()).unwrap();
    assert!(tls.connect(hub.https_port()).is_err());
    drop(first);
    wait::until_so("there to be room", || tls.connect(hub.https_port()).is_ok());
    wait::until_so("the refusal to be counted", || {
        refusals(&hub, "address_limit") >= 1
    });
}

#[test]
fn bodies_that_do_not_end_take_a_bounded_part_of_the_memory() {
    const BODY_BYTES: usize = 1_000_000;
    const CLIENTS: usize = 160;
    // 64 MiB for one address are 67 such bodies.
    const HELD_MAX: u64 = 68;
    let home = Home::new();
    let args = ["--metrics-listen", "127.0.0.1:0", "--http-stall-timeout"];
    let hub = HubOptions::new().args(args).args(["5m"]).start(&home);
    let body = json!({ "deviceId": "d" });
    let device = hub.ask("PUT", "/devices/d", Some(&body)).body;
    let key = device["authentication"]["symmetricKey"]["primaryKey"].as_str();
    let token = Token::new(key.unwrap(), "localhost/devices/d").text();
    let authorization = format!("authorization: {token}");
    let tls = TlsClient::of(&hub);
    let module = json!({ "deviceId": "d", "moduleId": "m" });
    let make = || {
        let path = "/devices/d/modules/m";
        let headers = [authorization.as_str()];
        tls.ask(hub.https_port(), "PUT", path, &headers, Some(&module))
    };
    let before = resident_bytes(&hub);
    let head = format!(
        "PUT /devices/d/modules/m HTTP/1.1\r\nhost: localhost\r\n{authorization}\r\ncontent-length: {BODY_BYTES}\r\n\r\n"
    );
    let most = [head.into_bytes(), vec![b' '; BODY_BYTES - 1]].concat();
    let held: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let mut stream = tls.connect(hub.https_port()).unwrap();
            // One that finds no room is closed before all of it is written.
            let _ = stream.write_all(&most).and_then(|()| stream.flush());
            stream
        })
        .collect();
    // What was sent is read in its time; whose body finds no room is answered, and closed.
    wait::until_so("most to be closed", || open(&hub, "https") <= HELD_MAX);
    let grown = resident_bytes(&hub).saturating_sub(before);
    assert!(grown < 120 * 1024 * 1024, "{grown} bytes");
    drop(held);
    wait::until_so("there to be room again", || make().status != 429);
    hub.stop().ok();
}

#[test]
fn a_hub_without_files_left_goes_on_once_there_are_some() {
    let home = Home::new();
    let options = impatient(&[]);
    let mut command = home.program("sh", ["-c", r#"ulimit -n 48; exec "$0" "$@""#]);
    command.arg(wasm_edge_tests::paths::binary());
    command.args(options.command_line(&home));
    let hub = options.start_command(&home, command);
    let many: Vec<_> = (0..100).map(|_| tcp(hub.mqtt_port())).collect();
    let warned = hub
        .process
        .stderr
        .find(0, |line| line.contains("was not accepted").then_some(()));
    assert!(warned.is_some());
    drop(many);
    wait::until_so("the hub to serve again", || {
        TlsClient::of(&hub).connect(hub.mqtt_port()).is_ok()
    });
    serves(&hub);
    hub.stop().ok();
}
