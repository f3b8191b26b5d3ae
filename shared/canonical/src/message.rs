use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{ConnectionName, GoldenId, ObjectType, RemoteId, Stamp};

/// The W3C trace id (32 hex digits) that travels from the webhook to the CRM write.
pub type Trace = String;

/// Which of the two ingest queues carries an envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lane {
    /// Leads, payments, tickets: what a person waits for.
    Urgent,
    /// Opens, clicks, sweeps: what comes in bursts.
    Bulk,
}

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

/// Why an envelope is in the ingest queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum EnvelopeKind {
    /// A verified request of a provider.
    Webhook,
    /// What `reconcile` read.
    Fetched(Fetched),
}

/// One event's place in the accounts: which envelope it came in, and where in it.
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

/// A record that was read from a provider, or the finding that it is not there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetched {
    /// What was read.
    pub source: RemoteId,
    /// True when the provider says that the object does not exist.
    pub missing: bool,
    /// When it was read, by our clock, in milliseconds since the epoch.
    pub read_at_ms: i64,
    /// The thin events that asked for this read; each is settled by it.
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
    /// Travels to the CRM write.
    pub trace: Trace,
    /// The request's method and path with query, as the provider called it; empty for fetched records.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub target: String,
    /// The headers that the manifest names as needed after verifying, lower-case names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// The raw body.
    pub body: BodyRef,
}

/// What `transform` puts on a destination's queue: where to look, never what is true.
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

/// What `transform` puts on the fetch queue: a thin event's object to read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchRequest {
    /// What to read.
    pub source: RemoteId,
    /// The event that asked, to be settled when the read is merged; `None` for operator and contested-field requests.
    pub cause: Option<EventRef>,
    /// The thin event's own stamp: a read older than this must be repeated.
    pub not_before: Option<Stamp>,
    /// The trace of the causing envelope.
    pub trace: Trace,
}

/// What `transform` puts on the fetch queue when events were lost or could not be told one by one: objects to compare.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SweepRequest {
    /// The connection.
    pub connection: ConnectionName,
    /// The provider's names of the objects; empty for all that the connection sweeps.
    pub objects: Vec<String>,
    /// Why.
    pub reason: String,
    /// The event that asked, to be settled when it is done; `None` for a gap between events.
    pub cause: Option<EventRef>,
    /// The trace of the causing envelope.
    pub trace: Trace,
}

/// A message of the fetch queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ReadRequest {
    /// One record.
    Fetch(FetchRequest),
    /// What changed of some objects.
    Sweep(SweepRequest),
}

impl ReadRequest {
    /// The connection to read from.
    pub const fn connection(&self) -> &ConnectionName {
        match self {
            ReadRequest::Fetch(request) => &request.source.connection,
            ReadRequest::Sweep(request) => &request.connection,
        }
    }

    /// The event that asked.
    pub const fn cause(&self) -> Option<&EventRef> {
        match self {
            ReadRequest::Fetch(request) => request.cause.as_ref(),
            ReadRequest::Sweep(request) => request.cause.as_ref(),
        }
    }
}

/// How an event ended. Exactly one per event that was answered 2xx.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A golden record changed.
    Applied,
    /// The event was new and changed nothing.
    Unchanged,
    /// The event had been handled before.
    Duplicate,
    /// Newer observations of every field were there already.
    Superseded,
    /// Our own write came back.
    Echo,
    /// Nothing is mapped for this event type.
    Ignored,
    /// Applied but for a field that was set aside.
    Quarantined,
    /// Parked in the dead-letter queue with its reason.
    Dead,
    /// Waits for the record that a thin event names.
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
            Outcome::Dead => "dead",
            Outcome::InFlight => "in_flight",
        }
    }

    /// The outcome of a name.
    pub fn parse(name: &str) -> Option<Outcome> {
        Outcome::ALL.iter().copied().find(|o| o.name() == name)
    }
}
