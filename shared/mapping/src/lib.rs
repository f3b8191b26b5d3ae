//! Declarative mapping: a mapping file becomes a compiled, serialisable [`Map`], which runs over a body in one pass and gives
//! canonical changes; the same rules render canonical values back into native properties.
//!
//! This crate knows no provider's name, does no I/O, reads no clock, and never puts a value of a payload into an error.
#![forbid(unsafe_code)]

mod capture;
#[cfg(feature = "compile")]
pub mod compile;
pub mod normal;
mod pairs;
mod path;
mod plan;
mod read;
mod render;
mod run;
mod transform;
mod unmapped;

pub use capture::{Captured, decode, text_of};
pub use pairs::Pairs;
pub use path::{Condition, Path, PathError, Segment};
pub use plan::{Deletion, Direction, External, FieldStamp, Guard, Input, Kind, Map, Plan, Rule, Speak, StampRule, Unit};
pub use read::{Reader, Slots, Unreadable};
pub use render::Output;
pub use run::Context;
pub use unmapped::unmapped;
