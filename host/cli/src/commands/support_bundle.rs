//! `support-bundle`: what somebody needs who is asked for help, in one zip, without secrets.
//!
//! Gathers from the running device and from this machine; of a device that does not run, from its data folder.
//! `redact` takes the secrets out, `archive` packs and bounds. A part that cannot be had is named in
//! `bundle.json` and costs nothing else.

mod archive;
mod redact;
mod system;

use std::fs;
use std::io::{Cursor, Seek, Write};
use std::ops::ControlFlow;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::{Value, json};
use wasm_edge_daemon::api::images;
use wasm_edge_daemon::folder::DataFolderView;
use wasm_edge_daemon::logs::filter::LogFilter;
use wasm_edge_daemon::logs::folder;
use wasm_edge_daemon::logs::reader;
use wasm_edge_images::store::ImageStore;
use wasm_edge_model::agent_method::BundleRequest;
use wasm_edge_model::identity::{DeviceId, ModuleId};
use wasm_edge_model::time::Timestamp;

use self::archive::Archive;
use self::redact::{Environment, Redactor};
use super::check;
use super::running::Running;
use crate::args::GlobalArgs;
use crate::args::support_bundle::SupportBundleArgs;
use crate::client::target::Target;
use crate::exit_codes::ExitStatus;
use crate::failure::{self, Failure};
use crate::output::Output;
use crate::output::text::Text;

/// The version of the bundle's layout.
const VERSION: u32 = 1;

/// The most lines of one module's log, the newest ones.
const LOG_LINES_MAX: usize = 50_000;

/// What the file is called where no name is given, before the time.
const NAME: &str = "wasm-edge-support";

const README: &str = include_str!("support_bundle/README.txt");

/// Gathers, packs and writes.
pub(super) async fn execute(
    args: SupportBundleArgs,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    let now = Timestamp::from(jiff::Timestamp::now());
    let environment = match args.include_env {
        true => Environment::Included,
        false => Environment::Blanked,
    };
    let mut bundle = Bundle {
        archive: Archive::new(Cursor::new(Vec::new()), Redactor::new(environment)),
        missing: Vec::new(),
        extent: Extent {
            since: args.since.map(|since| since.seen_from(now)),
            ..Extent::default()
        },
    };
    let source = match Running::find(global).await {
        Ok(running) => {
            let device = running.device_if_given(args.device.as_ref())?;
            bundle.add_running(&running, device.as_ref()).await?;
            "device"
        }
        Err(err) => {
            let data_folder = data_folder_of(global, err)?;
            output.note(
                &Text::new().plain("no device is running: the bundle is made from its data folder"),
            );
            bundle.add_folder(data_folder, args.device.as_ref())?;
            "data folder"
        }
    };
    let archive = bundle.finish(global, now, source, environment).await?;
    write(args.file, archive.get_ref(), now, output)?;
    Ok(ExitStatus::Ok)
}

/// Makes the bundle of a device of the process that serves this data folder, into an empty file.
///
/// # Errors
/// The process does not answer, or the file cannot be written.
pub(crate) async fn of_device(
    data_folder: PathBuf,
    device: &DeviceId,
    request: BundleRequest,
    file: fs::File,
) -> anyhow::Result<()> {
    let global = GlobalArgs::of_data_folder(data_folder);
    let now = Timestamp::from(jiff::Timestamp::now());
    let environment = Environment::Blanked;
    let mut bundle = Bundle {
        archive: Archive::new(file, Redactor::new(environment)),
        missing: Vec::new(),
        extent: Extent {
            since: request.since,
            until: request.until,
            runtime_only: request.runtime_only,
        },
    };
    let running = Running::find(&global).await?;
    bundle.add_running(&running, Some(device)).await?;
    bundle.finish(&global, now, "device", environment).await?;
    Ok(())
}

/// The data folder to read where no device runs, or why none does.
fn data_folder_of(global: &GlobalArgs, not_running: anyhow::Error) -> anyhow::Result<&Path> {
    match &global.data_dir {
        Some(path)
            if failure::exit_status(&not_running) == ExitStatus::NotRunning && path.is_dir() =>
        {
            Ok(path)
        }
        _ => Err(not_running),
    }
}

/// A bundle in the making.
struct Bundle<W: Write + Seek> {
    archive: Archive<W>,
    /// Parts that could not be had, with the reason.
    missing: Vec<Value>,
    extent: Extent,
}

/// How much of the logs is in a bundle.
#[derive(Clone, Copy, Debug, Default)]
struct Extent {
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    /// None of them.
    runtime_only: bool,
}

impl<W: Write + Seek> Bundle<W> {
    /// Adds what is the same for all bundles, and closes the archive.
    async fn finish(
        mut self,
        global: &GlobalArgs,
        now: Timestamp,
        source: &str,
        environment: Environment,
    ) -> anyhow::Result<W> {
        self.add("check.json", check::report(global).await)?;
        system::add_machine(&mut self.archive)?;
        self.archive.text("README.txt", README)?;
        let about = json!({
            "version": VERSION,
            "createdTime": now,
            "toolVersion": env!("CARGO_PKG_VERSION"),
            "from": source,
            "since": self.extent.since,
            "until": self.extent.until,
            "runtimeOnly": self.extent.runtime_only,
            "environmentIncluded": environment == Environment::Included,
            "missing": self.missing,
            "cut": self.archive.cut(),
        });
        self.archive.json("bundle.json", about)?;
        self.archive.finish()
    }

    async fn add_running(
        &mut self,
        running: &Running,
        device: Option<&DeviceId>,
    ) -> anyhow::Result<()> {
        let info = running.get(&Target::path(&["v1", "info"])).await?;
        let modules = running
            .get(&Target::path(&["v1", "modules"]).query_if("device", device.map(|id| id.as_str())))
            .await?;
        let devices: Vec<String> = match device {
            Some(device) => vec![device.to_string()],
            None => texts(&info["devices"]),
        };
        // First what holds secrets: they are looked for in all that follows.
        for device in &devices {
            let name = format!("deployments/{}.json", file_name(device));
            let deployment = running
                .get(&Target::path(&["v1", "deployments", device]))
                .await;
            self.add(&name, deployment)?;
            for module in ["$edgeAgent", "$edgeHub"] {
                self.add_twin(running, device, Some(module)).await?;
            }
            self.add_twin(running, device, None).await?;
        }
        for module in modules["modules"].as_array().into_iter().flatten() {
            if let (Some(device), Some(module)) =
                (module["device"].as_str(), module["module"].as_str())
            {
                self.add_twin(running, device, Some(module)).await?;
                let name = format!("modules/{}/{}.json", file_name(device), file_name(module));
                let path = Target::path(&["v1", "modules", device, module]);
                let module = running.get(&path).await;
                self.add(&name, module)?;
            }
        }
        for device in &devices {
            for module in modules["modules"].as_array().into_iter().flatten() {
                if module["device"] == device.as_str()
                    && let Some(module) = module["module"].as_str()
                {
                    self.add_log(running, device, module).await?;
                }
            }
        }
        let images = running.get(&Target::path(&["v1", "images"])).await;
        self.add("images.json", images)?;
        if let Some(path) = info["dataFolder"].as_str() {
            self.archive
                .json("data-folder.json", system::data_folder(Path::new(path)))?;
        }
        if let Some(pid) = info["pid"].as_u64() {
            system::add_process(&mut self.archive, pid)?;
        }
        self.archive.json("modules.json", modules)?;
        self.archive.json("info.json", info)
    }

    async fn add_twin(
        &mut self,
        running: &Running,
        device: &str,
        module: Option<&str>,
    ) -> anyhow::Result<()> {
        let target = match (running.is_device_alone(), module) {
            (true, Some(module)) => Target::device_twin(device, module, &[]),
            // Only a hub has that of the device itself.
            (true, None) => return Ok(()),
            (false, _) => Target::twin(device, module),
        };
        let twin = running.get(&target).await;
        let name = match module {
            Some(module) => format!("twins/{}/{}.json", file_name(device), file_name(module)),
            None => format!("twins/{}.json", file_name(device)),
        };
        self.add(&name, twin)
    }

    async fn add_log(
        &mut self,
        running: &Running,
        device: &str,
        module: &str,
    ) -> anyhow::Result<()> {
        let name = log_name(device, module);
        if self.extent.runtime_only {
            return Ok(());
        }
        let text = |time: Option<Timestamp>| time.map(|time| time.to_string());
        let (since, until) = (text(self.extent.since), text(self.extent.until));
        let target = Target::path(&["v1", "logs"])
            .query("device", device)
            .query("module", module)
            .query("tail", &LOG_LINES_MAX.to_string())
            .query_if("since", since.as_deref())
            .query_if("until", until.as_deref());
        let mut lines = match running.stream(&target).await {
            Ok(lines) => lines,
            Err(err) => return self.add(&name, Err(err)),
        };
        self.archive.begin(&name)?;
        loop {
            match lines.next::<Value>().await {
                Ok(Some(line)) if self.archive.line(&name, &line.to_string())? => {}
                Ok(_) => return Ok(()),
                Err(err) => {
                    self.miss(&name, &err.to_string());
                    return Ok(());
                }
            }
        }
    }

    fn add_folder(&mut self, data_folder: &Path, device: Option<&DeviceId>) -> anyhow::Result<()> {
        self.archive
            .json("data-folder.json", system::data_folder(data_folder))?;
        match images_in(data_folder) {
            Ok(Some(images)) => self.archive.json("images.json", images)?,
            Ok(None) => self.miss("images.json", "there is no image store yet"),
            Err(err) => self.miss("images.json", &format!("{err:#}")),
        }
        let snapshots = match folder::snapshots(data_folder) {
            Ok(snapshots) => snapshots,
            Err(err) => {
                self.miss("logs", &err.to_string());
                return Ok(());
            }
        };
        for snapshot in &snapshots {
            if device.is_some_and(|device| device != snapshot.device()) {
                continue;
            }
            for module in snapshot.modules() {
                let name = log_name(snapshot.device().as_str(), module.as_str());
                self.archive.begin(&name)?;
                let filter = LogFilter {
                    module: Some(module.clone()),
                    since: self.extent.since,
                    ..LogFilter::default()
                };
                let mut written = Ok(true);
                let snapshot = std::slice::from_ref(snapshot);
                let read = reader::read(snapshot, &filter, Some(LOG_LINES_MAX), |entry| {
                    written = self.archive.line(&name, &entry.to_json().to_string());
                    match written {
                        Ok(true) => ControlFlow::Continue(()),
                        _ => ControlFlow::Break(()),
                    }
                });
                written?;
                if let Err(err) = read {
                    self.miss(&name, &err.to_string());
                }
            }
        }
        for part in ["info.json", "modules.json", "twins", "deployments"] {
            self.miss(part, "no device is running");
        }
        Ok(())
    }

    /// Adds a part, or records why it could not be had.
    fn add(&mut self, name: &str, part: anyhow::Result<Value>) -> anyhow::Result<()> {
        match part {
            Ok(value) => self.archive.json(name, value),
            Err(err) => {
                self.miss(name, &format!("{err:#}"));
                Ok(())
            }
        }
    }

    fn miss(&mut self, name: &str, reason: &str) {
        self.missing.push(json!({ "part": name, "reason": reason }));
    }
}

/// What the image store of a folder has. Who holds which image, only a process knows.
fn images_in(data_folder: &Path) -> anyhow::Result<Option<Value>> {
    let Some(images) = DataFolderView::open(data_folder)?.images()? else {
        return Ok(None);
    };
    Ok(Some(images::listed(&ImageStore::look(images)?)))
}

fn log_name(device: &str, module: &str) -> String {
    format!("logs/{}/{}.ndjson", file_name(device), file_name(module))
}

/// An id as a file's name, as in the data folder.
fn file_name(id: &str) -> String {
    ModuleId::new(id).map_or_else(
        |_| DeviceId::new(id).map_or_else(|_| "unnamed".to_owned(), |id| id.folder_name()),
        |id| id.folder_name(),
    )
}

fn texts(list: &Value) -> Vec<String> {
    let texts = list
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    texts.map(str::to_owned).collect()
}

/// Writes the archive where it was asked for, and says where that is.
fn write(
    file: Option<PathBuf>,
    bytes: &[u8],
    now: Timestamp,
    output: &Output,
) -> anyhow::Result<()> {
    if file.as_deref() == Some(Path::new("-")) {
        return Ok(output.bytes(bytes)?);
    }
    let path = file.unwrap_or_else(|| {
        let time = now.as_jiff().strftime("%Y%m%dT%H%M%SZ");
        PathBuf::from(format!("{NAME}-{time}.zip"))
    });
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let written = options.open(&path).and_then(|mut file| {
        file.write_all(bytes).inspect_err(|_| {
            // Half a bundle is of no use; the first failure is the one to tell.
            let _ = fs::remove_file(&path);
        })
    });
    written
        .map_err(|err| {
            Failure::new(
                ExitStatus::Failure,
                format!("cannot write `{}`", path.display()),
            )
            .caused_by(err)
        })
        .context("the support bundle was not made")?;
    if output.is_json() {
        output.json(&json!({ "file": path.display().to_string(), "sizeBytes": bytes.len() }))?;
    } else {
        output.line(&Text::new().plain(&path.display().to_string()))?;
        output.note(&Text::new().plain(
            "look through it before you pass it on: logs and twins are in it as modules wrote them",
        ));
    }
    Ok(())
}
