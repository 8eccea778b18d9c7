//! The commands under `hub module`: identities of modules.

use serde::Deserialize;
use serde_json::{Value, json};
use wasm_edge_model::identity::TwinOwner;

use super::asked::AskedHub;
use super::identity::{self, Authentication, Match, owner};
use crate::args::GlobalArgs;
use crate::args::hub::module::{
    ModuleCommand, ModuleCreateArgs, ModuleDeleteArgs, ModuleListArgs, ModuleShowArgs,
    ModuleUpdateArgs,
};
use crate::client::target::Target;
use crate::exit_codes::ExitStatus;
use crate::output::Output;
use crate::output::table::{Align, Table};

/// Runs a command under `hub module`.
pub(super) async fn execute(
    command: ModuleCommand,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    match command {
        ModuleCommand::Create(args) => create(*args, global, output).await,
        ModuleCommand::List(args) => list(args, global, output).await,
        ModuleCommand::Show(args) => show(args, global, output).await,
        ModuleCommand::Update(args) => update(*args, global, output).await,
        ModuleCommand::Delete(args) => delete(args, global, output).await,
    }
}

/// Of a module's identity, what a row shows; what is left out reads as empty.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Row {
    module_id: String,
    connection_state: String,
    authentication: Authentication,
    managed_by: Option<String>,
}

async fn create(
    args: ModuleCreateArgs,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    let authentication = identity::authentication(&args.authentication)?;
    let hub = AskedHub::find(global, &args.far).await?;
    let body = identity::body(json!({
        "deviceId": args.device,
        "moduleId": args.module,
        "managedBy": args.managed_by,
        "authentication": authentication.unwrap_or_else(identity::new_keys),
    }));
    let owner = owner(args.device, Some(args.module));
    let made = identity::write(&hub, &owner, &body, Match::New).await?;
    identity::tell(&hub, &owner, made, " is made", output).await
}

async fn show(
    args: ModuleShowArgs,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    let hub = AskedHub::find(global, &args.far).await?;
    let found = identity::read(&hub, &owner(args.device, Some(args.module))).await?;
    identity::show(&found, output)
}

async fn update(
    args: ModuleUpdateArgs,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    let mut authentication = identity::authentication(&args.authentication)?;
    if args.new_keys {
        authentication = Some(identity::new_keys());
    }
    let hub = AskedHub::find(global, &args.far).await?;
    let owner = owner(args.device, Some(args.module));
    let etag = args.etag.as_ref().map(|etag| etag.as_header());
    let changed = identity::update(&hub, &owner, etag, |identity| {
        if let Some(managed_by) = args.managed_by {
            identity.insert("managedBy".to_owned(), managed_by.into());
        }
        if let Some(authentication) = authentication {
            identity.insert("authentication".to_owned(), authentication);
        }
    });
    identity::tell(&hub, &owner, changed.await?, " is changed", output).await
}

async fn delete(
    args: ModuleDeleteArgs,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    let hub = AskedHub::find(global, &args.far).await?;
    let etag = args.etag.as_ref().map(|etag| etag.as_header());
    identity::delete(&hub, &owner(args.device, Some(args.module)), etag, output).await
}

async fn list(
    args: ModuleListArgs,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    let hub = AskedHub::find(global, &args.far).await?;
    let listed = hub.get(&Target::modules(args.device.as_str())).await;
    let mut modules: Vec<Value> = listed.map_err(|err| {
        identity::explained(err, &TwinOwner::Device(args.device), "list the modules of")
    })?;
    modules.sort_by(|a, b| a["moduleId"].as_str().cmp(&b["moduleId"].as_str()));
    if output.is_json() {
        output.json(&modules)?;
        return Ok(ExitStatus::Ok);
    }
    let mut table = Table::new(&[
        ("MODULE", Align::Left),
        ("CONNECTION", Align::Left),
        ("AUTHENTICATION", Align::Left),
        ("MANAGED BY", Align::Left),
    ]);
    for module in modules {
        let row: Row = serde_json::from_value(module).unwrap_or_default();
        table.row([
            row.module_id,
            row.connection_state,
            row.authentication.kind,
            row.managed_by.unwrap_or_default(),
        ]);
    }
    output.table(&table)?;
    Ok(ExitStatus::Ok)
}
