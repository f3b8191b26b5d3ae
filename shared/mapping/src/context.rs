//! What the caller of a map knows besides the body.

use canonical::Stamp;

use crate::captured::Captured;

/// The connection, the event's stamp and variables (`$id`, `$header.webhook-id`).
#[derive(Debug, Clone, Default)]
pub struct Context<'a> {
    /// The connection's name.
    pub connection: &'a str,
    /// The event's stamp, for plans without a `stamp` of their own.
    pub stamp: Option<Stamp>,
    /// Variables by name, without the `$`.
    pub vars: Vec<(&'a str, Captured<'a>)>,
}

impl<'a> Context<'a> {
    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<&Captured<'a>> {
        self.vars.iter().find(|(n, _)| *n == name).map(|(_, value)| value)
    }
}
