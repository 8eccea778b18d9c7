use proptest::prelude::*;

use super::merge::tests::arbitrary_object;
use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_unix_millis(second * 1000)
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        other => panic!("not an object: {other}"),
    }
}

fn text(second: i64) -> String {
    at(second).to_string()
}

#[test]
fn a_new_twin_is_empty_at_version_one() {
    let twin = Twin::new(at(0));
    let empty = json!({"$metadata": {"$lastUpdated": text(0)}, "$version": 1});
    let expected = json!({
        "etag": "AAAAAAAAAAE=", "version": 1, "tags": {},
        "properties": {"desired": empty, "reported": empty},
    });
    assert_eq!(Value::Object(twin.service_view()), expected);
    let expected = json!({"desired": {"$version": 1}, "reported": {"$version": 1}});
    assert_eq!(twin.device_view(), expected);
}

#[test]
fn a_patch_moves_properties_metadata_and_version() {
    let mut section = Section::new(at(0));
    let first = object(json!({"a": {"b": 1, "c": [1]}, "d": null, "e": "x"}));
    let applied = section.apply_patch(&first, at(1)).unwrap();
    assert_eq!((applied.version, section.version()), (2, 2));
    let second = object(json!({"a": {"b": 2}, "e": null, "$version": 7}));
    let applied = section.apply_patch(&second, at(2)).unwrap();
    assert_eq!(
        applied.notification(),
        json!({"a": {"b": 2}, "e": null, "$version": 3})
    );
    assert_eq!(
        section.device_json(),
        json!({"a": {"b": 2, "c": [1]}, "$version": 3})
    );
    let entry = |second: i64, version: u64| {
        object(json!({"$lastUpdated": text(second), "$lastUpdatedVersion": version}))
    };
    let with = |mut outer: Map<String, Value>, key: &str, inner: Map<String, Value>| {
        outer.insert(key.into(), inner.into());
        outer
    };
    let a = with(with(entry(2, 3), "b", entry(2, 3)), "c", entry(1, 2));
    let expected = json!({
        "a": {"b": 2, "c": [1]}, "$version": 3,
        "$metadata": with(entry(2, 3), "a", a),
    });
    assert_eq!(section.service_json(SectionKind::Desired), expected);
}

#[test]
fn only_desired_metadata_carries_versions() {
    let mut section = Section::new(at(0));
    section
        .apply_patch(&object(json!({"a": {"b": 1}})), at(1))
        .unwrap();
    let expected = json!({
        "a": {"b": 1}, "$version": 2,
        "$metadata": {
            "$lastUpdated": text(1),
            "a": {"$lastUpdated": text(1), "b": {"$lastUpdated": text(1)}},
        },
    });
    assert_eq!(section.service_json(SectionKind::Reported), expected);
}

#[test]
fn a_value_that_becomes_an_object_gets_metadata_at_every_level() {
    let mut section = Section::new(at(0));
    section
        .apply_patch(&object(json!({"a": 1, "b": {"c": {"d": 1}}})), at(1))
        .unwrap();
    section
        .apply_patch(
            &object(json!({"a": {"x": 1, "y": null}, "b": {"c": 2}})),
            at(2),
        )
        .unwrap();
    let leaf = json!({"$lastUpdated": text(2)});
    let expected = json!({
        "$lastUpdated": text(2),
        "a": {"$lastUpdated": text(2), "x": leaf},
        "b": {"$lastUpdated": text(2), "c": leaf},
    });
    assert_eq!(
        section.service_json(SectionKind::Reported)["$metadata"],
        expected
    );
    assert_eq!(
        Value::Object(section.properties().clone()),
        json!({"a": {"x": 1}, "b": {"c": 2}})
    );
}

#[test]
fn a_replacement_leaves_nothing_of_what_was() {
    let mut section = Section::new(at(0));
    section
        .apply_patch(&object(json!({"a": 1, "b": 2})), at(1))
        .unwrap();
    let read_back = object(json!({"b": 2, "c": {"d": null}, "$version": 2, "$metadata": {}}));
    let applied = section.replace(&read_back, at(2)).unwrap();
    assert_eq!(
        applied.notification(),
        json!({"b": 2, "c": {}, "$version": 3})
    );
    let entry = json!({"$lastUpdated": text(2)});
    let expected = json!({
        "b": 2, "c": {}, "$version": 3,
        "$metadata": {"$lastUpdated": text(2), "b": entry, "c": entry},
    });
    assert_eq!(section.service_json(SectionKind::Reported), expected);
}

#[test]
fn what_fails_changes_nothing() {
    let mut twin = Twin::new(at(0));
    twin.report(&object(json!({"a": 1})), at(1)).unwrap();
    let before = twin.clone();
    let check = |twin: &mut Twin, outcome: Result<(), TwinError>, expected: &str| {
        assert_eq!(outcome.unwrap_err().to_string(), expected);
        assert_eq!(*twin, before);
    };
    let bad = object(json!({"b": {"c.d": 1}}));
    let good = object(json!({"b": 1}));
    let large: Map<String, Value> = (0..40)
        .map(|n| (format!("k{n}"), "x".repeat(1000).into()))
        .collect();
    let outcome = twin.report(&bad, at(2)).map(drop);
    check(
        &mut twin,
        outcome,
        "the key `reported.b.c.d` contains a `.`",
    );
    let outcome = twin.report(&large, at(2)).map(drop);
    check(
        &mut twin,
        outcome,
        "`reported` would hold 40119 bytes, more than 32768",
    );
    let change = ServiceChange {
        tags: Some(&good),
        desired: Some(&bad),
    };
    let outcome = twin.patch(change, at(2)).map(drop);
    check(&mut twin, outcome, "the key `desired.b.c.d` contains a `.`");
    let change = ServiceChange {
        tags: Some(&bad),
        desired: Some(&good),
    };
    let outcome = twin.replace(change, at(2)).map(drop);
    check(&mut twin, outcome, "the key `tags.b.c.d` contains a `.`");
    let change = ServiceChange {
        tags: Some(&large),
        desired: None,
    };
    let outcome = twin.patch(change, at(2)).map(drop);
    check(
        &mut twin,
        outcome,
        "`tags` would hold 40110 bytes, more than 8192",
    );
}

#[test]
fn counters_follow_what_changed() {
    let mut twin = Twin::new(at(0));
    let counters = |twin: &Twin| {
        (
            twin.version,
            twin.etag_counter,
            twin.desired.version(),
            twin.reported.version(),
        )
    };
    twin.report(&object(json!({"r": 1})), at(1)).unwrap();
    assert_eq!(counters(&twin), (2, 1, 1, 2));
    let tags = object(json!({"site": "north", "none": null}));
    let change = ServiceChange {
        tags: Some(&tags),
        desired: None,
    };
    assert_eq!(twin.patch(change, at(2)).unwrap(), None);
    assert_eq!(counters(&twin), (3, 2, 1, 2));
    assert_eq!(Value::Object(twin.tags.clone()), json!({"site": "north"}));
    let desired = object(json!({"d": 1}));
    let change = ServiceChange {
        tags: Some(&tags),
        desired: Some(&desired),
    };
    assert_eq!(twin.patch(change, at(3)).unwrap().unwrap().version, 2);
    assert_eq!(counters(&twin), (4, 3, 2, 2));
    assert_eq!(twin.patch(ServiceChange::default(), at(4)).unwrap(), None);
    assert_eq!(counters(&twin), (4, 3, 2, 2));
    let empty = Map::new();
    let change = ServiceChange {
        tags: Some(&empty),
        desired: Some(&empty),
    };
    twin.replace(change, at(5)).unwrap();
    assert_eq!(counters(&twin), (5, 4, 3, 2));
    assert_eq!(twin.tags, Map::new());
    assert_eq!(twin.desired.device_json(), json!({"$version": 3}));
    twin.etag_counter = 15;
    assert_eq!(twin.etag(), "AAAAAAAAAA8=");
}

#[test]
fn a_twin_is_stored_in_a_form_of_its_own() {
    let mut twin = Twin::new(at(0));
    twin.report(&object(json!({"a": {"b": 1}})), at(1)).unwrap();
    let stored = serde_json::to_value(&twin).unwrap();
    let new = json!({"lastUpdated": text(0)});
    let entry = |members: Value| match members {
        Value::Null => json!({"lastUpdated": text(1), "lastUpdatedVersion": 2}),
        members => json!({"lastUpdated": text(1), "lastUpdatedVersion": 2, "members": members}),
    };
    // The first stored form; later versions must still read it.
    let expected = json!({
        "format": 1, "tags": {}, "version": 2, "etag_counter": 1,
        "desired": {"properties": {}, "metadata": new, "version": 1},
        "reported": {
            "properties": {"a": {"b": 1}},
            "metadata": entry(json!({"a": entry(json!({"b": entry(Value::Null)}))})),
            "version": 2,
        },
    });
    assert_eq!(stored, expected);
    assert_eq!(
        serde_json::from_value::<Twin>(stored.clone()).unwrap(),
        twin
    );
    let mut later = stored;
    later["format"] = json!(2);
    let error = serde_json::from_value::<Twin>(later)
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "a twin of stored format 2 cannot be read: this version reads 1"
    );
}

#[test]
fn patches_are_read_strictly() {
    let check = |text: &str, expected: Result<Value, &str>| {
        let outcome = parse_patch(text)
            .map(Value::Object)
            .map_err(|error| error.to_string());
        assert_eq!(outcome, expected.map_err(String::from), "{text}");
    };
    check("{}", Ok(json!({})));
    check(
        r#"{"a":{"b":null},"c":[1],"$version":3,"$metadata":{"x":1}}"#,
        Ok(json!({"a": {"b": null}, "c": [1]})),
    );
    check("[]", Err("an array is no JSON object"));
    check("null", Err("null is no JSON object"));
    check(
        r#"{"a":1"#,
        Err("not JSON: line 1, column 7: the text ends here; expected `,` or `}`"),
    );
    check(r#"{"a":{"b":1,"b":2}}"#, Err("the key `a.b` occurs twice"));
    check(
        r#"{"a":{"$version":1}}"#,
        Err("the key `a.$version` contains a `$`"),
    );
    check(r#"{"a":[null]}"#, Err("a null stands in an array, at `a`"));
    let deep = format!("{}1{}", "{\"a\":".repeat(12), "}".repeat(12));
    check(
        &deep,
        Err(&format!("`a{}` is deeper than 10 levels", ".a".repeat(10))),
    );
    let deeper = format!("{}1{}", "[".repeat(60), "]".repeat(60));
    check(
        &format!("{{\"a\":{deeper}}}"),
        Err(
            "not JSON: line 1, column 45: arrays and objects stand too deep in each other; \
             expected at most 40 levels",
        ),
    );
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(PATCH_TEXT_MAX_BYTES));
    check(
        &long,
        Err("not JSON: line 1, column 1: the text has 262152 bytes; expected at most 262144 bytes"),
    );
}

/// The keys of the properties and of the metadata, at every level.
fn same_shape(properties: &Value, metadata: &Value) -> bool {
    let Value::Object(metadata) = metadata else {
        return false;
    };
    let members = metadata.iter().filter(|(key, _)| !key.starts_with('$'));
    match properties {
        Value::Object(properties) => {
            metadata.contains_key("$lastUpdated")
                && members.clone().count() == properties.len()
                && members.into_iter().all(|(key, member)| {
                    properties
                        .get(key)
                        .is_some_and(|value| same_shape(value, member))
                })
        }
        _ => members.count() == 0,
    }
}

proptest! {
    #[test]
    fn metadata_mirrors_the_properties_after_any_changes(
        patches in proptest::collection::vec((arbitrary_object(true), any::<bool>()), 1..6),
    ) {
        let mut section = Section::new(at(0));
        for (index, (patch, replaces)) in patches.iter().enumerate() {
            let now = at(index as i64 + 1);
            let applied = match replaces {
                true => section.replace(patch, now).unwrap(),
                false => section.apply_patch(patch, now).unwrap(),
            };
            prop_assert_eq!(applied.version, index as u64 + 2);
            let json = section.service_json(SectionKind::Desired);
            let properties = Value::Object(section.properties().clone());
            prop_assert!(same_shape(&properties, &json["$metadata"]), "{json:#}");
            prop_assert_eq!(&json["$metadata"]["$lastUpdated"], &json!(now.to_string()));
            let stored = serde_json::to_string(&section).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Section>(&stored).unwrap(), &section);
        }
    }

    #[test]
    fn who_follows_the_notifications_has_the_properties(
        patches in proptest::collection::vec(arbitrary_object(true), 1..6),
    ) {
        let mut section = Section::new(at(0));
        let mut copy = Map::new();
        for patch in &patches {
            let applied = section.apply_patch(patch, at(1)).unwrap();
            merge_patch(&mut copy, &applied.changes);
        }
        prop_assert_eq!(&copy, section.properties());
    }

    #[test]
    fn no_text_panics(text in ".{0,60}") {
        let _ = parse_patch(&text);
    }

    #[test]
    fn what_is_read_is_applied_or_refused(patch in arbitrary_object(true)) {
        let read = parse_patch(&Value::Object(patch.clone()).to_string()).unwrap();
        prop_assert_eq!(&read, &patch);
        prop_assert!(Section::new(at(0)).apply_patch(&read, at(1)).is_ok());
    }
}
