//! How an instance ended.

use std::fmt;

/// The end of a module instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Why.
    pub reason: ExitReason,
    /// Where in the guest, one function a line, if the component has names; empty otherwise.
    pub backtrace: Vec<String>,
    /// Whether it failed on a message, which then waits before it comes again.
    pub over_message: bool,
}

/// Why an instance ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExitReason {
    /// It was asked to stop, and did.
    Stopped,
    /// A program returned or called `exit`.
    Exited {
        /// 0 for success.
        code: i32,
    },
    /// It could not be started: a limit, a grant, or an import.
    NotStarted {
        /// The whole cause.
        cause: String,
    },
    /// Its `init` answered with an error.
    InitFailed {
        /// The module's own words.
        text: String,
    },
    /// The guest did something that WebAssembly forbids, or panicked.
    Trapped {
        /// The trap.
        cause: String,
    },
    /// It ran longer than its call deadline.
    DeadlineExceeded {
        /// The deadline in milliseconds.
        limit_ms: u64,
    },
    /// A host call of it waited longer than any may.
    WaitedTooLong {
        /// The limit in milliseconds.
        limit_ms: u64,
    },
    /// It wanted more memory than its limit.
    OutOfMemory {
        /// The limit in bytes.
        limit_bytes: u64,
    },
    /// It passed more to the host, or kept more there, than it may.
    HostLimit {
        /// Which limit.
        cause: String,
    },
    /// A fault of the host, not of the module.
    HostFault {
        /// The whole cause.
        cause: String,
    },
}

impl Exit {
    /// An end without a backtrace.
    pub fn of(reason: ExitReason) -> Self {
        Self {
            reason,
            backtrace: Vec::new(),
            over_message: false,
        }
    }

    /// Whether the supervisor counts it as a failure.
    pub fn is_failure(&self) -> bool {
        !matches!(
            self.reason,
            ExitReason::Stopped | ExitReason::Exited { code: 0 }
        )
    }

    /// The exit code to report: a program's own, 0 for an orderly stop, 1 for anything else.
    pub fn code(&self) -> i32 {
        match self.reason {
            ExitReason::Stopped => 0,
            ExitReason::Exited { code } => code,
            _ => 1,
        }
    }
}

impl fmt::Display for ExitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => f.write_str("stopped"),
            Self::Exited { code } => write!(f, "exited with code {code}"),
            Self::NotStarted { cause } => write!(f, "cannot start: {cause}"),
            Self::InitFailed { text } => write!(f, "init failed: {text}"),
            Self::Trapped { cause } => write!(f, "trapped: {cause}"),
            Self::DeadlineExceeded { limit_ms } => {
                write!(f, "deadline exceeded: a call ran longer than {limit_ms} ms")
            }
            Self::WaitedTooLong { limit_ms } => {
                write!(
                    f,
                    "waited too long: a call waited longer than {limit_ms} ms in the host"
                )
            }
            Self::OutOfMemory { limit_bytes } => {
                write!(
                    f,
                    "out of memory: more than its limit of {limit_bytes} bytes was wanted"
                )
            }
            Self::HostLimit { cause } => write!(f, "host limit: {cause}"),
            Self::HostFault { cause } => write!(f, "fault of the host: {cause}"),
        }
    }
}
