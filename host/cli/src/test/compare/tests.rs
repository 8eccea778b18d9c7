use super::*;

fn got(lines: &[Value]) -> Vec<CameOut> {
    let read = |line: &Value| CameOut {
        group: Group::of(line.as_object().unwrap()).unwrap(),
        json: line.clone(),
        body: match (line.get("body"), line.get("bodyText")) {
            (Some(body), _) => body.to_string().into_bytes(),
            (None, Some(text)) => text.as_str().unwrap().into(),
            (None, None) => Vec::new(),
        },
    };
    lines.iter().map(read).collect()
}

/// What the comparison says, one text for each difference.
fn said(expected: &[Value], came_out: &[Value], strictness: Strictness) -> Vec<String> {
    let text: String = expected.iter().map(|line| format!("{line}\n")).collect();
    let differences = compare(&expectations(&text).unwrap(), &got(came_out), strictness);
    let shown = differences.iter().map(|difference| {
        let what = match &difference.kind {
            Kind::Differs {
                path,
                wanted,
                found,
                ..
            } => format!(
                "{path}: {} for {}",
                found
                    .as_ref()
                    .map_or("nothing".to_owned(), Value::to_string),
                wanted
                    .as_ref()
                    .map_or("nothing".to_owned(), Value::to_string)
            ),
            Kind::Missing { .. } => "missing".to_owned(),
            Kind::Unexpected { .. } => "unexpected".to_owned(),
        };
        format!("{} {}: {what}", difference.group, difference.number)
    });
    shown.collect()
}

#[test]
fn what_is_named_has_to_fit_and_the_rest_may_be_anything() {
    let check = |expected: Value, came_out: Value, differs: &[&str]| {
        assert_eq!(said(&[expected], &[came_out], Strictness::Named), differs);
    };
    let alert = json!({ "output": "a", "body": { "x": 1, "y": [{ "z": 2, "q": 3 }] }, "properties": { "p": "1" } });
    check(json!({ "output": "a" }), alert.clone(), &[]);
    check(
        json!({ "output": "a", "body": { "x": 1.0 } }),
        alert.clone(),
        &[],
    );
    check(
        json!({ "output": "a", "body": { "y": [{ "z": 2 }] } }),
        alert.clone(),
        &[],
    );
    check(
        json!({ "output": "a", "body": { "y": [{ "z": 5 }] } }),
        alert.clone(),
        &["output `a` 1: body.y[0].z: 2 for 5"],
    );
    check(
        json!({ "output": "a", "body": { "y": [] } }),
        alert.clone(),
        &["output `a` 1: body.y: [{\"q\":3,\"z\":2}] for []"],
    );
    check(
        json!({ "output": "a", "properties": { "none": "1" } }),
        alert,
        &["output `a` 1: properties.none: nothing for \"1\""],
    );
}

#[test]
fn exact_leaves_no_room() {
    let alert = json!({ "output": "a", "body": { "x": 1 }, "properties": { "p": "1" } });
    let check = |expected: Value, differs: &[&str]| {
        assert_eq!(
            said(&[expected], std::slice::from_ref(&alert), Strictness::Exact),
            differs
        );
    };
    check(alert.clone(), &[]);
    check(
        json!({ "output": "a", "body": { "x": 1 } }),
        &["output `a` 1: properties: {\"p\":\"1\"} for nothing"],
    );
    check(
        json!({ "output": "a", "body": {}, "properties": { "p": "1" } }),
        &["output `a` 1: body.x: 1 for nothing"],
    );
}

#[test]
fn each_group_is_in_order_of_its_own() {
    let came_out = [
        json!({ "output": "a", "bodyText": "1" }),
        json!({ "reported": { "n": 1 } }),
        json!({ "output": "b", "bodyText": "2" }),
        json!({ "output": "a", "bodyText": "3" }),
    ];
    let expected = [
        json!({ "output": "b", "bodyText": "2" }),
        json!({ "output": "a", "bodyText": "1" }),
        json!({ "output": "a", "bodyText": "3" }),
        json!({ "reported": { "n": 1 } }),
    ];
    assert!(said(&expected, &came_out, Strictness::Named).is_empty());
    let swapped = [
        expected[0].clone(),
        expected[2].clone(),
        expected[1].clone(),
    ];
    assert_eq!(
        said(&swapped, &came_out, Strictness::Named),
        [
            "output `a` 1: bodyText: \"1\" for \"3\"",
            "output `a` 2: bodyText: \"3\" for \"1\"",
            "reported properties 1: unexpected"
        ]
    );
}

#[test]
fn nothing_expected_means_that_nothing_may_come_out() {
    let came_out = [
        json!({ "bodyText": "1" }),
        json!({ "aside": { "message": 1 } }),
        json!({ "log": { "text": "fine" } }),
    ];
    assert_eq!(
        said(&[], &came_out, Strictness::Named),
        [
            "messages without an output 1: unexpected",
            "messages put aside 1: unexpected"
        ]
    );
    assert_eq!(
        said(&[json!({ "output": "a" })], &[], Strictness::Named),
        ["output `a` 1: missing"]
    );
}

#[test]
fn log_lines_have_to_occur_in_order_and_all_of_them_if_exact() {
    let came_out: Vec<Value> = ["a", "b", "c"]
        .iter()
        .map(|text| json!({ "log": { "level": "info", "text": text } }))
        .collect();
    let line = |text: &str| json!({ "log": { "text": text } });
    assert!(said(&[line("a"), line("c")], &came_out, Strictness::Named).is_empty());
    assert_eq!(
        said(&[line("c"), line("a")], &came_out, Strictness::Named),
        ["log lines 2: missing"]
    );
    assert_eq!(said(&[line("a")], &came_out, Strictness::Exact).len(), 3);
}

#[test]
fn a_body_is_compared_in_the_form_that_is_expected() {
    let came_out = [json!({ "output": "a", "body": { "x": 1 } })];
    let check = |expected: Value, fits: bool| {
        let differences = said(&[expected], &came_out, Strictness::Exact);
        assert_eq!(differences.is_empty(), fits, "{differences:?}");
    };
    check(json!({ "output": "a", "bodyText": "{\"x\":1}" }), true);
    check(json!({ "output": "a", "bodyBase64": "eyJ4IjoxfQ==" }), true);
    check(json!({ "output": "a", "bodyText": "{\"x\": 1}" }), false);
}

#[test]
fn lines_that_expect_nothing_known_are_refused() {
    for line in [
        "{}",
        "{\"otput\": \"a\"}",
        "{\"reported\": {}, \"body\": 1}",
        "{\"output\": 5}",
        "{\"body\": 1, \"bodyText\": \"1\"}",
        "[]",
        "{",
    ] {
        let faults = expectations(line).unwrap_err();
        assert_eq!(faults.len(), 1, "{line}");
    }
}
