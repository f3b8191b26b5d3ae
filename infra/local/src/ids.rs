//! The account, the time and random identifiers.

use ring::rand::{SecureRandom, SystemRandom};

/// The account of every ARN.
pub(crate) const ACCOUNT: &str = "000000000000";

/// Random bytes. The operating system's generator does not fail on the platforms that this runs on; if it did, they would be zeros.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut buffer = [0; N];
    let _ = SystemRandom::new().fill(&mut buffer);
    buffer
}

/// A random (version 4) UUID.
pub(crate) fn uuid() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// `length` characters out of `alphabet`.
pub(crate) fn random_text(alphabet: &[u8], length: usize) -> String {
    let largest = 256 - 256 % alphabet.len();
    let mut text = String::with_capacity(length);
    while text.len() < length {
        for byte in bytes::<64>() {
            if usize::from(byte) < largest && text.len() < length {
                text.push(char::from(alphabet[usize::from(byte) % alphabet.len()]));
            }
        }
    }
    text
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
