//! What a running hub tells about itself: to who started it, and on the control socket.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use wasm_edge_hub::access::policy::AccessPolicy;
use wasm_edge_hub::hub::Hub;
use wasm_edge_hub::server::Server;
use wasm_edge_hub::server::authority::{CA_FILE, PKI_FOLDER};
use wasm_edge_model::connection_string::{ConnectionString, HostAddress, Party};
use wasm_edge_model::time::Timestamp;

use crate::args::hub::serve::{HTTPS_PORT, ServeArgs};
use crate::output::text::Text;
use crate::output::{Output, OutputError};

/// The shared access policy that may do everything.
const OWNER_POLICY: &str = "iothubowner";

/// Where a hub is.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Info {
    version: &'static str,
    pid: u32,
    /// Always empty: no device runs in this process. Commands ask for it.
    devices: Vec<String>,
    hub_host_name: String,
    data_folder: String,
    started_time: Timestamp,
    mqtt: Vec<SocketAddr>,
    https: Vec<SocketAddr>,
    metrics: Vec<SocketAddr>,
    /// The certificate of the local authority; none where a certificate was given.
    ca_file: Option<String>,
}

impl Info {
    pub(super) fn of(hub: &Hub, server: &Server, args: &ServeArgs, data_folder: &Path) -> Self {
        let addresses = server.addresses();
        let ca_file = data_folder.join("hub").join(PKI_FOLDER).join(CA_FILE);
        Self {
            version: env!("CARGO_PKG_VERSION"),
            pid: std::process::id(),
            devices: Vec::new(),
            hub_host_name: hub.host_name().to_owned(),
            data_folder: data_folder.display().to_string(),
            started_time: Timestamp::from(jiff::Timestamp::now()),
            mqtt: addresses.mqtt.clone(),
            https: addresses.https.clone(),
            metrics: addresses.metrics.clone(),
            ca_file: args
                .certificate
                .is_none()
                .then(|| ca_file.display().to_string()),
        }
    }

    /// `GET /v1/info`, as that of a device, with what a hub has besides.
    pub(super) fn route(&self) -> Router {
        let info = self.clone();
        Router::new().route("/v1/info", get(async move || Json(info)))
    }

    /// Tells who started it where it listens and how to go on.
    ///
    /// With the connection strings as far as they are asked for: a program gets all of them, a
    /// person the owner's at the first start, so that logs of services do not repeat it.
    pub(super) fn tell(
        &self,
        policies: &[AccessPolicy],
        first_start: bool,
        output: &Output,
    ) -> Result<(), OutputError> {
        if output.is_json() {
            let connection_strings = policies
                .iter()
                .map(|policy| (policy.name.as_str(), self.connection_string(policy)));
            let told = Told {
                info: self,
                connection_strings: connection_strings.collect(),
            };
            return output.json_line(&told);
        }
        let note = |text: String| output.note(&Text::new().plain(&text));
        note(format!(
            "the hub `{}` listens: MQTT on {}, HTTPS on {}",
            self.hub_host_name,
            list(&self.mqtt),
            list(&self.https)
        ));
        if !self.metrics.is_empty() {
            note(format!("metrics and health on {}", list(&self.metrics)));
        }
        if let Some(file) = &self.ca_file {
            note(format!(
                "clients trust it by `{file}`, which `wasm-edge hub ca` prints"
            ));
        }
        let owner = policies.iter().find(|policy| policy.name == OWNER_POLICY);
        match owner {
            Some(owner) if first_start => {
                note(
                    "`wasm-edge hub device create ID` makes a device; the owner connects with:"
                        .to_owned(),
                );
                output.line(&Text::new().plain(&self.connection_string(owner)))
            }
            _ => {
                note("`wasm-edge hub connection-string` prints the owner's".to_owned());
                Ok(())
            }
        }
    }

    /// The connection string of a shared access policy, with the port where it is not the usual one.
    fn connection_string(&self, policy: &AccessPolicy) -> String {
        let port = self.https.first().map(SocketAddr::port);
        let host = match port.filter(|port| *port != HTTPS_PORT) {
            Some(port) => format!("{}:{port}", self.hub_host_name),
            None => self.hub_host_name.clone(),
        };
        let connection_string = ConnectionString {
            host: HostAddress::parse(&host).expect("a host name with a port"),
            gateway: None,
            party: Party::Policy {
                name: policy.name.clone(),
                key: policy.keys.primary.clone(),
            },
        };
        connection_string.reveal()
    }
}

/// What is told to a program that starts a hub.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told<'a> {
    #[serde(flatten)]
    info: &'a Info,
    /// By the names of the shared access policies.
    connection_strings: BTreeMap<&'a str, String>,
}

fn list(addresses: &[SocketAddr]) -> String {
    let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    addresses.join(" and ")
}
