//! Compiled code on disk: made once per image and engine profile, mapped from the file afterwards.
//!
//! Native code is loaded only if this device wrote it: a record beside each file holds the code's
//! hash under a key of the device. The file is opened once, checked through that handle, mapped
//! through it, and held as long as the code is used.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::path::Path;

use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt};
use ring::{digest, hmac};
use serde::{Deserialize, Serialize};
use wasmtime::component::Component;
use zeroize::Zeroizing;

use crate::code::CodeError;
pub use crate::code::{MemoryNeeds, ModuleCode};
use crate::engine::Engine;

/// Version of the record beside each file.
const FORMAT: u32 = 1;

/// Largest record in bytes; one has about 400.
const RECORD_MAX_BYTES: u64 = 4096;

/// The version of the engine whose code this is; code of another one is made anew.
pub const ENGINE_VERSION: &str = wasmtime_environ::VERSION;

/// SHA-256 of a component: what compiled code is filed under.
pub type ComponentDigest = [u8; 32];

/// The folder of compiled code for one engine profile.
pub struct PrecompiledCache {
    folder: Dir,
    key: hmac::Key,
}

/// Why code could not be loaded, made or stored.
#[derive(Debug, thiserror::Error)]
pub enum PrecompiledError {
    /// The component itself cannot be a module.
    #[error(transparent)]
    Code(#[from] CodeError),
    /// The component cannot be compiled.
    #[error("cannot compile the component: {cause}")]
    Compile {
        /// What the compiler says.
        cause: String,
    },
    /// Reading or writing the folder failed.
    #[error("cannot use the folder of compiled code")]
    Io(#[from] std::io::Error),
}

/// What there is of a component's code.
pub enum Found {
    /// It can run.
    Code(ModuleCode),
    /// There is none.
    Absent,
    /// There is some that is not used.
    Unusable(UnusableCode),
}

/// Why code that is there is not used.
#[derive(Debug, thiserror::Error)]
pub enum UnusableCode {
    /// Its files cannot be read.
    #[error("its files cannot be read")]
    Io(#[from] std::io::Error),
    /// The record beside it says nothing that is known.
    #[error("its record is damaged")]
    Record(#[source] serde_json::Error),
    /// It is not what its record says.
    #[error("the file is damaged")]
    Damaged,
    /// The record is not vouched for by this data folder's key.
    #[error("this device did not make it")]
    Foreign,
    /// It was made for another engine.
    #[error("it was made by version `{found}` of the engine, and this is `{expected}`")]
    Engine {
        /// The engine that it was made for.
        found: String,
        /// The engine of this build.
        expected: &'static str,
    },
    /// Its record is of another version.
    #[error("its record has version {found}, and this is {FORMAT}")]
    Format {
        /// The version that it has.
        found: u32,
    },
    /// It is filed under a name that is not its own.
    #[error("it belongs to another component or engine profile")]
    Misfiled,
    /// The engine does not take it, as that of another kind of machine.
    #[error("the engine does not take it: {cause}")]
    Refused {
        /// What the engine says.
        cause: String,
    },
}

/// Where code came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It was compiled now.
    Compiled,
    /// It was on disk.
    Cached,
}

/// What is known of a file of compiled code; stored as JSON beside it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    format: u32,
    profile: String,
    engine_version: String,
    component_sha256: String,
    code_sha256: String,
    code_size_bytes: u64,
    /// HMAC-SHA256 over all of the above.
    mac: String,
}

impl PrecompiledCache {
    /// Opens the folder of this engine's profile inside `precompiled`; `secret` is the device's own.
    ///
    /// # Errors
    /// [`PrecompiledError::Io`] if it cannot be made or opened.
    pub fn open(
        precompiled: &Dir,
        engine: &Engine,
        secret: Zeroizing<[u8; 32]>,
    ) -> Result<Self, PrecompiledError> {
        let name = engine.profile().name();
        precompiled.create_dir_all(name)?;
        let folder = precompiled.open_dir(name)?;
        remove_leftovers(&folder)?;
        Ok(Self {
            folder,
            key: hmac::Key::new(hmac::HMAC_SHA256, secret.as_slice()),
        })
    }

    /// Looks at the folder of this engine's profile, which another process may hold; nothing is made or swept away. `None`
    /// where there is none.
    ///
    /// # Errors
    /// [`PrecompiledError::Io`] if it cannot be opened.
    pub fn look(
        precompiled: &Dir,
        engine: &Engine,
        secret: Zeroizing<[u8; 32]>,
    ) -> Result<Option<Self>, PrecompiledError> {
        let folder = match precompiled.open_dir(engine.profile().name()) {
            Err(err) if err.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            folder => folder?,
        };
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_slice());
        Ok(Some(Self { folder, key }))
    }

    /// Loads the code of a component if it is there, whole, and this device's own.
    ///
    /// Blocks: reads the whole file once to check it.
    ///
    /// # Errors
    /// [`PrecompiledError::Code`] if the component cannot be a module.
    pub fn load(
        &self,
        engine: &Engine,
        component: &ComponentDigest,
    ) -> Result<Found, PrecompiledError> {
        let file = match self.checked_file(engine, &hex(component)) {
            Ok(file) => file,
            Err(UnusableCode::Io(err)) if err.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Found::Absent);
            }
            Err(why) => return Ok(Found::Unusable(why)),
        };
        match deserialize(engine, &file) {
            Ok(component) => Ok(Found::Code(ModuleCode::new(
                engine,
                &component,
                Some(file),
            )?)),
            Err(err) => Ok(Found::Unusable(UnusableCode::Refused {
                cause: format!("{err:#}"),
            })),
        }
    }

    /// Compiles a component, stores its code and loads it from there.
    ///
    /// Blocks for as long as the compiler takes: about a second per megabyte.
    ///
    /// # Errors
    /// [`PrecompiledError::Compile`] for what is not a valid component, the other variants as their
    /// names say.
    #[cfg(feature = "compiler")]
    pub fn compile(
        &self,
        engine: &Engine,
        component: &ComponentDigest,
        bytes: &[u8],
    ) -> Result<ModuleCode, PrecompiledError> {
        PrecompiledError::of_core_module(bytes)?;
        let code = engine
            .inner()
            .wasmtime
            .precompile_component(bytes)
            .map_err(|err| PrecompiledError::Compile {
                cause: format!("{err:#}"),
            })?;
        self.store(engine, component, &code)?;
        drop(code);
        match self.load(engine, component)? {
            Found::Code(code) => Ok(code),
            Found::Absent | Found::Unusable(_) => Err(PrecompiledError::Compile {
                cause: "the code was stored and then not found whole; is the disk failing?"
                    .to_owned(),
            }),
        }
    }

    /// Removes the code of all components but these.
    ///
    /// # Errors
    /// [`PrecompiledError::Io`] if the folder cannot be read.
    pub fn keep_only(&self, components: &[ComponentDigest]) -> Result<(), PrecompiledError> {
        let kept: Vec<String> = components.iter().map(|component| hex(component)).collect();
        for entry in self.folder.entries()? {
            let name = entry?.file_name();
            let path = Path::new(&name);
            let ours = path
                .extension()
                .is_some_and(|extension| extension == "cwasm" || extension == "json");
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            if ours && !kept.iter().any(|kept| *kept == stem) {
                self.folder.remove_file(&name)?;
            }
        }
        Ok(())
    }

    /// Removes the code of all but the so many components that were compiled last.
    ///
    /// # Errors
    /// [`PrecompiledError::Io`] if the folder cannot be read.
    pub fn keep_newest(&self, count: usize) -> Result<(), PrecompiledError> {
        let mut compiled = Vec::new();
        for entry in self.folder.entries()? {
            let entry = entry?;
            let name = entry.file_name();
            if Path::new(&name)
                .extension()
                .is_some_and(|ext| ext == "cwasm")
            {
                compiled.push((entry.metadata()?.modified()?, name));
            }
        }
        compiled.sort_by(|a, b| b.cmp(a));
        for (_, name) in compiled.into_iter().skip(count) {
            self.folder.remove_file(&name)?;
            self.folder
                .remove_file(Path::new(&name).with_extension("json"))?;
        }
        Ok(())
    }

    #[cfg(feature = "compiler")]
    fn store(
        &self,
        engine: &Engine,
        component: &ComponentDigest,
        code: &[u8],
    ) -> std::io::Result<()> {
        let name = hex(component);
        let mut record = Record {
            format: FORMAT,
            profile: engine.profile().name().to_owned(),
            engine_version: ENGINE_VERSION.to_owned(),
            component_sha256: name.clone(),
            code_sha256: hex(digest::digest(&digest::SHA256, code).as_ref()),
            code_size_bytes: code.len() as u64,
            mac: String::new(),
        };
        record.mac = hex(hmac::sign(&self.key, record.signed_text().as_bytes()).as_ref());
        write_whole(&self.folder, &format!("{name}.cwasm"), code)?;
        write_whole(
            &self.folder,
            &format!("{name}.json"),
            &serde_json::to_vec_pretty(&record)?,
        )
    }

    fn checked_file(&self, engine: &Engine, name: &str) -> Result<File, UnusableCode> {
        let record = self.checked_record(engine, name)?;
        let mut options = OpenOptions::new();
        options
            .read(true)
            .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
        let mut file = self
            .folder
            .open_with(format!("{name}.cwasm"), &options)?
            .into_std();
        let mut context = digest::Context::new(&digest::SHA256);
        let mut buffer = vec![0; 64 * 1024];
        let mut size_bytes = 0_u64;
        loop {
            let length = file.read(&mut buffer)?;
            if length == 0 {
                break;
            }
            size_bytes += length as u64;
            context.update(&buffer[..length]);
        }
        let sound = size_bytes == record.code_size_bytes
            && hex(context.finish().as_ref()) == record.code_sha256;
        if sound {
            Ok(file)
        } else {
            Err(UnusableCode::Damaged)
        }
    }

    fn checked_record(&self, engine: &Engine, name: &str) -> Result<Record, UnusableCode> {
        let mut text = Vec::new();
        self.folder
            .open(format!("{name}.json"))?
            .take(RECORD_MAX_BYTES)
            .read_to_end(&mut text)?;
        let record: Record = serde_json::from_slice(&text).map_err(UnusableCode::Record)?;
        let mac = unhex(&record.mac).unwrap_or_default();
        if hmac::verify(&self.key, record.signed_text().as_bytes(), &mac).is_err() {
            return Err(UnusableCode::Foreign);
        }
        if record.format != FORMAT {
            return Err(UnusableCode::Format {
                found: record.format,
            });
        }
        if record.engine_version != ENGINE_VERSION {
            return Err(UnusableCode::Engine {
                found: record.engine_version,
                expected: ENGINE_VERSION,
            });
        }
        if record.profile != engine.profile().name() || record.component_sha256 != name {
            return Err(UnusableCode::Misfiled);
        }
        Ok(record)
    }
}

#[cfg(feature = "compiler")]
impl PrecompiledError {
    /// Refuses a core module with a word on what to do, before the compiler does without one.
    pub(crate) fn of_core_module(bytes: &[u8]) -> Result<(), Self> {
        if preamble(bytes) == Preamble::CoreModule {
            return Err(Self::Compile {
                cause: "it is a core WebAssembly module; a module image is a component \
                        (build it for `wasm32-wasip2`, or wrap it with `wasm-tools component new`)"
                    .to_owned(),
            });
        }
        Ok(())
    }
}

impl Record {
    fn signed_text(&self) -> String {
        format!(
            "wasm-edge compiled code\n{}\n{}\n{}\n{}\n{}\n{}\n",
            self.format,
            self.profile,
            self.engine_version,
            self.component_sha256,
            self.code_sha256,
            self.code_size_bytes
        )
    }
}

#[expect(
    unsafe_code,
    reason = "mapping compiled code is unsafe by nature; the bytes were checked to be this device's own"
)]
fn deserialize(engine: &Engine, file: &File) -> wasmtime::Result<Component> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    // SAFETY: the bytes behind this handle were hashed a moment ago, and the hash was vouched for by a
    // MAC under a key that only this device holds: they are what this device's compiler made. The file
    // is written once, under a temporary name, and never changed in place; the handle keeps it alive.
    unsafe { Component::deserialize_file(&engine.inner().wasmtime, path) }
}

#[cfg(feature = "compiler")]
#[derive(PartialEq, Eq)]
enum Preamble {
    CoreModule,
    Other,
}

/// Tells a core module from a component by its first eight bytes (WebAssembly binary format, preamble).
#[cfg(feature = "compiler")]
fn preamble(bytes: &[u8]) -> Preamble {
    if bytes.starts_with(b"\0asm\x01\0\0\0") {
        Preamble::CoreModule
    } else {
        Preamble::Other
    }
}

#[cfg(feature = "compiler")]
fn write_whole(folder: &Dir, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write as _;

    let temporary = format!("{TEMPORARY}{name}");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = folder.open_with(&temporary, &options)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    folder.rename(&temporary, folder, name)?;
    let flags =
        rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC;
    // The folder's own handle is for paths only and cannot be synced.
    rustix::fs::fsync(rustix::fs::openat(
        folder,
        ".",
        flags,
        rustix::fs::Mode::empty(),
    )?)?;
    Ok(())
}

const TEMPORARY: &str = ".tmp-";

fn remove_leftovers(folder: &Dir) -> std::io::Result<()> {
    for entry in folder.entries()? {
        let name = entry?.file_name();
        if name.to_string_lossy().starts_with(TEMPORARY) {
            folder.remove_file(&name)?;
        }
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            use std::fmt::Write as _;
            let _ = write!(text, "{byte:02x}");
            text
        })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

#[cfg(all(test, feature = "compiler"))]
mod tests;
