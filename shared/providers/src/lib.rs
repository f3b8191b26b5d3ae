//! Providers as folders of data: a manifest, mapping files, fixtures, and a hook or a destination protocol only where the
//! protocol is truly odd. A small loader turns a folder into a [`Provider`].
//!
//! Nothing here does I/O, reads a clock, or names a single provider outside its folder.
#![forbid(unsafe_code)]

pub mod api;
pub mod http;
mod manifest;
mod model;
mod provider;

pub use manifest::{About, AcceptedAnswer, ApiInfo, Destination, Manifest};
pub use model::{EventBody, Inbound, InboundEvent, Malformed, Rendered};
pub use provider::{LoadError, Override, Overrides, Provider};
