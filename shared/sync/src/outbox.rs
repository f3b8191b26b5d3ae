//! The outbox: the one place that serialises the hub's own messages and sends them.
//!
//! Envelopes, decisions and counts of refused webhooks go to the ingest queues, read requests to the fetch queue, requests of new tokens
//! to the refresh queue, dispatches to the queues of the destinations, and what cannot succeed to a dead-letter queue. A function that
//! returns `Ok` has stored every message durably.

use std::collections::BTreeMap;

use canonical::{Dispatch, FetchRequest, Lane, QueueName, ReadRequest, RefreshRequest, RemoteId};
use serde::Serialize;

use crate::config::Config;
use crate::decision::Decision;
use crate::envelope::IngestMessage;
use crate::failure::{Code, Failure, Stage};
use crate::ports::{Delivery, Outgoing, PortError, Queue, is_sendable};
use crate::refused_webhooks::RefusedWebhooks;

/// Sends envelopes to the ingest queue of a lane. Fair-queue groups keep one connection's burst from delaying the others.
pub async fn send_envelopes<P: Queue>(ports: &P, lane: Lane, envelopes: Vec<IngestMessage>) -> Result<(), PortError> {
    let message = |envelope: IngestMessage| {
        let (connection, body) = envelope.into_parts();
        Outgoing { group: Some(connection.into()), ..Outgoing::new(body) }
    };
    send(ports, &QueueName::ingest(lane), envelopes.into_iter().map(message).collect()).await
}

/// Sends a person's decision about who is who to `transform`.
pub async fn send_decision<P: Queue>(ports: &P, decision: &Decision) -> Result<(), Failure> {
    send(ports, &QueueName::ingest(Lane::Urgent), vec![Outgoing::new(serialize(decision)?)]).await.map_err(at_send)
}

/// Sends the counts of a connection's refused webhooks to `transform`.
pub async fn send_refused_webhooks<P: Queue>(ports: &P, refused: &RefusedWebhooks) -> Result<(), Failure> {
    let message = Outgoing { group: Some(refused.connection.to_string()), ..Outgoing::new(serialize(refused)?) };
    send(ports, &QueueName::ingest(Lane::Bulk), vec![message]).await.map_err(at_send)
}

/// Requests `reconcile` to read.
pub async fn send_read_requests<P: Queue>(ports: &P, requests: &[ReadRequest]) -> Result<(), Failure> {
    let message = |request: &ReadRequest| {
        Ok(Outgoing { group: Some(request.connection().to_string()), ..Outgoing::new(serialize(request)?) })
    };
    let messages = requests.iter().map(message).collect::<Result<_, Failure>>()?;
    send(ports, &QueueName::fetch(), messages).await.map_err(at_send)
}

/// Requests `reconcile` to read after a delay.
pub async fn send_read_request_after<P: Queue>(ports: &P, request: &ReadRequest, delay_s: u32) -> Result<(), Failure> {
    let group = Some(request.connection().to_string());
    let message = Outgoing { group, delay_s, ..Outgoing::new(serialize(request)?) };
    send(ports, &QueueName::fetch(), vec![message]).await.map_err(at_send)
}

/// An object that a call did not find, and that is to be read again before that counts.
#[derive(Debug, Clone, Copy)]
pub struct SecondLook<'a> {
    /// The object.
    pub source: &'a RemoteId,
    /// When the call that did not find it began, by our clock.
    pub since_ms: i64,
    /// How long the provider's answers may lag behind, as its manifest declares.
    pub lag_ms: u64,
}

/// Requests `reconcile` to read an object once more, after the provider's lag.
pub async fn request_second_look<P: Queue>(ports: &P, config: &Config, look: SecondLook<'_>) -> Result<(), Failure> {
    let request = FetchRequest {
        source: look.source.clone(),
        cause: None,
        not_before: None,
        absent_since_ms: Some(look.since_ms),
        trace: String::new(),
    };
    let wait_ms = look.lag_ms / u64::from(config.hub().retry.speed.max(1));
    let delay_s = u32::try_from(wait_ms.div_ceil(1000)).unwrap_or(MAX_DELAY_S).clamp(1, MAX_DELAY_S);
    send_read_request_after(ports, &ReadRequest::Fetch(request), delay_s).await
}

/// The longest delay of a message, in seconds.
const MAX_DELAY_S: u32 = 900;

/// Requests `rotate` to get a new access token.
pub async fn send_refresh_request<P: Queue>(ports: &P, request: &RefreshRequest) -> Result<(), Failure> {
    send(ports, &QueueName::refresh(), vec![Outgoing::new(serialize(request)?)]).await.map_err(at_send)
}

/// Dispatches golden records to a destination.
pub async fn send_dispatches<'d, P: Queue>(
    ports: &P,
    destination: &str,
    dispatches: impl IntoIterator<Item = &'d Dispatch>,
) -> Result<(), Failure> {
    let message = |dispatch: &Dispatch| Ok(Outgoing::new(serialize(dispatch)?));
    let messages = dispatches.into_iter().map(message).collect::<Result<_, Failure>>()?;
    send(ports, &QueueName::upsert(destination), messages).await.map_err(at_send)
}

/// Dispatches a golden record to a destination that may handle it only after a delay.
pub async fn send_dispatch_after<P: Queue>(
    ports: &P,
    destination: &str,
    dispatch: &Dispatch,
    delay_s: u32,
) -> Result<(), Failure> {
    let message = Outgoing { delay_s, ..Outgoing::new(serialize(dispatch)?) };
    send(ports, &QueueName::upsert(destination), vec![message]).await.map_err(at_send)
}

/// Sends a copy of a message to its own queue.
pub async fn send_copy<P: Queue>(ports: &P, queue: &QueueName, delivery: &Delivery) -> Result<(), Failure> {
    let attributes = delivery.attributes.clone();
    let message = Outgoing { attributes, delay_s: MAX_DELAY_S, ..Outgoing::new(delivery.body.clone()) };
    send(ports, queue, vec![message]).await.map_err(at_send)
}

/// A message that is parked: it goes to the dead-letter queue of the queue that it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter<'a> {
    /// The queue that it came from; a redrive sends it back there.
    pub origin: &'a QueueName,
    /// The message's body.
    pub body: &'a str,
    /// Why it is parked.
    pub code: Code,
    /// The reason in words.
    pub detail: &'a str,
    /// The one event of an envelope that is parked; `None` for the whole message.
    pub event: Option<u32>,
}

/// The longest detail of a dead letter.
const DETAIL_CHARACTERS: usize = 500;

/// Sends a dead letter.
pub async fn send_dead_letter<P: Queue>(ports: &P, letter: DeadLetter<'_>) -> Result<(), Failure> {
    let message = Outgoing { attributes: letter.attributes(), ..Outgoing::new(letter.body) };
    send(ports, &letter.origin.dead_letter(), vec![message]).await.map_err(at_send)
}

impl DeadLetter<'_> {
    fn attributes(&self) -> BTreeMap<String, String> {
        let named =
            [("origin", self.origin.to_string()), ("code", self.code.name().to_owned()), ("detail", bounded(self.detail))];
        let event = self.event.map(|index| ("event", index.to_string()));
        named.into_iter().chain(event).map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

/// A detail short enough for an attribute, without characters that SQS refuses.
pub fn bounded(detail: &str) -> String {
    let clean: String = detail.chars().filter(|c| !c.is_control() && is_sendable(*c)).take(DETAIL_CHARACTERS).collect();
    if clean.is_empty() { "-".to_owned() } else { clean }
}

/// A message or an item's attribute as JSON.
pub fn serialize<T: Serialize>(message: &T) -> Result<String, Failure> {
    serde_json::to_string(message).map_err(|e| Failure::new(Code::Bug, format!("a message cannot be serialised: {e}")))
}

fn at_send(error: PortError) -> Failure {
    Failure::from(error).at(Stage::Send)
}

async fn send<P: Queue>(ports: &P, queue: &QueueName, messages: Vec<Outgoing>) -> Result<(), PortError> {
    let wanted = messages.len();
    if wanted == 0 {
        return Ok(());
    }
    let results = ports.send(queue, messages).await;
    if results.len() != wanted {
        return Err(PortError::unavailable("the queue did not answer for every message"));
    }
    results.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::DEAD_LETTER_BYTES;

    #[test]
    fn the_reasons_of_a_dead_letter_fit_into_what_is_reserved_for_them() {
        let code = Code::ALL.iter().copied().max_by_key(|code| code.name().len()).unwrap();
        let origin = &QueueName::from("q".repeat(80));
        let detail = &"\u{1f642}".repeat(2_000);
        let attributes = DeadLetter { origin, body: "", code, detail, event: Some(u32::MAX) }.attributes();
        assert_eq!(attributes["detail"].chars().count(), DETAIL_CHARACTERS);
        let bytes = Outgoing { attributes, ..Outgoing::new("") }.bytes();
        assert!(bytes <= DEAD_LETTER_BYTES, "{bytes}");
    }

    #[test]
    fn a_detail_holds_only_what_sqs_accepts() {
        assert_eq!(bounded("a\u{1}b\u{fffe}c\n"), "abc");
        assert_eq!(bounded("\u{1}"), "-");
    }
}
