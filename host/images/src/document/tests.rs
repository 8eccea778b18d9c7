use super::*;

const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// A manifest in which one text is replaced by another.
fn manifest_with(from: &str, to: &str) -> String {
    let text = format!(
        r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{{"mediaType":"{WASM_CONFIG}","digest":"{DIGEST}","size":7}},"layers":[{{"mediaType":"{WASM_LAYER}","digest":"{DIGEST}","size":9}}],"annotations":{{"a":"b"}}}}"#
    );
    assert!(text.contains(from), "{from}");
    text.replace(from, to)
}

fn outcome(text: &str, announced: Option<&str>) -> String {
    use std::error::Error as _;
    match Document::read(text.as_bytes(), announced) {
        Ok(Document::Manifest(manifest)) => format!("manifest {}", manifest.layer.media_type),
        Ok(Document::Index(index)) => format!("index {}", index.entries.len()),
        Err(err) => match err.source() {
            None => err.to_string(),
            Some(source) => format!("{err}: {source}"),
        },
    }
}

#[test]
fn manifests_of_module_images_are_read() {
    let check = |from: &str, to: &str, announced: Option<&str>| {
        let found = outcome(&manifest_with(from, to), announced);
        assert!(found.starts_with("manifest "), "{to}: {found}");
    };
    check("", "", None);
    check("", "", Some(MANIFEST));
    check("", "", Some("application/json; charset=utf-8"));
    check(
        &format!(r#""mediaType":"{MANIFEST}","#),
        "",
        Some(&format!("{MANIFEST}; charset=utf-8")),
    );
    check(MANIFEST, MANIFEST_OF_DOCKER, Some(MANIFEST_OF_DOCKER));
    check(WASM_CONFIG, "application/vnd.oci.empty.v1+json", None);
    for layer in WASM_LAYERS {
        check(WASM_LAYER, layer, None);
    }
    check(r#","annotations":{"a":"b"}"#, "", None);
    check(r#"{"a":"b"}"#, "null", None);
    check("2,", r#"2,"artifactType":"x/y","subject":{"a":[1]},"#, None);
}

#[test]
fn a_manifest_that_is_none_of_ours_says_why() {
    let check = |from: &str, to: &str, expected: &str| {
        let found = outcome(&manifest_with(from, to), None);
        assert!(found.contains(expected), "{to}: {found}");
    };
    check(":2,", ":1,", "its `schemaVersion` is 1, expected 2");
    check(":2,", ":2.5,", "it is not a manifest that can be read");
    check(
        WASM_LAYER,
        "application/vnd.oci.image.layer.v1.tar+gzip",
        "its layer is `application/vnd.oci.image.layer.v1.tar+gzip`, expected `application/wasm`",
    );
    check(
        &format!(r#"{{"mediaType":"{WASM_LAYER}","digest":"{DIGEST}","size":9}}"#),
        "",
        "it has 0 layers, expected one: a component",
    );
    check(
        r#""size":9}]"#,
        &format!(r#""size":9}},{{"mediaType":"a/b","digest":"{DIGEST}","size":1}}]"#),
        "it has 2 layers, expected one: a component",
    );
    check(
        r#""size":9"#,
        r#""size":67108865"#,
        "its component has 67108865 bytes, more than 67108864",
    );
    check(
        r#""size":7"#,
        r#""size":18446744073709551615"#,
        "its config has 18446744073709551615 bytes, more than 1048576",
    );
    check(r#""size":9"#, r#""size":-9"#, "invalid value: integer `-9`");
    check(r#""size":9"#, r#""size":"9""#, "invalid type: string");
    check(
        r#""size":9"#,
        r#""size":1e300"#,
        "invalid type: floating point",
    );
    check(
        "sha256:0123",
        "sha256:../..",
        "a digest in it is none: `sha256:../..456789abcdef",
    );
    check("sha256:", "sha512:", "does not start with `sha256:`");
    check(
        MANIFEST,
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
        "its media type is `application/vnd.docker.distribution.manifest.v1+prettyjws`",
    );
    check(
        &format!(r#""mediaType":"{MANIFEST}","#),
        "",
        "its media type is `none`",
    );
    check(MANIFEST, INDEX, "of a manifest and those of an index");
    check(
        r#""annotations""#,
        r#""manifests":[],"annotations""#,
        "of a manifest and those of an index",
    );
    check(
        r#""layers""#,
        r#""layer""#,
        "of a manifest and those of an index",
    );
    check(r#"{"a":"b"}"#, r#"{"a":{}}"#, "expected a string");
    check(
        r#""annotations""#,
        r#""layers":[],"annotations""#,
        "duplicate field `layers`",
    );
}

#[test]
fn what_it_was_announced_as_must_be_what_it_says() {
    let text = manifest_with("a", "a");
    assert_eq!(
        outcome(&text, Some(INDEX)),
        format!("it says it is `{MANIFEST}`, and was announced as `{INDEX}`")
    );
    assert_eq!(
        outcome(&text, Some("text/html; charset=utf-8")),
        format!("it says it is `{MANIFEST}`, and was announced as `text/html`")
    );
    let err = ImageManifest::read(index("").as_bytes(), None).unwrap_err();
    assert!(matches!(err, DocumentFault::MediaType { .. }), "{err}");
}

fn index(entries: &str) -> String {
    format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{entries}]}}"#)
}

#[test]
fn the_entry_for_wasm_is_chosen() {
    let entry = |size: u64, platform: &str| {
        let platform = match platform.split_once('/') {
            Some((os, architecture)) => {
                format!(r#","platform":{{"os":"{os}","architecture":"{architecture}"}}"#)
            }
            None => String::new(),
        };
        format!(r#"{{"mediaType":"{MANIFEST}","digest":"{DIGEST}","size":{size}{platform}}}"#)
    };
    let check = |platforms: &[&str], expected: Result<u64, &str>| {
        let entries = (1..).zip(platforms);
        let entries: Vec<_> = entries.map(|(size, name)| entry(size, name)).collect();
        let text = index(&entries.join(","));
        let Ok(Document::Index(index)) = Document::read(text.as_bytes(), None) else {
            panic!("{text}");
        };
        let chosen = index.choose().map(|chosen| chosen.size_bytes);
        let chosen = chosen.map_err(|err| err.to_string());
        assert_eq!(chosen, expected.map_err(str::to_owned), "{platforms:?}");
    };
    check(&["linux/amd64", "wasip1/wasm", "wasip2/wasm"], Ok(3));
    check(&["linux/amd64", "wasi/wasm"], Ok(2));
    check(&[""], Ok(1));
    let none = |platforms| format!("it is for other platforms ({platforms}), none is `wasm`");
    check(&["", ""], Err(&none("/, /")));
    check(&["linux/arm64"], Err(&none("linux/arm64")));
    check(&[], Err(&none("")));
}

#[test]
fn bombs_are_refused_before_they_are_in_memory() {
    let refused = |text: String, expected: &str| {
        let found = outcome(&text, None);
        assert!(found.contains(expected), "{found}");
    };
    let whole = "x".repeat(usize::try_from(MANIFEST_BYTES_MAX).unwrap() + 1);
    refused(whole, "it has more than 1048576 bytes");
    let deep = "[".repeat(500_000);
    refused(manifest_with(r#"{"a":"b"}"#, &deep), "it is not a manifest");
    refused(
        manifest_with("2,", &format!("2,\"x\":{deep}")),
        "it is not a manifest that can be read",
    );
    let layer = format!(r#"{{"mediaType":"a","digest":"{DIGEST}","size":1}},"#);
    let layers = format!("[{}", layer.repeat(5000));
    refused(
        manifest_with("[{", &format!("{layers}{{")),
        "more than 200 entries",
    );
    refused(index(&layer.repeat(101)), "more than 100 entries");
    let many: String = (0..257)
        .map(|number| format!(r#""{number}":"","#))
        .collect();
    refused(
        manifest_with(r#"{"a":"#, &format!(r#"{{{many}"a":"#)),
        "more than 256 annotations",
    );
    let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(65_536));
    refused(manifest_with(r#"{"a":"b"}"#, &long), "65536 bytes of them");
    let long = "x/".repeat(10_000);
    refused(manifest_with(WASM_LAYER, &long), "its layer is `x/x/");
    assert!(outcome(&manifest_with(WASM_LAYER, &long), None).len() < 400);
}

#[test]
fn an_image_of_ours_is_as_the_layout_for_wasm_says_and_is_read_again() {
    let component = Digest::of(b"component");
    let facts = ImageFacts {
        created: "2026-08-01T10:00:00Z".parse().unwrap(),
        author: None,
        file_name: Some("filter.wasm".to_owned()),
        component: ComponentFacts {
            exports: vec!["wasm-edge:module/init@0.1.0".to_owned()],
            imports: vec!["wasi:io/streams@0.2.6".to_owned()],
            target: None,
        },
        annotations: [("org.opencontainers.image.version", "1.2")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
    };
    let packed = PackedImage::new(component, 9, &facts);
    assert_eq!(
        std::str::from_utf8(&packed.config).unwrap(),
        format!(
            r#"{{"created":"2026-08-01T10:00:00.0000000Z","architecture":"wasm","os":"wasip2","layerDigests":["{component}"],"component":{{"exports":["wasm-edge:module/init@0.1.0"],"imports":["wasi:io/streams@0.2.6"]}}}}"#
        )
    );
    assert_eq!(packed.digest, Digest::of(&packed.manifest));
    let read = ImageManifest::read(&packed.manifest, Some(MANIFEST)).unwrap();
    assert_eq!(read.layer, packed.layer);
    assert_eq!(read.config, packed.config_descriptor);
    assert_eq!(read.config.digest, Digest::of(&packed.config));
    assert_eq!(read.size_bytes(), 9 + packed.config.len() as u64);
    assert_eq!(
        read.annotations["org.opencontainers.image.created"],
        "2026-08-01T10:00:00.0000000Z"
    );
    let text = std::str::from_utf8(&packed.manifest).unwrap();
    let title = r#""annotations":{"org.opencontainers.image.title":"filter.wasm"}"#;
    assert!(text.contains(title), "{text}");
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_reading_panic(
        bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200),
        at in 0usize..500,
    ) {
        let _ = Document::read(&bytes, None);
        let mut text = manifest_with("a", "a").into_bytes();
        let at = at.min(text.len());
        let end = (at + bytes.len()).min(text.len());
        text.splice(at..end, bytes);
        let _ = Document::read(&text, None);
    }
}
