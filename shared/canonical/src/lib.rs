//! The hub's own model, which is the same for every provider: object types, the field catalogue, values and stamps, and the
//! messages that travel between the functions.
//!
//! This crate does not know providers, AWS, HTTP or storage. It depends only on serde.
#![forbid(unsafe_code)]

mod catalogue;
mod change;
mod lane;
mod message;
mod name;
mod object;
mod own;
mod value;

pub use catalogue::{FieldDef, FieldKind, KindMismatch, ValueKind, fields_of, find_field, further_values};
pub use change::{Change, ChangeKind, FieldName, FieldValue, Fields, Problem, RemoteId, Stamp};
pub use lane::Lane;
pub use message::{
    BodyRef, Dispatch, Envelope, EnvelopeKind, EventRef, FetchRequest, Fetched, ImportRequest, Outcome, ReadRequest,
    RefreshRequest, SweepRequest, Trace,
};
pub use name::{ConnectionName, GoldenId, KeyHash, QueueName};
pub use object::{ObjectType, UnknownObject};
pub use own::{Catalogue, OwnField};
pub use value::{Money, Value};
