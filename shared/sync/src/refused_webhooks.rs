//! How many webhooks of a connection were refused, and why: a message from `receive` to `transform`, which stores it in the journal.

use std::collections::BTreeMap;

use canonical::ConnectionName;
use serde::{Deserialize, Serialize};

/// What one process of `receive` has refused since its last report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefusedWebhooks {
    /// The connection whose URL was called.
    #[serde(rename = "refused_webhooks_of")]
    pub connection: ConnectionName,
    /// The number of requests by reason: a code of [`webhook::Rejection`], or `body-size`.
    pub reasons: BTreeMap<String, u64>,
    /// When the report was made, in milliseconds since the epoch.
    pub until_ms: i64,
}

impl RefusedWebhooks {
    /// Reads a message; `None` if it is something else.
    pub fn parse(body: &str) -> Option<RefusedWebhooks> {
        serde_json::from_str(body).ok()
    }
}
