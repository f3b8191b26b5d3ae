//! The hub's use cases: receive, transform, upsert, reconcile and rotate, over ports.
//!
//! It holds pure decisions and the async functions that apply them. This crate does not know AWS, Lambda, tokio or sockets, and
//! has no clock: it reaches everything outside through [`ports`].
//!
//! Each function has a folder, [`record`] holds what is stored, and what several functions share is beside them.
#![forbid(unsafe_code)]

pub mod batch;
pub mod client;
pub mod config;
pub mod credential;
pub mod decision;
pub mod envelope;
pub mod failure;
pub mod fuse;
pub mod import;
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
pub mod refresh_request;
pub mod refused_webhooks;
pub mod rehearsal;
pub mod rotate;
pub mod scopes;
pub mod seal;
pub mod transform;
pub mod upsert;
pub mod write_log;
