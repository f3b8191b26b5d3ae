//! What goes into a provider and what comes out of it: verified bodies, inbound events, rendered properties.

use std::collections::BTreeMap;
use std::fmt;

use canonical::{Change, Fields, RemoteId, Stamp};
use thiserror::Error;

/// A verified request, as the envelope carries it.
#[derive(Clone, Copy)]
pub struct Inbound<'a> {
    /// The connection that received it.
    pub connection: &'a str,
    /// The headers that the manifest lists, by lower-case name.
    pub headers: &'a BTreeMap<String, String>,
    /// Method and URL, as the provider called it.
    pub target: &'a str,
    /// The raw body.
    pub body: &'a [u8],
}

/// The numbers of a body's events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sequence {
    /// The number of the first event.
    pub first: u64,
    /// The number of the last event.
    pub last: u64,
}

impl Sequence {
    /// How many events are missing between the last number that was seen and this body. A repeated or late body misses none.
    pub fn missing_after(self, last_seen: u64) -> u64 {
        self.first.saturating_sub(last_seen).saturating_sub(1)
    }
}

/// One event of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboundEvent {
    /// Its position in the body, from 0.
    pub index: u32,
    /// The provider's name of the event type.
    pub event_type: String,
    /// The idempotency key: the declared parts, each with its length in front, so that different parts never make the same key.
    pub key: String,
    /// The token by which its signature is valid only once, where the provider has such tokens. Another event with the same token is
    /// a forgery.
    pub single_use_token: Option<String>,
    /// When it happened, by the provider's clock.
    pub stamp: Option<Stamp>,
    /// The version of the provider's API that it is written in, where it names one.
    pub version: Option<String>,
    /// What it reports.
    pub body: EventBody,
    /// What a thin event reports about the record anyway.
    pub write_hint: Option<WriteHint>,
}

/// What a thin event reports about a record anyway. It is enough to recognise the hub's own write without a read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteHint {
    /// The record is new.
    Created,
    /// One property has this value, in canonical fields.
    Fields(Fields),
    /// The property that holds the hub's id has this value.
    HubId(String),
}

/// What an event reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventBody {
    /// Canonical changes.
    Changes(Vec<Change>),
    /// The event is thin: read these records.
    Fetch(Vec<RemoteId>),
    /// Events were lost, or the event does not name its records: read everything that changed.
    Sweep {
        /// The provider's names of the object types; empty: all of them.
        objects: Vec<String>,
        /// Why.
        reason: String,
    },
    /// The event is not mapped; the hub stores it as it came.
    Retained {
        /// Why.
        reason: String,
        /// The event as JSON.
        event: String,
    },
    /// Nothing is mapped for the event.
    Ignored {
        /// Why.
        reason: String,
    },
    /// This event of the body cannot be read; its neighbours can.
    Malformed {
        /// What is wrong, without any value.
        reason: String,
    },
}

/// A body that cannot be read as a whole. It never shows a part of the body.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct Malformed {
    /// What is wrong.
    pub reason: String,
    /// The byte at which reading stopped, where known.
    pub at: Option<usize>,
}

impl Malformed {
    pub(crate) fn new(reason: impl Into<String>) -> Malformed {
        Malformed { reason: reason.into(), at: None }
    }

    pub(crate) fn at(reason: impl Into<String>, byte: usize) -> Malformed {
        Malformed { reason: reason.into(), at: Some(byte) }
    }
}

impl From<mapping::Unreadable> for Malformed {
    fn from(unreadable: mapping::Unreadable) -> Malformed {
        Malformed { reason: unreadable.reason.to_owned(), at: unreadable.at }
    }
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
