//! The hub's use cases: receive, transform, upsert, reconcile and rotate, over ports.
//!
//! Pure decisions (`plan_*`) and the short async stories around them. This crate knows nothing of AWS, Lambda, tokio or
//! sockets, and has no clock of its own: everything from outside comes through [`ports`].
//!
//! One folder per function, [`record`] for what is stored, and the pieces that several functions share beside them.
#![forbid(unsafe_code)]

pub mod batch;
pub mod client;
pub mod config;
pub mod envelope;
pub mod failure;
pub mod join;
pub mod mutant;
pub mod outbox;
pub mod pause;
pub mod ports;
pub mod quarantine;
pub mod rate_limit;
pub mod receive;
pub mod reconcile;
pub mod record;
pub mod rotate;
pub mod seal;
pub mod transform;
pub mod upsert;
