//! The command line `hub`, and the compiler that turns `infra/config/hub.toml` into the packed configuration of the functions.
//!
//! It never decides anything about records: it reads files and stores, shows what the other crates find, and moves messages back
//! to the queues that they came from.
#![forbid(unsafe_code)]

pub mod config;

#[cfg(feature = "cli")]
mod add;
#[cfg(feature = "cli")]
mod alarms;
#[cfg(feature = "cli")]
mod check;
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "cli")]
pub mod configuration;
#[cfg(feature = "cli")]
pub mod connect;
#[cfg(feature = "cli")]
mod demo;
#[cfg(feature = "cli")]
pub mod docs;
#[cfg(feature = "cli")]
mod env;
#[cfg(feature = "cli")]
mod files;
#[cfg(feature = "cli")]
mod fixture;
#[cfg(feature = "cli")]
pub mod http;
#[cfg(feature = "cli")]
mod keys;
#[cfg(feature = "cli")]
mod latencies;
#[cfg(feature = "cli")]
pub mod live;
#[cfg(feature = "cli")]
mod load;
#[cfg(feature = "cli")]
mod lock;
#[cfg(feature = "cli")]
mod map;
#[cfg(feature = "cli")]
pub mod operate;
#[cfg(feature = "cli")]
mod out;
#[cfg(feature = "cli")]
mod own_properties;
#[cfg(feature = "cli")]
pub mod queues;
#[cfg(feature = "cli")]
mod sandbox;
#[cfg(feature = "cli")]
pub mod sandboxes;
#[cfg(feature = "cli")]
mod section;
#[cfg(feature = "cli")]
mod send;
#[cfg(feature = "cli")]
mod sim;
#[cfg(feature = "cli")]
pub mod stack;
#[cfg(feature = "cli")]
pub mod template;
#[cfg(feature = "cli")]
mod text;
#[cfg(feature = "cli")]
mod up;
#[cfg(feature = "cli")]
pub mod verify;
