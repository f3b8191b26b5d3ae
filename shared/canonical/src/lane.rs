//! The two lanes of work.

use serde::{Deserialize, Serialize};

/// Which of two queues carries a message, so that what a person waits for never stands behind a load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lane {
    /// What a person waits for: leads, payments, tickets, edits.
    Urgent,
    /// What arrives in bursts or is requested by a load: opens, clicks, sweeps, imports.
    Bulk,
}

impl Lane {
    /// Both lanes, the one for which people wait first.
    pub const ALL: [Lane; 2] = [Lane::Urgent, Lane::Bulk];
}
