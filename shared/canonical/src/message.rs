//! The messages that travel between the functions, and the outcome of an event.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{ConnectionName, GoldenId, ObjectType, RemoteId, Stamp};

/// The W3C trace id (32 hex digits) that travels from the webhook to the CRM write.
pub type Trace = String;

/// Where an envelope's body is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BodyRef {
    /// The body itself, as text that SQS accepts.
    Text(String),
    /// The body itself, base64 (RFC 4648 §4), because it holds bytes that SQS would refuse.
    Base64(String),
    /// The key of a blob that holds the body (claim check).
    Blob(String),
}

/// What an envelope holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum EnvelopeKind {
    /// A verified request of a provider.
    Webhook,
    /// A record that `reconcile` has read.
    Fetched(Fetched),
}

/// Identifies one received event: its envelope, and its index within the envelope.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EventRef {
    /// The connection that received the event.
    pub connection: ConnectionName,
    /// The envelope's id.
    pub envelope: String,
    /// The event's index within the envelope, from 0.
    pub index: u32,
    /// When the envelope was received, in milliseconds since the epoch.
    pub received_at_ms: i64,
}

/// A record that was read from a provider, or the fact that it does not exist there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetched {
    /// What was read.
    pub source: RemoteId,
    /// True when the object does not exist at the provider.
    pub missing: bool,
    /// When the read began, by our clock, in milliseconds since the epoch. Of two reads, the later one counts.
    pub read_at_ms: i64,
    /// Where the read was a second look: since when the object was not found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absent_since_ms: Option<i64>,
    /// The thin events that requested this read. Their account lines are closed with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<EventRef>,
}

/// What `receive` and `reconcile` put on the ingest queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// Unique for each accepted request.
    pub id: String,
    /// The connection's name in `hub.toml`.
    pub connection: ConnectionName,
    /// Webhook or fetched record.
    pub kind: EnvelopeKind,
    /// When it was accepted, by our clock, in milliseconds since the epoch.
    pub received_at_ms: i64,
    /// The trace that travels to the CRM write.
    pub trace: Trace,
    /// The request's method and path with query, as the provider called it; empty for fetched records.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub target: String,
    /// The headers that the manifest needs after verification, by their names in lower case.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// The raw body.
    pub body: BodyRef,
}

/// What `transform` puts on a destination's queue. It names the golden record to push and never holds its values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dispatch {
    /// The canonical object.
    pub object: ObjectType,
    /// The golden record's id.
    pub record: GoldenId,
    /// The golden record's version that caused the message; `upsert` pushes this or a newer one.
    pub version: u64,
    /// The trace of the envelope that caused it.
    pub trace: Trace,
    /// When the causing envelope was received, in milliseconds since the epoch (for latency metrics).
    pub received_at_ms: i64,
}

/// A request to read one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchRequest {
    /// What to read.
    pub source: RemoteId,
    /// The event that requested the read. Its account line is closed when the read is merged.
    pub cause: Option<EventRef>,
    /// The stamp of that event. A read that is older must be repeated.
    pub not_before: Option<Stamp>,
    /// Where the request is a second look: when an earlier call did not find the object, by our clock, in milliseconds since
    /// the epoch. If this read does not find it either, the object is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absent_since_ms: Option<i64>,
    /// The trace of the causing envelope.
    pub trace: Trace,
}

/// A request to sweep objects, because events were lost or an event names no single object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SweepRequest {
    /// The connection.
    pub connection: ConnectionName,
    /// The native names of the objects; empty for all that the connection sweeps.
    pub objects: Vec<String>,
    /// Why the sweep is necessary.
    pub reason: String,
    /// The event that requested the sweep; `None` for a gap between events. Its account line is closed after the sweep.
    pub cause: Option<EventRef>,
    /// The trace of the causing envelope.
    pub trace: Trace,
}

/// A request to read the next page of an import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportRequest {
    /// The connection.
    pub connection: ConnectionName,
    /// The import's id.
    pub import: String,
    /// Which of its pages, from 0. A message with another number than the import's own is an old one.
    pub step: u64,
}

/// A request to get a new access token for a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefreshRequest {
    /// The connection.
    pub connection: ConnectionName,
    /// The version of the secret whose token is to be replaced. A secret that has another version by now needs nothing.
    pub version: String,
    /// True when the provider refused the token, false when it is near its end.
    pub refused: bool,
}

/// A message of the fetch queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ReadRequest {
    /// One record.
    Fetch(FetchRequest),
    /// Everything of some object types that changed.
    Sweep(SweepRequest),
    /// One page of an import.
    Import(ImportRequest),
}

impl ReadRequest {
    /// The connection to read from.
    pub const fn connection(&self) -> &ConnectionName {
        match self {
            ReadRequest::Fetch(request) => &request.source.connection,
            ReadRequest::Sweep(request) => &request.connection,
            ReadRequest::Import(request) => &request.connection,
        }
    }

    /// The event that caused the request.
    pub const fn cause(&self) -> Option<&EventRef> {
        match self {
            ReadRequest::Fetch(request) => request.cause.as_ref(),
            ReadRequest::Sweep(request) => request.cause.as_ref(),
            ReadRequest::Import(_) => None,
        }
    }
}

/// How an event ended. Each event that was answered with 2xx has exactly one outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A golden record changed.
    Applied,
    /// The event was new and changed nothing.
    Unchanged,
    /// The event had been handled before.
    Duplicate,
    /// The hub already has newer observations of every field.
    Superseded,
    /// The event only reports the hub's own write.
    Echo,
    /// Nothing is mapped for this event type.
    Ignored,
    /// Applied, except for a field that was quarantined.
    Quarantined,
    /// Stored, and held back from every destination; the account line has the reason.
    Held,
    /// Parked in the dead-letter queue with its reason.
    Dead,
    /// The event waits for the read that it requested.
    InFlight,
}

impl Outcome {
    /// Every outcome, in the order in which reports show them.
    pub const ALL: &'static [Outcome] = &[
        Outcome::Applied,
        Outcome::Unchanged,
        Outcome::Duplicate,
        Outcome::Superseded,
        Outcome::Echo,
        Outcome::Ignored,
        Outcome::Quarantined,
        Outcome::Held,
        Outcome::Dead,
        Outcome::InFlight,
    ];

    /// The name in journal entries, metrics and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Outcome::Applied => "applied",
            Outcome::Unchanged => "unchanged",
            Outcome::Duplicate => "duplicate",
            Outcome::Superseded => "superseded",
            Outcome::Echo => "echo",
            Outcome::Ignored => "ignored",
            Outcome::Quarantined => "quarantined",
            Outcome::Held => "held",
            Outcome::Dead => "dead",
            Outcome::InFlight => "in_flight",
        }
    }

    /// The outcome of a name.
    pub fn parse(name: &str) -> Option<Outcome> {
        Outcome::ALL.iter().copied().find(|o| o.name() == name)
    }
}
