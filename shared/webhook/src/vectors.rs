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
use crate::handshake::{Answer, Reply, challenge, greet, handshake};
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

/// What became of one vector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The vector's id.
    pub id: String,
    /// The provider it belongs to.
    pub provider: String,
    /// The kind of scheme it is about.
    pub kind: String,
    /// Whether the vector says that the request is to be believed.
    pub expected: bool,
    /// What we said.
    pub got: Got,
}

/// What we said about one vector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Got {
    /// The request is believed, and its handshake, if any, answered as expected.
    Accepted,
    /// The request is not believed.
    Rejected(Rejection),
    /// The request is believed, but answered otherwise than expected.
    OtherAnswer(&'static str),
    /// No manifest declares the provider.
    Unsupported,
}

impl Outcome {
    /// Whether we agree with the vector. An unsupported provider never does.
    pub fn agrees(&self) -> bool {
        match &self.got {
            Got::Accepted => self.expected,
            Got::Rejected(_) => !self.expected,
            Got::OtherAnswer(_) | Got::Unsupported => false,
        }
    }
}

/// What is declared of a provider.
#[derive(Clone, Debug)]
pub struct Declared {
    /// How its webhooks are verified.
    pub webhook: Webhook,
    /// How an ordinary one is answered.
    pub accepted: Answer,
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
) -> Result<Outcome, VectorError> {
    let vector: Vector = serde_json::from_str(line)?;
    let headers = vector.headers();
    let got = match declared_for(&vector.provider, &vector.kind, &headers) {
        Some(declared) => vector.judge(declared, &headers, now_ms),
        None => Got::Unsupported,
    };
    Ok(Outcome { id: vector.id, provider: vector.provider, kind: vector.kind, expected: vector.valid, got })
}

#[derive(Deserialize)]
struct Vector {
    id: String,
    provider: String,
    kind: String,
    valid: bool,
    #[serde(default)]
    secret: Many,
    #[serde(default)]
    secrets: Many,
    public_key: Option<String>,
    certificate_pem: Option<String>,
    username: Option<String>,
    password: Option<String>,
    headers: Option<BTreeMap<String, Many>>,
    method: Option<String>,
    url: Option<String>,
    params: Option<BTreeMap<String, Many>>,
    body: Option<String>,
    at: Option<i64>,
    at_ms: Option<i64>,
    #[serde(default, deserialize_with = "even_null")]
    tolerance_s: Option<Option<u32>>,
    #[serde(default)]
    topics: Many,
    expect_status: Option<u16>,
    expect_body: Option<String>,
    expect_content_type: Option<String>,
}

/// No value, one, or several; what is no text is taken as it is written.
#[derive(Default, Deserialize)]
#[serde(from = "Value")]
struct Many(Vec<String>);

impl From<Value> for Many {
    fn from(value: Value) -> Many {
        Many(match value {
            Value::Null => Vec::new(),
            Value::String(text) => vec![text],
            Value::Array(values) => values.into_iter().flat_map(|value| Many::from(value).0).collect(),
            other => vec![other.to_string()],
        })
    }
}

impl Many {
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

    fn judge(&self, declared: Declared, headers: &Headers, now_ms: i64) -> Got {
        let (body, secrets) = (self.body(), self.secrets());
        let Declared { webhook, accepted } = declared;
        let webhook = Webhook { scheme: self.fitted(webhook.scheme, &body), ..webhook };
        let method = self.method.as_deref().unwrap_or("POST");
        let request = RawRequest { method, url: self.url.as_deref().unwrap_or(ANY_URL), headers, body: &body };
        if let Some(answer) = greet(&webhook, &request) {
            return self.compare(&answer, true);
        }
        // A vector that only shows a challenge and its answer brings nothing to verify with.
        if secrets.is_empty()
            && let Some(answer) = answer_alone(&webhook, &body)
        {
            return self.compare(&answer, true);
        }
        let borrowed: Vec<&str> = secrets.iter().map(String::as_str).collect();
        match verify(&webhook.scheme, request, &borrowed, self.clock_ms().unwrap_or(now_ms)) {
            Err(rejection) => Got::Rejected(rejection),
            Ok(verified) => match handshake(&webhook, &verified) {
                Some(Reply::Answer(answer)) => self.compare(&answer, true),
                Some(Reply::Confirm(_)) | None => self.compare(&accepted, false),
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
            Some(tolerance_s) => scheme.with_tolerance(tolerance_s),
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

    /// A handshake's answer must be the expected one; to the sender of an event every 2xx says the same.
    fn compare(&self, answer: &Answer, handshake: bool) -> Got {
        let same_status = |status: u16| status == answer.status || !handshake && status / 100 == answer.status / 100;
        if self.valid && self.expect_status.is_some_and(|status| !same_status(status)) {
            return Got::OtherAnswer("another status is expected");
        }
        if self.expect_body.as_ref().is_some_and(|expected| !same_body(expected, &answer.body)) {
            return Got::OtherAnswer("another body is expected");
        }
        // Parameters such as the character set are the writer's business, unless the vector names them.
        let essence = |expected: &str| match expected.contains(';') {
            true => answer.content_type,
            false => answer.content_type.and_then(|given| given.split(';').next()),
        };
        if self.expect_content_type.as_deref().is_some_and(|expected| Some(expected) != essence(expected)) {
            return Got::OtherAnswer("another content type is expected");
        }
        Got::Accepted
    }
}

/// The topic that a message claims: a vector without a topic of its own is about the signature.
fn topic_of(body: &[u8]) -> Vec<String> {
    let message: Option<Value> = serde_json::from_slice(body).ok();
    let topic = message.as_ref().and_then(|m| m.get("TopicArn")).and_then(Value::as_str);
    topic.map(str::to_owned).into_iter().collect()
}

fn answer_alone(webhook: &Webhook, body: &[u8]) -> Option<Answer> {
    let body: Value = serde_json::from_slice(body).ok()?;
    webhook.handshakes.iter().find_map(|declared| challenge(declared, &body))
}

/// Equal bytes, or equal JSON: spaces are the writer's business.
fn same_body(expected: &str, given: &[u8]) -> bool {
    let json = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).ok();
    expected.as_bytes() == given || json(expected.as_bytes()).is_some_and(|value| json(given) == Some(value))
}
