//! Reads the project's TOML files: mapping files, provider manifests and `hub.toml`.
//!
//! A file is read in three steps. It is parsed, it is checked against a [`KeyTable`], and serde turns it into a typed
//! structure. The check reports every mistake with its position and takes out what is wrong, so the third step only sees
//! values that fit.

mod accepted;
mod check;
mod diagnostic;
mod keys;
mod suggest;
mod syntax;
mod values;

use serde::de::DeserializeOwned;
use toml::Deserializer;
pub use toml::Spanned;

pub use accepted::accepted_names;
pub use diagnostic::{Diagnostic, Diagnostics, Report, Severity, Source, Span};
pub use keys::{Key, KeyGroup, KeyTable, ValueType, key};
pub use suggest::suggestion;
pub use values::{Entries, Milliseconds, OneOrMore, Scalar, TextOr};

/// Reads the file of a report. What is wrong with it is added to the report; the result is `None` when nothing can be read.
pub fn read<T: DeserializeOwned>(keys: &KeyTable, report: &mut Report) -> Option<T> {
    let text = report.source().text.clone();
    let mut document = match syntax::parse(&text) {
        Ok(document) => document,
        Err(mistake) => {
            report.error(mistake.span, mistake.message).label(mistake.label);
            return None;
        }
    };
    check::check(document.get_mut(), 0..0, keys, report);
    match T::deserialize(Deserializer::from(document)) {
        Ok(value) => Some(value),
        Err(error) => {
            // A key that is missing or was taken out has been reported already.
            if report.is_empty() {
                report.error(error.span().unwrap_or(0..0), error.message());
            }
            None
        }
    }
}
