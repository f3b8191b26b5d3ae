//! The messages that `transform` handles: fixtures as envelopes, and the answers to the requests that they lead to.

use std::collections::{BTreeMap, BTreeSet};

use canonical::{EventRef, Lane, ReadRequest, RemoteId};
use providers::{Inbound, Overrides, Provider};
use serde_json::{Value, json};

use crate::fixtures::{Fixture, NOW_MS, fixtures};

/// Answered requests for each object of a provider.
const ANSWERS: usize = 2;
/// The number of the first answer, above those of the fixtures.
const FIRST_ANSWER: usize = 9_000;

/// A message on an ingest queue.
#[derive(Debug, Clone)]
pub struct Message {
    /// What it is made of, for people.
    pub name: String,
    /// The lane of the queue.
    pub lane: Lane,
    /// The idempotency keys of its events, and the tokens of proofs that count for one event only.
    keys: BTreeSet<String>,
    envelope: Value,
}

impl Message {
    /// The message's text.
    pub fn body(&self) -> String {
        self.envelope.to_string()
    }

    /// The same event as the provider sends it once more: another envelope with the same content.
    pub fn repeated(&self) -> Message {
        let mut repeated = self.clone();
        repeated.envelope["id"] = json!(format!("{}-again", self.envelope["id"].as_str().unwrap()));
        repeated
    }
}

/// Builds the messages of one provider.
struct Builder {
    provider: Provider,
    connection: String,
}

impl Builder {
    fn new(provider: &str) -> Builder {
        Builder { provider: Provider::builtin(provider, &Overrides::default()).unwrap(), connection: provider.to_owned() }
    }

    fn message(&self, number: usize, fixture: &Fixture, kind: Value) -> Message {
        let query = fixture.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
        let headers: BTreeMap<String, String> = fixture.headers.iter().cloned().collect();
        let target = format!("POST https://hub.example.com/hooks/{}{query}", self.connection);
        let keys = if kind["type"] == "webhook" { self.keys(&headers, &target, &fixture.body) } else { BTreeSet::new() };
        let envelope = json!({
            "id": format!("{number:04}"), "connection": self.connection, "kind": kind, "received_at_ms": received_at_ms(number),
            "instance": "test", "sequence": number, "trace": format!("{number:032}"),
            "target": target, "headers": headers, "body": { "text": String::from_utf8(fixture.body.clone()).unwrap() },
        });
        Message { name: fixture.name.clone(), lane: self.provider.manifest().provider.lane, keys, envelope }
    }

    fn keys(&self, headers: &BTreeMap<String, String>, target: &str, body: &[u8]) -> BTreeSet<String> {
        let events = self.provider.events(&Inbound { connection: &self.connection, headers, target, body });
        let keys = |event: providers::InboundEvent| event.single_use_token.into_iter().chain([event.key]);
        events.into_iter().flatten().flat_map(keys).collect()
    }

    /// The source object of a record of the API.
    fn source_of(&self, object: &str, record: &Fixture) -> RemoteId {
        let changes = self.provider.record(&self.connection, object, &record.body).unwrap();
        let unknown =
            RemoteId { connection: self.connection.as_str().into(), object: object.to_owned(), id: "unknown".to_owned() };
        changes.first().map_or(unknown, |change| change.source.clone())
    }
}

fn received_at_ms(number: usize) -> i64 {
    NOW_MS + i64::try_from(number).unwrap()
}

fn fetched(number: usize, source: &RemoteId, missing: bool, causes: &[EventRef]) -> Value {
    json!({ "type": "fetched", "source": source, "missing": missing, "read_at_ms": received_at_ms(number), "causes": causes })
}

/// A message for each fixture of a provider, in the order of the names.
pub fn messages(provider: &str) -> Vec<Message> {
    let builder = Builder::new(provider);
    let all = fixtures(provider).into_iter().enumerate();
    all.map(|(number, fixture)| {
        let kind = match &fixture.record_of {
            None => json!({ "type": "webhook" }),
            Some(object) => fetched(number, &builder.source_of(object, &fixture), false, &[]),
        };
        builder.message(number, &fixture, kind)
    })
    .collect()
}

/// The messages that have no event in common. Many fixtures are variants of one event; of those, the first that is handled counts
/// and the others are duplicates.
pub fn without_common_events(messages: &[Message]) -> Vec<Message> {
    let mut seen = BTreeSet::new();
    let mut chosen = Vec::new();
    for message in messages {
        if seen.is_disjoint(&message.keys) {
            seen.extend(message.keys.iter().cloned());
            chosen.push(message.clone());
        }
    }
    chosen
}

/// Answers to some of the requests for records: the first for each object finds a record of the API, if there is a fixture of one;
/// the others find that the record does not exist.
pub fn answers(provider: &str, requests: &[ReadRequest]) -> Vec<Message> {
    let builder = Builder::new(provider);
    let records: Vec<Fixture> = fixtures(provider).into_iter().filter(|fixture| fixture.record_of.is_some()).collect();
    let mut answered: BTreeMap<&str, usize> = BTreeMap::new();
    let mut all = Vec::new();
    for request in requests {
        let ReadRequest::Fetch(fetch) = request else { continue };
        let object = fetch.source.object.as_str();
        let count = answered.entry(object).or_default();
        *count += 1;
        if *count > ANSWERS {
            continue;
        }
        let causes: Vec<EventRef> = fetch.cause.iter().cloned().collect();
        let number = FIRST_ANSWER + all.len();
        let record = records.iter().find(|record| *count == 1 && record.record_of.as_deref() == Some(object));
        let (record, kind) = match record {
            Some(record) => (record.clone(), fetched(number, &builder.source_of(object, record), false, &causes)),
            None => (no_record(), fetched(number, &fetch.source, true, &causes)),
        };
        let name = format!("an answer to a request for {object}");
        all.push(builder.message(number, &Fixture { name, ..record }, kind));
    }
    all
}

fn no_record() -> Fixture {
    Fixture { name: String::new(), headers: Vec::new(), query: None, body: b"{}".to_vec(), record_of: None }
}
