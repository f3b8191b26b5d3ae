//! Object types, their properties, and what a property does with a value.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::time;

/// The properties of an object type.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ObjectSchema {
    /// By native name.
    pub properties: BTreeMap<String, Property>,
    /// Properties that name a record in [`crate::Sandbox::comparable`]: the first one that has a value.
    pub label: Vec<String>,
}

/// One property.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Property {
    /// What values it takes.
    pub kind: Kind,
    /// No two live records have the same value.
    #[serde(default)]
    pub unique: bool,
    /// Computed: may not be written.
    #[serde(default)]
    pub read_only: bool,
    /// Must have a value.
    #[serde(default)]
    pub required: bool,
    /// The greatest number of characters.
    #[serde(default)]
    pub max: Option<usize>,
    /// What happens to a longer text.
    #[serde(default)]
    pub overflow: Overflow,
    /// What happens to a text before it is stored.
    #[serde(default)]
    pub normalise: Vec<Normalise>,
}

/// What values a property takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Any text.
    Text,
    /// Text with an `@` and a domain.
    Email,
    /// A number.
    Number,
    /// True or false.
    Bool,
    /// A calendar date.
    Date,
    /// An instant.
    Datetime,
    /// One of these.
    Enum(Vec<String>),
    /// The id of a record of another type, which can also be named through the relationship by one of its unique properties.
    Reference {
        /// The other type.
        object: String,
        /// The relationship's name.
        relationship: String,
    },
}

/// What happens to a text that is too long.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overflow {
    /// The row is refused.
    #[default]
    Reject,
    /// The text is cut silently.
    Truncate,
}

/// What happens to a text before it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Normalise {
    /// White space at both ends is removed.
    Trim,
    /// Lower case.
    Lower,
    /// The digits of a telephone number are grouped: `+1 (415) 555-0100`, elsewhere groups of three.
    Phone,
}

impl Property {
    /// A property of this kind with no further rule.
    pub fn of(kind: Kind) -> Property {
        Property {
            kind,
            unique: false,
            read_only: false,
            required: false,
            max: None,
            overflow: Overflow::Reject,
            normalise: vec![],
        }
    }
}

/// Why a value or a write is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    Unknown(String),
    ReadOnly(String),
    NotA(String, &'static str),
    NotAnOption(String),
    TooLong(String, usize),
    Missing(Vec<String>),
    Duplicate {
        property: String,
        id: String,
    },
    /// A duplicate rule found a similar record.
    Similar(String),
    NoReference {
        property: String,
        object: String,
        by: String,
        value: String,
    },
    NotFound,
    Deleted,
    Locked,
    /// Chosen by the script of faults.
    Fault,
}

/// How values are stored: HubSpot's are all texts, and Salesforce's have types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Style {
    Texts,
    Typed,
}

impl Property {
    /// The value as it will be stored. Null clears; so does an empty text.
    pub(crate) fn accept(&self, name: &str, value: &Value, style: Style) -> Result<Value, Refusal> {
        if self.read_only {
            return Err(Refusal::ReadOnly(name.to_owned()));
        }
        let not_a = |what| Refusal::NotA(name.to_owned(), what);
        let given = match value {
            Value::Null => return Ok(Value::Null),
            Value::String(text) if text.is_empty() => return Ok(Value::Null),
            Value::String(text) => text.clone(),
            Value::Number(_) | Value::Bool(_) if style == Style::Texts => value.to_string(),
            Value::Number(number) if self.kind == Kind::Number => {
                return Ok(canonical_number(number.as_f64().unwrap_or_default()));
            }
            Value::Bool(_) if self.kind == Kind::Bool => return Ok(value.clone()),
            _ => return Err(not_a("value of its type")),
        };
        let text = self.normalise.iter().fold(given, |text, step| step.apply(&text));
        if text.is_empty() {
            return Ok(Value::Null);
        }
        match &self.kind {
            Kind::Text | Kind::Reference { .. } => self.fit(name, text),
            Kind::Email if is_email(&text) => self.fit(name, text),
            Kind::Email => Err(not_a("e-mail address")),
            Kind::Number => {
                let number: f64 = text.parse().map_err(|_| not_a("number"))?;
                Ok(if style == Style::Texts { Value::String(text) } else { canonical_number(number) })
            }
            Kind::Bool => match (text.as_str(), style) {
                ("true" | "false", Style::Texts) => Ok(Value::String(text)),
                ("true" | "false", Style::Typed) => Ok(Value::Bool(text == "true")),
                _ => Err(not_a("boolean")),
            },
            Kind::Date | Kind::Datetime => self.moment(&text, style).map(Value::String).ok_or_else(|| not_a("date")),
            Kind::Enum(options) if options.contains(&text) => Ok(Value::String(text)),
            Kind::Enum(_) => Err(Refusal::NotAnOption(name.to_owned())),
        }
    }

    /// HubSpot also accepts instants in milliseconds. It returns them in ISO 8601.
    fn moment(&self, text: &str, style: Style) -> Option<String> {
        let ms = || text.parse::<i64>().ok().filter(|_| style == Style::Texts).or_else(|| time::parse_instant(text));
        match (&self.kind, style) {
            (Kind::Date, Style::Typed) => time::is_date(text).then(|| text.to_owned()),
            (Kind::Date, Style::Texts) => ms().map(time::date),
            (_, Style::Typed) => ms().map(time::iso_offset),
            (_, Style::Texts) => ms().map(time::iso),
        }
    }

    fn fit(&self, name: &str, text: String) -> Result<Value, Refusal> {
        match (self.max, self.overflow) {
            (Some(max), Overflow::Reject) if text.chars().count() > max => Err(Refusal::TooLong(name.to_owned(), max)),
            (Some(max), Overflow::Truncate) => Ok(Value::String(text.chars().take(max).collect())),
            _ => Ok(Value::String(text)),
        }
    }
}

impl Normalise {
    fn apply(self, text: &str) -> String {
        match self {
            Normalise::Trim => text.trim().to_owned(),
            Normalise::Lower => text.to_lowercase(),
            Normalise::Phone => phone(text),
        }
    }
}

/// Whole numbers have no fraction, so that `10` and `10.0` are equal.
fn canonical_number(number: f64) -> Value {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() < EXACT {
        #[allow(clippy::cast_possible_truncation, reason = "whole and small enough")]
        return Value::from(number as i64);
    }
    Value::from(number)
}

fn phone(text: &str) -> String {
    let digits: Vec<char> = text.chars().filter(char::is_ascii_digit).collect();
    let group = |from: usize, to: usize| digits.get(from..to).unwrap_or_default().iter().collect::<String>();
    if !text.trim_start().starts_with('+') {
        return text.to_owned();
    }
    if digits.first() == Some(&'1') && digits.len() == 11 {
        return format!("+1 ({}) {}-{}", group(1, 4), group(4, 7), group(7, 11));
    }
    let groups: Vec<String> = digits.chunks(3).map(|g| g.iter().collect()).collect();
    format!("+{}", groups.join(" "))
}

fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let plain = !text.chars().any(|c| c.is_whitespace() || c == ',');
    plain
        && !local.is_empty()
        && !local.contains('@')
        && domain.contains('.')
        && !domain.starts_with('.')
        && !domain.ends_with('.')
}
