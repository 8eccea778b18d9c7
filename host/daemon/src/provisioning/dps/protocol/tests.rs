use proptest::prelude::*;

use super::*;

fn registrant() -> Registrant<'static> {
    Registrant {
        id_scope: "0ne1",
        registration_id: "board-7",
    }
}

#[test]
fn requests_are_those_of_the_published_protocol() {
    let registrant = registrant();
    let user_name = registrant.user_name();
    let start = "0ne1/registrations/board-7/api-version=2019-03-31&ClientVersion=wasm-edge%2F";
    assert!(user_name.starts_with(start), "{user_name}");
    assert_eq!(registrant.resource(), "0ne1/registrations/board-7");
    assert_eq!(registrant.body(), br#"{"registrationId":"board-7"}"#);
    assert_eq!(
        register(1),
        "$dps/registrations/PUT/iotdps-register/?$rid=1"
    );
    assert_eq!(
        status(2, "4.d0a671905ea5b2c8.e7173b7b"),
        "$dps/registrations/GET/iotdps-get-operationstatus/?$rid=2&operationId=4.d0a671905ea5b2c8.e7173b7b"
    );
    assert!(!status(2, "a/+#&b").contains(['+', '#']));
}

/// The key and the id of the example in Azure's documentation on symmetric key attestation.
#[test]
fn the_key_of_a_group_gives_that_of_a_registration() {
    let group =
        "8isrFI1sGsIlvvFSSFRiMfCNzv21fjbE/+ah/lSh3lF8e2YG1Te7w1KpZhJFFXJrqYKi9yegxkqIChbqOS9Egw==";
    let derived = key_of_group(
        &SharedKey::new(group).unwrap(),
        "sn-007-888-abc-mac-a1-b2-c3-d4-e5-f6",
    );
    assert_eq!(
        derived.as_base64(),
        "Jsm0lyGpjaVYVP2g3FnmnmG9dI/9qU24wNoykUmermc="
    );
}

const OK: &str = "$dps/registrations/res/200/?$rid=7";
const ACCEPTED: &str = "$dps/registrations/res/202/?$rid=7";

#[test]
fn answers_are_understood() {
    let check = |topic: &str, body: &str, expected: Answer| {
        let found = answer(topic, body.as_bytes(), 7);
        assert_eq!(found, Some(expected), "{topic} {body}");
    };
    let assigning = |after| Answer::Assigning {
        operation: "op".to_owned(),
        after: Duration::from_secs(after),
    };
    let later = |after, cause: &str| Answer::Later {
        after: Duration::from_secs(after),
        cause: cause.to_owned(),
    };
    let refused = |cause: &str| Answer::Refused {
        cause: cause.to_owned(),
    };
    let at_work = r#"{"operationId":"op","status":"assigning"}"#;
    check(ACCEPTED, at_work, assigning(3));
    check(&format!("{ACCEPTED}&retry-after=5"), at_work, assigning(5));
    check(&format!("{ACCEPTED}&retry-after=0"), at_work, assigning(1));
    let never = format!("{ACCEPTED}&retry-after=999999999999");
    check(&never, at_work, assigning(120));
    check(&format!("{ACCEPTED}&retry-after=x"), at_work, assigning(3));
    check(
        OK,
        r#"{"operationId":"op","status":"assigned","registrationState":{"assignedHub":"h.example","deviceId":"d","payload":{}}}"#,
        Answer::Assigned(Assigned {
            hub: HostAddress::parse("h.example").unwrap(),
            device: DeviceId::new("d").unwrap(),
        }),
    );
    check(
        OK,
        r#"{"status":"failed","registrationState":{"errorCode":400207,"errorMessage":"Custom\nallocation"}}"#,
        refused("the registration failed: 400207 Custom allocation"),
    );
    check(
        OK,
        r#"{"status":"disabled"}"#,
        refused("the enrolment is disabled"),
    );
    check(
        OK,
        r#"{"status":"unassigned"}"#,
        refused("the registration is not assigned to a hub"),
    );
    check(
        "$dps/registrations/res/401/?$rid=7",
        r#"{"errorCode":401002,"trackingId":"t","message":"Unauthorized","timestampUtc":"x"}"#,
        refused("401002 Unauthorized"),
    );
    check(
        "$dps/registrations/res/404/?$rid=7",
        "",
        refused("status 404"),
    );
    check(
        "$dps/registrations/res/429/?$rid=7&retry-after=9",
        r#"{"errorCode":429001,"message":"Too many"}"#,
        later(9, "429001 Too many"),
    );
    check(
        "$dps/registrations/res/503/?$rid=7",
        "<html>",
        later(3, "status 503"),
    );
}

#[test]
fn what_makes_no_sense_is_tried_again_later() {
    let long = "x".repeat(OPERATION_MAX_BYTES + 1);
    for body in [
        "",
        "[]",
        "{}",
        r#"{"status":7}"#,
        r#"{"status":"assigning"}"#,
        r#"{"status":"assigning","operationId":""}"#,
        &format!(r#"{{"status":"assigning","operationId":"{long}"}}"#),
        r#"{"status":"assigned"}"#,
        r#"{"status":"assigned","registrationState":{"assignedHub":"a b","deviceId":"d"}}"#,
        r#"{"status":"assigned","registrationState":{"assignedHub":"h","deviceId":"a/b"}}"#,
        r#"{"status":"assigned","registrationState":{"assignedHub":"h"}}"#,
    ] {
        let found = answer(OK, body.as_bytes(), 7);
        assert!(
            matches!(found, Some(Answer::Later { .. })),
            "{body}: {found:?}"
        );
    }
    let endless = format!(r#"{{"message":"{}"}}"#, "m".repeat(100_000));
    match answer("$dps/registrations/res/400/?$rid=7", endless.as_bytes(), 7) {
        Some(Answer::Refused { cause }) => assert_eq!(cause.len(), WORDS_MAX_CHARS),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_no_answer_to_the_request_is_none() {
    for topic in [
        "",
        "$dps/registrations/res/",
        "$dps/registrations/res/200",
        "$dps/registrations/res/200/?",
        "$dps/registrations/res/200/?$rid=8",
        "$dps/registrations/res/200/?$rid=",
        "$dps/registrations/res/200/?rid=7",
        "$dps/registrations/res/-1/?$rid=7",
        "$dps/registrations/res//?$rid=7",
        "$dps/registrations/res/99999999999999999999999/?$rid=7",
        "$iothub/twin/res/200/?$rid=7",
    ] {
        assert_eq!(answer(topic, b"{}", 7), None, "{topic}");
    }
}

proptest! {
    #[test]
    fn no_answer_of_the_service_is_too_odd(topic in "\\PC{0,80}", query in "\\PC{0,40}", body in "\\PC{0,200}") {
        let _ = answer(&topic, body.as_bytes(), 7);
        for status in [200, 202, 401, 429, 500] {
            let topic = format!("$dps/registrations/res/{status}/?$rid=7&{query}");
            let after = match answer(&topic, body.as_bytes(), 7) {
                Some(Answer::Assigning { after, .. } | Answer::Later { after, .. }) => after,
                _ => RETRY_AFTER,
            };
            prop_assert!(after >= Duration::from_secs(1) && after <= RETRY_AFTER_MAX);
        }
    }
}
