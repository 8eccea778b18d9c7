//! Getting manifests and blobs from one station.
//!
//! Owns trying again and going on where a transfer was cut. What a station gives is compared with what was asked for:
//! the size before a byte is kept, the digest when all are there.

use std::io;

use bytes::Bytes;
use hyper::Method;
use hyper::StatusCode;
use hyper::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderName, HeaderValue, RANGE};
use ring::rand::{SecureRandom as _, SystemRandom};
use wasm_edge_net::http::answer::Answer;

use super::blob::BlobSink;
use super::error::RegistryError;
use super::retry::Retry;
use super::station::{Answered, Ask, Station, failed, in_time};
use super::{Progress, Resolved};
use crate::digest::Digest;
use crate::document::{Descriptor, Document, DocumentFault, ImageManifest, MANIFEST_BYTES_MAX};
use crate::reference::Reference;

/// What is understood as a manifest or an index.
const DOCUMENTS: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json";

/// The header in which registries say the digest of a manifest.
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// Finds out what a reference means at this station.
pub(super) async fn resolve(
    station: &mut Station,
    reference: &Reference,
) -> Result<Resolved, RegistryError> {
    let first = document(station, &reference.asked_by(), reference.digest()).await?;
    let chosen = match first.read()? {
        Document::Manifest(image) => return Ok(first.resolved(image, None)),
        Document::Index(index) => index.choose().map(|chosen| chosen.digest),
    };
    let chosen = chosen.map_err(|fault| first.fault(fault))?;
    let second = document(station, &chosen.to_string(), Some(&chosen)).await?;
    match second.read()? {
        Document::Manifest(image) => {
            Ok(second.resolved(image, Some((first.digest, first.bytes.clone()))))
        }
        Document::Index(index) => Err(second.fault(DocumentFault::MediaType {
            found: index.media_type.to_owned(),
        })),
    }
}

/// A manifest or an index as it came.
struct Came {
    asked: String,
    digest: Digest,
    bytes: Bytes,
    content_type: Option<String>,
}

impl Came {
    fn read(&self) -> Result<Document, RegistryError> {
        Document::read(&self.bytes, self.content_type.as_deref()).map_err(|fault| self.fault(fault))
    }

    fn fault(&self, source: DocumentFault) -> RegistryError {
        RegistryError::Document {
            asked: self.asked.clone(),
            source,
        }
    }

    fn resolved(&self, image: ImageManifest, index: Option<(Digest, Bytes)>) -> Resolved {
        Resolved {
            manifest_digest: self.digest,
            manifest: self.bytes.clone(),
            image,
            index,
        }
    }
}

/// Gets a manifest by tag or digest.
async fn document(
    station: &mut Station,
    by: &str,
    expected: Option<&Digest>,
) -> Result<Came, RegistryError> {
    let asked = format!("manifest `{by}` of `{}`", station.name());
    let mut retry = Retry::default();
    let (bytes, content_type, stated) = loop {
        match document_once(station, by, &asked).await {
            Ok(came) => break came,
            Err(err) => again(station, &mut retry, err, 0).await?,
        }
    };
    let found = Digest::of(&bytes);
    // What a registry says beside it is no proof, but two digests of one answer are a fault of it.
    for expected in [expected.copied(), stated].into_iter().flatten() {
        if expected != found {
            return Err(RegistryError::Digest {
                asked,
                expected,
                found,
            });
        }
    }
    Ok(Came {
        asked,
        digest: found,
        bytes,
        content_type,
    })
}

async fn document_once(
    station: &mut Station,
    by: &str,
    asked: &str,
) -> Result<(Bytes, Option<String>, Option<Digest>), RegistryError> {
    let address = station.address(&format!("manifests/{by}"));
    let ask = Ask::new(Method::GET, address, asked).accept(DOCUMENTS);
    let mut answered = station.ask(&ask).await?;
    let limit = usize::try_from(MANIFEST_BYTES_MAX).unwrap_or(usize::MAX);
    let host = station.host();
    let reading = in_time(answered.answer.whole(limit), &host);
    let bytes = reading.await.map_err(|source| failed(asked, source))?;
    let content_type = answered.answer.headers.get(CONTENT_TYPE);
    let content_type =
        content_type.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let stated = stated_digest(&answered.answer);
    station.finish(answered).await;
    Ok((bytes.into(), content_type, stated))
}

/// The digest that a registry says of a manifest.
pub(super) fn stated_digest(answer: &Answer) -> Option<Digest> {
    let stated = answer.headers.get(CONTENT_DIGEST)?;
    stated.to_str().ok()?.parse().ok()
}

/// Gets what the sink does not hold yet.
pub(super) async fn blob<S: BlobSink>(
    station: &mut Station,
    blob: &Descriptor,
    sink: &mut S,
    progress: Progress<'_>,
) -> Result<(), RegistryError> {
    let asked = format!("blob `{}` of `{}`", blob.digest, station.name());
    let kept = |err| not_kept(&asked, err);
    let mut retry = Retry::default();
    // What was there before may be damaged; what came now is what the registry has.
    let mut had_before = sink.size_bytes() > 0;
    if sink.size_bytes() > blob.size_bytes {
        sink.restart().await.map_err(kept)?;
    }
    loop {
        let before = sink.size_bytes();
        let transferred = match before == blob.size_bytes {
            true => Ok(()),
            false => transfer(station, blob, sink, &asked, progress).await,
        };
        let err = match transferred {
            Ok(()) => match check(blob, sink, &asked).await {
                Ok(()) => return Ok(()),
                Err(err) => err,
            },
            Err(err) => err,
        };
        if is_tampering(&err) {
            sink.restart().await.map_err(kept)?;
            if had_before {
                tracing::debug!(%err, "what was there of a blob is thrown away");
                had_before = false;
                continue;
            }
        }
        let moved = sink.size_bytes().saturating_sub(before);
        again(station, &mut retry, err, moved).await?;
    }
}

/// Whether what was received must not be gone on with.
fn is_tampering(err: &RegistryError) -> bool {
    match err {
        RegistryError::Digest { .. }
        | RegistryError::Size { .. }
        | RegistryError::Range { .. }
        | RegistryError::Encoded { .. } => true,
        RegistryError::Status { status, .. } => *status == 416,
        _ => false,
    }
}

async fn check<S: BlobSink>(
    blob: &Descriptor,
    sink: &mut S,
    asked: &str,
) -> Result<(), RegistryError> {
    let found = sink.digest().await.map_err(|err| not_kept(asked, err))?;
    match found == blob.digest {
        true => Ok(()),
        false => Err(RegistryError::Digest {
            asked: asked.to_owned(),
            expected: blob.digest,
            found,
        }),
    }
}

/// One answer, as far as it goes.
async fn transfer<S: BlobSink>(
    station: &mut Station,
    blob: &Descriptor,
    sink: &mut S,
    asked: &str,
    progress: Progress<'_>,
) -> Result<(), RegistryError> {
    let from = sink.size_bytes();
    let address = station.address(&format!("blobs/{}", blob.digest));
    let mut ask = Ask::new(Method::GET, address, asked);
    if from > 0 {
        let range = HeaderValue::from_str(&format!("bytes={from}-"));
        let range = range.expect("digits are visible letters");
        ask.headers.push((RANGE, range));
    }
    let mut answered = station.ask(&ask).await?;
    let begins_at = begins_at(&answered.answer, from, blob.size_bytes, asked)?;
    let wrong_size = |found: String| RegistryError::Size {
        asked: asked.to_owned(),
        expected_bytes: blob.size_bytes,
        found,
    };
    if let Some(announced) = announced(&answered.answer)
        && announced != blob.size_bytes - begins_at
    {
        return Err(wrong_size(
            (begins_at.saturating_add(announced)).to_string(),
        ));
    }
    // A server that knows no ranges gives what is there already as well.
    let mut skip = from - begins_at;
    progress(from);
    while let Some(mut chunk) = next(&mut answered, asked).await? {
        let passed_over = skip.min(chunk.len() as u64);
        skip -= passed_over;
        let passed_over = usize::try_from(passed_over).unwrap_or(chunk.len());
        let chunk = chunk.split_off(passed_over);
        if sink.size_bytes() + chunk.len() as u64 > blob.size_bytes {
            return Err(wrong_size("more".to_owned()));
        }
        if !chunk.is_empty() {
            let appended = sink.append(chunk).await;
            appended.map_err(|err| not_kept(asked, err))?;
            progress(sink.size_bytes());
        }
    }
    station.finish(answered).await;
    match sink.size_bytes() == blob.size_bytes && skip == 0 {
        true => Ok(()),
        false => Err(wrong_size(sink.size_bytes().to_string())),
    }
}

async fn next(answered: &mut Answered, asked: &str) -> Result<Option<Bytes>, RegistryError> {
    let next = answered.answer.chunk().await;
    next.map_err(|source| failed(asked, source))
}

/// From which byte on an answer is.
fn begins_at(
    answer: &Answer,
    from: u64,
    size_bytes: u64,
    asked: &str,
) -> Result<u64, RegistryError> {
    let stated = answer.headers.get(CONTENT_RANGE);
    let stated = stated.map(|value| String::from_utf8_lossy(value.as_bytes()));
    let stated = stated.as_deref().unwrap_or("no range");
    match answer.status {
        StatusCode::OK => Ok(0),
        StatusCode::PARTIAL_CONTENT if from > 0 && is_rest(stated, from, size_bytes) => Ok(from),
        StatusCode::PARTIAL_CONTENT => Err(RegistryError::Range {
            asked: asked.to_owned(),
            from,
            found: stated.chars().take(80).collect(),
        }),
        other => Err(RegistryError::Status {
            asked: asked.to_owned(),
            status: other.as_u16(),
            message: None,
            retry_after: None,
        }),
    }
}

/// Whether it is the range from a byte to the end (RFC 9110 section 14.4).
fn is_rest(stated: &str, from: u64, size_bytes: u64) -> bool {
    let range = stated.trim().strip_prefix("bytes ");
    let Some((range, whole)) = range.and_then(|range| range.split_once('/')) else {
        return false;
    };
    let expected = format!("{from}-{}", size_bytes.saturating_sub(1));
    range == expected && (whole == "*" || whole == size_bytes.to_string())
}

/// How long the body says it is.
fn announced(answer: &Answer) -> Option<u64> {
    let length = answer.headers.get(CONTENT_LENGTH)?;
    length.to_str().ok()?.parse().ok()
}

/// Waits until something is to be asked again; an error that nothing will be different.
pub(super) async fn again(
    station: &Station,
    retry: &mut Retry,
    err: RegistryError,
    moved_bytes: u64,
) -> Result<(), RegistryError> {
    // Who never answered is told of at once: a name may be wrong, and who asks knows best whether to wait.
    let is_worth_it = station.has_answered && err.is_passing();
    let wait = match is_worth_it {
        true => retry.wait(moved_bytes, err.retry_after(), jitter()),
        false => None,
    };
    let Some(wait) = wait else {
        return Err(err);
    };
    tracing::debug!(%err, wait_ms = wait.as_millis(), "a registry is asked again");
    tokio::time::sleep(wait).await;
    Ok(())
}

/// A number from 0 to 1.
fn jitter() -> f64 {
    let mut bytes = [0; 4];
    // Without random numbers the waits are those without jitter.
    match SystemRandom::new().fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX),
        Err(_) => 1.0,
    }
}

pub(super) fn not_kept(asked: &str, source: io::Error) -> RegistryError {
    RegistryError::Sink {
        asked: asked.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_range_that_was_asked_for_is_taken() {
        let check = |stated: &str, expected: bool| {
            assert_eq!(is_rest(stated, 5, 10), expected, "{stated}");
        };
        check("bytes 5-9/10", true);
        check(" bytes 5-9/*", true);
        for wrong in [
            "",
            "no range",
            "bytes 0-9/10",
            "bytes 4-9/10",
            "bytes 5-8/10",
            "bytes 5-9/11",
            "bytes 5-9",
            "bytes 5-/10",
            "bytes */10",
            "bytes 05-9/10",
            "items 5-9/10",
            "bytes 5-99999999999999999999/10",
        ] {
            check(wrong, false);
        }
    }

    #[test]
    fn jitter_is_a_share() {
        for _ in 0..100 {
            let share = jitter();
            assert!((0.0..=1.0).contains(&share), "{share}");
        }
    }
}
