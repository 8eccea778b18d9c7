//! The table of conditions: what each comes to for a message, and by which
//! part of IoT Hub's and IoT Edge's rules (`why`).
//!
//! `wasm-edge route test --cases` takes the same file.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use serde_json::Value;
use wasm_edge_model::identity::ModuleId;
use wasm_edge_model::message::{Message, MessageSource, read_message};
use wasm_edge_model::route::condition::{
    BodyCache, Compatibility, CompileError, Condition, Facts, Truth,
};
use wasm_edge_model::route::{Route, RouteName, Source};

const CASES: &str = include_str!("conditions/cases.ndjson");

const DOCS: &str = include_str!("../../../docs/routes.md");

fn cases() -> Vec<Value> {
    let cases = CASES
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    cases.collect()
}

fn text<'a>(case: &'a Value, key: &str) -> &'a str {
    case[key].as_str().unwrap_or_default()
}

fn outcome(case: &Value) -> String {
    let compatibility = match text(case, "compatibility") {
        "edgehub" => Compatibility::EdgeHub,
        _ => Compatibility::Documented,
    };
    let module = ModuleId::new("m").unwrap();
    let source = case["source"]
        .as_str()
        .map(|text| MessageSource::parse(text, module).unwrap());
    let message = read_message(&case["message"].to_string()).unwrap();
    match compiled(case, compatibility, source.as_ref()) {
        Err(_) => "error".into(),
        Ok((condition, from)) => {
            let facts = Facts {
                source: source.as_ref(),
                device: None,
                enqueued_time: None,
            };
            let matches = source
                .as_ref()
                .zip(from)
                .is_none_or(|(s, from)| from.matches(s));
            match matches {
                true => evaluated(&condition, &message, facts).to_string(),
                false => "false".into(),
            }
        }
    }
}

fn compiled(
    case: &Value,
    compatibility: Compatibility,
    source: Option<&MessageSource>,
) -> Result<(Condition, Option<Source>), CompileError> {
    if let Some(route) = case["route"].as_str() {
        let route = Route::parse_with(RouteName::new("r").unwrap(), route, compatibility)?;
        return Ok((route.condition, Some(route.source)));
    }
    let source = source.map(Source::of);
    let condition = Condition::parse(text(case, "condition"), compatibility, source.as_ref())?;
    Ok((condition, None))
}

fn evaluated(condition: &Condition, message: &Message, facts: Facts<'_>) -> Truth {
    let mut body = BodyCache::new();
    let truth = condition.evaluate(message, facts, &mut body);
    // The same again, with the body read already, and after another message.
    assert_eq!(condition.evaluate(message, facts, &mut body), truth);
    body.clear();
    assert_eq!(condition.evaluate(message, facts, &mut body), truth);
    // What is explained is what is evaluated.
    let parts = condition.explain(message, facts, &mut body);
    let Some(whole) = parts.first().map(|part| &part.value) else {
        assert_eq!((condition, truth), (&Condition::always(), Truth::True));
        return truth;
    };
    match truth {
        Truth::Undefined => assert_ne!(whole, "true"),
        Truth::False => assert!(whole == "false" || whole == "null", "{whole}"),
        Truth::True => assert_eq!(whole, "true"),
    }
    truth
}

#[test]
fn every_case_comes_to_what_the_table_says() {
    let cases = cases();
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|case| {
            let (outcome, expect) = (outcome(case), text(case, "expect"));
            (outcome != expect).then(|| format!("{}: {outcome}, not {expect}", text(case, "name")))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_table_has_every_operator_function_and_system_property() {
    let cases = cases();
    assert!(cases.len() >= 600, "only {} cases", cases.len());
    for case in &cases {
        assert!(text(case, "why").starts_with('1'), "{case}");
    }
    let taken = |what: &str| {
        let is_in = |case: &&Value| {
            let written = format!("{}{}", text(case, "condition"), text(case, "route"));
            text(case, "expect") != "error" && written.to_lowercase().contains(what)
        };
        cases.iter().any(|case| is_in(&case))
    };
    for operator in [
        " and ", " or ", "not ", " ?? ", " = ", " != ", " <> ", " < ", " <= ", " > ", " >= ",
        " + ", " - ", " * ", " / ", " % ", " || ",
    ] {
        assert!(taken(operator), "{operator}");
    }
    for function in documented_functions() {
        assert!(taken(&format!("{function}(")), "{function}");
    }
    for property in wasm_edge_model::message::SystemProperty::all() {
        let name = property.name().to_lowercase();
        // Whose twin changed is known to a device alone.
        let is_known = !name.starts_with("rpsender");
        assert!(!is_known || taken(&format!("${name}")), "{name}");
    }
}

/// The names in the table of functions.
fn documented_functions() -> BTreeSet<&'static str> {
    let section = DOCS.split("## Functions").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| row.split('(').next().unwrap()).collect()
}

#[test]
fn the_documentation_has_every_function() {
    let documented = documented_functions();
    assert_eq!(documented.len(), 27, "{documented:?}");
    for name in documented {
        // Without arguments every one of them is refused, but not as unknown.
        let error = Condition::parse(&format!("{name}()"), Compatibility::Documented, None);
        let problem = error.unwrap_err().problem;
        assert!(!problem.contains("no function"), "{name}: {problem}");
    }
}

/// Each difference that the documentation lists, as a case of the table that
/// comes to two things.
#[test]
fn the_documented_differences_are_those_of_the_table() {
    let section = DOCS
        .split("## Where IoT Edge's hub differs")
        .nth(1)
        .unwrap();
    let rows = section
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| |"));
    let rows = rows.filter(|line| !line.starts_with("| ---")).count();
    let differences = [
        ("$messageId = 'sys'", "$messageId"),
        ("$body.a = 'body'", "$body.a"),
        ("$correlationId = 'c1'", "$correlationId"),
        ("$body.a = 1", "contentType"),
        ("is_defined($body.missing)", "$body.missing"),
        ("is_null($body.temp)", "is_null"),
        ("is_array($body.arr)", "is_array"),
        ("$body = 'x'", "$body alone"),
        ("as_number('1,000') = 1000", "as_number"),
    ];
    assert_eq!(rows, differences.len(), "rows of the documentation");
    let cases = cases();
    for (condition, what) in differences {
        let differs = cases
            .iter()
            .filter(|case| text(case, "condition") == condition)
            .any(|case| {
                let mut other = case.clone();
                other["compatibility"] = match text(case, "compatibility") {
                    "edgehub" => "documented".into(),
                    _ => "edgehub".into(),
                };
                outcome(&other) != text(case, "expect")
            });
        assert!(differs, "{what}: {condition}");
    }
}

/// All other cases come to the same with both.
#[test]
fn nothing_else_differs() {
    let listed = [
        "$messageId",
        "$body",
        "$cid",
        "$correlationId",
        "is_null(",
        "is_array(",
        "is_object(",
        "is_primitive(",
        "as_number('",
        "$dollar",
    ];
    for mut case in cases() {
        let condition = text(&case, "condition").to_lowercase();
        if listed
            .iter()
            .any(|what| condition.contains(&what.to_lowercase()))
        {
            continue;
        }
        let documented = outcome(&case);
        case["compatibility"] = "edgehub".into();
        assert_eq!(outcome(&case), documented, "{case}");
    }
}
