use proptest::prelude::*;

use super::*;
use crate::message::OutputName;

fn parsed(text: &str) -> Result<Route, CompileError> {
    Route::parse(RouteName::new("r").unwrap(), text)
}

fn source(pattern: &str) -> Source {
    parsed(&format!("FROM {pattern} INTO $upstream"))
        .unwrap()
        .source
}

fn message(module: &str, output: Option<&str>) -> MessageSource {
    MessageSource::Module {
        module: ModuleId::new(module).unwrap(),
        output: output.map(|name| OutputName::new(name).unwrap()),
    }
}

#[test]
fn sources_match_by_whole_segments() {
    let twin = MessageSource::TwinChange {
        module: ModuleId::new("a").unwrap(),
    };
    let check = |pattern: &str, message: MessageSource, expected: bool| {
        assert_eq!(
            source(pattern).matches(&message),
            expected,
            "{pattern} {message:?}"
        );
    };
    check("/*", message("a", None), true);
    check("/*", message("a", Some("o")), true);
    check("/*", twin.clone(), true);
    check("/messages/*", message("a", None), true);
    check("/messages/*", twin.clone(), false);
    check("/messages/modules/*", message("a", Some("o")), true);
    check("/messages/modules/a/*", message("a", None), true);
    check("/messages/modules/a/*", message("a", Some("o")), true);
    check("/messages/modules/a/*", message("ab", None), false);
    check("/messages/modules/a*", message("ab", None), false);
    check("/messages/modules/A", message("a", Some("o")), true);
    check(
        "/MESSAGES/Modules/a/Outputs/*",
        message("a", Some("o")),
        true,
    );
    check("/messages/modules/a/outputs/*", message("a", None), false);
    check(
        "/messages/modules/a/outputs/o",
        message("a", Some("O")),
        true,
    );
    check(
        "/messages/modules/a/outputs/ö",
        message("a", Some("Ö")),
        true,
    );
    check(
        "/messages/modules/a/outputs/o",
        message("a", Some("oo")),
        false,
    );
    check(
        "/messages/modules/*/outputs/o",
        message("a", Some("o")),
        false,
    );
    check("/twinChangeNotifications", twin.clone(), true);
    check("/twinchangenotifications/*", twin, true);
    check("/twinChangeNotifications", message("a", None), false);
}

#[test]
fn sources_that_no_message_has_are_known() {
    let check = |pattern: &str, expected: bool| {
        assert_eq!(source(pattern).can_match(), expected, "{pattern}");
    };
    check("/*", true);
    check("/messages", true);
    check("/messages/modules/*", true);
    check("/messages/modules/a/outputs/*", true);
    check("/messages/modules/a/outputs/o", true);
    check("/twinChangeNotifications", true);
    check("/mess*", false);
    check("/messages/modules/*/outputs/o", false);
    check("/messages/modules/a/inputs/i", false);
    check("/messages/modules/a/outputs/o/p", false);
    check("/messages/devices/*", false);
    check("/deviceLifecycleEvents", false);
}

#[test]
fn a_source_names_its_module() {
    let check = |pattern: &str, expected: Option<&str>| {
        assert_eq!(source(pattern).module(), expected, "{pattern}");
    };
    check("/messages/modules/Sensor/*", Some("sensor"));
    check("/messages/modules/Sensor/outputs/o", Some("sensor"));
    check("/messages/modules/*", None);
    check("/messages/*", None);
    check("/*", None);
}

#[test]
fn a_route_has_the_defaults_of_the_documentation() {
    let route = parsed("FROM /* INTO BrokeredEndpoint('/modules/a/inputs/b')").unwrap();
    assert_eq!(route.priority, 2_000_000_000);
    assert_eq!(route.time_to_live, None);
    assert_eq!(route.condition, Condition::always());
    assert_eq!(route.name.as_str(), "r");
    assert_eq!(route.source.text(), "/*");
    let (module, input) = (ModuleId::new("a").unwrap(), InputName::new("b").unwrap());
    assert_eq!(route.sink, Sink::Module { module, input });
}

#[test]
fn names_of_routes_are_keys_of_twins() {
    let check = |name: &str, expected: bool| {
        assert_eq!(RouteName::new(name).is_ok(), expected, "{name:?}");
    };
    check("up", true);
    check("a-b_c/d", true);
    check("ä", true);
    check("", false);
    check("a.b", false);
    check("$a", false);
    check("a#", false);
    check("a b", false);
    check("a\t", false);
    check(&"a".repeat(1024), true);
    check(&"a".repeat(1025), false);
}

#[test]
fn the_length_of_a_route_is_limited() {
    let text = format!("FROM /{} INTO $upstream", "a".repeat(ROUTE_TEXT_MAX_BYTES));
    let error = parsed(&text).unwrap_err();
    assert_eq!(
        error.to_string(),
        "column 1: the route has 8213 bytes; expected at most 8192 bytes"
    );
    assert_eq!(error.column, 1);
}

#[test]
fn a_control_character_ends_a_name() {
    let error = parsed("FROM /messages/*\u{1} INTO $upstream").unwrap_err();
    assert_eq!(
        error.to_string(),
        "column 17: the invisible `\\u{1}` stands here; expected `/`, WHERE or INTO"
    );
}

#[test]
fn columns_count_characters() {
    let error = parsed("FROM /äöü/* INTO x").unwrap_err();
    assert_eq!(error.column, 18);
}

proptest! {
    #[test]
    fn no_text_panics(text in ".{0,80}") {
        let _ = parsed(&text);
    }

    #[test]
    fn no_text_of_the_language_panics(
        words in proptest::collection::vec(
            proptest::sample::select(vec![
                "SELECT", "*", "FROM", "INTO", "WHERE", "/", "/*", "*/", "/messages", "$upstream",
                "BrokeredEndpoint", "(", ")", "\"", "'", "\\", "\\u00", "a", " ", "ä",
            ]),
            0..20,
        ),
    ) {
        let _ = parsed(&words.concat());
    }

    #[test]
    fn what_is_shown_is_read_again(module in "[a-zA-Z0-9_-]{1,9}", input in r#"[a-z ä"'\\]{1,9}"#) {
        let sink = Sink::Module {
            module: ModuleId::new(&module).unwrap(),
            input: InputName::new(&input).unwrap(),
        };
        let route = parsed(&format!("FROM /messages/modules/{module}/* INTO {sink}")).unwrap();
        prop_assert_eq!(&route.sink, &sink);
        let again = parsed(&format!("FROM {} INTO {}", route.source, route.sink)).unwrap();
        prop_assert_eq!(again, route);
    }
}
