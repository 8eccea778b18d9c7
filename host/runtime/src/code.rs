//! A loaded component: what it exports, checked by name, and its pre-made instance.

use std::sync::Arc;

use wasmtime::component::{Component, InstancePre};

use crate::engine::{Engine, EngineInner};
use crate::state::{GuestState, Kind};
use exports::{Exports, Handlers};

pub(crate) mod exports;

/// The package whose exports a component may have, with its version.
const PACKAGE: &str = "wasm-edge:module/";
const VERSION: &str = "0.1.0";

/// Why a component cannot be a module.
#[derive(Debug, thiserror::Error)]
pub enum CodeError {
    /// An export under `wasm-edge:` that this version does not know.
    #[error("the component exports `{name}`, which this version does not know")]
    UnknownExport {
        /// Name of the export.
        name: String,
    },
    /// An export of a known name with another type.
    #[error("the component exports `{name}` in a form that this version does not know: {cause}")]
    WrongExport {
        /// Name of the export.
        name: String,
        /// What differs.
        cause: String,
    },
    /// Neither a handler nor a program.
    #[error("the component exports no handler and no `wasi:cli/run`: there is nothing to run")]
    NothingToRun,
    /// Handlers beside a program's entry.
    #[error(
        "the component exports `wasi:cli/run` and also the handler `{name}`: a program hears of everything through `events`"
    )]
    HandlerInProgram {
        /// Name of the handler.
        name: String,
    },
    /// `events` beside handlers.
    #[error(
        "the component imports `wasm-edge:module/events` and exports the handler `{name}`: \
         only programs, which export `wasi:cli/run`, may import `events`"
    )]
    EventsInHandlers {
        /// Name of a handler.
        name: String,
    },
    /// An import that modules do not get.
    #[error("the component imports something that modules do not get: {cause}")]
    Import {
        /// Which import, and why.
        cause: String,
    },
}

/// Bytes of a page of linear memory (WebAssembly core specification, *Memory Instances*).
const PAGE_BYTES: u64 = 64 * 1024;

/// What an instance takes of memory at its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryNeeds {
    /// How many memories it has.
    pub memories: u32,
    /// The initial size of the largest one, in bytes.
    pub largest_bytes: u64,
}

impl MemoryNeeds {
    pub(crate) fn of(component: &Component) -> Self {
        // None for components that import core modules: the check of imports has refused those.
        let resources = component.resources_required();
        resources.map_or_else(Self::default, |resources| Self {
            memories: resources.num_memories,
            largest_bytes: resources
                .max_initial_memory_size
                .unwrap_or_default()
                .saturating_mul(PAGE_BYTES),
        })
    }

    /// What all memories take at most: exact with one memory.
    pub fn most_bytes(self) -> u64 {
        u64::from(self.memories).saturating_mul(self.largest_bytes)
    }
}

/// A component that is ready to be instantiated, as often as wanted; cheap to clone.
#[derive(Clone)]
pub struct ModuleCode {
    inner: Arc<CodeInner>,
}

pub(crate) struct CodeInner {
    pub(crate) engine: Engine,
    pub(crate) pre: InstancePre<GuestState>,
    pub(crate) handlers: Handlers,
    pub(crate) imports_lifecycle: bool,
    imports_events: bool,
    /// The file that the code is mapped from, held as long as the code is used; none if it was compiled to be looked at.
    _mapped: Option<std::fs::File>,
}

impl ModuleCode {
    /// Checks and links a component.
    pub(crate) fn new(
        engine: &Engine,
        component: &Component,
        mapped: Option<std::fs::File>,
    ) -> Result<Self, CodeError> {
        let inner = engine.inner();
        check_imports(inner, component)?;
        let pre = inner
            .linker
            .instantiate_pre(component)
            .map_err(|err| CodeError::Import {
                cause: format!("{err:#}"),
            })?;
        let imports = |name: &str| {
            let wanted = format!("{PACKAGE}{name}@{VERSION}");
            component
                .component_type()
                .imports(&inner.wasmtime)
                .any(|(import, _)| import == wanted)
        };
        let exports = Exports::new(inner, component, &pre)?;
        let handlers = exports.handlers()?;
        if handlers.program.is_none() && imports("events") {
            return Err(CodeError::EventsInHandlers {
                name: exports.first_handler().unwrap_or_default(),
            });
        }
        Ok(Self {
            inner: Arc::new(CodeInner {
                engine: engine.clone(),
                handlers,
                imports_lifecycle: imports("lifecycle"),
                imports_events: imports("events"),
                pre,
                _mapped: mapped,
            }),
        })
    }

    /// Whether messages for it make sense: it has a message handler, or is a program that asks for events.
    pub fn takes_messages(&self) -> bool {
        self.inner.handlers.message.is_some() || self.is_listening_program()
    }

    /// Whether direct methods on it make sense.
    pub fn takes_methods(&self) -> bool {
        self.inner.handlers.method.is_some() || self.is_listening_program()
    }

    /// Whether it is a program with a loop of its own, which may have several messages in hand.
    pub fn is_program(&self) -> bool {
        self.kind() == Kind::Program
    }

    /// Whether it can be asked for its health.
    pub fn has_health(&self) -> bool {
        self.inner.handlers.health.is_some()
    }

    /// Whether it says itself when it is ready.
    pub fn says_ready(&self) -> bool {
        self.inner.imports_lifecycle
    }

    fn is_listening_program(&self) -> bool {
        self.kind() == Kind::Program && self.inner.imports_events
    }

    /// What an instance takes of memory at its start.
    pub fn memory_needs(&self) -> MemoryNeeds {
        MemoryNeeds::of(self.inner.pre.component())
    }

    pub(crate) fn inner(&self) -> &CodeInner {
        &self.inner
    }

    pub(crate) fn kind(&self) -> Kind {
        if self.inner.handlers.program.is_some() {
            Kind::Program
        } else {
            Kind::Handlers
        }
    }
}

#[cfg(all(test, feature = "compiler"))]
mod tests;

/// Refuses imports of interfaces that no module gets, all by name, before the linker finds the first.
fn check_imports(engine: &EngineInner, component: &Component) -> Result<(), CodeError> {
    const GIVEN: [&str; 6] = [
        "wasm-edge:module/",
        "wasi:cli/",
        "wasi:clocks/",
        "wasi:filesystem/",
        "wasi:io/",
        "wasi:random/",
    ];
    let ty = component.component_type();
    let foreign: Vec<String> = ty
        .imports(&engine.wasmtime)
        .filter(|(name, _)| !GIVEN.iter().any(|given| name.starts_with(given)))
        .map(|(name, _)| format!("`{name}`"))
        .collect();
    if foreign.is_empty() {
        return Ok(());
    }
    let network = foreign
        .iter()
        .any(|name| name.starts_with("`wasi:sockets/") || name.starts_with("`wasi:http/"));
    let why = if network {
        "; modules get no network"
    } else {
        ""
    };
    Err(CodeError::Import {
        cause: format!("{}{why}", foreign.join(", ")),
    })
}
