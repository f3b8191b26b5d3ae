//! What the host reports: events, numbers, and why an invocation has no result.

use std::sync::Arc;

use axum::body::Bytes;
use serde::Serialize;

/// Something that happened in the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A line that a function wrote to its standard output or error.
    Line {
        /// Function, by its name in AWS.
        function: String,
        /// Number of the process.
        instance: u64,
        /// The line without its end.
        text: String,
    },
    /// A process was started.
    Started {
        /// Function, by its name in AWS.
        function: String,
        /// Number of the process.
        instance: u64,
    },
    /// A process has exited.
    Exited {
        /// Function, by its name in AWS.
        function: String,
        /// Number of the process.
        instance: u64,
        /// Exit status or signal.
        status: String,
    },
    /// An invocation took longer than the function's timeout; its process is killed.
    TimedOut {
        /// Function, by its name in AWS.
        function: String,
        /// The invocation.
        request_id: String,
    },
    /// A note of the host itself.
    Note {
        /// Function, by its name in AWS.
        function: String,
        /// The text.
        text: String,
    },
}

/// Called for every [`Event`], from many threads.
pub type Observer = Arc<dyn Fn(&Event) + Send + Sync>;

/// Numbers of one function since the stack was started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct FunctionStats {
    /// Invocations begun.
    pub invocations: u64,
    /// Invocations that failed for any reason.
    pub errors: u64,
    /// Invocations that took longer than the timeout.
    pub timeouts: u64,
    /// Processes started.
    pub starts: u64,
    /// Processes that ended while the stack was running.
    pub deaths: u64,
}

/// Why an invocation has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvokeError {
    /// No function has this name.
    #[error("no function is named {0}")]
    Unknown(String),
    /// The function failed, exited or took too long. `payload` is the error document that AWS returns to the caller.
    #[error("the function failed")]
    Failed {
        /// JSON with `errorType` and `errorMessage`.
        payload: Bytes,
    },
}
