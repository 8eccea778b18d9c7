//! What of a deployment is shown to people: all of it but its secrets.
//!
//! Pure, and the one place that says what is blanked. Passwords of registries stand in the desired properties of
//! `$edgeAgent`, which the hub and the device have to know; a login in the name of an image is a mistake, and its
//! author's secret all the same. Used by the management API, which tells nobody more, and by commands that show what a
//! hub answered.

use serde_json::{Map, Value};
use wasm_edge_model::identity::ModuleId;
use wasm_edge_model::manifest::{BLANKED, without_login};

/// Blanks what is secret in the desired properties of `$edgeAgent`.
pub fn blank_agent(desired: &mut Map<String, Value>) {
    let credentials = desired
        .get_mut("runtime")
        .and_then(|runtime| runtime.pointer_mut("/settings/registryCredentials"));
    if let Some(credentials) = credentials {
        blank_credentials(credentials);
    }
    for modules in ["systemModules", "modules"] {
        let modules = desired.get_mut(modules).and_then(Value::as_object_mut);
        for module in modules.into_iter().flat_map(Map::values_mut) {
            let image = module.pointer_mut("/settings/image");
            if let Some(image) = image
                && let Some(text) = image.as_str()
            {
                *image = Value::from(without_login(text));
            }
        }
    }
}

/// Blanks what is secret in the twin of a module, in the form of IoT Hub's service API.
pub fn blank_twin(module: &ModuleId, twin: &mut Value) {
    if *module != ModuleId::edge_agent() {
        return;
    }
    let desired = twin.pointer_mut("/properties/desired");
    if let Some(desired) = desired.and_then(Value::as_object_mut) {
        blank_agent(desired);
    }
}

/// A hub takes any form of them: what is none of a login is blanked whole.
fn blank_credentials(credentials: &mut Value) {
    let Some(credentials) = credentials.as_object_mut() else {
        *credentials = Value::from(BLANKED);
        return;
    };
    for credential in credentials.values_mut() {
        match credential.as_object_mut() {
            Some(login) => {
                if let Some(password) = login.get_mut("password") {
                    *password = Value::from(BLANKED);
                }
            }
            None => *credential = Value::from(BLANKED),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_are_blanked_and_nothing_else() {
        let check = |credentials: Value, image: &str, expected: Value, shown: &str| {
            let twin = |credentials: &Value, image: &str| {
                json!({ "etag": "x", "properties": { "reported": {}, "desired": {
                    "runtime": { "settings": { "registryCredentials": credentials } },
                    "modules": { "a": { "env": { "password": { "value": "kept" } },
                        "settings": { "image": image } } },
                } } })
            };
            let mut found = twin(&credentials, image);
            blank_twin(&ModuleId::edge_agent(), &mut found);
            assert_eq!(found, twin(&expected, shown));
            let mut of_another = twin(&credentials, image);
            blank_twin(&ModuleId::new("a").unwrap(), &mut of_another);
            assert_eq!(of_another, twin(&credentials, image));
        };
        check(
            json!({ "r": { "address": "a", "username": "u", "password": "secret" }, "s": {} }),
            "a.b/c:1",
            json!({ "r": { "address": "a", "username": "u", "password": "*****" }, "s": {} }),
            "a.b/c:1",
        );
        check(
            json!({ "r": "secret", "s": { "password": ["secret"] } }),
            "joe:secret@a.b/c",
            json!({ "r": "*****", "s": { "password": "*****" } }),
            "*****:*****@a.b/c",
        );
        check(json!("secret"), "", json!("*****"), "");
    }

    #[test]
    fn a_twin_of_any_form_is_taken() {
        for form in [
            json!(null),
            json!([]),
            json!({ "properties": 1 }),
            json!({ "properties": { "desired": { "runtime": 1, "modules": { "a": 1 } } } }),
        ] {
            let mut twin = form.clone();
            blank_twin(&ModuleId::edge_agent(), &mut twin);
            assert_eq!(twin, form);
        }
    }
}
