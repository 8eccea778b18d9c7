use std::time::Instant as Monotonic;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{HandshakeKind, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use wasm_edge_model::time::Timestamp;

use super::*;
use crate::clock::Source;

/// Long enough for a machine that is busy.
const LONG: Duration = Duration::from_secs(60);

/// An authority.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Self {
            issuer: Issuer::new(params, key),
            certificate,
        }
    }

    /// A server for this name, whose certificate is valid in these years.
    fn server(&self, name: &str, years: (i32, i32)) -> Arc<ServerConfig> {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(years.0, 1, 1);
        params.not_after = rcgen::date_time_ymd(years.1, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        Arc::new(config)
    }

    fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        Arc::new(roots)
    }

    fn dialer(&self) -> Dialer {
        dialer(options(self.roots()))
    }
}

/// A clock that stands still.
struct Still(&'static str);

impl Source for Still {
    fn wall(&self) -> Timestamp {
        self.0.parse().unwrap()
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic::now()
    }
}

fn options(roots: Arc<RootCertStore>) -> DialerOptions {
    DialerOptions {
        roots,
        proxy: None,
        identity: None,
        clock: HubClock::from_source(Box::new(Still("2026-12-01T00:00:00Z")), None),
        connect_timeout: LONG,
    }
}

fn dialer(options: DialerOptions) -> Dialer {
    Dialer::new(options).unwrap()
}

fn host(text: &str) -> HostAddress {
    HostAddress::parse(text).unwrap()
}

/// Listens; each connection is shaken hands with, told something, and heard out.
async fn serve(config: Arc<ServerConfig>) -> (u16, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = TlsAcceptor::from(config.clone()).accept(stream).await else {
                continue;
            };
            let resumed = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
            stream.write_all(&[u8::from(resumed)]).await.unwrap();
            stream.flush().await.unwrap();
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
        }
    });
    (port, serving)
}

#[tokio::test]
async fn tls_is_agreed_on_counted_and_resumed() {
    let authority = Authority::new();
    let (port, serving) = serve(authority.server("localhost", (2026, 2027))).await;
    let dialer = authority.dialer();
    let ledger = crate::traffic::Ledger::default();
    let mut resumed = Vec::new();
    for name in ["first", "second"] {
        let counter = ledger.counter(name);
        let host = host("localhost");
        let dialed = dialer.dial(&host, port, Security::Tls, &counter);
        let mut stream = dialed.await.unwrap();
        resumed.push(stream.read_u8().await.unwrap());
        stream.shutdown().await.unwrap();
    }
    serving.abort();
    assert_eq!(resumed, [0, 1]);
    let [first, second] = ["first", "second"].map(|name| ledger.counter(name).traffic());
    assert_eq!((first.connections, second.connections), (1, 1));
    // A certificate is not sent again.
    assert!(
        second.received_bytes < first.received_bytes,
        "{first:?} {second:?}"
    );
    assert!(first.sent_bytes > 0 && first.message_bytes == 0);
}

#[tokio::test]
async fn what_is_wrong_with_a_certificate_is_told_apart() {
    let authority = Authority::new();
    let check = async |dialer: Dialer, config, expected: CertificateFault| {
        let (port, serving) = serve(config).await;
        let counter = Counter::default();
        let host = host("localhost");
        let dialed = dialer.dial(&host, port, Security::Tls, &counter);
        let err = dialed.await.err().unwrap();
        serving.abort();
        let DialError::Certificate {
            fault, ref address, ..
        } = err
        else {
            panic!("{err:?}");
        };
        assert_eq!(fault, expected);
        assert_eq!(*address, format!("localhost:{port}"));
        let is_clock = matches!(
            fault,
            CertificateFault::Expired | CertificateFault::NotYetValid
        );
        assert_eq!(err.may_be_the_clock(), is_clock);
    };
    use CertificateFault::{Authority as Unknown, Expired, Name, NotYetValid};
    let good = authority.server("localhost", (2026, 2027));
    check(
        authority.dialer(),
        authority.server("other", (2026, 2027)),
        Name,
    )
    .await;
    check(Authority::new().dialer(), good, Unknown).await;
    check(
        authority.dialer(),
        authority.server("localhost", (2020, 2021)),
        Expired,
    )
    .await;
    check(
        authority.dialer(),
        authority.server("localhost", (2029, 2030)),
        NotYetValid,
    )
    .await;
}

#[tokio::test]
async fn certificates_are_judged_by_the_corrected_clock() {
    let authority = Authority::new();
    let (port, serving) = serve(authority.server("localhost", (2029, 2030))).await;
    let options = options(authority.roots());
    let clock = options.clock.clone();
    let dialer = dialer(options);
    assert!(clock.adopt("2029-06-01T00:00:00Z".parse().unwrap(), Duration::ZERO));
    let counter = Counter::default();
    let dialed = dialer
        .dial(&host("localhost"), port, Security::Tls, &counter)
        .await;
    serving.abort();
    assert!(dialed.is_ok());
}

#[tokio::test]
async fn a_hub_is_asked_the_time_whatever_its_certificate_says_of_it_while_the_clock_is_not_set() {
    let authority = Authority::new();
    let counter = Counter::default();
    let host = host("localhost");
    let check = async |now, server: Arc<ServerConfig>, expected: Option<CertificateFault>| {
        let (port, serving) = serve(server).await;
        let mut options = options(authority.roots());
        options.clock = HubClock::from_source(Box::new(Still(now)), None);
        let asking = dialer(options).to_ask_the_time();
        let dialed = asking.dial(&host, port, Security::Tls, &counter).await;
        serving.abort();
        let fault = dialed.err().map(|err| match err {
            DialError::Certificate { fault, .. } => fault,
            other => panic!("{other:?}"),
        });
        assert_eq!(fault, expected, "{now}");
    };
    use CertificateFault::{Authority as Unknown, Expired, Name, NotYetValid};
    let (unset, set) = ("1970-01-01T00:01:00Z", "2026-12-01T00:00:00Z");
    check(unset, authority.server("localhost", (2029, 2030)), None).await;
    check(
        set,
        authority.server("localhost", (2029, 2030)),
        Some(NotYetValid),
    )
    .await;
    check(
        set,
        authority.server("localhost", (2020, 2021)),
        Some(Expired),
    )
    .await;
    check(unset, authority.server("other", (2029, 2030)), Some(Name)).await;
    let stranger = Authority::new();
    check(
        unset,
        stranger.server("localhost", (2029, 2030)),
        Some(Unknown),
    )
    .await;
}

#[tokio::test]
async fn a_client_certificate_has_to_go_with_its_key() {
    let made =
        ["a", "b"].map(|name| rcgen::generate_simple_self_signed([name.to_owned()]).unwrap());
    let folder = tempfile::TempDir::new().unwrap();
    let (certificate, key) = (folder.path().join("cert"), folder.path().join("key"));
    std::fs::write(&certificate, made[0].cert.pem()).unwrap();
    for (index, fits) in [(0, true), (1, false)] {
        std::fs::write(&key, made[index].signing_key.serialize_pem()).unwrap();
        let identity = ClientIdentity::read(&certificate, &key).unwrap();
        let mut options = options(Arc::new(RootCertStore::empty()));
        options.identity = Some(identity);
        let built = Dialer::new(options);
        assert_eq!(built.is_ok(), fits);
        assert!(fits || matches!(built, Err(TrustError::Identity(_))));
    }
}

#[tokio::test]
async fn each_phase_names_itself_when_it_fails() {
    let roots = Arc::new(RootCertStore::empty());
    let (counter, plain) = (Counter::default(), Security::Plain);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let limited = |proxy: Option<String>| {
        let mut options = options(roots.clone());
        options.connect_timeout = Duration::from_millis(50);
        options.proxy = proxy.map(|proxy| proxy.parse().unwrap());
        dialer(options)
    };

    // Nobody answers there, but the system takes the connection.
    let dialer = limited(None);
    let err = dialer
        .dial(&host("127.0.0.1"), port, Security::Tls, &counter)
        .await
        .err();
    let expected = format!("cannot agree on TLS with `127.0.0.1:{port}` within 0.05 s");
    assert_eq!(err.unwrap().to_string(), expected);
    let through = limited(Some(format!("http://127.0.0.1:{port}")));
    let err = through
        .dial(&host("hub.test"), 8883, plain, &counter)
        .await
        .err();
    let expected = "cannot get through the proxy to `hub.test:8883` within 0.05 s";
    assert_eq!(err.unwrap().to_string(), expected);

    drop(listener);
    let unlimited = self::dialer(options(roots.clone()));
    let err = unlimited
        .dial(&host("127.0.0.1"), port, plain, &counter)
        .await
        .err()
        .unwrap();
    assert!(matches!(err, DialError::Connect { .. }), "{err:?}");
    let mut by_proxy = options(roots.clone());
    by_proxy.proxy = Some(format!("http://u:secret@127.0.0.1:{port}").parse().unwrap());
    let by_proxy = self::dialer(by_proxy);
    let err = by_proxy
        .dial(&host("hub.test"), 1, plain, &counter)
        .await
        .err()
        .unwrap();
    assert_eq!(
        err.to_string(),
        format!("cannot reach the proxy `127.0.0.1:{port}`")
    );
    assert!(!format!("{by_proxy:?}{err:?}").contains("secret"));

    // No resolver is asked for a name that cannot be one.
    let name = host(&"x".repeat(64));
    let err = unlimited
        .dial(&name, 1, plain, &counter)
        .await
        .err()
        .unwrap();
    assert!(matches!(err, DialError::Resolve { .. }), "{err:?}");
}

#[tokio::test]
async fn a_stream_goes_through_the_proxy_to_the_name_that_was_asked_for() {
    let authority = Authority::new();
    let (port, serving) = serve(authority.server("hub.test", (2026, 2027))).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy_port = listener.local_addr().unwrap().port();
    let proxying = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(stream.read_u8().await.unwrap());
        }
        let expected = b"CONNECT hub.test:8883 HTTP/1.1\r\n";
        assert!(request.starts_with(expected));
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        let mut far = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut stream, &mut far).await;
    });
    let mut options = options(authority.roots());
    options.proxy = Some(format!("http://127.0.0.1:{proxy_port}").parse().unwrap());
    let dialer = dialer(options);
    let host = host("hub.test");
    assert!(dialer.goes_through_proxy(&host));
    let counter = Counter::default();
    let dialed = dialer.dial(&host, 8883, Security::Tls, &counter);
    let mut stream = dialed.await.unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), 0);
    drop(stream);
    proxying.await.unwrap();
    serving.abort();
}
