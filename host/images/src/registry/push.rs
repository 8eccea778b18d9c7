//! Giving an image to a registry: its blobs, those that are there already left out, and then its manifest.
//!
//! Source: OCI distribution specification 1.1, *Pushing Blobs* (POST then PUT) and *Pushing Manifests*.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::Method;
use tokio::time::{MissedTickBehavior, interval};
use wasm_edge_net::http::Body;

use super::Progress;
use super::blob::BlobSource;
use super::error::RegistryError;
use super::pull::{again, stated_digest};
use super::retry::Retry;
use super::station::{Ask, Station};
use crate::document::{Descriptor, PackedImage};

/// How long nothing may go on of an upload: what the kernel has taken of it may take minutes on a thin line, and a
/// registry may bring it to its storage before it answers.
const PUT_PATIENCE: Duration = Duration::from_secs(300);

/// How often the progress of an upload is told.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

/// Gives a blob, unless it is there.
pub(super) async fn blob(
    station: &mut Station,
    blob: &Descriptor,
    source: &BlobSource,
    progress: Progress<'_>,
) -> Result<(), RegistryError> {
    let asked = format!("blob `{}` of `{}`", blob.digest, station.name());
    let mut retry = Retry::default();
    loop {
        let given = blob_once(station, blob, source, &asked, progress).await;
        match given {
            Ok(()) => {
                progress(blob.size_bytes);
                return Ok(());
            }
            Err(err) => again(station, &mut retry, err, 0).await?,
        }
    }
}

async fn blob_once(
    station: &mut Station,
    blob: &Descriptor,
    source: &BlobSource,
    asked: &str,
    progress: Progress<'_>,
) -> Result<(), RegistryError> {
    let address = station.address(&format!("blobs/{}", blob.digest));
    match station.ask(&Ask::new(Method::HEAD, address, asked)).await {
        Ok(answered) => {
            station.finish(answered).await;
            return Ok(());
        }
        Err(RegistryError::NotFound { .. }) => {}
        Err(err) => return Err(err),
    }
    let address = station.address("blobs/uploads/");
    let begun = Ask::new(Method::POST, address, asked);
    let begun = station.ask(&begun).await?;
    let address = station.led_to(&begun.address, &begun.answer, asked)?;
    station.finish(begun).await;
    let query = format!("digest={}", blob.digest);
    let sent_bytes = Arc::new(AtomicU64::new(0));
    let body = || source.body(blob.size_bytes);
    let mut put = Ask::new(Method::PUT, address.with_query(&query), asked)
        .content_type("application/octet-stream");
    put.body = &body;
    put.patience = Some(PUT_PATIENCE);
    put.sent_bytes = sent_bytes.clone();
    let answered = told(station.ask(&put), &sent_bytes, progress).await?;
    station.finish(answered).await;
    Ok(())
}

/// Gives the manifest, under a tag or its digest.
pub(super) async fn manifest(
    station: &mut Station,
    image: &PackedImage,
    under: &str,
) -> Result<(), RegistryError> {
    let asked = format!("manifest `{under}` of `{}`", station.name());
    let mut retry = Retry::default();
    let answered = loop {
        let address = station.address(&format!("manifests/{under}"));
        let body = || Ok(Body::Bytes(image.manifest.clone()));
        let mut put = Ask::new(Method::PUT, address, &asked).content_type(image.media_type);
        put.body = &body;
        match station.ask(&put).await {
            Ok(answered) => break answered,
            Err(err) => again(station, &mut retry, err, 0).await?,
        }
    };
    let stated = stated_digest(&answered.answer);
    station.finish(answered).await;
    match stated {
        Some(found) if found != image.digest => Err(RegistryError::Digest {
            asked,
            expected: image.digest,
            found,
        }),
        _ => Ok(()),
    }
}

/// Tells how much went out while something is waited for.
async fn told<T>(
    work: impl Future<Output = T>,
    sent_bytes: &AtomicU64,
    progress: Progress<'_>,
) -> T {
    let mut work = std::pin::pin!(work);
    let mut ticks = interval(PROGRESS_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            done = &mut work => return done,
            _ = ticks.tick() => progress(sent_bytes.load(Ordering::Relaxed)),
        }
    }
}

impl BlobSource {
    fn body(&self, size_bytes: u64) -> io::Result<Body> {
        Ok(match self {
            Self::Bytes(bytes) => Body::Bytes(bytes.clone()),
            Self::File(open) => Body::File {
                file: open()?,
                size_bytes,
            },
        })
    }
}
