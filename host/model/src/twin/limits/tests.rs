use proptest::prelude::*;
use serde_json::json;

use super::*;

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        other => panic!("not an object: {other}"),
    }
}

fn nested(levels: usize, inner: Value) -> Map<String, Value> {
    let value = (0..levels).fold(inner, |inner, _| json!({ "a": inner }));
    object(json!({ "a": value }))
}

#[test]
fn keys_and_values_follow_the_rules() {
    let check = |value: Value, expected: &str| {
        let error = check_section(&object(value), SECTION_SIZE_MAX_BYTES).unwrap_err();
        assert_eq!(error.to_string(), expected);
    };
    check(json!({"a": {"b.c": 1}}), "the key `a.b.c` contains a `.`");
    check(json!({"$a": 1}), "the key `$a` contains a `$`");
    check(json!({"a#": 1}), "the key `a#` contains a `#`");
    check(json!({"a b": 1}), "the key `a b` contains a space");
    check(
        json!({"a\u{2003}b": 1}),
        "the key `a\\u{2003}b` contains a space",
    );
    check(
        json!({"a\u{1}": 1}),
        "the key `a\\u{1}` contains a control character",
    );
    check(
        json!({"a\u{85}": 1}),
        "the key `a\\u{85}` contains a control character",
    );
    check(json!({"": 1}), "the key `` is empty");
    check(
        json!({"a": [{"$b": null}]}),
        "the key `a.$b` contains a `$`",
    );
    check(
        json!({"k".repeat(1025): 1}),
        "a key at the top has 1025 bytes, more than 1024",
    );
    check(
        json!({"a": {"k".repeat(1025): 1}}),
        "a key in `a` has 1025 bytes, more than 1024",
    );
    check(
        json!({"a": "x".repeat(4097)}),
        "the text at `a` has 4097 bytes, more than 4096",
    );
    check(
        json!({"a": ["x".repeat(4097)]}),
        "the text at `a` has 4097 bytes, more than 4096",
    );
    check(
        json!({"a": {"b": [1, null]}}),
        "a null stands in an array, at `a.b`",
    );
    check(
        json!({"a": [{"b": null}]}),
        "a null stands in an array, at `a.b`",
    );
    check(json!({"a": [[null]]}), "a null stands in an array, at `a`");
    let range = "is out of range: -4503599627370496 to 4503599627370495";
    check(
        json!({"a": 4_503_599_627_370_496_u64}),
        &format!("the integer 4503599627370496 at `a` {range}"),
    );
    check(
        json!({"a": -4_503_599_627_370_497_i64}),
        &format!("the integer -4503599627370497 at `a` {range}"),
    );
    check(
        json!({"a": u64::MAX}),
        &format!("the integer 18446744073709551615 at `a` {range}"),
    );
}

#[test]
fn what_is_just_within_the_rules_is_accepted() {
    let check = |value: Value| {
        assert_eq!(
            check_section(&object(value), SECTION_SIZE_MAX_BYTES),
            Ok(())
        );
    };
    check(json!({}));
    check(json!({"a": null, "b": {"c": null}}));
    check(json!({"k".repeat(1024): "x".repeat(4096)}));
    check(json!({"a": [-4_503_599_627_370_496_i64, 4_503_599_627_370_495_i64, 1e300]}));
    check(json!({"ä-_/+*%": true}));
}

#[test]
fn ten_levels_of_objects_are_allowed() {
    let check = |properties: Map<String, Value>, expected: Result<(), usize>| {
        let outcome = check_section(&properties, SECTION_SIZE_MAX_BYTES);
        let outcome = outcome.map_err(|error| match error {
            TwinError::TooDeep { limit, .. } => limit,
            other => panic!("{other}"),
        });
        assert_eq!(outcome, expected);
    };
    check(nested(10, json!(1)), Ok(()));
    check(nested(10, json!([1])), Ok(()));
    check(nested(11, json!(1)), Err(10));
    check(nested(9, json!([{"a": {}}])), Err(10));
    let arrays = |count| (0..count).fold(json!(1), |inner, _| json!([inner]));
    check(nested(0, arrays(32)), Ok(()));
    check(nested(0, arrays(33)), Err(32));
}

#[test]
fn the_size_counts_keys_and_values() {
    let check = |value: Value, expected: usize| {
        assert_eq!(size_bytes(&object(value)), expected);
    };
    check(json!({}), 0);
    check(json!({"ab": 1}), 10);
    check(json!({"ab": 1.5e10}), 10);
    check(json!({"ab": false}), 6);
    check(json!({"ab": null}), 2);
    check(json!({"ab": "äx\n\u{80}"}), 5);
    check(json!({"ab": {"c": [1, true, "d"]}}), 16);
}

#[test]
fn sections_and_tags_have_their_sizes() {
    let filled = |bytes: usize| {
        let mut properties = Map::new();
        for index in 0..bytes / 1024 {
            properties.insert(format!("k{index:03}"), "x".repeat(1020).into());
        }
        properties
    };
    assert_eq!(
        check_section(&filled(32 * 1024), SECTION_SIZE_MAX_BYTES),
        Ok(())
    );
    let error = check_section(&filled(33 * 1024), SECTION_SIZE_MAX_BYTES).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the section would hold 33792 bytes, more than 32768"
    );
    assert_eq!(
        error.within("desired").to_string(),
        "`desired` would hold 33792 bytes, more than 32768"
    );
    assert_eq!(check_tags(&filled(8 * 1024)), Ok(()));
    let error = check_tags(&filled(9 * 1024)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`tags` would hold 9216 bytes, more than 8192"
    );
}

proptest! {
    #[test]
    fn the_size_is_that_of_its_parts(a in "[a-z]{1,9}", b in "\\PC{0,9}", n in any::<i32>()) {
        let size = size_bytes(&object(json!({ a.clone(): [b.clone(), n] })));
        prop_assert_eq!(size, a.len() + b.len() + 8);
    }
}
