//! The digests that clients of SQS check.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::queue::MessageAttribute;

/// MD5 of a body, hexadecimal.
pub(super) fn md5_hex(bytes: &[u8]) -> String {
    format!("{:x}", md5::compute(bytes))
}

/// MD5 over message attributes: names sorted; of each name, type and value the length (big endian) and the bytes, and
/// before the value 1 for text and 2 for binary.
pub(super) fn md5_of_attributes(attributes: &BTreeMap<String, MessageAttribute>) -> String {
    let mut buffer = Vec::new();
    let mut field = |bytes: &[u8], tag: Option<u8>| {
        buffer.extend(tag);
        buffer.extend((u32::try_from(bytes.len()).unwrap_or(u32::MAX)).to_be_bytes());
        buffer.extend(bytes);
    };
    for (name, attribute) in attributes {
        field(name.as_bytes(), None);
        field(attribute.data_type.as_bytes(), None);
        match (&attribute.string_value, &attribute.binary_value) {
            (Some(text), _) => field(text.as_bytes(), Some(1)),
            (None, Some(binary)) => field(&STANDARD.decode(binary).unwrap_or_default(), Some(2)),
            (None, None) => {}
        }
    }
    md5_hex(&buffer)
}
