//! Takes secrets out of what goes into a support bundle. Pure: values in, values out.
//!
//! What is known to be secret is blanked by its place (passwords, keys, environment, arguments, bodies of
//! messages), what looks like it by its name or form. Values that were blanked by their place are looked for in
//! all other text as well, since a module may have logged them.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use serde_json::Value;
use wasm_edge_model::manifest::without_login;

/// What stands where something was taken out.
pub(super) const BLANK: &str = "[blanked]";

/// Shorter values are not looked for in other text: they would be found everywhere.
const KNOWN_MIN_BYTES: usize = 6;

/// The most values that are looked for in other text; each costs a pass over the logs.
const KNOWN_MAX: usize = 512;

/// Parts of keys that name secrets, in lower case.
const SECRET_NAMES: [&str; 9] = [
    "password",
    "passwd",
    "secret",
    "token",
    "credential",
    "connectionstring",
    "privatekey",
    "sharedaccess",
    "passphrase",
];

/// Ends of keys that name secrets, in lower case: `primaryKey`, `api_key`.
const SECRET_ENDS: [&str; 4] = ["key", "sas", "pwd", "pass"];

/// What stands before a secret in connection strings and shared access signatures, in lower case.
const MARKS: [&str; 5] = [
    "sharedaccesskey=",
    "accountkey=",
    "sharedsecretissuer=",
    "sig=",
    "password=",
];

/// Keys of a message that was put aside.
const MESSAGE_KEYS: [&str; 4] = ["body", "bodyText", "bodyBase64", "properties"];

/// What may stay in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Environment {
    /// Environment variables and arguments are blanked.
    Blanked,
    /// They stay, unless their name says that they are secret.
    Included,
}

/// Blanks, and remembers what it blanked.
pub(super) struct Redactor {
    environment: Environment,
    /// Longest first, so that the beginning of one does not hide the whole of another.
    known: BTreeSet<(Reverse<usize>, String)>,
}

impl Redactor {
    pub(super) fn new(environment: Environment) -> Self {
        Self {
            environment,
            known: BTreeSet::new(),
        }
    }

    /// Blanks what is secret in a value.
    pub(super) fn value(&mut self, value: &mut Value) {
        match value {
            Value::Object(members) => {
                for (key, member) in members {
                    self.member(key, member);
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.value(item)),
            Value::String(text) => *text = without_marked(text),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// Text without what was blanked elsewhere, and without what looks like a signature or a key.
    pub(super) fn text(&self, text: &str) -> String {
        let mut text = without_marked(text);
        for (_, known) in &self.known {
            if text.contains(known.as_str()) {
                text = text.replace(known.as_str(), BLANK);
            }
        }
        text
    }

    fn member(&mut self, key: &str, member: &mut Value) {
        match key {
            "env" if member.is_object() => self.variables(member),
            "Env" | "Cmd" | "args" | "Entrypoint" if member.is_array() => self.list(member),
            "message" if member.is_object() => {
                let members = member.as_object_mut().into_iter().flatten();
                for (_, content) in members.filter(|(key, _)| MESSAGE_KEYS.contains(&key.as_str()))
                {
                    *content = Value::from(BLANK);
                }
            }
            // Registry and user are no secret, and images bear the registry's name; passwords go by their name.
            "registryCredentials" => self.value(member),
            "image" if member.is_string() => {
                let shown = member.as_str().map(|text| without_login(text).into_owned());
                *member = Value::from(shown);
            }
            _ if key.starts_with("createOptions") && member.is_string() => {
                self.create_options(member)
            }
            _ if names_secret(key) => self.blank(member),
            _ => self.value(member),
        }
    }

    /// `{"NAME": {"value": ...}}`.
    fn variables(&mut self, variables: &mut Value) {
        for (name, variable) in variables.as_object_mut().into_iter().flatten() {
            if self.environment == Environment::Blanked || names_secret(name) {
                self.blank(variable.get_mut("value").unwrap_or(&mut Value::Null));
            } else {
                self.value(variable);
            }
        }
    }

    /// `["NAME=value"]`, or arguments.
    fn list(&mut self, list: &mut Value) {
        for item in list.as_array_mut().into_iter().flatten() {
            let Value::String(text) = item else {
                self.blank(item);
                continue;
            };
            let (name, value) = match text.split_once('=') {
                Some((name, value)) => (Some(name.to_owned()), value.to_owned()),
                None => (None, text.clone()),
            };
            let is_secret = name.as_deref().is_some_and(names_secret);
            if self.environment == Environment::Included && !is_secret {
                *text = without_marked(text);
                continue;
            }
            self.learn(&value);
            *text = match name {
                Some(name) => format!("{name}={BLANK}"),
                None => BLANK.to_owned(),
            };
        }
    }

    /// JSON in a text; what is only a part of one cannot be read and goes as a whole.
    fn create_options(&mut self, member: &mut Value) {
        let parsed = member
            .as_str()
            .and_then(|text| serde_json::from_str::<Value>(text).ok());
        *member = match parsed {
            Some(mut options) if options.is_object() => {
                self.value(&mut options);
                Value::from(options.to_string())
            }
            _ => Value::from(BLANK),
        };
    }

    /// Blanks all values in here; names stay.
    fn blank(&mut self, value: &mut Value) {
        match value {
            Value::Object(members) => members.values_mut().for_each(|member| self.blank(member)),
            Value::Array(items) => items.iter_mut().for_each(|item| self.blank(item)),
            Value::Null => {}
            Value::String(text) => {
                self.learn(text);
                *value = Value::from(BLANK);
            }
            Value::Bool(_) | Value::Number(_) => {
                self.learn(&value.to_string());
                *value = Value::from(BLANK);
            }
        }
    }

    /// Looks for a value in all text from now on, as it is and in base64.
    fn learn(&mut self, secret: &str) {
        if secret.len() < KNOWN_MIN_BYTES || secret == BLANK || self.known.len() >= KNOWN_MAX {
            return;
        }
        let mut know = |form: String| self.known.insert((Reverse(form.len()), form));
        for engine in [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD] {
            know(engine.encode(secret));
        }
        // As it stands in JSON, where a line is one.
        let quoted = Value::from(secret).to_string();
        know(quoted[1..quoted.len() - 1].to_owned());
        know(secret.to_owned());
    }
}

fn names_secret(key: &str) -> bool {
    let key: String = key.chars().filter(char::is_ascii_alphanumeric).collect();
    let key = key.to_ascii_lowercase();
    SECRET_NAMES.iter().any(|name| key.contains(name))
        || SECRET_ENDS.iter().any(|end| key.ends_with(end))
}

/// Blanks what follows a mark, up to where the value ends.
fn without_marked(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let mut kept = String::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        let next = MARKS
            .iter()
            .filter_map(|mark| Some((lower[at..].find(mark)?, mark.len())))
            .min();
        let Some((offset, length)) = next else { break };
        let start = at + offset + length;
        let is_end = |c: char| c.is_whitespace() || ";&\"'\\".contains(c);
        let end = text[start..]
            .find(is_end)
            .map_or(text.len(), |length| start + length);
        kept.push_str(&text[at..start]);
        if end > start {
            kept.push_str(BLANK);
        }
        at = end;
    }
    kept.push_str(&text[at..]);
    kept
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(environment: Environment, value: Value, expected: &Value) {
        let mut blanked = value;
        Redactor::new(environment).value(&mut blanked);
        assert_eq!(blanked, *expected);
    }

    #[test]
    fn secrets_go_by_place_and_by_name_and_the_rest_stays() {
        let deployment = json!({
            "runtime": { "settings": { "registryCredentials": {
                "factory": { "address": "registry.example.com", "username": "device", "password": "hunter22" },
            } } },
            "modules": { "m": {
                "env": { "A": { "value": 500 }, "B": { "value": "text" } },
                "settings": {
                    "image": "registry.example.com/m:1",
                    "createOptions": r#"{"Env":["A=b","C"],"wasm":{"args":["--token=x"],"memoryLimitBytes":65536}}"#,
                    "createOptions01": r#""rest"}"#,
                },
            } },
            "threshold": 3,
            "primaryKey": "a2V5", "ApiKey": 12, "monkeys": 2, "tokens": null,
        });
        let expected = json!({
            "runtime": { "settings": { "registryCredentials": {
                "factory": { "address": "registry.example.com", "username": "device", "password": BLANK },
            } } },
            "modules": { "m": {
                "env": { "A": { "value": BLANK }, "B": { "value": BLANK } },
                "settings": {
                    "image": "registry.example.com/m:1",
                    "createOptions": r#"{"Env":["A=[blanked]","[blanked]"],"wasm":{"args":["--token=[blanked]"],"memoryLimitBytes":65536}}"#,
                    "createOptions01": BLANK,
                },
            } },
            "threshold": 3,
            "primaryKey": BLANK, "ApiKey": BLANK, "monkeys": 2, "tokens": null,
        });
        check(Environment::Blanked, deployment, &expected);
    }

    #[test]
    fn the_environment_stays_in_if_it_is_wanted_but_not_what_is_named_a_secret() {
        let module = json!({ "env": { "A": { "value": "x" }, "DB_PASSWORD": { "value": "y" } }, "Env": ["A=b", "MY_KEY=c"], "args": ["-v"] });
        let expected = json!({ "env": { "A": { "value": "x" }, "DB_PASSWORD": { "value": BLANK } }, "Env": ["A=b", "MY_KEY=[blanked]"], "args": ["-v"] });
        check(Environment::Included, module, &expected);
    }

    #[test]
    fn messages_lose_their_content() {
        let aside = json!({ "setAside": [{ "input": "in", "detail": "body is `x`", "message": { "bodyText": "x", "systemProperties": { "a": "b" } } }] });
        let expected = json!({ "setAside": [{ "input": "in", "detail": "body is `x`", "message": { "bodyText": BLANK, "systemProperties": { "a": "b" } } }] });
        check(Environment::Blanked, aside, &expected);
    }

    #[test]
    fn what_was_blanked_is_found_in_other_text_plain_and_in_base64() {
        let mut redactor = Redactor::new(Environment::Blanked);
        redactor.value(
            &mut json!({ "env": { "A": { "value": "correct \"horse" }, "B": { "value": "on" } } }),
        );
        let check = |text: &str, expected: &str| assert_eq!(redactor.text(text), expected);
        check("it is on, correct \"horse!", "it is on, [blanked]!");
        check(r#"{"text":"correct \"horse"}"#, r#"{"text":"[blanked]"}"#);
        check("Y29ycmVjdCAiaG9yc2U=", BLANK);
        redactor.value(&mut json!({ "password": "correct \"horse battery" }));
        assert_eq!(
            redactor.text("correct \"horse battery, correct \"horse"),
            "[blanked], [blanked]"
        );
    }

    #[test]
    fn keys_and_signatures_in_text_go_without_anybody_knowing_them() {
        let check = |text: &str, expected: &str| assert_eq!(without_marked(text), expected);
        check(
            "HostName=h;SharedAccessKey=abc+/=;x=1 and SharedAccessSignature sr=h&sig=d%3D&se=1",
            "HostName=h;SharedAccessKey=[blanked];x=1 and SharedAccessSignature sr=h&sig=[blanked]&se=1",
        );
        check("sig=", "sig=");
        check("grüße SIG=ä", "grüße SIG=[blanked]");
        check("plain", "plain");
    }
}
