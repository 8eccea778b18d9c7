use proptest::prelude::*;
use serde_json::json;

use super::*;

const LIMITS: JsonLimits = JsonLimits {
    size_max_bytes: 1000,
    depth_max: 5,
    values_max: 50,
};

#[test]
fn values_are_read_as_serde_reads_them() {
    let check = |text: &str| {
        let ours = read(text, LIMITS).unwrap().root.to_value();
        assert_eq!(ours, serde_json::from_str::<Value>(text).unwrap(), "{text}");
    };
    check("null");
    check(" [ 1 , -2.5e3, 0, 18446744073709551615 ]\n");
    check(r#"{"a":{"b":[true,false,{}]},"":[]}"#);
    check(r#""\"\\\/\b\f\n\r\t\u00e4\ud83d\ude00 ä""#);
    assert_eq!(read("\u{feff}1", LIMITS).unwrap().root.to_value(), json!(1));
}

#[test]
fn a_fault_names_its_place() {
    let check = |text: &str, expected: &str| {
        assert_eq!(read(text, LIMITS).unwrap_err().to_string(), expected);
    };
    check("", "line 1, column 1: the text ends here; expected a value");
    check(
        "{\n  \"ä\": x}",
        "line 2, column 8: `x` stands here; expected a value",
    );
    check(
        "{\"a\":1,}",
        "line 1, column 8: `}` stands here; expected a key in double quotes",
    );
    check(
        "{a:1}",
        "line 1, column 2: `a` stands here; expected a key in double quotes",
    );
    check(
        "{\"a\" 1}",
        "line 1, column 6: `1` stands here; expected `:`",
    );
    check(
        "[1 2]",
        "line 1, column 4: `2` stands here; expected `,` or `]`",
    );
    check(
        "{\"a\":1 \"b\"",
        "line 1, column 8: `\\\"` stands here; expected `,` or `}`",
    );
    check(
        "1 1",
        "line 1, column 3: `1` stands here; expected the end of the text",
    );
    check(
        "01",
        "line 1, column 1: `01` is no number; expected a number in JSON's form and range",
    );
    check(
        "1e999",
        "line 1, column 1: `1e999` is no number; expected a number in JSON's form and range",
    );
    check("nul", "line 1, column 1: `n` stands here; expected a value");
    check(
        "\"a",
        "line 1, column 3: the text ends here; expected `\"` at the end of a text",
    );
    check(
        "\"a\n\"",
        "line 1, column 3: a control character stands in a text; expected an escape such as `\\n`",
    );
    let escape =
        "an escape is not known; expected `\\n` or its like, or `\\u` with four hexadecimal digits";
    check(r#""\x""#, &format!("line 1, column 2: {escape}"));
    check(r#""\ud83d""#, &format!("line 1, column 2: {escape}"));
    check(r#""\udc00""#, &format!("line 1, column 2: {escape}"));
    check(r#""\u+123""#, &format!("line 1, column 2: {escape}"));
    check(r#""\u12ä""#, &format!("line 1, column 2: {escape}"));
}

#[test]
fn limits_hold() {
    let check = |text: &str, expected: &str| {
        assert_eq!(read(text, LIMITS).unwrap_err().to_string(), expected);
    };
    assert!(read("[[[[[1]]]]]", LIMITS).is_ok());
    check(
        "[[[[[[1]]]]]]",
        "line 1, column 6: arrays and objects stand too deep in each other; expected at most 5 levels",
    );
    assert!(read(&format!("[{}0]", "0,".repeat(48)), LIMITS).is_ok());
    check(
        &format!("[{}0]", "0,".repeat(49)),
        "line 1, column 100: the text has too many values; expected at most 50 values",
    );
    check(
        &" ".repeat(1001),
        "line 1, column 1: the text has 1001 bytes; expected at most 1000 bytes",
    );
}

#[test]
fn repeated_keys_are_found_everywhere() {
    let document = read(r#"{"a":[{"b c":1,"b c":2}],"a":3,"a":4}"#, LIMITS).unwrap();
    let found: Vec<_> = document
        .repeated_keys
        .iter()
        .map(|key| (key.path.as_str(), key.position.column))
        .collect();
    assert_eq!(found, [("$.a[0]['b c']", 16), ("$.a", 26), ("$.a", 32)]);
    assert_eq!(document.root.to_value(), json!({"a": 4}));
}

#[test]
fn positions_are_those_of_the_first_character() {
    let document = read("{\n  \"a\": [1,\n   \"ü\", {}]}", LIMITS).unwrap();
    let Content::Object(members) = &document.root.content else {
        panic!("an object")
    };
    assert_eq!(members[0].key_position, Position { line: 2, column: 3 });
    let Content::Array(items) = &members[0].value.content else {
        panic!("an array")
    };
    let positions: Vec<_> = items
        .iter()
        .map(|item| (item.position.line, item.position.column))
        .collect();
    assert_eq!(positions, [(2, 9), (3, 4), (3, 9)]);
}

#[test]
fn paths_quote_what_is_no_plain_name() {
    let path = JsonPath::root()
        .key("$edgeAgent")
        .key("properties.desired")
        .key("a-b")
        .index(3)
        .key("it's\n");
    assert_eq!(
        path.as_str(),
        "$['$edgeAgent']['properties.desired'].a-b[3]['it\\'s\\u000a']"
    );
}

proptest! {
    #[test]
    fn a_text_is_json_for_us_exactly_when_it_is_for_serde(text in r#"[\[\]{}:,"\\a0-9.eE+\-ntruefalse \n]{0,30}"#) {
        let limits = JsonLimits { depth_max: 40, ..LIMITS };
        let ours = read(&text, limits).map(|document| document.root.to_value()).ok();
        prop_assert_eq!(ours, serde_json::from_str::<Value>(&text).ok());
    }

    #[test]
    fn no_text_panics(text in ".{0,60}") {
        let _ = read(&text, LIMITS);
    }
}
