//! `twin get`, `twin patch` and `twin reset`: the twin of a device or a module, as the hub's service side has it.
//!
//! Where a device answers alone, its modules' twins are shown and changed as it has them. Changes that are kept apart on
//! the device are in `local`, `twin watch` is in `watch`; all know the service view through [`TwinView`].

mod local;
mod watch;

use serde_json::{Map, Value, json};
use wasm_edge_daemon::deployment::shown::blank_twin;
use wasm_edge_model::identity::{DeviceId, ModuleId};
use wasm_edge_model::twin::{PATCH_TEXT_MAX_BYTES, parse_patch};

use super::running::{Running, with_modules_hint};
use crate::args::{GlobalArgs, TwinCommand, TwinGetArgs, TwinPatchArgs};
use crate::client::target::Target;
use crate::exit_codes::ExitStatus;
use crate::failure::{self, Failure};
use crate::output::Output;
use crate::output::text::{Style, Text};
use crate::text_file;

/// Runs a command under `twin`.
pub(super) async fn execute(
    command: TwinCommand,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    match command {
        TwinCommand::Get(args) => get(args, global, output).await,
        TwinCommand::Patch(args) => patch(args, global, output).await,
        TwinCommand::Watch(args) => watch::execute(args, global, output).await,
        TwinCommand::Reset(args) => local::reset(args, global, output).await,
    }
}

/// Whose twin.
struct Owner {
    device: DeviceId,
    module: Option<ModuleId>,
    /// Whether its device is asked for it, and no hub.
    at_device: bool,
}

/// A twin in the service's JSON form, from which parts are read; what is missing reads as empty.
struct TwinView<'a>(&'a Value);

async fn get(
    args: TwinGetArgs,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    let running = Running::find_hub(global, &args.far).await?;
    let owner = Owner::find(&running, args.device.as_ref(), args.module)?;
    if args.tags && owner.at_device {
        return Err(local::only_a_hub("has tags").into());
    }
    let answer = running
        .get(&owner.twin())
        .await
        .map_err(|err| owner.hint(err))?;
    let mut answer = owner.without_secrets(answer);
    let section = match (args.desired, args.reported, args.tags) {
        (true, ..) => Some("desired"),
        (_, true, _) => Some("reported"),
        (.., true) => Some("tags"),
        _ => None,
    };
    let local = match section {
        Some(_) => None,
        None => local::take(&mut answer, &running, &owner).await,
    };
    let twin = TwinView(&answer);
    let shown = match (section, output.is_json()) {
        (None, true) => local::put(answer, local),
        (Some(section), true) => twin.section(section).cloned().unwrap_or_else(|| json!({})),
        (Some(section), false) => Value::Object(twin.readable(section)),
        (None, false) => local::put(owner.shown(&twin), local),
    };
    output.json(&shown)?;
    Ok(ExitStatus::Ok)
}

async fn patch(
    args: TwinPatchArgs,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    let properties = read_patch(&args.patch)?;
    if args.local {
        return local::patch(args, properties, global, output).await;
    }
    let running = Running::find_hub(global, &args.far).await?;
    let owner = Owner::find(&running, args.device.as_ref(), args.module)?;
    if args.tags && owner.at_device {
        return Err(local::only_a_hub("has tags").into());
    }
    let (section, body) = match args.tags {
        true => ("tags", json!({ "tags": properties })),
        false => (
            "desired",
            json!({ "properties": { "desired": properties } }),
        ),
    };
    let etag = args.etag.as_ref().map(|etag| etag.as_header());
    let answer = running
        .patch(&owner.twin(), &body, etag)
        .await
        .map_err(|err| owner.hint(err))?;
    let answer = owner.without_secrets(answer);
    if output.is_json() {
        output.json(&answer)?;
        return Ok(ExitStatus::Ok);
    }
    let twin = TwinView(&answer);
    let line = with_owner(Text::new(), &owner)
        .plain(": ")
        .plain(&twin.version_text(section));
    output.line(&line.styled(Style::Dim, &format!("  etag {}", twin.etag())))?;
    Ok(ExitStatus::Ok)
}

impl Owner {
    /// Who is meant.
    ///
    /// # Errors
    /// When no device is, or only a hub could answer.
    fn find(
        running: &Running,
        device: Option<&DeviceId>,
        module: Option<ModuleId>,
    ) -> anyhow::Result<Self> {
        let device = running.device(device)?;
        let at_device = running.is_device_alone();
        if at_device && module.is_none() {
            return Err(local::only_a_hub("has the twin of the device itself").into());
        }
        Ok(Self {
            device,
            module,
            at_device,
        })
    }

    fn twin(&self) -> Target {
        let module = self.module.as_ref().map(|id| id.as_str());
        match (self.at_device, module) {
            (true, Some(module)) => Target::device_twin(self.device.as_str(), module, &[]),
            _ => Target::twin(self.device.as_str(), module),
        }
    }

    fn changes(&self) -> Target {
        let module = self.module.as_ref().map(|id| id.as_str());
        match (self.at_device, module) {
            (true, Some(module)) => Target::device_twin(self.device.as_str(), module, &["changes"]),
            _ => Target::twin_changes(self.device.as_str(), module),
        }
    }

    /// A twin as it is printed: a hub answers the passwords of a deployment, too.
    fn without_secrets(&self, mut twin: Value) -> Value {
        if let Some(module) = &self.module {
            blank_twin(module, &mut twin);
        }
        twin
    }

    /// A twin for people: a device has no tags.
    fn shown(&self, twin: &TwinView<'_>) -> Value {
        let mut shown = twin.readable_whole();
        if let (true, Some(sections)) = (self.at_device, shown.as_object_mut()) {
            sections.remove("tags");
        }
        shown
    }

    /// Adds what can be done about a twin that is not there or was changed by somebody else.
    fn hint(&self, err: anyhow::Error) -> anyhow::Error {
        let again = match &self.module {
            Some(module) => {
                format!("read it again with `wasm-edge twin get {module} --output json`")
            }
            None => "read it again with `wasm-edge twin get --output json`".to_owned(),
        };
        match (failure::exit_status(&err), &self.module) {
            (ExitStatus::PreconditionFailed, _) => err.context(
                Failure::new(
                    ExitStatus::PreconditionFailed,
                    "the twin was changed in between",
                )
                .hint(again),
            ),
            (_, Some(module)) => with_modules_hint(err, module),
            (_, None) => err,
        }
    }
}

impl<'a> TwinView<'a> {
    fn section(&self, name: &str) -> Option<&'a Value> {
        match name {
            "tags" => self.0.get("tags"),
            _ => self.0.get("properties")?.get(name),
        }
    }

    /// A section without what the hub adds, but for the version.
    fn readable(&self, name: &str) -> Map<String, Value> {
        let section = self.section(name).and_then(Value::as_object);
        let mut section = section.cloned().unwrap_or_default();
        section.remove("$metadata");
        section
    }

    /// A section's own properties.
    fn properties(&self, name: &str) -> Map<String, Value> {
        let mut properties = self.readable(name);
        properties.remove("$version");
        properties
    }

    fn readable_whole(&self) -> Value {
        json!({
            "tags": self.readable("tags"),
            "desired": self.readable("desired"),
            "reported": self.readable("reported"),
        })
    }

    fn version(&self, name: &str) -> Option<u64> {
        self.section(name)?.get("$version")?.as_u64()
    }

    /// What a section is at; tags have no version of their own.
    fn version_text(&self, section: &str) -> String {
        match (section, self.version(section)) {
            ("tags", _) => "tags changed".to_owned(),
            (_, Some(version)) => format!("{section} is now at version {version}"),
            (_, None) => format!("{section} changed"),
        }
    }

    fn etag(&self) -> &'a str {
        self.0.get("etag").and_then(Value::as_str).unwrap_or("-")
    }
}

fn with_owner(text: Text, owner: &Owner) -> Text {
    match &owner.module {
        None => text.plain(owner.device.as_str()),
        Some(module) => text
            .plain(owner.device.as_str())
            .plain("/")
            .styled(Style::of_module(module.as_str()), module.as_str()),
    }
}

/// A patch given as text, as `@FILE`, or as `-` for standard input.
fn read_patch(given: &str) -> Result<Map<String, Value>, Failure> {
    let text = match text_file::named_by(given) {
        None => given.to_owned(),
        Some(file) => text_file::read(file, PATCH_TEXT_MAX_BYTES)
            .map_err(|err| err.into_input_failure("cannot read the patch"))?,
    };
    parse_patch(&text).map_err(|err| {
        Failure::new(ExitStatus::InvalidInput, "the patch cannot be applied")
            .caused_by(err)
            .hint("a patch is a JSON object such as '{\"threshold\": 5}'; null deletes a key")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn twin() -> Value {
        json!({
            "deviceId": "d", "moduleId": "m", "etag": "AAAAAAAAAA8=", "version": 16, "tags": {"site": "north"},
            "properties": {
                "desired": {"interval": 5, "$metadata": {"$lastUpdated": "2026-08-01T10:00:00Z"}, "$version": 4},
                "reported": {"$metadata": {}, "$version": 9},
            },
        })
    }

    #[test]
    fn people_see_the_sections_with_their_versions_only() {
        let twin = twin();
        let expected = json!({
            "tags": {"site": "north"}, "desired": {"interval": 5, "$version": 4}, "reported": {"$version": 9},
        });
        assert_eq!(TwinView(&twin).readable_whole(), expected);
        assert_eq!(
            TwinView(&twin).version_text("desired"),
            "desired is now at version 4"
        );
        assert_eq!(TwinView(&twin).version_text("tags"), "tags changed");
    }

    #[test]
    fn a_twin_without_its_parts_reads_as_empty() {
        for twin in [
            json!({}),
            json!([]),
            json!({"properties": 5, "tags": null, "etag": 1}),
        ] {
            let view = TwinView(&twin);
            assert_eq!(
                view.readable_whole(),
                json!({"tags": {}, "desired": {}, "reported": {}})
            );
            assert_eq!((view.version("desired"), view.etag()), (None, "-"));
        }
    }

    #[test]
    fn patches_come_from_the_argument_or_a_file() {
        let folder = tempfile::TempDir::new().unwrap();
        let file = folder.path().join("patch.json");
        std::fs::write(&file, "{\"a\": null}").unwrap();
        assert_eq!(
            Value::Object(read_patch("{\"threshold\": 5}").unwrap()),
            json!({"threshold": 5})
        );
        assert_eq!(
            Value::Object(read_patch(&format!("@{}", file.display())).unwrap()),
            json!({"a": null})
        );
    }

    #[test]
    fn a_bad_patch_says_what_is_wrong() {
        let check = |given: &str, expected: &str, status| {
            let error = anyhow::Error::from(read_patch(given).unwrap_err());
            let text = format!("{error:#}");
            assert!(text.starts_with(expected), "{text}");
            assert_eq!(failure::exit_status(&error), status);
        };
        check(
            "threshold=5",
            "the patch cannot be applied: not JSON: line 1, column",
            ExitStatus::InvalidInput,
        );
        check(
            "[]",
            "the patch cannot be applied: ",
            ExitStatus::InvalidInput,
        );
        check(
            "{\"a\": 1, \"a\": 2}",
            "the patch cannot be applied: the key `a` occurs twice",
            ExitStatus::InvalidInput,
        );
        check(
            "@/no/such",
            "cannot read the patch from `/no/such`: No such file",
            ExitStatus::NotFound,
        );
    }
}
