//! Forms as JSON objects: form parameters whose brackets make objects, and forms whose field names stay as they are (multipart
//! forms, and forms in which strangers choose some of the names).

use std::borrow::Cow;
use std::collections::BTreeMap;

use encoding_rs::{Encoding, UTF_8};
use serde_json::{Map as JsonMap, Value, json};
use webhook::form::{self, Field};

use crate::manifest::Events;
use crate::model::Malformed;

/// How deep the brackets of a parameter's name may nest.
const MAX_DEPTH: usize = 16;

/// Whether a body is a form whose field names stay as they are.
pub(crate) fn has_plain_names(body: &[u8], events: &Events) -> bool {
    if form::is_multipart(body) {
        return events.multipart;
    }
    let begin = body.trim_ascii_start();
    events.form && events.plain_names && !begin.starts_with(b"{") && !begin.starts_with(b"[")
}

/// The fields of such a form: texts, and files as `{filename, type, size}`. Of two fields with one name, the last counts.
pub(crate) fn plain_object(body: &[u8], events: &Events) -> Result<String, Malformed> {
    let fields = form::fields(body).ok_or_else(|| Malformed::new("the form is broken or cut off"))?;
    let charsets = charsets(&fields, events);
    let mut root = JsonMap::new();
    for field in &fields {
        let name = String::from_utf8_lossy(&field.name);
        let value = match &field.file {
            Some(file) => {
                json!({"filename": String::from_utf8_lossy(file), "type": field.media, "size": field.value.len()})
            }
            None => Value::String(decoded(field, charsets.get(&*name).map(String::as_str)).into_owned()),
        };
        root.insert(name.into_owned(), value);
    }
    Ok(Value::Object(root).to_string())
}

/// The character sets of the fields, where one of the fields lists them.
fn charsets(fields: &[Field<'_>], events: &Events) -> BTreeMap<String, String> {
    let Some(name) = &events.charsets else { return BTreeMap::new() };
    let list = fields.iter().find(|field| *field.name == *name.as_bytes());
    list.and_then(|field| serde_json::from_slice(&field.value).ok()).unwrap_or_default()
}

/// The field's text. Bytes that its character set does not define, or that are not UTF-8 in an unknown one, become U+FFFD.
fn decoded<'f>(field: &'f Field<'_>, charset: Option<&str>) -> Cow<'f, str> {
    let declared = || field.media?.to_ascii_lowercase().split_once("charset=").map(|(_, charset)| charset.to_owned());
    let label = charset.map(str::to_owned).or_else(declared);
    let label = label.as_deref().map(|label| label.split(';').next().unwrap_or_default().trim_matches(['"', ' ']));
    let encoding = label.and_then(|label| Encoding::for_label(label.as_bytes())).unwrap_or(UTF_8);
    encoding.decode_without_bom_handling(&field.value).0
}

/// Form parameters (`application/x-www-form-urlencoded`) as an object; brackets in their names make objects and lists.
pub(crate) fn nested_object(text: &str) -> Result<String, Malformed> {
    let decode = |text| mapping::decode_parameter(text).ok_or_else(|| Malformed::new("a form parameter is not UTF-8"));
    let mut root = JsonMap::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (decode(name)?, decode(value)?);
        let mut steps = name.split('[').map(|step| step.strip_suffix(']').unwrap_or(step));
        let first = steps.next().unwrap_or_default();
        let steps: Vec<&str> = steps.collect();
        if steps.len() > MAX_DEPTH {
            return Err(Malformed::new("a form parameter is nested too deeply"));
        }
        insert(&mut root, first, &steps, value.into_owned());
    }
    Ok(Value::Object(root).to_string())
}

fn insert(object: &mut JsonMap<String, Value>, name: &str, steps: &[&str], value: String) {
    match steps {
        [] => {
            object.insert(name.to_owned(), Value::String(value));
        }
        [""] => match object.entry(name).or_insert_with(|| Value::Array(Vec::new())) {
            Value::Array(list) => list.push(Value::String(value)),
            other => *other = Value::Array(vec![Value::String(value)]),
        },
        [next, rest @ ..] => {
            let below = object.entry(name).or_insert_with(|| Value::Object(JsonMap::new()));
            if !below.is_object() {
                *below = Value::Object(JsonMap::new());
            }
            if let Value::Object(below) = below {
                insert(below, next, rest, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_make_objects_and_lists() {
        let form = "type=a%2Bb&data%5Bmerges%5D%5BEMAIL%5D=x%40y&list[]=1&list[]=2&flag&a=1&a=2";
        let json: Value = serde_json::from_str(&nested_object(form).unwrap()).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"type": "a+b", "data": {"merges": {"EMAIL": "x@y"}}, "list": ["1", "2"], "flag": "", "a": "2"})
        );
        assert!(nested_object(&format!("a{}=1", "[b]".repeat(100))).is_err());
        assert!(nested_object("a=%ff").is_err());
    }
}
