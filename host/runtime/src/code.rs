//! A loaded component: what it exports, checked by name, and its pre-made instance.

use std::sync::Arc;

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, InstancePre};
use wasmtime_wasi::p2::bindings::CommandPre;

use crate::bindings::exports::wasm_edge::module as exports;
use crate::engine::{Engine, EngineInner};
use crate::state::{GuestState, Kind};

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
    /// The file that the code is mapped from, held as long as the code is used.
    _mapped: std::fs::File,
}

/// The handlers of a component, by their place in it.
#[derive(Default)]
pub(crate) struct Handlers {
    pub(crate) message: Option<exports::message_handler::GuestIndices>,
    pub(crate) twin: Option<exports::twin_handler::GuestIndices>,
    pub(crate) method: Option<exports::method_handler::GuestIndices>,
    pub(crate) timer: Option<exports::timer_handler::GuestIndices>,
    pub(crate) init: Option<exports::init::GuestIndices>,
    pub(crate) shutdown: Option<exports::shutdown::GuestIndices>,
    pub(crate) health: Option<exports::health::GuestIndices>,
    pub(crate) program: Option<CommandPre<GuestState>>,
}

impl ModuleCode {
    /// Checks and links a component.
    pub(crate) fn new(
        engine: &Engine,
        component: &Component,
        mapped: std::fs::File,
    ) -> Result<Self, CodeError> {
        let inner = engine.inner();
        let pre = inner
            .linker
            .instantiate_pre(component)
            .map_err(|err| CodeError::Import {
                cause: format!("{err:#}"),
            })?;
        let names = export_names(inner, component);
        let imports = |name: &str| {
            let wanted = format!("{PACKAGE}{name}@{VERSION}");
            component
                .component_type()
                .imports(&inner.wasmtime)
                .any(|(import, _)| import == wanted)
        };
        let handlers = handlers(&pre, &names)?;
        if handlers.program.is_none() && imports("events") {
            let handler = names.iter().find(|name| name.starts_with(PACKAGE));
            return Err(CodeError::EventsInHandlers {
                name: handler.cloned().unwrap_or_default(),
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

fn export_names(engine: &EngineInner, component: &Component) -> Vec<String> {
    let ty = component.component_type();
    ty.exports(&engine.wasmtime)
        .filter(|(_, item)| matches!(item.ty, ComponentItem::ComponentInstance(_)))
        .map(|(name, _)| name.to_owned())
        .collect()
}

fn handlers(pre: &InstancePre<GuestState>, names: &[String]) -> Result<Handlers, CodeError> {
    let mut handlers = Handlers::default();
    let mut first_handler = None;
    let mut is_program = false;
    for name in names {
        if name.starts_with("wasi:cli/run@0.2.") {
            is_program = true;
            continue;
        }
        if !name.starts_with("wasm-edge:") {
            continue;
        }
        let unknown = || CodeError::UnknownExport { name: name.clone() };
        let (interface, version) = name
            .strip_prefix(PACKAGE)
            .and_then(|rest| rest.split_once('@'))
            .ok_or_else(unknown)?;
        if version != VERSION {
            return Err(unknown());
        }
        let wrong = |err: wasmtime::Error| CodeError::WrongExport {
            name: name.clone(),
            cause: format!("{err:#}"),
        };
        match interface {
            "message-handler" => {
                handlers.message =
                    Some(exports::message_handler::GuestIndices::new(pre).map_err(wrong)?)
            }
            "twin-handler" => {
                handlers.twin = Some(exports::twin_handler::GuestIndices::new(pre).map_err(wrong)?)
            }
            "method-handler" => {
                handlers.method =
                    Some(exports::method_handler::GuestIndices::new(pre).map_err(wrong)?)
            }
            "timer-handler" => {
                handlers.timer =
                    Some(exports::timer_handler::GuestIndices::new(pre).map_err(wrong)?)
            }
            "init" => handlers.init = Some(exports::init::GuestIndices::new(pre).map_err(wrong)?),
            "shutdown" => {
                handlers.shutdown = Some(exports::shutdown::GuestIndices::new(pre).map_err(wrong)?)
            }
            "health" => {
                handlers.health = Some(exports::health::GuestIndices::new(pre).map_err(wrong)?)
            }
            _ => return Err(unknown()),
        }
        first_handler.get_or_insert_with(|| name.clone());
    }
    match (is_program, first_handler) {
        (true, Some(name)) => Err(CodeError::HandlerInProgram { name }),
        (false, None) => Err(CodeError::NothingToRun),
        (false, Some(_)) => Ok(handlers),
        (true, None) => {
            let wrong = |err: wasmtime::Error| CodeError::WrongExport {
                name: "wasi:cli/run".to_owned(),
                cause: format!("{err:#}"),
            };
            handlers.program = Some(CommandPre::new(pre.clone()).map_err(wrong)?);
            Ok(handlers)
        }
    }
}
