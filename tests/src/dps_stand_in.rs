//! A stand-in for Azure's Device Provisioning Service, for tests alone: the part of its published MQTT protocol that
//! devices use to register.
//!
//! It is not the service. It holds clients to what is published: TLS on a port of its own, client id, user name and
//! token of a registration, one subscription, and the two requests. It says what a test tells it to. The official SDK
//! for Python speaks to the same stand-in, so that it cannot drift to what suits our device.
//!
//! Source: Azure IoT Hub Device Provisioning Service, "Communicate with your DPS using the MQTT protocol" and
//! "Symmetric key attestation".

mod attestation;
mod connection;

use std::collections::{BTreeMap, VecDeque};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use crate::certificates::Authority;
use crate::mqtt::Carrier;
use crate::wait;

/// The name that its certificate is for.
pub const HOST_NAME: &str = "localhost";

/// A running stand-in. Its thread ends with the process.
#[derive(Debug)]
pub struct DpsStandIn {
    port: u16,
    ca_pem: String,
    shared: Arc<Shared>,
}

/// How it is reached.
#[derive(Clone, Copy, Debug)]
pub struct Face<'a> {
    /// The port; 0 is a free one.
    pub port: u16,
    /// What carries MQTT there.
    pub carrier: Carrier,
    /// The authority (PEM) whose certificates are an attestation, too.
    pub clients: Option<&'a str>,
}

/// What it answers to a request; when no answer is left, the registration is assigned.
#[derive(Clone, Debug)]
pub enum Reply {
    /// 202: it is at work, and wants to be asked after so many seconds.
    Assigning {
        /// `retry-after`; none is said without.
        retry_after: Option<u64>,
    },
    /// An error with this status, code and message.
    Error {
        /// The status.
        status: u16,
        /// `errorCode`.
        code: u32,
        /// `message`.
        message: &'static str,
    },
    /// 200 with a registration that has this status and no hub: `failed`, `disabled`, `unassigned`.
    Ended(&'static str),
    /// Nothing: the request is acknowledged and that is all.
    Silence,
    /// The connection is closed.
    Close,
}

#[derive(Debug)]
struct Shared {
    id_scope: String,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Keys of registrations, base64.
    individual: BTreeMap<String, String>,
    /// Keys of enrolment groups, base64.
    groups: Vec<String>,
    /// The hub that registrations are assigned to, and the device's id where it is not the registration's.
    assignment: (String, Option<String>),
    replies: VecDeque<Reply>,
    /// What was asked: `register` or `status`, with the registration's id; `refused` for those not let in.
    asked: Vec<String>,
}

impl Default for Face<'_> {
    fn default() -> Self {
        Self {
            port: 0,
            carrier: Carrier::Tls,
            clients: None,
        }
    }
}

impl DpsStandIn {
    /// Starts one on a free port of this machine, which assigns everybody to `hub`.
    ///
    /// # Panics
    /// When there is no port.
    pub fn start(id_scope: &str, hub: &str) -> Self {
        Self::start_at(Face::default(), id_scope, hub)
    }

    /// The same with this face.
    ///
    /// # Panics
    /// When the port is taken.
    pub fn start_at(face: Face<'_>, id_scope: &str, hub: &str) -> Self {
        let authority = Authority::new("provisioning stand-in");
        let config = Arc::new(tls(&authority, face.clients));
        let listener = TcpListener::bind(("127.0.0.1", face.port)).expect("the port is free");
        let port = listener.local_addr().expect("it listens").port();
        let shared = Arc::new(Shared {
            id_scope: id_scope.to_owned(),
            state: Mutex::new(State {
                assignment: (hub.to_owned(), None),
                ..State::default()
            }),
            changed: Condvar::new(),
        });
        let serving = Arc::clone(&shared);
        thread::spawn(move || serve(&listener, &config, face.carrier, &serving));
        Self {
            port,
            ca_pem: authority.pem().to_owned(),
            shared,
        }
    }

    /// The port of MQTT.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The certificate that clients are to trust (PEM).
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// Enrols a registration with a key of its own, base64.
    pub fn enrol(&self, registration_id: &str, key: &str) {
        let mut state = self.shared.state();
        let (id, key) = (registration_id.to_owned(), key.to_owned());
        state.individual.insert(id, key);
    }

    /// Enrols all whose keys are derived from this one, base64.
    pub fn enrol_group(&self, key: &str) {
        self.shared.state().groups.push(key.to_owned());
    }

    /// Assigns to this hub from now on, as this device where it is not the registration's id.
    pub fn assign(&self, hub: &str, device: Option<&str>) {
        let assignment = (hub.to_owned(), device.map(str::to_owned));
        self.shared.state().assignment = assignment;
    }

    /// Gives these replies to the next requests, whoever makes them.
    pub fn reply(&self, replies: impl IntoIterator<Item = Reply>) {
        self.shared.state().replies.extend(replies);
    }

    /// What was asked so far: `register ID`, `status ID`, or `refused ID` for those who were not let in.
    pub fn asked(&self) -> Vec<String> {
        self.shared.state().asked.clone()
    }

    /// How often `what` was asked.
    pub fn times(&self, what: &str) -> usize {
        let state = self.shared.state();
        state.asked.iter().filter(|asked| *asked == what).count()
    }

    /// Waits until `what` was asked so often.
    ///
    /// # Panics
    /// When it was not within [`wait::LIMIT`].
    pub fn wait_asked(&self, what: &str, times: usize) {
        let count = |state: &mut State| {
            let asked = state.asked.iter().filter(|asked| *asked == what);
            asked.count() < times
        };
        let waited =
            self.shared
                .changed
                .wait_timeout_while(self.shared.state(), wait::LIMIT, count);
        let (state, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        assert!(
            !waited.timed_out(),
            "`{what}` only so often: {:#?}",
            state.asked
        );
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, what: &str, registration_id: &str) {
        self.state().asked.push(format!("{what} {registration_id}"));
        self.changed.notify_all();
    }
}

fn tls(authority: &Authority, clients: Option<&str>) -> ServerConfig {
    let (certificate, key) = authority.issue_server(HOST_NAME);
    let chain = CertificateDer::pem_slice_iter(certificate.as_bytes());
    let chain = chain.collect::<Result<_, _>>().expect("certificates");
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("known versions");
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(pem) => {
            let mut roots = RootCertStore::empty();
            let trusted = CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate");
            roots.add(trusted).expect("one that can be trusted");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .allow_unauthenticated();
            builder.with_client_cert_verifier(verifier.build().expect("something is trusted"))
        }
    };
    let config = builder.with_single_cert(chain, key);
    config.expect("they belong together")
}

/// A thread for each connection; one that a client keeps open ends with the process.
fn serve(
    listener: &TcpListener,
    config: &Arc<ServerConfig>,
    carrier: Carrier,
    shared: &Arc<Shared>,
) {
    for socket in listener.incoming() {
        let Ok(socket): Result<TcpStream, _> = socket else {
            continue;
        };
        let (config, shared) = (Arc::clone(config), Arc::clone(shared));
        thread::spawn(move || connection::serve(socket, config, carrier, &shared));
    }
}
