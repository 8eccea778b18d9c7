//! Who gives tokens for a registry, by the published scheme: a GET with service and scope, over TLS, answered with a
//! signed token.
//!
//! Source: "Docker Registry v2 authentication", and "Token authentication implementation" (JSON Web Token with `x5c`).

use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use percent_encoding::percent_decode_str;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use super::LOGIN;
use crate::certificates::Authority;

/// Whom its tokens are for.
pub(super) const SERVICE: &str = "registry of tests";

/// Who it says it is.
pub(super) const ISSUER: &str = "realm of tests";

/// How long its tokens are good.
const GOOD_SECS: u64 = 300;

/// A running realm; its thread ends with the process.
#[derive(Debug)]
pub(super) struct Realm {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    tls: Arc<ServerConfig>,
    certificate_der: Vec<u8>,
    key_pkcs8: Vec<u8>,
    asked: Mutex<Vec<(String, String)>>,
}

impl Realm {
    /// Starts one whose certificates, for TLS and for tokens, are of this authority.
    pub(super) fn start(authority: &Authority) -> Self {
        let (certificate, key) = authority.issue_server("localhost");
        let chain = CertificateDer::pem_slice_iter(certificate.as_bytes());
        let chain: Vec<_> = chain.collect::<Result<_, _>>().expect("certificates");
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
        let (certificate_der, key_pkcs8) = (chain[0].to_vec(), key.secret_der().to_vec());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("known versions")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("they belong together");
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("there is a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let shared = Arc::new(Shared {
            tls: Arc::new(tls),
            certificate_der,
            key_pkcs8,
            asked: Mutex::default(),
        });
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&serving);
                // A client that goes away has what it wanted.
                thread::spawn(move || shared.serve(stream));
            }
        });
        Self { port, shared }
    }

    /// Its port on 127.0.0.1.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Where tokens are asked for.
    pub(super) fn url(&self) -> String {
        format!("https://localhost:{}/token", self.port)
    }

    /// The accounts, `-` where there was none, and the scopes for which tokens were asked.
    pub(super) fn asked(&self) -> Vec<(String, String)> {
        let asked = self.shared.asked.lock();
        asked.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Shared {
    fn serve(&self, stream: TcpStream) -> io::Result<()> {
        let tls = ServerConnection::new(Arc::clone(&self.tls)).map_err(io::Error::other)?;
        let mut stream = BufReader::new(StreamOwned::new(tls, stream));
        let mut first = String::new();
        stream.read_line(&mut first)?;
        let mut login = None;
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line)? == 0 || line.trim_end().is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').unwrap_or_default();
            if name.eq_ignore_ascii_case("authorization") {
                login = Some(value.trim().to_owned());
            }
        }
        let target = first.split_whitespace().nth(1).unwrap_or_default();
        let (status, answer) = self.answer(target, login.as_deref());
        let answer = answer.to_string();
        let stream = stream.get_mut();
        write!(
            stream,
            "HTTP/1.1 {status} Said\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{answer}",
            answer.len()
        )?;
        stream.flush()?;
        stream.conn.send_close_notify();
        stream.flush()
    }

    fn answer(&self, target: &str, login: Option<&str>) -> (u16, Value) {
        let query = target.split_once('?').unwrap_or_default().1;
        let scopes: Vec<String> = query
            .split('&')
            .filter_map(|part| part.strip_prefix("scope="))
            .map(|scope| {
                let scope = scope.replace('+', " ");
                percent_decode_str(&scope).decode_utf8_lossy().into_owned()
            })
            .collect();
        let right = format!(
            "Basic {}",
            STANDARD.encode(format!("{}:{}", LOGIN.0, LOGIN.1))
        );
        let account = login.map_or("-", |login| if login == right { LOGIN.0 } else { "?" });
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.push((account.to_owned(), scopes.join(" ")));
        drop(asked);
        if account == "?" {
            let error = json!({ "code": "UNAUTHORIZED", "message": "who is that?" });
            return (401, json!({ "errors": [error] }));
        }
        let scopes = scopes.iter().flat_map(|scope| scope.split(' '));
        let access: Vec<Value> = scopes
            .filter_map(|scope| granted(scope, account != "-"))
            .collect();
        let token = self.token(account, &access);
        (200, json!({ "token": token, "expires_in": GOOD_SECS }))
    }

    fn token(&self, account: &str, access: &[Value]) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.expect("it is after 1970").as_secs();
        let certificate = STANDARD.encode(&self.certificate_der);
        let header = json!({ "typ": "JWT", "alg": "ES256", "x5c": [certificate] });
        let claims = json!({
            "iss": ISSUER, "sub": account, "aud": SERVICE,
            "exp": now + GOOD_SECS, "nbf": now - 10, "iat": now, "jti": now.to_string(),
            "access": access,
        });
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", encode(&header), encode(&claims));
        let random = SystemRandom::new();
        let key =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &self.key_pkcs8, &random);
        let signature = key.expect("a key of P-256").sign(&random, text.as_bytes());
        let signature = signature.expect("it can sign");
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }
}

/// What is granted of a scope as `repository:tools/sensor:pull,push`: pulling to all, the rest to those who are known.
fn granted(scope: &str, is_known: bool) -> Option<Value> {
    let mut parts = scope.rsplitn(2, ':');
    let actions = parts.next()?;
    let (kind, name) = parts.next()?.split_once(':')?;
    let actions: Vec<_> = actions
        .split(',')
        .filter(|action| is_known || *action == "pull")
        .collect();
    Some(json!({ "type": kind, "name": name, "actions": actions }))
}
