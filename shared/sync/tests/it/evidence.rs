//! What ends a link and what takes that back, whose word a value is, and what a stamp from the future is worth.

use std::collections::BTreeMap;

use canonical::{Change, ChangeKind, FieldName, FieldValue, Fields, ObjectType, RemoteId, Stamp, Value};
use sync::config::{Hub, Limits, ObjectPolicy, Retry};
use sync::record::link::{Echo, Found, PushedField, Reported};
use sync::record::{Link, SourceRecord};
use sync::seal::Vault;
use sync::transform::identity::{founded_id, identity_keys};
use sync::transform::merge::merge;
use sync::transform::plan::{Known, MergeInput};

const NOW_MS: i64 = 2_000_000;

fn source() -> SourceRecord {
    let source = RemoteId { connection: "hubspot".into(), object: "contacts".into(), id: "1".into() };
    SourceRecord::new(source, ObjectType::Contact, "g1".into())
}

#[test]
fn one_read_that_finds_nothing_proves_nothing() {
    let mut source = source();
    assert!(source.note_absent(NOW_MS, false));
    assert!(!source.is_deleted());
    assert!(source.note_absent(NOW_MS, true));
    assert!(source.is_deleted());
}

#[test]
fn proof_of_life_takes_an_absence_back_whatever_came_first() {
    for order in [[0, 1, 2], [0, 2, 1]] {
        let mut source = source();
        for step in order {
            match step {
                0 => _ = source.note_absent(NOW_MS, false),
                1 => _ = source.note_absent(NOW_MS, true),
                _ => source.note_found(NOW_MS + 1),
            }
        }
        assert!(!source.is_deleted(), "{order:?}");
        // It may be gone later all the same.
        source.note_absent(NOW_MS + 100, false);
        assert!(!source.is_deleted(), "{order:?}");
        source.note_absent(NOW_MS + 100, true);
        assert!(source.is_deleted(), "{order:?}");
    }
}

#[test]
fn a_read_takes_a_reported_deletion_back_only_after_the_lag() {
    let mut source = source();
    source.deleted = Some(Stamp::at(NOW_MS));
    source.note_found(NOW_MS + 1_000);
    assert!(source.is_deleted(), "the read may come from a copy that lags behind");
    source.note_found(NOW_MS + 120_000);
    assert!(!source.is_deleted());
}

fn looked_at_after_a_lost_answer(sent: &str, there: &str) -> Link {
    let (field, value) = (FieldName::from("first_name"), Value::text(sent));
    let mut link = Link::default();
    link.take_lease(NOW_MS + 60_000, None, true);
    link.mark_unverified();
    let found = |values: Fields| Found { id: "1".into(), marked: true, stamp: Stamp::at(NOW_MS + 1_000), values };
    link.adopt(found(Fields::default()));
    link.finish_look_up();
    link.intend_push([PushedField { name: &field, value: Some(&value), properties: &[] }], NOW_MS);
    link.push_outcome_unknown();
    link.adopt(found(Fields::from_iter([(field, Value::text(there))])));
    link.finish_look_up();
    link
}

fn judge(link: &Link, value: &str) -> Echo {
    let (field, value) = (&FieldName::from("first_name"), &Value::text(value));
    let stamp = Stamp::at(NOW_MS + 300_000);
    let reported = Reported { field, value, stamp, own_stamp: true, of_duplicate: false, tolerance_ms: 2_000 };
    link.judge(&reported, |_| false)
}

#[test]
fn a_correction_is_no_echo_once_the_lost_answer_is_known() {
    let link = looked_at_after_a_lost_answer("Johnathan", "Johnathan");
    assert_eq!(judge(&link, "John"), Echo::Foreign);
    let cut = looked_at_after_a_lost_answer("Johnathan", "Johna");
    assert_eq!(judge(&cut, "John"), Echo::Foreign);
}

#[test]
fn an_object_that_carries_the_records_id_was_written_by_the_hub() {
    let link = looked_at_after_a_lost_answer("Ada", "Ada");
    assert!(link.is_about("2", true) && link.stands_for_another("2"));
    assert!(!link.is_about("2", false));
}

#[test]
fn when_a_change_is_worked_on_does_not_matter_to_its_stamp() {
    let vault = Vault::with_master("dGhlIGxhd3Mgb2YgbWVyZ2luZyBuZWVkIGEgbWFzdGVyIHNlY3JldA==").unwrap();
    let hub = Hub {
        generation: 1,
        connections: BTreeMap::new(),
        objects: BTreeMap::from([(ObjectType::Contact, ObjectPolicy::default())]),
        effects: Vec::new(),
        fields: Default::default(),
        fuses: Default::default(),
        limits: Limits::default(),
        retry: Retry::default(),
        journal_days: 1,
    };
    let ahead = Stamp::at(NOW_MS + hub.limits.future_ms + 1);
    let field = FieldValue { value: Value::text("Ada"), stamp: None, flagged: false };
    let change = Change {
        object: ObjectType::Contact,
        source: source().source,
        kind: ChangeKind::Partial,
        stamp: Some(ahead),
        fields: BTreeMap::from([(FieldName::from("first_name"), field)]),
        external_ids: Vec::new(),
        problems: Vec::new(),
        test: false,
        id_of_event: false,
    };
    let keys = identity_keys(&vault, &hub, &change, None);
    let known = Known { keys, founded_id: founded_id(&vault, &change), ..Known::default() };
    for now_ms in [NOW_MS, NOW_MS + 900_000] {
        let input = MergeInput { hub: &hub, change: &change, received_ms: NOW_MS, read_ms: None, now_ms };
        let merged = merge(input, &known).unwrap();
        assert_eq!(merged.golden.fields["first_name"].stamp, Stamp::at(NOW_MS), "worked on at {now_ms}");
    }
}
