//! Known answers: runs published signature vectors, one JSON object a line.
//!
//! A line holds `id`, `provider`, `kind` and `valid`; the request as `headers`, `method`, `url`, and `body` or `params`
//! (a form as a map); what to check with as `secret` or `secrets`, `public_key`, `certificate_pem`, or `username` and
//! `password`; the receiver's clock as `at` (s) or `at_ms`; and optionally `tolerance_s`, `topics`, `expect_status`,
//! `expect_body`, `expect_content_type`.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::Value;
use thiserror::Error;

use crate::encoding::form_text;
use crate::handshake::{HandshakeAction, HttpReply, answer_signed, answer_unsigned, challenge};
use crate::rejection::Rejection;
use crate::request::{Headers, RawRequest};
use crate::scheme::{Scheme, Webhook};
use crate::verify::verify;

/// The URL of vectors that do not say theirs.
const ANY_URL: &str = "https://hub.example/hooks/vector";

/// A line that is not a vector.
#[derive(Debug, Error)]
#[error("not a signature vector: {0}")]
pub struct VectorError(#[from] serde_json::Error);

/// The result of one vector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VectorResult {
    /// The vector's id.
    pub id: String,
    /// The provider it belongs to.
    pub provider: String,
    /// The kind of scheme it is about.
    pub kind: String,
    /// Whether the vector is meant to verify.
    pub expected: bool,
    /// How this crate judged it.
    pub got: Verdict,
}

/// How this crate judged one vector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The request verifies, and the reply is the expected one.
    Accepted,
    /// The request does not verify.
    Rejected(Rejection),
    /// The request verifies, but the reply is not the expected one.
    OtherReply(&'static str),
    /// No manifest declares the provider.
    Unsupported,
}

impl VectorResult {
    /// Whether the verdict is the one that the vector expects. For an unsupported provider it never is.
    pub fn agrees(&self) -> bool {
        match &self.got {
            Verdict::Accepted => self.expected,
            Verdict::Rejected(_) => !self.expected,
            Verdict::OtherReply(_) | Verdict::Unsupported => false,
        }
    }
}

/// What is declared of a provider.
#[derive(Clone, Debug)]
pub struct Declared {
    /// How its webhooks are verified.
    pub webhook: Webhook,
    /// How an ordinary one is answered.
    pub accepted: HttpReply,
}

/// Runs one line. `declared_for` finds what is declared by provider, kind and headers.
///
/// A vector without a clock is not checked for time, and certificates are then checked at `now_ms`; a `tolerance_s` of
/// its own, null included, replaces the declared one. Every declared version is accepted, or the one that `kind` names
/// at its end.
pub fn run(
    line: &str,
    declared_for: &dyn Fn(&str, &str, &Headers) -> Option<Declared>,
    now_ms: i64,
) -> Result<VectorResult, VectorError> {
    let vector: Vector = serde_json::from_str(line)?;
    let headers = vector.headers();
    let got = match declared_for(&vector.provider, &vector.kind, &headers) {
        Some(declared) => vector.judge(declared, &headers, now_ms),
        None => Verdict::Unsupported,
    };
    Ok(VectorResult { id: vector.id, provider: vector.provider, kind: vector.kind, expected: vector.valid, got })
}

#[derive(Deserialize)]
struct Vector {
    id: String,
    provider: String,
    kind: String,
    valid: bool,
    #[serde(default)]
    secret: Texts,
    #[serde(default)]
    secrets: Texts,
    public_key: Option<String>,
    certificate_pem: Option<String>,
    username: Option<String>,
    password: Option<String>,
    headers: Option<BTreeMap<String, Texts>>,
    method: Option<String>,
    url: Option<String>,
    params: Option<BTreeMap<String, Texts>>,
    body: Option<String>,
    at: Option<i64>,
    at_ms: Option<i64>,
    #[serde(default, deserialize_with = "even_null")]
    tolerance_s: Option<Option<u32>>,
    #[serde(default)]
    topics: Texts,
    expect_status: Option<u16>,
    expect_body: Option<String>,
    expect_content_type: Option<String>,
}

/// No value, one or several. A value that is not a text is taken as JSON writes it.
#[derive(Default, Deserialize)]
#[serde(from = "Value")]
struct Texts(Vec<String>);

impl From<Value> for Texts {
    fn from(value: Value) -> Texts {
        Texts(match value {
            Value::Null => Vec::new(),
            Value::String(text) => vec![text],
            Value::Array(values) => values.into_iter().flat_map(|value| Texts::from(value).0).collect(),
            other => vec![other.to_string()],
        })
    }
}

impl Texts {
    fn each(&self) -> &[String] {
        &self.0
    }
}

/// Keeps a null apart from an absent field.
fn even_null<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Option<u32>>, D::Error> {
    Option::<u32>::deserialize(from).map(Some)
}

impl Vector {
    fn headers(&self) -> Headers {
        let pairs = self
            .headers
            .iter()
            .flatten()
            .flat_map(|(name, values)| values.each().iter().map(move |value| (name, value.as_str())));
        let mut headers: Headers = pairs.collect();
        if self.params.is_some() && !headers.contains("content-type") {
            headers.append("content-type", "application/x-www-form-urlencoded");
        }
        headers
    }

    fn body(&self) -> Vec<u8> {
        match (&self.body, &self.params) {
            (Some(body), params) if !body.is_empty() || params.as_ref().is_none_or(BTreeMap::is_empty) => {
                body.clone().into_bytes()
            }
            (_, Some(params)) => {
                let pairs = params.iter().flat_map(|(name, values)| values.each().iter().map(move |value| (name, value)));
                let written: Vec<String> =
                    pairs.map(|(name, value)| format!("{}={}", form_text(name), form_text(value))).collect();
                written.join("&").into_bytes()
            }
            (_, None) => Vec::new(),
        }
    }

    fn secrets(&self) -> Vec<String> {
        let mut all: Vec<String> = self.secret.each().iter().chain(self.secrets.each()).cloned().collect();
        all.extend(self.public_key.clone());
        all.extend(self.certificate_pem.clone());
        if let (Some(name), Some(password)) = (&self.username, &self.password) {
            all.push(format!("{name}:{password}"));
        }
        all
    }

    fn judge(&self, declared: Declared, headers: &Headers, now_ms: i64) -> Verdict {
        let (body, secrets) = (self.body(), self.secrets());
        let Declared { webhook, accepted } = declared;
        let webhook = Webhook { scheme: self.fitted(webhook.scheme, &body), ..webhook };
        let method = self.method.as_deref().unwrap_or("POST");
        let request = RawRequest { method, url: self.url.as_deref().unwrap_or(ANY_URL), headers, body: &body };
        if let Some(answer) = answer_unsigned(&webhook, &request) {
            return self.compare(&answer, true);
        }
        // A vector that only shows a challenge and its reply has no secret to verify with.
        if secrets.is_empty()
            && let Some(answer) = reply_to_challenge(&webhook, &body)
        {
            return self.compare(&answer, true);
        }
        let borrowed: Vec<&str> = secrets.iter().map(String::as_str).collect();
        match verify(&webhook.scheme, request, &borrowed, self.clock_ms().unwrap_or(now_ms)) {
            Err(rejection) => Verdict::Rejected(rejection),
            Ok(verified) => match answer_signed(&webhook, &verified) {
                Some(HandshakeAction::Reply(answer)) => self.compare(&answer, true),
                Some(HandshakeAction::Confirm(_)) | None => self.compare(&accepted, false),
            },
        }
    }

    fn clock_ms(&self) -> Option<i64> {
        self.at_ms.or_else(|| self.at.map(|at| at.saturating_mul(1000)))
    }

    /// The declared scheme as the vector wants it: its versions, its tolerance, its topics.
    fn fitted(&self, scheme: Scheme, body: &[u8]) -> Scheme {
        let tolerance = match (self.clock_ms(), self.tolerance_s) {
            (None, _) => Some(None),
            (Some(_), own) => own,
        };
        let scheme = match tolerance {
            Some(tolerance_s) => scheme.with_tolerance(tolerance_s).without_repeats(),
            None => scheme,
        };
        match &scheme {
            Scheme::Versions(versions) => {
                let all = versions.versions.iter().map(|version| version.name.clone());
                let named: Vec<String> = all.clone().filter(|name| self.kind.ends_with(&format!("-{name}"))).collect();
                let accept = if named.is_empty() { all.collect() } else { named };
                scheme.with_versions(accept)
            }
            Scheme::Sns(sns) if sns.topics.is_empty() => {
                let own = self.topics.each().to_vec();
                let topics = if own.is_empty() { topic_of(body) } else { own };
                scheme.with_topics(topics)
            }
            _ => scheme,
        }
    }

    /// The reply to a handshake must be the expected one. For the sender of an event every 2xx means the same.
    fn compare(&self, answer: &HttpReply, handshake: bool) -> Verdict {
        let same_status = |status: u16| status == answer.status || !handshake && status / 100 == answer.status / 100;
        if self.valid && self.expect_status.is_some_and(|status| !same_status(status)) {
            return Verdict::OtherReply("another status is expected");
        }
        if self.expect_body.as_ref().is_some_and(|expected| !same_body(expected, &answer.body)) {
            return Verdict::OtherReply("another body is expected");
        }
        // Parameters such as the character set may differ, unless the vector names them.
        let essence = |expected: &str| match expected.contains(';') {
            true => answer.content_type,
            false => answer.content_type.and_then(|given| given.split(';').next()),
        };
        if self.expect_content_type.as_deref().is_some_and(|expected| Some(expected) != essence(expected)) {
            return Verdict::OtherReply("another content type is expected");
        }
        Verdict::Accepted
    }
}

/// The topic that a message claims: a vector without a topic of its own is about the signature.
fn topic_of(body: &[u8]) -> Vec<String> {
    let message: Option<Value> = serde_json::from_slice(body).ok();
    let topic = message.as_ref().and_then(|m| m.get("TopicArn")).and_then(Value::as_str);
    topic.map(str::to_owned).into_iter().collect()
}

fn reply_to_challenge(webhook: &Webhook, body: &[u8]) -> Option<HttpReply> {
    let body: Value = serde_json::from_slice(body).ok()?;
    webhook.handshakes.iter().find_map(|declared| challenge(declared, &body))
}

/// Equal bytes, or equal JSON: white space may differ.
fn same_body(expected: &str, given: &[u8]) -> bool {
    let json = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).ok();
    expected.as_bytes() == given || json(expected.as_bytes()).is_some_and(|value| json(given) == Some(value))
}
