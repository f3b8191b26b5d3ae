//! I2: merging is commutative, associative and idempotent, up to ids and versions. I6: consent is a lattice. For every
//! canonical object.

use std::collections::{BTreeMap, BTreeSet};

use canonical::{
    Change, ChangeKind, FieldKind, FieldName, FieldValue, GoldenId, KeyHash, Money, ObjectType, RemoteId, Stamp, Value, fields_of,
};
use proptest::prelude::*;
use sync::config::{Cleared, FieldPolicy, Hub, Limits, ObjectPolicy, Retry, Survivorship};
use sync::record::{GoldenRecord, SourceRecord};
use sync::seal::Vault;
use sync::transform::identity::{founded_id, identity_keys};
use sync::transform::merge::merge;
use sync::transform::plan::{Known, MergeInput};

const NOW_MS: i64 = 2_000_000;

fn vault() -> Vault {
    Vault::with_master("dGhlIGxhd3Mgb2YgbWVyZ2luZyBuZWVkIGEgbWFzdGVyIHNlY3JldA==").unwrap()
}

fn hub(object: ObjectType, key: &str, rules: &BTreeMap<String, Survivorship>) -> Hub {
    let fields = rules
        .iter()
        .map(|(field, rule)| (field.clone(), FieldPolicy { rule: rule.clone(), cleared: Cleared::Keep, why: None }))
        .collect();
    let policy = ObjectPolicy { keys: vec![key.to_owned()], fields, ..ObjectPolicy::default() };
    Hub {
        generation: 1,
        connections: BTreeMap::new(),
        objects: BTreeMap::from([(object, policy)]),
        effects: Vec::new(),
        limits: Limits { members: 100, ..Limits::default() },
        retry: Retry::default(),
        journal_days: 1,
    }
}

/// The hub's tables, as far as merging needs them.
#[derive(Default)]
struct Tables {
    sources: BTreeMap<RemoteId, SourceRecord>,
    golden: BTreeMap<GoldenId, GoldenRecord>,
    keys: BTreeMap<KeyHash, GoldenId>,
}

impl Tables {
    fn follow(&self, id: &str) -> Option<&GoldenRecord> {
        let mut record = self.golden.get(id)?;
        while let Some(next) = &record.redirect {
            record = self.golden.get(next)?;
        }
        Some(record)
    }

    fn apply(&mut self, hub: &Hub, vault: &Vault, change: &Change) {
        let source = self.sources.get(&change.source).cloned();
        let keys = identity_keys(vault, hub.object(change.object), change, source.as_ref());
        let ids: BTreeSet<GoldenId> = keys.iter().filter_map(|k| self.keys.get(k).cloned()).collect();
        let clusters: BTreeMap<GoldenId, GoldenRecord> = ids
            .iter()
            .chain(source.iter().map(|s| &s.golden))
            .filter_map(|id| self.follow(id).map(|g| (g.id.clone(), g.clone())))
            .collect();
        let members = clusters.values().flat_map(|c| &c.members).filter_map(|m| Some((m.clone(), self.sources.get(m)?.clone())));
        let claimed = keys.iter().filter(|k| self.keys.contains_key(*k)).cloned().collect();
        let known = Known {
            source,
            founded_id: founded_id(vault, change),
            keys,
            members: members.collect(),
            clusters: clusters.into_values().collect(),
            links: BTreeMap::new(),
            claimed,
        };
        let merged = merge(MergeInput { hub, change, received_ms: NOW_MS, now_ms: NOW_MS }, &known).unwrap();
        for key in merged.new_keys {
            self.keys.insert(key, merged.golden.id.clone());
        }
        if let Some(mut source) = merged.source {
            source.version += 1;
            self.sources.insert(source.source.clone(), source);
        }
        for mut retired in merged.retired {
            retired.version += 1;
            self.golden.insert(retired.id.clone(), retired);
        }
        let golden = GoldenRecord { version: merged.next_version, ..merged.golden };
        self.golden.insert(golden.id.clone(), golden);
    }

    /// Clusters and their values, without ids and versions.
    fn truth(&self) -> BTreeMap<BTreeSet<RemoteId>, BTreeMap<FieldName, Value>> {
        self.golden.values().filter(|g| g.redirect.is_none()).map(|g| (g.members.clone(), g.values())).collect()
    }
}

fn value_of(kind: FieldKind) -> BoxedStrategy<Value> {
    let text = || prop_oneof![Just(Value::Null), "[ab]{1}".prop_map(Value::Text), Just(Value::text(""))].boxed();
    match kind {
        FieldKind::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
        FieldKind::Int => (0_i64..3).prop_map(Value::Int).boxed(),
        FieldKind::Money => (0_i64..3).prop_map(|minor| Value::Money(Money { minor, currency: "EUR".into() })).boxed(),
        FieldKind::Set => proptest::collection::btree_set("[abc]{1}", 0..3)
            .prop_map(|s| Value::List(s.into_iter().map(Value::Text).collect()))
            .boxed(),
        FieldKind::Enum(names) => (0..names.len()).prop_map(move |i| Value::text(names[i])).boxed(),
        _ => text(),
    }
}

fn rule() -> impl Strategy<Value = Survivorship> {
    prop_oneof![
        Just(Survivorship::Latest),
        Just(Survivorship::First),
        Just(Survivorship::Owner("c1".into())),
        Just(Survivorship::Prefer(vec!["c2".into(), "c0".into()])),
        Just(Survivorship::MostRestrictive),
    ]
}

fn change(object: ObjectType, names: Vec<(&'static str, FieldKind)>) -> impl Strategy<Value = Change> {
    let fields: Vec<_> = names
        .into_iter()
        .map(|(name, kind)| proptest::option::of(value_of(kind)).prop_map(move |v| v.map(|v| (name, v))))
        .collect();
    (0..3_u8, 0..3_u8, 0_i64..6, 0..10_u8, fields).prop_map(move |(connection, id, at, kind, fields)| {
        let kind = match kind {
            0 => ChangeKind::Delete { privacy: false },
            1..=4 => ChangeKind::Partial,
            _ => ChangeKind::Snapshot,
        };
        let fields = if matches!(kind, ChangeKind::Delete { .. }) { Vec::new() } else { fields };
        let value = |value| FieldValue { value, stamp: None, flagged: false };
        Change {
            object,
            source: RemoteId { connection: format!("c{connection}").into(), object: "o".into(), id: id.to_string() },
            kind,
            stamp: Some(Stamp::at(1_000_000 + at)),
            fields: fields.into_iter().flatten().map(|(name, v)| (FieldName::from(name), value(v))).collect(),
            external_ids: Vec::new(),
            problems: Vec::new(),
            test: false,
        }
    })
}

/// A history of one object type: rules, changes, and another order with repetitions.
fn history() -> impl Strategy<Value = (Hub, Vec<Change>, Vec<Change>)> {
    (0..ObjectType::ALL.len()).prop_flat_map(|index| {
        let object = ObjectType::ALL[index];
        let names: Vec<_> = fields_of(object).map(|f| (f.name, f.kind)).take(4).collect();
        let key =
            names.iter().find(|(_, kind)| !matches!(kind, FieldKind::Bool | FieldKind::Int | FieldKind::Money | FieldKind::Set));
        let key = key.map_or("none", |(name, _)| *name).to_owned();
        let rules: Vec<_> = names
            .iter()
            .map(|(name, kind)| {
                let name = (*name).to_owned();
                let set = matches!(kind, FieldKind::Set);
                rule().prop_map(move |r| (name.clone(), if set { Survivorship::Union } else { r }))
            })
            .collect();
        // Fewer points per source and field than an observation keeps, so that the law holds without exception.
        let changes = proptest::collection::vec(change(object, names), 1..8);
        (rules, changes).prop_flat_map(move |(rules, changes)| {
            let hub = hub(object, &key, &rules.into_iter().collect());
            let twice: Vec<Change> = changes.iter().chain(changes.iter().take(changes.len() / 2)).cloned().collect();
            (Just(hub), Just(changes), Just(twice).prop_shuffle())
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn order_and_repetition_do_not_matter((hub, changes, shuffled) in history()) {
        let vault = vault();
        let (mut one, mut other) = (Tables::default(), Tables::default());
        for change in &changes {
            one.apply(&hub, &vault, change);
        }
        for change in &shuffled {
            other.apply(&hub, &vault, change);
        }
        prop_assert_eq!(one.truth(), other.truth());
    }

    #[test]
    fn a_second_delivery_changes_nothing((hub, changes, _) in history()) {
        let vault = vault();
        let mut tables = Tables::default();
        for change in &changes {
            tables.apply(&hub, &vault, change);
        }
        let versions = |t: &Tables| t.golden.values().map(|g| (g.id.clone(), g.version)).collect::<Vec<_>>();
        let before = (tables.truth(), versions(&tables));
        for change in &changes {
            tables.apply(&hub, &vault, change);
        }
        prop_assert_eq!(before, (tables.truth(), versions(&tables)));
    }
}
