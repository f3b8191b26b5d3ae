//! The values that `[events]` of a manifest names: paths in an event, paths around it, and variables. [`PathTable`] collects them
//! while a manifest is compiled, so that one pass over an event finds them all.

use std::collections::BTreeMap;

use mapping::{Path, PathError, Reader};

use crate::manifest::OneOrMore;

/// A value that a manifest names.
#[derive(Debug)]
pub(crate) enum ValueRef {
    /// In the event, at the path of this number.
    Event(usize),
    /// Around the event, at the path of this number.
    Outer(usize),
    /// The variable of this name, without its `$`.
    Variable(String),
}

/// Several values, of which the first that is there counts.
pub(crate) type FirstOf = Vec<ValueRef>;

/// A value and the pattern that it must match.
#[derive(Debug)]
pub(crate) struct ValueCondition {
    pub value: ValueRef,
    pub pattern: String,
}

/// The paths and variables that a manifest names, each once.
#[derive(Debug, Default)]
pub(crate) struct PathTable {
    event: Vec<Path>,
    outer: Vec<Path>,
    variables: Vec<String>,
}

impl PathTable {
    /// The reference to the value that this text names. It is added to the table unless it is there already.
    pub fn slot(&mut self, text: &str) -> Result<ValueRef, PathError> {
        if let Some(path) = text.strip_prefix("$outer.") {
            return Ok(ValueRef::Outer(position(&mut self.outer, path.parse()?)));
        }
        Ok(match text.strip_prefix('$') {
            Some(name) => {
                position(&mut self.variables, name.to_owned());
                ValueRef::Variable(name.to_owned())
            }
            None => ValueRef::Event(position(&mut self.event, text.parse()?)),
        })
    }

    /// The reference to a value that a manifest may leave out.
    pub fn optional(&mut self, text: Option<&String>) -> Result<Option<ValueRef>, PathError> {
        text.map(|text| self.slot(text)).transpose()
    }

    /// The references of a list; none for a list that a manifest leaves out.
    pub fn first_of(&mut self, texts: Option<&OneOrMore>) -> Result<FirstOf, PathError> {
        texts.map_or(&[][..], OneOrMore::as_slice).iter().map(|text| self.slot(text)).collect()
    }

    /// The parts of an idempotency key.
    pub fn key(&mut self, parts: &[OneOrMore]) -> Result<Vec<FirstOf>, PathError> {
        parts.iter().map(|part| self.first_of(Some(part))).collect()
    }

    /// The conditions of a table of values and patterns.
    pub fn conditions(&mut self, table: &BTreeMap<String, String>) -> Result<Vec<ValueCondition>, PathError> {
        table.iter().map(|(text, pattern)| Ok(ValueCondition { value: self.slot(text)?, pattern: pattern.clone() })).collect()
    }

    /// The paths in an event.
    pub fn event(&self) -> &[Path] {
        &self.event
    }

    /// The paths around an event.
    pub fn outer(&self) -> &[Path] {
        &self.outer
    }

    /// The names of the variables, without `$`.
    pub fn variables(&self) -> &[String] {
        &self.variables
    }

    /// Finds the values of [`ValueRef::Event`] in an event.
    pub fn event_reader(&self) -> Reader {
        Reader::new(&self.event)
    }

    /// Finds the values of [`ValueRef::Outer`] in what surrounds an event.
    pub fn outer_reader(&self) -> Reader {
        Reader::new(&self.outer)
    }
}

fn position<T: PartialEq>(all: &mut Vec<T>, one: T) -> usize {
    all.iter().position(|known| *known == one).unwrap_or_else(|| {
        all.push(one);
        all.len() - 1
    })
}

/// Whether a text matches a pattern, in which `*` stands for any text.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => {
            let Some(tail) = text.strip_prefix(start) else { return false };
            rest.is_empty() || (0..=tail.len()).any(|at| tail.get(at..).is_some_and(|tail| matches(rest, tail)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        assert!(matches("customer.*", "customer.created"));
        assert!(matches("*.creation", "contact.creation"));
        assert!(matches("a.*.c", "a.b.b.c"));
        assert!(!matches("customer.*", "customers.created"));
        assert!(!matches("*.creation", "contact.deletion"));
    }

    #[test]
    fn each_path_is_read_once() {
        let mut table = PathTable::default();
        let slots = ["a.b", "$outer.a.b", "$type", "c", "a.b"].map(|text| format!("{:?}", table.slot(text).unwrap()));
        assert_eq!(slots, ["Event(0)", "Outer(0)", "Variable(\"type\")", "Event(1)", "Event(0)"]);
        assert_eq!((table.event().len(), table.outer().len(), table.variables()), (2, 1, &["type".to_owned()][..]));
        assert!(table.slot("a[").is_err());
    }
}
