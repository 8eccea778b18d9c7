//! Tasks of the agent: what was asked for by direct method and takes longer than an answer may.
//!
//! Owns which tasks there are, one after the other, and what is told of them. They live as long as the process: one
//! of an earlier process is not known any more.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use wasm_edge_model::agent_method::{BundleRequest, LogRequest};
use wasm_edge_model::blob::BlobContainer;

/// The most tasks that wait; each is a request that is kept in memory.
const WAITING_MAX: usize = 8;

/// The most tasks that are remembered, the oldest are forgotten first. More than can wait and run.
const KNOWN_MAX: usize = 64;

/// How long a task may take: long enough for the largest file over a slow mobile network.
const TASK_TIME_MAX: Duration = Duration::from_secs(2 * 60 * 60);

/// The longest text about a task.
const MESSAGE_MAX_CHARS: usize = 1000;

/// What a task does.
#[derive(Debug)]
pub(super) enum Job {
    /// Uploads logs of modules.
    Logs {
        request: LogRequest,
        container: BlobContainer,
    },
    /// Uploads a support bundle.
    Bundle {
        bundle: BundleRequest,
        container: BlobContainer,
    },
}

/// The tasks, for those who begin them and ask for them.
pub(super) struct Tasks {
    board: Arc<Mutex<VecDeque<Known>>>,
    jobs: mpsc::Sender<Numbered>,
}

/// Why a task is not begun.
#[derive(Debug, thiserror::Error)]
pub(super) enum TaskError {
    /// As many wait as may.
    #[error("{WAITING_MAX} tasks wait already, as many as may")]
    TooMany,
    /// There is no id for it.
    #[error("the system gives no random numbers")]
    NoRandom,
}

/// Does the tasks, one after the other.
pub(super) struct Worker<W> {
    board: Arc<Mutex<VecDeque<Known>>>,
    jobs: mpsc::Receiver<Numbered>,
    work: W,
}

/// What does a task. Answers with what there is to say beside that it is done, or why it is not.
pub(super) trait Perform {
    fn perform(&self, job: Job) -> impl Future<Output = Result<String, String>>;
}

struct Numbered {
    id: String,
    job: Job,
}

/// What is told of a task.
#[derive(Debug)]
struct Known {
    id: String,
    status: Status,
    message: String,
}

/// The words of IoT Edge; one that is not known is `Unknown`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    NotStarted,
    Running,
    Completed,
    Failed,
}

impl Tasks {
    pub(super) fn new<W: Perform>(work: W) -> (Self, Worker<W>) {
        let (sender, jobs) = mpsc::channel(WAITING_MAX);
        let board = Arc::default();
        let tasks = Self {
            board: Arc::clone(&board),
            jobs: sender,
        };
        (tasks, Worker { board, jobs, work })
    }

    /// Lets a task be done; answers with what is told of it now.
    ///
    /// # Errors
    /// [`TaskError`].
    pub(super) fn begin(&self, job: Job) -> Result<Value, TaskError> {
        let place = self.jobs.try_reserve().map_err(|_| TaskError::TooMany)?;
        let id = new_id()?;
        let mut board = lock(&self.board);
        if board.len() == KNOWN_MAX {
            board.pop_front();
        }
        board.push_back(Known {
            id: id.clone(),
            status: Status::NotStarted,
            message: String::new(),
        });
        place.send(Numbered {
            id: id.clone(),
            job,
        });
        drop(board);
        Ok(self.status(&id))
    }

    /// What is told of a task.
    pub(super) fn status(&self, id: &str) -> Value {
        let board = lock(&self.board);
        let known = board.iter().find(|known| known.id.eq_ignore_ascii_case(id));
        let (status, message) = match known {
            Some(known) => (known.status.as_str(), known.message.as_str()),
            None => ("Unknown", ""),
        };
        json!({ "status": status, "message": message, "correlationId": id })
    }
}

impl<W: Perform> Worker<W> {
    /// Works until the last handle of the tasks is gone.
    pub(super) async fn run(mut self) {
        while let Some(Numbered { id, job }) = self.jobs.recv().await {
            self.tell(&id, Status::Running, String::new());
            let done = wasm_edge_clock::timeout(TASK_TIME_MAX, self.work.perform(job)).await;
            let (status, message) = match done {
                Ok(Ok(message)) => (Status::Completed, message),
                Ok(Err(message)) => (Status::Failed, message),
                Err(_) => (Status::Failed, "it took too long".to_owned()),
            };
            self.tell(&id, status, message);
        }
    }

    fn tell(&self, id: &str, status: Status, message: String) {
        match status {
            Status::Failed => tracing::warn!(task = id, message, "a task failed"),
            status => tracing::info!(task = id, status = status.as_str(), "a task goes on"),
        }
        let mut board = lock(&self.board);
        if let Some(known) = board.iter_mut().find(|known| known.id == id) {
            known.status = status;
            known.message = message.chars().take(MESSAGE_MAX_CHARS).collect();
        }
    }
}

impl Status {
    fn as_str(self) -> &'static str {
        match self {
            Self::NotStarted => "NotStarted",
            Self::Running => "Running",
            Self::Completed => "Completed",
            Self::Failed => "Failed",
        }
    }
}

/// A random UUID (RFC 9562, version 4).
fn new_id() -> Result<String, TaskError> {
    let mut random = [0_u8; 16];
    let filled = SystemRandom::new().fill(&mut random);
    filled.map_err(|_| TaskError::NoRandom)?;
    random[6] = random[6] & 0x0f | 0x40;
    random[8] = random[8] & 0x3f | 0x80;
    let mut id = String::with_capacity(36);
    for (place, byte) in random.iter().enumerate() {
        if matches!(place, 4 | 6 | 8 | 10) {
            id.push('-');
        }
        id.push_str(&format!("{byte:02x}"));
    }
    Ok(id)
}

fn lock(board: &Mutex<VecDeque<Known>>) -> MutexGuard<'_, VecDeque<Known>> {
    board.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// Fails each second task.
    #[derive(Default)]
    struct Bed {
        done: AtomicU32,
    }

    impl Perform for Bed {
        async fn perform(&self, _: Job) -> Result<String, String> {
            match self.done.fetch_add(1, Ordering::Relaxed) % 2 {
                0 => Ok(String::new()),
                _ => Err("no room".to_owned()),
            }
        }
    }

    fn job() -> Job {
        Job::Bundle {
            bundle: BundleRequest::default(),
            container: BlobContainer::parse("https://a.example/c?sig=s").unwrap(),
        }
    }

    fn id(told: &Value) -> String {
        told["correlationId"].as_str().unwrap().to_owned()
    }

    fn check(tasks: &Tasks, id: &str, status: &str, message: &str) {
        let expected = json!({ "status": status, "message": message, "correlationId": id });
        assert_eq!(tasks.status(id), expected);
    }

    #[tokio::test]
    async fn tasks_are_done_one_after_the_other_and_told_of() {
        let (tasks, worker) = Tasks::new(Bed::default());
        let (first, second) = (
            id(&tasks.begin(job()).unwrap()),
            id(&tasks.begin(job()).unwrap()),
        );
        assert_ne!(first, second);
        assert_eq!(first.len(), 36);
        check(&tasks, &first, "NotStarted", "");
        check(&tasks, "other", "Unknown", "");
        let board = Arc::clone(&tasks.board);
        drop(tasks);
        worker.run().await;
        let (jobs, _) = mpsc::channel(1);
        let tasks = Tasks { board, jobs };
        check(&tasks, &first, "Completed", "");
        check(&tasks, &second.to_uppercase(), "Failed", "no room");
    }

    #[tokio::test]
    async fn no_more_tasks_wait_than_may_and_the_oldest_are_forgotten() {
        let (tasks, mut worker) = Tasks::new(Bed::default());
        let begun: Vec<_> = (0..WAITING_MAX)
            .map(|_| id(&tasks.begin(job()).unwrap()))
            .collect();
        assert!(matches!(tasks.begin(job()), Err(TaskError::TooMany)));
        for _ in 0..KNOWN_MAX - WAITING_MAX {
            worker.jobs.recv().await.unwrap();
            tasks.begin(job()).unwrap();
        }
        check(&tasks, &begun[0], "NotStarted", "");
        worker.jobs.recv().await.unwrap();
        tasks.begin(job()).unwrap();
        check(&tasks, &begun[0], "Unknown", "");
        check(&tasks, &begun[1], "NotStarted", "");
    }
}
