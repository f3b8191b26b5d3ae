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
    /// What the body is.
    #[serde(default, skip_serializing_if = "Media::is_text")]
    pub media: Media,
    /// Milliseconds within which the provider wants its answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    /// For how many hours the provider sends again what was not answered well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries_hours: Option<u32>,
}

impl Default for AcceptedAnswer {
    fn default() -> AcceptedAnswer {
        AcceptedAnswer { status: 202, body: String::new(), media: Media::Text, deadline_ms: None, retries_hours: None }
    }
}

/// What the body of an answer is.
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

    #[allow(clippy::trivially_copy_pass_by_ref)] // serde hands over a reference
    const fn is_text(&self) -> bool {
        matches!(self, Media::Text)
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
/// `$header.<name>`, `$outer.<path>` (around the event), `$sequence` (the event's number, with `sequence`), `$word` (with `words`),
/// `$each` or `$each.<member>` (the element that the event is about, with a rule's `each`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Events {
    /// True when the body is a list of events.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub list: bool,
    /// Where in a body that is an object the events are: `value[*]`; of several paths, the first that the body has. What is around
    /// an event (the nearest list element that holds its list, else the body) is `$outer.<path>`. A body without any of the paths
    /// is one event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<OneOrMore>,
    /// True when a body may be form parameters; brackets in their names make objects.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub form: bool,
    /// True when a body may be a multipart form: names as they are, a file as an object of `filename`, `type` and `size`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub multipart: bool,
    /// True when brackets in the names of form parameters mean nothing: where strangers choose names, they would make objects.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub plain_names: bool,
    /// The field of a form that tells the character sets of the others, as a JSON object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub charsets: Option<String>,
    /// Members of an event that hold more than text, and what.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub texts: BTreeMap<String, TextKind>,
    /// How a body may be XML.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub xml: Option<XmlBodies>,
    /// The folder whose `hook.rs` rewrites each event before it is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hook: Option<String>,
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
    /// The types of bodies that name none, each if a path has a value; the first that fits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub untyped: Option<UntypedBodies>,
    /// Words by which people give orders in a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub words: Option<Words>,
    /// The parts of the idempotency key; of several places, the first that has a value.
    pub key: Vec<OneOrMore>,
    /// The token by which a proof can be used once: an event that comes with the token of another one is no event. Of several
    /// places, the first that has a value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub once: Option<OneOrMore>,
    /// When it happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stamp: Option<EventStamp>,
    /// Where the version is that the provider wrote the event in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
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

/// What a text inside an event holds. It is then read as if it stood in the text's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TextKind {
    /// A JSON object or list.
    Json,
    /// The header of a mail, as it is or as a JSON list of names and values, or a whole mail: an object of its header fields by
    /// lower-case name, and `(body)`.
    Mail,
}

/// XML as JSON: elements by local name, attributes as `@name`; `xsi:nil` is null, the prefix of an `xsi:type` is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct XmlBodies {
    /// Elements that are a list also where there is only one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lists: Vec<String>,
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

/// One rule for bodies that name no type, or several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum UntypedBodies {
    /// One.
    One(Untyped),
    /// Several.
    More(Vec<Untyped>),
}

impl UntypedBodies {
    /// All of them.
    pub fn as_slice(&self) -> &[Untyped] {
        match self {
            UntypedBodies::One(one) => std::slice::from_ref(one),
            UntypedBodies::More(more) => more,
        }
    }
}

/// Words by which people give orders in a text (`STOP` in a short message). A text that is nothing but such a word, white space,
/// punctuation around it and case aside, is the order `$word`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Words {
    /// Where the text is; of several, the first that is an order.
    pub from: OneOrMore,
    /// Order → the words for it.
    pub mean: BTreeMap<String, Vec<String>>,
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
    /// The provider's sequence number; of several places, the first that has a value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<OneOrMore>,
    /// Names that stand where a sequence number is looked for → the number, where the provider only names its steps.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub order: BTreeMap<String, u64>,
}

/// What to do with events of some types.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct On {
    /// Event types; `*` stands for any text, also in the middle.
    pub types: OneOrMore,
    /// Only where this path has this value; `*` stands for any text, also in the middle.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub when: BTreeMap<String, String>,
    /// What to do.
    #[serde(rename = "do")]
    pub action: Action,
    /// A list of what the event is about; of several paths, the first that has elements. Each element makes an event of its own,
    /// `$each` (or `$each.<member>`, of an object) and `$nth` (from 0) in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub each: Option<OneOrMore>,
    /// The event as a whole, without `$each` but with `$whole`, goes before those of its elements.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub also_whole: bool,
    /// The record holds only some fields, as of the event's own time.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub part: bool,
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
    /// Where the native name of the one property is that changed (`fetch`). What the hub itself wrote is then known without a read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub property: Option<String>,
    /// Where that property's value is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The event says that the record is new (`fetch`). What the hub itself created is then known without a read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub created: bool,
    /// Further ids that went into the surviving object (`merge`): a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub also: Option<String>,
    /// The surviving object's id (`merge`): the first that has a value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub survivor: Option<OneOrMore>,
    /// Read the record that is left as well (`merge`, `restore`): an event of its own, behind this one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub then_fetch: bool,
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
    /// Nothing yet: the event is kept as it came, for as long as the journal. Its `why` is the reason.
    Keep,
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
    /// The path that reads a record, by object; for providers without a protocol of their own. `{id}`, `{account}`, `{path}` (of an
    /// id that is a URL), `{since}` (an hour before the event came).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fetch: BTreeMap<String, String>,
    /// Headers of those calls; `{account}` in them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
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
            fetch: BTreeMap::new(),
            headers: BTreeMap::new(),
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
    /// Counts only calls whose path ends so; empty for all.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
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
        let content_type = (!self.answer.body.is_empty()).then_some(self.answer.media.name());
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
