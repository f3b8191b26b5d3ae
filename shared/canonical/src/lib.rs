//! What the hub knows about the world, independent of every provider: object types, the field catalogue, values,
//! observations' stamps, and the messages that travel between functions.
//!
//! This crate knows nothing of providers, AWS, HTTP or storage. It depends on serde only.
#![forbid(unsafe_code)]

mod catalogue;
mod change;
mod message;
mod name;
mod object;
mod own;
mod value;

pub use catalogue::{FieldDef, FieldKind, KindMismatch, ValueKind, fields_of, find_field};
pub use change::{Change, ChangeKind, FieldName, FieldValue, Fields, Problem, RemoteId, Stamp};
pub use message::{
    BodyRef, Dispatch, Envelope, EnvelopeKind, EventRef, FetchRequest, Fetched, ImportRequest, Lane, Outcome, ReadRequest,
    SweepRequest, Trace,
};
pub use name::{ConnectionName, GoldenId, KeyHash, QueueName};
pub use object::{ObjectType, UnknownObject};
pub use own::{Catalogue, OwnField};
pub use value::{Money, Value};
