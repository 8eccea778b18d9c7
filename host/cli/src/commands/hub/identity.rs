//! Identities as the hub's REST face has them: put together from arguments, and shown.
//!
//! For devices and modules alike; what each has of its own is in `device` and `module`.

use hyper::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use wasm_edge_model::connection_string::{ConnectionString, Credential, HostAddress, Party};
use wasm_edge_model::identity::{DeviceId, ModuleId, ModuleIdentity, TwinOwner};
use wasm_edge_model::shared_access::SharedKey;

use super::asked::{AskedHub, document};
use crate::args::far_hub::Secret;
use crate::args::hub::identity::AuthenticationArgs;
use crate::client::Ask;
use crate::client::target::Target;
use crate::exit_codes::ExitStatus;
use crate::failure::{self, Failure};
use crate::output::Output;
use crate::output::text::{Style, Text};
use crate::text_file;

/// More than a key in base64 with white space around it.
const KEY_FILE_MAX_BYTES: usize = 1024;

/// Most certificates that an identity has at once.
const THUMBPRINTS_MAX: usize = 2;

/// Which etag a change asks for.
pub(super) enum Match<'a> {
    /// None: it is to be made.
    New,
    /// This one, as a header has it.
    Etag(&'a str),
}

/// How an identity shows who it is, as far as it is shown here.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Authentication {
    #[serde(rename = "type")]
    pub(super) kind: String,
    symmetric_key: Option<Keys>,
    #[serde(rename = "x509Thumbprint")]
    thumbprints: Option<Thumbprints>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Keys {
    primary_key: Option<String>,
    secondary_key: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Thumbprints {
    primary_thumbprint: Option<String>,
    secondary_thumbprint: Option<String>,
}

/// Which of the two keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// The first.
    Primary,
    /// The second.
    Secondary,
}

/// The `authentication` of a request; nothing if the arguments say nothing of it.
///
/// # Errors
/// Keys that are none, more thumbprints than there may be.
pub(super) fn authentication(args: &AuthenticationArgs) -> Result<Option<Value>, Failure> {
    if let (Some(primary), Some(secondary)) = (&args.primary_key, &args.secondary_key) {
        let keys = json!({
            "primaryKey": key("--primary-key", primary)?,
            "secondaryKey": key("--secondary-key", secondary)?,
        });
        return Ok(Some(json!({ "type": "sas", "symmetricKey": keys })));
    }
    if args.x509_ca {
        return Ok(Some(json!({ "type": "certificateAuthority" })));
    }
    match args.thumbprints.as_slice() {
        [] => Ok(None),
        [primary, rest @ ..] if rest.len() < THUMBPRINTS_MAX => Ok(Some(json!({
            "type": "selfSigned",
            "x509Thumbprint": { "primaryThumbprint": primary, "secondaryThumbprint": rest.first() },
        }))),
        _ => Err(Failure::new(
            ExitStatus::Usage,
            format!("`--x509-thumbprint` is given more than {THUMBPRINTS_MAX} times"),
        )),
    }
}

/// The `authentication` of a request for two keys that the hub makes.
pub(super) fn new_keys() -> Value {
    json!({ "type": "sas", "symmetricKey": { "primaryKey": "", "secondaryKey": "" } })
}

fn key(option: &str, given: &Secret) -> Result<Value, Failure> {
    let text = match text_file::named_by(given.reveal()) {
        None => given.reveal().to_owned(),
        Some(file) => text_file::read(file, KEY_FILE_MAX_BYTES)
            .map_err(|err| err.into_input_failure("cannot read the key"))?,
    };
    let key = SharedKey::new(text.trim()).map_err(|err| {
        let what = format!("`{option}` is no key");
        Failure::new(ExitStatus::InvalidInput, what).caused_by(err)
    })?;
    Ok(key.as_base64().into())
}

/// The target of an identity.
pub(super) fn target(owner: &TwinOwner) -> Target {
    let module = owner.module().map(|module| module.as_str());
    Target::identity(owner.device().as_str(), module)
}

/// A device or one of its modules.
pub(super) fn owner(device: DeviceId, module: Option<ModuleId>) -> TwinOwner {
    match module {
        None => TwinOwner::Device(device),
        Some(module) => TwinOwner::Module(ModuleIdentity { device, module }),
    }
}

/// Reads an identity.
pub(super) async fn read(hub: &AskedHub, owner: &TwinOwner) -> anyhow::Result<Value> {
    let read = hub.get(&target(owner)).await;
    read.map_err(|err| explained(err, owner, "show"))
}

/// Makes an identity or changes it; answers with it as the hub has it then.
pub(super) async fn write(
    hub: &AskedHub,
    owner: &TwinOwner,
    identity: &Value,
    expected: Match<'_>,
) -> anyhow::Result<Value> {
    let (etag, verb) = match expected {
        Match::New => (None, "create"),
        Match::Etag(etag) => (Some(etag), "change"),
    };
    let ask = Ask {
        json: Some(identity.to_string()),
        etag,
        ..Ask::default()
    };
    let written = hub.ask(Method::PUT, &target(owner), ask).await;
    let answer = written.map_err(|err| explained(err, owner, verb))?;
    Ok(answer.document)
}

/// Changes what there is by `change`, if its etag is that which was read, or the given one.
pub(super) async fn update(
    hub: &AskedHub,
    owner: &TwinOwner,
    etag: Option<&str>,
    change: impl FnOnce(&mut Map<String, Value>),
) -> anyhow::Result<Value> {
    let present: Value = hub
        .get(&target(owner))
        .await
        .map_err(|err| explained(err, owner, "change"))?;
    let mut identity: Map<String, Value> = document(present)?;
    let read = identity.get("etag").and_then(Value::as_str);
    // Etags of a hub are base64, so that they need no escapes.
    let read = format!("\"{}\"", read.unwrap_or("*"));
    change(&mut identity);
    let etag = etag.unwrap_or(&read);
    write(hub, owner, &Value::Object(identity), Match::Etag(etag)).await
}

/// Deletes an identity.
pub(super) async fn delete(
    hub: &AskedHub,
    owner: &TwinOwner,
    etag: Option<&str>,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    let ask = Ask {
        etag: Some(etag.unwrap_or("\"*\"")),
        ..Ask::default()
    };
    let deleted = hub.ask(Method::DELETE, &target(owner), ask).await;
    deleted.map_err(|err| explained(err, owner, "delete"))?;
    output.note(&named(owner).plain(" is deleted"));
    Ok(ExitStatus::Ok)
}

/// Prints an identity that was made or changed: its connection string, or as JSON all of it with that.
pub(super) async fn tell(
    hub: &AskedHub,
    owner: &TwinOwner,
    mut identity: Value,
    what: &str,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    let text = connection_string(hub, owner, &identity, Which::Primary).await?;
    if output.is_json() {
        identity["connectionString"] = text.into();
        output.json(&identity)?;
        return Ok(ExitStatus::Ok);
    }
    output.note(&named(owner).plain(what));
    output.line(&Text::new().plain(&text))?;
    Ok(ExitStatus::Ok)
}

/// The connection string of an identity, with its secret.
pub(super) async fn connection_string(
    hub: &AskedHub,
    owner: &TwinOwner,
    identity: &Value,
    which: Which,
) -> anyhow::Result<String> {
    let authentication: Authentication = document(identity["authentication"].clone())?;
    let keys = authentication.symmetric_key.unwrap_or_default();
    let key = match which {
        Which::Primary => keys.primary_key,
        Which::Secondary => keys.secondary_key,
    };
    let credential = match key.as_deref().map(SharedKey::new) {
        Some(Ok(key)) if authentication.kind == "sas" => Credential::Key(key),
        _ if authentication.kind == "sas" => {
            let what = format!("the hub tells no key of `{owner}`");
            return Err(Failure::new(ExitStatus::Failure, what).into());
        }
        _ => Credential::Certificate,
    };
    let connection_string = ConnectionString {
        // Device SDKs have their ports built in.
        host: host(hub).await?,
        gateway: None,
        party: Party::Identity {
            owner: owner.clone(),
            credential,
        },
    };
    Ok(connection_string.reveal())
}

/// The name by which devices know the hub.
pub(super) async fn host(hub: &AskedHub) -> anyhow::Result<HostAddress> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Info {
        hub_host_name: String,
    }
    let name = match hub.far() {
        Some(far) => far.host().name().to_owned(),
        None => {
            hub.get::<Info>(&Target::path(&["v1", "info"]))
                .await?
                .hub_host_name
        }
    };
    HostAddress::parse(&name).ok_or_else(|| {
        let what = format!("the hub's name `{name}` is no name of a host");
        Failure::new(ExitStatus::Failure, what).into()
    })
}

/// Prints an identity for people, without its keys, or as JSON with them.
pub(super) fn show(identity: &Value, output: &Output) -> anyhow::Result<ExitStatus> {
    if output.is_json() {
        output.json(identity)?;
        return Ok(ExitStatus::Ok);
    }
    for (name, value) in lines(identity) {
        let line = Text::new()
            .styled(Style::Dim, name)
            .pad_to(18)
            .plain(&value);
        output.line(&line)?;
    }
    Ok(ExitStatus::Ok)
}

/// What people see of an identity; what is not there is left out.
fn lines(identity: &Value) -> Vec<(&'static str, String)> {
    let authentication = Authentication::deserialize(&identity["authentication"]);
    let authentication = authentication.unwrap_or_default();
    let thumbprints = authentication.thumbprints.unwrap_or_default();
    let text = |name: &str| identity[name].as_str().map(str::to_owned);
    let edge = identity["capabilities"]["iotEdge"].as_bool();
    let queued = identity["cloudToDeviceMessageCount"].as_u64();
    let rows = [
        ("device", text("deviceId")),
        ("module", text("moduleId")),
        ("status", text("status")),
        ("reason", text("statusReason")),
        ("connection", text("connectionState")),
        ("last activity", text("lastActivityTime")),
        ("edge", edge.filter(|edge| *edge).map(|_| "yes".to_owned())),
        (
            "messages to it",
            queued
                .filter(|count| *count > 0)
                .map(|count| count.to_string()),
        ),
        ("managed by", text("managedBy")),
        ("authentication", Some(authentication.kind)),
        ("thumbprint", thumbprints.primary_thumbprint),
        ("second thumbprint", thumbprints.secondary_thumbprint),
        ("generation", text("generationId")),
        ("etag", text("etag")),
    ];
    let rows = rows.into_iter();
    rows.filter_map(|(name, value)| Some((name, value.filter(|value| !value.is_empty())?)))
        .collect()
}

/// `Hannover01` or `Hannover01/filter`.
fn named(owner: &TwinOwner) -> Text {
    let text = Text::new().plain(owner.device().as_str());
    match owner.module() {
        None => text,
        Some(module) => text
            .plain("/")
            .styled(Style::of_module(module.as_str()), module.as_str()),
    }
}

/// What could not be done, and what helps.
pub(super) fn explained(err: anyhow::Error, owner: &TwinOwner, verb: &str) -> anyhow::Error {
    let kind = match owner.module() {
        None => "device",
        Some(_) => "module",
    };
    let id = owner.to_string();
    let id = id.trim_start_matches("/devices/");
    let status = failure::exit_status(&err);
    let failure = Failure::new(status, format!("cannot {verb} the {kind} `{id}`"));
    match status {
        ExitStatus::NotRunning => err,
        ExitStatus::NotFound => {
            err.context(failure.hint("`wasm-edge hub device list` shows which devices there are"))
        }
        ExitStatus::PreconditionFailed => {
            err.context(failure.hint("it was changed in between: look at it again with `show`"))
        }
        _ => err.context(failure),
    }
}

/// A body for a new identity: what is null is left out.
pub(super) fn body(fields: impl Serialize) -> Value {
    let mut value = json!(fields);
    if let Some(object) = value.as_object_mut() {
        object.retain(|_, value| !value.is_null());
    }
    value
}
