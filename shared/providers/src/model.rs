use std::collections::BTreeMap;
use std::fmt;

use canonical::{Change, FieldName, Fields, ObjectType, Problem, RemoteId, Stamp};
use serde_json::{Map, Value};
use thiserror::Error;

/// A verified request, as the receiver kept it.
#[derive(Clone, Copy)]
pub struct Inbound<'a> {
    /// The connection that received it.
    pub connection: &'a str,
    /// The headers that the manifest keeps, lower-case names.
    pub headers: &'a BTreeMap<String, String>,
    /// Method and URL, as the provider called it.
    pub target: &'a str,
    /// The raw body.
    pub body: &'a [u8],
}

/// The numbers of a body's events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sequence {
    /// The first event's.
    pub first: u64,
    /// The last event's.
    pub last: u64,
}

impl Sequence {
    /// How many events are missing between the last number that was seen and this body. A body that was seen before, or that comes
    /// late, misses nothing.
    pub fn missing_after(self, last_seen: u64) -> u64 {
        self.first.saturating_sub(last_seen).saturating_sub(1)
    }
}

/// One event of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboundEvent {
    /// Its place in the body, from 0.
    pub index: u32,
    /// The provider's name of the event type.
    pub event_type: String,
    /// The idempotency key: the declared parts, each with its length in front, so that no two lists of parts are equal.
    pub key: String,
    /// The token that its proof may be used for once, where the provider has such tokens: another event with the same token is a
    /// forgery.
    pub once: Option<String>,
    /// When it happened, by the provider's clock.
    pub stamp: Option<Stamp>,
    /// The version of the provider's API that it is written in, where it tells one.
    pub version: Option<String>,
    /// What it says.
    pub body: EventBody,
    /// What it tells of the record though it is thin.
    pub told: Option<Told>,
}

/// What a thin event tells all the same: enough to recognise what the hub itself wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// The record is new.
    Created,
    /// One property has this value, in canonical fields.
    Fields(Fields),
    /// The property that carries the hub's id has this value.
    HubId(String),
}

/// What an event says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventBody {
    /// Canonical changes.
    Changes(Vec<Change>),
    /// A thin event: read these records.
    Fetch(Vec<RemoteId>),
    /// Events were lost, or cannot be told one by one: compare these objects with the provider.
    Reconcile {
        /// The provider's names of the objects; empty for all of them.
        objects: Vec<String>,
        /// Why.
        reason: String,
    },
    /// Nothing is done with it yet; it is kept as it came.
    Kept {
        /// Why.
        reason: String,
        /// The event as JSON.
        event: String,
    },
    /// Nothing is mapped for it.
    Ignored {
        /// Why.
        reason: String,
    },
    /// This event of the body cannot be read; the others can.
    Malformed {
        /// What is wrong, without any value.
        reason: String,
    },
}

/// Canonical values as a destination's native properties. `Debug` shows names, no values.
#[derive(Clone, Default, PartialEq)]
pub struct Rendered {
    /// Native properties as they are sent: truncated, enum names translated, money in the destination's unit.
    pub properties: Map<String, Value>,
    /// Which native properties a field fills.
    pub by_field: BTreeMap<FieldName, Vec<String>>,
    /// Required native properties without a value.
    pub missing: Vec<String>,
    /// Fields that could not be rendered.
    pub problems: Vec<Problem>,
    /// References to other records: the canonical object and the value, which is expected to be the destination's own id.
    pub refs: BTreeMap<FieldName, (ObjectType, String)>,
}

impl fmt::Debug for Rendered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.properties.keys().collect();
        f.debug_struct("Rendered")
            .field("properties", &names)
            .field("missing", &self.missing)
            .field("problems", &self.problems)
            .finish()
    }
}

/// A body that cannot be read as a whole. Never shows a part of it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct Malformed {
    /// What is wrong.
    pub reason: String,
    /// The byte at which reading ended, where known.
    pub at: Option<usize>,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)?;
        match self.at {
            Some(at) => write!(f, " at byte {at}"),
            None => Ok(()),
        }
    }
}
