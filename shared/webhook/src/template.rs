//! What a sender signs, written as a template in the declaration.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The signed content: literal text and the parts `{method}`, `{url}`, `{body}`, `{timestamp}`, `{id}`, `{secret}`,
/// `{json:/pointer}` (a text or number inside the JSON body) and `{form:name}` (a field of a form).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Template(Vec<Segment>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Segment {
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
    pub(crate) fn parts(&self) -> &[Segment] {
        &self.0
    }

    pub(crate) fn uses(&self, part: &Segment) -> bool {
        self.0.contains(part)
    }

    pub(crate) fn reads_json(&self) -> bool {
        self.0.iter().any(|part| matches!(part, Segment::Json(_)))
    }

    pub(crate) fn reads_form(&self) -> bool {
        self.0.iter().any(|part| matches!(part, Segment::Form(_)))
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
                parts.push(Segment::Literal(before.to_owned()));
            }
            parts.push(match name {
                "method" => Segment::Method,
                "url" => Segment::Url,
                "body" => Segment::Body,
                "timestamp" => Segment::Timestamp,
                "id" => Segment::Id,
                "secret" => Segment::Secret,
                _ => match name.split_once(':') {
                    Some(("json", pointer)) if pointer.starts_with('/') => Segment::Json(pointer.to_owned()),
                    Some(("form", field)) if !field.is_empty() => Segment::Form(field.to_owned()),
                    _ => return Err(TemplateError::UnknownPart(name.to_owned())),
                },
            });
            rest = tail;
        }
        if !rest.is_empty() {
            parts.push(Segment::Literal(rest.to_owned()));
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
            Segment::Literal(text) => f.write_str(text),
            Segment::Method => f.write_str("{method}"),
            Segment::Url => f.write_str("{url}"),
            Segment::Body => f.write_str("{body}"),
            Segment::Timestamp => f.write_str("{timestamp}"),
            Segment::Id => f.write_str("{id}"),
            Segment::Secret => f.write_str("{secret}"),
            Segment::Json(pointer) => write!(f, "{{json:{pointer}}}"),
            Segment::Form(field) => write!(f, "{{form:{field}}}"),
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
