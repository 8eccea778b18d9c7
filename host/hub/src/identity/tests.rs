use wasm_edge_model::identity::{DeviceId, ModuleId, ModuleIdentity};

use super::*;

fn device() -> TwinOwner {
    TwinOwner::Device(DeviceId::new("d1").unwrap())
}

fn module() -> TwinOwner {
    TwinOwner::Module(ModuleIdentity {
        device: DeviceId::new("d1").unwrap(),
        module: ModuleId::new("m1").unwrap(),
    })
}

fn spec(owner: &TwinOwner, body: Value) -> Result<IdentitySpec, IdentityError> {
    serde_json::from_value::<IdentityRequest>(body)
        .unwrap()
        .check(owner)
}

fn check_refused(body: Value, expected: &str) {
    assert_eq!(spec(&device(), body).unwrap_err().to_string(), expected);
}

fn identity(owner: TwinOwner) -> Identity {
    Identity {
        owner,
        generation_id: "639".into(),
        etag_counter: 1,
        status: IdentityStatus::Enabled,
        status_reason: None,
        status_updated: Timestamp::UNSET,
        authentication: Authentication {
            kind: AuthenticationKind::None,
            symmetric_key: None,
            thumbprints: Thumbprints::default(),
        },
        edge: true,
        managed_by: None,
        parent: None,
    }
}

#[test]
fn a_device_is_shown_as_the_service_shows_it() {
    let never = "0001-01-01T00:00:00.0000000Z";
    let expected = json!({
        "deviceId": "d1", "generationId": "639", "etag": "MQ==",
        "connectionState": "Disconnected", "connectionStateUpdatedTime": never,
        "lastActivityTime": never, "cloudToDeviceMessageCount": 0,
        "status": "enabled", "statusReason": null, "statusUpdatedTime": never,
        "capabilities": { "iotEdge": true }, "parentScopes": [],
        "deviceScope": "ms-azure-iot-edge://d1-639",
        "authentication": {
            "symmetricKey": { "primaryKey": null, "secondaryKey": null },
            "x509Thumbprint": { "primaryThumbprint": null, "secondaryThumbprint": null },
            "type": "none",
        },
    });
    assert_eq!(identity(device()).to_json(ConnectionView::NEVER), expected);
}

#[test]
fn a_module_is_shown_without_what_devices_alone_have() {
    let connected = ConnectionView {
        connected: true,
        ..ConnectionView::NEVER
    };
    let json = identity(module()).to_json(connected);
    assert_eq!(json["moduleId"], "m1");
    assert_eq!(json["connectionState"], "Connected");
    assert_eq!(json.get("status").or(json.get("capabilities")), None);
    assert!(json.get("managedBy").is_some());
}

#[test]
fn keys_are_made_when_they_are_missing_or_empty() {
    let empty = json!({ "authentication": { "type": "sas",
        "symmetricKey": { "primaryKey": "", "secondaryKey": "" } } });
    assert_eq!(
        spec(&device(), empty).unwrap().authentication,
        KeyRequest::Generate
    );
    let none = json!({ "deviceId": "d1", "capabilities": { "iotEdge": true } });
    let none = spec(&device(), none).unwrap();
    assert_eq!((none.authentication, none.edge), (KeyRequest::Keep, true));
    let made = KeyRequest::Keep.resolve(None).unwrap();
    assert_eq!(
        made.symmetric_key.as_ref().unwrap().primary.decode().len(),
        KEY_BYTES
    );
    assert_eq!(KeyRequest::Keep.resolve(Some(&made)).unwrap(), made);
    assert_ne!(KeyRequest::Generate.resolve(Some(&made)).unwrap(), made);
}

#[test]
fn keys_that_are_given_are_kept_as_they_are() {
    let key = BASE64.encode([7; KEY_MIN_BYTES]);
    let body = json!({ "moduleId": "m1", "authentication": {
        "symmetricKey": { "primaryKey": key, "secondaryKey": key } } });
    let KeyRequest::Use(used) = spec(&module(), body).unwrap().authentication else {
        panic!("the keys were given");
    };
    assert_eq!(used.kind, AuthenticationKind::Sas);
    assert_eq!(used.symmetric_key.unwrap().secondary.as_base64(), key);
}

#[test]
fn requests_that_cannot_be_met_are_refused() {
    let keys = |primary: &str, secondary: &str| {
        json!({ "authentication": { "symmetricKey": {
            "primaryKey": primary, "secondaryKey": secondary } } })
    };
    let good = BASE64.encode([7; 32]);
    let short = "`primaryKey` is not base64 of 16 to 64 bytes";
    check_refused(keys("!", &good), short);
    check_refused(keys(&BASE64.encode([7; KEY_MIN_BYTES - 1]), &good), short);
    check_refused(keys(&BASE64.encode([7; KEY_MAX_BYTES + 1]), &good), short);
    let one = "`secondaryKey` is missing: give both keys, or none to have them made";
    check_refused(keys(&good, ""), one);
    check_refused(
        json!({ "deviceId": "d2" }),
        "`deviceId` is `d2`, the path says `d1`",
    );
    check_refused(
        json!({ "moduleId": "m" }),
        "`moduleId` is `m`, the path says ``",
    );
    check_refused(
        json!({ "statusReason": "x".repeat(129) }),
        "`statusReason` has more than 128 bytes",
    );
    check_refused(
        json!({ "authentication": { "x509Thumbprint": { "primaryThumbprint": "ab" } } }),
        "`primaryThumbprint` is not a thumbprint of 40 or 64 hexadecimal digits",
    );
}

#[test]
fn a_thumbprint_alone_means_a_self_signed_certificate() {
    let thumbprint = "ab".repeat(20);
    let body = json!({ "authentication": { "x509Thumbprint": {
        "primaryThumbprint": thumbprint, "secondaryThumbprint": null } } });
    let KeyRequest::Use(used) = spec(&device(), body).unwrap().authentication else {
        panic!("the certificate was given");
    };
    assert_eq!(used.kind, AuthenticationKind::SelfSigned);
    assert_eq!(used.symmetric_key, None);
}

#[test]
fn an_empty_thumbprint_is_none() {
    let check = |primary: &str, secondary: &str| {
        let body = json!({ "authentication": { "x509Thumbprint": {
            "primaryThumbprint": primary, "secondaryThumbprint": secondary } } });
        spec(&device(), body).unwrap().authentication
    };
    assert_eq!(check("", ""), KeyRequest::Generate);
    let thumbprint = "ab".repeat(32);
    let KeyRequest::Use(used) = check(&thumbprint, "") else {
        panic!("the certificate was given");
    };
    let expected = Thumbprints {
        primary: Some(thumbprint),
        secondary: None,
    };
    assert_eq!(
        (used.kind, used.thumbprints),
        (AuthenticationKind::SelfSigned, expected)
    );
}

#[test]
fn debug_output_shows_no_key() {
    let authentication = Authentication::generate().unwrap();
    let key = authentication
        .symmetric_key
        .as_ref()
        .unwrap()
        .primary
        .as_base64();
    assert!(!format!("{authentication:?}").contains(key));
}

#[test]
fn generation_ids_are_ticks_and_differ() {
    let now = "2026-08-01T10:00:00Z".parse().unwrap();
    let made: Vec<_> = (0..20).map(|_| new_generation_id(now).unwrap()).collect();
    assert!(
        made.iter()
            .all(|id| id.starts_with("63921") && id.len() == 18),
        "{made:?}"
    );
    assert!(made.iter().any(|id| *id != made[0]));
}
