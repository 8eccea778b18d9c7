//! What the checks judge, gathered from the system, the data folder and the running device.
//!
//! All I/O of `check` is here and in `facts/system`; nothing is created, taken or changed.

pub(super) mod images;
pub(super) mod service;

mod system;

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use wasm_edge_daemon::folder::survey::Survey;

use self::images::{Images, Registries};
use self::service::{Configured, Service};
use super::Id;
use super::verdict::Verdict;
use crate::args::GlobalArgs;
use crate::args::check::CheckArgs;
use crate::client::target::Target;
use crate::client::{Client, ClientError};
use crate::commands::running;
use wasm_edge_daemon::free_memory::{self, FreeMemory};
use wasm_edge_model::error::chain;

/// Everything that is judged.
pub(super) struct Facts {
    pub(super) homes: Homes,
    pub(super) clock: Clock,
    pub(super) folder: Folder,
    pub(super) space: Option<Space>,
    pub(super) memory: Option<FreeMemory>,
    pub(super) limits: Limits,
    pub(super) kernel: Kernel,
    pub(super) device: Device,
    pub(super) service: Service,
    pub(super) images: Images,
    pub(super) registries: Registries,
}

/// The user's home folders.
pub(super) struct Homes {
    pub(super) xdg_state_home: Option<PathBuf>,
    pub(super) xdg_data_home: Option<PathBuf>,
    /// Where running devices are announced; `None` without a home.
    pub(super) live: Option<PathBuf>,
    /// Whether that folder, or the one in which it will be made, can be written.
    pub(super) live_is_writable: bool,
}

/// The wall clock.
pub(super) struct Clock {
    pub(super) now: Timestamp,
    /// When this program was built.
    pub(super) built: Timestamp,
    /// Whether a time service keeps it; `None` if that cannot be told.
    pub(super) synchronised: Option<bool>,
}

/// The data folder.
pub(super) enum Folder {
    /// None is named, and no device runs.
    Unnamed,
    /// It is not there.
    Missing { path: PathBuf },
    /// It is no folder, or this user may not enter it.
    Closed { path: PathBuf, problem: String },
    /// What was found in it.
    Found {
        survey: Box<Survey>,
        /// The user id of this process.
        user: u32,
        /// Whether this user may write into it.
        is_writable: bool,
    },
}

/// The disk of the data folder.
pub(super) struct Space {
    pub(super) free_bytes: u64,
    /// All inodes; 0 where the file system does not count them.
    pub(super) inodes: u64,
    pub(super) free_inodes: u64,
    pub(super) is_read_only: bool,
}

/// Limits of the device's process, or of this one where no device runs; `None` is no limit.
pub(super) struct Limits {
    pub(super) address_space_bytes: Option<u64>,
    pub(super) open_files: Option<u64>,
}

/// The kernel.
pub(super) struct Kernel {
    pub(super) release: String,
    pub(super) machine: String,
    pub(super) has_proc: bool,
    pub(super) overcommit: Option<u64>,
    pub(super) mappings_max: Option<u64>,
}

/// The process that answers on the socket.
pub(super) enum Device {
    /// Nobody listens.
    None,
    /// Somebody listens and does not answer as a device does.
    Silent { problem: String },
    /// A device answers.
    Answers(Info),
    /// A hub answers, which runs no device.
    Hub(Info),
}

/// What the process says of itself.
#[derive(Deserialize)]
pub(super) struct Info {
    #[serde(default)]
    pub(super) version: String,
    #[serde(default)]
    pub(super) pid: u32,
    /// None where the process is a hub.
    devices: Vec<String>,
    #[serde(skip)]
    pub(super) modules: Vec<ModuleFact>,
}

/// Of a module, what is judged.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
pub(super) struct ModuleFact {
    pub(super) device: String,
    pub(super) module: String,
    pub(super) desired_status: String,
    pub(super) status: String,
    pub(super) status_description: String,
    pub(super) image: String,
    pub(super) memory_bytes: u64,
    pub(super) memory_limit_bytes: u64,
    pub(super) messages_set_aside: u64,
    pub(super) warnings: Vec<String>,
    #[serde(skip)]
    pub(super) image_is_missing: bool,
}

#[derive(Deserialize)]
struct Modules {
    modules: Vec<ModuleFact>,
}

/// Gathers everything.
///
/// # Errors
/// When no data folder is named and several devices run.
pub(super) async fn gather(global: &GlobalArgs, args: Option<&CheckArgs>) -> anyhow::Result<Facts> {
    let path = running::data_folder(global).await?;
    let device = match &path {
        Some(path) => ask(path).await,
        None => Device::None,
    };
    let pid = device.pid();
    let leaves_out = |id| args.is_some_and(|args| args.leaves_out(id));
    let configured = Configured::read(args.and_then(|args| args.config.as_deref()));
    let images = match &path {
        Some(path) if !leaves_out(Id::Images) => images::gather(path, &configured).await,
        _ => Images::None,
    };
    let registries = match leaves_out(Id::Registries) {
        true => Registries::default(),
        false => images::ask(&configured, device.modules().unwrap_or_default()).await,
    };
    Ok(Facts {
        homes: system::homes(),
        clock: system::clock(),
        folder: path.as_deref().map_or(Folder::Unnamed, folder),
        space: path.as_deref().and_then(system::space),
        memory: free_memory::of(pid),
        limits: system::limits(pid),
        kernel: system::kernel(),
        device,
        service: match args.is_some_and(leaves_out_service) {
            true => Service::None,
            false => service::gather(configured).await,
        },
        images,
        registries,
    })
}

/// Whether nothing is asked of the daemon, so that no connection need be made.
fn leaves_out_service(args: &CheckArgs) -> bool {
    let asking = [
        Id::Service,
        Id::Certificates,
        Id::HubName,
        Id::HubPort,
        Id::HubAccess,
    ];
    asking.iter().all(|id| args.leaves_out(*id))
}

fn folder(path: &Path) -> Folder {
    // The database library panics over some damaged files, which is caught and told as damage: its own message
    // would stand between the lines.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let survey = Survey::of(path);
    std::panic::set_hook(hook);
    let path = path.to_owned();
    match survey {
        Ok(Some(survey)) => Folder::Found {
            survey: Box::new(survey),
            user: rustix::process::geteuid().as_raw(),
            is_writable: system::is_writable(&path),
        },
        Ok(None) => Folder::Missing { path },
        Err(err) => Folder::Closed {
            path,
            problem: err.to_string(),
        },
    }
}

async fn ask(data_folder: &Path) -> Device {
    let asked = async {
        let client = Client::open(data_folder)?;
        let mut info: Info = read(&client, &["v1", "info"]).await?;
        if !info.devices.is_empty() {
            let modules: Modules = read(&client, &["v1", "modules"]).await?;
            info.modules = modules.modules;
        }
        Ok(info)
    };
    match asked.await {
        Ok(info) if info.devices.is_empty() => Device::Hub(info),
        Ok(mut info) => {
            for module in &mut info.modules {
                module.image_is_missing = is_missing(&module.image);
            }
            Device::Answers(info)
        }
        Err(ClientError::NotListening { .. } | ClientError::DataFolder { .. }) => Device::None,
        Err(err) => Device::Silent {
            problem: chain(&err),
        },
    }
}

async fn read<T: DeserializeOwned>(client: &Client, path: &[&str]) -> Result<T, ClientError> {
    let answer = client.get(&Target::path(path)).await?;
    serde_json::from_value(answer).map_err(ClientError::NotJson)
}

/// Whether an image is a file that is not there. Of a relative path it is not known where it begins.
fn is_missing(image: &str) -> bool {
    image
        .strip_prefix("file:")
        .map(Path::new)
        .is_some_and(|file| file.is_absolute() && !file.exists())
}

impl Folder {
    /// The verdict of a check that needs a folder that is there.
    pub(super) fn skipped(&self) -> Verdict {
        match self {
            Self::Unnamed => {
                Verdict::skipped("no data folder is named by `--data-dir`, and no device runs")
            }
            Self::Missing { .. } => Verdict::skipped("the data folder is not there yet"),
            Self::Closed { .. } | Self::Found { .. } => {
                Verdict::skipped("the data folder cannot be looked at")
            }
        }
    }
}

impl Device {
    /// The modules of a device that answers.
    pub(super) fn modules(&self) -> Option<&[ModuleFact]> {
        match self {
            Self::Answers(info) => Some(&info.modules),
            Self::None | Self::Silent { .. } | Self::Hub(_) => None,
        }
    }

    /// The process that answers.
    pub(super) fn pid(&self) -> Option<u32> {
        match self {
            Self::Answers(info) | Self::Hub(info) => Some(info.pid),
            Self::None | Self::Silent { .. } => None,
        }
    }
}

impl ModuleFact {
    /// Whether the deployment wants it to run.
    pub(super) fn is_to_run(&self) -> bool {
        self.desired_status != "stopped"
    }
}

#[cfg(test)]
pub(super) mod tests {
    use wasm_edge_daemon::folder::survey::{Content, Holder};

    use super::*;

    /// A folder in order, changed in one point.
    pub(in super::super) fn found(change: impl FnOnce(&mut Survey)) -> Folder {
        let mut survey = Survey {
            path: "/data".into(),
            mode: 0o700,
            owner: 0,
            content: Content::Known,
            holder: Holder::Nobody,
            keys: Vec::new(),
            databases: Vec::new(),
            put_aside: Vec::new(),
            exposed: Vec::new(),
            unread: Vec::new(),
        };
        change(&mut survey);
        Folder::Found {
            survey: Box::new(survey),
            user: 0,
            is_writable: true,
        }
    }

    /// A device without modules.
    pub(in super::super) fn answers(pid: u32) -> Device {
        Device::Answers(Info {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid,
            devices: vec!["d".to_owned()],
            modules: Vec::new(),
        })
    }

    /// A hub.
    pub(in super::super) fn hub(pid: u32) -> Device {
        Device::Hub(Info {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid,
            devices: Vec::new(),
            modules: Vec::new(),
        })
    }

    /// A device with modules.
    pub(in super::super) fn answers_with(modules: Vec<ModuleFact>) -> Device {
        let mut device = answers(7);
        if let Device::Answers(info) = &mut device {
            info.modules = modules;
        }
        device
    }

    /// A module in order.
    pub(in super::super) fn module(name: &str) -> ModuleFact {
        ModuleFact {
            device: "d".to_owned(),
            module: name.to_owned(),
            desired_status: "running".to_owned(),
            status: "running".to_owned(),
            status_description: "fine".to_owned(),
            image: "file:/m.wasm".to_owned(),
            ..ModuleFact::default()
        }
    }

    #[test]
    fn a_file_image_is_missing_only_if_its_place_is_known() {
        assert!(is_missing("file:/no/such/file.wasm"));
        assert!(!is_missing("file:no/such/file.wasm"));
        assert!(!is_missing("file:/proc/self/exe"));
        assert!(!is_missing("registry.example/sensor:1"));
    }
}
