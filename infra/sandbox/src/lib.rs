//! Stand-ins for the HubSpot and Salesforce APIs: real state, and the rules that the real ones enforce (tokens, rate limits, batch
//! limits, unique properties, errors per row, locks, search index lag, pages and their caps, normalisation, webhooks for own
//! changes), with faults on demand. For tests, the simulator and the local stack.
//!
//! The core does no I/O and has no clock and no randomness of its own: the caller gives the time, and everything else follows from
//! a seed. It does not sign or deliver webhooks; the caller takes them and delivers them. The feature `server` puts a loopback HTTP
//! server around it. No deployed function may depend on this crate.
#![forbid(unsafe_code)]

pub mod consent;
mod control;
#[cfg(feature = "server")]
pub mod durable;
mod engine;
mod fault;
pub mod hubspot;
mod message;
pub mod registration;
pub mod salesforce;
mod schema;
#[cfg(feature = "server")]
pub mod server;
mod state;
mod time;
pub mod tokens;
mod view;

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};

pub use control::control;
pub use fault::{Fault, FaultKind};
pub use hubspot::HubSpot;
pub use message::{OutboundWebhook, Request, Response};
pub use salesforce::Salesforce;
pub use schema::{Kind, Normalise, ObjectSchema, Overflow, Property};
pub use tokens::{Pair, TokenEndpoint};

/// Properties that differ from run to run: the ids of both stand-ins and of the hub, and times.
pub const IDS_AND_TIMES: &[&str] = &[
    "crm_hub_id",
    "CrmHubId__c",
    "hs_object_id",
    "createdate",
    "lastmodifieddate",
    "hs_lastmodifieddate",
    "Id",
    "CreatedDate",
    "LastModifiedDate",
    "SystemModstamp",
    "IsDeleted",
];

/// What both stand-ins offer besides their API: what people do in them, faults, and views of their state.
/// Times are milliseconds since 1970-01-01T00:00:00Z.
pub trait Sandbox: Send {
    /// `hubspot` or `salesforce`.
    fn name(&self) -> &'static str;
    /// Answers an API request.
    fn handle(&mut self, request: &Request, now_ms: i64) -> Response;

    /// Takes the webhooks that are due. Each stays in flight until [`Sandbox::webhook_answered`].
    fn due_webhooks(&mut self, now_ms: i64) -> Vec<OutboundWebhook>;
    /// When the next webhook is due; `None` while none is waiting.
    fn next_webhook_ms(&self) -> Option<i64>;
    /// Reports the result of a delivery. A webhook that was not accepted (no answer, or another than 2xx) is sent again later.
    fn webhook_answered(&mut self, id: u64, accepted: bool, now_ms: i64);

    /// Adds a record without a webhook event, as if it had always existed.
    ///
    /// # Errors
    /// A rule of the stand-in refuses it.
    fn seed(&mut self, object: &str, properties: &Map<String, Value>, now_ms: i64) -> Result<String, Refused>;
    /// A person creates a record. Returns its id.
    ///
    /// # Errors
    /// As for [`Sandbox::seed`].
    fn create(&mut self, object: &str, properties: &Map<String, Value>, now_ms: i64) -> Result<String, Refused>;
    /// A person edits a record.
    ///
    /// # Errors
    /// As for [`Sandbox::seed`], or there is no such record.
    fn edit(&mut self, object: &str, id: &str, properties: &Map<String, Value>, now_ms: i64) -> Result<(), Refused>;
    /// A person deletes a record.
    ///
    /// # Errors
    /// There is no such record.
    fn delete(&mut self, object: &str, id: &str, now_ms: i64) -> Result<(), Refused>;
    /// A person merges `other` into `primary`.
    ///
    /// # Errors
    /// One of them does not exist, or they are the same.
    fn merge(&mut self, object: &str, primary: &str, other: &str, now_ms: i64) -> Result<(), Refused>;

    /// Locks a record until that time: API writes to it fail.
    fn lock(&mut self, object: &str, id: &str, until_ms: i64);
    /// Adds a fault to the script.
    fn fault(&mut self, fault: Fault);
    /// Forgets all faults.
    fn clear_faults(&mut self);
    /// Makes a token valid, until that time or without end.
    fn allow_token(&mut self, token: &str, until_ms: Option<i64>);
    /// Makes a token invalid.
    fn revoke_token(&mut self, token: &str);
    /// Its token endpoint, if it has one.
    fn endpoint(&mut self) -> Option<&mut TokenEndpoint>;

    /// Counters: `calls.<kind>`, `status.<code>`, `rows.created`, `rows.updated`, `rows.unchanged`, `rows.failed`, `webhooks.*`, …
    fn stats(&self) -> BTreeMap<String, u64>;
    /// Every record, deleted ones included, with ids, times and links: sorted, so that equal states give equal text.
    fn dump(&self) -> Value;
    /// A view that does not depend on the order of the changes: the live records by object type, sorted, without ids, times and the
    /// properties in `ignore`. References and links show the other record's label.
    fn comparable(&self, ignore: &[&str]) -> Value;
    /// The whole state, for [`Sandbox::restore`].
    fn save(&self) -> Value;
    /// Replaces the state with a saved one.
    ///
    /// # Errors
    /// It is not a saved state.
    fn restore(&mut self, saved: &Value) -> Result<(), Refused>;
    /// Forgets everything except the options.
    fn reset(&mut self);
}

/// A rule of the stand-in refuses the act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused(pub String);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "refused: {}", self.0)
    }
}

impl std::error::Error for Refused {}
