//! XML bodies as JSON objects.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use serde_json::{Map as JsonMap, Value};

use crate::manifest::XmlBodies;
use crate::model::Malformed;

/// How deep elements may nest.
const MAX_DEPTH: usize = 64;
/// How many elements a body may have.
const MAX_ELEMENTS: usize = 100_000;

/// An element that is not closed yet.
struct OpenElement {
    name: String,
    members: JsonMap<String, Value>,
    text: String,
    nil: bool,
    has_children: bool,
}

impl OpenElement {
    /// The element in JSON: `null` if it declares itself nil, or else its children and attributes by name, or its text.
    fn value(self) -> Value {
        let only_text = !self.has_children && (self.members.is_empty() || !self.text.trim().is_empty());
        if self.nil {
            Value::Null
        } else if only_text {
            Value::String(self.text)
        } else {
            Value::Object(self.members)
        }
    }
}

/// An XML document as a JSON object: elements by local name, attributes as `@name`, white space between elements left out. An
/// element that occurs more than once, or that the manifest names in `lists`, is a list. A document type is refused, and with it
/// every entity except the five of XML itself.
pub(crate) fn object(text: &str, bodies: &XmlBodies) -> Result<String, Malformed> {
    let mut reader = Reader::from_str(text);
    reader.config_mut().expand_empty_elements = true;
    let mut open: Vec<OpenElement> = Vec::new();
    let mut root = None;
    for read in 0_usize.. {
        let event = reader.read_event().map_err(|_| Malformed {
            reason: "the body is not XML".to_owned(),
            at: usize::try_from(reader.error_position()).ok(),
        })?;
        if read > MAX_ELEMENTS * 3 {
            return Err(Malformed::new("the XML has too many elements"));
        }
        match event {
            Event::Start(_) if root.is_some() => return Err(Malformed::new("the XML has a second root")),
            Event::Start(_) if open.len() >= MAX_DEPTH => return Err(Malformed::new("the XML is nested too deeply")),
            Event::Start(start) => open.push(element(&start)?),
            Event::End(_) => {
                let Some(done) = open.pop() else { return Err(Malformed::new("the body is not XML")) };
                match open.last_mut() {
                    Some(parent) => {
                        parent.has_children = true;
                        insert(&mut parent.members, done, bodies);
                    }
                    None => root = Some(done),
                }
            }
            Event::Text(piece) => add_text(&mut open, piece.as_ref())?,
            Event::CData(piece) => add_text(&mut open, piece.as_ref())?,
            Event::GeneralRef(name) => {
                let character = name.resolve_char_ref().map_err(|_| Malformed::new("the XML has an unknown entity"))?;
                let known = character.map(String::from);
                let known = known.or_else(|| quick_xml::escape::resolve_predefined_entity(name.as_ref()).map(str::to_owned));
                add_text(&mut open, &known.ok_or_else(|| Malformed::new("the XML has an unknown entity"))?)?;
            }
            Event::DocType(_) => return Err(Malformed::new("the XML has a document type")),
            Event::Eof if open.is_empty() => break,
            Event::Eof => return Err(Malformed::new("the XML ends too early")),
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) | Event::Empty(_) => {}
        }
    }
    let root = root.ok_or_else(|| Malformed::new("the body is not XML"))?;
    let mut document = JsonMap::new();
    insert(&mut document, root, bodies);
    Ok(Value::Object(document).to_string())
}

fn element(start: &BytesStart<'_>) -> Result<OpenElement, Malformed> {
    let name = start.local_name().as_ref().to_owned();
    let mut element = OpenElement { name, members: JsonMap::new(), text: String::new(), nil: false, has_children: false };
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|_| Malformed::new("the XML has a broken attribute"))?;
        let key = attribute.key.as_ref();
        if key == "xmlns" || key.starts_with("xmlns:") {
            continue;
        }
        let value = attribute.normalized_value(quick_xml::XmlVersion::Implicit1_0);
        let value = value.map_err(|_| Malformed::new("the XML has an unknown entity"))?;
        match key.split_once(':') {
            Some((_, "nil")) => element.nil = matches!(value.trim(), "true" | "1"),
            // A type is a qualified name; its prefix is the sender's choice, so it is left out.
            Some((_, "type")) => {
                let local = value.rsplit(':').next().unwrap_or_default();
                element.members.insert("@type".to_owned(), Value::from(local));
            }
            _ => {
                element.members.insert(format!("@{}", attribute.key.local_name().as_ref()), Value::from(&*value));
            }
        }
    }
    Ok(element)
}

fn add_text(open: &mut [OpenElement], text: &str) -> Result<(), Malformed> {
    match open.last_mut() {
        Some(element) => element.text.push_str(text),
        None if text.trim().is_empty() => {}
        None => return Err(Malformed::new("the body is not XML")),
    }
    Ok(())
}

fn insert(members: &mut JsonMap<String, Value>, element: OpenElement, bodies: &XmlBodies) {
    let name = element.name.clone();
    let listed = bodies.lists.contains(&name);
    let value = element.value();
    match members.get_mut(&name) {
        Some(Value::Array(list)) => list.push(value),
        Some(one) => *one = Value::Array(vec![one.take(), value]),
        None => {
            members.insert(name, if listed { Value::Array(vec![value]) } else { value });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Value, String> {
        let bodies = XmlBodies { lists: vec!["item".into()] };
        object(text, &bodies).map(|json| serde_json::from_str(&json).unwrap()).map_err(|e| e.reason)
    }

    #[test]
    fn elements_become_members() {
        let text = r#"<?xml version="1.0"?><!-- x --><e:a xmlns:e="u" xmlns:i="v"> <e:b i:type="x:Y">1 &lt; 2 &#x41;<![CDATA[<&]]></e:b>
            <t i:type="x:Y"><u/></t><c/><c n="&quot;q&quot;"><d>x</d></c><n i:nil="true"/><item>1</item></e:a> "#;
        let found = read(text).unwrap();
        let wanted = serde_json::json!({"a": {"b": "1 < 2 A<&", "t": {"@type": "Y", "u": ""}, "c": ["", {"@n": "\"q\"", "d": "x"}], "n": null, "item": ["1"]}});
        assert_eq!(found, wanted);
    }

    #[test]
    fn a_document_that_is_not_plain_is_refused() {
        let deep = format!("{}{}", "<a>".repeat(5000), "</a>".repeat(5000));
        for (text, reason) in [
            ("<!DOCTYPE a [<!ENTITY x \"y\">]><a>&x;</a>", "the XML has a document type"),
            ("<a>&x;</a>", "the XML has an unknown entity"),
            ("<a b=\"&x;\"/>", "the XML has an unknown entity"),
            ("<a><b></a>", "the body is not XML"),
            ("<a>", "the XML ends too early"),
            ("<a/><b/>", "the XML has a second root"),
            ("x<a/>", "the body is not XML"),
            ("<a b=1 b=2/>", "the XML has a broken attribute"),
            (deep.as_str(), "the XML is nested too deeply"),
        ] {
            assert_eq!(read(text), Err(reason.to_owned()), "{}", text.get(..30).unwrap_or(text));
        }
    }
}
