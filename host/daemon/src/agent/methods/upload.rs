//! Uploads as tasks: files are made on this device, and put into a blob container as a whole.
//!
//! Owns names and headers of blobs, how large a file may be, and when a failed attempt is worth another. A file lies
//! in the data folder without a name meanwhile, so that an upload takes no memory and leaves nothing behind. The
//! signature of the address is told nowhere.
//!
//! Source: Azure Storage, "Put Blob"; the names of blobs are those of IoT Edge's agent.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::time::Duration;

use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue, Method};
use tokio_util::sync::CancellationToken;
use wasm_edge_model::agent_method::{BundleRequest, LogContent, LogEncoding, LogItem, LogRequest};
use wasm_edge_model::blob::BlobContainer;
use wasm_edge_model::error::chain;
use wasm_edge_model::identity::ModuleId;
use wasm_edge_model::time::Timestamp;
use wasm_edge_net::dial::Security;
use wasm_edge_net::http::{Body, HttpClient, HttpError, HttpOptions, HttpRequest, HttpResponse};

use super::AgentMethods;
use super::gather::{self, Filled, GatherError, Gathering};
use super::tasks::{Job, Perform};
use crate::clock;
use crate::uploads::{BundleMaker, WayOut};

/// The most text of one module's log before it is packed: more than is kept of the logs of a device.
const LOG_FILE_MAX_BYTES: u64 = 64 * 1024 * 1024;

/// The largest blob: as large as the largest support bundle, which is packed.
const BLOB_MAX_BYTES: u64 = 64 * 1024 * 1024;

/// How often an upload is tried in all.
const TRIES_MAX: u32 = 6;

/// The wait after the first try that failed; it doubles from one to the next.
const RETRY_WAIT: Duration = Duration::from_secs(1);

/// How long a try may take beside the time for the bytes.
const TRY_TIME: Duration = Duration::from_secs(60);

/// The slowest line that an upload gets through, in bytes per second.
const RATE_MIN_BYTES: u64 = 8 * 1024;

/// The largest body of an answer; what a failure says of itself is a small document.
const ANSWER_MAX_BYTES: usize = 64 * 1024;

/// The longest error code of the storage that is told.
const ERROR_CODE_MAX_BYTES: usize = 64;

/// Does the tasks.
pub(super) struct Uploader {
    pub(super) parts: Arc<AgentMethods>,
}

/// What a blob is.
#[derive(Clone, Copy, Debug)]
struct Kind {
    extension: &'static str,
    content_type: &'static str,
    content_encoding: Option<&'static str>,
}

/// Why a blob is not there.
#[derive(Debug, thiserror::Error)]
enum UploadError {
    /// There was no answer.
    #[error(transparent)]
    Http(HttpError),
    /// The address cannot be asked for. It is not told: it has a signature.
    #[error("the address of the blob is none")]
    Address,
    /// The storage refuses.
    #[error("the storage answered {status}{}", code.as_deref().map(|code| format!(" ({code})")).unwrap_or_default())]
    Refused {
        /// The status.
        status: u16,
        /// What it calls that.
        code: Option<String>,
    },
    /// There is too much of it.
    #[error("it has more than {BLOB_MAX_BYTES} bytes")]
    TooLarge,
    /// The file cannot be read again.
    #[error("the file cannot be read: {0}")]
    File(#[from] std::io::Error),
}

impl Perform for Uploader {
    async fn perform(&self, job: Job) -> Result<String, String> {
        match job {
            Job::Logs { request, container } => self.logs(request, &container).await,
            Job::Bundle { bundle, container } => self.bundle(bundle, &container).await,
        }
    }
}

impl Uploader {
    /// Uploads the logs of all modules that are meant, and goes on where one cannot be uploaded.
    async fn logs(&self, request: LogRequest, container: &BlobContainer) -> Result<String, String> {
        let mut client = self.client(container).await?;
        let chosen = gather::chosen(&request, self.parts.modules());
        let chosen = chosen.map_err(|err| err.to_string())?;
        let kind = Kind::of_logs(&request);
        let (mut failed, mut notes) = (Vec::new(), Vec::new());
        for (module, item) in &chosen {
            match self
                .log(&mut client, container, module, item, &request, kind)
                .await
            {
                Ok(Filled { left_out: 0 }) => {}
                Ok(Filled { left_out }) => {
                    notes.push(format!("{left_out} lines of {module} are left out"));
                }
                Err(err) => failed.push(format!("{module}: {err}")),
            }
        }
        match failed.is_empty() {
            true => Ok(notes.join("; ")),
            false => Err(format!(
                "the logs of {} of {} modules are not uploaded: {}",
                failed.len(),
                chosen.len(),
                failed.join("; ")
            )),
        }
    }

    async fn log(
        &self,
        client: &mut HttpClient,
        container: &BlobContainer,
        module: &ModuleId,
        item: &LogItem,
        request: &LogRequest,
        kind: Kind,
    ) -> Result<Filled, String> {
        let now = clock::now();
        let parts = Arc::clone(&self.parts);
        let (encoding, form) = (request.encoding, parts.form(request.content));
        let (of, item) = (module.clone(), item.clone());
        // Dropped with this future, which ends the reading.
        let unwanted = CancellationToken::new();
        let _wanted = unwanted.clone().drop_guard();
        let filling = tokio::task::spawn_blocking(move || {
            let file = parts.unnamed_file()?;
            let gathering = Gathering {
                snapshot: &[parts.logs.snapshot()],
                form: &form,
                now,
                unwanted: &unwanted,
            };
            let filled = gathering.fill(&file, &of, &item, encoding, LOG_FILE_MAX_BYTES)?;
            Ok::<_, GatherError>((file, filled))
        });
        let filled = filling.await.map_err(|err| err.to_string())?;
        let (file, filled) = filled.map_err(|err| err.to_string())?;
        let name = self.blob_name(module.as_str(), now, kind);
        put(client, container, &name, &file, kind).await?;
        Ok(filled)
    }

    async fn bundle(
        &self,
        bundle: BundleRequest,
        container: &BlobContainer,
    ) -> Result<String, String> {
        let maker = self.parts.uploads.bundles.clone();
        let maker: Arc<dyn BundleMaker> =
            maker.ok_or_else(|| "this device makes no support bundles".to_owned())?;
        let mut client = self.client(container).await?;
        let parts = Arc::clone(&self.parts);
        let made = tokio::task::spawn_blocking(move || {
            let file = parts.unnamed_file()?;
            Ok::<_, std::io::Error>((file.try_clone()?, file))
        });
        let made = made.await.map_err(|err| err.to_string())?;
        let (file, own) = made.map_err(|err| err.to_string())?;
        maker.make(self.parts.device.clone(), bundle, file).await?;
        let kind = Kind {
            extension: "zip",
            content_type: "application/zip",
            content_encoding: None,
        };
        let name = self.blob_name("support-bundle", clock::now(), kind);
        put(&mut client, container, &name, &own, kind).await?;
        Ok(String::new())
    }

    async fn client(&self, container: &BlobContainer) -> Result<HttpClient, String> {
        let way: WayOut = self
            .parts
            .uploads
            .way_out
            .clone()
            .ok_or_else(|| "this device has no way to upload".to_owned())?;
        let counter = way.counter().clone();
        let opening = tokio::task::spawn_blocking(move || way.dialer());
        let dialer = opening.await.map_err(|err| err.to_string())??;
        Ok(HttpClient::new(HttpOptions {
            dialer,
            host: container.host.clone(),
            port: container.port(),
            security: match container.is_secure {
                true => Security::Tls,
                false => Security::Plain,
            },
            counter,
            answer_timeout: TRY_TIME,
            answer_max_bytes: ANSWER_MAX_BYTES,
        }))
    }

    fn blob_name(&self, what: &str, now: Timestamp, kind: Kind) -> String {
        let hub = self.parts.hub_host_name.split('.').next();
        let (hub, device) = (hub.unwrap_or_default(), &self.parts.device);
        let time = now.as_jiff().strftime("%Y-%m-%d--%H-%M-%S");
        format!("{hub}/{device}/{what}-{time}.{}", kind.extension)
    }
}

impl Kind {
    fn of_logs(request: &LogRequest) -> Self {
        let (extension, content_type) = match (request.content, request.encoding) {
            (LogContent::Text, LogEncoding::None) => ("log", "text/plain"),
            (LogContent::Text, LogEncoding::Gzip) => ("log.gz", "text/plain"),
            (LogContent::Json, LogEncoding::None) => ("json", "application/json"),
            (LogContent::Json, LogEncoding::Gzip) => ("json.gz", "application/json"),
        };
        Self {
            extension,
            content_type,
            content_encoding: match request.encoding {
                LogEncoding::None => None,
                LogEncoding::Gzip => Some("gzip"),
            },
        }
    }
}

/// Puts a file into a container; tries again what may go well another time.
async fn put(
    client: &mut HttpClient,
    container: &BlobContainer,
    name: &str,
    file: &File,
    kind: Kind,
) -> Result<(), String> {
    let mut wait = RETRY_WAIT;
    for attempt in 1.. {
        let err = match put_once(client, container, name, file, kind).await {
            Ok(()) => return Ok(()),
            Err(err) => err,
        };
        tracing::debug!(%container, name, attempt, err = %chain(&err), "an upload failed");
        if attempt >= TRIES_MAX || !err.is_passing() {
            return Err(chain(&err));
        }
        wasm_edge_clock::sleep(wait).await;
        wait *= 2;
    }
    unreachable!("the last try returns")
}

async fn put_once(
    client: &mut HttpClient,
    container: &BlobContainer,
    name: &str,
    file: &File,
    kind: Kind,
) -> Result<(), UploadError> {
    // Opened anew: what read it for a try before may still do so.
    let file = File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    let size_bytes = file.metadata()?.len();
    if size_bytes > BLOB_MAX_BYTES {
        return Err(UploadError::TooLarge);
    }
    let value = HeaderValue::from_static;
    let mut request = HttpRequest::new(Method::PUT, container.target(name))
        .header(
            HeaderName::from_static("x-ms-blob-type"),
            value("BlockBlob"),
        )
        .header(CONTENT_TYPE, value(kind.content_type));
    if let Some(encoding) = kind.content_encoding {
        request = request.header(CONTENT_ENCODING, value(encoding));
    }
    request.body = Body::File { file, size_bytes };
    request.time_max = Some(TRY_TIME + Duration::from_secs(size_bytes / RATE_MIN_BYTES));
    let answer = client.send(request).await.map_err(|err| match err {
        HttpError::Target { .. } => UploadError::Address,
        err => UploadError::Http(err),
    })?;
    match answer.status.is_success() {
        true => Ok(()),
        false => Err(refused(&answer)),
    }
}

fn refused(answer: &HttpResponse) -> UploadError {
    let code = answer.headers.get("x-ms-error-code");
    let code = code.and_then(|code| code.to_str().ok()).filter(|code| {
        code.len() <= ERROR_CODE_MAX_BYTES && code.bytes().all(|byte| byte.is_ascii_alphanumeric())
    });
    UploadError::Refused {
        status: answer.status.as_u16(),
        code: code.map(str::to_owned),
    }
}

impl UploadError {
    /// Whether the same may go well another time.
    fn is_passing(&self) -> bool {
        match self {
            Self::Http(_) => true,
            Self::Refused { status, .. } => matches!(status, 408 | 429 | 500..),
            Self::Address | Self::TooLarge | Self::File(_) => false,
        }
    }
}
