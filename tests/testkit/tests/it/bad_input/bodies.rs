//! Damages bodies according to their format: JSON, a form, a multipart form, XML.

use serde_json::Value;

/// The format of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Json,
    Form,
    Multipart,
    Xml,
    /// No body: the headers hold everything.
    Nothing,
}

/// The format of this body.
pub fn kind(body: &[u8]) -> Kind {
    match body.trim_ascii_start() {
        [] => Kind::Nothing,
        [b'{' | b'[', ..] => Kind::Json,
        [b'<', ..] => Kind::Xml,
        [b'-', b'-', ..] => Kind::Multipart,
        _ => Kind::Form,
    }
}

/// The body followed by something that means nothing, of that size in all; `None` where nothing can follow.
pub fn padded(body: &[u8], size: usize) -> Option<Vec<u8>> {
    let (lead, filler) = match kind(body) {
        Kind::Nothing => return None,
        Kind::Form => ("&padding=", b'x'),
        Kind::Json | Kind::Xml | Kind::Multipart => ("", b' '),
    };
    let mut out = [body, lead.as_bytes()].concat();
    out.resize(size, filler);
    Some(out)
}

/// The JSON body with one more member of its first object, before the others.
pub fn with_member(body: &str, name: &str, raw: &str) -> Option<String> {
    let at = body.find('{')? + 1;
    let comma = if body[at..].trim_start().starts_with('}') { "" } else { "," };
    Some(format!("{}{}:{raw}{comma}{}", &body[..at], Value::from(name), &body[at..]))
}

/// The body with these bytes at the beginning of its first text.
pub fn with_bytes(body: &[u8], bytes: &[u8]) -> Vec<u8> {
    let find = |mark: &[u8]| body.windows(mark.len()).position(|w| w == mark).map(|at| at + mark.len());
    let at = match kind(body) {
        Kind::Json => [&b"\":\""[..], b"\": \""].into_iter().filter_map(find).min(),
        Kind::Form => find(b"="),
        Kind::Multipart => find(b"\r\n\r\n"),
        Kind::Xml => find(b"Id>"),
        Kind::Nothing => Some(0),
    };
    let at = at.unwrap_or(body.len());
    [&body[..at], bytes, &body[at..]].concat()
}

/// The body with its first name twice: first with another value, then as it was.
pub fn with_a_name_twice(body: &[u8], value: &str) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(body).ok()?;
    match kind(body) {
        Kind::Json => {
            let rest = &text[text.find('{')? + 1..];
            let name = rest.trim_start().strip_prefix('"')?.split('"').next()?;
            with_member(text, name, &Value::from(value).to_string()).map(String::into_bytes)
        }
        Kind::Form => {
            let name = text.split('=').next().filter(|name| !name.contains(['[', '%']))?;
            Some(format!("{name}={value}&{text}").into_bytes())
        }
        Kind::Multipart | Kind::Xml | Kind::Nothing => None,
    }
}

/// The list of events at a path (`a.b[*].c[*]`), the first where several lists are inside each other.
pub fn list_at<'v>(body: &'v mut Value, path: &str) -> Option<&'v mut Vec<Value>> {
    let steps: Vec<&str> = path.split('.').collect();
    let last = steps.iter().rposition(|step| step.ends_with("[*]"))?;
    let mut value = body;
    for (at, step) in steps.iter().enumerate().take(last + 1) {
        value = value.get_mut(step.trim_end_matches("[*]"))?;
        if at < last && step.ends_with("[*]") {
            value = value.get_mut(0)?;
        }
    }
    value.as_array_mut()
}

/// An object that holds only an empty list at a path.
pub fn empty_at(path: &str) -> Option<Value> {
    let steps: Vec<&str> = path.split('.').collect();
    let first = steps.iter().position(|step| step.ends_with("[*]"))?;
    let outside = steps[..=first].iter().rev();
    Some(outside.fold(Value::Array(Vec::new()), |inside, step| serde_json::json!({ step.trim_end_matches("[*]"): inside })))
}
