//! Asking a proxy for a tunnel, and reading its answer, which is bounded and not trusted.

use std::io;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use wasm_edge_model::connection_string::HostAddress;
use zeroize::Zeroizing;

use super::{Login, Proxy};

/// The longest head of a proxy's answer.
const HEAD_SIZE_MAX_BYTES: usize = 8 * 1024;

/// Why a proxy made no tunnel.
#[derive(Debug, Error)]
pub enum TunnelError {
    /// It wants to know who asks, or does not let this user through.
    #[error("it asks for a user name and a password, or does not take those that it was given")]
    Login,
    /// It refused.
    #[error("it answered with status {status}")]
    Refused {
        /// The status of HTTP.
        status: u16,
    },
    /// It does not speak HTTP.
    #[error("its answer is not HTTP")]
    NotHttp,
    /// Its answer is too long.
    #[error("its answer has a head of more than {HEAD_SIZE_MAX_BYTES} bytes")]
    TooLong,
    /// It closed the connection.
    #[error("it closed the connection")]
    Closed,
    /// The connection broke.
    #[error("the connection to it broke")]
    Broken(#[source] io::Error),
}

/// Asks for a tunnel to a host. The time is the caller's to bound.
pub(crate) async fn open(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    proxy: &Proxy,
    host: &HostAddress,
    port: u16,
) -> Result<(), TunnelError> {
    let request = request(host, port, proxy.login());
    let sending = async {
        stream.write_all(request.as_bytes()).await?;
        stream.flush().await
    };
    sending.await.map_err(TunnelError::Broken)?;
    let mut head = Vec::new();
    loop {
        // One byte at a time, as what comes behind the head is the other end's already.
        let byte = match stream.read_u8().await {
            Ok(byte) => byte,
            Err(err) if err.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(TunnelError::Closed);
            }
            Err(err) => return Err(TunnelError::Broken(err)),
        };
        head.push(byte);
        if let Some(answered) = answer(&head) {
            return answered;
        }
    }
}

fn request(host: &HostAddress, port: u16, login: Option<&Login>) -> Zeroizing<String> {
    let authority = format!("{}:{port}", host.name());
    let login = login.map_or_else(Zeroizing::default, |login| {
        let plain = Zeroizing::new(format!("{}:{}", login.user, login.password.as_str()));
        let encoded = Zeroizing::new(BASE64_STANDARD.encode(plain.as_bytes()));
        Zeroizing::new(format!(
            "Proxy-Authorization: Basic {}\r\n",
            encoded.as_str()
        ))
    });
    Zeroizing::new(format!(
        "CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{}\r\n",
        login.as_str()
    ))
}

/// What the bytes of a proxy's answer come to; none while its head is not whole.
///
/// # Errors
/// Any [`TunnelError`] but those of a connection.
pub fn answer(head: &[u8]) -> Option<Result<(), TunnelError>> {
    const BEGIN: &[u8] = b"HTTP/1.";
    let begun = head.len().min(BEGIN.len());
    if head[..begun] != BEGIN[..begun] {
        return Some(Err(TunnelError::NotHttp));
    }
    if head.len() > HEAD_SIZE_MAX_BYTES {
        return Some(Err(TunnelError::TooLong));
    }
    if !head.ends_with(b"\n\r\n") && !head.ends_with(b"\n\n") {
        return None;
    }
    Some(match status(head) {
        None => Err(TunnelError::NotHttp),
        Some(200..=299) => Ok(()),
        // Some, as tinyproxy, say it as a server would.
        Some(401 | 407) => Err(TunnelError::Login),
        Some(status) => Err(TunnelError::Refused { status }),
    })
}

/// The status in a line `HTTP/1.1 200 …`.
fn status(head: &[u8]) -> Option<u16> {
    let rest = head.strip_prefix(b"HTTP/1.")?;
    let (version, rest) = rest.split_first()?;
    let digits = rest.strip_prefix(b" ")?.get(..3)?;
    let ends = rest.get(4).is_some_and(u8::is_ascii_whitespace);
    if !version.is_ascii_digit() || !ends || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let text = std::str::from_utf8(digits).ok()?;
    text.parse().ok().filter(|status| *status >= 100)
}

#[cfg(test)]
mod tests;
