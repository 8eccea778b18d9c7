//! The program for boards: it has neither compiler nor hub, and does what a device does.

use wasm_edge_tests::home::Home;
use wasm_edge_tests::outcome::Outcome;
use wasm_edge_tests::paths::device_binary;

/// Runs the program for boards to its end.
fn verb(home: &Home, args: &[&str]) -> Outcome {
    let program = device_binary();
    let program = program.to_str().expect("its path is text");
    let output = home.program(program, args).output();
    output.expect("the program can be started").into()
}

#[test]
fn the_program_for_boards_offers_no_verb_that_needs_a_compiler_or_a_hub() {
    let home = Home::new();
    let help = verb(&home, &["--help"]).ok().stdout;
    let offers = |name: &str| {
        help.lines()
            .any(|line| line.split_whitespace().next() == Some(name) && line.starts_with("  "))
    };
    for name in ["list", "inspect", "logs", "check", "upstream"] {
        assert!(offers(name), "`{name}` is missing: {help}");
    }
    for name in ["hub", "new", "build", "test", "bench", "precompile"] {
        assert!(!offers(name), "`{name}` is there: {help}");
    }
}
