//! What a provider's `manifest.toml` declares: what the provider is, how it signs, sends and answers, and what its API offers.
//!
//! `events.rs` holds the section `[events]`, `api.rs` the sections that describe the API, `auth.rs` those about its credentials,
//! `webhooks.rs` that about the registration of webhooks.

mod api;
mod auth;
mod events;
mod webhooks;

use serde::{Deserialize, Serialize};
use webhook::{HttpReply, Webhook};

pub use api::{ApiInfo, Association, Destination, Rate, Records, SweepWindow};
pub use auth::{Auth, AuthForm, AuthVariables, ClientAuth, Grant, GrantEnd, ObjectScopes, Probe};
pub use events::{
    EmbeddedFormat, EventAction, EventRule, EventStamp, Events, Keywords, OneOrMore, SequencePaths, UntypedBody, XmlBodies,
};
pub use webhooks::{CallMethod, CallTemplate, SecretSource, SubscriptionList, WebhooksApi};

/// The content of a `manifest.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Names and links.
    pub provider: About,
    /// How its webhooks are signed, and its handshakes.
    pub webhook: Webhook,
    /// The answer to an accepted webhook.
    #[serde(default)]
    pub answer: AcceptedAnswer,
    /// How a body becomes events; absent for a provider that sends none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<Events>,
    /// The shape of the records that its API returns.
    #[serde(default)]
    pub records: Records,
    /// Its API.
    #[serde(default)]
    pub api: ApiInfo,
    /// The objects that the hub can write there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub destinations: Vec<Destination>,
}

/// Names and links of a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct About {
    /// The name of its folder.
    pub name: String,
    /// The name that people know.
    pub title: String,
    /// Links to its own documentation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub docs: Vec<String>,
    /// The lane of its webhooks, unless the connection names another one.
    #[serde(default = "About::urgent")]
    pub lane: canonical::Lane,
}

impl About {
    const fn urgent() -> canonical::Lane {
        canonical::Lane::Urgent
    }
}

/// The answer to an accepted webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcceptedAnswer {
    /// The status code.
    pub status: u16,
    /// The body.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub body: String,
    /// The media type of the body.
    #[serde(default, skip_serializing_if = "Media::is_text")]
    pub media: Media,
    /// The provider waits this many milliseconds for the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    /// The provider repeats a webhook that failed for this many hours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries_hours: Option<u32>,
}

impl Default for AcceptedAnswer {
    fn default() -> AcceptedAnswer {
        AcceptedAnswer { status: 202, body: String::new(), media: Media::Text, deadline_ms: None, retries_hours: None }
    }
}

/// The media type of an answer's body.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Media {
    /// Plain text.
    #[default]
    Text,
    /// JSON.
    Json,
    /// XML, in UTF-8.
    Xml,
}

impl Media {
    /// Its name in a `Content-Type` header.
    pub const fn name(self) -> &'static str {
        match self {
            Media::Text => "text/plain",
            Media::Json => "application/json",
            Media::Xml => "text/xml; charset=utf-8",
        }
    }

    #[allow(clippy::trivially_copy_pass_by_ref)] // serde passes a reference
    const fn is_text(&self) -> bool {
        matches!(self, Media::Text)
    }
}

impl Manifest {
    /// The headers that the envelope carries on to `transform`, in lower case.
    pub fn envelope_headers(&self) -> &[String] {
        self.events.as_ref().map_or(&[], |events| &events.headers)
    }

    /// The answer to an accepted webhook.
    pub fn accepted(&self) -> HttpReply {
        let content_type = (!self.answer.body.is_empty()).then_some(self.answer.media.name());
        HttpReply { status: self.answer.status, content_type, body: self.answer.body.clone().into_bytes() }
    }

    /// The version of the API, as its paths write it.
    pub fn api_version(&self) -> &str {
        &self.api.version
    }

    /// Milliseconds after which the hub gives up a call.
    pub fn call_timeout_ms(&self) -> u64 {
        self.api.timeout_ms
    }
}
