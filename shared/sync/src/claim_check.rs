//! The claim check: a body that would make its message too large is stored in the bucket, and the envelope names its key.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use canonical::{BodyRef, Envelope};

use crate::batch::DEAD_LETTER_BYTES;
use crate::config::Limits;
use crate::ports::{Blob, MESSAGE_BYTES, PortError, is_sendable};

/// The largest serialised envelope. The envelope must still fit into a message when it is parked with its reason.
const ENVELOPE_BYTES: usize = MESSAGE_BYTES - DEAD_LETTER_BYTES;

/// Gives an envelope its body and serialises it. The body goes to the bucket first when it is longer than the configured limit,
/// or when the serialised envelope would not fit into a message: escapes can double the size of a text.
///
/// # Errors
/// The bucket did not take the body.
pub async fn serialize_with_body<P: Blob>(
    ports: &P,
    limits: &Limits,
    envelope: Envelope,
    body: &[u8],
) -> Result<String, PortError> {
    let (connection, id) = (envelope.connection.clone(), envelope.id.clone());
    let with = |body: BodyRef| {
        let envelope = Envelope { body, ..envelope.clone() };
        serde_json::to_string(&envelope).map_err(|e| PortError::rejected(e.to_string()))
    };
    if body.len() <= limits.claim_check_bytes {
        let text = with(inline(body))?;
        if text.len() <= ENVELOPE_BYTES {
            return Ok(text);
        }
    }
    let key = format!("envelopes/{connection}/{id}");
    ports.put(&key, body).await?;
    with(BodyRef::Blob(key))
}

fn inline(body: &[u8]) -> BodyRef {
    match std::str::from_utf8(body) {
        Ok(text) if text.chars().all(is_sendable) => BodyRef::Text(text.to_owned()),
        _ => BodyRef::Base64(STANDARD.encode(body)),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeMap;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use canonical::EnvelopeKind;

    use super::*;

    #[derive(Default)]
    struct Bucket(RefCell<BTreeMap<String, Vec<u8>>>);

    impl Blob for Bucket {
        async fn put(&self, key: &str, bytes: &[u8]) -> Result<(), PortError> {
            self.0.borrow_mut().insert(key.to_owned(), bytes.to_vec());
            Ok(())
        }

        async fn get_blob(&self, key: &str) -> Result<Option<Vec<u8>>, PortError> {
            Ok(self.0.borrow().get(key).cloned())
        }
    }

    /// The message's size, its body, and how many bytes the bucket holds.
    fn serialized(body: &[u8]) -> (usize, BodyRef, usize) {
        let bucket = Bucket::default();
        let envelope = Envelope {
            id: "e1".into(),
            connection: "stripe-eu".into(),
            kind: EnvelopeKind::Webhook,
            received_at_ms: 1,
            instance: "i".into(),
            sequence: 0,
            trace: "t".into(),
            target: "POST https://hub.example/hooks/stripe-eu".into(),
            headers: BTreeMap::new(),
            body: BodyRef::Text(String::new()),
        };
        let limits = Limits::default();
        let future = pin!(serialize_with_body(&bucket, &limits, envelope, body));
        let Poll::Ready(text) = future.poll(&mut Context::from_waker(Waker::noop())) else { panic!("the bucket never waits") };
        let text = text.unwrap();
        let read: Envelope = serde_json::from_str(&text).unwrap();
        let stored = bucket.0.borrow().get("envelopes/stripe-eu/e1").map_or(0, Vec::len);
        (text.len(), read.body, stored)
    }

    #[test]
    fn a_body_travels_in_its_message_up_to_the_limit() {
        let limit = Limits::default().claim_check_bytes;
        let (bytes, body, stored) = serialized(&vec![b'x'; limit]);
        assert_eq!((body, stored), (BodyRef::Text("x".repeat(limit)), 0));
        assert!(bytes <= ENVELOPE_BYTES, "{bytes}");
        let (bytes, body, stored) = serialized(&vec![0xff; limit]);
        assert_eq!((body, stored), (BodyRef::Base64(STANDARD.encode(vec![0xff; limit])), 0), "base64 adds a third");
        assert!(bytes <= ENVELOPE_BYTES, "{bytes}");
        let (bytes, body, stored) = serialized(&vec![b'x'; limit + 1]);
        assert_eq!((body, stored), (BodyRef::Blob("envelopes/stripe-eu/e1".into()), limit + 1));
        assert!(bytes < 1_000, "{bytes}");
    }

    #[test]
    fn a_body_that_grows_when_it_is_escaped_goes_to_the_bucket() {
        let quotes = vec![b'"'; 600_000];
        let (bytes, body, stored) = serialized(&quotes);
        assert_eq!((body, stored), (BodyRef::Blob("envelopes/stripe-eu/e1".into()), quotes.len()));
        assert!(bytes < 1_000, "{bytes}");
        assert_eq!(serialized(&quotes[..500_000]).2, 0, "1,000,000 bytes when escaped");
    }

    #[test]
    fn bytes_that_sqs_refuses_travel_as_base64() {
        for body in [&b"a\x01"[..], b"\xff", "\u{fffe}".as_bytes()] {
            assert_eq!(serialized(body).1, BodyRef::Base64(STANDARD.encode(body)));
        }
        assert_eq!(serialized("né\t\"東京\"\u{7f}".as_bytes()).1, BodyRef::Text("né\t\"東京\"\u{7f}".into()));
    }
}
