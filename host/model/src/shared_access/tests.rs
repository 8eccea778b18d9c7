use proptest::prelude::*;

use super::*;

fn key(byte: u8) -> SharedKey {
    SharedKey::from_bytes(&[byte; 32]).unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_millis(seconds * 1000)
}

/// A token of other clients: the resource as given, signed with `key(7)` over `signed`.
fn token(resource: &str, expiry: &str, signed: &str) -> String {
    let signature = hmac::sign(&key(7).hmac(), signed.as_bytes());
    let signature = BASE64
        .encode(signature)
        .replace('+', "%2B")
        .replace('=', "%3D");
    format!("SharedAccessSignature sr={resource}&sig={signature}&se={expiry}")
}

#[test]
fn a_token_is_made_as_the_documentation_says() {
    // Computed with another implementation of HMAC-SHA256: Python's `hmac`.
    let key = SharedKey::new("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap();
    let made = sign(&key, "hub.test/devices/d1", at(1_800_000_000), None);
    assert_eq!(
        made,
        "SharedAccessSignature sr=hub.test%2Fdevices%2Fd1\
         &sig=woKiOb0PfFQ5b1K%2FenNfZ37JKAIYr1f9btc9HFwOaxw%3D&se=1800000000"
    );
    let made = sign(&key, "hub.test", at(1_800_000_000), Some("iothubowner"));
    assert_eq!(
        made,
        "SharedAccessSignature sr=hub.test\
         &sig=peCQFRqDuRlgh8zOx5a8iUpYz%2FYfChVerq8jIeu8rOc%3D&se=1800000000&skn=iothubowner"
    );
}

#[test]
fn what_was_made_is_read_and_verified() {
    let text = sign(
        &key(7),
        "hub:8443/devices/a b/modules/$m",
        at(90),
        Some("p&q"),
    );
    let token = SharedAccessSignature::parse(&text).unwrap();
    assert!(token.is_signed_with(&key(7)));
    assert!(!token.is_signed_with(&key(8)));
    assert_eq!(token.expires_at(), at(90));
    assert_eq!(token.policy(), Some("p&q"));
    assert!(token.resource().is_at("hub"));
}

#[test]
fn the_signature_is_over_the_resource_as_it_stands() {
    for resource in [
        "hub.test%2Fdevices%2Fd1",
        "hub.test%2fdevices%2fd1",
        "hub.test/devices/d1",
        "HUB.test%2Fdevices%2FD1",
    ] {
        let text = token(resource, "90", &format!("{resource}\n90"));
        let parsed = SharedAccessSignature::parse(&text).unwrap();
        assert!(parsed.is_signed_with(&key(7)), "{text}");
    }
    for signed in [
        "hub.test/devices/d1\n90",
        "hub.test%2fdevices%2Fd1\n90",
        "90\nhub.test%2Fdevices%2Fd1",
        "hub.test%2Fdevices%2Fd1\n90\n",
        "hub.test%2Fdevices%2Fd190",
        "hub.test%2Fdevices%2Fd1\n91",
        "hub.test%2Fdevices%2Fd1\n090",
        "",
    ] {
        let text = token("hub.test%2Fdevices%2Fd1", "90", signed);
        let parsed = SharedAccessSignature::parse(&text).unwrap();
        assert!(!parsed.is_signed_with(&key(7)), "{signed:?}");
    }
}

#[test]
fn the_order_of_fields_is_free_and_unknown_ones_are_passed_over() {
    let text = sign(&key(7), "hub", at(90), None);
    let (_, fields) = text.split_once(' ').unwrap();
    let fields: Vec<&str> = fields.split('&').collect();
    let [resource, signature, expiry] = *fields else {
        panic!("a token has three fields: {text}");
    };
    for fields in [
        format!("{expiry}&{signature}&{resource}"),
        format!("{signature}&{resource}&{expiry}&skn="),
        format!("x=1&{resource}&{signature}&{expiry}&x=1"),
    ] {
        let text = format!("{SCHEME} {fields}");
        let token = SharedAccessSignature::parse(&text).unwrap();
        assert!(token.is_signed_with(&key(7)));
        assert_eq!(token.policy(), None);
    }
}

#[test]
fn a_plus_in_a_signature_stays_a_plus() {
    let mut seen = 0;
    for second in 0..200 {
        let text = sign(&key(7), "hub", at(second), None);
        if !text.contains("%2B") {
            continue;
        }
        seen += 1;
        let bare = text
            .replace("%2B", "+")
            .replace("%2F", "/")
            .replace("%3D", "=");
        let token = SharedAccessSignature::parse(&bare).unwrap();
        assert!(token.is_signed_with(&key(7)));
        let spaced = text.replace("%2B", "%20");
        assert!(SharedAccessSignature::parse(&spaced).is_err());
    }
    assert!(seen > 0, "some signatures hold a plus");
}

#[test]
fn texts_that_are_no_tokens_are_refused() {
    let check = |text: &str, expected: TokenError| {
        assert_eq!(
            SharedAccessSignature::parse(text).unwrap_err(),
            expected,
            "{text}"
        );
    };
    let good = sign(&key(7), "hub", at(90), None);
    let field = |name, expected| TokenError::Field { name, expected };
    let no_signature = field("sig", "base64 of 32 bytes");
    let no_expiry = field("se", "a number of seconds since 1970");
    check("", TokenError::Scheme);
    check("SharedAccessSignature", TokenError::Scheme);
    check(&good.replace(SCHEME, "Bearer"), TokenError::Scheme);
    check(
        &good.replace(SCHEME, "sharedaccesssignature"),
        TokenError::Scheme,
    );
    check(&format!(" {good}"), TokenError::Scheme);
    check(&good.replace("sr=", "SR="), missing("sr"));
    check("SharedAccessSignature x=1", missing("sr"));
    check("SharedAccessSignature sr=hub&sig=x", missing("se"));
    check("SharedAccessSignature sr=hub&se=1", missing("sig"));
    check("SharedAccessSignature ", TokenError::Form);
    check(&format!("{good}&"), TokenError::Form);
    check(
        &format!("{good}&sr=hub"),
        TokenError::Repeated { name: "sr" },
    );
    check(
        &format!("{good}&sr=other"),
        TokenError::Repeated { name: "sr" },
    );
    check(
        &format!("{good}&se=91"),
        TokenError::Repeated { name: "se" },
    );
    check(
        &format!("{good}&sig="),
        TokenError::Repeated { name: "sig" },
    );
    check(
        &format!("{good}&skn=a&skn=b"),
        TokenError::Repeated { name: "skn" },
    );
    check(
        &format!("{good}&skn=%f"),
        field("skn", "percent-encoded text"),
    );
    for signature in ["", "x", "AAAA", "%", &"A".repeat(42), &"A".repeat(44)] {
        check(
            &format!("SharedAccessSignature sr=hub&se=1&sig={signature}"),
            no_signature,
        );
    }
    let signature = "A".repeat(43);
    for expiry in [
        "",
        "-1",
        "+1",
        "1.5",
        " 1",
        "1e9",
        "0x9",
        "%31",
        "9999999999999999",
    ] {
        check(
            &format!("SharedAccessSignature sr=hub&sig={signature}=&se={expiry}"),
            no_expiry,
        );
    }
    check(
        &format!("{good}&x={}", "x".repeat(TOKEN_MAX_BYTES)),
        TokenError::TooLong,
    );
}

#[test]
fn the_longest_resource_fits() {
    let id = "%".repeat(crate::identity::ID_MAX_CHARS);
    let resource = format!("{}/devices/{id}/modules/{id}", "h".repeat(253));
    let twice = encode(&resource.replace('%', "%25"));
    let text = sign(&key(7), &resource, at(90), None);
    assert!(text.len() + twice.len() < TOKEN_MAX_BYTES, "{}", text.len());
    assert!(SharedAccessSignature::parse(&text).is_ok());
}

#[test]
fn keys_are_base64_of_16_to_64_bytes() {
    for (bytes, good) in [(15, false), (16, true), (64, true), (65, false)] {
        assert_eq!(
            SharedKey::from_bytes(&vec![7; bytes]).is_ok(),
            good,
            "{bytes}"
        );
    }
    for text in [
        "",
        "!",
        "AAECAwQFBgcICQoLDA0ODw",
        " AAECAwQFBgcICQoLDA0ODw==",
    ] {
        assert_eq!(SharedKey::new(text), Err(SharedKeyError), "{text}");
    }
    assert_eq!(format!("{:?}", key(7)), "SharedKey(..)");
    let token = sign(&key(7), "hub", at(90), None);
    let shown = format!("{:?}", SharedAccessSignature::parse(&token).unwrap());
    assert!(!shown.contains("sig"), "{shown}");
}

proptest! {
    #[test]
    fn no_text_panics(text in ".{0,200}") {
        let _ = SharedAccessSignature::parse(&text);
        let _ = SharedAccessSignature::parse(&format!("{SCHEME} {text}"));
        let _ = Resource::parse(&text);
    }

    #[test]
    fn a_changed_token_does_not_verify(index in 0usize..120, byte in 33u8..127) {
        let text = sign(&key(7), "hub.test/devices/d1", at(1_800_000_000), None);
        let index = index % text.len();
        let mut changed = text.clone().into_bytes();
        changed[index] = byte;
        let changed = String::from_utf8(changed).unwrap();
        if let Ok(token) = SharedAccessSignature::parse(&changed)
            && token.is_signed_with(&key(7))
        {
            let original = SharedAccessSignature::parse(&text).unwrap();
            prop_assert_eq!(token.resource(), original.resource());
            prop_assert_eq!(token.expires_at(), original.expires_at());
        }
    }
}
