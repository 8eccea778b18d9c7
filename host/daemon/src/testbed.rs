//! A device for one module under test: its own supervisor, router, twin and limits, on time that the test moves.
//!
//! The module runs as on a device; the hub is one that records, and time is virtual: it stands still while
//! there is something to do, and goes on to the next wait when the test says so, or when the step at hand needs
//! it. All tasks run on one thread, so that a run gives the same each time. The verb `test` drives it.

pub mod faults;
pub mod outcome;
pub mod stub;

mod between;
mod hub;
mod steps;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, SystemTime};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, DirBuilder, DirBuilderExt as _};
use serde_json::{Map, Value};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wasm_edge_clock::virtual_clock::{Entered, VirtualClock};
use wasm_edge_images::source::{ImageError, ImageSource};
use wasm_edge_model::identity::{DeviceId, ModuleId, ModuleIdentity};
use wasm_edge_model::manifest::{Manifest, ModuleSpec};
use wasm_edge_model::message::{InputName, Message};
use wasm_edge_router::limits::Limits;
use wasm_edge_router::router::Router;
use wasm_edge_router::table::RouteTable;
use wasm_edge_runtime::precompiled::{ModuleCode, Origin};
use wasm_edge_store::folder::FolderError;
use wasm_edge_store::folder::device::DeviceFolder;
use wasm_edge_store::keys::MasterKey;

use crate::code::{CodeStore, CodeStoreError};
use crate::injector::Injector;
use crate::keys::Keyring;
use crate::logs::Logs;
use crate::methods::Methods;
use crate::supervisor::health::HealthChecks;
use crate::supervisor::life::RestartWaits;
use crate::supervisor::{Module, Supervisor, Surroundings};
use crate::twins::Twins;
use crate::twins::sync::Sync;
use crate::upstream::Interest;
use crate::upstream::backoff::UNREACHABLE_MAX;
use crate::upstream::pump::sessions::Sessions;
use crate::upstream::pump::{self, PumpCounters};
use between::Between;
use faults::{Fault, Faults};
use hub::TestHub;
use outcome::{Outcome, Record};
use stub::MethodStub;

/// Where the wall clock stands at the start: 2026-01-01T00:00:00Z.
const WALL_START: Duration = Duration::from_secs(1_767_225_600);

/// Components whose compiled code the cache keeps.
const CACHED_MAX: usize = 64;

/// What a test bed is made of.
pub struct TestbedConfig {
    /// The device's id.
    pub device: DeviceId,
    /// Its folder, empty.
    pub folder: DeviceFolder,
    /// The whole data folder, which is never granted to the module.
    pub own_folder: PathBuf,
    /// Where compiled code is kept between runs; made if it is missing.
    pub cache: PathBuf,
    /// A deployment with the one module to test.
    pub manifest: Manifest,
    /// Where `file:` images start.
    pub image_folder: PathBuf,
    /// Answers to the methods that the module calls.
    pub stubs: Vec<MethodStub>,
    /// What the module's random numbers come from.
    pub seed: u64,
}

/// Why there is no test bed.
#[derive(Debug, thiserror::Error)]
pub enum TestbedError {
    /// The manifest has not exactly one module.
    #[error("a test bed is for one module, not {0}")]
    Modules(usize),
    /// The image cannot be had.
    #[error("cannot load the component")]
    Image(#[from] ImageError),
    /// There is no code for it.
    #[error("a device would not take the component")]
    Code(#[from] CodeStoreError),
    /// The folder of compiled code cannot be used.
    #[error("cannot use the folder of compiled code `{path}`")]
    Cache {
        /// Where it is.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The data folder cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A part of the device could not be made.
    #[error("cannot start the device: {0}")]
    Device(String),
}

/// Something that a test does to a module.
#[derive(Clone, Debug)]
pub enum Step {
    /// A message arrives, and the module ends it.
    Message {
        /// The input.
        input: InputName,
        /// The message.
        message: Message,
    },
    /// Time goes on so long.
    Advance(Duration),
    /// The desired properties change by this merge patch.
    Desired(Map<String, Value>),
    /// A direct method is called.
    Method {
        /// Its name.
        name: String,
        /// JSON text.
        payload: String,
    },
    /// The module is restarted.
    Restart,
    /// Something breaks.
    Break(Fault),
    /// All that was broken is well again.
    Mend,
}

/// Why a step did not come to its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StepError {
    /// The component has no handler for messages and does not ask for events.
    #[error("the module takes no messages")]
    TakesNoMessages,
    /// The message cannot be given to any module.
    #[error("{0}")]
    Refused(String),
    /// The module does not run, and will not.
    #[error("the module never took message {message}: it does not run any more ({status})")]
    NeverTaken {
        /// The message's number.
        message: u64,
        /// What its status says.
        status: String,
    },
    /// The message did not come to an end, however long time went on.
    #[error("the module has not ended message {message}")]
    NotEnded {
        /// The message's number.
        message: u64,
    },
    /// The desired properties are against a rule for twins.
    #[error("the desired properties are refused: {0}")]
    Desired(String),
    /// The module worked for too long without once waiting for something.
    #[error(
        "the module did not come to rest within {0:?}: does it ask again and again without waiting?"
    )]
    Restless(Duration),
    /// Time went on in too many small steps.
    #[error("more than {0} waits came to their end within one step")]
    TooBusy(u64),
    /// More came out than is kept.
    #[error(
        "more came out of one step than {} lines or {} bytes",
        outcome::OUTCOMES_MAX,
        outcome::OUTCOMES_MAX_BYTES
    )]
    TooMuch,
}

/// A device with the module under test.
pub struct Testbed {
    // Dropped in this order: tasks, then the clock they are on.
    runtime: Runtime,
    clock: VirtualClock,
    _entered: Entered,
    id: ModuleId,
    code: ModuleCode,
    between: Between,
    hub: TestHub,
    supervisor: Supervisor,
    router: Router,
    injector: Injector,
    parts: Vec<JoinHandle<()>>,
    stop: CancellationToken,
    /// How many messages were given.
    messages: u64,
    aside_seen: Option<u64>,
    expired_seen: u64,
    rest_max: Duration,
    /// Whether the code was compiled now.
    origin: Origin,
}

impl Testbed {
    /// Builds the device and starts the module; done when it is ready, or as far as it gets.
    ///
    /// Time is virtual on this thread until the test bed is dropped.
    ///
    /// # Errors
    /// [`TestbedError`]; [`TestbedError::Image`] and [`TestbedError::Code`] for what a device would refuse.
    pub fn start(config: TestbedConfig) -> Result<Self, TestbedError> {
        let count = config.manifest.modules.len();
        let spec = match config.manifest.modules.values().next() {
            Some(spec) if count == 1 => spec.clone(),
            Some(_) | None => return Err(TestbedError::Modules(count)),
        };
        let clock = VirtualClock::new(SystemTime::UNIX_EPOCH + WALL_START);
        let parked = clock.clone();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .on_thread_park(move || parked.parked())
            .enable_all()
            .build()
            .map_err(|err| TestbedError::Device(err.to_string()))?;
        let (code, digest, origin) = runtime.block_on(load(&config, &spec))?;
        let entered = clock.enter();
        let mut testbed = Self::connect(config, spec, digest, code, (runtime, clock, entered))?;
        testbed.origin = origin;
        testbed.settle_start();
        Ok(testbed)
    }

    fn connect(
        config: TestbedConfig,
        spec: ModuleSpec,
        image_digest: String,
        code: ModuleCode,
        (runtime, clock, entered): (Runtime, VirtualClock, Entered),
    ) -> Result<Self, TestbedError> {
        let failed = |err: &dyn std::fmt::Display| TestbedError::Device(err.to_string());
        let (device, manifest) = (config.device, config.manifest);
        let id = spec.id.clone();
        let between = Between {
            record: Record::default(),
            faults: Faults::default(),
            stubs: config.stubs.into(),
            seed: config.seed,
            message: Arc::new(AtomicU64::new(0)),
        };
        let desired = manifest.module_twins.get(&id).cloned().unwrap_or_default();
        let hub = TestHub::new(desired, between.record.clone(), between.faults.clone());
        let master = MasterKey::open(&config.folder.keys()?).map_err(|err| failed(&err))?;
        let keys = Keyring::new(&master);
        let twins = Twins::open(&config.folder.store()?, &keys).map_err(|err| failed(&err))?;
        let twin = twins.of(&id).map_err(|err| failed(&err))?;
        let router = Router::new(device.clone(), Limits::default());
        let table = RouteTable::new(&manifest.routes, manifest.store_and_forward.time_to_live);
        router.apply(table.map_err(|err| failed(&err))?);
        let (methods, sessions) = (Methods::default(), Sessions::default());
        let supervisor = Supervisor::new(Surroundings {
            device: device.clone(),
            hub_host_name: crate::upstream::Upstream::host_name(&hub),
            router: router.clone(),
            logs: Logs::without_files(device.clone()),
            methods: methods.clone(),
            keys,
            folder: Arc::new(config.folder),
            own_folder: config.own_folder,
            restart_waits: RestartWaits::default(),
            health_checks: HealthChecks::default(),
            interposer: Some(Arc::new(between.clone())),
        });
        let rest_max = spec.limits.call_deadline + steps::REST_MARGIN;
        let stop = CancellationToken::new();
        let sync = Sync {
            identity: ModuleIdentity {
                device,
                module: id.clone(),
            },
            twin: twin.clone(),
            upstream: Arc::new(hub.clone()),
            sessions: sessions.clone(),
            methods,
            interest: Interest {
                methods: code.takes_methods(),
            },
            refresh: None,
            generation_id: None,
            retry_max: UNREACHABLE_MAX,
        };
        let (parts, synced) = follow(&runtime, sync, &router, sessions, &stop);
        let module = Module {
            spec,
            code: code.clone(),
            component_digest: image_digest.clone(),
            image_digest,
            credentials: TestHub::credentials(),
            twin,
        };
        runtime.block_on(begin(&supervisor, module, synced));
        Ok(Self {
            injector: Injector::new(router.clone()),
            runtime,
            clock,
            _entered: entered,
            id,
            code,
            between,
            hub,
            supervisor,
            router,
            parts,
            stop,
            messages: 0,
            aside_seen: None,
            expired_seen: 0,
            rest_max,
            origin: Origin::Cached,
        })
    }

    /// Whether the component's code was compiled, and not found in the cache.
    pub fn was_compiled(&self) -> bool {
        self.origin == Origin::Compiled
    }

    /// How many messages were given so far.
    pub fn messages(&self) -> u64 {
        self.messages
    }

    /// What came out since the last time, in the order in which it came.
    pub fn take_outcomes(&self) -> Vec<Outcome> {
        self.between.record.take()
    }
}

async fn load(
    config: &TestbedConfig,
    spec: &ModuleSpec,
) -> Result<(ModuleCode, String, Origin), TestbedError> {
    let image = ImageSource::new(&config.image_folder).load(&spec.image, None)?;
    let digest = image.digest.to_string();
    let failed = |source| TestbedError::Cache {
        path: config.cache.clone(),
        source,
    };
    let folder = open_private(&config.cache).map_err(failed)?;
    // Runs at the same time, as in CI, take turns: each finds what the one before has compiled.
    let lock = folder.create("lock").map_err(failed)?.into_std();
    lock.lock().map_err(failed)?;
    let store = CodeStore::open(&folder)?;
    let (code, origin) = store.load(image).await?;
    if origin == Origin::Compiled {
        store.keep_newest(CACHED_MAX)?;
    }
    drop(lock);
    Ok((code, digest, origin))
}

/// Opens a folder that only this user can read; made with those above it.
fn open_private(path: &Path) -> std::io::Result<Dir> {
    if let (Some(parent), Some(name)) = (path.parent(), path.file_name()) {
        std::fs::create_dir_all(parent)?;
        let parent = Dir::open_ambient_dir(parent, ambient_authority())?;
        let mut private = DirBuilder::new();
        private.mode(0o700);
        match parent.create_dir_with(name, &private) {
            Err(err) if err.kind() != std::io::ErrorKind::AlreadyExists => return Err(err),
            Ok(()) | Err(_) => {}
        }
    }
    Dir::open_ambient_dir(path, ambient_authority())
}

/// Starts what connects the module with the hub of the test bed. Tells when the twin is there.
fn follow(
    runtime: &Runtime,
    sync: Sync,
    router: &Router,
    sessions: Sessions,
    stop: &CancellationToken,
) -> (Vec<JoinHandle<()>>, watch::Receiver<bool>) {
    let (told, synced) = watch::channel(false);
    let parts = vec![
        runtime.spawn(sync.run(told, stop.clone())),
        runtime.spawn(pump::run(
            router.upstream_inbox(),
            sessions,
            PumpCounters::default(),
            // Nobody watches over it.
            crate::pulse::pulse().1,
            stop.clone(),
        )),
    ];
    (parts, synced)
}

/// Starts the module when its twin is there; the hub of a test bed answers at once.
async fn begin(supervisor: &Supervisor, module: Module, mut synced: watch::Receiver<bool>) {
    let id = module.spec.id.clone();
    let _ = synced.wait_for(|synced| *synced).await;
    supervisor.add(module);
    supervisor.start(&id).await;
}
