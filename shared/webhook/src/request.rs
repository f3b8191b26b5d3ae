//! A request before and after it has been verified.

use std::fmt;

/// Header fields of a request: names in lower case, repeated fields kept apart in order of arrival.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, String)>);

impl Headers {
    /// An empty list.
    pub fn new() -> Headers {
        Headers::default()
    }

    /// Adds one field; a second field of the same name is kept beside the first.
    pub fn append(&mut self, name: &str, value: impl Into<String>) {
        self.0.push((name.to_ascii_lowercase(), value.into()));
    }

    /// Every value of a field, in order of arrival. `name` is lower case.
    pub fn all<'h>(&'h self, name: &str) -> impl Iterator<Item = &'h str> {
        self.0.iter().filter(move |(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The first value of a field. `name` is lower case.
    pub fn first(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// Whether the field is there, whatever its value. `name` is lower case.
    pub fn contains(&self, name: &str) -> bool {
        self.first(name).is_some()
    }

    /// All fields, in order of arrival.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(n, v)| (n.as_str(), v.as_str()))
    }
}

impl<N: AsRef<str>, V: Into<String>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(fields: I) -> Headers {
        let mut headers = Headers::new();
        for (name, value) in fields {
            headers.append(name.as_ref(), value);
        }
        headers
    }
}

/// A request as it arrived, not verified yet.
#[derive(Clone, Copy)]
pub struct RawRequest<'a> {
    /// The method, in upper case as HTTP has it.
    pub method: &'a str,
    /// The absolute URL as the provider called it. Behind a proxy it is rebuilt from configuration, never from `Host`.
    pub url: &'a str,
    /// The header fields.
    pub headers: &'a Headers,
    /// The bytes of the body exactly as they came over the wire.
    pub body: &'a [u8],
}

impl fmt::Debug for RawRequest<'_> {
    /// Shows sizes only: a body holds personal data, headers hold signatures, a URL may hold a token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("RawRequest");
        out.field("method", &self.method)
            .field("headers", &self.headers.0.len())
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// What proves that a verified request is genuine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The declared version or label that matched (`v3`, `v1a`, …), for schemes that have several.
    pub version: Option<String>,
    /// The position of the matching secret among those given to [`verify`](crate::verify()). It shows when a rotation is over.
    pub secret: usize,
    /// The sender's clock, in milliseconds since 1970, where the scheme covers one and it could be read.
    pub signed_at_ms: Option<i64>,
}

/// A request whose sender has proved that it knows the secret. Only [`verify`](crate::verify()) makes one.
#[derive(Clone, Debug)]
pub struct VerifiedRequest<'a> {
    request: RawRequest<'a>,
    evidence: Evidence,
}

impl<'a> VerifiedRequest<'a> {
    pub(crate) fn new(request: RawRequest<'a>, evidence: Evidence) -> VerifiedRequest<'a> {
        VerifiedRequest { request, evidence }
    }

    /// The method.
    pub fn method(&self) -> &'a str {
        self.request.method
    }

    /// The absolute URL as the provider called it.
    pub fn url(&self) -> &'a str {
        self.request.url
    }

    /// The header fields. Only those that the scheme covers are proved.
    pub fn headers(&self) -> &'a Headers {
        self.request.headers
    }

    /// The raw body.
    pub fn body(&self) -> &'a [u8] {
        self.request.body
    }

    /// What proves that the request is genuine.
    pub fn evidence(&self) -> &Evidence {
        &self.evidence
    }
}
