//! What outlives the source record that carried it: a refusal of consent, and everything of a record beyond the limit.

use std::collections::BTreeMap;

use canonical::{Change, ChangeKind, FieldName, FieldValue, ObjectType, RemoteId, Stamp, Value};
use sync::config::{Cleared, FieldPolicy, Hub, Limits, ObjectPolicy, Retry, Survivorship};
use sync::seal::Vault;
use sync::transform::identity::{founded_id, identity_keys};
use sync::transform::merge::merge;
use sync::transform::plan::{Known, MergeInput};

const NOW_MS: i64 = 2_000_000;

/// A cluster of two source records with one address: what the first one says, and whether it is deleted then.
fn joined(first: &[(&str, &str)], deleted: bool) -> sync::record::GoldenRecord {
    let vault = Vault::with_master("dGhlIGxhd3Mgb2YgbWVyZ2luZyBuZWVkIGEgbWFzdGVyIHNlY3JldA==").unwrap();
    let consent = FieldPolicy { rule: Survivorship::MostRestrictive, cleared: Cleared::Keep, why: None };
    let policy = ObjectPolicy {
        strong: vec!["email".to_owned()],
        fields: BTreeMap::from([("email_consent".to_owned(), consent)]),
        ..ObjectPolicy::default()
    };
    let hub = Hub {
        generation: 1,
        connections: BTreeMap::new(),
        objects: BTreeMap::from([(ObjectType::Contact, policy)]),
        effects: Vec::new(),
        fields: Default::default(),
        fuses: Default::default(),
        limits: Limits { members: 1, ..Limits::default() },
        retry: Retry::default(),
        journal_days: 1,
    };
    let field = |value: &str| FieldValue { value: Value::text(value), stamp: None, flagged: false };
    let change = |connection: &str, kind: ChangeKind, at: i64, fields: &[(&str, &str)]| Change {
        object: ObjectType::Contact,
        source: RemoteId { connection: connection.into(), object: "o".into(), id: "1".into() },
        kind,
        stamp: Some(Stamp::at(NOW_MS + at)),
        fields: fields.iter().map(|(name, value)| (FieldName::from(*name), field(value))).collect(),
        external_ids: Vec::new(),
        problems: Vec::new(),
        test: false,
        id_of_event: false,
    };
    let address = ("email", "ada@example.com");
    let first: Vec<(&str, &str)> = first.iter().copied().chain([address]).collect();
    let mut changes = vec![change("c1", ChangeKind::Partial, 0, &first), change("c2", ChangeKind::Partial, 1, &[address])];
    changes.extend(deleted.then(|| change("c1", ChangeKind::Delete { privacy: false }, 2, &[])));
    let mut known = Known::default();
    let mut golden = None;
    for change in &changes {
        known.source = known.members.get(&change.source).cloned();
        known.keys = identity_keys(&vault, &hub, change, known.source.as_ref());
        known.founded_id = founded_id(&vault, change);
        known.own = known.clusters.iter().map(|cluster| cluster.id.clone()).collect();
        let input = MergeInput { hub: &hub, change, received_ms: NOW_MS, read_ms: None, now_ms: NOW_MS };
        let merged = merge(input, &known).unwrap();
        let source = merged.source.unwrap();
        known.members.insert(source.source.clone(), source);
        known.clusters = vec![merged.golden.clone()];
        golden = Some(merged.golden);
    }
    golden.unwrap()
}

#[test]
fn of_a_deleted_record_only_the_refusal_counts() {
    let reported = [("first_name", "Ada"), ("email_consent", "withdrawn")];
    let golden = joined(&reported, true);
    assert_eq!(golden.fields["email_consent"].value, Value::text("withdrawn"));
    assert!(!golden.fields.contains_key("first_name"));
    assert!(!golden.deleted);
}

#[test]
fn a_record_beyond_the_limit_still_counts() {
    let reported = [("first_name", "Ada"), ("email_consent", "withdrawn")];
    let golden = joined(&reported, false);
    assert_eq!(golden.members.len(), 1, "the older one is summarised");
    assert_eq!(golden.fields["first_name"].value, Value::text("Ada"));
    assert_eq!(golden.fields["first_name"].source.connection, "c1");
    assert_eq!(golden.fields["email_consent"].value, Value::text("withdrawn"));
}
