//! Why a registry gave no image, or took none: told by what was asked of whom.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;
use wasm_edge_net::dial::{CertificateFault, DialError};
use wasm_edge_net::http::HttpError;
use wasm_edge_net::trust::TrustError;

pub use super::address::AddressFault;
use super::mirrors::{MirrorFailure, told};
use crate::credentials::{EntryFault, LoginSource};
use crate::digest::Digest;
use crate::document::DocumentFault;

/// Why a registry gave no image, or took none. None shows a password or a token, and what it repeats of a registry's
/// own words is cut and escaped.
#[derive(Debug, Error)]
pub enum RegistryError {
    /// The device's policy does not name the registry.
    #[error("the policy of this device does not allow the registry `{host}`")]
    NotAllowed {
        /// The registry.
        host: String,
    },
    /// Nothing is known to trust a host by.
    #[error("nothing is there to trust `{host}` by")]
    Trust {
        /// The host.
        host: String,
        /// Why.
        #[source]
        source: TrustError,
    },
    /// The file with the password for a host cannot be used.
    #[error("cannot read the password for `{host}` from `{}`", path.display())]
    PasswordFile {
        /// The host.
        host: String,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What Docker's `config.json` says of a host is malformed, and nothing else says how to sign in there.
    #[error("cannot use the login for `{host}` in `{}`", path.display())]
    Login {
        /// The host.
        host: String,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: EntryFault,
    },
    /// It is asked without TLS, as the configuration says, and wants TLS.
    #[error("asked for {asked} without TLS, `{host}` says that it speaks TLS")]
    WantsTls {
        /// Who.
        host: String,
        /// What was asked of whom.
        asked: String,
    },
    /// It is asked without TLS, as the configuration says, and what it answers is not HTTP.
    #[error("asked for {asked} without TLS, it does not answer in HTTP")]
    NotHttp {
        /// What was asked of whom.
        asked: String,
        /// Why.
        #[source]
        source: HttpError,
    },
    /// There was no answer, or it ended too early.
    #[error("cannot get {asked}")]
    Http {
        /// What was asked of whom.
        asked: String,
        /// Why.
        #[source]
        source: HttpError,
    },
    /// Whoever asks may not have it, or was not told apart from those who may not.
    #[error("`{host}` does not let {} have {asked}{}", who(.asker), said(.message))]
    Unauthorized {
        /// Who refused: the registry, or who gives out its tokens.
        host: String,
        /// What was asked of whom.
        asked: String,
        /// As whom.
        asker: Box<Asker>,
        /// The registry's own words.
        message: Option<String>,
    },
    /// There is none.
    #[error("there is no {asked}{}", said(.message))]
    NotFound {
        /// What was asked of whom.
        asked: String,
        /// The registry's own words.
        message: Option<String>,
    },
    /// It answered something else.
    #[error("asked for {asked}, it answered with status {status}{}", said(.message))]
    Status {
        /// What was asked of whom.
        asked: String,
        /// The status.
        status: u16,
        /// The registry's own words.
        message: Option<String>,
        /// How long it asks to wait.
        retry_after: Option<Duration>,
    },
    /// It asks to wait for longer than is waited.
    #[error("asked for {asked}, it wants to be left alone for {} s{}", wait.as_secs(), said(.message))]
    Wait {
        /// What was asked of whom.
        asked: String,
        /// How long.
        wait: Duration,
        /// The registry's own words.
        message: Option<String>,
    },
    /// It wants to know who asks, in no way that is known.
    #[error("`{host}` wants to know who asks, and offers neither `Basic` nor `Bearer`")]
    Challenge {
        /// The registry.
        host: String,
    },
    /// Whom it names to get a token from is not asked.
    #[error("cannot get a token for `{host}` where it says")]
    Realm {
        /// The registry.
        host: String,
        /// Why.
        #[source]
        source: AddressFault,
    },
    /// Whoever gives out its tokens gave none.
    #[error("`{host}` gave no token that can be used")]
    Token {
        /// Who.
        host: String,
    },
    /// Where it sends us is not gone to.
    #[error("cannot go where `{host}` leads for {asked}")]
    Redirect {
        /// Who.
        host: String,
        /// What was asked of whom.
        asked: String,
        /// Why.
        #[source]
        source: AddressFault,
    },
    /// It sends us on and on.
    #[error("was led on more than {limit} times for {asked}")]
    Redirects {
        /// What was asked of whom.
        asked: String,
        /// The limit.
        limit: u32,
    },
    /// An answer is encoded though nothing of the kind was asked for.
    #[error("the answer to {asked} is encoded as `{}`", encoding.escape_debug())]
    Encoded {
        /// What was asked of whom.
        asked: String,
        /// As what.
        encoding: String,
    },
    /// What it gave is no manifest of a module image.
    #[error("{asked} is not the image of a module")]
    Document {
        /// What was asked of whom.
        asked: String,
        /// What is wrong with it.
        #[source]
        source: DocumentFault,
    },
    /// What it gave is something else.
    #[error("{asked} has the digest `{found}`, expected `{expected}`")]
    Digest {
        /// What was asked of whom.
        asked: String,
        /// The digest it should have.
        expected: Digest,
        /// The digest of what came.
        found: Digest,
    },
    /// What it gave has another size than the manifest says.
    #[error("{asked} has {found} bytes, expected {expected_bytes}")]
    Size {
        /// What was asked of whom.
        asked: String,
        /// The size it should have.
        expected_bytes: u64,
        /// What came or was announced.
        found: String,
    },
    /// It gave another part than was asked for.
    #[error("asked for {asked} from byte {from} on, it answered with `{}`", found.escape_debug())]
    Range {
        /// What was asked of whom.
        asked: String,
        /// From which byte on.
        from: u64,
        /// The part it says it gave.
        found: String,
    },
    /// What came cannot be kept.
    #[error("cannot keep {asked}")]
    Sink {
        /// What was asked of whom.
        asked: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What is to be pushed cannot be read.
    #[error("cannot read what is to be pushed as {asked}")]
    Source {
        /// What is given to whom.
        asked: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Neither its mirrors gave it nor the registry.
    #[error("{}", told(.mirrors))]
    Everywhere {
        /// The mirrors, in the order in which they were asked.
        mirrors: Vec<MirrorFailure>,
        /// Why the registry itself did not.
        #[source]
        source: Box<RegistryError>,
    },
}

/// As whom a registry was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asker {
    /// As nobody.
    Nobody,
    /// As nobody, since the password is with a program that Docker would ask: which.
    Helped(String),
    /// As a user.
    User {
        /// The name.
        name: String,
        /// Where the login stands.
        source: LoginSource,
    },
}

impl RegistryError {
    /// Whether it may end differently another time: the registry is out of reach, or cannot answer now.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Http { source, .. } => match source {
                HttpError::Dial(err) => {
                    !matches!(err, DialError::Certificate { .. } | DialError::Name { .. })
                }
                HttpError::Target { .. } | HttpError::TooLarge { .. } => false,
                // Who speaks something else than HTTP, or without end, does so the next time, too.
                HttpError::Broken { source, .. } => !source.is_parse(),
                HttpError::Timeout { .. } | HttpError::Stalled { .. } => true,
            },
            Self::Status { status, .. } => is_passing(*status),
            Self::Wait { .. } => true,
            // Nobody knows better than the registry that there is none.
            Self::Everywhere { mirrors, source } => {
                let may_pass = || mirrors.iter().any(|failure| failure.error.is_passing());
                !source.is_missing() && (source.is_passing() || may_pass())
            }
            _ => false,
        }
    }

    /// Whether the registry itself says that there is none.
    pub fn is_missing(&self) -> bool {
        matches!(self.own(), Self::NotFound { .. })
    }

    /// What the registry itself says, or is about it; mirrors left aside.
    pub fn own(&self) -> &Self {
        match self {
            Self::Everywhere { source, .. } => source.own(),
            err => err,
        }
    }

    /// What to do about it: a sentence without a final period.
    pub fn hint(&self) -> String {
        match self {
            Self::NotAllowed { .. } => "add it to `registries` of `[policy]` in the configuration, or use an image of a registry that is there".to_owned(),
            Self::Trust { .. } => "correct `ca_file` in `[registries]`, or install the certificates of this system".to_owned(),
            Self::PasswordFile { .. } => "correct `password_file` in `[registries]`".to_owned(),
            Self::Login { .. } => "correct it, as with `docker login`, or give user and password in `[registries.\"HOST\"]` of the configuration".to_owned(),
            Self::WantsTls { .. } => "leave `plain_http` out of `[registries.\"HOST\"]` of the configuration".to_owned(),
            Self::NotHttp { .. } => "if the registry has TLS, leave `plain_http` out of `[registries.\"HOST\"]` of the configuration; else check what listens there".to_owned(),
            Self::Http { source: HttpError::Dial(err), .. } => dial_hint(err),
            Self::Http { .. } => WAY_HINT.to_owned(),
            Self::Unauthorized { asker, .. } => asker.hint(),
            Self::NotFound { .. } => "check the name and the tag, or push the image first".to_owned(),
            Self::Status { .. } | Self::Wait { .. } => "try again later, or ask whoever runs the registry".to_owned(),
            Self::Redirect { source: AddressFault::Plain { .. }, .. } | Self::Realm { source: AddressFault::Plain { .. }, .. } => "if that host is to be trusted without TLS, say `plain_http = true` in its `[registries.\"HOST\"]` of the configuration".to_owned(),
            Self::Document { source: DocumentFault::Layers { .. } | DocumentFault::Layer { .. } | DocumentFault::Platforms { .. }, .. } => "name the image of a module: one with a component as its only layer, as `wasm-edge image push` makes it".to_owned(),
            Self::Digest { .. } | Self::Size { .. } | Self::Range { .. } | Self::Encoded { .. } | Self::Document { .. } | Self::Challenge { .. } | Self::Token { .. } | Self::Redirect { .. } | Self::Redirects { .. } | Self::Realm { .. } => "something between here and the registry changes what it says, or it is broken: ask whoever runs it".to_owned(),
            Self::Sink { .. } => "make space in the data folder, as with `wasm-edge image prune`".to_owned(),
            Self::Everywhere { mirrors, source } => hint_of_all(mirrors, source),
            Self::Source { .. } => "check that the file is there and is not being written to".to_owned(),
        }
    }
}

impl Asker {
    fn hint(&self) -> String {
        match self {
            Self::Nobody => "give user and password in `registryCredentials` of the deployment, in `[registries.\"HOST\"]` of the configuration, or by `docker login`".to_owned(),
            Self::Helped(helper) => format!("Docker's `config.json` leaves the password to `{helper}`, which is not asked: say it as `password_file` in `[registries.\"HOST\"]` of the configuration"),
            Self::User { source, .. } => format!("correct the login, which is that of {source}, or ask whoever runs the registry what this user may have"),
        }
    }
}

/// What to do where nothing more is known than that nobody answers.
const WAY_HINT: &str = "check the name of the registry and the way to it, then try again";

/// What to do about a connection that was not made.
fn dial_hint(err: &DialError) -> String {
    match err {
        DialError::Certificate { fault: CertificateFault::Name, .. } => {
            let names = err.certificate_names();
            match names.is_empty() {
                true => "the registry's certificate is for no name: ask whoever runs it for one that is for the name it is asked by".to_owned(),
                false => format!("the registry's certificate is for `{}`: use that name, or have one made for this one", names.join("`, `")),
            }
        }
        DialError::Certificate { .. } if err.may_be_the_clock() => "check the clock of this device, and ask whoever runs the registry for a certificate that is good now".to_owned(),
        DialError::Certificate { .. } => "name the registry's authority as `ca_file` in `[registries.\"HOST\"]` of the configuration".to_owned(),
        DialError::Tls { .. } => "if the registry has no TLS, say `plain_http = true` in `[registries.\"HOST\"]` of the configuration".to_owned(),
        DialError::ProxyConnect { .. } | DialError::Proxy { .. } => "check `[proxy]` of the configuration, and that the proxy runs and lets this device through".to_owned(),
        _ => WAY_HINT.to_owned(),
    }
}

/// What to do where mirrors failed, too: about what no time mends, if there is something.
fn hint_of_all(mirrors: &[MirrorFailure], own: &RegistryError) -> String {
    let mut failures = mirrors.iter();
    let lasting =
        failures.find(|failure| !failure.error.is_passing() && !failure.error.is_missing());
    match lasting {
        Some(failure) if own.is_passing() => {
            let MirrorFailure { mirror, error } = failure;
            format!("as for the mirror `{mirror}`: {}", error.hint())
        }
        _ => own.hint(),
    }
}

/// Whether a status is that of a server that may answer another time.
pub(super) fn is_passing(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500 | 502 | 503 | 504)
}

fn who(asker: &Asker) -> String {
    match asker {
        Asker::User { name, .. } => format!("the user `{}`", name.escape_debug()),
        Asker::Nobody | Asker::Helped(_) => "somebody without a name".to_owned(),
    }
}

fn said(message: &Option<String>) -> String {
    let shown = message.as_ref().map(|message| format!(": {message}"));
    shown.unwrap_or_default()
}
