//! What a component is seen to be without running it: what it exports, imports and takes at its start.
//!
//! The component is compiled in memory and checked as one that is to run, so that an author hears the reasons of the
//! device at the desk. Nothing is stored; `precompiled` has the code that runs.

use wasmtime::component::Component;

use crate::code::{MemoryNeeds, ModuleCode};
use crate::engine::Engine;
use crate::precompiled::PrecompiledError;
use crate::state::Kind;

/// What is known of a component that a device would take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComponentFacts {
    /// Whether it is a program with a loop of its own; else it has handlers.
    pub is_program: bool,
    /// The interfaces that it exports for the host to call, by full name, sorted.
    pub exports: Vec<String>,
    /// The interfaces that it imports, by full name, sorted.
    pub imports: Vec<String>,
    /// What its memories take at its start.
    pub memory: MemoryNeeds,
}

/// Compiles a component in memory, checks it as a device would, and answers what it is.
///
/// Blocks for as long as the compiler takes: about a second per megabyte.
///
/// # Errors
/// [`PrecompiledError::Compile`] for what is not a valid component, [`PrecompiledError::Code`] for one that cannot be
/// a module.
pub fn inspect(engine: &Engine, bytes: &[u8]) -> Result<ComponentFacts, PrecompiledError> {
    PrecompiledError::of_core_module(bytes)?;
    let wasmtime = &engine.inner().wasmtime;
    let component = Component::new(wasmtime, bytes).map_err(|err| PrecompiledError::Compile {
        cause: format!("{err:#}"),
    })?;
    let code = ModuleCode::new(engine, &component, None)?;
    let ty = component.component_type();
    let sorted = |names: &mut dyn Iterator<Item = &str>| {
        let mut names: Vec<String> = names.map(str::to_owned).collect();
        names.sort();
        names
    };
    Ok(ComponentFacts {
        is_program: code.kind() == Kind::Program,
        exports: sorted(&mut ty.exports(wasmtime).map(|(name, _)| name)),
        imports: sorted(&mut ty.imports(wasmtime).map(|(name, _)| name)),
        memory: code.memory_needs(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HANDLER: &str = r#"(component
        (import "wasm-edge:module/lifecycle@0.1.0" (instance (export "ready" (func))))
        (core module $m (memory 3) (func (export "g") (param i32)))
        (core instance $i (instantiate $m))
        (func $grace (param "grace-ms" u32) (canon lift (core func $i "g")))
        (instance $e (export "shutdown" (func $grace)))
        (export "wasm-edge:module/shutdown@0.1.0" (instance $e)))"#;

    fn look(text: &str) -> Result<ComponentFacts, PrecompiledError> {
        let engine = Engine::new().expect("it runs on this machine");
        let bytes = wat::parse_str(text).unwrap_or_else(|err| panic!("{err}"));
        inspect(&engine, &bytes)
    }

    #[test]
    fn a_component_shows_what_it_exports_imports_and_takes() {
        let expected = ComponentFacts {
            is_program: false,
            exports: vec!["wasm-edge:module/shutdown@0.1.0".to_owned()],
            imports: vec!["wasm-edge:module/lifecycle@0.1.0".to_owned()],
            memory: MemoryNeeds {
                memories: 1,
                largest_bytes: 3 * 65_536,
            },
        };
        assert_eq!(look(HANDLER).unwrap(), expected);
    }

    #[test]
    fn what_a_device_would_refuse_is_refused_with_its_reason() {
        let check = |text: &str, expected: &str| {
            let said = look(text).unwrap_err().to_string();
            assert!(said.contains(expected), "{said}");
        };
        check("(component)", "there is nothing to run");
        check("(module)", "it is a core WebAssembly module");
        check(
            &HANDLER.replace("shutdown@0.1.0", "telemetry@0.1.0"),
            "exports `wasm-edge:module/telemetry@0.1.0`, which this version does not know",
        );
        check(
            &HANDLER.replace("wasm-edge:module/lifecycle@0.1.0", "wasi:sockets/tcp@0.2.0"),
            "`wasi:sockets/tcp@0.2.0`; modules get no network",
        );
    }
}
