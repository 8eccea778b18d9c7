use serde_json::{Value, json};

use super::aggregate::Groups;
use super::*;

fn parse(text: &str) -> Query {
    Query::parse(text).unwrap_or_else(|err| panic!("{text}: {err}"))
}

fn twin() -> Value {
    json!({
        "deviceId": "d1", "version": 4, "status": "enabled", "connectionState": "Connected",
        "lastActivityTime": "2026-08-01T10:00:00.0000000Z",
        "capabilities": { "iotEdge": true },
        "tags": { "site": "north", "floor": 5, "group": { "region": "US" }, "my-tag": "x",
            "none": null, "list": [1, 2], "flag": false, "umlaut": "ä", "devices": { "x": 1 } },
        "properties": {
            "desired": { "interval": 5, "$version": 3 },
            "reported": { "fw": "1.2", "load": 0.5, "$version": 9,
                "lastDesiredVersion": 3, "lastDesiredStatus": { "code": 200 } },
        },
        "configurations": { "slow one": { "status": "Applied" } },
    })
}

/// Whether a condition chooses the twin; it and its opposite.
#[track_caller]
fn check(condition: &str, expected: Option<bool>) {
    let chosen = |condition: &str| {
        parse(&format!("SELECT * FROM devices WHERE {condition}")).matches(&twin())
    };
    let negated = format!("NOT ({condition})");
    let found = (chosen(condition), chosen(&negated));
    let expected = match expected {
        Some(expected) => (expected, !expected),
        None => (false, false),
    };
    assert_eq!(found, expected, "{condition}");
}

const YES: Option<bool> = Some(true);
const NO: Option<bool> = Some(false);
const UNKNOWN: Option<bool> = None;

#[test]
fn paths_lead_to_values() {
    check("tags.site = 'north'", YES);
    check("tags.site = \"north\"", YES);
    check("DEVICEID = 'd1' and Tags.site = 'north'", YES);
    check("Tags.Site = 'north'", UNKNOWN);
    check("devices.tags.site = 'north'", YES);
    check("[[tags]].[[site]] = 'north'", YES);
    check("tags.group.region = 'US'", YES);
    check("tags.[[group]].region = 'US'", YES);
    check("tags.[[my-tag]] = 'x'", YES);
    check("configurations.[[slow one]].status = 'Applied'", YES);
    check("configurations.[[other]].status = 'Applied'", UNKNOWN);
    check(
        "properties.desired.$version = properties.reported.lastDesiredVersion",
        YES,
    );
    check("properties.reported.lastDesiredStatus.code != 200", NO);
    check("capabilities.iotEdge = true", YES);
    check("capabilities.iotEdge", YES);
    check("tags.devices.x = 1", YES);
    check("[[devices]].x = 1", UNKNOWN);
    check("tags.site.deeper = 1", UNKNOWN);
    check("tags.list.length = 2", UNKNOWN);
    check("nothing = 1", UNKNOWN);
}

#[test]
fn values_are_compared_by_type() {
    check("tags.floor > 4 AND tags.floor < 6", YES);
    check("tags.floor >= 5 AND tags.floor <= 5.0", YES);
    check("tags.floor = '5'", NO);
    check("tags.floor != '5'", YES);
    check("tags.floor > '4'", UNKNOWN);
    check("tags.site > 'a'", YES);
    check("tags.site > 5", UNKNOWN);
    check("tags.flag = false", YES);
    check("tags.flag < true", UNKNOWN);
    check("tags.none = null", YES);
    check("tags.site != null", YES);
    check("tags.none != null", NO);
    check("tags.missing != null", UNKNOWN);
    check("tags.missing != 'x'", UNKNOWN);
    check("tags.group = tags.group", UNKNOWN);
    check("tags.list = 1", UNKNOWN);
    check("tags.missing = undefined", UNKNOWN);
    check("lastActivityTime > '2026-07-31'", YES);
    check("tags.umlaut = '\\u00e4'", YES);
    check("'it\\'s' <> \"it's\"", NO);
    check("tags.floor = 0x5", YES);
    check("tags.floor = 0.5e1", YES);
    check("tags.floor = 50E-1", YES);
}

#[test]
fn arithmetic_is_for_numbers() {
    check("tags.floor + 1 = 6", YES);
    check("tags.floor - 1 - 1 = 3", YES);
    check("tags.floor -1 = 4", YES);
    check("1 + 2 * 3 = 7", YES);
    check("(1 + 2) * 3 = 9", YES);
    check("8 / 4 / 2 = 1", YES);
    check("7 % 4 = 3", YES);
    check("-tags.floor = - 5", YES);
    check("- -tags.floor = 5", YES);
    check("properties.reported.load * 2 = 1", YES);
    check("1 / 0 = 1", UNKNOWN);
    check("1 % 0 = 1", UNKNOWN);
    check("tags.site + 1 = 1", UNKNOWN);
    check("-tags.site = 1", UNKNOWN);
    check("1e308 * 10 > 1", UNKNOWN);
}

#[test]
fn logic_has_three_values() {
    check("tags.missing", UNKNOWN);
    check("tags.site", UNKNOWN);
    check("5", UNKNOWN);
    check("tags.missing = 1 AND false", NO);
    check("tags.missing = 1 AND true", UNKNOWN);
    check("tags.missing = 1 OR true", YES);
    check("tags.missing = 1 OR false", UNKNOWN);
    check("true OR false AND false", YES);
    check("(true OR false) AND false", NO);
    check("NOT tags.floor = 4", YES);
    check("NOT NOT true", YES);
    check("NOT true OR true", YES);
    check("is_defined(tags.none)", YES);
    check("IS_DEFINED(tags.missing)", NO);
    check("is_defined(tags.group)", YES);
    check("TRUE = true AND FALSE = false AND Null = null", YES);
}

#[test]
fn lists_have_or_have_not_a_value() {
    check("tags.site IN ['south', 'north']", YES);
    check("tags.site in ['south']", NO);
    check("tags.site NIN ['south']", YES);
    check("tags.floor IN [-5, 5, 'x']", YES);
    check("-tags.floor IN [-5]", YES);
    check("tags.missing IN ['x']", UNKNOWN);
    check("tags.missing NIN ['x']", UNKNOWN);
    check("tags.none IN [null]", YES);
    check("tags.group IN ['x']", UNKNOWN);
    check("tags.floor IN [undefined, 5]", YES);
    check("tags.floor IN [undefined, 4]", UNKNOWN);
    check("tags.floor + 1 IN [6] AND true", YES);
}

#[track_caller]
fn check_row(columns: &str, expected: &Value) {
    let query = parse(&format!("SELECT {columns} FROM devices"));
    assert_eq!(query.row(&twin()), *expected, "{columns}");
}

#[test]
fn columns_have_the_names_of_their_paths_or_their_own() {
    check_row("deviceId", &json!({ "deviceId": "d1" }));
    check_row("DeviceID", &json!({ "deviceId": "d1" }));
    check_row(
        "deviceId AS id, tags.group.region, tags.missing, tags.none",
        &json!({ "id": "d1", "region": "US", "none": null }),
    );
    check_row(
        "tags.group AS [[my group]]",
        &json!({ "my group": { "region": "US" } }),
    );
    check_row("devices.deviceId", &json!({ "deviceId": "d1" }));
    check_row("tags.list", &json!({ "list": [1, 2] }));
}

#[test]
fn the_source_is_no_part_of_a_path() {
    let query =
        "SELECT devices.modules.moduleId FROM devices.modules WHERE devices.modules.moduleId = 'm'";
    let document = json!({ "deviceId": "d", "moduleId": "m" });
    assert!(parse(query).matches(&document));
    assert_eq!(parse(query).row(&document), json!({ "moduleId": "m" }));
    let jobs = parse("SELECT * FROM devices.jobs WHERE devices.jobs.deviceId = 'd'");
    assert_eq!(jobs.source(), Source::Jobs);
    assert!(jobs.matches(&document));
}

fn documents() -> Vec<Value> {
    let load = |site: Option<&str>, load: Value| json!({ "tags": { "site": site }, "load": load });
    vec![
        load(Some("n"), json!(3)),
        load(Some("n"), json!(1.5)),
        load(Some("s"), json!("text")),
        load(None, json!(true)),
        json!({ "tags": {}, "load": null }),
    ]
}

#[track_caller]
fn check_groups(query: &str, expected: &Value) {
    let query = parse(query);
    let mut groups = Groups::new(&query);
    for document in &documents() {
        groups.add(document).unwrap();
    }
    let rows: Vec<_> = groups.rows(None).map(|(_, row)| row).collect();
    assert_eq!(json!(rows), *expected, "{query}");
    // Behind each group come those that follow it.
    let orders: Vec<_> = groups.rows(None).map(|(order, _)| order.clone()).collect();
    for (index, order) in orders.iter().enumerate() {
        let rest: Vec<_> = groups.rows(Some(order)).map(|(_, row)| row).collect();
        assert_eq!(rest, rows[index + 1..]);
    }
}

#[test]
fn functions_make_one_row_of_all_documents() {
    check_groups("SELECT COUNT() AS n FROM devices", &json!([{ "n": 5 }]));
    check_groups("SELECT count() FROM devices", &json!([{ "$1": 5 }]));
    check_groups(
        "SELECT SUM(load) AS sum, AVG(load) AS average, MIN(load) AS least, MAX(load) AS most FROM devices",
        &json!([{ "sum": 4.5, "average": 2.25, "least": 1.5, "most": true }]),
    );
    check_groups(
        "SELECT SUM(x), AVG(x), MIN(x), MAX(x), COUNT() FROM devices",
        &json!([{ "$1": 0, "$5": 5 }]),
    );
}

#[test]
fn documents_are_grouped_by_values() {
    let query = "SELECT tags.site AS site, COUNT() AS n FROM devices GROUP BY tags.site";
    let expected = json!([
        { "site": "n", "n": 2 }, { "site": "s", "n": 1 }, { "n": 1 }, { "site": null, "n": 1 }
    ]);
    check_groups(query, &expected);
    let query = "SELECT COUNT() AS n, load, tags.site FROM devices GROUP BY tags.site, load";
    let expected = json!([
        { "n": 1, "load": 1.5, "site": "n" }, { "n": 1, "load": 3, "site": "n" },
        { "n": 1, "load": "text", "site": "s" }, { "n": 1, "load": null },
        { "n": 1, "load": true, "site": null }
    ]);
    check_groups(query, &expected);
}

#[test]
fn groups_are_limited() {
    let query = parse("SELECT x FROM devices GROUP BY x");
    let mut groups = Groups::new(&query);
    for number in 0..aggregate::GROUPS_MAX {
        groups.add(&json!({ "x": number })).unwrap();
    }
    groups.add(&json!({ "x": 0 })).unwrap();
    groups.add(&json!({ "x": -1 })).unwrap_err();
    let mut groups = Groups::new(&query);
    let large = "x".repeat(4000);
    let added = (0..aggregate::GROUPS_MAX)
        .take_while(|number| {
            groups
                .add(&json!({ "x": format!("{number}{large}") }))
                .is_ok()
        })
        .count();
    assert!((1000..aggregate::GROUPS_MAX).contains(&added), "{added}");
}

#[track_caller]
fn check_fault(query: &str, expected: &str) {
    assert_eq!(
        Query::parse(query).unwrap_err().to_string(),
        expected,
        "{query}"
    );
}

#[test]
fn faults_name_their_column_and_what_would_be_right() {
    for (query, expected) in [
        ("", "column 1: the text ends here; expected `SELECT`"),
        (
            "SELEKT *",
            "column 1: `SELEKT` cannot stand here; expected `SELECT`",
        ),
        (
            "SELECT",
            "column 7: the text ends here; expected `*`, a path such as `tags.site`, or `COUNT()`",
        ),
        ("SELECT *", "column 9: the text ends here; expected `FROM`"),
        (
            "SELECT *, a FROM devices",
            "column 9: `,` cannot stand here; expected `FROM`",
        ),
        (
            "SELECT * FROM twins",
            "column 15: `twins` cannot stand here; expected `devices`, `devices.modules` or `devices.jobs`",
        ),
        (
            "SELECT * FROM devices.twins",
            "column 23: `twins` cannot stand here; expected `devices`, `devices.modules` or `devices.jobs`",
        ),
        (
            "SELECT * FROM devices LIMIT 5",
            "column 23: `LIMIT` cannot stand here; expected `WHERE`, `GROUP BY` or the end of the query",
        ),
        (
            "SELECT * FROM devices WHERE",
            "column 28: the text ends here; expected a value, such as `tags.site`, 'text', 5 or `IS_DEFINED(tags.site)`",
        ),
        (
            "SELECT * FROM devices WHERE a == 1",
            "column 32: `=` cannot stand here; expected a value, such as `tags.site`, 'text', 5 or `IS_DEFINED(tags.site)`",
        ),
        (
            "SELECT * FROM devices WHERE a = 1 = 2",
            "column 35: `=` cannot stand here; expected `AND`, `OR` or parentheses around one comparison",
        ),
        (
            "SELECT * FROM devices WHERE a = 1 b",
            "column 35: `b` cannot stand here; expected an operator such as `=` or `AND`, `GROUP BY` or the end of the query",
        ),
        (
            "SELECT * FROM devices WHERE (a = 1",
            "column 35: the text ends here; expected an operator, or `)` to the `(` in column 29",
        ),
        (
            "SELECT * FROM devices WHERE a = 'x",
            "column 33: a text begins here and does not end; expected `'` behind it",
        ),
        (
            "SELECT * FROM devices WHERE 'ä' = 'a\\n'",
            "column 37: `\\n` is no escape; expected `\\'`, `\\\"`, `\\\\` or `\\uXXXX`",
        ),
        (
            "SELECT * FROM devices WHERE a = '\\ud800'",
            "column 34: `\\u` is followed by no character's number; expected four hexadecimal digits of one character, as in `\\u00e4`",
        ),
        (
            "SELECT * FROM devices WHERE STARTSWITH(deviceId, 'd')",
            "column 29: `STARTSWITH` is no function here; expected `IS_DEFINED(path)`, the only one",
        ),
        (
            "SELECT * FROM devices WHERE is_defined('x')",
            "column 40: `'x'` cannot stand here; expected a path such as `tags.site`",
        ),
        (
            "SELECT * FROM devices WHERE tags.[[a = 1",
            "column 34: a name in brackets begins here and does not end; expected `]]` behind the name",
        ),
        (
            "SELECT * FROM devices WHERE tags.[[]] = 1",
            "column 34: the brackets are empty; expected a name in them",
        ),
        (
            "SELECT * FROM devices WHERE tags. = 1",
            "column 35: `=` cannot stand here; expected a name behind the point",
        ),
        (
            "SELECT * FROM devices WHERE tags.5g = 1",
            "column 34: `5g` is neither a number nor a name; expected a number, or a name in brackets: `[[5g]]`",
        ),
        (
            "SELECT * FROM devices WHERE a = 0x1g",
            "column 33: `0x1g` is neither a number nor a name; expected a number, or a name in brackets: `[[0x1g]]`",
        ),
        (
            "SELECT * FROM devices WHERE a = 1e999",
            "column 33: `1e999` is too large; expected a number below 1.8e308",
        ),
        (
            "SELECT * FROM devices WHERE a = 0x11111111111111111",
            "column 33: `0x11111111111111111` is too large; expected at most 16 hexadecimal digits",
        ),
        (
            "SELECT * FROM devices WHERE a IN 'x'",
            "column 34: `'x'` cannot stand here; expected `[` and the values, as in `IN ['a', 'b']`",
        ),
        (
            "SELECT * FROM devices WHERE a IN []",
            "column 35: `]` cannot stand here; expected a text, a number, true, false or null",
        ),
        (
            "SELECT * FROM devices WHERE a IN [-'x']",
            "column 39: `]` cannot stand here; expected a text, a number, true, false or null",
        ),
        (
            "SELECT * FROM devices WHERE a IN ['x'",
            "column 38: the text ends here; expected `,` or `]` to the `[` in column 34",
        ),
        (
            "SELECT * FROM devices WHERE a & b",
            "column 31: `&` belongs to no word; expected a name, a number, a text in quotes or an operator",
        ),
        (
            "SELECT TOP x * FROM devices",
            "column 12: `x` cannot stand here; expected how many at most, as in `TOP 10`",
        ),
        (
            "SELECT TOP 0 * FROM devices",
            "column 12: `TOP` is followed by 0; expected a whole number from 1 to 4294967295",
        ),
        (
            "SELECT a, b.a FROM devices",
            "column 8: two columns are called `a`; expected another name for one of them, with `AS`",
        ),
        (
            "SELECT a AS select FROM devices",
            "column 13: `select` cannot stand here; expected a name for the column",
        ),
        (
            "SELECT COUNT(*) FROM devices",
            "column 14: `*` cannot stand here; expected `)`: `COUNT` takes nothing",
        ),
        (
            "SELECT MEDIAN(a) FROM devices",
            "column 8: `MEDIAN` is no function of a group; expected `COUNT()`, `AVG(path)`, `SUM(path)`, `MIN(path)` or `MAX(path)`",
        ),
        (
            "SELECT a, COUNT() FROM devices",
            "column 8: `a` has no single value for a group; expected `GROUP BY a`, or a function of it",
        ),
        (
            "SELECT * FROM devices GROUP BY a",
            "column 8: `*` has no value for a group; expected the paths behind `GROUP BY`, `COUNT()` and such",
        ),
        (
            "SELECT a FROM devices.jobs",
            "column 8: jobs are answered whole; expected `*`",
        ),
        (
            "SELECT * FROM devices ORDER BY a",
            "column 23: `ORDER` cannot stand here; expected `WHERE`, `GROUP BY` or the end of the query",
        ),
    ] {
        check_fault(query, expected);
    }
}

#[test]
fn what_can_grow_has_a_limit() {
    let deep = |depth| {
        let (open, close) = ("(".repeat(depth), ")".repeat(depth));
        Query::parse(&format!("SELECT * FROM devices WHERE {open}true{close}"))
    };
    deep(DEPTH_MAX).unwrap();
    let expected = "column 61: parentheses, `NOT` and `-` stand too deep in each other; expected at most 32 in each other";
    assert_eq!(deep(DEPTH_MAX + 1).unwrap_err().to_string(), expected);
    assert!(deep(QUERY_MAX_BYTES / 2 - 30).is_err());
    let nots = "NOT ".repeat(4000);
    assert!(Query::parse(&format!("SELECT * FROM devices WHERE {nots}true")).is_err());
    // What is not deep may be long.
    let long = "true AND ".repeat(1000);
    assert!(parse(&format!("SELECT * FROM devices WHERE {long}true")).matches(&twin()));
    let long = format!(
        "SELECT * FROM devices WHERE a = '{}'",
        "x".repeat(QUERY_MAX_BYTES)
    );
    let expected = "column 1: the text has 16418 bytes; expected at most 16384 bytes";
    check_fault(&long, expected);
    let columns: Vec<_> = (0..=COLUMNS_MAX)
        .map(|number| format!("c{number}"))
        .collect();
    let err = Query::parse(&format!("SELECT {} FROM devices", columns.join(", "))).unwrap_err();
    assert_eq!(err.problem, "there are more than 64 columns");
    let paths = columns.join(", ");
    let err = Query::parse(&format!("SELECT COUNT() FROM devices GROUP BY {paths}")).unwrap_err();
    assert_eq!(err.problem, "there are more than 64 paths to group by");
}

#[track_caller]
fn check_printed(query: &str, expected: &str) {
    let parsed = parse(query);
    assert_eq!(parsed.to_string(), expected);
    assert_eq!(parse(expected), parsed);
}

#[test]
fn a_query_is_written_as_it_is_read() {
    for (query, expected) in [
        ("select top 5 * from devices", "SELECT TOP 5 * FROM devices"),
        (
            "SELECT COUNT ( ) , sum(a.[[b c]]) AS [[x y]] FROM devices GROUP BY a.b,c",
            "SELECT COUNT(), SUM(a.[[b c]]) AS [[x y]] FROM devices GROUP BY a.b, c",
        ),
        (
            "SELECT * FROM devices.modules WHERE NOT(a=1 or b)and(c)",
            "SELECT * FROM devices.modules WHERE NOT (a = 1 OR b) AND c",
        ),
        (
            "SELECT * FROM devices WHERE (a AND b) AND (c OR d) OR e",
            "SELECT * FROM devices WHERE (a AND b) AND (c OR d) OR e",
        ),
        (
            "SELECT * FROM devices WHERE a-(b-c)*-d/(-(e)) <> 1.50",
            "SELECT * FROM devices WHERE a - (b - c) * - d / - e != 1.5",
        ),
        (
            "SELECT * FROM devices WHERE (a = b) = (c IN [1,-2,'x'])",
            "SELECT * FROM devices WHERE (a = b) = (c IN [1, -2, 'x'])",
        ),
        (
            "SELECT * FROM devices WHERE \"it's\\u0007\" = [[group]].where AND [[devices]].x",
            "SELECT * FROM devices WHERE 'it\\'s\\u0007' = [[group]].[[where]] AND [[devices]].x",
        ),
        (
            "SELECT devices.devices.x FROM devices",
            "SELECT [[devices]].x FROM devices",
        ),
    ] {
        check_printed(query, expected);
    }
}

#[test]
fn what_a_query_looks_at_is_known() {
    for (query, expected) in [
        ("SELECT * FROM devices", false),
        (
            "SELECT a.tags FROM devices WHERE [[devices]].tags = 'tags'",
            false,
        ),
        ("SELECT tags.a FROM devices", true),
        ("SELECT MIN(tags.a) FROM devices", true),
        ("SELECT COUNT() FROM devices GROUP BY a, tags", true),
        (
            "SELECT * FROM devices WHERE a OR NOT (b AND - (1 + 2 * tags.x) > 5)",
            true,
        ),
        ("SELECT * FROM devices WHERE IS_DEFINED(tags)", true),
        ("SELECT * FROM devices WHERE tags.x IN [1]", true),
    ] {
        assert_eq!(parse(query).asks_for("tags"), expected, "{query}");
    }
}

#[test]
fn target_conditions_name_devices_or_modules() {
    let chosen = |text: &str| {
        let target = Target::parse(text).unwrap_or_else(|err| panic!("{text}: {err}"));
        (target.source(), target.chooses(&twin()))
    };
    for (text, expected) in [
        ("", (Source::Devices, false)),
        ("  ", (Source::Devices, false)),
        ("*", (Source::Devices, true)),
        ("tags.site='north'", (Source::Devices, true)),
        ("tags.site='south'", (Source::Devices, false)),
        (
            "from devices.modules where deviceId = 'd1'",
            (Source::Modules, true),
        ),
        ("FROM devices.modules", (Source::Modules, true)),
        (
            "FROM devices WHERE devices.deviceId = 'd1'",
            (Source::Devices, true),
        ),
    ] {
        assert_eq!(chosen(text), expected, "{text}");
    }
    for (text, expected) in [
        ("tags.site", None),
        (
            "* AND a",
            Some(
                "column 3: `AND` cannot stand here; expected an operator such as `=` or `AND`, or the end",
            ),
        ),
        (
            "FROM devices.jobs",
            Some("column 6: jobs have no configurations; expected `devices` or `devices.modules`"),
        ),
        (
            "SELECT * FROM devices",
            Some(
                "column 1: `SELECT` cannot stand here; expected a value, such as `tags.site`, 'text', 5 or `IS_DEFINED(tags.site)`",
            ),
        ),
        (
            "a = 1 GROUP BY a",
            Some(
                "column 7: `GROUP` cannot stand here; expected an operator such as `=` or `AND`, or the end",
            ),
        ),
    ] {
        let found = Target::parse(text).err().map(|err| err.to_string());
        assert_eq!(found.as_deref(), expected, "{text}");
    }
}
