//! Requests to a stand-in, its responses, and the webhooks that it sends.

use std::fmt;

use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A request to a stand-in.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Upper case.
    pub method: String,
    /// The path as sent, without the query.
    pub path: String,
    /// The query's pairs, decoded.
    pub query: Vec<(String, String)>,
    /// Lower-case names.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// A request to an absolute address or to a path.
    pub fn new(method: &str, url: &str, headers: &[(String, String)], body: &[u8]) -> Request {
        let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest.find('/').map_or("/", |at| &rest[at..]));
        let (path, query) = after_scheme.split_once('?').unwrap_or((after_scheme, ""));
        Request {
            method: method.to_uppercase(),
            path: path.to_owned(),
            query: form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
            headers: headers.iter().map(|(n, v)| (n.to_lowercase(), v.clone())).collect(),
            body: body.to_vec(),
        }
    }

    /// The first header of that (lower-case) name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The first value of a query parameter.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The values of a parameter that may be repeated or hold a comma-separated list.
    pub(crate) fn params(&self, name: &str) -> Vec<String> {
        let values = self.query.iter().filter(|(n, _)| n == name);
        values.flat_map(|(_, v)| v.split(',')).map(|v| v.trim().to_owned()).filter(|v| !v.is_empty()).collect()
    }

    /// The path's segments, decoded.
    pub(crate) fn segments(&self) -> Vec<String> {
        let decoded = |segment| percent_decode_str(segment).decode_utf8_lossy().into_owned();
        self.path.split('/').filter(|s| !s.is_empty()).map(decoded).collect()
    }

    pub(crate) fn bearer(&self) -> Option<&str> {
        self.header("authorization")?.strip_prefix("Bearer ")
    }

    pub(crate) fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({} bytes)", self.method, self.path, self.body.len())
    }
}

/// A stand-in's answer.
#[derive(Clone, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Lower-case names.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// How long the answer takes, in milliseconds.
    pub delay_ms: u64,
    /// True when the answer never arrives. The request may have taken effect.
    pub lost: bool,
}

impl Response {
    pub(crate) fn json(status: u16, body: &Value) -> Response {
        let headers = vec![("content-type".to_owned(), "application/json;charset=utf-8".to_owned())];
        Response { status, headers, body: body.to_string().into_bytes(), delay_ms: 0, lost: false }
    }

    pub(crate) fn empty(status: u16) -> Response {
        Response { status, headers: Vec::new(), body: Vec::new(), delay_ms: 0, lost: false }
    }

    pub(crate) fn with(mut self, name: &str, value: impl ToString) -> Response {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    /// The first header of that (lower-case) name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The body as JSON; null when it is none.
    pub fn value(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lost = if self.lost { " (lost)" } else { "" };
        write!(f, "{} {}{lost}", self.status, String::from_utf8_lossy(&self.body))
    }
}

/// A webhook to sign and deliver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboundWebhook {
    /// Names the delivery, for [`crate::Sandbox::webhook_answered`].
    pub id: u64,
    /// The exact bytes of the body.
    pub body: Vec<u8>,
    /// How many events it holds.
    pub events: usize,
    /// From 0.
    pub attempt: u32,
}
