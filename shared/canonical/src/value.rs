//! The values of canonical fields.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An amount of money in minor units of its currency (cents for USD, yen for JPY, fils for KWD). Never a float.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Money {
    /// The amount, in units of 10^-exponent of the currency (ISO 4217).
    pub minor: i64,
    /// The ISO 4217 code, upper case.
    pub currency: String,
}

/// The value of a canonical field.
///
/// A field that a source does not mention is *absent*: it has no entry. `Null` means that the source has the field and holds
/// no value in it (it was cleared). `Text("")` means that the source holds an empty text. These three are different.
///
/// Dates (`2026-01-31`) and instants (`2026-01-31T09:30:00Z`, in the source's precision) are normalised text. The field's
/// [`crate::FieldKind`] says which of the two it is, and a date never becomes an instant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// Present and cleared.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Text, and everything that is written as text: e-mail, phone, country, date, instant, enum, id, reference.
    Text(String),
    /// An amount of money.
    Money(Money),
    /// Several values. The code that builds a set sorts it and removes duplicates.
    List(Vec<Value>),
}

impl Value {
    /// A text value.
    pub fn text(text: impl Into<String>) -> Value {
        Value::Text(text.into())
    }

    /// The text of a text value.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// True for `Null`: the source cleared the field.
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// The class of the value, for messages that must not show personal data.
    pub fn class(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Int(_) => "integer",
            Value::Text(text) if text.is_empty() => "empty text",
            Value::Text(_) => "text",
            Value::Money(_) => "money",
            Value::List(_) => "list",
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => f.write_str("null"),
            Value::Bool(b) => write!(f, "{b}"),
            Value::Int(i) => write!(f, "{i}"),
            Value::Text(t) => f.write_str(t),
            Value::Money(m) => write!(f, "{} minor units {}", m.minor, m.currency),
            Value::List(values) => {
                f.write_str("[")?;
                for (i, value) in values.iter().enumerate() {
                    write!(f, "{}{value}", if i == 0 { "" } else { ", " })?;
                }
                f.write_str("]")
            }
        }
    }
}
