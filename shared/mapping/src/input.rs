//! What rules read, and the conditions under which they hold.

use serde::{Deserialize, Serialize};

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Input {
    /// A path of the body, by slot.
    Slot(u16),
    /// A value that the caller knows: `$id`, `$header.webhook-id`.
    Var(String),
}

/// A condition: the input has one of these values. `*` is any value but null, `x*` any text that begins with `x`, `!x` any but
/// null and `x`. `=path` is the value of another input, `!=path` any but null and that one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// What is looked at.
    pub input: Input,
    /// The values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub any: Vec<String>,
    /// Other inputs whose value it may be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub same_as: Vec<Input>,
    /// Other inputs whose value it may not be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_than: Vec<Input>,
}

/// What conditions read.
pub(crate) fn inputs(conditions: &[Condition]) -> impl Iterator<Item = &Input> {
    conditions
        .iter()
        .flat_map(|condition| std::iter::once(&condition.input).chain(&condition.same_as).chain(&condition.other_than))
}

/// For serde: false is left out of the packed form.
pub(crate) fn is_false(flag: &bool) -> bool {
    !*flag
}
