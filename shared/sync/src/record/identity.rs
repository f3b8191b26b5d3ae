//! Identity keys in the store: which golden record a key, or a remote id, leads to.

use canonical::{KeyHash, ObjectType, RemoteId};

use crate::ports::Key;
use crate::seal::Vault;

/// The key of the item that leads from an identity key, or from a remote id, to its golden record.
pub fn identity_key(object: ObjectType, hash: &str) -> Key {
    Key::new(format!("k#{object}#{hash}"), "key")
}

/// A remote object's id as an identity key of its own.
pub fn remote_hash(vault: &Vault, source: &RemoteId) -> KeyHash {
    vault.key_hash(&["remote", &source.connection, &source.object, &source.id])
}
