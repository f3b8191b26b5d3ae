//! What `transform` and `upsert` store and log about one record: quarantined fields, and the audit log.

use std::collections::BTreeMap;

use canonical::{
    BodyRef, Change, ChangeKind, Dispatch, Envelope, EnvelopeKind, EventRef, FieldName, FieldValue, ObjectType, QueueName,
    RemoteId, Stamp, Value,
};
use providers::{Overrides, Provider};
use serde_json::json;
use sync::batch::{BatchReport, Invocation};
use sync::config::Config;
use sync::ports::{Attr, Condition, Item, Key, Outgoing, Store, Table, Write};
use sync::seal::Vault;
use sync::transform::transaction::Transaction;
use testkit::memory::QueueSettings;
use testkit::twin::{Twin, finish};

use crate::log::logged;

const NOW_MS: i64 = 1_790_000_000_000;
const MASTER: &str = "cmVjb3JkcyBuZWVkIGEgbWFzdGVyIHNlY3JldCBvZiAzMiBieXRlcw==";
const INGEST: &str = "ingest-urgent";

/// A hub with a form as its source and HubSpot as its destination.
struct Hub {
    twin: Twin,
    config: Config,
    vault: Vault,
}

impl Hub {
    fn new() -> Hub {
        let twin = Twin::at(NOW_MS);
        for name in [INGEST, "upsert-hubspot"] {
            twin.queues.borrow_mut().create(name, QueueSettings::default());
            twin.queues.borrow_mut().create(&format!("{name}-dlq"), QueueSettings::default());
        }
        twin.set_secret("hubspot/api", "token");
        Hub { twin, config: config(), vault: Vault::with_master(MASTER).unwrap() }
    }

    fn invocation(&self) -> Invocation<'_, Twin> {
        Invocation { ports: &self.twin, config: &self.config, deadline_ms: NOW_MS + 600_000 }
    }

    /// Sends a form's event through `transform`, in the envelope of this id.
    fn receive(&self, envelope: &str, body: &serde_json::Value) {
        let envelope = Envelope {
            id: envelope.to_owned(),
            connection: "form".into(),
            kind: EnvelopeKind::Webhook,
            received_at_ms: NOW_MS,
            trace: String::new(),
            target: "POST /hooks/form".to_owned(),
            headers: BTreeMap::from([("webhook-id".to_owned(), "msg_1".to_owned())]),
            body: BodyRef::Text(body.to_string()),
        };
        let mut queues = self.twin.queues.borrow_mut();
        queues.send(INGEST, Outgoing::new(serde_json::to_string(&envelope).unwrap()), NOW_MS).unwrap();
        let deliveries = queues.receive(INGEST, 10, NOW_MS);
        drop(queues);
        let queue = QueueName::from(INGEST);
        let report = finish(sync::transform::handle_batch(self.invocation(), &self.vault, &queue, deliveries));
        assert_eq!(report.failures, Vec::<String>::new());
    }

    fn store(&self, change: &Change) -> Dispatch {
        let event = EventRef { connection: "form".into(), envelope: "e1".into(), index: 0, received_at_ms: NOW_MS };
        let (ports, vault, hub) = (&self.twin, &self.vault, self.config.hub());
        let transaction = Transaction { ports, vault, hub, change, event: &event, read_ms: None };
        let plan = finish(transaction.plan()).unwrap();
        let writes = finish(transaction.build_writes(&plan)).unwrap();
        finish(self.twin.write(writes, None)).unwrap();
        let (object, record) = (plan.golden.object, plan.golden.id);
        Dispatch { object, record, version: plan.next_version, trace: String::new(), received_at_ms: NOW_MS }
    }

    fn push(&self, dispatch: &Dispatch) -> BatchReport {
        let mut queues = self.twin.queues.borrow_mut();
        queues.send("upsert-hubspot", Outgoing::new(serde_json::to_string(dispatch).unwrap()), NOW_MS).unwrap();
        let deliveries = queues.receive("upsert-hubspot", 10, NOW_MS);
        drop(queues);
        finish(sync::upsert::handle_batch(self.invocation(), &self.vault, "hubspot", deliveries))
    }

    fn items(&self, table: Table, partition: &str) -> Vec<Item> {
        self.twin.tables.borrow().all(table).filter(|item| item.key.pk.starts_with(partition)).cloned().collect()
    }

    /// Removes every item of these tables, as if they were restored from a backup that was made before there were any.
    fn empty(&self, tables: &[Table]) {
        for table in tables {
            for Item { key, .. } in self.items(*table, "") {
                let delete = Write::Delete { table: *table, key, condition: Condition::Always };
                finish(self.twin.write(vec![delete], None)).unwrap();
            }
        }
    }
}

fn config() -> Config {
    let hub = json!({
        "generation": 1,
        "connections": {
            "form": { "provider": "generic-form", "source": true, "lane": "urgent" },
            "hubspot": {
                "provider": "hubspot", "destination": true, "lane": "urgent", "base_url": "https://hubspot.test",
                "api_secret": "hubspot/api", "buckets": [{"name": "all", "burst": 1000, "per_second": 1000.0}],
            },
        },
        "objects": { "contact": { "destinations": { "hubspot": "contacts" }, "strong": ["email"] } },
    });
    let hub = serde_json::from_value(hub).unwrap();
    let packed = |name: &str| Provider::builtin(name, &Overrides::default()).unwrap().to_packed();
    let providers = BTreeMap::from([("form".to_owned(), packed("generic-form")), ("hubspot".to_owned(), packed("hubspot"))]);
    Config::open(Config::pack(&hub, &providers).unwrap()).unwrap()
}

fn contact(id: &str, data: &serde_json::Value) -> serde_json::Value {
    let mut data = data.clone();
    data["id"] = json!(id);
    json!({ "type": "contact.updated", "timestamp": "2026-02-03T06:00:00Z", "data": data })
}

#[test]
fn a_field_that_cannot_be_normalised_is_named_on_the_account_line_and_in_the_log() {
    let hub = Hub::new();
    let body = contact("c-1", &json!({ "email": "secret words", "birthday": "31.12.1990", "lastName": "Lindqvist" }));
    let ((), log) = logged(|| hub.receive("e1", &body));
    let lines = hub.items(Table::Journal, "a#form#");
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0].s("outcome"), Some("quarantined"));
    let reason = lines[0].s("reason").unwrap();
    assert!(reason.starts_with("bad-field: `email` at `data.email or "), "{reason}");
    assert!(reason.contains("not an e-mail address") && reason.contains("envelope.map.toml:10"), "{reason}");
    assert!(reason.contains("`birthday`"), "{reason}");
    let about: Vec<&String> = log.iter().filter(|line| line.contains("fields are set aside")).collect();
    assert_eq!(about.len(), 1, "{log:#?}");
    assert!(about[0].contains("code=bad-field") && about[0].contains("not an e-mail address"), "{}", about[0]);
    for text in log.iter().map(String::as_str).chain([reason]) {
        assert!(!text.contains("secret words") && !text.contains("31.12.1990"), "a value is shown: {text}");
    }
    assert_eq!(hub.items(Table::Golden, "g#contact#").len(), 1, "the other fields are stored");
}

#[test]
fn a_megabyte_of_text_costs_its_own_field_only() {
    let hub = Hub::new();
    let body = contact("c-1", &json!({ "email": "maya@example.se", "lastName": "Lindqvist", "notes": "x".repeat(1_000_000) }));
    hub.receive("e1", &body);
    let lines = hub.items(Table::Journal, "a#form#");
    assert_eq!(lines[0].s("outcome"), Some("quarantined"));
    let reason = lines[0].s("reason").unwrap();
    assert!(reason.contains("`notes`") && reason.contains("cap-exceeded: 1000000 bytes"), "{reason}");
    assert_eq!(hub.items(Table::Golden, "g#contact#").len(), 1, "the other fields are stored");
}

#[test]
fn long_texts_that_fit_alone_but_not_together_cost_only_what_does_not_fit() {
    let hub = Hub::new();
    let long = |bytes: usize| "x".repeat(bytes);
    let address = json!({ "line1": long(65_400), "city": long(65_300), "state": long(65_200), "postalCode": long(65_100) });
    let body = json!({
        "email": "maya@example.se", "lastName": "Lindqvist", "notes": long(65_500), "jobTitle": long(65_450), "address": address,
    });
    hub.receive("e1", &contact("c-1", &body));
    let lines = hub.items(Table::Journal, "a#form#");
    assert_eq!(lines[0].s("outcome"), Some("quarantined"));
    assert!(lines[0].s("reason").unwrap().contains("would not fit one item"), "{:?}", lines[0].s("reason"));
    assert_eq!(hub.items(Table::Golden, "g#contact#").len(), 1, "the other fields are stored");
    assert_eq!(hub.items(Table::Golden, "s#form").len(), 1);
}

#[test]
fn the_reason_of_a_repeated_event_stays_and_that_of_a_duplicate_is_not_shown() {
    let hub = Hub::new();
    let body = contact("c-1", &json!({ "email": "secret words", "lastName": "Lindqvist" }));
    for envelope in ["e1", "e1", "e2"] {
        hub.receive(envelope, &body);
    }
    let shown = |item: &Item| (item.s("outcome").unwrap().to_owned(), item.s("reason").is_some());
    let lines: Vec<(String, bool)> = hub.items(Table::Journal, "a#form#").iter().map(shown).collect();
    assert_eq!(lines, [("quarantined".to_owned(), true), ("duplicate".to_owned(), false)]);
}

#[test]
fn the_reason_on_an_account_line_is_bounded() {
    let hub = Hub::new();
    let address = json!({ "email": "x", "phone": "x", "mobile": "x", "birthday": "x", "website": "x", "created_at": "x" });
    hub.receive("e1", &contact("c-1", &address));
    let lines = hub.items(Table::Journal, "a#form#");
    assert_eq!(lines[0].s("reason").unwrap().chars().count(), 500);
}

#[test]
fn a_value_that_cannot_be_rendered_is_logged_and_counted_and_the_rest_is_pushed() {
    let hub = Hub::new();
    let value = |text: &str, flagged| FieldValue { value: Value::text(text), stamp: None, flagged };
    let dispatch = hub.store(&Change {
        object: ObjectType::Contact,
        source: RemoteId { connection: "form".into(), object: "contact".into(), id: "c-1".into() },
        kind: ChangeKind::Partial,
        stamp: Some(Stamp::at(NOW_MS)),
        fields: BTreeMap::from([
            (FieldName::from("email"), value("maya@example.se", false)),
            (FieldName::from("lifecycle"), value("secret words", true)),
        ]),
        external_ids: Vec::new(),
        problems: Vec::new(),
        test: false,
        id_of_event: false,
    });
    let (report, log) = logged(|| hub.push(&dispatch));
    let counted = report.metrics.iter().find(|metric| metric.name == "fields_not_written");
    assert_eq!(counted.map(|metric| metric.value), Some(1.0), "{report:?}");
    let about: Vec<&String> = log.iter().filter(|line| line.contains("fields are not written")).collect();
    assert_eq!(about.len(), 1, "{log:#?}");
    assert!(about[0].contains("bad-field: `lifecycle` at `lifecyclestage`"), "{}", about[0]);
    assert!(log.iter().all(|line| !line.contains("secret words")), "{log:#?}");
    assert!(report.metrics.iter().any(|metric| metric.name == "api_calls" && metric.value > 0.0), "the push went on");
}

#[test]
fn no_entry_of_the_audit_log_is_overwritten_even_when_versions_repeat() {
    let hub = Hub::new();
    let audit = || hub.items(Table::Audit, "r#contact#");
    hub.receive("e1", &contact("c-1", &json!({ "email": "maya@example.se" })));
    let first = audit();
    assert_eq!(first.len(), 1);
    hub.receive("e1", &contact("c-1", &json!({ "email": "maya@example.se" })));
    assert_eq!(audit(), first, "a repeated delivery adds no entry");

    hub.empty(&[Table::Golden, Table::Links, Table::Journal]);
    hub.receive("e1", &contact("c-1", &json!({ "email": "maya@example.se" })));
    let both = audit();
    assert_eq!(both.len(), 2, "the same version of the same record, by the same event");
    assert!(both.contains(&first[0]));
}

#[test]
fn an_audit_entry_is_written_only_where_no_entry_is() {
    let hub = Hub::new();
    hub.receive("e1", &contact("c-1", &json!({ "email": "maya@example.se" })));
    let partition = hub.items(Table::Audit, "r#contact#")[0].key.pk.clone();
    let subject = sync::record::audit::AuditSubject {
        object: ObjectType::Contact,
        record: partition.rsplit('#').next().unwrap(),
        version: 1,
        writer: "transform",
    };
    let put = sync::record::audit::build_audit_put(&hub.twin, &hub.vault, subject, &json!({})).unwrap();
    let Write::Put { item, condition, .. } = &put else { panic!("{put:?}") };
    assert_eq!(*condition, Condition::Absent);
    let key = Key::new(partition, item.key.sk.clone());
    let before = Write::Put { table: Table::Audit, item: Item::new(key).with("at", Attr::N(1)), condition: Condition::Always };
    finish(hub.twin.write(vec![before], None)).unwrap();
    assert!(finish(hub.twin.write(vec![put], None)).is_err());
}
