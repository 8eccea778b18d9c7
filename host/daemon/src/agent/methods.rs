//! The agent's own direct methods: what the service side asks of `$edgeAgent`.
//!
//! Owns who answers them, how many at once, and the form of the answers. Reading a request is the model's matter
//! (`wasm_edge_model::agent_method`), `gather` reads logs, `tasks` does what takes longer than an answer may. Modules
//! of the device cannot call these: they are the operator's.

mod gather;
mod line;
mod tasks;
mod upload;

use std::fs::File;
use std::sync::Arc;

use futures_util::stream::{FuturesUnordered, StreamExt};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use wasm_edge_model::agent_method::{AgentMethod, LogContent, LogRequest};
use wasm_edge_model::identity::{DeviceId, ModuleId};
use wasm_edge_model::time::Timestamp;
use wasm_edge_runtime::events::MethodCall;
use wasm_edge_runtime::guest::MethodResponse;
use wasm_edge_store::file;
use wasm_edge_store::folder::device::DeviceFolder;

use self::gather::{GatherError, Gathering};
use self::line::Form;
use self::tasks::{Job, Tasks};
use self::upload::Uploader;
use super::handle::Shared;
use crate::clock;
use crate::logs::Logs;
use crate::methods::Methods;
use crate::supervisor::{RestartError, Supervisor};
use crate::uploads::Uploads;

/// The most calls that are answered at once; more wait, as many as [`Methods`] lets.
const UNDER_WAY_MAX: usize = 4;

/// The most requests that read logs at once: each reads all that is kept of its modules.
const READERS_MAX: usize = 1;

/// The status of an answer; what went wrong is in its `message`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Ok,
    BadRequest,
    NotFound,
    Failed,
}

/// What the methods work on.
pub(super) struct AgentMethods {
    pub(super) device: DeviceId,
    pub(super) hub_host_name: String,
    pub(super) supervisor: Supervisor,
    pub(super) logs: Logs,
    pub(super) methods: Methods,
    pub(super) folder: Arc<DeviceFolder>,
    pub(super) uploads: Uploads,
    pub(super) shared: Arc<Shared>,
}

/// What answers, and what works for it meanwhile.
struct Answering {
    parts: Arc<AgentMethods>,
    tasks: Tasks,
    readers: Arc<Semaphore>,
}

/// An answer: JSON text, or what went wrong.
type Answer = Result<String, (Status, String)>;

/// What is answered where there is nothing to say.
const NULL: &str = "null";

impl AgentMethods {
    /// Answers calls until it is told to stop. Those under way get no answer then, and tasks are given up.
    pub(super) async fn run(self, stop: CancellationToken) {
        let (listening, mut calls) = self.methods.listen(&ModuleId::edge_agent());
        let parts = Arc::new(self);
        let (tasks, worker) = Tasks::new(Uploader {
            parts: Arc::clone(&parts),
        });
        let answering = Answering {
            parts,
            tasks,
            readers: Arc::new(Semaphore::new(READERS_MAX)),
        };
        let mut worker = std::pin::pin!(worker.run());
        let mut under_way = FuturesUnordered::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                // Ends with the last handle, which is here.
                () = &mut worker => break,
                call = calls.recv(), if under_way.len() < UNDER_WAY_MAX => match call {
                    Some(call) => under_way.push(answering.answer(call)),
                    None => break,
                },
                Some(()) = under_way.next(), if !under_way.is_empty() => {}
            }
        }
        drop(listening);
    }
}

impl Answering {
    async fn answer(&self, call: MethodCall) {
        let MethodCall {
            name,
            payload,
            mut respond,
        } = call;
        let now = clock::now();
        let answer = match AgentMethod::parse(&name, &payload, now) {
            Err(err) => Err((Status::BadRequest, err.to_string())),
            Ok(method) => {
                let name = method.name();
                self.parts.shared.count(name);
                let answer = tokio::select! {
                    answer = self.perform(method, now) => answer,
                    () = respond.closed() => return,
                };
                if let Err((_, message)) = &answer {
                    tracing::warn!(device = %self.parts.device, method = name, message, "a direct method of the agent failed");
                }
                answer
            }
        };
        // A caller that has given up is no fault of ours.
        let _ = respond.send(to_response(answer));
    }

    async fn perform(&self, method: AgentMethod, now: Timestamp) -> Answer {
        match method {
            AgentMethod::Ping => Ok(NULL.to_owned()),
            AgentMethod::RestartModule { module } => self.restart(&module).await,
            AgentMethod::GetModuleLogs(request) => self.logs(request, now).await,
            AgentMethod::UploadModuleLogs { logs, container } => {
                gather::chosen(&logs, []).map_err(|err| (Status::BadRequest, err.to_string()))?;
                self.begin(Job::Logs {
                    request: logs,
                    container,
                })
            }
            AgentMethod::UploadSupportBundle { bundle, container } => {
                self.begin(Job::Bundle { bundle, container })
            }
            AgentMethod::GetTaskStatus { correlation_id } => {
                Ok(self.tasks.status(&correlation_id).to_string())
            }
        }
    }

    async fn restart(&self, module: &ModuleId) -> Answer {
        tracing::info!(device = %self.parts.device, %module, "a restart was asked for by direct method");
        match self.parts.supervisor.restart(module).await {
            Ok(()) => Ok(NULL.to_owned()),
            Err(RestartError::NotFound) => Err((
                Status::NotFound,
                format!("Module {module} not found in the current environment"),
            )),
            Err(RestartError::NotToRun) => Err((
                Status::Failed,
                format!(
                    "Module {module} cannot be restarted: its `status` in the deployment is `stopped`"
                ),
            )),
        }
    }

    async fn logs(&self, request: LogRequest, now: Timestamp) -> Answer {
        let _reader = self.readers.acquire().await;
        let parts = Arc::clone(&self.parts);
        // Dropped with this future, which ends the reading.
        let unwanted = CancellationToken::new();
        let _wanted = unwanted.clone().drop_guard();
        let read = tokio::task::spawn_blocking(move || {
            let form = parts.form(request.content);
            let gathering = Gathering {
                snapshot: &[parts.logs.snapshot()],
                form: &form,
                now,
                unwanted: &unwanted,
            };
            gather::answer(&gathering, &request, parts.modules())
        });
        let read = read.await.map_err(|err| failed(&err))?;
        read.map_err(|err| match err {
            GatherError::Pattern(err) => (Status::BadRequest, err.to_string()),
            err => failed(&err),
        })
    }

    fn begin(&self, job: Job) -> Answer {
        if self.parts.uploads.way_out.is_none() {
            let message = "this device has no way to upload".to_owned();
            return Err((Status::Failed, message));
        }
        let begun = self.tasks.begin(job).map_err(|err| failed(&err))?;
        Ok(begun.to_string())
    }
}

impl AgentMethods {
    /// The modules whose logs can be asked for: those of the deployment, and those that left something.
    fn modules(&self) -> Vec<ModuleId> {
        let reports = self.supervisor.reports();
        let mut modules: Vec<ModuleId> = reports
            .into_iter()
            .map(|report| report.module().clone())
            .collect();
        modules.extend(self.logs.snapshot().modules().cloned());
        modules.sort();
        modules.dedup();
        modules
    }

    /// A file to work on, in the data folder. Blocks.
    fn unnamed_file(&self) -> std::io::Result<File> {
        let folder = self.folder.store().map_err(std::io::Error::other)?;
        file::unnamed(&folder)
    }

    fn form(&self, content: LogContent) -> Form {
        Form {
            content,
            hub_host_name: self.hub_host_name.clone(),
        }
    }
}

impl Status {
    fn code(self) -> u32 {
        match self {
            Self::Ok => 200,
            Self::BadRequest => 400,
            Self::NotFound => 404,
            Self::Failed => 500,
        }
    }
}

fn failed(err: &dyn std::error::Error) -> (Status, String) {
    (Status::Failed, err.to_string())
}

fn to_response(answer: Answer) -> MethodResponse {
    let (status, payload) = match answer {
        Ok(payload) => (Status::Ok, payload),
        Err((status, message)) => (status, json!({ "message": message }).to_string()),
    };
    MethodResponse {
        status: status.code(),
        payload,
    }
}
