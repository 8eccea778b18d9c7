//! The commands under `hub configuration`: desired properties for all devices or modules that a condition chooses.

use std::path::Path;

use hyper::Method;
use serde_json::{Map, Value};

use super::asked::AskedHub;
use crate::args::GlobalArgs;
use crate::args::hub::configuration::{
    ConfigurationCommand, ConfigurationDeleteArgs, ConfigurationFileArgs, ConfigurationListArgs,
    ConfigurationShowArgs,
};
use crate::client::Ask;
use crate::client::target::Target;
use crate::exit_codes::ExitStatus;
use crate::failure::{self, Failure};
use crate::output::Output;
use crate::output::table::{Align, Table};
use crate::output::text::Text;
use crate::text_file;

/// As much as a hub takes.
const FILE_MAX_BYTES: usize = 1024 * 1024;

/// Runs a command under `hub configuration`.
pub(super) async fn execute(
    command: ConfigurationCommand,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    match command {
        ConfigurationCommand::Create(args) => create(args, global, output).await,
        ConfigurationCommand::List(args) => list(args, global, output).await,
        ConfigurationCommand::Show(args) => show(args, global, output).await,
        ConfigurationCommand::Delete(args) => delete(args, global, output).await,
        ConfigurationCommand::Apply(args) => apply(args, global, output).await,
    }
}

/// A configuration of a file.
struct File {
    id: String,
    members: Map<String, Value>,
}

async fn create(
    args: ConfigurationFileArgs,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    let file = File::read(&args.file)?;
    let hub = AskedHub::find(global, &args.far).await?;
    let made = write(&hub, &file, None).await?;
    tell(&made, &file.id, "is made", output)
}

async fn apply(
    args: ConfigurationFileArgs,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    let file = File::read(&args.file)?;
    let hub = AskedHub::find(global, &args.far).await?;
    let present = hub
        .ask(Method::GET, &target(&file.id), Ask::default())
        .await;
    let present = match present {
        Ok(answer) => answer.document,
        Err(err) if failure::exit_status(&err) == ExitStatus::NotFound => {
            let made = write(&hub, &file, None).await?;
            return tell(&made, &file.id, "is made", output);
        }
        Err(err) => return Err(explained(err, &file.id, "look at")),
    };
    let etag = format!("\"{}\"", present["etag"].as_str().unwrap_or("*"));
    if file.members.get("content") == present.get("content") {
        let changed = write(&hub, &file, Some(&etag)).await?;
        return tell(&changed, &file.id, "is changed", output);
    }
    // A hub changes all of a configuration but its content.
    remove(&hub, &file.id, &etag).await?;
    let made = write(&hub, &file, None).await?;
    tell(
        &made,
        &file.id,
        "is made anew: its content is another",
        output,
    )
}

async fn list(
    args: ConfigurationListArgs,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    let hub = AskedHub::find(global, &args.far).await?;
    let mut configurations: Vec<Value> = hub.get(&Target::configurations()).await?;
    configurations.sort_by(|a, b| a["id"].as_str().cmp(&b["id"].as_str()));
    if output.is_json() {
        output.json(&configurations)?;
        return Ok(ExitStatus::Ok);
    }
    let mut table = Table::new(&[
        ("CONFIGURATION", Align::Left),
        ("PRIORITY", Align::Right),
        ("FOR", Align::Left),
        ("TARGETED", Align::Right),
        ("APPLIED", Align::Right),
        ("CONDITION", Align::Left),
    ]);
    for configuration in &configurations {
        let count = |name: &str| {
            let count = &configuration["systemMetrics"]["results"][name];
            count
                .as_u64()
                .map_or_else(|| "-".to_owned(), |count| count.to_string())
        };
        let text = |name: &str| configuration[name].as_str().unwrap_or_default().to_owned();
        table.row([
            text("id"),
            configuration["priority"].to_string(),
            kind(configuration).to_owned(),
            count("targetedCount"),
            count("appliedCount"),
            text("targetCondition"),
        ]);
    }
    output.table(&table)?;
    Ok(ExitStatus::Ok)
}

async fn show(
    args: ConfigurationShowArgs,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    let hub = AskedHub::find(global, &args.far).await?;
    let shown = hub
        .ask(Method::GET, &target(&args.id), Ask::default())
        .await;
    let shown = shown.map_err(|err| explained(err, &args.id, "show"))?;
    // It is JSON that people write, so they read it too.
    output.json(&shown.document)?;
    Ok(ExitStatus::Ok)
}

async fn delete(
    args: ConfigurationDeleteArgs,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    let hub = AskedHub::find(global, &args.far).await?;
    let etag = args.etag.as_ref().map_or("\"*\"", |etag| etag.as_header());
    remove(&hub, &args.id, etag).await?;
    let text = format!("the configuration `{}` is deleted", args.id);
    output.note(&Text::new().plain(&text));
    Ok(ExitStatus::Ok)
}

async fn write(hub: &AskedHub, file: &File, etag: Option<&str>) -> anyhow::Result<Value> {
    let ask = Ask {
        json: Some(Value::Object(file.members.clone()).to_string()),
        etag,
        ..Ask::default()
    };
    let verb = if etag.is_some() { "change" } else { "create" };
    let written = hub.ask(Method::PUT, &target(&file.id), ask).await;
    Ok(written
        .map_err(|err| explained(err, &file.id, verb))?
        .document)
}

async fn remove(hub: &AskedHub, id: &str, etag: &str) -> anyhow::Result<()> {
    let ask = Ask {
        etag: Some(etag),
        ..Ask::default()
    };
    let deleted = hub.ask(Method::DELETE, &target(id), ask).await;
    deleted
        .map(drop)
        .map_err(|err| explained(err, id, "delete"))
}

fn tell(
    configuration: &Value,
    id: &str,
    what: &str,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    if output.is_json() {
        output.json(configuration)?;
    } else {
        let text = format!("the configuration `{id}` {what}");
        output.note(&Text::new().plain(&text));
    }
    Ok(ExitStatus::Ok)
}

/// Whom a configuration is for, by its content.
fn kind(configuration: &Value) -> &'static str {
    let content = &configuration["content"];
    let has = |name: &str| content.get(name).is_some_and(|content| !content.is_null());
    match (has("deviceContent"), has("moduleContent")) {
        (true, _) => "devices",
        (false, true) => "modules",
        (false, false) => "deployments",
    }
}

fn target(id: &str) -> Target {
    Target::configuration(id)
}

/// What could not be done, and what helps.
fn explained(err: anyhow::Error, id: &str, verb: &str) -> anyhow::Error {
    let status = failure::exit_status(&err);
    let failure = Failure::new(status, format!("cannot {verb} the configuration `{id}`"));
    match status {
        ExitStatus::NotRunning => err,
        ExitStatus::NotFound => {
            err.context(failure.hint("`wasm-edge hub configuration list` shows which there are"))
        }
        _ => err.context(failure),
    }
}

impl File {
    fn read(path: &Path) -> Result<Self, Failure> {
        let cannot = "cannot read the configuration";
        let text =
            text_file::read(path, FILE_MAX_BYTES).map_err(|err| err.into_input_failure(cannot))?;
        let members: Map<String, Value> = serde_json::from_str(&text)
            .map_err(|err| Failure::new(ExitStatus::InvalidInput, cannot).caused_by(err))?;
        match members.get("id").and_then(Value::as_str) {
            Some(id) if !id.is_empty() => {
                let id = id.to_owned();
                Ok(Self { id, members })
            }
            _ => {
                let what = "the configuration has no `id`, which is a text";
                Err(Failure::new(ExitStatus::InvalidInput, what))
            }
        }
    }
}
