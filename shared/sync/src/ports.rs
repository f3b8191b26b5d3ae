//! Ports: the traits through which the use cases reach the outside. Adapters implement them: with the AWS SDK in production, in
//! memory in tests and in the simulator. One conformance suite (`testkit::conformance`) runs against every adapter.
//!
//! Every call may be abandoned at any await point: Lambda kills a process, the simulator drops a future. An adapter must then still
//! be able to serve the next call.
#![allow(async_fn_in_trait)]

use std::collections::BTreeMap;
use std::fmt;

pub use canonical::{Lane, QueueName};

use crate::write_log::WriteLog;

/// Time and randomness.
pub trait Clock {
    /// Milliseconds since 1970-01-01T00:00:00Z.
    fn now_ms(&self) -> i64;
    /// Sixty-four random bits; not for keys.
    fn random(&self) -> u64;
    /// Fills the buffer with bytes fit for keys and secrets.
    fn fill_secret(&self, buffer: &mut [u8]);
    /// Returns after that many milliseconds.
    async fn sleep(&self, ms: u64);
}

/// Why a port call failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PortError {
    /// Nothing is wrong with the request: try again, but not before `after_ms` if it is set.
    Unavailable {
        /// The other side's message, without personal data.
        reason: String,
        /// How long to wait.
        after_ms: Option<u64>,
    },
    /// The request will never succeed in its current form.
    Rejected {
        /// The other side's message, without personal data.
        reason: String,
    },
}

impl PortError {
    /// Shorthand for [`PortError::Unavailable`].
    pub fn unavailable(reason: impl Into<String>) -> PortError {
        PortError::Unavailable { reason: reason.into(), after_ms: None }
    }

    /// Shorthand for [`PortError::Rejected`].
    pub fn rejected(reason: impl Into<String>) -> PortError {
        PortError::Rejected { reason: reason.into() }
    }
}

impl fmt::Display for PortError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PortError::Unavailable { reason, .. } => write!(f, "not available: {reason}"),
            PortError::Rejected { reason } => write!(f, "rejected: {reason}"),
        }
    }
}

impl std::error::Error for PortError {}

/// The largest message in bytes, as [`Outgoing::bytes`] counts them. One call that sends several messages has the same limit.
pub const MESSAGE_BYTES: usize = 1_048_576;

/// The part of a message that is reserved for the attributes of a dead letter, in bytes. An envelope leaves it free, so that it can
/// always be parked.
pub const DEAD_LETTER_BYTES: usize = 4_096;

/// Whether SQS accepts a character: those of XML 1.0.
pub const fn is_sendable(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// A message to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// The body: only characters that SQS accepts, and with the attributes at most [`MESSAGE_BYTES`].
    pub body: String,
    /// Seconds before it can be received, 0 to 900.
    pub delay_s: u32,
    /// The fair-queue group (SQS `MessageGroupId` on a standard queue).
    pub group: Option<String>,
    /// String attributes, at most ten.
    pub attributes: BTreeMap<String, String>,
}

impl Outgoing {
    /// A message without delay, group or attributes.
    pub fn new(body: impl Into<String>) -> Outgoing {
        Outgoing { body: body.into(), delay_s: 0, group: None, attributes: BTreeMap::new() }
    }

    /// The size as SQS counts it: the body, and the name, type and value of each attribute.
    pub fn bytes(&self) -> usize {
        let attribute = |(name, value): (&String, &String)| name.len() + "String".len() + value.len();
        self.body.len() + self.attributes.iter().map(attribute).sum::<usize>()
    }
}

/// A message as it was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The queue's id of the message.
    pub id: String,
    /// Identifies this reception; needed to delay or delete the message.
    pub receipt: String,
    /// The body.
    pub body: String,
    /// How often it was received, from 1.
    pub receive_count: u32,
    /// String attributes.
    pub attributes: BTreeMap<String, String>,
}

/// Message queues, by their logical names (`ingest-urgent`, `upsert-hubspot`, `upsert-hubspot-dlq`, …).
pub trait Queue {
    /// Sends messages in as few calls as the queue allows. The answer has one entry per message, in order. A message whose entry is
    /// `Ok` is stored durably.
    async fn send(&self, queue: &QueueName, messages: Vec<Outgoing>) -> Vec<Result<(), PortError>>;
    /// Makes a received message visible again after that many seconds (0 to 43,200).
    async fn delay(&self, queue: &QueueName, receipt: &str, seconds: u32) -> Result<(), PortError>;
}

/// The tables. Each function's IAM policy names exactly those that its row in `docs/architecture.md` allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Golden records and source records.
    Golden,
    /// Identity keys, links to destinations, leases.
    Links,
    /// Received events and their outcomes.
    Journal,
    /// Append-only history.
    Audit,
    /// Pauses, token buckets, attempts, watermarks.
    Control,
    /// The data keys of golden records and retained events; no point-in-time recovery.
    Keys,
}

impl Table {
    /// Every table.
    pub const ALL: &'static [Table] = &[Table::Golden, Table::Links, Table::Journal, Table::Audit, Table::Control, Table::Keys];

    /// The logical name.
    pub const fn name(self) -> &'static str {
        match self {
            Table::Golden => "golden",
            Table::Links => "links",
            Table::Journal => "journal",
            Table::Audit => "audit",
            Table::Control => "control",
            Table::Keys => "keys",
        }
    }
}

/// The primary key of an item; both parts are strings of 1 to 1024 bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Partition key, attribute `pk`.
    pub pk: String,
    /// Sort key, attribute `sk`.
    pub sk: String,
}

impl Key {
    /// A key.
    pub fn new(pk: impl Into<String>, sk: impl Into<String>) -> Key {
        Key { pk: pk.into(), sk: sk.into() }
    }
}

/// An attribute value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attr {
    /// Text.
    S(String),
    /// A whole number.
    N(i64),
    /// Bytes.
    B(Vec<u8>),
    /// True or false.
    Bool(bool),
}

/// An item: its key and its other attributes. From the time in the attribute `ttl` on (a number, seconds since the epoch) the store
/// may delete the item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The primary key.
    pub key: Key,
    /// The other attributes.
    pub attrs: BTreeMap<String, Attr>,
}

impl Item {
    /// An item without attributes.
    pub fn new(key: Key) -> Item {
        Item { key, attrs: BTreeMap::new() }
    }

    /// Adds an attribute.
    #[must_use]
    pub fn with(mut self, name: &str, value: Attr) -> Item {
        self.attrs.insert(name.to_owned(), value);
        self
    }

    /// The text of an attribute.
    pub fn s(&self, name: &str) -> Option<&str> {
        match self.attrs.get(name) {
            Some(Attr::S(text)) => Some(text),
            _ => None,
        }
    }

    /// The number of an attribute.
    pub fn n(&self, name: &str) -> Option<i64> {
        match self.attrs.get(name) {
            Some(Attr::N(number)) => Some(*number),
            _ => None,
        }
    }

    /// The bytes of an attribute.
    pub fn b(&self, name: &str) -> Option<&[u8]> {
        match self.attrs.get(name) {
            Some(Attr::B(bytes)) => Some(bytes),
            _ => None,
        }
    }
}

/// The condition on the stored item under which a write happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// No condition.
    Always,
    /// No item has this key.
    Absent,
    /// The item exists and this attribute equals this value.
    Equals(&'static str, Attr),
}

/// One write of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// Writes the whole item.
    Put {
        /// The table.
        table: Table,
        /// The item.
        item: Item,
        /// Its condition.
        condition: Condition,
    },
    /// Deletes an item. The item need not exist unless the condition requires it.
    Delete {
        /// The table.
        table: Table,
        /// The item's key.
        key: Key,
        /// Its condition.
        condition: Condition,
    },
    /// Writes nothing, but the transaction fails unless the condition holds.
    Check {
        /// The table.
        table: Table,
        /// The item's key.
        key: Key,
        /// Its condition.
        condition: Condition,
    },
}

/// Why a write did not happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteError {
    /// A condition did not hold, or another transaction was using one of the items. Nothing was written.
    Conflict {
        /// The index of each write whose condition failed; empty when another transaction was using an item.
        failed: Vec<usize>,
    },
    /// Any other error. It is not known whether the write happened.
    Port(PortError),
}

impl From<PortError> for WriteError {
    fn from(error: PortError) -> WriteError {
        WriteError::Port(error)
    }
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WriteError::Conflict { failed } => write!(f, "conflict at writes {failed:?}"),
            WriteError::Port(_) => f.write_str("the store failed"),
        }
    }
}

impl std::error::Error for WriteError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            WriteError::Conflict { .. } => None,
            WriteError::Port(error) => Some(error),
        }
    }
}

/// One page of a query or scan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// The items, in key order for a query.
    pub items: Vec<Item>,
    /// The start of the next page; `None` on the last page.
    pub next: Option<Key>,
}

/// Tables with conditional writes and transactions. Reads are strongly consistent, scans are not.
pub trait Store {
    /// One item.
    async fn get(&self, table: Table, key: &Key) -> Result<Option<Item>, PortError>;
    /// Several items of one table, at most 100; the answer has one entry per key, in order.
    async fn get_many(&self, table: Table, keys: &[Key]) -> Result<Vec<Option<Item>>, PortError>;
    /// The items of a partition whose sort key starts with `prefix` (which may be empty), ascending.
    async fn query(&self, table: Table, pk: &str, prefix: &str, limit: u32, after: Option<&Key>) -> Result<Page, PortError>;
    /// Any items of a table, for sweeps and operators; eventually consistent.
    async fn scan(&self, table: Table, limit: u32, after: Option<&Key>) -> Result<Page, PortError>;
    /// Does all of these writes or none: at most 100, and at most one per item. A repetition with the same `token` and the same
    /// writes within ten minutes succeeds without writing again. One write without a token need not be a transaction.
    async fn write(&self, writes: Vec<Write>, token: Option<&str>) -> Result<(), WriteError>;
}

/// Large bodies (claim check).
pub trait Blob {
    /// Stores bytes durably under a key.
    async fn put(&self, key: &str, bytes: &[u8]) -> Result<(), PortError>;
    /// The bytes of a key.
    async fn get_blob(&self, key: &str) -> Result<Option<Vec<u8>>, PortError>;
}

/// The active values of a secret. `Debug` shows no value.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SecretSet {
    /// AWSCURRENT.
    pub current: Option<String>,
    /// AWSPENDING: the value of a rotation that is in progress.
    pub pending: Option<String>,
    /// AWSPREVIOUS: the value before the current one; some senders still use it.
    pub previous: Option<String>,
    /// The id of the version that is current, which changes with every new value.
    pub version: Option<String>,
}

impl SecretSet {
    /// The values with which a signature may be made, the current one first.
    pub fn active(&self) -> impl Iterator<Item = &str> {
        [&self.current, &self.pending, &self.previous].into_iter().filter_map(|v| v.as_deref())
    }
}

impl fmt::Debug for SecretSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = |v: &Option<String>| if v.is_some() { "set" } else { "none" };
        write!(
            f,
            "SecretSet {{ current: {}, pending: {}, previous: {} }}",
            stage(&self.current),
            stage(&self.pending),
            stage(&self.previous)
        )
    }
}

/// Secrets with their version stages.
pub trait Secrets {
    /// The secret of that name. `fresh` bypasses the cache; the adapter limits how often it really does.
    async fn secret(&self, name: &str, fresh: bool) -> Result<SecretSet, PortError>;
}

/// The versions of a secret and their stages, for `rotate` only.
pub trait SecretVersions {
    /// What the other calls name the secret of this logical name.
    fn secret_name(&self, logical: &str) -> String;
    /// The value of a version in a stage; `None` when no version is there.
    async fn version_value(&self, secret: &str, version: Option<&str>, stage: &str) -> Result<Option<String>, PortError>;
    /// The version that has AWSCURRENT; `None` when there is no such secret.
    async fn current_version(&self, secret: &str) -> Result<Option<String>, PortError>;
    /// Stores a value as a version with the stage AWSPENDING. A repetition with the same version and value succeeds.
    async fn put_pending(&self, secret: &str, version: &str, value: &str) -> Result<(), PortError>;
    /// Moves AWSCURRENT to a version, away from the one that has it (which becomes AWSPREVIOUS).
    async fn promote(&self, secret: &str, version: &str, from: Option<&str>) -> Result<(), PortError>;
}

pub use providers::http::{HttpRequest, HttpResponse};

/// Why a request got no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HttpError {
    /// The request surely had no effect: the connection failed, or the URL is not allowed.
    NotSent(String),
    /// It is not known whether the request took effect: it timed out, or its answer was lost.
    Unknown(String),
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HttpError::NotSent(reason) => write!(f, "the request was not sent: {reason}"),
            HttpError::Unknown(reason) => write!(f, "the request may have taken effect: {reason}"),
        }
    }
}

impl std::error::Error for HttpError {}

/// Outbound HTTPS to providers.
pub trait Http {
    /// Sends a request once. Follows no redirect.
    async fn http(&self, request: HttpRequest) -> Result<HttpResponse, HttpError>;
    /// Where writes to providers are noted instead of being made; `None` except in a rehearsal.
    fn write_log(&self) -> Option<&WriteLog> {
        None
    }
}
