//! What the hub asks of a destination, without I/O: an [`Api`] builds the requests and reads the answers, somebody else
//! carries them. One implementation per provider, in `<provider>/api.rs`.
//!
//! Nothing here retries, waits or remembers. Failures name codes, properties and the provider's ids, never values.

use std::collections::BTreeMap;
use std::fmt;

use canonical::Stamp;
use serde_json::{Map, Value};

use crate::http::{HttpRequest, HttpResponse};

include!(concat!(env!("OUT_DIR"), "/protocols.rs"));

/// The calls that have a limit of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Op {
    /// [`Api::upsert`].
    Upsert,
    /// [`Api::update`].
    Update,
    /// [`Api::find`].
    Find,
    /// [`Api::read`].
    Read,
    /// [`Api::list`]: records per page.
    List,
}

/// A destination's protocol. The answer of each request is read by the method named with it; the rows of one call must have
/// different hub ids and different remote ids.
pub trait Api: Sync {
    /// Rows (or values, ids) per call.
    fn batch_limit(&self, op: Op) -> usize;
    /// The values of [`Api::find`] in as many parts as calls are needed.
    fn find_parts<'v>(&self, values: &'v [String]) -> Vec<&'v [String]> {
        values.chunks(self.batch_limit(Op::Find)).collect()
    }
    /// Creates or updates by the hub's own id property. Answer: [`Api::written`].
    fn upsert(&self, t: &Target, rows: &[Row]) -> HttpRequest;
    /// Updates existing objects by their remote id, which every row must have, and writes the hub's id into them.
    /// Answer: [`Api::written`].
    fn update(&self, t: &Target, rows: &[Row]) -> HttpRequest;
    /// One result per row, in row order. A row that the answer does not mention is `Transient`: nobody knows.
    ///
    /// # Errors
    /// The call as a whole failed. With status 5xx it is not known whether it took effect.
    fn written(&self, t: &Target, rows: &[Row], r: &HttpResponse) -> Result<Vec<RowResult>, CallFailure>;
    /// Finds objects by a natural key or by the hub's id, for at least one value. Answer: [`Api::found`]. A value may have several
    /// objects or none; what was written moments ago may be missing, except where the property is unique at the provider.
    fn find(&self, t: &Target, property: &str, values: &[String], properties: &[String]) -> HttpRequest;
    /// Reads objects by remote id. Answer: [`Api::found`]; an id that does not exist (or no longer) is not in it.
    fn read(&self, t: &Target, ids: &[String], properties: &[String]) -> HttpRequest;
    /// Reads the answer of [`Api::find`] and [`Api::read`].
    ///
    /// # Errors
    /// The call failed, or part of it did; an object that does not exist is no failure.
    fn found(&self, t: &Target, r: &HttpResponse) -> Result<Vec<RemoteRecord>, CallFailure>;
    /// A page of the objects changed at or after `since_ms`, ascending by change. Answer: [`Api::listed`].
    fn list(&self, t: &Target, since_ms: i64, cursor: Option<&str>, properties: &[String]) -> HttpRequest;
    /// Reads the answer of [`Api::list`], whose `since_ms` and `cursor` are given again. Pages may overlap.
    ///
    /// # Errors
    /// The call failed. `CursorExpired`: begin again without a cursor, from the last stamp seen.
    fn listed(&self, t: &Target, since_ms: i64, cursor: Option<&str>, r: &HttpResponse) -> Result<Listing, CallFailure>;
    /// True when the provider has a call that merges two objects.
    fn can_merge(&self) -> bool {
        false
    }
    /// Merges one object into another; `None` unless [`Api::can_merge`]. Answer: [`Api::merged`].
    fn merge(&self, _t: &Target, _primary: &str, _other: &str) -> Option<HttpRequest> {
        None
    }
    /// The id of the object that remains after [`Api::merge`].
    ///
    /// # Errors
    /// The call failed; `NotFound` when one of the two does not exist any more.
    fn merged(&self, _t: &Target, _r: &HttpResponse) -> Result<String, CallFailure> {
        Err(RowFailure::new(FailureKind::Rejected, "NO_MERGE", "the provider has no call that merges"))
    }
    /// What the answer says about the calls that are left; `None` when it says nothing.
    fn usage(&self, _r: &HttpResponse) -> Option<Usage> {
        None
    }
}

/// Where a call goes. `Debug` does not show the token.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    /// Scheme and host, without a slash at the end.
    pub base_url: String,
    /// The access token.
    pub token: String,
    /// The provider's own name of the object type: `contacts`, `Account`.
    pub object: String,
    /// The property that holds the hub's id there; unique at the provider.
    pub id_property: String,
    /// The version of the API as its path writes it, such as `v3` or `v62.0`.
    pub version: String,
    /// When the call is given up, in milliseconds.
    pub timeout_ms: u64,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} at {}", self.object, self.version, self.base_url)
    }
}

/// One object to write. `Debug` shows names, no values.
#[derive(Clone, PartialEq)]
pub struct Row {
    /// The hub's id.
    pub hub_id: String,
    /// The provider's id, where known.
    pub remote_id: Option<String>,
    /// Native properties. Values go out as they are, nested references included.
    pub properties: Map<String, Value>,
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Row {} ({:?}) {:?}", self.hub_id, self.remote_id, self.properties.keys().collect::<Vec<_>>())
    }
}

/// What became of a row.
#[derive(Clone, PartialEq)]
pub enum RowResult {
    /// Written.
    Done {
        /// The provider's id.
        remote_id: String,
        /// True when the object is new.
        created: bool,
        /// The properties as the provider holds them now, where its answer says so.
        properties: Option<Map<String, Value>>,
        /// The provider's stamp of the write, where its answer says so.
        stamp: Option<Stamp>,
    },
    /// Not written, or not known to be.
    Failed(RowFailure),
}

impl fmt::Debug for RowResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RowResult::Done { remote_id, created, stamp, .. } => write!(f, "Done {remote_id} created={created} {stamp:?}"),
            RowResult::Failed(failure) => write!(f, "{failure:?}"),
        }
    }
}

/// Why a row or a call failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowFailure {
    /// What decides.
    pub kind: FailureKind,
    /// The provider's code, such as `CONFLICT` or `UNABLE_TO_LOCK_ROW`; `HTTP_503` where it gives none.
    pub code: String,
    /// More of it, without personal data.
    pub detail: String,
    /// The native property at fault, where named.
    pub field: Option<String>,
}

/// The failure of a whole call.
pub type CallFailure = RowFailure;

impl RowFailure {
    /// A failure that names no property.
    pub fn new(kind: FailureKind, code: impl Into<String>, detail: impl Into<String>) -> RowFailure {
        RowFailure { kind, code: code.into(), detail: detail.into(), field: None }
    }
}

impl fmt::Display for RowFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.code)?;
        if let Some(field) = &self.field {
            write!(f, " at {field}")?;
        }
        if self.detail.is_empty() { Ok(()) } else { write!(f, ": {}", self.detail) }
    }
}

impl std::error::Error for RowFailure {}

/// What is to be done about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// May pass by itself; a write may have taken effect.
    Transient,
    /// The provider asks to wait; nothing was written.
    Throttled {
        /// Milliseconds.
        after_ms: u64,
    },
    /// The record is locked by somebody else: try again after two seconds or more.
    Locked,
    /// The token is not accepted, or may not do this.
    Auth,
    /// The provider refuses the row as it is.
    Rejected,
    /// The provider refuses the row because another object holds a value that must be unique: find that object and adopt it.
    DuplicateKey,
    /// The provider finds several objects where there must be one.
    Ambiguous,
    /// The object that the row names does not exist (or no longer).
    NotFound,
    /// The cursor of a list is no longer valid: begin again without one.
    CursorExpired,
}

impl FailureKind {
    /// What a status code means that says no more than HTTP does. Providers that say more read their own codes first.
    pub fn of_status(r: &HttpResponse) -> FailureKind {
        match r.status {
            401 => FailureKind::Auth,
            408 | 425 => FailureKind::Transient,
            423 => FailureKind::Locked,
            429 => FailureKind::Throttled { after_ms: r.retry_after_ms().unwrap_or(10_000) },
            400..=499 => FailureKind::Rejected,
            _ => FailureKind::Transient,
        }
    }
}

/// An object as the provider holds it. `Debug` shows names, no values.
#[derive(Clone, PartialEq)]
pub struct RemoteRecord {
    /// The provider's id. After a merge there, it may differ from the id that was asked for.
    pub id: String,
    /// The hub's id, where it is set.
    pub hub_id: Option<String>,
    /// Native properties.
    pub properties: Map<String, Value>,
    /// When the object last changed, by the provider's clock.
    pub stamp: Option<Stamp>,
    /// When single properties last changed, where asked for and known.
    pub field_stamps: BTreeMap<String, Stamp>,
    /// True when it was deleted there.
    pub archived: bool,
    /// The record as it came.
    pub raw: Value,
}

impl fmt::Debug for RemoteRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.properties.keys().collect();
        write!(f, "RemoteRecord {} (hub {:?}) {:?} archived={} {names:?}", self.id, self.hub_id, self.stamp, self.archived)
    }
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Listing {
    /// The records, ascending by change.
    pub records: Vec<RemoteRecord>,
    /// Hand this to the next call; `None` at the end.
    pub next: Option<String>,
}

/// How much of an allowance is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Calls that are left.
    pub remaining: u64,
    /// Calls allowed.
    pub max: u64,
    /// The length of the allowance's window in milliseconds.
    pub window_ms: u64,
}

/// The instant that an ISO 8601 text names, in milliseconds; offsets may come without a colon.
pub(crate) fn instant_ms(text: &str) -> Option<i64> {
    text.parse::<jiff::Timestamp>().ok().map(|t| t.as_millisecond())
}

/// The body as JSON.
pub(crate) fn json(r: &HttpResponse) -> Result<Value, CallFailure> {
    serde_json::from_slice(&r.body).map_err(|e| {
        RowFailure::new(FailureKind::Transient, "BAD_ANSWER", format!("status {}, not JSON at byte {}", r.status, e.column()))
    })
}

/// A string member of an object.
pub(crate) fn text<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name).and_then(Value::as_str)
}

/// Keeps what looks like a code or a property's name, so that no value slips into an error.
pub(crate) fn word(text: &str) -> Option<String> {
    let fits = !text.is_empty() && text.len() <= 100 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
    fits.then(|| text.to_owned())
}
