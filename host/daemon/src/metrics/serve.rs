//! Serves the metrics over HTTP: one path, one request per connection, few connections.
//!
//! Read by hand, since that is all there is: no server of HTTP is kept in memory for a scraper that may never come.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::text::CONTENT_TYPE;

/// The most connections at once: a scraper or two, and a person who looks.
const CONNECTIONS_MAX: usize = 4;

/// The largest head of a request; scrapers send some hundred bytes.
const HEAD_MAX_BYTES: usize = 8 * 1024;

/// How long a connection may take in all.
const CONNECTION_TIME_MAX: Duration = Duration::from_secs(10);

/// How long nothing is accepted after accepting failed, as for want of open files.
const ACCEPT_WAIT: Duration = Duration::from_millis(500);

/// What makes the text of the metrics. Called on a thread that may block.
pub type Source = Arc<dyn Fn() -> String + Send + Sync>;

/// The metrics, served.
#[derive(Debug)]
pub struct MetricsServer {
    address: SocketAddr,
    task: JoinHandle<()>,
    stop: CancellationToken,
}

impl MetricsServer {
    /// Begins to listen.
    ///
    /// # Errors
    /// Those of listening, as when the port is in use.
    pub async fn start(listen: SocketAddr, source: Source) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let task = tokio::spawn(accept(listener, source, stop.clone()));
        Ok(Self {
            address,
            task,
            stop,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends it, with what is under way.
    pub async fn close(self) {
        self.stop.cancel();
        let _ = self.task.await;
    }
}

async fn accept(listener: TcpListener, source: Source, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            wasm_edge_clock::sleep(ACCEPT_WAIT).await;
            continue;
        };
        // Nobody waits in a line: whoever is too many is cut off.
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            continue;
        };
        let (source, stop) = (Arc::clone(&source), stop.clone());
        connections.spawn(async move {
            let served = wasm_edge_clock::timeout(CONNECTION_TIME_MAX, serve(stream, source));
            tokio::select! {
                // Whoever breaks off a scrape is told nothing.
                _ = served => {}
                () = stop.cancelled() => {}
            }
            drop(place);
        });
    }
    connections.close();
    connections.wait().await;
}

async fn serve(mut stream: TcpStream, source: Source) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if head.len() > HEAD_MAX_BYTES {
            return answer(&mut stream, Said::TooLarge).await;
        }
        if stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let said = match asked(&head) {
        Asked::Metrics { whole } => {
            let text = tokio::task::spawn_blocking(move || source()).await;
            let text = text.map_err(io::Error::other)?;
            Said::Text { text, whole }
        }
        Asked::Other => Said::NotFound,
        Asked::OtherMethod => Said::OtherMethod,
        Asked::Nonsense => Said::Nonsense,
    };
    answer(&mut stream, said).await
}

/// What a request asks for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    /// The metrics, or with `HEAD` their head alone.
    Metrics {
        whole: bool,
    },
    Other,
    OtherMethod,
    Nonsense,
}

/// What is answered.
enum Said {
    Text { text: String, whole: bool },
    NotFound,
    OtherMethod,
    TooLarge,
    Nonsense,
}

fn asked(head: &[u8]) -> Asked {
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let Ok(line) = std::str::from_utf8(line) else {
        return Asked::Nonsense;
    };
    let words: Vec<&str> = line.split(' ').collect();
    let [method, target, version] = words[..] else {
        return Asked::Nonsense;
    };
    if !matches!(version, "HTTP/1.1" | "HTTP/1.0") {
        return Asked::Nonsense;
    }
    let path = target.split('?').next().unwrap_or_default();
    match (method, path) {
        ("GET", "/metrics") => Asked::Metrics { whole: true },
        ("HEAD", "/metrics") => Asked::Metrics { whole: false },
        (_, "/metrics") => Asked::OtherMethod,
        _ => Asked::Other,
    }
}

async fn answer(stream: &mut TcpStream, said: Said) -> io::Result<()> {
    let (status, content_type, text, whole) = match said {
        Said::Text { text, whole } => ("200 OK", CONTENT_TYPE, text, whole),
        Said::NotFound => plain("404 Not Found", "the metrics are at /metrics\n"),
        Said::OtherMethod => plain("405 Method Not Allowed", "GET and HEAD are served\n"),
        Said::TooLarge => plain("431 Request Header Fields Too Large", ""),
        Said::Nonsense => plain("400 Bad Request", ""),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        text.len()
    );
    stream.write_all(head.as_bytes()).await?;
    if whole {
        stream.write_all(text.as_bytes()).await?;
    }
    stream.shutdown().await
}

fn plain(status: &'static str, text: &str) -> (&'static str, &'static str, String, bool) {
    (status, "text/plain; charset=utf-8", text.to_owned(), true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: Asked) {
        let head = format!("{line}\r\nHost: h\r\n\r\n");
        assert_eq!(asked(head.as_bytes()), expected, "{line}");
    }

    #[test]
    fn one_path_is_served() {
        check("GET /metrics HTTP/1.1", Asked::Metrics { whole: true });
        check("GET /metrics?x=1 HTTP/1.0", Asked::Metrics { whole: true });
        check("HEAD /metrics HTTP/1.1", Asked::Metrics { whole: false });
        check("POST /metrics HTTP/1.1", Asked::OtherMethod);
        check("GET / HTTP/1.1", Asked::Other);
        for line in [
            "",
            "GET",
            "GET /metrics",
            "GET  /metrics HTTP/1.1",
            "GET /metrics HTTP/2",
            "a b c d",
        ] {
            check(line, Asked::Nonsense);
        }
        assert_eq!(asked(b"GET /\xff HTTP/1.1\r\n\r\n"), Asked::Nonsense);
    }

    async fn ask(address: SocketAddr, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request).await.unwrap();
        let mut answer = String::new();
        // One that is cut off may be told so by a reset.
        let _ = stream.read_to_string(&mut answer).await;
        answer
    }

    #[tokio::test]
    async fn scrapes_are_answered_and_too_many_are_cut_off() {
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = MetricsServer::start(listen, Arc::new(|| "a 1\n".to_owned()))
            .await
            .unwrap();
        let address = server.address();
        let answer = ask(address, b"GET /metrics HTTP/1.1\r\n\r\n").await;
        assert!(
            answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\na 1\n"),
            "{answer}"
        );
        let answer = ask(address, b"HEAD /metrics HTTP/1.1\r\n\r\n").await;
        assert!(
            answer.contains("Content-Length: 4\r\n") && answer.ends_with("\r\n\r\n"),
            "{answer}"
        );
        let mut large = b"GET /metrics HTTP/1.1\r\nX: ".to_vec();
        large.extend(vec![b'x'; HEAD_MAX_BYTES * 2]);
        let answer = ask(address, &large).await;
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 431 "),
            "{answer}"
        );
        let mut silent = Vec::new();
        for _ in 0..CONNECTIONS_MAX {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"GET ").await.unwrap();
            silent.push(stream);
        }
        // The last of the silent ones may not be accepted yet, but is before the next.
        let answer = ask(address, b"GET /metrics HTTP/1.1\r\n\r\n").await;
        assert_eq!(answer, "");
        server.close().await;
        assert!(TcpStream::connect(address).await.is_err());
    }
}
