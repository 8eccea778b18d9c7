//! What the answers of a hub's identity registry mean.
//!
//! Pure. The hub is not trusted: texts of its answers are bounded, and an answer is of a known form or is a fault that
//! passes.
//!
//! Source: Azure IoT Hub, "Understand and resolve errors".

use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use wasm_edge_model::identity::ModuleId;
use wasm_edge_model::shared_access::SharedKey;

use crate::provisioning::identities::{ModuleKeys, RegisteredModule};
use crate::upstream::UpstreamError;

/// The header that names the error's code.
const ERROR_CODE_HEADER: &str = "iothub-errorcode";

/// The longest generation id; IoT Hub's have 18 digits.
const GENERATION_ID_MAX_BYTES: usize = 128;

/// How much of the hub's words is repeated.
const WORDS_MAX_CHARS: usize = 200;

/// What was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// An identity as it is.
    Read,
    /// A new identity.
    Create,
    /// Other keys of one that is there.
    SetKeys,
    /// That there be none.
    Delete,
}

/// What the hub has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// The identity.
    Identity(RegisteredModule),
    /// No such identity, or, where one was to be made, one that is there already.
    Nothing,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct IdentityForm {
    generation_id: String,
    #[serde(default)]
    module_id: Option<String>,
    #[serde(default)]
    authentication: Option<AuthenticationForm>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AuthenticationForm {
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    symmetric_key: Option<KeysForm>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct KeysForm {
    #[serde(default)]
    primary_key: Option<String>,
    #[serde(default)]
    secondary_key: Option<String>,
}

#[derive(Default, Deserialize)]
struct ErrorForm {
    #[serde(default, rename = "Message", alias = "errorMessage", alias = "message")]
    message: Option<String>,
}

/// What an answer about a module means.
///
/// # Errors
/// [`UpstreamError::Refused`] where the same would be refused again, [`UpstreamError::Unreachable`] for what passes.
pub(super) fn judge(
    asked: Asked,
    module: &ModuleId,
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Found, UpstreamError> {
    let name = headers.get(ERROR_CODE_HEADER);
    let name = name.and_then(|name| name.to_str().ok()).unwrap_or_default();
    match (asked, status.as_u16()) {
        (Asked::Delete, 200..=299) => Ok(Found::Nothing),
        (_, 200 | 201) => identity(module, body),
        // That of the device is another matter: it has no modules at all then.
        (Asked::Read | Asked::SetKeys | Asked::Delete, 404) if name != "DeviceNotFound" => {
            Ok(Found::Nothing)
        }
        (Asked::Create, 409) | (Asked::SetKeys | Asked::Delete, 412) => Ok(Found::Nothing),
        (_, code) => {
            let cause = words(status, name, body);
            match code {
                // Too much for now, or for today; somebody else at the same identity; the hub's own trouble.
                408 | 409 | 412 | 429 | 500.. => Err(UpstreamError::Unreachable { cause }),
                403 if name.contains("Quota") => Err(UpstreamError::Unreachable { cause }),
                // What no hub answers: something between it and here does.
                0..=399 => Err(UpstreamError::Unreachable { cause }),
                _ => Err(UpstreamError::Refused { cause }),
            }
        }
    }
}

fn identity(module: &ModuleId, body: &[u8]) -> Result<Found, UpstreamError> {
    let form: Option<IdentityForm> = serde_json::from_slice(body).ok();
    let form = form.filter(|form| {
        let length = form.generation_id.len();
        let theirs = form.module_id.as_deref();
        theirs.is_none_or(|theirs| theirs.eq_ignore_ascii_case(module.as_str()))
            && (1..=GENERATION_ID_MAX_BYTES).contains(&length)
            && form
                .generation_id
                .bytes()
                .all(|byte| byte.is_ascii_graphic())
    });
    let form = form.ok_or_else(|| UpstreamError::Unreachable {
        cause: "it answered with something that is no identity of this module".to_owned(),
    })?;
    Ok(Found::Identity(RegisteredModule {
        keys: form.authentication.and_then(keys),
        generation_id: form.generation_id,
    }))
}

/// Both keys, where they are what opens the identity.
fn keys(authentication: AuthenticationForm) -> Option<ModuleKeys> {
    let key = |text: Option<String>| SharedKey::new(&text?).ok();
    let is_by_keys = authentication.kind.as_deref() == Some("sas");
    let keys = authentication.symmetric_key.filter(|_| is_by_keys)?;
    Some(ModuleKeys {
        primary: key(keys.primary_key)?,
        secondary: key(keys.secondary_key)?,
    })
}

/// The status, the error's name and what the hub says of it, so far as they can be shown.
fn words(status: StatusCode, name: &str, body: &[u8]) -> String {
    let form: ErrorForm = serde_json::from_slice(body).unwrap_or_default();
    let message = form.message.unwrap_or_default();
    let name = match name {
        "" => status.canonical_reason().unwrap_or_default(),
        name => name,
    };
    let text = format!("{} {name}: {message}", status.as_u16());
    let text = text.trim_end_matches([':', ' ']).chars();
    let shown = text.map(|c| if c.is_control() { ' ' } else { c });
    shown.take(WORDS_MAX_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const IDENTITY: &str = r#"{"moduleId":"m","deviceId":"d","generationId":"637","etag":"MQ==",
        "authentication":{"symmetricKey":{"primaryKey":"MDEyMzQ1Njc4OWFiY2RlZg==","secondaryKey":"MDEyMzQ1Njc4OWFiY2RlZw=="},"type":"sas"}}"#;

    fn judged(asked: Asked, status: u16, name: &str, body: &str) -> Result<Found, UpstreamError> {
        let mut headers = HeaderMap::new();
        if !name.is_empty() {
            headers.insert(ERROR_CODE_HEADER, name.parse().unwrap());
        }
        let status = StatusCode::from_u16(status).unwrap();
        let module = ModuleId::new("m").unwrap();
        judge(asked, &module, status, &headers, body.as_bytes())
    }

    #[test]
    fn an_identity_is_read_with_its_keys_where_they_open_it() {
        let check = |body: &str, has_keys: bool| {
            for (asked, status) in [
                (Asked::Read, 200),
                (Asked::Create, 200),
                (Asked::Create, 201),
                (Asked::SetKeys, 200),
            ] {
                let Ok(Found::Identity(found)) = judged(asked, status, "", body) else {
                    panic!("{body}");
                };
                assert_eq!(found.generation_id, "637");
                assert_eq!(found.keys.is_some(), has_keys, "{body}");
            }
        };
        check(IDENTITY, true);
        check(
            &IDENTITY.replace(r#""type":"sas""#, r#""type":"none""#),
            false,
        );
        check(&IDENTITY.replace("MDEyMzQ1Njc4OWFiY2RlZw==", ""), false);
        check(r#"{"generationId":"637"}"#, false);
        check(r#"{"generationId":"637","authentication":null}"#, false);
        check(
            r#"{"generationId":"637","authentication":{"symmetricKey":{"primaryKey":null,"secondaryKey":null},"type":"none"}}"#,
            false,
        );
    }

    #[test]
    fn what_is_no_identity_is_a_fault_that_passes() {
        let long = format!(r#"{{"generationId":"{}"}}"#, "7".repeat(200));
        for body in [
            "",
            "[]",
            "{}",
            r#"{"generationId":""}"#,
            r#"{"generationId":7}"#,
            r#"{"generationId":"a b"}"#,
            r#"{"generationId":"637","moduleId":"n"}"#,
            &long,
        ] {
            let err = judged(Asked::Read, 200, "", body).unwrap_err();
            assert!(
                matches!(err, UpstreamError::Unreachable { .. }),
                "{body}: {err}"
            );
        }
    }

    #[test]
    fn each_answer_is_of_the_right_kind() {
        let check = |asked, status, name, expected: &str| {
            let found = match judged(asked, status, name, r#"{"Message":"E2E text"}"#) {
                Ok(Found::Nothing) => "nothing".to_owned(),
                Ok(Found::Identity(_)) => "an identity".to_owned(),
                Err(err) => err.to_string(),
            };
            assert_eq!(found, expected, "{asked:?} {status}");
        };
        check(Asked::Read, 404, "ModuleNotFound", "nothing");
        check(Asked::Read, 404, "", "nothing");
        check(
            Asked::Read,
            404,
            "DeviceNotFound",
            "the hub refuses: 404 DeviceNotFound: E2E text",
        );
        check(
            Asked::Create,
            404,
            "DeviceNotFound",
            "the hub refuses: 404 DeviceNotFound: E2E text",
        );
        check(Asked::Create, 409, "ModuleAlreadyExistsOnDevice", "nothing");
        check(Asked::SetKeys, 404, "ModuleNotFound", "nothing");
        check(Asked::SetKeys, 412, "PreconditionFailed", "nothing");
        check(Asked::Delete, 204, "", "nothing");
        check(Asked::Delete, 404, "ModuleNotFound", "nothing");
        check(Asked::Delete, 412, "PreconditionFailed", "nothing");
        for asked in [Asked::Read, Asked::Create, Asked::SetKeys, Asked::Delete] {
            let refused = [
                (400, "ArgumentInvalid"),
                (401, "IotHubUnauthorizedAccess"),
                (403, "DeviceDisabled"),
                (405, "MethodNotAllowed"),
                (413, "TooManyModulesOnDevice"),
            ];
            for (status, name) in refused {
                let expected = format!("the hub refuses: {status} {name}: E2E text");
                check(asked, status, name, &expected);
            }
            let passing = [
                (302, "Found"),
                (403, "IotHubQuotaExceeded"),
                (408, "Request Timeout"),
                (429, "ThrottlingException"),
                (500, "ServerError"),
                (503, "ServiceUnavailable"),
                (504, "GatewayTimeout"),
            ];
            for (status, name) in passing {
                let expected = format!("the hub cannot be reached: {status} {name}: E2E text");
                check(asked, status, name, &expected);
            }
        }
    }

    #[test]
    fn words_of_the_hub_are_bounded_and_can_be_shown() {
        let body = format!(r#"{{"Message":"a\n\u001b[31m{}"}}"#, "x".repeat(100_000));
        let err = judged(Asked::Read, 400, "ArgumentInvalid", &body).unwrap_err();
        let text = err.to_string();
        assert!(
            text.len() < 300 && !text.contains(char::is_control),
            "{text}"
        );
        let err = judged(Asked::Read, 502, "", "<html>").unwrap_err();
        let expected = "the hub cannot be reached: 502 Bad Gateway";
        assert_eq!(err.to_string(), expected);
    }

    proptest! {
        #[test]
        fn no_answer_of_a_hub_is_too_odd(status in 100_u16..1000, name in "[ -~]{0,60}", body in "\\PC{0,200}") {
            for asked in [Asked::Read, Asked::Create, Asked::SetKeys, Asked::Delete] {
                if let Err(err) = judged(asked, status, &name, &body) {
                    prop_assert!(err.to_string().chars().count() < 2 * WORDS_MAX_CHARS);
                }
            }
        }
    }
}
