//! TOML with positions, read by hand so that every mistake is told where it stands.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::{Diagnostic, Source};
use crate::path::Path;

/// Mistakes as they are found.
#[derive(Default)]
pub(super) struct Trouble(Vec<(Range<usize>, String, Option<String>)>);

impl Trouble {
    pub fn tell(&mut self, span: Range<usize>, message: impl Into<String>, help: Option<String>) {
        self.0.push((span, message.into(), help));
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn told(self, source: &Source) -> impl Iterator<Item = Diagnostic> + '_ {
        self.0.into_iter().map(|(span, message, help)| Diagnostic::new(source, span, message, help))
    }
}

pub(super) fn parse<'t>(text: &'t str, trouble: &mut Trouble) -> Option<Spanned<DeTable<'t>>> {
    DeTable::parse(text).map_err(|e| trouble.tell(e.span().unwrap_or(0..0), e.message(), None)).ok()
}

/// The nearest of the known names, if one is near.
pub(super) fn suggestion<'k>(text: &str, known: impl Iterator<Item = &'k str>) -> Option<String> {
    let near = known.map(|k| (strsim::jaro_winkler(text, k), k)).max_by(|a, b| a.0.total_cmp(&b.0));
    near.filter(|(score, _)| *score > 0.8).map(|(_, name)| format!("did you mean `{name}`?"))
}

/// A key.
pub(super) struct Name<'t> {
    pub text: &'t str,
    pub span: Range<usize>,
}

impl Name<'_> {
    pub fn path(&self, trouble: &mut Trouble) -> Option<Path> {
        self.text.parse().map_err(|e: crate::path::PathError| trouble.tell(self.span.clone(), e.to_string(), None)).ok()
    }
}

/// A table.
#[derive(Clone, Copy)]
pub(super) struct Table<'t>(&'t DeTable<'t>);

impl<'t> Table<'t> {
    pub fn of(document: &'t Spanned<DeTable<'t>>) -> Table<'t> {
        Table(document.get_ref())
    }

    /// Keys and values in the order of the file.
    pub fn entries(&self) -> Vec<(Name<'t>, Item<'t>)> {
        let mut entries: Vec<_> =
            self.0.iter().map(|(key, value)| (Name { text: key.get_ref(), span: key.span() }, Item(value))).collect();
        entries.sort_by_key(|(name, _)| name.span.start);
        entries
    }

    pub fn get(&self, key: &str) -> Option<Item<'t>> {
        self.0.get(key).map(Item)
    }

    pub fn text(&self, key: &str, trouble: &mut Trouble) -> Option<String> {
        self.get(key)?.text(trouble).map(str::to_owned)
    }

    pub fn only(&self, known: &[&str], trouble: &mut Trouble) {
        for (name, _) in self.entries() {
            if !known.contains(&name.text) {
                let help =
                    suggestion(name.text, known.iter().copied()).or_else(|| Some(format!("known are {}", known.join(", "))));
                trouble.tell(name.span, format!("unknown key `{}`", name.text), help);
            }
        }
    }
}

/// A value.
#[derive(Clone, Copy)]
pub(super) struct Item<'t>(&'t Spanned<DeValue<'t>>);

impl<'t> Item<'t> {
    pub fn span(&self) -> Range<usize> {
        self.0.span()
    }

    fn want<T>(&self, value: Option<T>, what: &str, trouble: &mut Trouble) -> Option<T> {
        if value.is_none() {
            trouble.tell(self.span(), format!("expected {what}"), None);
        }
        value
    }

    pub fn text(&self, trouble: &mut Trouble) -> Option<&'t str> {
        let text = match self.0.get_ref() {
            DeValue::String(text) => Some(&**text),
            _ => None,
        };
        self.want(text, "a text", trouble)
    }

    pub fn boolean(&self, trouble: &mut Trouble) -> Option<bool> {
        let value = match self.0.get_ref() {
            DeValue::Boolean(value) => Some(*value),
            _ => None,
        };
        self.want(value, "true or false", trouble)
    }

    pub fn integer(&self, trouble: &mut Trouble) -> Option<i64> {
        let value = match self.0.get_ref() {
            DeValue::Integer(value) => i64::from_str_radix(value.as_str(), value.radix()).ok(),
            _ => None,
        };
        self.want(value, "a whole number", trouble)
    }

    /// A text, number or boolean as text.
    pub fn scalar(&self, trouble: &mut Trouble) -> Option<String> {
        let value = match self.0.get_ref() {
            DeValue::String(text) => Some(text.to_string()),
            DeValue::Boolean(value) => Some(value.to_string()),
            DeValue::Integer(value) => Some(value.as_str().to_owned()),
            _ => None,
        };
        self.want(value, "a text, a number, true or false", trouble)
    }

    pub fn table(&self, trouble: &mut Trouble) -> Option<Table<'t>> {
        let table = match self.0.get_ref() {
            DeValue::Table(table) => Some(Table(table)),
            _ => None,
        };
        self.want(table, "a table", trouble)
    }

    /// The elements of a list; a single value stands for a list of it.
    pub fn each(&self) -> Vec<Item<'t>> {
        match self.0.get_ref() {
            DeValue::Array(list) => list.iter().map(Item).collect(),
            _ => vec![*self],
        }
    }

    pub fn path(&self, trouble: &mut Trouble) -> Option<Path> {
        let text = self.text(trouble)?;
        text.parse().map_err(|e: crate::path::PathError| trouble.tell(self.span(), e.to_string(), None)).ok()
    }

    pub fn one_of<T: Copy>(&self, known: &[(&str, T)], trouble: &mut Trouble) -> Option<T> {
        let text = self.text(trouble)?;
        let found = known.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
        if found.is_none() {
            let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
            let help = suggestion(text, names.iter().copied()).or_else(|| Some(format!("known are {}", names.join(", "))));
            trouble.tell(self.span(), format!("unknown value `{text}`"), help);
        }
        found
    }
}
