//! A message put together from arguments, for the commands that send one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value, json};
use wasm_edge_model::message::{MESSAGE_SIZE_MAX_BYTES, MessageLine, SystemProperty};

use crate::exit_codes::ExitStatus;
use crate::failure::Failure;
use crate::text_file;

/// The message in the form of a line of a file; checked as the other end would.
///
/// `body` is the text itself, `@FILE`, or `-` for standard input.
///
/// # Errors
/// A file that cannot be read, a property that is given twice, and what no message can be.
pub(super) fn line(
    body: Option<&str>,
    properties: &[(String, String)],
    system: &[(SystemProperty, Option<&str>)],
) -> Result<Value, Failure> {
    let body = match body {
        None => Vec::new(),
        Some(given) => match text_file::named_by(given) {
            None => given.as_bytes().to_vec(),
            Some(file) => text_file::read_bytes(file, MESSAGE_SIZE_MAX_BYTES)
                .map_err(|err| err.into_input_failure("cannot read the body"))?,
        },
    };
    let mut named = Map::new();
    for (name, value) in properties {
        if named.insert(name.clone(), value.as_str().into()).is_some() {
            let twice = format!("the property `{name}` is given twice");
            return Err(Failure::new(ExitStatus::InvalidInput, twice));
        }
    }
    let mut message = json!({ "properties": named });
    match String::from_utf8(body) {
        Ok(text) => message["bodyText"] = text.into(),
        Err(err) => message["bodyBase64"] = BASE64.encode(err.as_bytes()).into(),
    }
    let given = system.iter().filter_map(|(property, value)| {
        let value = (*value)?;
        Some((property.name().to_owned(), Value::from(value)))
    });
    let system: Map<String, Value> = given.collect();
    if !system.is_empty() {
        message["systemProperties"] = system.into();
    }
    MessageLine::parse(&message.to_string()).map_err(|err| {
        Failure::new(ExitStatus::InvalidInput, "the message cannot be sent").caused_by(err)
    })?;
    Ok(message)
}
