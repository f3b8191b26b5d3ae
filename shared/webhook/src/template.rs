//! What a sender signs, written as a template in the declaration.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The signed content: literal text and the parts `{method}`, `{url}`, `{body}`, `{timestamp}`, `{id}`, `{secret}`,
/// `{json:/pointer}` (a text or number inside the JSON body) and `{form:name}` (a field of a form).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Literal(String),
    Method,
    Url,
    Body,
    Timestamp,
    Id,
    Secret,
    Json(String),
    Form(String),
}

/// Why a template cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TemplateError {
    /// A part that does not exist.
    #[error("unknown part `{{{0}}}`")]
    UnknownPart(String),
    /// An opening brace without its closing one.
    #[error("unclosed `{{`")]
    Unclosed,
}

impl Template {
    pub(crate) fn parts(&self) -> &[Part] {
        &self.0
    }

    pub(crate) fn uses(&self, part: &Part) -> bool {
        self.0.contains(part)
    }

    pub(crate) fn reads_json(&self) -> bool {
        self.0.iter().any(|part| matches!(part, Part::Json(_)))
    }

    pub(crate) fn reads_form(&self) -> bool {
        self.0.iter().any(|part| matches!(part, Part::Form(_)))
    }
}

impl TryFrom<String> for Template {
    type Error = TemplateError;

    fn try_from(text: String) -> Result<Template, TemplateError> {
        let mut parts = Vec::new();
        let mut rest = text.as_str();
        while let Some((before, after)) = rest.split_once('{') {
            let (name, tail) = after.split_once('}').ok_or(TemplateError::Unclosed)?;
            if !before.is_empty() {
                parts.push(Part::Literal(before.to_owned()));
            }
            parts.push(match name {
                "method" => Part::Method,
                "url" => Part::Url,
                "body" => Part::Body,
                "timestamp" => Part::Timestamp,
                "id" => Part::Id,
                "secret" => Part::Secret,
                _ => match name.split_once(':') {
                    Some(("json", pointer)) if pointer.starts_with('/') => Part::Json(pointer.to_owned()),
                    Some(("form", field)) if !field.is_empty() => Part::Form(field.to_owned()),
                    _ => return Err(TemplateError::UnknownPart(name.to_owned())),
                },
            });
            rest = tail;
        }
        if !rest.is_empty() {
            parts.push(Part::Literal(rest.to_owned()));
        }
        Ok(Template(parts))
    }
}

impl From<Template> for String {
    fn from(template: Template) -> String {
        template.to_string()
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            Part::Literal(text) => f.write_str(text),
            Part::Method => f.write_str("{method}"),
            Part::Url => f.write_str("{url}"),
            Part::Body => f.write_str("{body}"),
            Part::Timestamp => f.write_str("{timestamp}"),
            Part::Id => f.write_str("{id}"),
            Part::Secret => f.write_str("{secret}"),
            Part::Json(pointer) => write!(f, "{{json:{pointer}}}"),
            Part::Form(field) => write!(f, "{{form:{field}}}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_read_and_written_alike() {
        let text = "v0:{timestamp}:{json:/a/b}{form:c}{body}!";
        assert_eq!(Template::try_from(text.to_owned()).map(|t| t.to_string()), Ok(text.to_owned()));
        assert_eq!(Template::try_from("{nope}".to_owned()), Err(TemplateError::UnknownPart("nope".into())));
        assert_eq!(Template::try_from("{json:a}".to_owned()), Err(TemplateError::UnknownPart("json:a".into())));
        assert_eq!(Template::try_from("a{body".to_owned()), Err(TemplateError::Unclosed));
    }
}
