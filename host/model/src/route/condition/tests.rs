use super::*;

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
