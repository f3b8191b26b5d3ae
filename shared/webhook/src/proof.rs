//! Cryptographic checks, all by `ring`, all in constant time.

use ring::{digest, hmac, signature};
use subtle::ConstantTimeEq;

use crate::encoding;
use crate::scheme::{Algorithm, KeyForm};

/// DER of a SubjectPublicKeyInfo for an uncompressed point on P-256, up to the point (RFC 5480).
pub(crate) const P256_SPKI: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03,
    0x01, 0x07, 0x03, 0x42, 0x00,
];

/// A secret read in the form that an algorithm needs.
pub(crate) enum Key {
    Mac(hmac::Key),
    Hash,
    Public(signature::UnparsedPublicKey<Vec<u8>>),
}

impl Key {
    /// `None` if the secret does not have the declared form, or is empty.
    pub(crate) fn read(algorithm: Algorithm, form: KeyForm, secret: &str) -> Option<Key> {
        let bytes = match form {
            KeyForm::Text => secret.as_bytes().to_vec(),
            KeyForm::Whsec => encoding::base64(secret.strip_prefix("whsec_").unwrap_or(secret))?,
            KeyForm::Whpk => encoding::base64(secret.strip_prefix("whpk_")?)?,
            // As the provider shows it, or as other tools write it (RFC 7468).
            KeyForm::Spki => encoding::base64(&without_pem(secret))?,
        };
        if bytes.is_empty() {
            return None;
        }
        Some(match algorithm {
            Algorithm::HmacSha1 => Key::Mac(hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &bytes)),
            Algorithm::HmacSha256 => Key::Mac(hmac::Key::new(hmac::HMAC_SHA256, &bytes)),
            Algorithm::Sha256 => Key::Hash,
            Algorithm::EcdsaP256 => {
                let point = bytes.strip_prefix(&P256_SPKI)?.to_vec();
                Key::Public(signature::UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_ASN1, point))
            }
            Algorithm::Ed25519 => Key::Public(signature::UnparsedPublicKey::new(&signature::ED25519, bytes)),
        })
    }

    /// Whether `tag` proves `message`.
    pub(crate) fn proves(&self, message: &[u8], tag: &[u8]) -> bool {
        match self {
            Key::Mac(key) => hmac::verify(key, message, tag).is_ok(),
            Key::Hash => same(digest::digest(&digest::SHA256, message).as_ref(), tag),
            Key::Public(key) => key.verify(message, tag).is_ok(),
        }
    }
}

/// The base64 text of a key, without the header and footer lines of PEM.
fn without_pem(secret: &str) -> String {
    secret.lines().map(str::trim).filter(|line| !line.starts_with("-----")).collect()
}

/// Equality in a time that depends on the lengths only.
pub(crate) fn same(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

/// Lower-case hex SHA-256.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(digest::digest(&digest::SHA256, bytes))
}
