//! `image pull`: images from registries into the image store.

use std::collections::BTreeSet;

use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use wasm_edge_images::credentials::{Credentials, LoginSource};
use wasm_edge_images::reference::Reference;

use super::place::Place;
use super::several::Several;
use super::view::{self, Image};
use crate::args::GlobalArgs;
use crate::args::image::ImagePullArgs;
use crate::client::answer::Refusal;
use crate::client::target::Target;
use crate::client::{Ask, ClientError, Peer};
use crate::exit_codes::ExitStatus;
use crate::failure::Failure;
use crate::output::text::Text;
use crate::output::{Output, human};
use crate::{logins, registries};

/// A line of the answer of `POST /v1/images/pull`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    /// So many bytes of the image are there.
    #[serde(default)]
    done_bytes: Option<u64>,
    /// So many it has.
    #[serde(default)]
    size_bytes: Option<u64>,
    /// The image, when it is there.
    #[serde(default)]
    image: Option<Image>,
    /// How many bytes came for it.
    #[serde(default)]
    received_bytes: u64,
    /// Who did not serve it.
    #[serde(default)]
    mirrors_failed: Vec<MirrorFailed>,
    /// The status that goes with an error.
    #[serde(default)]
    status: Option<u16>,
    /// Why it cannot be had.
    #[serde(default)]
    failure: Option<Value>,
}

/// A mirror that did not serve the image.
#[derive(Deserialize)]
struct MirrorFailed {
    mirror: String,
    problem: String,
}

/// An image that is there.
struct Came {
    image: Image,
    received_bytes: u64,
    mirrors_failed: Vec<MirrorFailed>,
}

/// Pulls one after another, all that can be had, and prints what is there.
pub(super) async fn execute(
    args: ImagePullArgs,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    let place = Place::find(global, &args.way, output).await?;
    let mut several = Several::of(args.references.len());
    // What this command brought makes no room for what it brings next.
    let mut keep = Vec::new();
    // Mirrors of which it was told that they do not serve.
    let mut told = BTreeSet::new();
    for reference in &args.references {
        let credentials = match place.is_process() {
            true => logins::of_person_for(reference, output),
            // The registry client of this process knows them.
            false => Credentials::Anonymous,
        };
        match pull(&place, reference, &credentials, &keep, output).await {
            Ok(came) => {
                for MirrorFailed { mirror, problem } in &came.mirrors_failed {
                    if told.insert(mirror.clone()) {
                        output.warn(&registries::mirror_failed(mirror, problem));
                    }
                }
                print(reference, &came, output)?;
                keep.push(came.image.digest);
            }
            Err(err) => several.add(&reference.to_string(), err, output),
        }
    }
    several.result("pulled")
}

async fn pull(
    place: &Place,
    reference: &Reference,
    credentials: &Credentials,
    keep: &[String],
    output: &Output,
) -> anyhow::Result<Came> {
    let mut body = json!({ "reference": reference.to_string() });
    if !keep.is_empty() {
        body["keep"] = json!(keep);
    }
    if let Credentials::Basic {
        username,
        password,
        source,
    } = credentials
    {
        body["credentials"] = json!({ "username": username, "password": password.as_str() });
        if let LoginSource::DockerConfig(path) = source {
            body["credentials"]["dockerConfig"] = json!(path);
        }
    }
    let ask = Ask {
        json: Some(body.to_string()),
        ..Ask::default()
    };
    let target = Target::path(&["v1", "images", "pull"]);
    let progress = output.progress(&format!("pulling {reference}"));
    let mut lines = place.stream(Method::POST, &target, ask).await?;
    while let Some(line) = lines.next::<Line>().await.map_err(Failure::from)? {
        if let (Some(done), Some(size)) = (line.done_bytes, line.size_bytes) {
            progress.at(done, size);
        }
        if let Some(failure) = line.failure {
            progress.end();
            return Err(refused(line.status, &failure).into());
        }
        if let Some(image) = line.image {
            progress.end();
            return Ok(Came {
                image,
                received_bytes: line.received_bytes,
                mirrors_failed: line.mirrors_failed,
            });
        }
    }
    let what = "the device ended before the image was there";
    Err(Failure::new(ExitStatus::NotRunning, what).into())
}

/// A failure in the middle of an answer, as if it were the answer.
fn refused(status: Option<u16>, failure: &Value) -> Failure {
    let status = status.and_then(|status| StatusCode::from_u16(status).ok());
    let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = failure.to_string();
    let refusal = Refusal::parse(Peer::Device, status, None, body.as_bytes());
    ClientError::Refused(refusal).into()
}

fn print(reference: &Reference, came: &Came, output: &Output) -> anyhow::Result<()> {
    let Came {
        image,
        received_bytes,
        ..
    } = came;
    if output.is_json() {
        let mut value = json!(image);
        value["reference"] = json!(reference.to_string());
        value["receivedBytes"] = json!(received_bytes);
        output.json_line(&value)?;
        return Ok(());
    }
    let (size, digest) = (human::size(image.size_bytes), &image.digest);
    let how = match received_bytes {
        0 => "was there".to_owned(),
        bytes => format!("{} received", human::size(*bytes)),
    };
    let text = format!("{reference}  {}  {size}, {how}", view::short(digest));
    output.line(&Text::new().plain(&text))?;
    Ok(())
}
