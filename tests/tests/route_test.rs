//! `route test`: what a condition comes to for a message, and how that is told.

use serde_json::{Value, json};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::outcome::Outcome;
use wasm_edge_tests::paths;

const MESSAGE: &str = r#"{
  "properties": { "temperature": "31", "status": "hot" },
  "systemProperties": { "contentType": "application/json", "contentEncoding": "utf-8" },
  "body": { "room": "cellar", "values": [1, 2.5] }
}
"#;

fn test(home: &Home, args: &[&str]) -> Outcome {
    let file = home.write("message.json", MESSAGE);
    let file = file.to_str().expect("a UTF-8 path");
    home.verb(&[&["route", "test", "--message", file], args].concat())
}

#[test]
fn the_answer_is_on_standard_output_and_in_the_exit_code() {
    let home = Home::new();
    let check = |args: &[&str], code: i32, answer: &str| {
        let outcome = test(&home, args).ended_with(code);
        assert_eq!(outcome.stdout, answer, "{args:?}: {}", outcome.stderr);
    };
    check(&["--condition", "as_number(temperature) > 30"], 0, "true\n");
    check(
        &["--condition", "as_number(temperature) > 31"],
        1,
        "false\n",
    );
    check(
        &["--condition", "as_number(humidity) > 30"],
        1,
        "undefined\n",
    );
    check(&["--condition", "$body.room = 'cellar'"], 0, "true\n");
    check(&["--condition", "-1 < 0"], 0, "true\n");
    check(&["--condition", "temperature > 30"], 3, "");
    let route = "FROM /messages/modules/sensor/* WHERE status = 'hot' INTO $upstream";
    check(&["--route", route], 0, "true\n");
    let sensor = [
        "--route",
        route,
        "--source",
        "/messages/modules/sensor/outputs/o",
    ];
    check(&sensor, 0, "true\n");
    let other = ["--route", route, "--source", "/messages/modules/other"];
    check(&other, 1, "false\n");
    // Without a source, the message is from where the route takes.
    let whose =
        "FROM /messages/modules/sensor/* WHERE $connectionModuleId = 'sensor' INTO $upstream";
    check(&["--route", whose], 0, "true\n");
    let twin = "FROM /twinChangeNotifications WHERE twin_change_includes(properties.reported.room) \
                INTO $upstream";
    check(&["--route", twin], 0, "true\n");
}

#[test]
fn compatibility_is_that_of_the_documentation_unless_asked_for() {
    let home = Home::new();
    let condition = ["--condition", "is_defined($body.missing)"];
    assert_eq!(test(&home, &condition).stdout, "false\n");
    let edge_hub = [&condition[..], &["--compatibility", "edgehub"]].concat();
    assert_eq!(test(&home, &edge_hub).ok().stdout, "true\n");
    let documented = [&condition[..], &["--compatibility", "documented"]].concat();
    assert_eq!(test(&home, &documented).stdout, "false\n");
}

#[test]
fn what_does_not_compile_is_shown_with_carets_and_a_fix() {
    let home = Home::new();
    let outcome = test(
        &home,
        &["--condition", "status = 'hot' AND temperature > 30"],
    );
    let expected = "\
error: the condition does not compile
caused by: column 20: `temperature` is a text, and `30` is a number; expected two values of one type
  status = 'hot' AND temperature > 30
                     ^^^^^^^^^^^^^^^^

hint: write `as_number(temperature) > 30`
";
    let outcome = outcome.ended_with(3);
    assert_eq!(
        (outcome.stdout.as_str(), outcome.stderr.as_str()),
        ("", expected)
    );

    let route = "FROM /messages/* WHERE status == 'hot' INTO $upstream";
    test(&home, &["--route", route]).ended_with(3).says(&[
        "the route does not compile",
        "column 31: `==` is no operator; expected `=`",
        "\n                                ^^",
    ]);

    let json = test(
        &home,
        &["--condition", "temperature > 30", "--output", "json"],
    );
    let json = json.ended_with(3).json();
    assert_eq!(json["result"], "error");
    assert_eq!(json["error"]["column"], 1);
    assert_eq!(json["error"]["width"], 16);
    assert_eq!(json["error"]["fix"], "as_number(temperature) > 30");
}

#[test]
fn what_cannot_be_read_ends_with_4() {
    let home = Home::new();
    let check = |content: &str, expected: &str| {
        let args = ["route", "test", "--condition", "true", "--message", "-"];
        let outcome = home.verb_with_input(&args, content).ended_with(4);
        assert_eq!(outcome.stdout, "");
        outcome.says(&[expected]);
    };
    check("", "EOF while parsing a value at line 1 column 0");
    check(
        "{\n \"properties\": 5\n}",
        "expected an object of texts at line 2 column 16",
    );
    check("{\"bodyBase64\": \"%\"}", "`bodyBase64` is not base64");
    check("{\"body\": 1, \"bodyText\": \"a\"}", "not 2");
    check(
        "{\"systemProperties\": {\"contentTyp\": \"a\"}}",
        "`contentTyp` is no system property",
    );
    check("{\"propertys\": {}}", "unknown field `propertys`");
    let missing = [
        "route",
        "test",
        "--condition",
        "true",
        "--message",
        "/no/such/file",
    ];
    home.verb(&missing)
        .ended_with(4)
        .says(&["cannot read `/no/such/file`"]);
    let cases = ["route", "test", "--cases", "/no/such/file"];
    home.verb(&cases)
        .ended_with(4)
        .says(&["cannot read `/no/such/file`"]);
    let empty = home.write("empty.ndjson", "\n");
    let empty = empty.to_str().expect("paths of tests are UTF-8");
    home.verb(&["route", "test", "--condition", "true", "--cases", empty])
        .ended_with(4)
        .says(&["holds no case"]);
    // A condition that does not compile is told first.
    let both = [
        "route",
        "test",
        "--condition",
        "(",
        "--message",
        "/no/such/file",
    ];
    home.verb(&both).ended_with(3);
}

#[test]
fn parts_are_explained_on_standard_error() {
    let home = Home::new();
    let condition = "as_number(temperature) > 30 AND $body.values[1] = 2.5";
    let outcome = test(&home, &["--condition", condition, "--explain"]).ok();
    assert_eq!(outcome.stdout, "true\n");
    let lines: Vec<Vec<&str>> = outcome
        .stderr
        .lines()
        .map(|line| {
            line.split("  ")
                .map(str::trim)
                .filter(|cell| !cell.is_empty())
                .collect()
        })
        .collect();
    let expected: [&[&str]; 7] = [
        &["PART", "VALUE"],
        &[condition, "true"],
        &["as_number(temperature) > 30", "true"],
        &["as_number(temperature)", "31"],
        &["temperature", "'31'"],
        &["$body.values[1] = 2.5", "true"],
        &["$body.values[1]", "2.5"],
    ];
    assert_eq!(lines, expected);

    let json = test(
        &home,
        &["--condition", condition, "--explain", "--output", "json"],
    );
    let json = json.ok().json();
    assert_eq!(json["result"], "true");
    let parts = json["parts"].as_array().expect("parts");
    let temperature = json!({ "depth": 3, "text": "temperature", "value": "'31'" });
    assert!(parts.contains(&temperature), "{json}");
}

#[test]
fn what_is_hardly_meant_is_said() {
    let home = Home::new();
    let bare = home.write("bare.json", r#"{"body": {"a": 1}}"#);
    let bare = bare.to_str().expect("a UTF-8 path");
    let args = [
        "route",
        "test",
        "--message",
        bare,
        "--condition",
        "$body.a = 1",
    ];
    let outcome = home.verb(&args).ended_with(1);
    assert_eq!(outcome.stdout, "undefined\n");
    outcome.says(&["warning: the body is not seen: its `contentType` is not `application/json`"]);
    test(&home, &["--condition", "status = hot"])
        .ended_with(1)
        .says(&["warning: column 10: `hot` is read as a property; a text is `'hot'`"]);
}

#[test]
fn the_table_of_cases_agrees() {
    let home = Home::new();
    let file = paths::repository().join("host/model/tests/conditions/cases.ndjson");
    let file = file.to_str().expect("a UTF-8 path");
    let outcome = home.verb(&["route", "test", "--cases", file]).ok();
    let lines: Vec<&str> = outcome.stdout.lines().collect();
    assert!(lines.len() >= 600, "only {} cases", lines.len());
    assert!(
        lines.iter().all(|line| line.starts_with("ok ")),
        "{}",
        outcome.stdout
    );
}

#[test]
fn cases_have_several_forms_and_say_what_differs() {
    let home = Home::new();
    let lines = [
        json!({ "condition": "a = 'x'", "message": { "properties": { "a": "x" } }, "expect": "true" }),
        json!({ "name": "inline", "properties": { "a": "y" }, "expect": false }),
        json!({ "name": "open", "properties": {} }),
        json!({ "name": "wrong", "properties": {}, "expect": "true" }),
        json!({ "name": "refused", "condition": "a > 1", "message": {}, "expect": "error", "why": "12.4" }),
        json!({ "name": "routed", "route": "FROM /messages/modules/m/* INTO $upstream",
                "source": "/messages/modules/n", "expect": "false" }),
        json!({ "name": "edgehub", "condition": "is_array(a)", "compatibility": "edgehub", "expect": "error" }),
    ];
    let file = home.write_lines("cases.ndjson", &lines);
    let file = file.to_str().expect("a UTF-8 path");
    let args = ["route", "test", "--condition", "a = 'x'", "--cases", file];
    let outcome = home.verb(&args).ended_with(1);
    let expected = "\
ok      line 1: true: a = 'x'
ok      line 2: false: inline
-       line 3: undefined: open
FAILED  line 4: undefined, expected true: wrong
ok      line 5: error: refused (column 1: `a` is a text, and `1` is a number)
ok      line 6: false: routed
ok      line 7: error: edgehub (column 1: IoT Edge's hub has no function `is_array`)
";
    assert_eq!(outcome.stdout, expected);
    assert_eq!(outcome.stderr, "error: 1 of 7 cases failed\n");

    let json = home
        .verb(&[&args[..], &["--output", "json"]].concat())
        .ended_with(1);
    let values: Vec<Value> = json
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(values.len(), lines.len());
    assert_eq!(values[3]["agrees"], false);
    assert_eq!(values[4]["error"]["fix"], "as_number(a) > 1");

    let broken = "{\"properties\": {}, \"expect\": \"maybe\"}\n{\n\n{\"condition\": \"true\"}\n";
    let args = ["route", "test", "--condition", "true", "--cases", "-"];
    home.verb_with_input(&args, broken).ended_with(4).says(&[
        "line 1: `expect`: expected `true`, `false`, `undefined` or `error`",
        "line 2: not a JSON object",
        "2 lines of standard input cannot be read",
    ]);
    let nothing = ["route", "test", "--cases", "-"];
    home.verb_with_input(&nothing, "{}")
        .ended_with(4)
        .says(&["no `route` and no `condition`"]);
}

#[test]
fn wrong_arguments_end_with_2() {
    let home = Home::new();
    for args in [
        &["--condition", "true"][..],
        &["--message", "-"],
        &[
            "--condition",
            "true",
            "--route",
            "FROM /* INTO $upstream",
            "--message",
            "-",
        ],
        &["--condition", "true", "--message", "-", "--cases", "-"],
        &[
            "--condition",
            "true",
            "--message",
            "-",
            "--source",
            "nowhere",
        ],
        &[
            "--condition",
            "true",
            "--message",
            "-",
            "--compatibility",
            "other",
        ],
    ] {
        home.verb(&[&["route", "test"], args].concat())
            .ended_with(2);
    }
}
