//! The operators' commands on the memory twins.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use canonical::{Change, ChangeKind, Dispatch, EventRef, FieldName, FieldValue, ObjectType, Outcome, RemoteId, Stamp, Value};
use hub::config::{Changes, DEFAULT, Loaded, Source, compile};
use hub::operate::{DeadLetters, dlq, explain, pause, resolve, review, status};
use hub::queues::dead_letter_queues;
use sync::config::{Config, Hub};
use sync::decision::{Decision, Verdict};
use sync::pause::{hold_dispatch, paused};
use sync::ports::{
    Clock, Condition, Delivery, Item, Key, Outgoing, Page, PortError, Queue, SecretSet, Secrets, Store, Table, Write, WriteError,
};
use sync::record::journal::{AccountLine, build_swept_put};
use sync::seal::Vault;
use sync::transform::transaction::Transaction;
use testkit::memory::{QueueSettings, Queues, Tables};

const NOW: i64 = 1_769_851_800_000;

#[derive(Default)]
struct Twin {
    tables: RefCell<Tables>,
    queues: RefCell<Queues>,
    seed: Cell<u64>,
}

impl Clock for Twin {
    fn now_ms(&self) -> i64 {
        NOW
    }
    fn random(&self) -> u64 {
        self.seed.set(self.seed.get() + 1);
        self.seed.get()
    }
    fn fill_secret(&self, buffer: &mut [u8]) {
        buffer.iter_mut().for_each(|byte| *byte = self.random() as u8);
    }
    async fn sleep(&self, _ms: u64) {}
}

impl Store for Twin {
    async fn get(&self, table: Table, key: &Key) -> Result<Option<Item>, PortError> {
        Ok(self.tables.borrow().get(table, key))
    }
    async fn get_many(&self, table: Table, keys: &[Key]) -> Result<Vec<Option<Item>>, PortError> {
        Ok(keys.iter().map(|key| self.tables.borrow().get(table, key)).collect())
    }
    async fn query(&self, table: Table, pk: &str, prefix: &str, limit: u32, after: Option<&Key>) -> Result<Page, PortError> {
        Ok(self.tables.borrow().query(table, pk, prefix, limit, after))
    }
    async fn scan(&self, table: Table, limit: u32, after: Option<&Key>) -> Result<Page, PortError> {
        Ok(self.tables.borrow().scan(table, limit, after))
    }
    async fn write(&self, writes: Vec<Write>, token: Option<&str>) -> Result<(), WriteError> {
        self.tables.borrow_mut().write(writes, token, NOW)
    }
}

impl Queue for Twin {
    async fn send(&self, queue: &canonical::QueueName, messages: Vec<Outgoing>) -> Vec<Result<(), PortError>> {
        messages.into_iter().map(|m| self.queues.borrow_mut().send(queue, m, NOW)).collect()
    }
    async fn delay(&self, queue: &canonical::QueueName, receipt: &str, seconds: u32) -> Result<(), PortError> {
        self.queues.borrow_mut().delay(queue, receipt, seconds, NOW)
    }
}

impl Secrets for Twin {
    async fn secret(&self, _name: &str, _fresh: bool) -> Result<SecretSet, PortError> {
        Ok(SecretSet { current: Some("YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE=".to_owned()), ..SecretSet::default() })
    }
}

impl DeadLetters for Twin {
    async fn receive(&self, queue: &canonical::QueueName, _visibility_s: u32) -> Result<Vec<Delivery>, PortError> {
        Ok(self.queues.borrow_mut().receive(queue, 3, NOW))
    }
    async fn count(&self, queue: &canonical::QueueName) -> Result<(u64, u64), PortError> {
        Ok((self.queues.borrow().peek(queue).len() as u64, 0))
    }
    async fn delete(&self, queue: &canonical::QueueName, receipt: &str) -> Result<(), PortError> {
        self.queues.borrow_mut().delete(queue, receipt);
        Ok(())
    }
}

fn twin() -> (Twin, Hub) {
    let source = Source::new("hub.toml", DEFAULT);
    let (compiled, _) = compile(&source, &["generic-form", "hubspot", "salesforce", "stripe"]);
    let twin = Twin::default();
    for name in [
        "ingest-urgent",
        "ingest-urgent-dlq",
        "ingest-bulk-dlq",
        "fetch-dlq",
        "refresh",
        "refresh-dlq",
        "upsert-hubspot",
        "upsert-hubspot-dlq",
        "upsert-salesforce-dlq",
    ] {
        twin.queues.borrow_mut().create(name, QueueSettings::default());
    }
    (twin, compiled.expect("the default compiles").hub)
}

fn contact(connection: &str, id: &str, at_ms: i64, fields: &[(&str, &str)]) -> Change {
    Change {
        object: ObjectType::Contact,
        source: RemoteId { connection: connection.into(), object: "person".into(), id: id.into() },
        kind: ChangeKind::Snapshot,
        stamp: Some(Stamp::at(at_ms)),
        fields: fields
            .iter()
            .map(|(name, value)| (FieldName::from(*name), FieldValue { value: Value::text(*value), stamp: None, flagged: false }))
            .collect::<BTreeMap<_, _>>(),
        external_ids: Vec::new(),
        problems: Vec::new(),
        test: false,
        id_of_event: false,
    }
}

async fn store(twin: &Twin, hub: &Hub, vault: &Vault, change: Change) {
    let event = EventRef { connection: change.source.connection.clone(), envelope: "env".into(), index: 0, received_at_ms: NOW };
    let transaction = Transaction { ports: twin, vault, hub, change: &change, event: &event, read_ms: None };
    let plan = transaction.plan().await.expect("a plan");
    let writes = transaction.build_writes(&plan).await.expect("writes");
    twin.write(writes, None).await.expect("stored");
}

#[tokio::test]
async fn explain_shows_every_candidate_the_winner_and_the_rule() {
    let (twin, hub) = twin();
    let vault = Vault::open(&twin).await.expect("a vault");
    store(&twin, &hub, &vault, contact("hubspot", "7", 3_000, &[("email", "ada@example.org"), ("phone", "+4930000001")])).await;
    store(&twin, &hub, &vault, contact("form", "f1", 2_000, &[("email", "ada@example.org"), ("phone", "+4930000002")])).await;

    let mut ids = Vec::new();
    for key in ["Ada@Example.org ", "+49 30 000001", "hubspot/person/7"] {
        let explanation = explain::explain(&twin, &vault, &hub, ObjectType::Contact, key)
            .await
            .expect("no failure")
            .unwrap_or_else(|| panic!("{key}"));
        ids.push(explanation.golden.id);
    }
    ids.dedup();
    assert_eq!(ids.len(), 1, "every key leads to the same record");

    let explanation =
        explain::explain(&twin, &vault, &hub, ObjectType::Contact, &ids[0]).await.expect("no failure").expect("by its own id");
    let text = explain::render(&explanation, &hub, Some("phone"));
    assert!(text.contains("phone = +4930000002 [prefer form: people know their own number best]"), "{text}");
    assert!(text.contains("+4930000002  form/person/f1    1970-01-01T00:00:02Z  wins"), "{text}");
    assert!(text.contains("+4930000001  hubspot/person/7  1970-01-01T00:00:03Z\n"), "{text}");
    assert!(text.contains("hubspot: nothing was pushed yet"), "{text}");
    assert!(text.contains("phone: \"+4930000001\" → \"+4930000002\""), "{text}");
    assert!(!text.contains("ada@example.org"), "only the requested field: {text}");
    let json = explain::as_json(&explanation, &hub, Some("phone"));
    assert_eq!(json["fields"]["phone"]["value"], "+4930000002");
    assert_eq!(json["fields"]["phone"]["candidates"].as_array().map(Vec::len), Some(2));
    assert_eq!((json["fields"].as_object().map(|f| f.len()), &json["object"]), (Some(1), &serde_json::json!("contact")));
    let whole = explain::render(&explanation, &hub, None);
    assert!(whole.contains("  form/person/f1  joined by email of hubspot/person/7\n"), "{whole}");
    assert!(whole.contains("  hubspot/person/7  joined by email of form/person/f1\n"), "{whole}");
    assert!(!whole.contains("is also that of"), "{whole}");
    store(&twin, &hub, &vault, contact("form", "f2", 4_000, &[("email", "bob@example.net"), ("phone", "+4930000002")])).await;
    let explanation =
        explain::explain(&twin, &vault, &hub, ObjectType::Contact, &ids[0]).await.expect("no failure").expect("by its own id");
    let whole = explain::render(&explanation, &hub, None);
    assert!(whole.contains("a value of `phone` is also that of 1 other record, and joins no further ones"), "{whole}");
    assert_eq!(explanation.members.len(), 2, "a number joins nobody who has another address");
    let nobody = explain::explain(&twin, &vault, &hub, ObjectType::Contact, "bob@example.org").await.expect("no failure");
    assert!(nobody.is_none());
}

#[tokio::test]
async fn two_objects_of_one_crm_are_a_suggestion_that_a_person_decides() {
    let (twin, hub) = twin();
    let vault = Vault::open(&twin).await.expect("a vault");
    for (id, name) in [("1", "Ada"), ("2", "Bob")] {
        let mut change = contact("hubspot", id, 3_000, &[("email", "shared@acme.example"), ("first_name", name)]);
        change.source.object = "contacts".into();
        store(&twin, &hub, &vault, change).await;
    }
    let mut open = review::open_reviews(&twin, &vault, &hub).await.expect("reviews");
    let remote = |id: String| RemoteId { connection: "form".into(), object: "person".into(), id: id.as_str().into() };
    open[0].sides[0].sources.extend([remote("\u{1b}[2J".to_owned()), remote("x".repeat(200))]);
    let text = review::render(&open);
    assert!(text.lines().all(|line| line.chars().count() <= 80 && !line.contains('\u{1b}')), "{text}");
    assert_eq!(review::as_json(&open)[0]["records"][0]["sources"][2], format!("form/person/{}", "x".repeat(200)));
    open[0].sides[0].sources.truncate(1);
    let [pair] = open.as_slice() else { panic!("{open:?}") };
    assert_eq!(pair.review.keys.iter().collect::<Vec<_>>(), ["email"]);
    let sources = pair.sides.each_ref().map(|side| side.sources.len());
    assert_eq!(sources, [1, 1], "nothing is joined");
    let unknown = review::VerdictArgs { id: "no such".into(), by: "Eve".into() };
    let refused = review::decide(&twin, &vault, &hub, &unknown, true).await.expect_err("unknown");
    assert!(refused.to_string().contains("hub review list"), "{refused}");

    let args = review::VerdictArgs { id: pair.review.id[..8].into(), by: "Eve".into() };
    review::decide(&twin, &vault, &hub, &args, false).await.expect("decided");
    let stranger = RemoteId { connection: "stripe".into(), object: "customer".into(), id: "cus_1".into() };
    let record = pair.sides[0].id.clone();
    let refused =
        review::unmerge(&twin, &vault, ObjectType::Contact, &record, vec![stranger], "Eve").await.expect_err("a stranger");
    assert!(refused.to_string().contains("stripe/customer/cus_1 is no source record of contact"), "{refused}");
    let queues = twin.queues.borrow();
    let [message] = &queues.peek("ingest-urgent")[..] else { panic!("one decision") };
    let decision = Decision::parse(&message.body).expect("a decision");
    let records = pair.sides.each_ref().map(|side| side.id.clone());
    assert_eq!(decision.decision, Verdict::KeepApart { records, review: Some(pair.review.id.clone()) });
    assert_eq!(decision.by, "Eve");
}

#[tokio::test]
async fn a_field_of_ones_own_is_stored_and_explained() {
    let (twin, mut hub) = twin();
    let (vault, own) = (Vault::open(&twin).await.expect("a vault"), "lead_score");
    let change = || contact("form", "f9", 2_000, &[("email", "bea@example.org"), (own, "high")]);
    let explained = async |hub: &Hub| {
        store(&twin, hub, &vault, change()).await;
        let found = explain::explain(&twin, &vault, hub, ObjectType::Contact, "bea@example.org").await.expect("no failure");
        explain::render(&found.expect("a record"), hub, None)
    };
    assert!(!explained(&hub).await.contains(own), "an unknown field is not stored");
    hub.fields = canonical::Catalogue::with(&[canonical::OwnField {
        object: ObjectType::Contact,
        name: own.to_owned(),
        kind: canonical::ValueKind::Text,
        members: Vec::new(),
        refers_to: None,
        personal: false,
        label: "A score.".to_owned(),
    }]);
    let text = explained(&hub).await;
    assert!(text.contains("lead_score = high [latest]"), "{text}");
}

#[tokio::test]
async fn resolve_shows_a_plan_and_requests_it_only_with_apply() {
    let (twin, hub) = twin();
    for queue in ["fetch", "upsert-salesforce"] {
        twin.queues.borrow_mut().create(queue, QueueSettings::default());
    }
    let vault = Vault::open(&twin).await.expect("a vault");
    let in_hubspot = |mut change: Change| {
        change.source.object = "contacts".to_owned();
        change
    };
    let phone = |number: &'static str| [("email", "ada@example.org"), ("phone", number)];
    store(&twin, &hub, &vault, in_hubspot(contact("hubspot", "7", 3_000, &phone("+4930000001")))).await;
    store(&twin, &hub, &vault, contact("form", "f1", 2_000, &phone("+4930000002"))).await;
    // The phone's rule becomes another one: the newest value instead of the form's.
    let rule = r#"phone         = { prefer = ["form"], why = "people know their own number best" }"#;
    let changes = Changes { generation: 2, ..Changes::default() };
    let pack = Loaded::new("hub.toml", DEFAULT.replace(rule, ""), None).pack(&changes).expect("a pack");
    let config = Config::open(pack).expect("opened");
    let plans = resolve::resolve_stored(&twin, &vault, &config, &resolve::Scope::default()).await.expect("a plan");
    let plan = &plans[&ObjectType::Contact];
    assert_eq!((plan.records, plan.outdated, plan.changed), (1, 1, 1));
    assert_eq!(plan.fields, BTreeMap::from([("phone".to_owned(), 1)]));
    let text = resolve::render(&plans);
    assert!(text.contains("are read again: hubspot 1\n"), "{text}");
    assert!(text.contains("cannot be read again, and change with their next event: form 1\n"), "{text}");
    assert_eq!(twin.queues.borrow().peek("fetch").len(), 0, "a plan sends nothing");
    let scope = resolve::Scope { apply: true, ..resolve::Scope::default() };
    resolve::resolve_stored(&twin, &vault, &config, &scope).await.expect("requested");
    let queues = twin.queues.borrow();
    let counts = ["fetch", "upsert-hubspot", "upsert-salesforce"].map(|queue| queues.peek(queue).len());
    assert_eq!(counts, [1, 1, 1], "one read, and one dispatch for each destination");
}

fn park(twin: &Twin, queue: &str, body: &str, attributes: &[(&str, &str)]) {
    let mut message = Outgoing::new(body);
    message.attributes = attributes.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    twin.queues.borrow_mut().send(queue, message, NOW).expect("sent");
}

fn envelope(body: &str) -> String {
    serde_json::json!({
        "id": "e1", "connection": "stripe", "kind": {"type": "webhook"}, "received_at_ms": NOW,
        "trace": "t1", "body": {"text": body},
    })
    .to_string()
}

#[tokio::test]
async fn parked_messages_are_listed_shown_without_personal_data_and_sent_back() {
    let (twin, hub) = twin();
    let body = envelope("{\"email\": \"ada@example.org\"}");
    park(
        &twin,
        "ingest-urgent-dlq",
        &body,
        &[("origin", "ingest-urgent"), ("code", "malformed-event"), ("detail", "no id"), ("event", "2")],
    );
    for n in 0..5 {
        let dispatch = Dispatch {
            object: ObjectType::Contact,
            record: format!("r{n}").into(),
            version: 3,
            trace: String::new(),
            received_at_ms: NOW,
        };
        park(&twin, "upsert-hubspot-dlq", &serde_json::to_string(&dispatch).expect("JSON"), &[]);
    }
    let parked = dlq::receive_all(&twin, &dead_letter_queues(&hub)).await.expect("received");
    assert_eq!(parked.len(), 6, "every message of every queue");
    let list = dlq::render(&parked);
    assert!(list.contains("1 × malformed-event: docs/errors/malformed-event.md"), "{list}");
    assert!(list.contains("dispatch of contact r4 version 3"), "{list}");
    let shown = dlq::show(&parked[0], false);
    assert!(!shown.contains("ada@example.org") && shown.contains("docs/errors/malformed-event.md"), "{shown}");
    assert!(dlq::show(&parked[0], true).contains("ada@example.org"));

    assert_eq!(dlq::redrive(&twin, &parked[..2]).await, Ok(2));
    let queues = twin.queues.borrow();
    assert_eq!(queues.peek("ingest-urgent-dlq").len(), 0);
    let back = queues.peek("ingest-urgent");
    assert_eq!(
        (back[0].body.as_str(), back[0].attributes.get("event").map(String::as_str), back[0].attributes.len()),
        (body.as_str(), Some("2"), 1)
    );
    assert_eq!(queues.peek("upsert-hubspot").len(), 1, "without an origin, the queue's own name gives it");
    assert_eq!(queues.peek("upsert-hubspot-dlq").len(), 4);
}

#[test]
fn queues_have_short_names() {
    let (_, hub) = twin();
    for name in ["hubspot", "upsert-hubspot", "upsert-hubspot-dlq"] {
        assert_eq!(dlq::queue_named(&hub, name).expect("a queue"), "upsert-hubspot-dlq");
    }
    let unknown = dlq::queue_named(&hub, "stripe").expect_err("not a destination");
    assert!(unknown.to_string().contains("there is no dead-letter queue `stripe`; known: ingest-urgent-dlq, "), "{unknown}");
}

#[tokio::test]
async fn a_pause_holds_and_a_resume_sends_everything() {
    let (twin, hub) = twin();
    pause::pause(&twin, &hub, "hubspot", "maintenance").await.expect("paused");
    let held_by = sync::pause::paused(&twin, "hubspot").await.expect("pauses").expect("a pause");
    for n in 0..250 {
        let dispatch = Dispatch {
            object: ObjectType::Deal,
            record: format!("r{n}").into(),
            version: 1,
            trace: String::new(),
            received_at_ms: NOW,
        };
        hold_dispatch(&twin, "hubspot", &held_by, &dispatch).await.expect("held");
    }
    let accounts = status::accounts(&twin, &hub, 1).await.expect("accounts");
    let hubspot = accounts.iter().find(|a| a.connection == "hubspot").expect("hubspot");
    assert_eq!((hubspot.paused.as_deref(), hubspot.held), (Some("maintenance"), 250));
    assert_eq!(pause::resume(&twin, &hub, "hubspot").await.expect("resumed"), 250);
    assert_eq!(twin.queues.borrow().peek("upsert-hubspot").len(), 250);
    assert_eq!(paused(&twin, "hubspot").await, Ok(None));
    let unknown = pause::pause(&twin, &hub, "hubspt", "x").await.expect_err("unknown");
    assert!(unknown.to_string().contains("did you mean `hubspot`?"), "{unknown}");
}

#[tokio::test]
async fn status_counts_the_lines_of_the_journal() {
    let (twin, hub) = twin();
    for (index, outcome, days_ago) in
        [(0, Outcome::Applied, 0), (1, Outcome::Applied, 1), (2, Outcome::Dead, 0), (3, Outcome::Applied, 9)]
    {
        let received_at_ms = NOW - days_ago * 86_400_000;
        let event = EventRef { connection: "stripe".into(), envelope: "e".into(), index, received_at_ms };
        let line = AccountLine { event: &event, outcome, reason: None }.build_put(45, Condition::Always);
        twin.write(vec![line], None).await.expect("stored");
    }
    let accounts = status::accounts(&twin, &hub, 2).await.expect("accounts");
    let stripe = accounts.iter().find(|a| a.connection == "stripe").expect("stripe");
    assert_eq!(stripe.received(), 3);
    let text = status::render(&accounts, &[]);
    assert!(text.contains("stripe: 3 received: 2 applied, 1 dead\n") && text.contains("form: nothing received\n"), "{text}");
}

/// A text that a terminal would obey.
const HOSTILE: &str = "\u{1b}[2J\u{202e}\r\n";

fn fits(text: &str) {
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{} columns: {line}", line.chars().count());
    }
    assert!(!text.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}'), "{text:?}");
}

#[tokio::test]
async fn status_shows_what_waits_what_is_held_set_aside_and_swept() {
    let (twin, hub) = twin();
    for name in ["ingest-bulk", "fetch", "upsert-salesforce"] {
        twin.queues.borrow_mut().create(name, QueueSettings::default());
    }
    let event = EventRef { connection: "stripe".into(), envelope: "e".into(), index: 0, received_at_ms: NOW };
    let reason = format!("bad-field: `phone` at `data.object.phone`: no country is known {}", "x".repeat(300));
    let line = AccountLine { event: &event, outcome: Outcome::Quarantined, reason: Some(&reason) };
    let writes = vec![line.build_put(45, Condition::Always), build_swept_put(&event, Outcome::Applied, 45)];
    twin.write(writes, None).await.expect("stored");
    pause::pause(&twin, &hub, "hubspot", &format!("maintenance {HOSTILE}{}", "y".repeat(500))).await.expect("paused");
    park(&twin, "upsert-hubspot-dlq", "a message", &[]);

    let accounts = status::accounts(&twin, &hub, 1).await.expect("accounts");
    let queues = status::queues(&twin, &hub).await.expect("queues");
    let text = status::render(&accounts, &queues);
    fits(&text);
    assert!(text.contains("1 quarantined event: bad-field: `phone` at `data.object.phone`: no country"), "{text}");
    assert!(text.contains("1 change brought by sweeps"), "{text}");
    assert!(text.contains("  paused: maintenance\n    \\u{1b}[2J\\u{202e}\\r\\nyyy"), "{text}");
    let hubspot = text.lines().find(|line| line.starts_with("upsert-hubspot")).expect("its queue");
    assert_eq!(hubspot.split_whitespace().collect::<Vec<_>>(), ["upsert-hubspot", "0", "0", "1"]);

    let json = status::as_json(&accounts, &queues, 1);
    let stripe = json["connections"].as_array().and_then(|all| all.iter().find(|c| c["connection"] == "stripe")).expect("stripe");
    assert_eq!(
        (&stripe["outcomes"]["quarantined"], &stripe["swept"], &stripe["owner"]),
        (&1.into(), &1.into(), &"finance".into())
    );
    assert_eq!(stripe["quarantined"][0]["events"], 1);
}

#[tokio::test]
async fn nothing_that_is_stored_breaks_a_line() {
    let (twin, hub) = twin();
    let vault = Vault::open(&twin).await.expect("a vault");
    let long = format!("{HOSTILE}{}", "東".repeat(2_000));
    store(&twin, &hub, &vault, contact("hubspot", "7", 3_000, &[("email", "ada@example.org"), ("full_name", &long)])).await;
    let explanation = explain::explain(&twin, &vault, &hub, ObjectType::Contact, "ada@example.org").await.expect("no failure");
    let explanation = explanation.expect("a contact");
    fits(&explain::render(&explanation, &hub, None));
    assert_eq!(explain::as_json(&explanation, &hub, None)["fields"]["full_name"]["value"], long, "JSON holds the whole value");

    park(&twin, "upsert-hubspot-dlq", &"z".repeat(5_000), &[("code", "provider-rejected"), ("detail", &"d".repeat(400))]);
    park(&twin, "ingest-urgent-dlq", &envelope("later"), &[]);
    park(&twin, "fetch-dlq", &envelope("earlier").replace(&NOW.to_string(), "1000"), &[]);
    let parked = dlq::receive_all(&twin, &dead_letter_queues(&hub)).await.expect("received");
    let list = dlq::render(&parked);
    fits(&list);
    parked.iter().for_each(|message| fits(&dlq::show(message, false)));
    let (earlier, later) = (list.find("1970-01-01T00:00:01Z  fetch-dlq"), list.find("2026-01-31T09:30:00Z  ingest-urgent-dlq"));
    assert!(earlier.is_some() && earlier < later, "sorted by time: {list}");
    let json = dlq::as_json(&parked);
    assert_eq!(
        (&json[0]["code"], json.as_array().map(Vec::len)),
        (&"provider-rejected".into(), Some(3)),
        "what has no time comes first"
    );
}
