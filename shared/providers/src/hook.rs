//! Hooks: code of a provider's folder for what no declaration can express. A folder has one in its `hook.rs`, and a manifest names it
//! (`[events]`, `hook`).

use crate::model::Malformed;

/// Rewrites the JSON of an event, given the JSON that surrounds it. `None` leaves the event as it is. A hook leaves alone what it cannot
/// read, and the manifest's rules decide about it.
pub type Hook = fn(event: &str, around: &str) -> Result<Option<String>, Malformed>;
