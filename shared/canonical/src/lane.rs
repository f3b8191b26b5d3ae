//! The two lanes of envelopes.

use serde::{Deserialize, Serialize};

/// Which of the two ingest queues carries an envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lane {
    /// Events that a person waits for: leads, payments, tickets.
    Urgent,
    /// Events that arrive in bursts: opens, clicks, sweeps.
    Bulk,
}
