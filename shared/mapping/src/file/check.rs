//! Checks a document against its declared keys: reports every mistake, and takes out what does not fit.

use toml::Spanned;
use toml::de::{DeArray, DeInteger, DeTable, DeValue};

use super::diagnostic::{Report, Span};
use super::keys::{KeyTable, ValueType};
use super::suggest::suggestion;
use super::values::Milliseconds;
use crate::path::Path;

/// Checks a table. `span` is where it begins.
pub(super) fn check(table: &mut DeTable<'_>, span: Span, keys: &KeyTable, report: &mut Report) {
    for key in keys.keys().filter(|key| key.needed && !table.contains_key(key.name)) {
        report.error(span.clone(), format!("this {} has no `{}`", keys.owner, key.name)).help(key.meaning);
    }
    for (name, mut value) in std::mem::take(table) {
        let fits = match (keys.find(name.get_ref()), &keys.others) {
            (Some(key), _) if key.needed && is_blank(value.get_ref()) => {
                report.error(value.span(), format!("`{}` is empty", key.name)).help(key.meaning);
                false
            }
            (Some(key), _) => fits(name.get_ref(), &mut value, &key.value, report),
            (None, Some(others)) => fits(name.get_ref(), &mut value, others, report),
            (None, None) => {
                let message = format!("{} has no key `{}`", with_article(keys.owner), name.get_ref());
                report.error(name.span(), message).label("unknown key").help(suggestion(name.get_ref(), keys.names()));
                false
            }
        };
        if fits {
            table.insert(name, value);
        }
    }
}

/// Whether a value means the same as a missing key.
fn is_blank(value: &DeValue<'_>) -> bool {
    match value {
        DeValue::String(text) => text.trim().is_empty(),
        DeValue::Array(list) => list.is_empty(),
        _ => false,
    }
}

/// Whether a value is what is expected. What is wrong inside of it is taken out.
fn fits(name: &str, value: &mut Spanned<DeValue<'_>>, expected: &ValueType, report: &mut Report) -> bool {
    let span = value.span();
    match (expected, value.get_mut()) {
        (ValueType::Unchecked, _)
        | (ValueType::Text | ValueType::Scalar | ValueType::TextOrTable(_), DeValue::String(_))
        | (ValueType::Scalar, DeValue::Boolean(_) | DeValue::Integer(_))
        | (ValueType::Flag, DeValue::Boolean(_)) => true,
        (ValueType::Path, DeValue::String(text)) => is_path(text, span, report),
        (ValueType::Duration, DeValue::String(text)) => is_duration(text, span, report),
        (ValueType::OneOf(words), DeValue::String(text)) => is_one_of(name, text, words, span, report),
        (ValueType::Number { least }, DeValue::Integer(digits)) if number(digits).is_some_and(|n| n >= *least) => true,
        (ValueType::Table(keys) | ValueType::TextOrTable(keys), DeValue::Table(table)) => {
            check(table, span, keys, report);
            true
        }
        (ValueType::Named(inner) | ValueType::ByPath(inner), DeValue::Table(table)) => {
            for (name, mut value) in std::mem::take(table) {
                let named = matches!(expected, ValueType::Named(_)) || is_path(name.get_ref(), name.span(), report);
                if fits(name.get_ref(), &mut value, inner, report) && named {
                    table.insert(name, value);
                }
            }
            true
        }
        (ValueType::OneOrMore(inner) | ValueType::List(inner), DeValue::Array(list)) => {
            keep_fitting(name, list, inner, report);
            true
        }
        (ValueType::OneOrMore(inner), _) => fits(name, value, inner, report),
        (_, other) => {
            let label = format!("this is {}", with_article(other.type_str()));
            report.error(span, format!("`{name}` must be {}", expected.description())).label(label);
            false
        }
    }
}

fn keep_fitting(name: &str, list: &mut DeArray<'_>, inner: &ValueType, report: &mut Report) {
    for mut element in std::mem::replace(list, DeArray::new()) {
        if fits(name, &mut element, inner, report) {
            list.push(element);
        }
    }
}

fn is_path(text: &str, span: Span, report: &mut Report) -> bool {
    match text.parse::<Path>() {
        Err(error) if !text.starts_with('$') => {
            report.error(span, error.to_string()).label("not a path");
            false
        }
        _ => true,
    }
}

fn is_duration(text: &str, span: Span, report: &mut Report) -> bool {
    let fits = Milliseconds::parse(text).is_some();
    if !fits {
        let help = "write a whole number and a unit: 500ms, 10s, 5m, 1h, 2d";
        report.error(span, format!("`{text}` is not a duration")).help(help);
    }
    fits
}

fn is_one_of(name: &str, text: &str, words: &[&str], span: Span, report: &mut Report) -> bool {
    let fits = words.contains(&text);
    if !fits {
        let message = format!("`{text}` is not a value of `{name}`");
        report.error(span, message).label("unknown value").help(suggestion(text, words.iter().copied()));
    }
    fits
}

fn number(digits: &DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(digits.as_str(), digits.radix()).ok()
}

fn with_article(noun: &str) -> String {
    match noun.chars().next() {
        Some('a' | 'e' | 'i' | 'o' | 'u') => format!("an {noun}"),
        _ => format!("a {noun}"),
    }
}
