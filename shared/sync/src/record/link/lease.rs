//! Who may write to the destination.

use serde::{Deserialize, Serialize};

/// The right of one worker to write one golden record to one destination.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Rises with each lease. A worker whose number is no longer this one must not commit.
    pub fencing_token: u64,
    /// Until when the lease is held, in milliseconds; 0 when it is free.
    pub until_ms: i64,
    /// When the destination is read once more, in milliseconds: from then on no worker whose lease expired can still write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recheck_at_ms: Option<i64>,
}

impl Lease {
    /// True while a worker holds it.
    pub fn is_held(&self, now_ms: i64) -> bool {
        self.until_ms > now_ms
    }

    /// True if some worker has ever held it.
    pub(super) fn was_ever_held(&self) -> bool {
        self.fencing_token > 0
    }

    /// Joins the leases of two links that become one. The new token fences out whoever holds either of them.
    pub(super) fn join(&mut self, other: &Lease) {
        self.fencing_token = self.fencing_token.max(other.fencing_token) + 1;
        self.until_ms = self.until_ms.max(other.until_ms);
        self.recheck_at_ms = self.recheck_at_ms.max(other.recheck_at_ms);
    }
}
