//! I2: merging is commutative, associative and idempotent, up to ids and versions. I6: consent is a lattice. For every
//! canonical object.

use std::collections::{BTreeMap, BTreeSet};

use canonical::{
    Change, ChangeKind, FieldKind, FieldName, FieldValue, GoldenId, KeyHash, Money, ObjectType, RemoteId, Stamp, Value, fields_of,
};
use proptest::prelude::*;
use sync::config::{Cleared, FieldPolicy, Hub, Limits, ObjectPolicy, Retry, Survivorship};
use sync::record::{Claim, GoldenRecord, SourceRecord};
use sync::seal::Vault;
use sync::transform::identity::{founded_id, identity_keys, remote_keys};
use sync::transform::merge::merge;
use sync::transform::plan::{Known, Lead, MergeInput};

const NOW_MS: i64 = 2_000_000;

fn vault() -> Vault {
    Vault::with_master("dGhlIGxhd3Mgb2YgbWVyZ2luZyBuZWVkIGEgbWFzdGVyIHNlY3JldA==").unwrap()
}

fn hub(object: ObjectType, key: &str, rules: &BTreeMap<String, Survivorship>) -> Hub {
    let fields = rules
        .iter()
        .map(|(field, rule)| (field.clone(), FieldPolicy { rule: rule.clone(), cleared: Cleared::Keep, why: None }))
        .collect();
    let policy = ObjectPolicy { strong: vec![key.to_owned()], fields, ..ObjectPolicy::default() };
    Hub {
        generation: 1,
        fuses: Default::default(),
        connections: BTreeMap::new(),
        fields: canonical::Catalogue::default(),
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
    keys: BTreeMap<KeyHash, Claim>,
}

impl Tables {
    fn follow(&self, id: &str) -> Option<&GoldenRecord> {
        let mut record = self.golden.get(id)?;
        while let Some(next) = &record.redirect {
            record = self.golden.get(next)?;
        }
        Some(record)
    }

    fn lead(&self, claim: &Claim) -> Option<Lead> {
        let golden = self.follow(&claim.golden)?.id.clone();
        let others = claim.others.iter().filter_map(|id| self.follow(id)).map(|golden| golden.id.clone());
        Some(Lead { claim: claim.clone(), holders: others.chain([golden.clone()]).collect(), golden })
    }

    fn apply(&mut self, hub: &Hub, vault: &Vault, change: &Change) {
        let source = self.sources.get(&change.source).cloned();
        let keys = identity_keys(vault, hub, change, source.as_ref());
        let remote = remote_keys(vault, change);
        let leads: BTreeMap<KeyHash, Lead> =
            keys.keys().filter_map(|hash| Some((hash.clone(), self.lead(self.keys.get(hash)?)?))).collect();
        let own: BTreeSet<GoldenId> =
            source.iter().filter_map(|s| self.follow(&s.golden)).map(|golden| golden.id.clone()).collect();
        let by_remote = remote.iter().filter_map(|hash| leads.get(hash)).map(|lead| lead.golden.clone());
        let own: BTreeSet<GoldenId> = own.into_iter().chain(by_remote).collect();
        let ids: BTreeSet<&GoldenId> = leads.values().map(|lead| &lead.golden).chain(&own).collect();
        let clusters: Vec<GoldenRecord> = ids.into_iter().filter_map(|id| self.follow(id)).cloned().collect();
        let members = clusters.iter().flat_map(|c| &c.members).filter_map(|m| Some((m.clone(), self.sources.get(m)?.clone())));
        let members = members.collect();
        let founded_id = founded_id(vault, change);
        let identified = true;
        let known = Known { source, founded_id, keys, leads, own, members, clusters, identified, ..Known::default() };
        let merged = merge(MergeInput { hub, change, received_ms: NOW_MS, read_ms: None, now_ms: NOW_MS }, &known).unwrap();
        self.keys.extend(merged.claims.changed);
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
        FieldKind::Set(_) => proptest::collection::btree_set("[abc]{1}", 0..3)
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
            id_of_event: false,
        }
    })
}

/// A history of one object type: rules, changes, and another order with repetitions.
fn history() -> impl Strategy<Value = (Hub, Vec<Change>, Vec<Change>)> {
    (0..ObjectType::ALL.len()).prop_flat_map(|index| {
        let object = ObjectType::ALL[index];
        let names: Vec<_> = fields_of(object).map(|f| (f.name, f.kind)).take(4).collect();
        let key = names
            .iter()
            .find(|(_, kind)| !matches!(kind, FieldKind::Bool | FieldKind::Int | FieldKind::Money | FieldKind::Set(_)));
        let key = key.map_or("none", |(name, _)| *name).to_owned();
        let rules: Vec<_> = names
            .iter()
            .map(|(name, kind)| {
                let name = (*name).to_owned();
                let set = matches!(kind, FieldKind::Set(_));
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

/// A report of one source record: who it is, its e-mail address if it has one, and its telephone number if it has one.
type Report = (u8, Option<u8>, Option<u8>);

fn contact((id, email, phone): Report, at: i64) -> Change {
    let value = |value: String| FieldValue { value: Value::Text(value), stamp: None, flagged: false };
    let email = email.map(|n| (FieldName::from("email"), value(format!("person{n}@a.example"))));
    let phone = phone.map(|n| (FieldName::from("phone"), value(format!("+4930123450{n}"))));
    Change {
        object: ObjectType::Contact,
        source: RemoteId { connection: "c".into(), object: "o".into(), id: id.to_string() },
        kind: ChangeKind::Snapshot,
        stamp: Some(Stamp::at(1_000_000 + at)),
        fields: email.into_iter().chain(phone).collect(),
        external_ids: Vec::new(),
        problems: Vec::new(),
        test: false,
        id_of_event: false,
    }
}

/// Reports in which each source record either always has its address or never has one, in two orders.
fn reports() -> impl Strategy<Value = (Vec<Report>, Vec<Report>)> {
    let address = |id: u8| (!id.is_multiple_of(3)).then_some(id % 4);
    let report = (0..9_u8, proptest::option::of(0..3_u8)).prop_map(move |(id, phone)| (id, address(id), phone));
    proptest::collection::vec(report, 1..12).prop_flat_map(|reports| {
        let twice: Vec<Report> = reports.iter().chain(&reports).copied().collect();
        (Just(reports), Just(twice).prop_shuffle())
    })
}

fn contacts_of(reports: &[Report]) -> Tables {
    let mut hub = hub(ObjectType::Contact, "email", &BTreeMap::new());
    hub.objects.entry(ObjectType::Contact).or_default().weak = vec!["phone".into()];
    let (vault, mut tables) = (vault(), Tables::default());
    for (at, report) in (0..).zip(reports) {
        tables.apply(&hub, &vault, &contact(*report, at));
    }
    tables
}

/// The source records of each cluster, without those that have no address.
fn with_addresses(tables: &Tables, reports: &[Report]) -> BTreeSet<BTreeSet<String>> {
    let addressed = |id: &String| reports.iter().any(|(other, email, _)| email.is_some() && other.to_string() == *id);
    let clusters = tables.truth().into_keys().map(|members| members.into_iter().map(|m| m.id).filter(addressed).collect());
    clusters.filter(|members: &BTreeSet<String>| !members.is_empty()).collect()
}

/// True when some number leads, directly or by others, to people with different addresses.
fn shares_a_number(reports: &[Report]) -> bool {
    let mut addresses: BTreeMap<String, BTreeSet<u8>> = BTreeMap::new();
    for _ in reports {
        for (id, email, phone) in reports {
            let (source, number) = (format!("source {id}"), phone.map(|n| format!("number {n}")));
            let of_number = number.as_ref().and_then(|number| addresses.get(number)).cloned().unwrap_or_default();
            let known = addresses.entry(source).or_default();
            known.extend(of_number.into_iter().chain(*email));
            let known = known.clone();
            if let Some(number) = number {
                addresses.entry(number).or_default().extend(known);
            }
        }
    }
    addresses.values().any(|addresses| addresses.len() > 1)
}

#[test]
fn a_value_that_its_mapping_has_flagged_joins_nobody() {
    let mut hub = hub(ObjectType::Contact, "email", &BTreeMap::new());
    hub.objects.entry(ObjectType::Contact).or_default().weak = vec!["phone".into()];
    for (flagged, people) in [(false, 1), (true, 2)] {
        let (vault, mut tables) = (vault(), Tables::default());
        for id in [1, 2] {
            let mut change = contact((id, None, Some(1)), 1);
            change.fields.values_mut().for_each(|field| field.flagged = flagged);
            tables.apply(&hub, &vault, &change);
        }
        assert_eq!(tables.truth().len(), people, "flagged: {flagged}");
    }
}

#[test]
fn more_people_may_have_one_value_if_the_policy_allows_it() {
    let mut hub = hub(ObjectType::Contact, "email", &BTreeMap::new());
    for (people_per_value, people) in [(1, 3), (2, 2)] {
        let policy = hub.objects.entry(ObjectType::Contact).or_default();
        (policy.weak, policy.people_per_value) = (vec!["phone".into()], people_per_value);
        let (vault, mut tables) = (vault(), Tables::default());
        for report in [(1, Some(1), Some(1)), (2, Some(2), Some(1)), (3, None, Some(1))] {
            tables.apply(&hub, &vault, &contact(report, 1));
        }
        assert_eq!(tables.truth().len(), people, "{people_per_value} people per value");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn a_weak_key_never_joins_records_that_a_strong_one_tells_apart((reports, shuffled) in reports()) {
        for order in [&reports, &shuffled] {
            for members in contacts_of(order).truth().into_keys() {
                let addresses: BTreeSet<u8> = order.iter()
                    .filter(|(id, ..)| members.iter().any(|member| member.id == id.to_string()))
                    .filter_map(|(_, email, _)| *email)
                    .collect();
                prop_assert!(addresses.len() <= 1, "{:?} has the addresses {:?}", members, addresses);
            }
        }
        prop_assert_eq!(with_addresses(&contacts_of(&reports), &reports), with_addresses(&contacts_of(&shuffled), &reports));
    }

    #[test]
    fn without_a_shared_number_the_order_does_not_matter((reports, shuffled) in reports()) {
        prop_assume!(!shares_a_number(&reports));
        let members = |tables: Tables| tables.truth().into_keys().collect::<BTreeSet<_>>();
        prop_assert_eq!(members(contacts_of(&reports)), members(contacts_of(&shuffled)));
    }

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

    /// The parts of a key may come in separate changes, and some of them out of order.
    #[test]
    fn the_parts_of_a_key_come_in_any_order(
        (reports, shuffled) in proptest::collection::vec((0..3_u8, 0..3_u8, proptest::option::of(0..2_u8), proptest::option::of(0..2_u8)), 1..8)
            .prop_flat_map(|reports| { let all = reports.clone(); (Just(reports), Just(all).prop_shuffle()) })
    ) {
        let hub = hub(ObjectType::Contact, "job_title+language", &BTreeMap::new());
        let vault = vault();
        let truth = |reports: &[(u8, u8, Option<u8>, Option<u8>)]| {
            let mut tables = Tables::default();
            for (id, at, title, language) in reports {
                let value = |n: u8| FieldValue { value: Value::Text(n.to_string()), stamp: None, flagged: false };
                let title = title.map(|n| (FieldName::from("job_title"), value(n)));
                let language = language.map(|n| (FieldName::from("language"), value(n)));
                let change = Change {
                    kind: ChangeKind::Partial,
                    fields: title.into_iter().chain(language).collect(),
                    ..contact((*id, None, None), i64::from(*at))
                };
                tables.apply(&hub, &vault, &change);
            }
            tables.truth()
        };
        prop_assert_eq!(truth(&reports), truth(&shuffled));
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
