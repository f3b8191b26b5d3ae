//! The configuration compiler: `hub.toml` in, findings or a pack out.

pub mod compile;
mod effects;
pub mod finding;
mod policy;
pub mod read;

pub use compile::{Compiled, Difference, compile};
pub use finding::{Finding, Severity, Source};

/// The configuration that comes with the hub.
pub const DEFAULT: &str = include_str!("../../../config/hub.toml");
