//! From the raw body of a webhook to the JSON of its events. The steps, in order: the body as JSON text (`form.rs`, `xml.rs`), the
//! events in it (`split.rs`), the documents inside their texts (`embedded.rs`), and the folder's hook.

mod embedded;
mod form;
mod split;
mod xml;

use std::borrow::Cow;

use webhook::json::whole_text;

use crate::folder_code::hook_of;
use crate::manifest::Events;
use crate::model::Malformed;

pub(crate) use split::{RawEvent, events_path, outer_path};

/// The body as JSON text. A form or XML becomes an object.
pub(crate) fn json_text<'b>(body: &'b [u8], events: Option<&Events>) -> Result<Cow<'b, str>, Malformed> {
    if let Some(events) = events.filter(|events| !body.is_empty() && form::has_plain_names(body, events)) {
        return Ok(Cow::Owned(form::plain_object(body, events)?));
    }
    let text = std::str::from_utf8(body).map_err(|e| Malformed::at("the body is not UTF-8", e.valid_up_to()))?;
    let text = text.trim_start_matches('\u{feff}');
    let begin = text.trim_start();
    if begin.is_empty() {
        let allowed = events.is_some_and(|events| events.bodyless);
        return if allowed { Ok(Cow::Borrowed("{}")) } else { Err(Malformed::new("the body is empty")) };
    }
    let Some(events) = events else { return Ok(whole_text(text)) };
    match &events.xml {
        Some(xml) if begin.starts_with('<') => Ok(Cow::Owned(xml::object(text, xml)?)),
        _ if events.form && !begin.starts_with(['{', '[']) => Ok(Cow::Owned(form::nested_object(text)?)),
        _ => Ok(whole_text(text)),
    }
}

/// The events of a body's JSON text.
pub(crate) fn raw_events<'t>(text: &'t str, events: Option<&Events>) -> Result<Vec<RawEvent<'t>>, Malformed> {
    let mut found = split::split(text, events)?;
    let Some(events) = events else { return Ok(found) };
    let hook = events.hook.as_deref().and_then(hook_of);
    let alone = found.len() == 1;
    for event in &mut found {
        match embedded::whole_event(&event.json, events) {
            Ok(Some(json)) => event.json = Cow::Owned(json),
            Err(broken) if alone => return Err(broken),
            Ok(None) | Err(_) => {}
        }
        if let Some(json) = embedded::with_documents(&event.json, events) {
            event.json = Cow::Owned(json);
        }
        if let Some(json) = hook.and_then(|hook| hook(&event.json, event.outer).transpose()).transpose()? {
            event.json = Cow::Owned(json);
        }
    }
    Ok(found)
}
