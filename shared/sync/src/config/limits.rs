//! Limits: how large and how many things may be, fuses, and the retry schedule.

use serde::{Deserialize, Serialize};

fn default_field_bytes() -> usize {
    65_536
}

/// Limits. What exceeds one is set aside, summarised, held or parked with the reason, and never cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Source records in one cluster.
    pub members: usize,
    /// Entries of a union field.
    pub union_entries: usize,
    /// Bytes of one field's value. A longer value is set aside; the rest of the record goes on.
    #[serde(default = "default_field_bytes")]
    pub field_bytes: usize,
    /// Bytes of an event that is retained as it came.
    pub item_bytes: usize,
    /// Bytes of a webhook body that the front door accepts.
    pub body_bytes: usize,
    /// Bytes of a body above which it is stored in the bucket.
    pub claim_check_bytes: usize,
    /// Linked objects of one type at one connection that may be missing at once, in percent: of more, a person decides whether they
    /// are gone.
    #[serde(default = "default_absent_percent")]
    pub absent_percent: u32,
    /// The same as a number: whichever is smaller counts.
    #[serde(default = "default_absent_objects")]
    pub absent_objects: usize,
    /// How far a provider's stamp may be ahead of the hub's clock, in milliseconds, before it is clamped.
    pub future_ms: i64,
    /// How much later than a write the event that echoes it may be stamped, in milliseconds.
    pub echo_ms: i64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            members: 40,
            union_entries: 200,
            field_bytes: default_field_bytes(),
            item_bytes: 350_000,
            body_bytes: 6_000_000,
            claim_check_bytes: 700_000,
            absent_percent: default_absent_percent(),
            absent_objects: default_absent_objects(),
            future_ms: 120_000,
            echo_ms: 2_000,
        }
    }
}

fn default_absent_percent() -> u32 {
    1
}

fn default_absent_objects() -> usize {
    20
}

/// How much of something a connection may report in a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FuseLimit {
    /// So many records always pass.
    pub most: u64,
    /// Or so many percent of the records that the hub knows from the connection, if that is more.
    #[serde(default)]
    pub percent: u32,
    /// In so many milliseconds.
    pub per_ms: i64,
}

impl FuseLimit {
    /// How many records pass, of a connection from which the hub knows so many.
    pub fn allowed(&self, known: u64) -> u64 {
        self.most.max(known * u64::from(self.percent) / 100)
    }
}

/// Fuses: what a connection reports beyond a limit is held until an operator releases or discards it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fuses {
    /// Records that the hub did not know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<FuseLimit>,
    /// Records whose values change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<FuseLimit>,
    /// Records that are deleted at the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted: Option<FuseLimit>,
}

impl Fuses {
    /// True when nothing is limited.
    pub fn is_empty(&self) -> bool {
        *self == Fuses::default()
    }
}

/// The retry schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// Seconds before the second, third, … attempt; after the last one the message is parked.
    pub schedule_s: Vec<u32>,
    /// The largest random addition to a wait, in percent of it.
    pub jitter_percent: u32,
    /// Divides every wait that the hub chooses: 1 in production, more in the local stack.
    #[serde(default = "one")]
    pub speed: u32,
}

fn one() -> u32 {
    1
}

impl Default for Retry {
    fn default() -> Retry {
        Retry { schedule_s: vec![60, 300, 1800], jitter_percent: 20, speed: 1 }
    }
}
