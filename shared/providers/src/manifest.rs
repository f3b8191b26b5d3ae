use serde::{Deserialize, Serialize};
use webhook::{Answer, Webhook};

/// What a provider is and how it talks: the content of `manifest.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Names and texts.
    pub provider: About,
    /// How its webhooks prove themselves and shake hands.
    pub webhook: Webhook,
    /// What it is told on success.
    #[serde(default)]
    pub answer: AcceptedAnswer,
    /// Headers that are needed after verifying, lower-case names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<String>,
    /// Its API.
    #[serde(default)]
    pub api: ApiInfo,
    /// Objects that can be written there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub destinations: Vec<Destination>,
}

/// Names and texts of a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct About {
    /// The folder's name.
    pub name: String,
    /// The name that people know.
    pub title: String,
}

/// The answer to an accepted webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcceptedAnswer {
    /// The status.
    pub status: u16,
    /// The body.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub body: String,
    /// Milliseconds within which the provider wants its answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
}

impl Default for AcceptedAnswer {
    fn default() -> AcceptedAnswer {
        AcceptedAnswer { status: 202, body: String::new(), deadline_ms: None }
    }
}

/// A provider's API.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiInfo {
    /// Scheme and host.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub base_url: String,
    /// The version as its path writes it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// When a call is given up, in milliseconds.
    #[serde(default = "ApiInfo::timeout")]
    pub timeout_ms: u64,
}

impl ApiInfo {
    const fn timeout() -> u64 {
        10_000
    }
}

/// An object that the hub can write at a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Destination {
    /// The provider's own name of it.
    pub native: String,
    /// The unique property that holds the hub's id.
    pub id_property: String,
    /// Properties by which an existing object is adopted, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub natural_keys: Vec<String>,
}

impl Manifest {
    /// Headers that the envelope must keep, lower-case names.
    pub fn kept_headers(&self) -> &[String] {
        &self.headers
    }

    /// The answer to an accepted webhook.
    pub fn accepted(&self) -> Answer {
        let content_type = (!self.answer.body.is_empty()).then_some("text/plain");
        Answer { status: self.answer.status, content_type, body: self.answer.body.clone().into_bytes() }
    }

    /// The version of the API as its path writes it.
    pub fn api_version(&self) -> &str {
        &self.api.version
    }

    /// When a call is given up, in milliseconds.
    pub fn call_timeout_ms(&self) -> u64 {
        self.api.timeout_ms
    }
}
