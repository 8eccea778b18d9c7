use super::*;

/// A component that exports `name` as an instance with these functions; each is one of `f0`, `f1` and so on.
fn exporting(name: &str, function: &str) -> String {
    format!(
        r#"(component
            (core module $m (func (export "f")) (func (export "g") (param i32)))
            (core instance $i (instantiate $m))
            (func $empty (canon lift (core func $i "f")))
            (func $grace (param "grace-ms" u32) (canon lift (core func $i "g")))
            (instance $e (export {function}))
            (export "{name}" (instance $e)))"#
    )
}

fn with_shutdown(imports: &str) -> String {
    format!(
        r#"(component
            {imports}
            (core module $m (func (export "g") (param i32)))
            (core instance $i (instantiate $m))
            (func $grace (param "grace-ms" u32) (canon lift (core func $i "g")))
            (instance $e (export "shutdown" (func $grace)))
            (export "wasm-edge:module/shutdown@0.1.0" (instance $e)))"#
    )
}

fn load(engine: &Engine, text: &str) -> Result<ModuleCode, CodeError> {
    let bytes = wat::parse_str(text).unwrap_or_else(|err| panic!("{err}"));
    let component = Component::new(&engine.inner().wasmtime, bytes)
        .unwrap_or_else(|err| panic!("{err:#}\n{text}"));
    ModuleCode::new(engine, &component, None)
}

#[track_caller]
fn check(text: &str, expected: &str) {
    let engine = Engine::new().expect("it runs on this machine");
    match load(&engine, text) {
        Ok(_) => panic!("it was taken: {text}"),
        Err(err) => {
            let said = err.to_string();
            assert!(said.contains(expected), "{said}");
            // No name of this program's own parts in front of users.
            assert!(!said.contains("wasm_edge") && !said.contains('{'), "{said}");
        }
    }
}

#[test]
fn exports_of_unknown_name_or_version_are_refused_by_name() {
    for (name, expected) in [
        (
            "wasm-edge:module/telemetry@0.1.0",
            "exports `wasm-edge:module/telemetry@0.1.0`, which",
        ),
        (
            "wasm-edge:module/shutdown@0.2.0",
            "exports `wasm-edge:module/shutdown@0.2.0`, which",
        ),
        (
            "wasm-edge:module/shutdown@0.1.1",
            "exports `wasm-edge:module/shutdown@0.1.1`, which",
        ),
        (
            "wasm-edge:module/shutdown@0.1.0-rc.1",
            "`wasm-edge:module/shutdown@0.1.0-rc.1`, which",
        ),
        (
            "wasm-edge:module/shutdown",
            "exports `wasm-edge:module/shutdown`, which",
        ),
        (
            "wasm-edge:modules/shutdown@0.1.0",
            "exports `wasm-edge:modules/shutdown@0.1.0`, which",
        ),
        (
            "wasm-edge:module/identity@0.1.0",
            "exports `wasm-edge:module/identity@0.1.0`, which",
        ),
    ] {
        check(&exporting(name, r#""shutdown" (func $grace)"#), expected);
    }
}

#[test]
fn exports_in_another_form_are_refused_by_name() {
    let shutdown = "wasm-edge:module/shutdown@0.1.0";
    let expected =
        "exports `wasm-edge:module/shutdown@0.1.0` in a form that this version does not know";
    check(
        &exporting(shutdown, r#""shutdown" (func $empty)"#),
        expected,
    );
    check(&exporting(shutdown, r#""stop" (func $grace)"#), expected);
    for interface in [
        "message-handler",
        "twin-handler",
        "method-handler",
        "timer-handler",
        "init",
        "health",
    ] {
        let name = format!("wasm-edge:module/{interface}@0.1.0");
        let expected = format!("exports `{name}` in a form that this version does not know");
        check(&exporting(&name, r#""handle" (func $empty)"#), &expected);
    }
    check(
        &exporting("wasi:cli/run@0.2.0", r#""run" (func $empty)"#),
        "exports `wasi:cli/run@0.2.0` in a form that this version does not know",
    );
}

#[test]
fn a_function_of_a_handler_s_name_is_no_handler() {
    let text = r#"(component
        (core module $m (func (export "g") (param i32)))
        (core instance $i (instantiate $m))
        (func $grace (param "grace-ms" u32) (canon lift (core func $i "g")))
        (export "shutdown" (func $grace)))"#;
    check(text, "there is nothing to run");
    check("(component)", "there is nothing to run");
    check(
        &exporting("acme:plant/valve@1.0.0", r#""open" (func $empty)"#),
        "there is nothing to run",
    );
}

#[test]
fn other_exports_beside_a_handler_are_let_be() {
    let engine = Engine::new().expect("it runs on this machine");
    let code = load(
        &engine,
        r#"(component
            (core module $m (func (export "f")) (func (export "g") (param i32)))
            (core instance $i (instantiate $m))
            (func $empty (canon lift (core func $i "f")))
            (func $grace (param "grace-ms" u32) (canon lift (core func $i "g")))
            (instance $valve (export "open" (func $empty)))
            (instance $shutdown (export "shutdown" (func $grace)))
            (export "acme:plant/valve@1.0.0" (instance $valve))
            (export "wasm-edge:module/shutdown@0.1.0" (instance $shutdown)))"#,
    )
    .unwrap_or_else(|err| panic!("{err}"));
    assert_eq!(code.kind(), Kind::Handlers);
    assert!(!code.takes_messages() && !code.takes_methods() && !code.has_health());
    assert!(!code.says_ready());
}

#[test]
fn imports_that_no_module_gets_are_refused_by_name() {
    for name in [
        "wasi:sockets/network@0.2.0",
        "wasi:sockets/tcp@0.2.0",
        "wasi:sockets/ip-name-lookup@0.2.0",
        "wasi:http/outgoing-handler@0.2.0",
        "acme:plant/valve@1.0.0",
        "wasm-edge:module/gpio@0.1.0",
        "wasm-edge:module/identity@0.2.0",
    ] {
        let import = format!(r#"(import "{name}" (instance (export "f" (func))))"#);
        check(
            &with_shutdown(&import),
            "imports something that modules do not get",
        );
        check(&with_shutdown(&import), name);
    }
    let function =
        r#"(import "wasm-edge:module/identity@0.1.0" (instance (export "root-key" (func))))"#;
    check(&with_shutdown(function), "root-key");
    let typed =
        r#"(import "wasm-edge:module/identity@0.1.0" (instance (export "device-id" (func))))"#;
    check(&with_shutdown(typed), "device-id");
}

#[test]
fn importing_lifecycle_means_to_say_when_it_is_ready() {
    let engine = Engine::new().expect("it runs on this machine");
    let import =
        r#"(import "wasm-edge:module/lifecycle@0.1.0" (instance (export "ready" (func))))"#;
    let code = load(&engine, &with_shutdown(import)).unwrap_or_else(|err| panic!("{err}"));
    assert!(code.says_ready());
}

#[test]
fn handlers_beside_a_program_are_refused() {
    let text = r#"(component
        (core module $m (func (export "g") (param i32)) (func (export "r") (result i32) i32.const 0))
        (core instance $i (instantiate $m))
        (func $grace (param "grace-ms" u32) (canon lift (core func $i "g")))
        (func $run (result (result)) (canon lift (core func $i "r")))
        (instance $shutdown (export "shutdown" (func $grace)))
        (instance $program (export "run" (func $run)))
        (export "wasm-edge:module/shutdown@0.1.0" (instance $shutdown))
        (export "wasi:cli/run@0.2.3" (instance $program)))"#;
    check(
        text,
        "exports `wasi:cli/run` and also the handler `wasm-edge:module/shutdown@0.1.0`",
    );
}

#[test]
fn the_components_of_the_tests_that_are_to_be_refused_are() {
    for (text, expected) in [
        (
            include_str!("../../../../tests/guests/wat/export-type.wat"),
            "exports `wasm-edge:module/init@0.1.0` in a form",
        ),
        (
            include_str!("../../../../tests/guests/wat/export-unknown.wat"),
            "exports `wasm-edge:module/telemetry@0.1.0`",
        ),
        (
            include_str!("../../../../tests/guests/wat/export-version.wat"),
            "which this version does not know",
        ),
        (
            include_str!("../../../../tests/guests/wat/import-foreign.wat"),
            "acme:plant/valve@1.0.0",
        ),
        (
            include_str!("../../../../tests/guests/wat/import-unknown.wat"),
            "wasm-edge:module/gpio@0.1.0",
        ),
        (
            include_str!("../../../../tests/guests/wat/no-exports.wat"),
            "nothing to run",
        ),
    ] {
        check(text, expected);
    }
}
