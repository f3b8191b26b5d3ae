//! The hub's use cases: receive, transform, upsert, reconcile and rotate, over ports.
//!
//! Pure decisions (`plan_*`) and the short async stories around them. This crate knows nothing of AWS, Lambda, tokio or
//! sockets, and has no clock of its own: everything from outside comes through [`ports`].
#![forbid(unsafe_code)]

pub mod batch;
pub mod config;
pub mod control;
pub mod effects;
pub mod failure;
pub mod join;
pub mod journal;
pub mod merge;
pub mod mutant;
pub mod observation;
pub mod ports;
pub mod receive;
pub mod reconcile;
pub mod record;
pub mod rotate;
pub mod seal;
pub mod state;
pub mod survivorship;
pub mod transform;
pub mod upsert;
