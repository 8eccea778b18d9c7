//! What a component exports: each handler is looked up by its name and its type is checked, before anything runs.

use wasmtime::component::types::{self, ComponentItem};
use wasmtime::component::{Component, ComponentNamedList, InstancePre, Lift, Lower, Resource};
use wasmtime_wasi::p2::bindings::CommandPre;

use super::{CodeError, PACKAGE, VERSION};
use crate::bindings::exports::wasm_edge::module as exports;
use crate::bindings::wasm_edge::module::messages::Failure;
use crate::bindings::wasm_edge::module::methods::Response;
use crate::bindings::wasm_edge::module::timer::Tick;
use crate::bindings::wasm_edge::module::twin::DesiredUpdate;
use crate::engine::EngineInner;
use crate::host::messages::MessageHandle;
use crate::state::GuestState;

/// A program's entry, in any version of WASI 0.2.
const PROGRAM: &str = "wasi:cli/run@0.2.";

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

/// The exports of a component whose imports were found.
pub(super) struct Exports<'a> {
    engine: &'a EngineInner,
    pre: &'a InstancePre<GuestState>,
    /// With the host's own types in place of imported ones, so that theirs are the same.
    component: types::Component,
}

impl<'a> Exports<'a> {
    pub(super) fn new(
        engine: &'a EngineInner,
        component: &Component,
        pre: &'a InstancePre<GuestState>,
    ) -> Result<Self, CodeError> {
        let component = engine.linker.substituted_component_type(component);
        Ok(Self {
            engine,
            pre,
            component: component.map_err(|err| CodeError::Import {
                cause: format!("{err:#}"),
            })?,
        })
    }

    /// The first handler among the exports.
    pub(super) fn first_handler(&self) -> Option<String> {
        self.names().find(|name| name.starts_with(PACKAGE))
    }

    fn names(&self) -> impl Iterator<Item = String> {
        let exports = self.component.exports(&self.engine.wasmtime);
        exports.map(|(name, _)| name.to_owned())
    }

    /// All handlers, or the program.
    pub(super) fn handlers(&self) -> Result<Handlers, CodeError> {
        let mut handlers = Handlers::default();
        for name in self.names().filter(|name| name.starts_with("wasm-edge:")) {
            let unknown = || CodeError::UnknownExport { name: name.clone() };
            let (interface, version) = name
                .strip_prefix(PACKAGE)
                .and_then(|rest| rest.split_once('@'))
                .ok_or_else(unknown)?;
            if version != VERSION || !self.handler(&mut handlers, interface, &name)? {
                return Err(unknown());
            }
        }
        let program = self.names().find(|name| name.starts_with(PROGRAM));
        match (program, self.first_handler()) {
            (Some(_), Some(name)) => Err(CodeError::HandlerInProgram { name }),
            (None, None) => Err(CodeError::NothingToRun),
            (None, Some(_)) => Ok(handlers),
            (Some(name), None) => {
                self.check::<(), (Result<(), ()>,)>(&name, "run")?;
                let program = CommandPre::new(self.pre.clone());
                handlers.program = Some(program.map_err(|err| wrong(&name, &err))?);
                Ok(handlers)
            }
        }
    }

    /// Takes one handler; answers whether there is an interface of this name.
    fn handler(
        &self,
        handlers: &mut Handlers,
        interface: &str,
        name: &str,
    ) -> Result<bool, CodeError> {
        let pre = self.pre;
        let wrong = |err: wasmtime::Error| wrong(name, &err);
        type Done = (Result<(), String>,);
        match interface {
            "message-handler" => {
                self.check::<(Resource<MessageHandle>,), (Result<(), Failure>,)>(name, "handle")?;
                let indices = exports::message_handler::GuestIndices::new(pre);
                handlers.message = Some(indices.map_err(wrong)?);
            }
            "twin-handler" => {
                self.check::<(DesiredUpdate,), Done>(name, "handle")?;
                let indices = exports::twin_handler::GuestIndices::new(pre);
                handlers.twin = Some(indices.map_err(wrong)?);
            }
            "method-handler" => {
                self.check::<(String, String), (Response,)>(name, "handle")?;
                let indices = exports::method_handler::GuestIndices::new(pre);
                handlers.method = Some(indices.map_err(wrong)?);
            }
            "timer-handler" => {
                self.check::<(Tick,), Done>(name, "handle")?;
                let indices = exports::timer_handler::GuestIndices::new(pre);
                handlers.timer = Some(indices.map_err(wrong)?);
            }
            "init" => {
                self.check::<(), Done>(name, "init")?;
                handlers.init = Some(exports::init::GuestIndices::new(pre).map_err(wrong)?);
            }
            "shutdown" => {
                self.check::<(u32,), ()>(name, "shutdown")?;
                handlers.shutdown = Some(exports::shutdown::GuestIndices::new(pre).map_err(wrong)?);
            }
            "health" => {
                self.check::<(), Done>(name, "check")?;
                handlers.health = Some(exports::health::GuestIndices::new(pre).map_err(wrong)?);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Checks that an interface has a function of this type. wasmtime itself looks at names only until a component
    /// is instantiated.
    fn check<P, R>(&self, name: &str, function: &str) -> Result<(), CodeError>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift,
    {
        let engine = &self.engine.wasmtime;
        let found = self.component.get_export(engine, name).map(|item| item.ty);
        let Some(ComponentItem::ComponentInstance(interface)) = found else {
            let cause = wasmtime::format_err!("it is no interface");
            return Err(wrong(name, &cause));
        };
        let found = interface.get_export(engine, function).map(|item| item.ty);
        let Some(ComponentItem::ComponentFunc(found)) = found else {
            let cause = wasmtime::format_err!("it has no function `{function}`");
            return Err(wrong(name, &cause));
        };
        let checked = found.typecheck::<P, R>(&self.component.instance_type());
        checked.map_err(|err| wrong(name, &err.context(format!("its function `{function}`"))))
    }
}

fn wrong(name: &str, err: &wasmtime::Error) -> CodeError {
    CodeError::WrongExport {
        name: name.to_owned(),
        cause: format!("{err:#}"),
    }
}
