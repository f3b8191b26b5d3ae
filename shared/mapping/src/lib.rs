//! Declarative mapping: a mapping file becomes a compiled, serialisable [`Map`], which runs over a body in one pass and makes
//! canonical changes; the same rules render canonical values back into native properties.
//!
//! This crate does not know the providers, does no I/O, reads no clock, and never puts a value of a payload into an error.
#![forbid(unsafe_code)]

mod apply;
mod captured;
#[cfg(feature = "compile")]
pub mod compile;
mod context;
#[cfg(feature = "compile")]
pub mod file;
mod input;
mod map;
pub mod normal;
mod pairs;
mod path;
mod query;
mod reader;
mod render;
mod rule;
mod run;
mod sets;
mod unmapped;

pub use captured::{Captured, text_of};
pub use context::Context;
pub use input::{Condition, Input};
pub use map::{Coverage, Deletion, ExternalId, Map, ObjectStamp, Plan};
pub use pairs::Pairs;
pub use path::{ElementFilter, FilterMember, Path, PathError, Segment};
pub use query::{decode_parameter, query_parameter};
pub use reader::{Reader, Slots, Unreadable};
pub use render::Rendered;
pub use rule::{
    Conversion, DateRule, DecimalUnit, Direction, EnumRule, FieldRule, FieldStamp, InstantRule, MoneyRule, MoneyUnit, PhoneRule,
    RefRule, SetMember, SetRule, TimeUnit, ZoneRule,
};
pub use unmapped::unmapped;
