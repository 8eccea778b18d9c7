use proptest::prelude::*;

use super::*;
use crate::identity::ModuleId;

fn compiled(text: &str) -> Result<Condition, CompileError> {
    Condition::parse(text, Compatibility::Documented, None)
}

#[track_caller]
fn check_error(text: &str, expected: &str) {
    match compiled(text) {
        Ok(condition) => panic!("{text} is a condition: {condition:?}"),
        Err(error) => assert_eq!(error.to_string(), expected, "{text}"),
    }
}

#[test]
fn errors_say_what_to_write() {
    check_error(
        "temp > 30",
        "column 1: `temp` is a text, and `30` is a number; expected two values of one type: \
         write `as_number(temp) > 30`",
    );
    check_error(
        "30 < temp",
        "column 1: `30` is a number, and `temp` is a text; expected two values of one type: \
         write `30 < as_number(temp)`",
    );
    check_error(
        "temp-5 > 30",
        "column 1: `temp-5` is a text, and `30` is a number; expected two values of one type: \
         write `as_number(temp) - 5 > 30`",
    );
    check_error(
        "a * 2 = 4",
        "column 1: `a` is a text; expected a number: write `as_number(a)`",
    );
    check_error(
        "a -1 = 4",
        "column 3: `-1` is one word; expected spaces on both sides of an operator: write `a - 1`",
    );
    check_error(
        "flag = true",
        "column 1: `flag` is a text, and `true` is true or false; expected two values of one type: \
         write `flag = 'true'`",
    );
    check_error(
        "temp = null",
        "column 1: `temp` is a text, and `null` is null; expected two values of one type: \
         write `NOT is_defined(temp)`",
    );
    check_error(
        "NOT a = 'b'",
        "column 5: `a` is a text, and NOT binds tighter than `=`; expected parentheses: \
         write `NOT (a = 'b')`",
    );
    check_error("a == 'b'", "column 3: `==` is no operator; expected `=`");
    check_error(
        "a = 'b' && c = 'd'",
        "column 9: `&&` is no operator; expected AND",
    );
    check_error(
        "TRUE OR a = 'b'",
        "column 1: `TRUE` is a text; expected true or false: write `true`",
    );
    check_error(
        "a = hot day",
        "column 9: `day` stands here; expected an operator such as `=` or AND, or the end of the \
         condition; a text stands in quotes: write `'hot day'`",
    );
    check_error(
        "lenght(a) = 1",
        "column 1: there is no function `lenght`; expected a function: write `length(a)`",
    );
    check_error(
        "-as_number(a) = 1",
        "column 1: there is no function `-as_number`; expected a function: write `- as_number(a)`",
    );
    check_error(
        "!is_defined(a)",
        "column 1: there is no function `!is_defined`; expected a function: \
         write `NOT is_defined(a)`",
    );
    check_error(
        "length(a, 'b') = 1",
        "column 1: `length` has 2 arguments; expected `length(text)`",
    );
    check_error(
        "abs(a) = 1",
        "column 5: `a` is a text; expected a number: write `as_number(a)`",
    );
    check_error(
        "length(5) = 1",
        "column 8: `5` is a number; expected a text",
    );
    check_error(
        "$body = 'a'",
        "column 1: `$body` is the whole body, which has no value of its own; expected a path, \
         such as `$body.temperature`",
    );
    check_error(
        "a[0] = 'b'",
        "column 1: `a[0]` is no name: brackets stand in `$body` paths only; expected a value: \
         write `$body.a[0]`",
    );
    check_error(
        "a in ('b', 'c')",
        "column 3: `in` is no operator; expected `=` with OR between",
    );
}

fn evaluated(condition: &Condition, message: &Message) -> Truth {
    let facts = Facts {
        source: None,
        device: None,
        enqueued_time: None,
    };
    condition.evaluate(message, facts, &mut BodyCache::new())
}

#[test]
fn what_is_the_same_for_every_message_is_evaluated_once() {
    let check = |text: &str, expected: bool| {
        let condition = compiled(text).unwrap();
        assert_eq!(condition.is_always(), expected, "{text}");
    };
    check("true", true);
    check("1 + 1 = 2 AND length('abc') = 3", true);
    check("a = 'b' OR true", true);
    check("is_string('a' || 'b')", true);
    check("a = 'b'", false);
    check("false", false);
    check("null", false);
    assert!(Condition::always().is_always());
    assert_eq!(Condition::always().text(), "true");
}

#[test]
fn conditions_that_never_hold_are_known() {
    let check = |text: &str, expected: Option<&str>| {
        let condition = compiled(text).unwrap();
        assert_eq!(condition.never(), expected, "{text}");
    };
    check("a = 'b'", None);
    check("$body.a = 1 OR $body.a = 'x'", None);
    check("$body.a", None);
    check("NOT (a = 'b' AND a = 'c')", None);
    check("1 = 2", Some("`1 = 2` is always false"));
    check("undefined", Some("`undefined` is always undefined"));
    check("a = undefined", Some("`a = undefined` is always undefined"));
    check(
        "a = 'b' AND 1 = 2",
        Some("`a = 'b' AND 1 = 2` is always false"),
    );
    check(
        "a = 'b' AND null = undefined",
        Some("`null = undefined` is always undefined"),
    );
    check("is_number(a)", Some("`is_number(a)` is always false"));
    check("temp", Some("`temp` is a text, and never true"));
    check(
        "as_number(a) + 1",
        Some("`as_number(a) + 1` is a number, and never true"),
    );
    check(
        "$body[0] = 'a'",
        Some("`$body[0] = 'a'` is always undefined"),
    );
    check(
        "$body.a = 1 AND b = 'c' AND $body.a = 'x'",
        Some("`$body.a` is never 1 and 'x' at once"),
    );
    check(
        "'x' = a AND a = 'y'",
        Some("`a` is never 'x' and 'y' at once"),
    );
    check(
        "false OR temp = 'a' AND temp = 'b'",
        Some("`false` is always false, and `temp` is never 'a' and 'b' at once"),
    );
}

#[test]
fn what_is_hardly_meant_is_remarked() {
    let check = |text: &str, expected: &[&str]| {
        let condition = compiled(text).unwrap();
        let remarks = condition.remarks().iter();
        let remarks: Vec<String> = remarks
            .map(|remark| format!("{}: {}", remark.column, remark.text))
            .collect();
        assert_eq!(remarks, expected, "{text}");
    };
    check("a = 'b'", &[]);
    check("device-type = 'b' AND a.b = 'c'", &[]);
    check("a = b", &["5: `b` is read as a property; a text is `'b'`"]);
    check(
        "is_defined(a) AND b!= 'x'",
        &["19: `b!` is one name; `!=` needs a space before it: `b !=`"],
    );
    check(
        "a = TRUE",
        &["5: `TRUE` is read as a property; the constant is `true`"],
    );
    check(
        "is_defined(temp-5)",
        &["12: `temp-5` is one name; an operator needs spaces: `temp - 5`"],
    );
    check(
        "$mesageId = 'a'",
        &["1: no message has the system property `$mesageId`; there is `$messageId`"],
    );
    check(
        "$twin.tags.a = 'a'",
        &["1: no message has the system property `$twin.tags.a`"],
    );
}

#[test]
fn columns_count_from_the_begin_of_the_route() {
    let route = |text: &str| {
        let name = crate::route::RouteName::new("r").unwrap();
        crate::route::Route::parse(name, text).unwrap_err()
    };
    let error = route("FROM /messages/* WHERE 'ä' = 'ö' AND temp > 30 INTO $upstream");
    assert_eq!((error.column, error.width), (38, 9));
    let error = route("FROM /messages/* WHERE true AND INTO $upstream");
    assert_eq!((error.column, error.width), (33, 4));
}

#[test]
fn depth_parts_and_length_are_bounded() {
    let nested = |depth: usize| format!("{}true{}", "(".repeat(depth), ")".repeat(depth));
    assert!(compiled(&nested(DEPTH_MAX)).is_ok());
    assert_eq!(
        compiled(&nested(DEPTH_MAX + 1)).unwrap_err().problem,
        "more than 32 levels stand in each other"
    );
    let wide = |parts: usize| format!("true{}", " OR true".repeat(parts - 1));
    assert!(compiled(&wide(PARTS_MAX)).is_ok());
    assert_eq!(
        compiled(&wide(PARTS_MAX + 1)).unwrap_err().problem,
        "the condition has more than 1000 parts"
    );
    let long = format!("a = '{}'", "x".repeat(CONDITION_TEXT_MAX_BYTES));
    assert_eq!(
        compiled(&long).unwrap_err().problem,
        "the condition has 8198 bytes"
    );
}

#[test]
fn hostile_conditions_do_no_harm() {
    let length = CONDITION_TEXT_MAX_BYTES;
    for word in [
        "(",
        "NOT ",
        "- ",
        "abs(",
        "'",
        "\"",
        "/*",
        "/* */",
        "{",
        "$body.",
        "[",
        "a(",
        "-",
        "1 + ",
        "((1) + ",
        "'a' || (",
        "\\",
        "'\\u",
        "true ?? (",
        "!",
        "\u{a0}",
        "😀",
    ] {
        let text = word.repeat(length / word.len());
        // Most are refused, some are one name; none may overflow the stack.
        let _ = compiled(&text);
    }
    // All levels, each with all rows of operators.
    let deepest = "true ?? false OR true AND 1 = 2 < 3 + 4 * (".repeat(DEPTH_MAX);
    let _ = compiled(&format!("{deepest}5{}", ")".repeat(DEPTH_MAX)));
}

#[test]
fn texts_that_are_put_together_are_bounded() {
    let mut message = Message::default();
    message.properties.set("a", "x".repeat(200_000));
    let check = |count: usize, expected: Truth| {
        let condition = compiled(&format!("is_defined(a{})", " || a".repeat(count - 1))).unwrap();
        assert_eq!(evaluated(&condition, &message), expected, "{count}");
    };
    check(5, Truth::True);
    check(6, Truth::False);
}

#[test]
fn what_the_device_knows_beside_the_message_counts_last() {
    let device = DeviceId::new("d").unwrap();
    let module = ModuleId::new("m").unwrap();
    let check = |text: &str, source: &MessageSource, message: &Message, expected: Truth| {
        let facts = Facts {
            source: Some(source),
            device: Some(&device),
            enqueued_time: Some("2026-01-02T03:04:05Z"),
        };
        let condition = compiled(text).unwrap();
        let truth = condition.evaluate(message, facts, &mut BodyCache::new());
        assert_eq!(truth, expected, "{text}");
    };
    let sent = MessageSource::Module {
        module: module.clone(),
        output: None,
    };
    let mut message = Message::default();
    check(
        "$connectionDeviceId = 'd' AND $connectionModuleId = 'm'",
        &sent,
        &message,
        Truth::True,
    );
    check("$enqueuedTime > '2026'", &sent, &message, Truth::True);
    check(
        "$edgeHubOriginInterface = 'internal'",
        &sent,
        &message,
        Truth::True,
    );
    check(
        "is_defined($outputName) OR is_defined($messageType)",
        &sent,
        &message,
        Truth::False,
    );
    let changed = MessageSource::TwinChange { module };
    check(
        "$rpSenderDeviceId = 'd' AND $rpSenderModuleId = 'm'",
        &changed,
        &message,
        Truth::True,
    );
    check(
        "$connectionModuleId = '$edgeHub'",
        &changed,
        &message,
        Truth::True,
    );
    message.body = bytes::Bytes::from_static(b"{\"a\":1}");
    check("$body.a = 1", &changed, &message, Truth::True);
    check("$body.a = 1", &sent, &message, Truth::Undefined);
    message
        .system
        .set(crate::message::SystemProperty::ConnectionModuleId, "other");
    check(
        "$connectionModuleId = 'other'",
        &sent,
        &message,
        Truth::True,
    );
}

/// Words that stand beside each other in many ways.
fn words() -> impl Strategy<Value = String> {
    let word = proptest::sample::select(vec![
        "a",
        "'b'",
        "\"c\"",
        "1",
        "-1",
        "e5",
        "0x1F",
        "true",
        "false",
        "null",
        "undefined",
        "AND",
        "OR",
        "NOT",
        "=",
        "!=",
        "<>",
        "<",
        "<=",
        ">",
        ">=",
        "+",
        "-",
        "*",
        "/",
        "%",
        "||",
        "??",
        "(",
        ")",
        ",",
        "{",
        "}",
        "$body.a",
        "$body.a[0]",
        "$messageId",
        "length(",
        "as_number(",
        "is_defined(",
        "twin_change_includes(",
        "properties.reported.a",
        "/*",
        "*/",
        "'",
        "\\",
        "INTO",
        "ä",
    ]);
    proptest::collection::vec(word, 0..12).prop_map(|words| words.join(" "))
}

proptest! {
    #[test]
    fn no_text_panics(text in ".{0,60}") {
        if let Err(error) = compiled(&text) {
            prop_assert!(error.column <= text.chars().count() + 1);
        }
    }

    #[test]
    fn no_words_of_the_language_panic(text in words()) {
        match compiled(&text) {
            Err(error) => prop_assert!(error.column + error.width <= text.chars().count() + 1),
            Ok(condition) => {
                let mut message = Message::default();
                message.properties.set("a", "5");
                let truth = evaluated(&condition, &message);
                prop_assert!(!condition.is_always() || truth == Truth::True, "{}", text);
                prop_assert!(condition.never().is_none() || truth != Truth::True, "{}", text);
                // What was written is read again, alone and in a route.
                let again = compiled(condition.text()).unwrap();
                prop_assert_eq!(&again, &condition);
            }
        }
    }

    /// A condition in a route is the condition alone.
    #[test]
    fn a_route_has_the_condition_that_stands_in_it(text in words()) {
        let name = crate::route::RouteName::new("r").unwrap();
        let route = format!("FROM /messages/* WHERE {text} INTO $upstream");
        let alone = compiled(&text);
        match crate::route::Route::parse(name, &route) {
            Ok(route) => {
                let alone = alone.unwrap();
                prop_assert_eq!(route.condition.text(), alone.text());
            }
            Err(_) => {
                let is_other = text.contains("INTO") || text.contains("twin_change_includes");
                prop_assert!(alone.is_err() || is_other, "{}", text);
            }
        }
    }
}
