//! The identity keys of a change: what ties its source record to others.

use std::borrow::Cow;
use std::collections::BTreeSet;

use canonical::{Change, ChangeKind, FieldKind, FieldName, GoldenId, KeyHash, RemoteId, Value, further_values};

use super::shared_values::is_shared;
use crate::config::{Hub, ObjectPolicy};
use crate::record::observation::Observation;
use crate::record::{IdentityKey, IdentityKeys, REMOTE_KEY, SourceRecord, add_keys, remote_hash};
use crate::seal::Vault;

/// The namespace of [`Change::external_ids`] in which a destination reports the golden record's id.
pub const HUB_NAMESPACE: &str = "hub";

/// The identity keys of a change: its own remote id, its ids elsewhere, and the key fields of its policy.
pub fn identity_keys(vault: &Vault, hub: &Hub, change: &Change, source: Option<&SourceRecord>) -> IdentityKeys {
    let mut keys = IdentityKeys::new();
    for hash in remote_keys(vault, change) {
        keys.insert(hash, IdentityKey { name: REMOTE_KEY.to_owned(), joins: true });
    }
    for (namespace, id) in change.external_ids.iter().filter(|(namespace, _)| namespace != HUB_NAMESPACE) {
        let hash = vault.key_hash(&["external", change.object.name(), namespace, id]);
        keys.insert(hash, IdentityKey { name: namespace.clone(), joins: true });
    }
    for key in hub.object(change.object).keys() {
        let parts: Option<Vec<Vec<Part>>> = key.split('+').map(|field| parts(hub, key, change, source, field)).collect();
        for combination in combinations(&parts.unwrap_or_default()) {
            let mut hashed = vec!["field", change.object.name(), key];
            hashed.extend(combination.iter().map(|part| part.text.as_str()));
            let joins = combination.iter().all(|part| part.joins);
            add_keys(&mut keys, IdentityKeys::from([(vault.key_hash(&hashed), IdentityKey { name: key.clone(), joins })]));
        }
    }
    keys
}

/// The keys that say which record the changed object itself is: its own remote id, and that of the object it was merged into.
pub fn remote_keys(vault: &Vault, change: &Change) -> BTreeSet<KeyHash> {
    let mut keys = BTreeSet::from([remote_hash(vault, &change.source)]);
    if let ChangeKind::MergedInto { id } = &change.kind {
        keys.insert(remote_hash(vault, &RemoteId { id: id.clone(), ..change.source.clone() }));
    }
    keys
}

/// A value of one field of a key.
#[derive(Debug, Clone)]
struct Part {
    text: String,
    /// False if the value joins nobody: it is shared, or its mapping has flagged it.
    joins: bool,
}

/// The values of one field of a key; `None` if it has none. A field that is a key of its own has the value of the change, or else the
/// current one. A field that is a part of a key has every value that the source record ever had: the parts may come in separate
/// changes, and the keys that they make must not depend on the order of these. Further values of a field that is a key of its own
/// count as the first one does.
fn parts(hub: &Hub, key: &str, change: &Change, source: Option<&SourceRecord>, field: &str) -> Option<Vec<Part>> {
    let (policy, kind) = (hub.object(change.object), hub.fields.find(change.object, field).map(|field| field.kind));
    let part = |value: &Value, flagged: bool| {
        let text = value.as_text().filter(|text| !text.is_empty())?;
        let key = key_text(kind, text);
        let joins = !flagged && ![text, &*key].iter().any(|text| is_shared(policy, kind, text));
        Some(Part { text: key.into_owned(), joins })
    };
    let observed: Option<&Observation> = source.and_then(|source| source.fields.get(field));
    let reported = change.fields.get(field);
    let mut parts: Vec<Part> = reported.and_then(|field| part(&field.value, field.flagged)).into_iter().collect();
    if key != field {
        parts.extend(observed.into_iter().flat_map(Observation::points).filter_map(|point| part(&point.value, point.flagged)));
    } else if reported.is_none() {
        parts.extend(observed.and_then(Observation::current).and_then(|current| part(current.value, current.flagged)));
    }
    if key == field
        && let Some(further) = further_values(change.object, field)
    {
        let reported = change.fields.get(further).map(|field| &field.value);
        let value = reported.or_else(|| Some(source?.fields.get(further)?.current()?.value));
        let list = match value {
            Some(Value::List(list)) => list.as_slice(),
            _ => &[],
        };
        parts.extend(list.iter().filter_map(|value| part(value, false)));
    }
    (!parts.is_empty()).then_some(parts)
}

/// A value as a key is made of it. An Argentine mobile number is dialled with a `9` from abroad and without it in the country: both are
/// one subscriber, and no landline has an area code that begins with 9.
pub fn key_text(kind: Option<FieldKind>, text: &str) -> Cow<'_, str> {
    let subscriber = |rest: &&str| rest.len() == 10 && rest.bytes().all(|byte| byte.is_ascii_digit());
    match text.strip_prefix("+549").filter(subscriber).filter(|_| kind == Some(FieldKind::Phone)) {
        Some(subscriber) => Cow::Owned(format!("+54{subscriber}")),
        None => Cow::Borrowed(text),
    }
}

/// Every way to take one value of each field.
fn combinations(fields: &[Vec<Part>]) -> Vec<Vec<&Part>> {
    let Some((first, rest)) = fields.split_first() else { return Vec::new() };
    let mut all: Vec<Vec<&Part>> = first.iter().map(|part| vec![part]).collect();
    for field in rest {
        all = all.iter().flat_map(|begun| field.iter().map(move |part| begun.iter().copied().chain([part]).collect())).collect();
    }
    all
}

/// The identity keys of the values that a source record has now.
pub fn current_keys(vault: &Vault, hub: &Hub, source: &SourceRecord) -> IdentityKeys {
    let nothing_new = Change {
        object: source.object,
        source: source.source.clone(),
        kind: ChangeKind::Partial,
        stamp: None,
        fields: std::collections::BTreeMap::<FieldName, _>::new(),
        external_ids: Vec::new(),
        problems: Vec::new(),
        test: source.test,
        id_of_event: false,
    };
    identity_keys(vault, hub, &nothing_new, Some(source))
}

/// True when something identifies the object of a change: a value of an identity key, an id elsewhere, or an id of its own. An
/// object type without identity keys has nothing but its ids.
pub fn is_identified(policy: &ObjectPolicy, change: &Change, keys: &IdentityKeys) -> bool {
    // The remote id is always among the keys.
    policy.keys().next().is_none() || !change.id_of_event || keys.len() > 1 || !change.external_ids.is_empty()
}

/// The id of the golden record that a change founds if it belongs to no cluster.
pub fn founded_id(vault: &Vault, change: &Change) -> GoldenId {
    let source = &change.source;
    vault.hash(&["golden", change.object.name(), &source.connection, &source.object, &source.id]).into()
}

#[cfg(test)]
mod tests {
    use canonical::{Catalogue, FieldValue, ObjectType, OwnField, ValueKind};

    use super::*;

    fn hub(strong: &[&str]) -> Hub {
        let text = serde_json::json!({
            "generation": 1, "connections": {}, "objects": { "contact": { "destinations": {}, "strong": strong } },
        });
        serde_json::from_value(text).unwrap()
    }

    fn change(fields: &[(&str, Value)]) -> Change {
        let field = |(name, value): &(&str, Value)| {
            (FieldName::from(*name), FieldValue { value: value.clone(), stamp: None, flagged: false })
        };
        Change {
            object: ObjectType::Contact,
            source: RemoteId { connection: "crm".into(), object: "contacts".into(), id: "1".into() },
            kind: ChangeKind::Snapshot,
            stamp: None,
            fields: fields.iter().map(field).collect(),
            external_ids: Vec::new(),
            problems: Vec::new(),
            test: false,
            id_of_event: false,
        }
    }

    /// The keys without the object's own id: hash, and whether it joins.
    fn keys(hub: &Hub, fields: &[(&str, Value)]) -> Vec<(KeyHash, bool)> {
        let vault = Vault::with_master("aWRlbnRpdHkga2V5cyBuZWVkIGEgbWFzdGVyIG9mIDMyIGJ5dGVz").unwrap();
        let all = identity_keys(&vault, hub, &change(fields), None);
        all.into_iter().filter(|(_, key)| key.name != REMOTE_KEY).map(|(hash, key)| (hash, key.joins)).collect()
    }

    fn list(values: &[&str]) -> Value {
        Value::List(values.iter().map(|value| Value::text(*value)).collect())
    }

    #[test]
    fn each_further_address_finds_the_person() {
        let hub = hub(&["email"]);
        let both = [("email", Value::text("ada@example.org")), ("emails", list(&["ada@home.example", "info@example.org"]))];
        let person = keys(&hub, &both);
        assert_eq!(person.len(), 3);
        for (address, joins) in [("ada@example.org", true), ("ada@home.example", true), ("info@example.org", false)] {
            let [(hash, _)] = keys(&hub, &[("email", Value::text(address))]).try_into().unwrap();
            assert!(person.contains(&(hash, joins)), "{address}");
        }
        assert_eq!(keys(&hub, &[("emails", list(&["ada@home.example"]))]).len(), 1, "also without a first one");
    }

    #[test]
    fn an_argentine_mobile_number_is_one_key_with_and_without_the_9() {
        let hub = hub(&["phone"]);
        let key = |number: &str| keys(&hub, &[("phone", Value::text(number))]);
        assert_eq!(key("+5493514123456"), key("+543514123456"));
        assert_ne!(key("+5493514123456"), key("+543514123457"));
        assert_ne!(key("+4993514123456"), key("+493514123456"), "other countries have their own plans");
        assert_eq!(key_text(Some(FieldKind::Text), "+5493514123456"), "+5493514123456", "no telephone number");
    }

    #[test]
    fn a_shared_value_of_an_own_field_joins_nobody() {
        let own = |name: &str, kind: ValueKind| OwnField {
            object: ObjectType::Contact,
            name: name.to_owned(),
            kind,
            label: "ours".to_owned(),
            personal: true,
            members: Vec::new(),
            refers_to: None,
        };
        let mut hub = hub(&["work_email", "blog"]);
        hub.fields = Catalogue::with(&[own("work_email", ValueKind::Email), own("blog", ValueKind::Domain)]);
        let joins = |field: &str, value: &str| keys(&hub, &[(field, Value::text(value))])[0].1;
        assert!(joins("work_email", "ada@acme.example") && joins("blog", "ada-lovelace.example"));
        assert!(!joins("work_email", "info@acme.example") && !joins("blog", "facebook.com"));
    }
}
