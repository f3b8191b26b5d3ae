//! A person's decision about who is who, as a message on an ingest queue: only `transform` writes golden records.

use canonical::{GoldenId, ObjectType, RemoteId};
use serde::{Deserialize, Serialize};

/// What a person has decided about records of one object type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// What is to be done.
    pub decision: Verdict,
    /// The object type.
    pub object: ObjectType,
    /// Who decided, for the audit log.
    pub by: String,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The two records are the same: they become one, also if they were kept apart before.
    Join {
        /// The records.
        records: [GoldenId; 2],
        /// The review that it decides.
        #[serde(default)]
        review: Option<String>,
    },
    /// The two records are not the same, whatever keys they share.
    KeepApart {
        /// The records.
        records: [GoldenId; 2],
        /// The review that it decides.
        #[serde(default)]
        review: Option<String>,
    },
    /// These source records do not belong to the record: they get one of their own.
    Split {
        /// The record.
        record: GoldenId,
        /// The source records.
        sources: Vec<RemoteId>,
    },
}

impl Decision {
    /// Reads a message; `None` if it is not a decision.
    pub fn parse(body: &str) -> Option<Decision> {
        serde_json::from_str(body).ok()
    }
}

impl Verdict {
    /// What was decided, in a few words, for the log and the audit log.
    pub fn name(&self) -> &'static str {
        match self {
            Verdict::Join { .. } => "joined by a person",
            Verdict::KeepApart { .. } => "kept apart by a person",
            Verdict::Split { .. } => "split by a person",
        }
    }
}
