//! Twins, the simulator and the port conformance suite. For tests and for `hub sim`; no function depends on it.
#![forbid(unsafe_code)]

pub mod conformance;
pub mod memory;
pub mod sim;
pub mod twin;
