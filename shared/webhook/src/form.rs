//! Forms as bodies: `application/x-www-form-urlencoded` and `multipart/form-data`. The body itself shows which of the two it is.

use std::borrow::Cow;

use crate::encoding;

/// The most fields of a form. More of them are an attack.
const MOST_FIELDS: usize = 2_000;
/// The longest boundary that RFC 2046 allows, with its two dashes.
const LONGEST_DELIMITER: usize = 72;

/// One field of a form, its name and value as bytes of no known character set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field<'b> {
    /// The name, percent-escapes of urlencoded forms decoded.
    pub name: Cow<'b, [u8]>,
    /// The name of the file that the field holds, in multipart forms.
    pub file: Option<Cow<'b, [u8]>>,
    /// The field's own `Content-Type`, in multipart forms.
    pub media: Option<&'b str>,
    /// The value.
    pub value: Cow<'b, [u8]>,
}

/// Whether a body is a multipart form: its first line is a boundary.
pub fn is_multipart(body: &[u8]) -> bool {
    body.starts_with(b"--")
}

/// The fields of a form in order of arrival; `None` when it is broken, cut off or has too many of them. The boundary is what
/// the body begins with, so that proof and mapping can never disagree about it.
pub fn fields(body: &[u8]) -> Option<Vec<Field<'_>>> {
    if is_multipart(body) {
        return Some(multipart(body)?.into_iter().map(|(field, _)| field).collect());
    }
    let pairs = encoding::form_pairs(body);
    let plain = |(name, value)| Field { name: Cow::Owned(name), file: None, media: None, value: Cow::Owned(value) };
    (pairs.len() <= MOST_FIELDS).then(|| pairs.into_iter().map(plain).collect())
}

/// The form with this value of one field, which is added to an urlencoded form that lacks it. For senders. `None` when the body
/// cannot take the field.
pub(crate) fn with_field(body: &[u8], name: &str, value: &str) -> Option<Vec<u8>> {
    if is_multipart(body) {
        let fields = multipart(body)?;
        let (field, end) = fields.iter().find(|(field, _)| *field.name == *name.as_bytes())?;
        return Some([&body[..end - field.value.len()], value.as_bytes(), &body[*end..]].concat());
    }
    let others = body.split(|b| *b == b'&').filter(|pair| !pair.is_empty());
    let others = others.filter(|pair| encoding::form_pairs(pair).first().is_none_or(|(known, _)| known != name.as_bytes()));
    let own = format!("{}={}", encoding::form_text(name), encoding::form_text(value));
    Some(others.chain([own.as_bytes()]).collect::<Vec<_>>().join(&b'&'))
}

/// Each field with the position in the body where its value ends.
fn multipart(body: &[u8]) -> Option<Vec<(Field<'_>, usize)>> {
    let first = body.iter().position(|b| *b == b'\n')?;
    let line_end: &[u8] = if body[..first].ends_with(b"\r") { b"\r\n" } else { b"\n" };
    let delimiter = body[..first].trim_ascii_end();
    if delimiter.len() <= 2 || delimiter.len() > LONGEST_DELIMITER {
        return None;
    }
    let mut found = Vec::new();
    let mut start = first + 1;
    let mut line = start;
    loop {
        let end = body[line..].iter().position(|b| *b == b'\n').map_or(body.len(), |at| line + at + 1);
        let after = body[line..end].strip_prefix(delimiter).map(<[u8]>::trim_ascii_end);
        if let Some(after @ (b"" | b"--")) = after {
            let part = body[start..line].strip_suffix(line_end)?;
            found.push((field(part)?, start + part.len()));
            if after == b"--" {
                return Some(found);
            }
            if found.len() == MOST_FIELDS {
                return None;
            }
            start = end;
        }
        if end == body.len() {
            return None;
        }
        line = end;
    }
}

fn field(part: &[u8]) -> Option<Field<'_>> {
    let mut rest = part;
    let (mut name, mut file, mut media) = (None, None, None);
    loop {
        let at = rest.iter().position(|b| *b == b'\n')?;
        let line = rest[..at].strip_suffix(b"\r").unwrap_or(&rest[..at]);
        rest = &rest[at + 1..];
        if line.is_empty() {
            break;
        }
        let colon = line.iter().position(|b| *b == b':')?;
        let (header, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if header.eq_ignore_ascii_case(b"content-disposition") {
            name = parameter(value, b"name");
            file = parameter(value, b"filename");
        } else if header.eq_ignore_ascii_case(b"content-type") {
            media = std::str::from_utf8(value).ok();
        }
    }
    Some(Field { name: name?, file, media, value: Cow::Borrowed(rest) })
}

/// A parameter of a `Content-Disposition`, quoted or not. Browsers and mailers escape quotes as `%22` or `\"`.
fn parameter<'b>(value: &'b [u8], wanted: &[u8]) -> Option<Cow<'b, [u8]>> {
    let mut rest = value;
    loop {
        let semicolon = rest.iter().position(|b| *b == b';')?;
        rest = rest[semicolon + 1..].trim_ascii_start();
        let equals = rest.iter().position(|b| *b == b'=')?;
        let name = rest[..equals].trim_ascii();
        rest = &rest[equals + 1..];
        let given = match rest.strip_prefix(b"\"") {
            Some(quoted) => {
                let end = closing_quote(quoted)?;
                rest = &quoted[end + 1..];
                unescaped(&quoted[..end])
            }
            None => {
                let end = rest.iter().position(|b| *b == b';').unwrap_or(rest.len());
                let plain = rest[..end].trim_ascii();
                rest = &rest[end..];
                Cow::Borrowed(plain)
            }
        };
        if name.eq_ignore_ascii_case(wanted) {
            return Some(given);
        }
    }
}

fn closing_quote(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => return Some(at),
            b'\\' if matches!(text.get(at + 1), Some(b'"' | b'\\')) => at += 2,
            _ => at += 1,
        }
    }
    None
}

fn unescaped(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.contains(&b'\\') {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match (byte, bytes.peek()) {
            (b'\\', Some(next @ (b'"' | b'\\'))) => {
                out.push(*next);
                bytes.next();
            }
            _ => out.push(byte),
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Option<Vec<(String, String)>> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Some(fields(body.as_bytes())?.iter().map(|f| (text(&f.name), text(&f.value))).collect())
    }

    fn pairs(all: &[(&str, &str)]) -> Option<Vec<(String, String)>> {
        Some(all.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect())
    }

    #[test]
    fn multipart_fields_keep_their_bytes() {
        let body = "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--xy\r\n\r\n--x \r\n\
                    content-type: image/png\r\ncontent-disposition: form-data; filename=\"a\\\"b;.png\"; name=b\r\n\r\n\r\n--x--\r\nignored";
        assert_eq!(read(body), pairs(&[("a", "1\r\n--xy\r\n"), ("b", "")]));
        let all = fields(body.as_bytes()).unwrap();
        assert_eq!(all[1].file.as_deref(), Some(&b"a\"b;.png"[..]));
        assert_eq!((all[0].file.as_ref(), all[1].media), (None, Some("image/png")));
        assert_eq!(read(&body.replace("\r\n", "\n")), pairs(&[("a", "1\n--xy\n"), ("b", "")]), "bare line feeds throughout");
    }

    #[test]
    fn a_broken_form_is_none() {
        let good = "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--x--\r\n";
        assert_eq!(read(good), pairs(&[("a", "1")]));
        for at in 1..good.len() - 2 {
            assert_eq!(read(&good[..at]).filter(|_| at > 1), None, "cut at {at}");
        }
        for bad in [
            "--\r\n\r\n----",
            "--x\r\n\r\n1\r\n--x--",
            "--x\r\nContent-Disposition: form-data; name=\"a\r\n\r\n1\r\n--x--",
            "--x--",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert_eq!(read(&format!("--{}\r\n", "x".repeat(80))), None);
        assert_eq!(read(&"a=1&".repeat(2_001)), None);
    }

    #[test]
    fn a_sender_puts_a_field_in() {
        let put = |body: &str, name, value| with_field(body.as_bytes(), name, value).map(|b| String::from_utf8(b).unwrap());
        assert_eq!(put("a=1&b%5B=2&c=3", "b[", "x&y").as_deref(), Some("a=1&c=3&b%5B=x%26y"));
        assert_eq!(put("", "a", "1").as_deref(), Some("a=1"));
        let part = |name: &str, value: &str| format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        let form = |b: &str| format!("{}{}--x--\r\n", part("a", "1"), part("b", b));
        assert_eq!(put(&form("2"), "b", "two"), Some(form("two")));
        assert_eq!(put(&form("2"), "c", "3"), None);
    }

    #[test]
    fn urlencoded_fields_are_decoded() {
        assert_eq!(read("a%5Bb%5D=1+2&c&a=%C3%A9"), pairs(&[("a[b]", "1 2"), ("c", ""), ("a", "é")]));
    }
}
