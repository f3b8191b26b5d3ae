//! The identity keys of a change: what ties its source record to others.

use std::collections::BTreeSet;

use canonical::{Change, ChangeKind, FieldName, GoldenId, KeyHash, RemoteId, Value};

use super::shared_values::is_shared;
use crate::config::ObjectPolicy;
use crate::record::observation::Observation;
use crate::record::{IdentityKey, IdentityKeys, REMOTE_KEY, SourceRecord, add_keys, remote_hash};
use crate::seal::Vault;

/// The namespace of [`Change::external_ids`] in which a destination reports the golden record's id.
pub const HUB_NAMESPACE: &str = "hub";

/// The identity keys of a change: its own remote id, its ids elsewhere, and the key fields of its policy.
pub fn identity_keys(vault: &Vault, policy: &ObjectPolicy, change: &Change, source: Option<&SourceRecord>) -> IdentityKeys {
    let mut keys = IdentityKeys::new();
    for hash in remote_keys(vault, change) {
        keys.insert(hash, IdentityKey { name: REMOTE_KEY.to_owned(), joins: true });
    }
    for (namespace, id) in change.external_ids.iter().filter(|(namespace, _)| namespace != HUB_NAMESPACE) {
        let hash = vault.key_hash(&["external", change.object.name(), namespace, id]);
        keys.insert(hash, IdentityKey { name: namespace.clone(), joins: true });
    }
    for key in policy.keys() {
        let parts: Option<Vec<Vec<Part>>> = key.split('+').map(|field| parts(policy, key, change, source, field)).collect();
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
/// changes, and the keys that they make must not depend on the order of these.
fn parts(policy: &ObjectPolicy, key: &str, change: &Change, source: Option<&SourceRecord>, field: &str) -> Option<Vec<Part>> {
    let part = |value: &Value, flagged: bool| {
        let text = value.as_text().filter(|text| !text.is_empty())?.to_owned();
        let joins = !flagged && !is_shared(policy, change.object, field, &text);
        Some(Part { text, joins })
    };
    let observed: Option<&Observation> = source.and_then(|source| source.fields.get(field));
    let reported = change.fields.get(field);
    let mut parts: Vec<Part> = reported.and_then(|field| part(&field.value, field.flagged)).into_iter().collect();
    if key != field {
        parts.extend(observed.into_iter().flat_map(Observation::points).filter_map(|point| part(&point.value, point.flagged)));
    } else if reported.is_none() {
        parts.extend(observed.and_then(Observation::current).and_then(|current| part(current.value, current.flagged)));
    }
    (!parts.is_empty()).then_some(parts)
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
pub fn current_keys(vault: &Vault, policy: &ObjectPolicy, source: &SourceRecord) -> IdentityKeys {
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
    identity_keys(vault, policy, &nothing_new, Some(source))
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
