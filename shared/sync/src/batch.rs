//! What every SQS function shares: each message ends on its own, failed ones are reported, attempts are ours.

use std::collections::BTreeMap;

use canonical::QueueName;

use crate::config::Hub;
use crate::failure::{Class, Code, Disposition, Failure};
use crate::mutant::{Mutant, mutant};
use crate::ports::{Attr, Clock, Condition, Delivery, Item, Key, Outgoing, Queue, Store, Table, Write, WriteError, is_sendable};

/// What a batch came to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BatchReport {
    /// The ids of the messages that the queue must keep (`batchItemFailures`).
    pub failures: Vec<String>,
    /// What is to be measured: name, unit, value, and dimension (`connection` or `destination`, its name).
    pub metrics: Vec<Metric>,
}

/// One measurement.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// CloudWatch metric name.
    pub name: &'static str,
    /// CloudWatch unit.
    pub unit: &'static str,
    /// The value.
    pub value: f64,
    /// The connection that it is about.
    pub connection: String,
}

impl Metric {
    /// A count.
    pub fn count(name: &'static str, value: f64, connection: &str) -> Metric {
        Metric { name, unit: "Count", value, connection: connection.to_owned() }
    }

    /// A duration.
    pub fn milliseconds(name: &'static str, value: f64, connection: &str) -> Metric {
        Metric { name, unit: "Milliseconds", value, connection: connection.to_owned() }
    }
}

/// Writes one item if its condition holds, and says whether it did. Being in the way of somebody's transaction is not the same
/// as a condition that does not hold: that is tried again.
pub async fn write_if<P: Store>(ports: &P, write: Write) -> Result<bool, Failure> {
    for _ in 0..WRITE_TRIES {
        match ports.write(vec![write.clone()], None).await {
            Ok(()) => return Ok(true),
            Err(WriteError::Conflict { failed }) if failed.is_empty() => {}
            Err(WriteError::Conflict { .. }) => return Ok(false),
            Err(WriteError::Port(error)) => return Err(error.into()),
        }
    }
    Err(Failure::new(Code::Contention, "an item was in use by other transactions"))
}

/// How often [`write_if`] tries.
const WRITE_TRIES: usize = 5;

/// Receptions after which even a failure that burns no attempt begins to count, so that nothing circles for ever.
const PATIENCE: u32 = 500;

/// Receptions after which a message of a paused connection is looked at less often.
const PERSON: u32 = 30;

/// How often then, in milliseconds: all receptions that the queues allow take longer than they keep a message.
const PERSON_MS: u64 = 1_500_000;

fn waits_for_a_person(failure: &Failure) -> bool {
    failure.code == Code::Paused || failure.class == Class::Auth
}

/// Time that a function keeps back to report its batch, in milliseconds.
pub const MARGIN_MS: i64 = 2_000;

/// Fails when the invocation's time is nearly over.
pub fn check_deadline<P: Clock>(ports: &P, deadline_ms: i64) -> Result<(), Failure> {
    if ports.now_ms() + MARGIN_MS > deadline_ms {
        return Err(Failure::new(Code::Deadline, "the invocation's time is nearly over"));
    }
    Ok(())
}

/// Settles one message: nothing for success, a delay for what is to be tried again, the dead-letter queue for what is not.
/// Returns true when the queue must keep the message. `parked` runs before a message is let go for good.
pub async fn settle<P: Store + Queue + Clock>(
    ports: &P,
    hub: &Hub,
    queue: &QueueName,
    delivery: &Delivery,
    result: Result<(), Failure>,
    parked: impl AsyncFnOnce(&Failure) -> Result<(), Failure>,
) -> bool {
    let Err(failure) = result else {
        return false;
    };
    let keep = match try_settle(ports, hub, queue, delivery, failure, parked).await {
        Ok(keep) => keep,
        Err(failure) => {
            tracing::warn!(code = %failure.code, detail = %failure.detail, message = %delivery.id, "could not settle a message; the queue will bring it back");
            true
        }
    };
    keep && !mutant(Mutant::SwallowedPartialFailure)
}

async fn try_settle<P: Store + Queue + Clock>(
    ports: &P,
    hub: &Hub,
    queue: &QueueName,
    delivery: &Delivery,
    failure: Failure,
    parked: impl AsyncFnOnce(&Failure) -> Result<(), Failure>,
) -> Result<bool, Failure> {
    let disposition = match failure.disposition() {
        // What waits for a person waits as long as the queue keeps it, and asks less and less often.
        Disposition::RetryAfter { .. } if waits_for_a_person(&failure) && delivery.receive_count > PERSON => {
            Disposition::RetryAfter { ms: PERSON_MS }
        }
        Disposition::RetryAfter { .. } if delivery.receive_count > PATIENCE => Disposition::Retry,
        other => other,
    };
    let wait_ms = match disposition {
        Disposition::Ack => return Ok(false),
        // What burns no attempt still backs off, by the queue's own count, up to a minute.
        Disposition::RetryAfter { ms } if failure.class == Class::Conflict => {
            Some((ms << delivery.receive_count.min(7).saturating_sub(1)).min(60_000))
        }
        Disposition::RetryAfter { ms } => Some(ms),
        Disposition::Retry => next_wait(ports, hub, delivery).await?,
        Disposition::Park => None,
    };
    match wait_ms {
        Some(ms) => {
            tracing::info!(code = %failure.code, class = failure.class.name(), detail = %failure.detail, wait_ms = ms, "will try again");
            ports.delay(queue, &delivery.receipt, seconds(hub, ms)).await?;
            Ok(true)
        }
        None => {
            let exhausted = disposition == Disposition::Retry;
            park(ports, queue, delivery, &failure, exhausted).await?;
            parked(&failure).await?;
            Ok(false)
        }
    }
}

/// Seconds of delay for a wait, at least one, at the hub's speed.
pub fn seconds(hub: &Hub, ms: u64) -> u32 {
    let scaled = ms / u64::from(hub.retry.speed.max(1));
    u32::try_from(scaled.div_ceil(1000)).unwrap_or(43_200).clamp(1, 43_200)
}

/// Counts an attempt and gives the wait before the next one; `None` when the schedule is used up.
async fn next_wait<P: Store + Clock>(ports: &P, hub: &Hub, delivery: &Delivery) -> Result<Option<u64>, Failure> {
    let place = Key::new(format!("t#{}", delivery.id), "attempts");
    let made = ports.get(Table::Control, &place).await?.and_then(|item| item.n("attempts")).unwrap_or(0);
    let Some(wait_s) = usize::try_from(made).ok().and_then(|n| hub.retry.schedule_s.get(n)) else { return Ok(None) };
    let expires = ports.now_ms() / 1000 + 15 * 86_400;
    let item = Item::new(place).with("attempts", Attr::N(made + 1)).with("ttl", Attr::N(expires));
    ports.write(vec![Write::Put { table: Table::Control, item, condition: Condition::Always }], None).await?;
    let base = u64::from(*wait_s) * 1000;
    let jitter = base * u64::from(hub.retry.jitter_percent) / 100;
    Ok(Some(base + if jitter == 0 { 0 } else { ports.random() % jitter }))
}

/// Puts a message into its dead-letter queue with the reason and the way back.
async fn park<P: Queue>(
    ports: &P,
    queue: &QueueName,
    delivery: &Delivery,
    failure: &Failure,
    exhausted: bool,
) -> Result<(), Failure> {
    let code = if exhausted { Code::Exhausted } else { failure.code };
    let detail = if exhausted { failure.to_string() } else { failure.detail.clone() };
    let class = if exhausted { Class::Permanent } else { failure.class };
    tracing::error!(code = %code, class = class.name(), detail = %detail, message = %delivery.id, "parked");
    dead_letter(ports, queue, delivery.body.clone(), code, &detail, None).await
}

/// Bytes that the attributes of a dead letter take at most. An envelope leaves them free, so that it can always be parked.
pub const DEAD_LETTER_BYTES: usize = 4_096;
/// The longest detail of a dead letter.
const DETAIL_CHARACTERS: usize = 500;

/// Sends a body to a queue's dead-letter queue. `event` names the one event of an envelope that it is about.
pub async fn dead_letter<P: Queue>(
    ports: &P,
    queue: &QueueName,
    body: String,
    code: Code,
    detail: &str,
    event: Option<u32>,
) -> Result<(), Failure> {
    let message = Outgoing { attributes: reasons(queue, code, detail, event), ..Outgoing::new(body) };
    let mut sent = ports.send(&queue.dead_letter(), vec![message]).await;
    sent.pop().unwrap_or_else(|| Err(crate::ports::PortError::rejected("the queue gave no answer")))?;
    Ok(())
}

/// The attributes of a dead letter: where it comes from, and why it was parked.
fn reasons(queue: &QueueName, code: Code, detail: &str, event: Option<u32>) -> BTreeMap<String, String> {
    let named = [("origin", queue.to_string()), ("code", code.name().to_owned()), ("detail", bounded(detail))];
    let event = event.map(|index| ("event", index.to_string()));
    named.into_iter().chain(event).map(|(name, value)| (name.to_owned(), value)).collect()
}

/// A detail short enough for an attribute, without characters that SQS refuses.
pub fn bounded(detail: &str) -> String {
    let clean: String = detail.chars().filter(|c| !c.is_control() && is_sendable(*c)).take(DETAIL_CHARACTERS).collect();
    if clean.is_empty() { "-".to_owned() } else { clean }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reasons_of_a_dead_letter_fit_into_what_is_reserved_for_them() {
        let longest = Code::ALL.iter().copied().max_by_key(|code| code.name().len()).unwrap();
        let queue = QueueName::from("q".repeat(80));
        let attributes = reasons(&queue, longest, &"\u{1f642}".repeat(2_000), Some(u32::MAX));
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
