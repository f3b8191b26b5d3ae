use std::collections::BTreeMap;

use mapping::Unit;
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
    /// How a body becomes events; absent for a provider that sends none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<Events>,
    /// Records as its API gives them.
    #[serde(default)]
    pub records: Records,
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
    /// Its own documentation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub docs: Vec<String>,
    /// The lane that its webhooks take where the configuration names none.
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
    /// The status.
    pub status: u16,
    /// The body.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub body: String,
    /// Milliseconds within which the provider wants its answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    /// For how many hours the provider sends again what was not answered well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries_hours: Option<u32>,
}

impl Default for AcceptedAnswer {
    fn default() -> AcceptedAnswer {
        AcceptedAnswer { status: 202, body: String::new(), deadline_ms: None, retries_hours: None }
    }
}

/// One text, or several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum OneOrMore {
    /// One.
    One(String),
    /// Several.
    More(Vec<String>),
}

impl OneOrMore {
    /// All of them.
    pub fn as_slice(&self) -> &[String] {
        match self {
            OneOrMore::One(one) => std::slice::from_ref(one),
            OneOrMore::More(more) => more,
        }
    }
}

/// How a body becomes events. Values are paths in an event, or variables: `$type`, `$prefix` (the type up to its first dot),
/// `$header.<name>`, `$outer.<path>` (around the event), `$sequence` (the event's number, with `sequence`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Events {
    /// True when the body is a list of events.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub list: bool,
    /// Where in a body that is an object the events are: `value[*]`. What is around an event (the nearest list element that holds
    /// its list, else the body) is `$outer.<path>`. A body without the path is one event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// True when a body may be form parameters; brackets in their names make objects.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub form: bool,
    /// Members that may hold the event as JSON text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub json_in: Vec<String>,
    /// True when an empty body is an event: its headers tell everything.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub bodyless: bool,
    /// Numbers by which a body says which events it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<SequencePlaces>,
    /// The most events in one body, by the provider's documentation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<u32>,
    /// Headers that are needed after verifying, lower-case names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<String>,
    /// Where the event type is.
    #[serde(rename = "type")]
    pub event_type: OneOrMore,
    /// The type of a body that names none, if a path has a value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub untyped: Option<Untyped>,
    /// The parts of the idempotency key; of several places, the first that has a value.
    pub key: Vec<OneOrMore>,
    /// When it happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stamp: Option<EventStamp>,
    /// Where the provider's name of the object is; the first that `objects` knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<OneOrMore>,
    /// Names in events → names of objects; in a name, `*` stands for any text. Without it, they are the same.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub objects: BTreeMap<String, String>,
    /// Where the record is; absent: the event is the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<String>,
    /// Paths and values that mark events about test records.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub test: BTreeMap<String, String>,
    /// What to do, the first that fits; an event that none fits is ignored.
    pub on: Vec<On>,
}

/// Where a body says which numbers its events have. They rise by one from event to event, so that a gap between two bodies tells
/// of lost events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SequencePlaces {
    /// The path of the first event's number.
    pub first: String,
    /// The path of the last event's number.
    pub last: String,
}

/// The type of a body that names none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Untyped {
    /// The paths of which one must have a value.
    pub when: OneOrMore,
    /// The type.
    #[serde(rename = "type")]
    pub event_type: String,
}

/// An event's time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventStamp {
    /// Where it is.
    pub from: OneOrMore,
    /// How it is written.
    pub unit: Unit,
    /// The provider's sequence number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<String>,
}

/// What to do with events of some types.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct On {
    /// Event types; `*` stands for any text, also in the middle.
    pub types: OneOrMore,
    /// Only where this path has this value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub when: BTreeMap<String, String>,
    /// What to do.
    #[serde(rename = "do")]
    pub action: Action,
    /// The parts of the idempotency key, where these events need others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key: Vec<OneOrMore>,
    /// The provider's name of the object, where the event's own does not tell enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// The mapping file; without it, the object's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub map: Option<String>,
    /// Where the object's id is; for `map`, what its file calls `$object_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Further ids that went into the surviving object (`merge`): a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub also: Option<String>,
    /// The surviving object's id (`merge`): the first that has a value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub survivor: Option<OneOrMore>,
    /// Why (`ignore`, `reconcile`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// What to do with an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It holds the record: map it.
    Map,
    /// It is thin: read the record.
    Fetch,
    /// The record is gone.
    Delete,
    /// The person asks to be forgotten.
    PrivacyDelete,
    /// Records went into another one.
    Merge,
    /// A deleted record is back.
    Restore,
    /// Events were lost, or cannot be told one by one: compare everything. Its `why` is the reason.
    Reconcile,
    /// Nothing.
    Ignore,
}

/// Records as the API gives them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Records {
    /// Where a record names its own object, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// Where an answer of the API holds the record, or a list of them: the first path that has an object or a list; `{}` is the
    /// object's name. When there is none, the answer is the record.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub within: Vec<String>,
}

/// A provider's API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiInfo {
    /// Scheme and host.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub base_url: String,
    /// The version as its path writes it, or the version that payloads were mapped from.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// When a call is given up, in milliseconds.
    #[serde(default = "ApiInfo::timeout")]
    pub timeout_ms: u64,
    /// How one gets in.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub auth: String,
    /// Token buckets, all of which a call must pass.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rates: Vec<Rate>,
    /// What it can do for reading.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reads: Vec<ReadWay>,
}

impl Default for ApiInfo {
    fn default() -> ApiInfo {
        ApiInfo {
            base_url: String::new(),
            version: String::new(),
            timeout_ms: ApiInfo::timeout(),
            auth: String::new(),
            rates: Vec::new(),
            reads: Vec::new(),
        }
    }
}

impl ApiInfo {
    const fn timeout() -> u64 {
        10_000
    }
}

/// A token bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// What it counts.
    pub name: String,
    /// The most tokens.
    pub capacity: u64,
    /// In how many milliseconds an empty bucket is full again.
    pub window_ms: u64,
}

/// A way of reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReadWay {
    /// Records by id.
    Fetch,
    /// Records by a property.
    Find,
    /// Records changed since.
    List,
    /// Events of the past.
    Events,
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
    /// Rows per write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<u32>,
    /// For how long a new object may be missing in searches, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index_lag_ms: Option<u64>,
}

impl Manifest {
    /// Headers that the envelope must keep, lower-case names.
    pub fn kept_headers(&self) -> &[String] {
        self.events.as_ref().map_or(&[], |events| &events.headers)
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
