//! How many files and connections this process may have open at once.
//!
//! Owns raising the limit to what the system lets anybody have without asking. Leaves the number of connections to the
//! server and to the load. Called by the commands that hold many files or connections: each module and each client has some, and the
//! usual limit is from times when a process was one program.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit to the hard one, and answers with it; `None` is no limit.
///
/// Where the system refuses, the limit stays as it is, which is no error: a smaller load fits below it.
pub(crate) fn raise() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(err) => {
            tracing::warn!(%err, "the limit of open files stays as it is");
            limit.current
        }
    }
}
