//! The section `[events]` of a manifest: how a body becomes events, and what the hub does with each.

use std::collections::BTreeMap;

use mapping::TimeUnit;
use serde::{Deserialize, Serialize};

/// How a body becomes events.
///
/// Where a text names a value, it is a path in the event or a variable: `$type`, `$prefix` (the type up to its first dot),
/// `$header.<name>`, `$outer.<path>` (around the event), `$sequence` (the event's number, with `sequence`), `$keyword` (with
/// `keywords`), and `$each`, `$each.<member>`, `$nth` and `$whole` (with a rule's `each`). Where a list of them is allowed, the first
/// that has a value counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Events {
    /// True when the body is a list of events.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub list: bool,
    /// The path of the events in a body that is an object, such as `value[*]`; of several paths, the first that the body has. A body
    /// without any of them is one event. `$outer.<path>` reads what surrounds an event: the nearest list element that holds the
    /// event's list, or else the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<OneOrMore>,
    /// True when a body may be form parameters. Brackets in their names make objects.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub form: bool,
    /// True when a body may be a multipart form. Names stay as they are; a file becomes an object of `filename`, `type` and `size`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub multipart: bool,
    /// True when brackets in the names of form parameters make no objects, because strangers choose some of the names.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub plain_names: bool,
    /// The form field that holds the character sets of the other fields, as a JSON object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub charsets: Option<String>,
    /// Members of an event whose text holds a document, with its format. The document replaces the text.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub embedded: BTreeMap<String, EmbeddedFormat>,
    /// How the hub reads a body that is XML; absent: such bodies are malformed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub xml: Option<XmlBodies>,
    /// The folder whose `hook.rs` rewrites each event before it is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hook: Option<String>,
    /// Members that may hold the whole event as JSON text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub json_in: Vec<String>,
    /// True when an empty body is an event, because the headers hold all the data.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub bodyless: bool,
    /// The numbers of a body's events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<SequencePaths>,
    /// The most events in one body, according to the provider's documentation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_events: Option<u32>,
    /// The headers that are needed after the signature is verified, in lower case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<String>,
    /// The event type.
    #[serde(rename = "type")]
    pub event_type: OneOrMore,
    /// Types for bodies that name none; the first that matches counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub untyped: Option<OneOrMore<UntypedBody>>,
    /// Keywords that people send as a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keywords: Option<Keywords>,
    /// The parts of the idempotency key.
    pub key: Vec<OneOrMore>,
    /// The token by which a signature is valid only once. A later event with the token of another one is a forgery.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub single_use_token: Option<OneOrMore>,
    /// When the event happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stamp: Option<EventStamp>,
    /// The version of the API that the event is written in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The provider's name of the object type; the first that `objects` knows counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<OneOrMore>,
    /// Object names in events → names of object types; `*` stands for any text. Empty: both are the same.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub objects: BTreeMap<String, String>,
    /// The path of the record; absent: the event is the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<String>,
    /// An event is about a test record when each of these paths has its value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub test: BTreeMap<String, String>,
    /// The rules. The first that matches an event counts; the hub ignores an event that no rule matches.
    pub on: Vec<EventRule>,
}

/// One value, or a list of them: manifests may leave out the brackets around a single one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum OneOrMore<T = String> {
    /// One.
    One(T),
    /// Several.
    More(Vec<T>),
}

impl<T> OneOrMore<T> {
    /// All of them.
    pub fn as_slice(&self) -> &[T] {
        match self {
            OneOrMore::One(one) => std::slice::from_ref(one),
            OneOrMore::More(more) => more,
        }
    }
}

/// The format of a document inside a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EmbeddedFormat {
    /// A JSON object or list.
    Json,
    /// A mail, or only its header, as it is or as a JSON list of names and values. It becomes an object: header fields by lower-case
    /// name, and `(body)`.
    Mail,
}

/// How XML becomes JSON: elements by local name, attributes as `@name`. `xsi:nil` is null; the prefix of an `xsi:type` is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct XmlBodies {
    /// Elements that become a list even where there is only one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lists: Vec<String>,
}

/// The paths of the numbers of a body's events. Numbers rise by one from event to event, so a gap between two bodies shows that
/// events were lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SequencePaths {
    /// The number of the first event.
    pub first: String,
    /// The number of the last event.
    pub last: String,
}

/// The type of a body that names none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UntypedBody {
    /// The body has this type if one of these paths has a value.
    pub when: OneOrMore,
    /// The type.
    #[serde(rename = "type")]
    pub event_type: String,
}

/// Keywords that people send as a text, such as `STOP` in a short message. A text is a keyword if it consists of nothing else;
/// case, white space and surrounding punctuation do not matter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keywords {
    /// The text; of several, the first that is a keyword.
    pub from: OneOrMore,
    /// Keyword → the texts that count as it.
    pub spellings: BTreeMap<String, Vec<String>>,
}

/// When an event happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventStamp {
    /// The time.
    pub from: OneOrMore,
    /// The unit or format of the time.
    pub unit: TimeUnit,
    /// The provider's sequence number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<OneOrMore>,
    /// Names that stand for sequence numbers, where the provider only names its steps.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub order: BTreeMap<String, u64>,
}

/// What the hub does with events of some types.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventRule {
    /// Event types; `*` stands for any text, also in the middle.
    pub types: OneOrMore,
    /// The rule matches only where each of these paths has its value; `*` stands for any text, also in the middle.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub when: BTreeMap<String, String>,
    /// What the hub does.
    #[serde(rename = "do")]
    pub action: EventAction,
    /// The path of a list of what the event is about; of several paths, the first whose list has elements. Each element makes an
    /// event of its own, with `$each` (or `$each.<member>`, for an object) and `$nth` (from 0).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub each: Option<OneOrMore>,
    /// True when an event about the whole, with `$whole` and without `$each`, precedes those of the elements.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub also_whole: bool,
    /// True when the record holds only some of its fields. They are as of the event's own time.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
    /// The parts of the idempotency key, where these events need others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key: Vec<OneOrMore>,
    /// The provider's name of the object type, where the event does not name it well enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// The mapping file; absent: the one of the object type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub map: Option<String>,
    /// The path of the record, where these events hold it elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<String>,
    /// The object's id. For `map`, its mapping file reads this as `$object_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The native name of the one property that changed (`fetch`). With it, the hub recognises its own write without a read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub property: Option<String>,
    /// The value of that property.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// True when the event reports a new record (`fetch`). With it, the hub recognises what it created without a read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub created: bool,
    /// A list of further ids that were merged into the surviving object (`merge`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub also_merged: Option<String>,
    /// The id of the surviving object (`merge`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub survivor: Option<OneOrMore>,
    /// True when the hub then reads the record that remains (`merge`, `restore`), as an event of its own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub then_fetch: bool,
    /// The reason (`ignore`, `retain`, `sweep`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// What the hub does with an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventAction {
    /// The event holds the record: map it.
    Map,
    /// The event is thin: read the record.
    Fetch,
    /// The record was deleted.
    Delete,
    /// The record was deleted because the person asked to be forgotten.
    PrivacyDelete,
    /// Records were merged into another one.
    Merge,
    /// A deleted record was restored.
    Restore,
    /// Events were lost, or the event does not name its records: read everything that changed. `why` is the reason.
    Sweep,
    /// Nothing is mapped yet: store the event as it came, for as long as the journal. `why` is the reason.
    Retain,
    /// Do nothing.
    Ignore,
}
