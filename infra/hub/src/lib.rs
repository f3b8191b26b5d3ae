//! The command line `hub`, and the compiler that turns `infra/config/hub.toml` into the packed configuration of the functions.
//!
//! It never decides anything about records: it reads files and stores, shows what the other crates say, and moves messages
//! back to where they came from.
#![forbid(unsafe_code)]

pub mod config;

#[cfg(feature = "cli")]
pub mod check;
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "cli")]
pub mod crm;
#[cfg(feature = "cli")]
pub mod demo;
#[cfg(feature = "cli")]
pub mod docs;
#[cfg(feature = "cli")]
pub mod keys;
#[cfg(feature = "cli")]
pub mod map;
#[cfg(feature = "cli")]
pub mod operate;
#[cfg(feature = "cli")]
pub mod out;
#[cfg(feature = "cli")]
pub mod sandbox;
#[cfg(feature = "cli")]
pub mod sim;
#[cfg(feature = "cli")]
pub mod stack;
#[cfg(feature = "cli")]
pub mod template;
#[cfg(feature = "cli")]
pub mod up;
#[cfg(feature = "cli")]
pub mod verify;
