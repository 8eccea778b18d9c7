//! Why a configuration is not made, changed or found.

use thiserror::Error;

use crate::query::QueryError;

/// Why a configuration is not made, changed or found.
#[derive(Debug, Error)]
pub enum ConfigurationError {
    /// There is none of this id.
    #[error("there is no configuration `{id}`")]
    NotFound {
        /// The id.
        id: String,
    },
    /// There is one of this id already.
    #[error("the configuration `{id}` exists already")]
    AlreadyExists {
        /// The id.
        id: String,
    },
    /// The etag that the caller expects is not the present one.
    #[error("the configuration `{id}` was changed meanwhile: its etag is `{etag}`")]
    PreconditionFailed {
        /// The id.
        id: String,
        /// The present etag.
        etag: String,
    },
    /// There are as many as there may be.
    #[error("there are {limit} configurations already, as many as there may be")]
    TooMany {
        /// How many there may be.
        limit: usize,
    },
    /// The id is none.
    #[error("`{}` is no id of a configuration: {problem}", .id.escape_debug())]
    Id {
        /// What was given, cut to a readable length.
        id: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A member of the request is not as it has to be.
    #[error("{problem}")]
    Invalid {
        /// What is wrong, and what is right.
        problem: String,
    },
    /// The content is not as it has to be.
    #[error("{problem}")]
    Content {
        /// What is wrong, and what is right.
        problem: String,
    },
    /// The target condition is not understood.
    #[error("`targetCondition` is not understood")]
    Target(#[source] QueryError),
    /// A metric is not understood.
    #[error("the metric `{}` is not understood", .name.escape_debug())]
    Metric {
        /// Its name.
        name: String,
        /// Why.
        #[source]
        source: QueryError,
    },
    /// Too many others changed the same configuration at the same time.
    #[error("the configuration `{id}` is being changed by too many at once")]
    Contended {
        /// The id.
        id: String,
    },
    /// What is stored cannot be understood.
    #[error("the stored configuration `{id}` cannot be read: {problem}")]
    Damaged {
        /// The id.
        id: String,
        /// What is wrong with it.
        problem: String,
    },
}
