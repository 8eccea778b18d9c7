//! What the configuration of the daemon names, tried out: files, names, connections, credentials.
//!
//! The sessions of a running device are left alone: the hub is asked over HTTPS, as whom the device is.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use wasm_edge_daemon::config::Config;
use wasm_edge_daemon::config::hub::{HubConfig, TransportChoice};
use wasm_edge_daemon::config::provisioning::ProvisioningConfig;
use wasm_edge_daemon::provisioning::identities::IdentityRegistry as _;
use wasm_edge_daemon::provisioning::provisioner::Provisioned;
use wasm_edge_daemon::provisioning::rest::{RestOptions, RestRegistry};
use wasm_edge_daemon::provisioning::source::Source;
use wasm_edge_daemon::upstream::UpstreamError;
use wasm_edge_model::connection_string::HostAddress;
use wasm_edge_model::error::chain;
use wasm_edge_model::identity::{ModuleId, ModuleIdentity};
use wasm_edge_net::clock::HubClock;
use wasm_edge_net::dial::{Dialer, Security};
use wasm_edge_net::traffic::Counter;
use wasm_edge_net::trust::validity::Validity;
use wasm_edge_net::trust::{self, TrustError};

use crate::args::daemon::CONFIG_DEFAULT;
use crate::config_file;
use crate::daemon::outside::line::{self, Dialers};

/// How long a connection may take here at most: somebody waits.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);

/// The daemon of this machine.
pub(in crate::commands::check) enum Service {
    /// There is no configuration.
    None,
    /// The configuration cannot be used.
    Faulty {
        file: PathBuf,
        problems: Vec<String>,
    },
    /// It has no hub.
    Alone { file: PathBuf },
    /// It has one.
    OfHub(Box<Hub>),
}

/// What became of trying to reach the hub.
pub(in crate::commands::check) struct Hub {
    pub(in crate::commands::check) file: PathBuf,
    /// The hub, or the service that knows it.
    pub(in crate::commands::check) host: String,
    /// Whether all goes through a proxy, which then resolves names.
    pub(in crate::commands::check) has_proxy: bool,
    /// How many addresses the name has.
    pub(in crate::commands::check) addresses: Result<usize, String>,
    /// Each port that was tried, with what became of it.
    pub(in crate::commands::check) ports: Vec<(u16, Result<(), String>)>,
    pub(in crate::commands::check) credentials: Credentials,
    /// The files of certificates that the configuration names.
    pub(in crate::commands::check) certificates: Vec<CertificateFile>,
}

/// A file of certificates.
pub(in crate::commands::check) struct CertificateFile {
    pub(in crate::commands::check) path: PathBuf,
    pub(in crate::commands::check) role: Role,
    /// When each certificate in it is good; nothing where that cannot be read.
    pub(in crate::commands::check) validities: Vec<Option<Validity>>,
}

/// What certificates are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::commands::check) enum Role {
    /// The device is known by it, and by those that lead to its authority.
    Device,
    /// The hub is trusted by any of them.
    Authority,
}

/// Whether the hub takes the device for whom it is.
pub(in crate::commands::check) enum Credentials {
    /// It does.
    Accepted,
    /// It does, and the device is no IoT Edge device there.
    NotAnEdgeDevice,
    /// It does not.
    Refused(String),
    /// It could not be asked.
    Unknown(String),
}

/// Who is to be reached.
struct Goal {
    host: HostAddress,
    ports: Vec<u16>,
    provisioned: Option<Provisioned>,
}

/// The configuration of the daemon.
pub(in crate::commands::check) enum Configured {
    /// There is none.
    None,
    /// It cannot be used.
    Faulty {
        file: PathBuf,
        problems: Vec<String>,
    },
    /// It can.
    Good { file: PathBuf, config: Box<Config> },
}

impl Configured {
    /// Reads the configuration in `file`, or the usual one if that is there.
    pub(in crate::commands::check) fn read(file: Option<&Path>) -> Self {
        let usual = Path::new(CONFIG_DEFAULT);
        let named = match file {
            Some(file) => file,
            None if is_missing(usual) => return Self::None,
            None => usual,
        };
        let file = named.to_owned();
        match config_file::quietly(named) {
            Ok(config) => Self::Good {
                file,
                config: Box::new(config),
            },
            Err(problems) => Self::Faulty { file, problems },
        }
    }

    /// The configuration, if it can be used.
    pub(in crate::commands::check) fn config(&self) -> Option<&Config> {
        match self {
            Self::Good { config, .. } => Some(config),
            Self::None | Self::Faulty { .. } => None,
        }
    }
}

/// Tries out what the configuration names.
pub(in crate::commands::check) async fn gather(configured: Configured) -> Service {
    let (file, config) = match configured {
        Configured::None => return Service::None,
        Configured::Faulty { file, problems } => return Service::Faulty { file, problems },
        Configured::Good { file, config } => (file, config),
    };
    match &config.provisioning {
        None => Service::Alone { file },
        Some(provisioning) => match try_out(provisioning, &config).await {
            Ok(hub) => Service::OfHub(Box::new(Hub { file, ..hub })),
            Err(problem) => Service::Faulty {
                file,
                problems: vec![problem],
            },
        },
    }
}

fn is_missing(file: &Path) -> bool {
    std::fs::metadata(file).is_err_and(|err| err.kind() == io::ErrorKind::NotFound)
}

async fn try_out(provisioning: &ProvisioningConfig, config: &Config) -> Result<Hub, String> {
    let mut config = config.clone();
    config.hub.connect_timeout = config.hub.connect_timeout.min(CONNECT_TIME_MAX);
    let told = |err: &dyn std::error::Error| chain(err);
    let mut source = Source::read(provisioning, &config.hub).map_err(|err| told(&err))?;
    let clock = HubClock::new(None);
    let certificate = source.take_certificate();
    let dialers = Dialers::of(&config, certificate, clock.clone()).map_err(|err| told(&err))?;
    let proxy = line::proxy(&config.proxy).map_err(|err| told(&err))?;
    let goal = Goal::of(provisioning, source.known(), &config.hub);
    let certificates = certificate_files(provisioning, &config.hub).map_err(|err| told(&err))?;
    let has_proxy = proxy.is_some_and(|proxy| proxy.is_for(&goal.host));
    let mut ports = Vec::new();
    for port in &goal.ports {
        let tried = reach(&dialers.modules, &goal.host, *port).await;
        let reached = tried.is_ok();
        ports.push((*port, tried));
        if reached {
            break;
        }
    }
    let addresses = match has_proxy {
        true => Ok(0),
        false => resolve(&goal.host).await,
    };
    let host = goal.host.to_string();
    let credentials = match goal.provisioned {
        Some(provisioned) => ask(provisioned, dialers.device, clock).await,
        None => Credentials::Unknown("the provisioning service says which hub it is".to_owned()),
    };
    Ok(Hub {
        file: PathBuf::new(),
        host,
        has_proxy,
        addresses,
        ports,
        credentials,
        certificates,
    })
}

fn certificate_files(
    provisioning: &ProvisioningConfig,
    hub: &HubConfig,
) -> Result<Vec<CertificateFile>, TrustError> {
    let device = provisioning
        .certificate()
        .map(|files| &files.certificate_file);
    let named = [
        (device, Role::Device),
        (hub.ca_file.as_ref(), Role::Authority),
    ];
    let named = named
        .into_iter()
        .filter_map(|(path, role)| Some((path?, role)));
    let files = named.map(|(path, role)| {
        Ok(CertificateFile {
            path: path.clone(),
            role,
            validities: trust::validities(path)?,
        })
    });
    files.collect()
}

impl Goal {
    fn of(
        provisioning: &ProvisioningConfig,
        provisioned: Option<Provisioned>,
        hub: &HubConfig,
    ) -> Self {
        let (host, mqtt_port, https_port) = match (&provisioned, provisioning) {
            (Some(provisioned), _) => {
                let assignment = &provisioned.assignment;
                let host = assignment.address().clone();
                (host, assignment.mqtt_port, assignment.https_port)
            }
            (None, ProvisioningConfig::Dps(dps)) => {
                let host = dps.global_endpoint.clone();
                (host.clone(), host.port().unwrap_or(8883), hub.https_port)
            }
            (None, _) => unreachable!("all others say which hub it is"),
        };
        let ports = match hub.transport {
            TransportChoice::Auto => vec![mqtt_port, https_port],
            TransportChoice::Mqtt => vec![mqtt_port],
            TransportChoice::MqttWs => vec![https_port],
        };
        Self {
            host,
            ports,
            provisioned,
        }
    }
}

/// Whether somebody answers there by TLS, and shows a certificate that is trusted.
async fn reach(dialer: &Dialer, host: &HostAddress, port: u16) -> Result<(), String> {
    let counter = Counter::default();
    let dialled = dialer.dial(host, port, Security::Tls, &counter);
    dialled.await.map(drop).map_err(|err| chain(&err))
}

async fn resolve(host: &HostAddress) -> Result<usize, String> {
    let name = host.name().trim_matches(['[', ']']);
    let found = tokio::time::timeout(CONNECT_TIME_MAX, tokio::net::lookup_host((name, 443))).await;
    match found {
        Ok(Ok(addresses)) => Ok(addresses.count()),
        Ok(Err(err)) => Err(err.to_string()),
        Err(_) => Err(format!("no answer within {} s", CONNECT_TIME_MAX.as_secs())),
    }
}

/// Reads an identity that each IoT Edge device has, as the device.
async fn ask(provisioned: Provisioned, dialer: Dialer, clock: HubClock) -> Credentials {
    let Provisioned {
        assignment,
        credential,
    } = provisioned;
    let module = ModuleIdentity {
        device: assignment.device.clone(),
        module: ModuleId::edge_agent(),
    };
    let registry = RestRegistry::new(RestOptions {
        assignment,
        credential,
        dialer,
        clock,
        time_from_hub: false,
        counter: Counter::default(),
    });
    match Arc::new(registry).read(module).await {
        Ok(Some(_)) => Credentials::Accepted,
        Ok(None) => Credentials::NotAnEdgeDevice,
        Err(UpstreamError::Refused { cause }) => Credentials::Refused(cause),
        Err(UpstreamError::Unreachable { cause }) => Credentials::Unknown(cause),
    }
}
