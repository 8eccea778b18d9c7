//! What a configuration comes to, for `daemon --check`.

use std::path::Path;

use serde::Serialize;
use wasm_edge_daemon::config::Config;
use wasm_edge_daemon::config::hub::TransportChoice;
use wasm_edge_daemon::config::provisioning::ProvisioningConfig;

use crate::exit_codes::ExitStatus;
use crate::output::Output;
use crate::output::text::Text;

/// The JSON output.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    config: String,
    provisioning: &'static str,
    transport: &'static str,
    deployment: Option<String>,
}

/// Prints what a configuration without faults comes to.
///
/// # Errors
/// When it cannot be printed.
pub(crate) fn print(config: &Config, file: &Path, output: &Output) -> anyhow::Result<ExitStatus> {
    let summary = Summary::of(config, file);
    if output.is_json() {
        output.json(&summary)?;
        return Ok(ExitStatus::Ok);
    }
    let hub = match summary.provisioning {
        "none" => "the device has no hub".to_owned(),
        kind => format!(
            "the device has a hub by `{kind}`, over `{}`",
            summary.transport
        ),
    };
    output.line(&Text::new().plain(&format!("{}: no faults; {hub}", summary.config)))?;
    Ok(ExitStatus::Ok)
}

impl Summary {
    fn of(config: &Config, file: &Path) -> Self {
        let provisioning = match &config.provisioning {
            None => "none",
            Some(ProvisioningConfig::ConnectionString { .. }) => "connection-string",
            Some(ProvisioningConfig::SasKeyFile { .. }) => "sas-key-file",
            Some(ProvisioningConfig::X509 { .. }) => "x509",
            Some(ProvisioningConfig::Dps(_)) => "dps",
        };
        let transport = match config.hub.transport {
            TransportChoice::Auto => "auto",
            TransportChoice::Mqtt => "mqtt",
            TransportChoice::MqttWs => "mqtt-ws",
        };
        let deployment = config.deployment.file.as_ref();
        Self {
            config: file.display().to_string(),
            provisioning,
            transport,
            deployment: deployment.map(|file| file.display().to_string()),
        }
    }
}
