//! Reads any text as a route; what was read can be written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wasm_edge_model::identity::ModuleId;
use wasm_edge_model::message::MessageSource;
use wasm_edge_model::route::condition::Condition;
use wasm_edge_model::route::{Route, RouteName};

fuzz_target!(|text: &str| {
    let name = RouteName::new("r").expect("a letter is a name");
    match Route::parse(name.clone(), text) {
        Ok(route) => {
            let condition = match &route.condition {
                always if *always == Condition::always() => String::new(),
                condition => format!("WHERE {} ", condition.text()),
            };
            let written = format!("FROM {} {condition}INTO {}", route.source, route.sink);
            // A star inside a source can look like a comment once it is written elsewhere.
            if !route.source.text().trim_end_matches('*').contains('*') {
                assert_eq!(
                    Route::parse(name, &written).as_ref(),
                    Ok(&route),
                    "{written}"
                );
            }
            let module = ModuleId::new("m").expect("a letter is an id");
            let source = MessageSource::Module {
                module,
                output: None,
            };
            assert!(!route.source.matches(&source) || route.source.can_match());
        }
        Err(error) => assert!((1..=text.chars().count() + 1).contains(&error.column)),
    }
});
