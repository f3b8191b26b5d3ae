//! Fields that are set aside because their value cannot be normalised, or cannot be written to a destination. The rest of the
//! record goes on.

use canonical::Problem;

use crate::failure::Code;
use crate::outbox::bounded;

/// The reason that names each field that was set aside, with its path and what is wrong, and never its value. `None` when no
/// field was set aside.
pub fn quarantine_reason<'a>(problems: impl IntoIterator<Item = &'a Problem>) -> Option<String> {
    let fields: Vec<String> = problems.into_iter().map(|p| format!("`{}` at `{}`: {}", p.field, p.path, p.reason)).collect();
    (!fields.is_empty()).then(|| bounded(&format!("{}: {}", Code::BadField, fields.join("; "))))
}
