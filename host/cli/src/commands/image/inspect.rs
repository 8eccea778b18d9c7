//! `image inspect`: all about one image of the store.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::place::{self, Place};
use super::view::{self, Image, field};
use crate::args::GlobalArgs;
use crate::args::image::ImageInspectArgs;
use crate::client::ClientError;
use crate::exit_codes::ExitStatus;
use crate::failure::Failure;
use crate::output::text::{Style, Text};
use crate::output::{Output, OutputError, human};

/// Of the answer of `GET /v1/images/{image}`, what people are shown.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Inspected {
    component_size_bytes: u64,
    config: Value,
    annotations: BTreeMap<String, String>,
}

/// Prints the image.
pub(super) async fn execute(
    args: ImageInspectArgs,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    let place = Place::find(global, &args.way, output).await?;
    let answer = place.get(&place::target_of(&args.image)).await;
    let answer = answer.map_err(place::with_list_hint)?;
    if output.is_json() {
        output.json(&answer)?;
        return Ok(ExitStatus::Ok);
    }
    let not_json = |err| Failure::from(ClientError::NotJson(err));
    let image: Image = serde_json::from_value(answer.clone()).map_err(not_json)?;
    let inspected: Inspected = serde_json::from_value(answer).map_err(not_json)?;
    print(&image, &inspected, jiff::Timestamp::now(), output)?;
    Ok(ExitStatus::Ok)
}

fn print(
    image: &Image,
    inspected: &Inspected,
    now: jiff::Timestamp,
    output: &Output,
) -> Result<(), OutputError> {
    output.line(&Text::new().styled(Style::Bold, image.name()))?;
    for name in image.names.iter().skip(1) {
        field(output, "also", name)?;
    }
    field(output, "digest", &image.digest)?;
    let size = human::size(inspected.component_size_bytes);
    field(
        output,
        "component",
        &format!("{} ({size})", image.component_digest),
    )?;
    field(output, "size", &image.size())?;
    if let Some(time) = image.last_used_time {
        field(output, "used", &human::relative(time.as_jiff(), now))?;
    }
    let holders = match image.held_by.as_slice() {
        [] => "nobody".to_owned(),
        holders => holders.join(", "),
    };
    field(output, "held by", &holders)?;
    for part in ["imports", "exports"] {
        let names = inspected.config["component"][part].as_array();
        let names = names.into_iter().flatten().filter_map(Value::as_str);
        for (index, name) in names.enumerate() {
            field(output, if index == 0 { part } else { "" }, name)?;
        }
    }
    view::annotations(output, &inspected.annotations)
}
