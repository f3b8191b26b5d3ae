//! Personal data at rest: one sealed attribute per item, encrypted under a data key that the item names (`key_id`).
//!
//! A data key is 32 random bytes. It is encrypted under the hub's master secret and stored in the table `keys`, which has no
//! point-in-time recovery: to delete a key's item is to erase everything that is sealed under that key. Identity keys are hashed
//! with the master secret, so that no e-mail address and no telephone number is stored in the clear.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::{hkdf, hmac};
use serde::Serialize;
use serde::de::DeserializeOwned;

use canonical::KeyHash;

use crate::failure::{Code, Failure};
use crate::ports::{Attr, Clock, Condition, Item, Key, Secrets, Store, Table, Write, WriteError};

/// The logical name of the master secret: 32 bytes or more, base64.
pub const MASTER_SECRET: &str = "master";

const CACHED_KEYS: usize = 4_096;

/// Encrypts, decrypts and hashes; holds the master secret and recently used data keys.
pub struct Vault {
    wrapping: LessSafeKey,
    hashing: hmac::Key,
    keys: Mutex<Keys>,
}

fn corrupt(what: &str) -> Failure {
    Failure::new(Code::CorruptItem, format!("{what} cannot be decrypted or read"))
}

fn derive(master: &[u8], purpose: &'static [u8]) -> Result<[u8; 32], Failure> {
    let mut bytes = [0; 32];
    hkdf::Salt::new(hkdf::HKDF_SHA256, b"crm-hub")
        .extract(master)
        .expand(&[purpose], hkdf::HKDF_SHA256)
        .and_then(|okm| okm.fill(&mut bytes))
        .map_err(|_| Failure::new(Code::Bug, "key derivation failed"))?;
    Ok(bytes)
}

fn cipher(bytes: &[u8]) -> Result<LessSafeKey, Failure> {
    UnboundKey::new(&AES_256_GCM, bytes).map(LessSafeKey::new).map_err(|_| corrupt("a data key"))
}

/// Cached data keys. When the cache is full, the older half is dropped, so that a key that was just loaded is there when it is used.
#[derive(Default)]
struct Keys {
    young: BTreeMap<String, LessSafeKey>,
    old: BTreeMap<String, LessSafeKey>,
}

impl Keys {
    fn get(&self, key_id: &str) -> Option<&LessSafeKey> {
        self.young.get(key_id).or_else(|| self.old.get(key_id))
    }
}

impl Vault {
    /// Opens the vault with the master secret.
    pub async fn open<P: Secrets>(ports: &P) -> Result<Vault, Failure> {
        let set = ports.secret(MASTER_SECRET, false).await?;
        let text = set.current.ok_or_else(|| Failure::new(Code::Bug, "the secret `master` has no value"))?;
        Vault::with_master(text.trim())
    }

    /// A vault with this master secret (base64, at least 32 bytes once decoded).
    pub fn with_master(text: &str) -> Result<Vault, Failure> {
        let bad = || Failure::new(Code::Bug, "the secret `master` must be base64 of at least 32 bytes");
        let master = STANDARD.decode(text).map_err(|_| bad())?;
        if master.len() < 32 {
            return Err(bad());
        }
        Ok(Vault {
            wrapping: cipher(&derive(&master, b"wrap data keys")?)?,
            hashing: hmac::Key::new(hmac::HMAC_SHA256, &derive(&master, b"hash identity keys")?),
            keys: Mutex::new(Keys::default()),
        })
    }

    fn keys(&self) -> MutexGuard<'_, Keys> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// [`Vault::hash`] as the hash of an identity key.
    pub fn key_hash(&self, parts: &[&str]) -> KeyHash {
        self.hash(parts).into()
    }

    /// The keyed hash of a value in parts: 32 hex digits.
    pub fn hash(&self, parts: &[&str]) -> String {
        let mut context = hmac::Context::with_key(&self.hashing);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        hex::encode(&context.sign().as_ref()[..16])
    }

    /// Loads the data key of this id, and creates it if there is none.
    pub async fn ensure_key<P: Store + Clock>(&self, ports: &P, key_id: &str) -> Result<(), Failure> {
        self.load_key(ports, key_id, true).await
    }

    async fn load_key<P: Store + Clock>(&self, ports: &P, key_id: &str, create: bool) -> Result<(), Failure> {
        if self.keys().get(key_id).is_some() {
            return Ok(());
        }
        let key = Key::new(format!("key#{key_id}"), "key");
        loop {
            if let Some(item) = ports.get(Table::Keys, &key).await? {
                let wrapped = item.b("wrapped").ok_or_else(|| corrupt("a data key"))?;
                let plain = open(&self.wrapping, key_id, wrapped).ok_or_else(|| corrupt("a data key"))?;
                self.remember(key_id, cipher(&plain)?);
                return Ok(());
            }
            if !create {
                return Err(Failure::new(
                    Code::CorruptItem,
                    "the data key of an item does not exist any more: the record was erased",
                ));
            }
            let mut plain = [0; 32];
            ports.fill_secret(&mut plain);
            let wrapped = seal(ports, &self.wrapping, key_id, plain.to_vec())?;
            let item = Item::new(key.clone()).with("wrapped", Attr::B(wrapped));
            let put = Write::Put { table: Table::Keys, item, condition: Condition::Absent };
            match ports.write(vec![put], None).await {
                // Read it even after success: the key of the worker that was first is the one that is used.
                Ok(()) | Err(WriteError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn remember(&self, key_id: &str, key: LessSafeKey) {
        let mut keys = self.keys();
        if keys.young.len() >= CACHED_KEYS / 2 {
            keys.old = std::mem::take(&mut keys.young);
        }
        keys.young.insert(key_id.to_owned(), key);
    }

    /// Adds a sealed value and the id of its key to an item. [`Vault::ensure_key`] must have been called for the key.
    pub fn seal_into<P: Clock, T: Serialize>(&self, ports: &P, item: &mut Item, key_id: &str, value: &T) -> Result<(), Failure> {
        let plain = serde_json::to_vec(value).map_err(|e| Failure::new(Code::Bug, e.to_string()))?;
        let keys = self.keys();
        let key = keys.get(key_id).ok_or_else(|| Failure::new(Code::Bug, "a data key was not loaded"))?;
        let context = format!("{}|{}", item.key.pk, item.key.sk);
        let sealed = seal(ports, key, &context, plain)?;
        item.attrs.insert("sealed".into(), Attr::B(sealed));
        item.attrs.insert("key_id".into(), Attr::S(key_id.to_owned()));
        Ok(())
    }

    /// Reads the sealed value of an item, loading its key.
    pub async fn unseal<P: Store + Clock, T: DeserializeOwned>(&self, ports: &P, item: &Item) -> Result<T, Failure> {
        let key_id = item.s("key_id").ok_or_else(|| corrupt("an item"))?;
        self.load_key(ports, key_id, false).await?;
        let keys = self.keys();
        let key = keys.get(key_id).ok_or_else(|| corrupt("an item"))?;
        let context = format!("{}|{}", item.key.pk, item.key.sk);
        let plain = open(key, &context, item.b("sealed").unwrap_or_default()).ok_or_else(|| corrupt("an item"))?;
        serde_json::from_slice(&plain).map_err(|_| corrupt("an item"))
    }
}

fn seal<P: Clock>(ports: &P, key: &LessSafeKey, context: &str, mut plain: Vec<u8>) -> Result<Vec<u8>, Failure> {
    let mut nonce = [0; NONCE_LEN];
    ports.fill_secret(&mut nonce);
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(context.as_bytes()), &mut plain)
        .map_err(|_| Failure::new(Code::Bug, "encryption failed"))?;
    let mut sealed = nonce.to_vec();
    sealed.append(&mut plain);
    Ok(sealed)
}

fn open(key: &LessSafeKey, context: &str, sealed: &[u8]) -> Option<Vec<u8>> {
    let (nonce, cipher) = sealed.split_at_checked(NONCE_LEN)?;
    let mut buffer = cipher.to_vec();
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let plain = key.open_in_place(nonce, Aad::from(context.as_bytes()), &mut buffer).ok()?;
    Some(plain.to_vec())
}
