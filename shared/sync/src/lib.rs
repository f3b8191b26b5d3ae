//! The hub's use cases: receive, transform, upsert, reconcile and rotate, over ports.
//!
//! Pure decisions (`plan_*`) and the short async stories around them. This crate knows nothing of AWS, Lambda, tokio or
//! sockets, and has no clock of its own: everything from outside comes through [`ports`].
#![forbid(unsafe_code)]

pub mod failure;
pub mod ports;
