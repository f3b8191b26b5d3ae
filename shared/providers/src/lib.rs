//! Providers as folders of data: a manifest, mapping files, fixtures, and a destination protocol only where records are written.
//! A small loader turns a folder into a [`Provider`].
//!
//! Nothing here does I/O, reads a clock, or names a single provider outside its folder.
#![forbid(unsafe_code)]

pub mod api;
mod decode;
mod each;
mod events;
pub mod fetch;
mod fields;
#[cfg(feature = "compile")]
mod folders;
pub mod hook;
pub mod http;
mod manifest;
mod model;
mod provider;
#[cfg(feature = "compile")]
mod registry;
mod texts;
mod xml;

pub use manifest::{
    About, AcceptedAnswer, Action, ApiInfo, Destination, EventStamp, Events, Manifest, Media, On, OneOrMore, Rate, ReadWay,
    Records, SequencePlaces, TextKind, Untyped, UntypedBodies, Words, XmlBodies,
};
pub use model::{EventBody, Inbound, InboundEvent, Malformed, Rendered, Sequence, Told};
pub use provider::{LoadError, Override, Overrides, Provider};
#[cfg(feature = "compile")]
pub use registry::Registry;
