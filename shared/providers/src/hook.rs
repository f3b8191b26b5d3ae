//! Hooks: code of a folder, for what no declaration can say. A folder has one in its `hook.rs`; a manifest names it.

use crate::model::Malformed;

/// Rewrites the JSON of an event, given the JSON of what is around it. `None` leaves it as it is. Whatever cannot be read goes
/// through unchanged, for the rules to judge.
pub type Hook = fn(event: &str, around: &str) -> Result<Option<String>, Malformed>;

include!(concat!(env!("OUT_DIR"), "/hooks.rs"));
