//! How the hub calls a destination, without I/O: an [`Api`] builds the requests and parses the responses, and its caller sends them.
//! Each destination has one implementation, in `<provider>/api.rs`.
//!
//! Nothing here retries, waits or keeps state. Failures hold codes, property names and the provider's ids, never values.

use std::fmt;

use canonical::Stamp;
use serde_json::{Map, Value};

use crate::http::{HttpRequest, HttpResponse};
use crate::manifest::Association;

pub use crate::refusal::{CallFailure, FailureKind, Fault, RowFailure, Scope};

/// The calls that take a limited number of rows.
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

/// A destination's API. The rows of one call must have different hub ids and different remote ids.
pub trait Api: Sync {
    /// How many rows, values or ids one call takes.
    fn batch_limit(&self, op: Op) -> usize;
    /// Splits the values of [`Api::find`] into one part for each call.
    fn find_parts<'v>(&self, _property: &str, values: &'v [String]) -> Vec<&'v [String]> {
        values.chunks(self.batch_limit(Op::Find)).collect()
    }
    /// Creates or updates objects by the property that holds the hub's id. [`Api::parse_written`] parses the response.
    fn upsert(&self, target: &Target, rows: &[Row]) -> HttpRequest;
    /// Updates existing objects by their remote id, which every row must have, and writes the hub's id into them.
    /// [`Api::parse_written`] parses the response.
    fn update(&self, target: &Target, rows: &[Row]) -> HttpRequest;
    /// One result for each row, in the order of the rows. A row that the response does not mention is `Transient`, because nobody
    /// knows whether it was written.
    ///
    /// # Errors
    /// The call as a whole failed. After a status 5xx, nobody knows whether it took effect.
    fn parse_written(&self, target: &Target, rows: &[Row], response: &HttpResponse) -> Result<Vec<RowResult>, CallFailure>;
    /// Finds objects by a natural key or by the hub's id, for at least one value, in every property in which the provider keeps such
    /// values. `after` is the cursor of a further page. [`Api::parse_found`] parses the response. Several objects may have the same
    /// value. An object that was written moments ago may be missing, except where the property is unique at the provider.
    fn find(&self, target: &Target, property: &str, values: &[String], properties: &[String], after: Option<&str>)
    -> HttpRequest;
    /// Other native properties in which the provider keeps further values of this one, separated by semicolons.
    fn further_properties(&self, _native: &str, _property: &str) -> &'static [&'static str] {
        &[]
    }
    /// Reads objects by remote id. `after` is the cursor of a further page. [`Api::parse_found`] parses the response, which leaves
    /// out ids that do not exist.
    fn read(&self, target: &Target, ids: &[String], properties: &[String], after: Option<&str>) -> HttpRequest;
    /// Parses the response to [`Api::find`] and [`Api::read`]: a page of what was found.
    ///
    /// # Errors
    /// The call failed, or a part of it. An object that does not exist is not a failure.
    fn parse_found(&self, target: &Target, response: &HttpResponse) -> Result<Page, CallFailure>;
    /// The native objects that [`Api::list`] can read, so that a sweep can read them.
    fn listable(&self) -> &'static [&'static str];
    /// One page of the objects that changed at or after `since_ms`, in the order of their changes. [`Api::parse_page`] parses the
    /// response.
    fn list(&self, target: &Target, since_ms: i64, cursor: Option<&str>, properties: &[String]) -> HttpRequest;
    /// Parses the response to [`Api::list`], with the same `since_ms` and `cursor`. Pages may overlap.
    ///
    /// # Errors
    /// The call failed. `CursorExpired`: begin again without a cursor, from the last stamp seen.
    fn parse_page(
        &self,
        target: &Target,
        since_ms: i64,
        cursor: Option<&str>,
        response: &HttpResponse,
    ) -> Result<Page, CallFailure>;
    /// True when the provider has a call that merges two objects.
    fn can_merge(&self) -> bool {
        false
    }
    /// Merges one object into another; `None` unless [`Api::can_merge`]. [`Api::parse_merged`] parses the response.
    fn merge(&self, _target: &Target, _primary: &str, _other: &str) -> Option<HttpRequest> {
        None
    }
    /// The id of the object that remains after [`Api::merge`].
    ///
    /// # Errors
    /// The call failed; `NotFound` when one of the two objects no longer exists.
    fn parse_merged(&self, _target: &Target, _response: &HttpResponse) -> Result<String, CallFailure> {
        Err(RowFailure::new(FailureKind::Rejected, "NO_MERGE", "the provider has no call that merges"))
    }
    /// Ties objects of the target's type to objects of another one, by one type of association; `None` where the provider keeps no
    /// associations. A tie that exists stays as it is. [`Api::parse_associated`] parses the response.
    fn associate(&self, _target: &Target, _association: &Association, _edges: &[Edge]) -> Option<HttpRequest> {
        None
    }
    /// One result for each edge, in the order of the edges.
    ///
    /// # Errors
    /// The call as a whole failed.
    fn parse_associated(
        &self,
        _target: &Target,
        _edges: &[Edge],
        _response: &HttpResponse,
    ) -> Result<Vec<Result<(), RowFailure>>, CallFailure> {
        Err(RowFailure::new(FailureKind::Rejected, "NO_ASSOCIATIONS", "the provider keeps no associations"))
    }
    /// Asks which properties the object type has in this account. [`Api::parse_described`] parses the response.
    fn describe(&self, target: &Target) -> HttpRequest;
    /// Parses the response to [`Api::describe`].
    ///
    /// # Errors
    /// The call failed; `NotFound` when the account has no such object type.
    fn parse_described(&self, target: &Target, response: &HttpResponse) -> Result<Vec<PropertyInfo>, CallFailure>;
    /// True when a read that names a property which the account lacks fails as a whole; otherwise such a name is ignored.
    fn refuses_unknown_properties(&self) -> bool {
        false
    }
    /// Asks which scopes the token has; `None` when the provider cannot say. [`Api::parse_scopes`] parses the response.
    fn scopes(&self, _target: &Target) -> Option<HttpRequest> {
        None
    }
    /// Parses the response to [`Api::scopes`].
    ///
    /// # Errors
    /// The call failed.
    fn parse_scopes(&self, _target: &Target, _response: &HttpResponse) -> Result<Vec<String>, CallFailure> {
        Err(RowFailure::new(FailureKind::Rejected, "NO_SCOPES", "the provider does not tell scopes"))
    }
    /// How many calls remain, according to any response; `None` when it does not say.
    fn parse_usage(&self, _response: &HttpResponse) -> Option<Usage> {
        None
    }
}

/// Two objects that are to be tied, by their ids at the provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge {
    /// The object that refers to the other one.
    pub from: String,
    /// The object that is referred to.
    pub to: String,
}

/// Where a call goes. `Debug` hides the token.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    /// Scheme and host, without a slash at the end.
    pub base_url: String,
    /// The access token.
    pub token: String,
    /// The provider's own name of the object type: `contacts`, `Account`.
    pub object: String,
    /// The property that holds the hub's id. It is unique at the provider.
    pub id_property: String,
    /// The version of the API as its path writes it, such as `v3` or `v62.0`.
    pub version: String,
    /// Milliseconds after which the hub gives up the call.
    pub timeout_ms: u64,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} at {}", self.object, self.version, self.base_url)
    }
}

/// One object to write. `Debug` shows names, never values.
#[derive(Clone, PartialEq)]
pub struct Row {
    /// The hub's id.
    pub hub_id: String,
    /// The provider's id, where known.
    pub remote_id: Option<String>,
    /// Native properties. Values are sent as they are, nested references included.
    pub properties: Map<String, Value>,
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Row {} ({:?}) {:?}", self.hub_id, self.remote_id, self.properties.keys().collect::<Vec<_>>())
    }
}

/// The result of writing a row.
#[derive(Clone, PartialEq)]
pub enum RowResult {
    /// The row was written.
    Done {
        /// The provider's id.
        remote_id: String,
        /// True when the object is new.
        created: bool,
        /// The properties as the provider stores them now, where its response lists them.
        properties: Option<Map<String, Value>>,
        /// The provider's stamp of the write, where its response has one.
        stamp: Option<Stamp>,
    },
    /// The row was not written, or nobody knows whether it was.
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

/// An object as the provider stores it. `Debug` shows names, never values.
#[derive(Clone, PartialEq)]
pub struct RemoteRecord {
    /// The provider's id. After a merge there, it may differ from the requested id.
    pub id: String,
    /// The hub's id, where the object has one.
    pub hub_id: Option<String>,
    /// Native properties.
    pub properties: Map<String, Value>,
    /// When the object last changed, by the provider's clock.
    pub stamp: Option<Stamp>,
    /// True when the object was deleted there.
    pub archived: bool,
    /// The record as the provider returned it.
    pub raw: Value,
}

impl fmt::Debug for RemoteRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.properties.keys().collect();
        write!(f, "RemoteRecord {} (hub {:?}) {:?} archived={} {names:?}", self.id, self.hub_id, self.stamp, self.archived)
    }
}

/// One page of records.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// The records; those of a list are in the order of their changes.
    pub records: Vec<RemoteRecord>,
    /// The cursor of the next page; `None` on the last page.
    pub next: Option<String>,
}

/// A property of an object type, as an account has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PropertyInfo {
    /// Its native name.
    pub name: String,
    /// What values it takes.
    pub kind: PropertyKind,
    /// True when the token may write it.
    pub writable: bool,
    /// True when no two objects may have the same value.
    pub unique: bool,
    /// The values of a list; empty when others are accepted as well.
    pub options: Vec<String>,
}

/// What values a property takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PropertyKind {
    /// Text, or a kind that is checked in no other way.
    Text,
    /// A number.
    Number,
    /// True or false.
    Bool,
    /// A day or a point in time.
    Time,
}

/// The remaining calls of an allowance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// How many calls remain.
    pub remaining: u64,
    /// How many calls are allowed in a window.
    pub max: u64,
    /// The length of the window in milliseconds.
    pub window_ms: u64,
}

/// The body as JSON.
pub(crate) fn json(response: &HttpResponse) -> Result<Value, CallFailure> {
    serde_json::from_slice(&webhook::json::whole_characters(&response.body)).map_err(|e| {
        RowFailure::new(
            FailureKind::Transient,
            "BAD_RESPONSE",
            format!("status {}, not JSON at byte {}", response.status, e.column()),
        )
    })
}

/// A string member of an object.
pub(crate) fn text<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name).and_then(Value::as_str)
}
