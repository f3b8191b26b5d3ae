//! The identity keys of a change: they join source records into one cluster.

use std::collections::BTreeSet;

use canonical::{Change, ChangeKind, GoldenId, KeyHash, RemoteId};

use crate::config::ObjectPolicy;
use crate::record::{SourceRecord, remote_hash};
use crate::seal::Vault;

/// The namespace of [`Change::external_ids`] in which a destination reports the golden record's id.
pub const HUB_NAMESPACE: &str = "hub";

/// The identity keys of a change, hashed: its own remote id, its ids elsewhere, and the key fields of its policy.
pub fn identity_keys(vault: &Vault, policy: &ObjectPolicy, change: &Change, source: Option<&SourceRecord>) -> BTreeSet<KeyHash> {
    let mut keys = BTreeSet::from([remote_hash(vault, &change.source)]);
    if let ChangeKind::MergedInto { id } = &change.kind {
        keys.insert(remote_hash(vault, &RemoteId { id: id.clone(), ..change.source.clone() }));
    }
    for (namespace, id) in change.external_ids.iter().filter(|(namespace, _)| namespace != HUB_NAMESPACE) {
        keys.insert(vault.key_hash(&["external", change.object.name(), namespace, id]));
    }
    let value = |field: &str| -> Option<String> {
        let current = match change.fields.get(field) {
            Some(f) => &f.value,
            None => source?.fields.get(field)?.current()?.value,
        };
        current.as_text().filter(|text| !text.is_empty()).map(str::to_owned)
    };
    for key in &policy.keys {
        let parts: Option<Vec<String>> = key.split('+').map(value).collect();
        let Some(parts) = parts else { continue };
        if parts.iter().any(|part| policy.blocked.iter().any(|pattern| blocks(pattern, part))) {
            continue;
        }
        let mut hashed = vec!["field", change.object.name(), key];
        hashed.extend(parts.iter().map(String::as_str));
        keys.insert(vault.key_hash(&hashed));
    }
    keys
}

/// The id of the golden record that a change founds if it belongs to no cluster.
pub fn founded_id(vault: &Vault, change: &Change) -> GoldenId {
    let source = &change.source;
    vault.hash(&["golden", change.object.name(), &source.connection, &source.object, &source.id]).into()
}

/// True when a value of an identity key is blocked because many share it (`info@*`): it joins no records.
pub fn blocks(pattern: &str, value: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => value.starts_with(prefix),
        None => value == pattern,
    }
}
