//! `hub connection-string`: what a device, a module or a service is given to find the hub and get in.

use serde::Deserialize;
use wasm_edge_model::connection_string::{ConnectionString, HostAddress, Party};
use wasm_edge_model::shared_access::SharedKey;

use super::asked::AskedHub;
use super::identity::{self, Which, owner};
use crate::args::GlobalArgs;
use crate::args::hub::connection_string::ConnectionStringArgs;
use crate::client::target::Target;
use crate::exit_codes::ExitStatus;
use crate::failure::Failure;
use crate::output::Output;
use crate::output::text::Text;

/// The port that a connection string need not name.
const HTTPS_PORT: u16 = 443;

/// A shared access policy as the hub tells it on its machine.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Policy {
    name: String,
    primary_key: SharedKey,
    secondary_key: SharedKey,
}

/// Of `GET /v1/info`, what is needed here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Info {
    hub_host_name: String,
    /// Where it listens; nothing for a hub that is on no network.
    #[serde(default)]
    https: Vec<std::net::SocketAddr>,
}

/// Prints the connection string alone, for scripts to take.
pub(super) async fn execute(
    args: ConnectionStringArgs,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    let hub = AskedHub::find(global, &args.far).await?;
    let which = match args.secondary {
        true => Which::Secondary,
        false => Which::Primary,
    };
    let text = match args.device {
        None => of_policy(&hub, &args.policy, which).await?,
        Some(device) => {
            let owner = owner(device, args.module);
            let found = identity::read(&hub, &owner).await?;
            identity::connection_string(&hub, &owner, &found, which).await?
        }
    };
    if output.is_json() {
        output.json(&serde_json::json!({ "connectionString": text }))?;
    } else {
        output.line(&Text::new().plain(&text))?;
    }
    Ok(ExitStatus::Ok)
}

async fn of_policy(hub: &AskedHub, name: &str, which: Which) -> anyhow::Result<String> {
    if hub.far().is_some() {
        let what = "the keys of shared access policies are told on the hub's machine only";
        let failure = Failure::new(ExitStatus::Declined, what);
        return Err(failure.hint("run it there, without `--hub`").into());
    }
    let info: Info = hub.get(&Target::path(&["v1", "info"])).await?;
    let Some(https) = info.https.first() else {
        let what =
            "the hub of this process is on no network, where a connection string would lead to it";
        let failure = Failure::new(ExitStatus::Declined, what);
        return Err(failure
            .hint("`wasm-edge hub serve` starts one that is")
            .into());
    };
    let policies: Vec<Policy> = hub.get(&Target::own(&["access-policies"])).await?;
    let names: Vec<&str> = policies.iter().map(|policy| policy.name.as_str()).collect();
    let hint = format!("there are: {}", names.join(", "));
    let Some(policy) = policies.into_iter().find(|policy| policy.name == name) else {
        let what = format!("the hub has no shared access policy `{name}`");
        return Err(Failure::new(ExitStatus::NotFound, what).hint(hint).into());
    };
    let host = match https.port() {
        HTTPS_PORT => info.hub_host_name,
        port => format!("{}:{port}", info.hub_host_name),
    };
    let connection_string = ConnectionString {
        host: HostAddress::parse(&host).ok_or_else(|| {
            let what = format!("the hub's name `{host}` is no name of a host");
            Failure::new(ExitStatus::Failure, what)
        })?,
        gateway: None,
        party: Party::Policy {
            name: policy.name,
            key: match which {
                Which::Primary => policy.primary_key,
                Which::Secondary => policy.secondary_key,
            },
        },
    };
    Ok(connection_string.reveal())
}
