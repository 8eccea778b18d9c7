use super::*;

const PAGE: &str = include_str!("../../../../docs/configuration.md");

fn router(text: &str) -> RouterConfig {
    let config = Config::parse(text).unwrap_or_else(|faults| panic!("{text}:\n{faults}"));
    config.router
}

fn check(text: &str, expected: &[&str]) {
    let faults = Config::parse(text).expect_err(text);
    let told: Vec<_> = faults.0.iter().map(ToString::to_string).collect();
    assert_eq!(told, expected, "{text}");
}

#[test]
fn nothing_said_is_the_default() {
    assert_eq!(router(""), RouterConfig::default());
    assert_eq!(router("# nothing\n[router]\n"), RouterConfig::default());
}

#[test]
fn every_key_is_read() {
    let text = r#"
        [router]
        durability = "process"
        compatibility = "edgehub"
        max_bytes = 16_777_216
        max_messages = 100000
        endpoint_max_bytes = 0x200000
        endpoint_max_messages = 50000
        when_full = "thin-out"
    "#;
    let expected = RouterConfig {
        durability: Some(Durability::Process),
        compatibility: Compatibility::EdgeHub,
        max_bytes: 16 << 20,
        max_messages: Some(100_000),
        endpoint_max_bytes: Some(2 << 20),
        endpoint_max_messages: Some(50_000),
        when_full: WhenFull::ThinOut,
    };
    assert_eq!(router(text), expected);
    assert_eq!(
        router("router.durability = 'none'").durability,
        Some(Durability::None)
    );
}

#[test]
fn every_fault_is_told_with_its_place() {
    check(
        "size = 1\n[router]\ndurability = \"disk\"\n  max_bytes = \"1 GiB\"\nmax_messages = 3\nqueue = 2\nwhen_full = true\n[log]\nlevel = 1\n",
        &[
            "line 1, column 1: size: the key is not known; expected `router`",
            "line 3, column 14: router.durability: `disk` stands here; expected `none`, `process` or `power`",
            "line 4, column 15: router.max_bytes: a string stands here; expected a whole number from 4194304 to 1099511627776",
            "line 5, column 16: router.max_messages: 3 stands here; expected a whole number from 16 to 1000000000",
            "line 6, column 1: router.queue: the key is not known; expected `durability`, `compatibility`, `max_bytes`, `max_messages`, `endpoint_max_bytes`, `endpoint_max_messages` or `when_full`",
            "line 7, column 13: router.when_full: a boolean stands here; expected `refuse`, `drop-oldest`, `drop-newest` or `thin-out`",
            "line 8, column 2: log: the key is not known; expected `router`",
        ],
    );
    check(
        "router = 5",
        &["line 1, column 10: router: a whole number stands here; expected a table"],
    );
    check(
        "[router]\nmax_bytes = -1\nendpoint_max_bytes = 99999999999999999999\n",
        &[
            "line 2, column 13: router.max_bytes: -1 stands here; expected a whole number from 4194304 to 1099511627776",
            "line 3, column 22: router.endpoint_max_bytes: 99999999999999999999 stands here; expected a whole number from 1048576 to 1099511627776",
        ],
    );
}

#[test]
fn a_text_that_is_not_toml_is_told_where_it_is_not() {
    for (text, line, column) in [
        ("[router\n", 1, 8),
        ("[router]\nmax_bytes = 1\nmax_bytes = 2\n", 3, 1),
        ("[router]\n# ä\nä = = 1\n", 3, 1),
    ] {
        let faults = Config::parse(text).expect_err(text);
        let first = &faults.0[0];
        assert_eq!(
            (first.line, first.column),
            (Some(line), Some(column)),
            "{faults}"
        );
        assert!(
            first.problem.starts_with("the text is not TOML: "),
            "{faults}"
        );
    }
    let long = " ".repeat(CONFIG_SIZE_MAX_BYTES + 1);
    check(
        &long,
        &[
            "line 1, column 1: configuration: the text has 65537 bytes; expected at most 65536 bytes",
        ],
    );
}

#[test]
fn hostile_texts_end_in_faults_of_bounded_number() {
    let keys: String = (0..5_000).map(|n| format!("k{n} = 1\n")).collect();
    let faults = Config::parse(&keys).expect_err("none is known");
    assert_eq!(faults.0.len(), wasm_edge_model::manifest::FAULTS_MAX);
    for text in [
        "a = ".to_owned() + &"[".repeat(30_000),
        "a.".repeat(20_000) + "b = 1",
        "[".repeat(60_000),
        "\u{0}".to_owned(),
    ] {
        assert!(Config::parse(&text).is_err());
    }
}

#[test]
fn the_page_has_every_key_with_its_range_and_default() {
    let rows: Vec<Vec<&str>> = PAGE
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .map(|line| line.split('|').map(str::trim).collect())
        .collect();
    let row = |key: &str| {
        let named = |row: &&Vec<&str>| row[0].trim_end_matches('`') == key;
        rows.iter()
            .find(named)
            .unwrap_or_else(|| panic!("`{key}` is not on the page"))
    };
    assert_eq!(rows.len(), ROUTER_KEYS.len(), "{rows:?}");
    let number = |row: &[&str], cell: usize| row[cell].parse::<u64>().ok();
    for key in ROUTER_KEYS {
        let (default, from, to) = (row(key)[1], number(row(key), 2), number(row(key), 3));
        let range = match key {
            "max_bytes" => Some(STORE_BYTES),
            "endpoint_max_bytes" => Some(ENDPOINT_BYTES),
            "max_messages" | "endpoint_max_messages" => Some(MESSAGES),
            _ => None,
        };
        let range = range.map(|range| (*range.start(), *range.end()));
        assert_eq!(from.zip(to), range, "{key}");
        let default_is_so = match key {
            "max_bytes" => default == STORE_BYTES_DEFAULT.to_string(),
            "when_full" => default == "`refuse`",
            "compatibility" => default == "`documented`",
            _ => !default.is_empty(),
        };
        assert!(default_is_so, "{key}: {default}");
        // A key that is not read would be told as one that is not known.
        let faults = Config::parse(&format!("[router]\n{key} = []\n")).expect_err(key);
        assert!(faults.0[0].problem.contains("an array"), "{faults}");
    }
}
