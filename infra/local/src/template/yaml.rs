//! Reads a template's YAML into JSON; short forms such as `!Ref` become their long forms.

use saphyr_parser::{Event, Parser, ScalarStyle, Tag};
use serde_json::{Map, Value, json};

use super::TemplateError;

/// A collection that is being read, and the tag it carries.
enum Open {
    Sequence(Vec<Value>, Option<String>),
    Mapping(Map<String, Value>, Option<String>, Option<String>),
}

/// Parses one document.
///
/// # Errors
/// Not YAML, a key twice, an alias, or a tag that is not an intrinsic function.
pub(super) fn parse(text: &str) -> Result<Value, TemplateError> {
    let mut stack: Vec<Open> = Vec::new();
    let mut document = None;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|e| TemplateError::Yaml { line: e.marker().line(), reason: e.info().to_owned() })?;
        let line = span.start.line();
        let fail = |reason: &str| TemplateError::Yaml { line, reason: reason.to_owned() };
        let value = match event {
            Event::Scalar(text, style, _, tag) => {
                if let Some(Open::Mapping(map, key @ None, _)) = stack.last_mut() {
                    if map.contains_key(text.as_ref()) {
                        return Err(fail(&format!("the key {text} is there twice")));
                    }
                    *key = Some(text.into_owned());
                    continue;
                }
                let tag = function_of(tag.as_deref()).map_err(|t| fail(&t))?;
                let value = scalar(&text, style, tag.is_some());
                long_form(tag, value)
            }
            Event::SequenceStart(_, tag) => {
                stack.push(Open::Sequence(Vec::new(), function_of(tag.as_deref()).map_err(|t| fail(&t))?));
                continue;
            }
            Event::MappingStart(_, tag) => {
                stack.push(Open::Mapping(Map::new(), None, function_of(tag.as_deref()).map_err(|t| fail(&t))?));
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match stack.pop() {
                Some(Open::Sequence(items, tag)) => long_form(tag, Value::Array(items)),
                Some(Open::Mapping(map, _, tag)) => long_form(tag, Value::Object(map)),
                None => return Err(fail("a collection ends that did not begin")),
            },
            Event::Alias(_) => return Err(fail("aliases are not supported")),
            _ => continue,
        };
        match stack.last_mut() {
            Some(Open::Sequence(items, _)) => items.push(value),
            Some(Open::Mapping(map, key, _)) => match key.take() {
                Some(key) => drop(map.insert(key, value)),
                None => return Err(fail("a key must be a text")),
            },
            None => document = Some(value),
        }
    }
    document.ok_or_else(|| TemplateError::Yaml { line: 0, reason: "the file is empty".into() })
}

/// The long name of a tag's function; none for no tag and for YAML's own tags.
fn function_of(tag: Option<&Tag>) -> Result<Option<String>, String> {
    let Some(tag) = tag.filter(|tag| tag.handle == "!") else { return Ok(None) };
    const KNOWN: [&str; 17] = [
        "GetAtt",
        "Sub",
        "If",
        "Equals",
        "Not",
        "And",
        "Or",
        "Join",
        "Select",
        "Split",
        "FindInMap",
        "Base64",
        "ImportValue",
        "GetAZs",
        "Cidr",
        "ToJsonString",
        "Length",
    ];
    match tag.suffix.as_str() {
        "Ref" | "Condition" => Ok(Some(tag.suffix.clone())),
        name if KNOWN.contains(&name) => Ok(Some(format!("Fn::{name}"))),
        other => Err(format!("!{other} is not an intrinsic function")),
    }
}

fn long_form(function: Option<String>, value: Value) -> Value {
    match function {
        None => value,
        Some(name) => json!({ name: value }),
    }
}

/// Plain scalars that look like numbers, booleans or null are those; everything quoted or tagged is text.
fn scalar(text: &str, style: ScalarStyle, tagged: bool) -> Value {
    if style != ScalarStyle::Plain || tagged {
        return text.into();
    }
    match text {
        "" | "~" | "null" => return Value::Null,
        "true" | "True" => return true.into(),
        "false" | "False" => return false.into(),
        _ => {}
    }
    // "007" is a text, as is a date.
    let plain_number = text == "0" || !text.trim_start_matches('-').starts_with('0') || text.contains('.');
    if let (true, Ok(number)) = (plain_number, text.parse::<i64>()) {
        return number.into();
    }
    match text.parse::<f64>() {
        Ok(number) if plain_number && text.starts_with(|c: char| c.is_ascii_digit() || c == '-') => json!(number),
        _ => text.into(),
    }
}
