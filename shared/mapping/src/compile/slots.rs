//! Gives every path of a map a slot.

use crate::file::OneOrMore;
use crate::input::{Condition, Input};
use crate::path::Path;

use super::file::Conditions;

/// The paths so far; a path's slot is its index.
#[derive(Debug, Default)]
pub(super) struct Slots(Vec<Path>);

impl Slots {
    pub fn slot(&mut self, path: Path) -> u16 {
        let at = self.0.iter().position(|known| *known == path).unwrap_or_else(|| {
            self.0.push(path);
            self.0.len() - 1
        });
        u16::try_from(at).unwrap_or(u16::MAX)
    }

    /// A path or a `$variable`; `None` when the text is not a path, which the check of the file has reported.
    pub fn input(&mut self, text: &str) -> Option<Input> {
        match text.strip_prefix('$') {
            Some(name) => Some(Input::Var(name.to_owned())),
            None => text.parse().ok().map(|path| Input::Slot(self.slot(path))),
        }
    }

    pub fn inputs(&mut self, texts: &OneOrMore<String>) -> Vec<Input> {
        texts.0.iter().filter_map(|text| self.input(text.get_ref())).collect()
    }

    pub fn conditions(&mut self, conditions: Conditions) -> Vec<Condition> {
        let compiled = conditions.0.into_iter().filter_map(|(name, values)| {
            let mut condition =
                Condition { input: self.input(name.get_ref())?, any: Vec::new(), same_as: Vec::new(), other_than: Vec::new() };
            for value in values.into_values() {
                if let Some(path) = value.0.strip_prefix("!=") {
                    condition.other_than.extend(self.input(path));
                } else if let Some(path) = value.0.strip_prefix('=') {
                    condition.same_as.extend(self.input(path));
                } else {
                    condition.any.push(value.0);
                }
            }
            Some(condition)
        });
        compiled.collect()
    }

    pub fn into_paths(self) -> Vec<Path> {
        self.0
    }
}
