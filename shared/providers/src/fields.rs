//! Forms whose fields are taken as they are: multipart forms with their files and character sets, and urlencoded forms whose
//! names must not make objects because strangers choose some of them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use encoding_rs::{Encoding, UTF_8};
use serde_json::{Map as JsonMap, Value, json};
use webhook::form::{self, Field};

use crate::manifest::Events;
use crate::model::Malformed;

/// Whether a body is such a form.
pub(crate) fn is_form(body: &[u8], events: &Events) -> bool {
    if form::is_multipart(body) {
        return events.multipart;
    }
    events.form && events.plain_names && !body.trim_ascii_start().starts_with(b"{") && !body.trim_ascii_start().starts_with(b"[")
}

/// The fields as an object: texts, and files as `{filename, type, size}`. Of a name that comes twice, the last counts.
pub(crate) fn json(body: &[u8], events: &Events) -> Result<String, Malformed> {
    let fields = form::fields(body).ok_or_else(|| Malformed { reason: "the form is broken or cut off".to_owned(), at: None })?;
    let charsets = charsets(&fields, events);
    let mut root = JsonMap::new();
    for field in &fields {
        let name = String::from_utf8_lossy(&field.name);
        let value = match &field.file {
            Some(file) => {
                json!({"filename": String::from_utf8_lossy(file), "type": field.media, "size": field.value.len()})
            }
            None => Value::String(text(field, charsets.get(&*name).map(String::as_str)).into_owned()),
        };
        root.insert(name.into_owned(), value);
    }
    Ok(Value::Object(root).to_string())
}

/// The character sets of fields, where one of the fields tells them.
fn charsets(fields: &[Field<'_>], events: &Events) -> BTreeMap<String, String> {
    let Some(name) = &events.charsets else { return BTreeMap::new() };
    let told = fields.iter().find(|field| *field.name == *name.as_bytes());
    told.and_then(|field| serde_json::from_slice(&field.value).ok()).unwrap_or_default()
}

/// The field's text. What its character set cannot tell, or a character set that nobody knows, shows as U+FFFD.
fn text<'f>(field: &'f Field<'_>, charset: Option<&str>) -> Cow<'f, str> {
    let own = || field.media?.to_ascii_lowercase().split_once("charset=").map(|(_, set)| set.to_owned());
    let label = charset.map(str::to_owned).or_else(own);
    let label = label.as_deref().map(|label| label.split(';').next().unwrap_or_default().trim_matches(['"', ' ']));
    let encoding = label.and_then(|label| Encoding::for_label(label.as_bytes())).unwrap_or(UTF_8);
    encoding.decode_without_bom_handling(&field.value).0
}
