//! What a running hub tells about itself: to who started it, and on the control socket.

use std::net::SocketAddr;
use std::path::Path;

use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use wasm_edge_hub::hub::Hub;
use wasm_edge_hub::server::Server;
use wasm_edge_hub::server::authority::{CA_FILE, PKI_FOLDER};
use wasm_edge_model::time::Timestamp;

use crate::args::hub::serve::ServeArgs;
use crate::output::text::Text;
use crate::output::{Output, OutputError};

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
    pub(super) async fn tell(
        &self,
        _hub: &Hub,
        _first_start: bool,
        output: &Output,
    ) -> Result<(), OutputError> {
        if output.is_json() {
            return output.json_line(self);
        }
        output.note(&Text::new().plain(&format!(
            "the hub `{}` listens: MQTT on {}, HTTPS on {}",
            self.hub_host_name,
            list(&self.mqtt),
            list(&self.https)
        )));
        if !self.metrics.is_empty() {
            let text = format!("metrics and health on {}", list(&self.metrics));
            output.note(&Text::new().plain(&text));
        }
        if let Some(file) = &self.ca_file {
            let text = format!("clients trust it by `{file}` (`wasm-edge hub ca` prints it)");
            output.note(&Text::new().plain(&text));
        }
        Ok(())
    }
}

fn list(addresses: &[SocketAddr]) -> String {
    let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    addresses.join(" and ")
}
