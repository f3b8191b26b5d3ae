//! Envelopes: how one is made, and how its body is read.
//!
//! Only two things become an envelope: a request that [`webhook::verify()`] has accepted, and a record that `reconcile` has read.
//! [`IngestMessage`] has no other constructors, and what else the outbox sends to the ingest queues holds nothing of a request:
//! people's decisions, and how many requests were refused. So the compiler proves that an unverified request changes no record
//! (invariant I9).
//!
//! A body that would make its message too large is stored in the bucket, and the envelope names its key (claim check).

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use canonical::{BodyRef, ConnectionName, Envelope, EnvelopeKind, Fetched, Trace};
use webhook::VerifiedRequest;

use crate::config::Limits;
use crate::failure::{Code, Failure, Stage};
use crate::ports::{Blob, Clock, DEAD_LETTER_BYTES, MESSAGE_BYTES, PortError, is_sendable};

/// The largest serialised envelope. The envelope must still fit into a message when it is parked with its reason.
const ENVELOPE_BYTES: usize = MESSAGE_BYTES - DEAD_LETTER_BYTES;

/// An envelope that is serialised and ready for an ingest queue.
pub struct IngestMessage {
    id: String,
    connection: ConnectionName,
    trace: Trace,
    text: String,
}

impl IngestMessage {
    /// The envelope of a verified request, with those of its headers that the provider's manifest names.
    ///
    /// # Errors
    /// The bucket did not take the body.
    pub async fn from_webhook<P: Blob + Clock>(
        ports: &P,
        limits: &Limits,
        connection: &str,
        request: &VerifiedRequest<'_>,
        wanted_headers: &[String],
    ) -> Result<IngestMessage, PortError> {
        let header = |name: &String| Some((name.clone(), request.headers().first(name)?.to_owned()));
        let now_ms = ports.now_ms();
        let envelope = Envelope {
            id: new_id(ports, now_ms),
            connection: connection.into(),
            kind: EnvelopeKind::Webhook,
            received_at_ms: now_ms,
            trace: new_trace(ports),
            target: format!("{} {}", request.method(), request.url()),
            headers: wanted_headers.iter().filter_map(header).collect(),
            body: BodyRef::Text(String::new()),
        };
        IngestMessage::with_body(ports, limits, envelope, request.body()).await
    }

    /// The envelope of a record that was read, or of the finding that it does not exist: then `record` is empty.
    ///
    /// # Errors
    /// The bucket did not take the record.
    pub async fn from_read<P: Blob + Clock>(
        ports: &P,
        limits: &Limits,
        fetched: Fetched,
        trace: Option<Trace>,
        record: &[u8],
    ) -> Result<IngestMessage, PortError> {
        let envelope = Envelope {
            id: new_id(ports, fetched.read_at_ms),
            connection: fetched.source.connection.clone(),
            received_at_ms: fetched.read_at_ms,
            kind: EnvelopeKind::Fetched(fetched),
            trace: trace.unwrap_or_else(|| new_trace(ports)),
            target: String::new(),
            headers: BTreeMap::new(),
            body: BodyRef::Text(String::new()),
        };
        IngestMessage::with_body(ports, limits, envelope, record).await
    }

    /// Gives an envelope its body and serialises it. The body goes to the bucket first when it is longer than the configured
    /// limit, or when the serialised envelope would not fit into a message: escapes can double the size of a text.
    async fn with_body<P: Blob>(ports: &P, limits: &Limits, envelope: Envelope, body: &[u8]) -> Result<IngestMessage, PortError> {
        let message = |body: BodyRef| {
            let envelope = Envelope { body, ..envelope.clone() };
            let text = serde_json::to_string(&envelope).map_err(|e| PortError::rejected(e.to_string()))?;
            Ok(IngestMessage { id: envelope.id, connection: envelope.connection, trace: envelope.trace, text })
        };
        if body.len() <= limits.claim_check_bytes {
            let message = message(inline(body))?;
            if message.text.len() <= ENVELOPE_BYTES {
                return Ok(message);
            }
        }
        let key = format!("envelopes/{}/{}", envelope.connection, envelope.id);
        ports.put(&key, body).await?;
        message(BodyRef::Blob(key))
    }

    /// The envelope's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The envelope's trace.
    pub fn trace(&self) -> &str {
        &self.trace
    }

    /// The connection and the serialised envelope.
    pub(crate) fn into_parts(self) -> (ConnectionName, String) {
        (self.connection, self.text)
    }
}

/// Ids sort by the time at which they were made.
fn new_id<P: Clock>(ports: &P, now_ms: i64) -> String {
    format!("{now_ms:013x}{:016x}", ports.random())
}

fn new_trace<P: Clock>(ports: &P) -> Trace {
    format!("{:016x}{:016x}", ports.random(), ports.random())
}

fn inline(body: &[u8]) -> BodyRef {
    match std::str::from_utf8(body) {
        Ok(text) if text.chars().all(is_sendable) => BodyRef::Text(text.to_owned()),
        _ => BodyRef::Base64(STANDARD.encode(body)),
    }
}

/// Reads an envelope from a message of an ingest queue; its body may still be in the bucket.
pub fn parse(message: &str) -> Result<Envelope, Failure> {
    serde_json::from_str(message).map_err(|e| Failure::new(Code::BadMessage, format!("not an envelope: {e}")).at(Stage::Decode))
}

/// Reads the body of an envelope.
pub async fn read_body<P: Blob>(ports: &P, envelope: &Envelope) -> Result<Vec<u8>, Failure> {
    let missing = |reason| Failure::new(Code::BadMessage, reason).at(Stage::Decode);
    match &envelope.body {
        BodyRef::Text(text) => Ok(text.clone().into_bytes()),
        BodyRef::Base64(text) => STANDARD.decode(text).map_err(|_| missing("the envelope's body is not base64")),
        BodyRef::Blob(key) => ports.get_blob(key).await?.ok_or_else(|| missing("the envelope's body is no longer in the bucket")),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

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
            trace: "t".into(),
            target: "POST https://hub.example/hooks/stripe-eu".into(),
            headers: BTreeMap::new(),
            body: BodyRef::Text(String::new()),
        };
        let limits = Limits::default();
        let future = pin!(IngestMessage::with_body(&bucket, &limits, envelope, body));
        let Poll::Ready(message) = future.poll(&mut Context::from_waker(Waker::noop())) else { panic!("the bucket never waits") };
        let text = message.unwrap().text;
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
