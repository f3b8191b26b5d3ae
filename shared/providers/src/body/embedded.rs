//! Texts inside an event that hold a document: the whole event as JSON text, a JSON object, or a mail.

use std::collections::BTreeMap;

use mapping::{Captured, Path, Reader, text_of};
use serde_json::value::RawValue;
use serde_json::{Map as JsonMap, Value};
use webhook::json::whole_text;

use crate::manifest::{EmbeddedFormat, Events};
use crate::model::Malformed;

/// The event that one of its members holds as JSON text; `None` when no member does.
pub(crate) fn whole_event(event: &str, events: &Events) -> Result<Option<String>, Malformed> {
    let paths: Vec<Path> = events.json_in.iter().filter_map(|path| path.parse().ok()).collect();
    if paths.is_empty() {
        return Ok(None);
    }
    let Ok(values) = Reader::new(&paths).json(event.as_bytes()) else { return Ok(None) };
    let found = values.iter().find_map(|value| match value {
        Captured::Text(text) if text.trim_start().starts_with('{') => text_of(value),
        _ => None,
    });
    let Some(event) = found.map(whole_text) else { return Ok(None) };
    serde_json::from_str::<&RawValue>(&event).map_err(|_| Malformed::new("the JSON inside the body is not JSON"))?;
    Ok(Some(event.into_owned()))
}

/// The event with documents in place of its declared texts; `None` when it has none. A text that is not in the declared format stays
/// a text.
pub(crate) fn with_documents(event: &str, events: &Events) -> Option<String> {
    if events.embedded.is_empty() {
        return None;
    }
    let members: BTreeMap<String, &RawValue> = serde_json::from_str(event).ok()?;
    let mut documents = BTreeMap::new();
    for (name, format) in &events.embedded {
        let Some(text) = members.get(name).and_then(|raw| serde_json::from_str::<String>(raw.get()).ok()) else { continue };
        let json = match format {
            EmbeddedFormat::Json => Some(whole_text(&text).into_owned()).filter(|text| text.trim_start().starts_with(['{', '['])),
            EmbeddedFormat::Mail => mail(&text).map(|fields| Value::Object(fields).to_string()),
        };
        documents.extend(json.and_then(|json| RawValue::from_string(json).ok()).map(|json| (name.as_str(), json)));
    }
    if documents.is_empty() {
        return None;
    }
    let all: BTreeMap<&str, &RawValue> =
        members.iter().map(|(name, raw)| (name.as_str(), documents.get(name.as_str()).map_or(*raw, |json| &**json))).collect();
    serde_json::to_string(&all).ok()
}

/// The header fields of a mail by lower-case name, unfolded and otherwise as they were written. The text is a JSON list of names and
/// values, or a raw message, whose body is then `(body)`. Of two fields with one name the first counts, because servers add theirs
/// in front.
fn mail(text: &str) -> Option<JsonMap<String, Value>> {
    let mut fields = JsonMap::new();
    let mut add = |name: &str, value: String| {
        fields.entry(name.to_ascii_lowercase()).or_insert(Value::String(value));
    };
    if text.trim_start().starts_with('[') {
        let pairs: Vec<(String, String)> = serde_json::from_str(&whole_text(text)).ok()?;
        pairs.into_iter().for_each(|(name, value)| add(&name, value));
        return Some(fields).filter(|fields| !fields.is_empty());
    }
    let mut open: Option<(&str, String)> = None;
    let mut body = "";
    let mut rest = text;
    while !rest.is_empty() {
        let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
        let line = line.strip_suffix('\r').unwrap_or(line);
        rest = after;
        if line.is_empty() {
            body = rest;
            break;
        }
        if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = &mut open {
                value.push(' ');
                value.push_str(line.trim());
            }
            continue;
        }
        if let Some((name, value)) = open.take() {
            add(name, value);
        }
        let named = line.split_once(':').filter(|(name, _)| !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic()));
        open = named.map(|(name, value)| (name, value.trim().to_owned()));
    }
    if let Some((name, value)) = open.take() {
        add(name, value);
    }
    if fields.is_empty() {
        return None;
    }
    if !body.is_empty() {
        fields.insert("(body)".to_owned(), Value::String(body.to_owned()));
    }
    Some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_of_a_mail() {
        let raw = "Received: one\r\nReceived: two\r\nReferences: <a@x>\r\n\t<b@x>\r\nMESSAGE-ID:<c@x>\r\nnonsense\r\nSubject:\r\n\r\nTo: none\r\n";
        let fields = Value::Object(mail(raw).unwrap());
        let wanted = serde_json::json!({"received": "one", "references": "<a@x> <b@x>", "message-id": "<c@x>", "subject": "", "(body)": "To: none\r\n"});
        assert_eq!(fields, wanted);
        let pairs = mail(r#"[["Message-Id", "<c@x>"], ["Received", "one"], ["Received", "two"]]"#).unwrap();
        assert_eq!(Value::Object(pairs), serde_json::json!({"message-id": "<c@x>", "received": "one"}));
        for none in ["", "just a text", "[1]", "[]", "\r\nTo: x"] {
            assert_eq!(mail(none), None, "{none}");
        }
    }
}
