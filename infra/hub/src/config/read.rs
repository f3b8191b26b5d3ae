//! Reads TOML with positions, and reports everything that is wrong instead of the first thing only.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::finding::{Finding, suggestion};

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Where, in bytes.
    pub span: Range<usize>,
}

/// Collects findings.
#[derive(Debug, Default)]
pub struct Findings(RefCell<Vec<Finding>>);

impl Findings {
    /// Adds one.
    pub fn add(&self, finding: Finding) {
        self.0.borrow_mut().push(finding);
    }

    /// All of them, by position.
    pub fn into_sorted(self) -> Vec<Finding> {
        let mut all = self.0.into_inner();
        all.sort_by_key(|f| (f.severity, f.span.as_ref().map_or(0, |s| s.start)));
        all
    }
}

/// A table of which the keys that were asked for are the known ones.
pub struct Table<'a> {
    findings: &'a Findings,
    table: &'a DeTable<'a>,
    span: Range<usize>,
    /// What it is, for messages: `connection`, `field rule`.
    what: &'static str,
    asked: RefCell<BTreeSet<&'static str>>,
}

impl<'a> Table<'a> {
    /// Wraps a table.
    pub fn new(findings: &'a Findings, table: &'a DeTable<'a>, span: Range<usize>, what: &'static str) -> Table<'a> {
        Table { findings, table, span, what, asked: RefCell::default() }
    }

    /// Where the table begins.
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    fn get(&self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.asked.borrow_mut().insert(key);
        self.table.get(key)
    }

    /// True when the key is there.
    pub fn has(&self, key: &'static str) -> bool {
        self.get(key).is_some()
    }

    fn clash(&self, key: &str, value: &Spanned<DeValue<'a>>, wanted: &str) {
        let message = format!("`{key}` must be {wanted}");
        self.findings
            .add(Finding::error(value.span(), message).label(format!("this is {}", article(value.get_ref().type_str()))));
    }

    /// A text.
    pub fn text(&self, key: &'static str) -> Option<At<String>> {
        let value = self.get(key)?;
        let text = text_of(value);
        if text.is_none() {
            self.clash(key, value, "a text");
        }
        text
    }

    /// A text that must be there.
    pub fn required(&self, key: &'static str) -> Option<At<String>> {
        if !self.has(key) {
            self.missing(key);
        }
        self.text(key)
    }

    /// Reports that a key is missing.
    pub fn missing(&self, key: &str) {
        self.findings.add(Finding::error(self.span(), format!("this {} has no `{key}`", self.what)));
    }

    /// True or false; false when it is not there.
    pub fn flag(&self, key: &'static str) -> bool {
        let Some(value) = self.get(key) else { return false };
        if !value.get_ref().is_bool() {
            self.clash(key, value, "true or false");
        }
        value.get_ref().as_bool().unwrap_or(false)
    }

    /// A whole number of at least `least`.
    pub fn number<N: TryFrom<i64>>(&self, key: &'static str, least: i64) -> Option<N> {
        let value = self.get(key)?;
        let digits = value.get_ref().as_integer().map(|i| (i.as_str().replace('_', ""), i.radix()));
        let number = digits.and_then(|(digits, radix)| i64::from_str_radix(&digits, radix).ok());
        let fitting = number.filter(|n| *n >= least).and_then(|n| N::try_from(n).ok());
        if fitting.is_none() {
            self.clash(key, value, &format!("a whole number of at least {least}"));
        }
        fitting
    }

    /// A duration in milliseconds: `500ms`, `10s`, `5m`, `1h`, `2d`.
    pub fn duration(&self, key: &'static str) -> Option<u64> {
        let text = self.text(key)?;
        self.milliseconds(&text)
    }

    /// Several durations in milliseconds.
    pub fn durations(&self, key: &'static str) -> Option<Vec<u64>> {
        let texts = self.texts(key)?;
        Some(texts.iter().filter_map(|text| self.milliseconds(text)).collect())
    }

    fn milliseconds(&self, text: &At<String>) -> Option<u64> {
        let ms = parse_duration(&text.value);
        if ms.is_none() {
            let finding = Finding::error(text.span.clone(), format!("`{}` is no duration", text.value));
            self.findings.add(finding.help("write a whole number and a unit: 500ms, 10s, 5m, 1h, 2d"));
        }
        ms
    }

    /// A list of texts.
    pub fn texts(&self, key: &'static str) -> Option<Vec<At<String>>> {
        let value = self.get(key)?;
        let Some(items) = value.get_ref().as_array() else {
            self.clash(key, value, "a list of texts");
            return None;
        };
        let mut texts = Vec::new();
        for item in items.iter() {
            match text_of(item) {
                Some(text) => texts.push(text),
                None => self.clash(key, item, "a list of texts"),
            }
        }
        Some(texts)
    }

    /// A table.
    pub fn table(&self, key: &'static str, what: &'static str) -> Option<Table<'a>> {
        let value = self.get(key)?;
        self.as_table(key, value, what)
    }

    fn as_table(&self, key: &str, value: &'a Spanned<DeValue<'a>>, what: &'static str) -> Option<Table<'a>> {
        match value.get_ref().as_table() {
            Some(table) => Some(Table::new(self.findings, table, value.span(), what)),
            None => {
                self.clash(key, value, "a table");
                None
            }
        }
    }

    /// A list of tables.
    pub fn tables(&self, key: &'static str, what: &'static str) -> Vec<Table<'a>> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let Some(items) = value.get_ref().as_array() else {
            self.clash(key, value, "a list of tables");
            return Vec::new();
        };
        items.iter().filter_map(|item| self.as_table(key, item, what)).collect()
    }

    /// Every entry, for tables whose keys are the user's own names.
    pub fn entries(&self) -> impl Iterator<Item = (At<&'a str>, Entry<'a>)> {
        let table: &'a DeTable<'a> = self.table;
        let findings = self.findings;
        table.iter().map(move |(key, value)| {
            let name = At { value: key.get_ref().as_ref(), span: key.span() };
            (name, Entry { findings, key: key.get_ref(), value })
        })
    }

    /// Reports every key that nobody asked for.
    pub fn finish(self) {
        let asked = self.asked.borrow();
        for (key, _) in self.table.iter().filter(|(key, _)| !asked.contains(key.get_ref().as_ref())) {
            let finding = Finding::error(key.span(), format!("a {} has no key `{}`", self.what, key.get_ref()));
            self.findings.add(finding.label("unknown key").help(suggestion(key.get_ref(), asked.iter().copied())));
        }
    }
}

/// The value of a key that is the user's own name.
#[derive(Clone, Copy)]
pub struct Entry<'a> {
    findings: &'a Findings,
    key: &'a str,
    value: &'a Spanned<DeValue<'a>>,
}

impl<'a> Entry<'a> {
    /// Where the value stands.
    pub fn span(&self) -> Range<usize> {
        self.value.span()
    }

    /// As a text, where it is one; nothing is reported where it is not.
    pub fn as_text(&self) -> Option<At<String>> {
        text_of(self.value)
    }

    /// As a text.
    pub fn text(&self) -> Option<At<String>> {
        let text = self.as_text();
        if text.is_none() {
            self.clash("a text");
        }
        text
    }

    /// As a list of texts.
    pub fn texts(&self) -> Vec<At<String>> {
        match self.value.get_ref().as_array() {
            Some(items) => items.iter().filter_map(text_of).collect(),
            None => {
                self.clash("a list of texts");
                Vec::new()
            }
        }
    }

    /// As a table.
    pub fn table(&self, what: &'static str) -> Option<Table<'a>> {
        match self.value.get_ref().as_table() {
            Some(table) => Some(Table::new(self.findings, table, self.value.span(), what)),
            None => {
                self.clash("a table");
                None
            }
        }
    }

    fn clash(&self, wanted: &str) {
        let label = format!("this is {}", article(self.value.get_ref().type_str()));
        self.findings.add(Finding::error(self.value.span(), format!("`{}` must be {wanted}", self.key)).label(label));
    }
}

fn article(kind: &str) -> String {
    match kind.chars().next() {
        Some('a' | 'e' | 'i' | 'o' | 'u') => format!("an {kind}"),
        _ => format!("a {kind}"),
    }
}

fn text_of(value: &Spanned<DeValue<'_>>) -> Option<At<String>> {
    value.get_ref().as_str().map(|text| At { value: text.to_owned(), span: value.span() })
}

fn parse_duration(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let number: u64 = text[..digits].parse().ok()?;
    let unit = match &text[digits..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(parse_duration("30m"), Some(1_800_000));
        assert_eq!(parse_duration("500ms"), Some(500));
        for wrong in ["", "5", "m", "5 m", "-5m", "5y", "99999999999999999999d"] {
            assert_eq!(parse_duration(wrong), None, "{wrong}");
        }
    }
}
