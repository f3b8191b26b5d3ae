//! What every SQS function shares: each message of a batch succeeds or fails on its own, and the hub counts the attempts.

use canonical::QueueName;

use crate::config::{Config, Hub};
use crate::failure::{Class, Code, Disposition, Failure};
use crate::mutant::{Mutant, mutant};
use crate::outbox::{DeadLetter, send_copy, send_dead_letter};
use crate::ports::{Attr, Clock, Condition, Delivery, Item, Key, Queue, Store, Table, Write, WriteError};

/// What one invocation of a function works with.
pub struct Invocation<'a, P> {
    /// The ports.
    pub ports: &'a P,
    /// The configuration.
    pub config: &'a Config,
    /// When the invocation ends, in milliseconds since the epoch.
    pub deadline_ms: i64,
}

impl<P> Clone for Invocation<'_, P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P> Copy for Invocation<'_, P> {}

/// The result of a batch.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BatchReport {
    /// The ids of the messages that the queue must keep (`batchItemFailures`).
    pub failures: Vec<String>,
    /// The measurements.
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
    /// What is measured; the metric's dimensions.
    pub subject: Subject,
}

/// What a measurement is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// A connection, as the function that measures sees it.
    ConnectionInFunction(String),
    /// A connection, whichever function measures.
    Connection(String),
    /// A scheduled job.
    Job(&'static str),
}

impl Metric {
    /// A count about a connection, as one function sees it.
    pub fn count(name: &'static str, value: f64, connection: &str) -> Metric {
        let subject = Subject::ConnectionInFunction(connection.to_owned());
        Metric { name, unit: "Count", value, subject }
    }

    /// A count about a connection, over all functions. Alarms use these.
    pub fn of_connection(name: &'static str, value: f64, connection: &str) -> Metric {
        Metric { name, unit: "Count", value, subject: Subject::Connection(connection.to_owned()) }
    }

    /// A count about a scheduled job.
    pub fn of_job(name: &'static str, value: f64, job: &'static str) -> Metric {
        Metric { name, unit: "Count", value, subject: Subject::Job(job) }
    }

    /// A duration.
    pub fn milliseconds(name: &'static str, value: f64, connection: &str) -> Metric {
        let subject = Subject::ConnectionInFunction(connection.to_owned());
        Metric { name, unit: "Milliseconds", value, subject }
    }
}

/// The two measurements of a connection's error rate: that a piece of work was handled, and whether it failed.
pub fn measure_handled(failed: bool, connection: &str) -> [Metric; 2] {
    [("handled", 1.0), ("failed", f64::from(u8::from(failed)))]
        .map(|(name, value)| Metric::of_connection(name, value, connection))
}

/// True when a piece of work failed and that counts in the error rate.
pub fn is_error(result: &Result<(), Failure>) -> bool {
    result.as_ref().is_err_and(|failure| failure.class.is_error())
}

/// Writes one item if its condition holds, and returns whether it did. A write that meets another transaction is tried again: that
/// does not mean that its condition fails.
pub async fn write_if<P: Store>(ports: &P, write: Write) -> Result<bool, Failure> {
    for _ in 0..MAX_WRITES {
        match ports.write(vec![write.clone()], None).await {
            Ok(()) => return Ok(true),
            Err(WriteError::Conflict { failed }) if failed.is_empty() => {}
            Err(WriteError::Conflict { .. }) => return Ok(false),
            Err(WriteError::Port(error)) => return Err(error.into()),
        }
    }
    Err(Failure::new(Code::Contention, "other transactions kept using the same item"))
}

/// How often [`write_if`] tries.
const MAX_WRITES: usize = 5;

/// The receive count from which even free retries count as attempts, so that no message loops forever.
const MAX_FREE_RECEIVES: u32 = 500;

/// The receive count from which a message that waits for an operator comes back less often.
const OPERATOR_WAIT_RECEIVES: u32 = 30;

/// How long such a message waits then, in milliseconds: so long that its queue's retention ends before its receive count does.
const OPERATOR_WAIT_MS: u64 = 1_500_000;

/// The receive count from which such a message is replaced by a copy of itself, after about six days: a queue forgets a message
/// after 14 days, whatever it waits for.
const RENEW_RECEIVES: u32 = 400;

/// True when only an operator can remove the cause.
fn waits_for_operator(failure: &Failure) -> bool {
    matches!(failure.code, Code::Paused | Code::FuseBlown | Code::ProviderDenied | Code::ProviderLimit | Code::AbsencesHeld)
        || failure.class == Class::Auth
}

/// Time that a function reserves to report its batch, in milliseconds.
pub const MARGIN_MS: i64 = 2_000;

/// Fails when the invocation's time is nearly over.
pub fn check_deadline<P: Clock>(ports: &P, deadline_ms: i64) -> Result<(), Failure> {
    if ports.now_ms() + MARGIN_MS > deadline_ms {
        return Err(Failure::new(Code::Deadline, "the invocation's time is nearly over"));
    }
    Ok(())
}

/// Finishes one message of a batch. Success leaves it to be deleted; a failure that may pass delays it; any other failure parks it.
/// `on_park` runs after a message is parked. Returns true when the queue must keep the message.
pub async fn finish_delivery<P: Store + Queue + Clock>(
    invocation: Invocation<'_, P>,
    queue: &QueueName,
    delivery: &Delivery,
    result: Result<(), Failure>,
    on_park: impl AsyncFnOnce(&Failure) -> Result<(), Failure>,
) -> bool {
    let Err(failure) = result else {
        return false;
    };
    let keep = match retry_or_park(invocation, queue, delivery, &failure).await {
        Ok(Handled::WillRetry) => Ok(true),
        Ok(Handled::Renewed) => Ok(false),
        Ok(Handled::Parked) => on_park(&failure).await.map(|()| false),
        Err(failure) => Err(failure),
    };
    let keep = keep.unwrap_or_else(|failure| {
        tracing::warn!(code = %failure.code, stage = failure.stage_name(), detail = %failure.chain(), message = %delivery.id, "a message could not be finished: its queue delivers it again");
        true
    });
    keep && !mutant(Mutant::SwallowedPartialFailure)
}

/// What was done with a message that failed.
enum Handled {
    /// Its queue keeps it, and delivers it again later.
    WillRetry,
    /// Its queue has a copy of it, which is as old as a new message.
    Renewed,
    /// It is in the dead-letter queue.
    Parked,
}

async fn retry_or_park<P: Store + Queue + Clock>(
    invocation: Invocation<'_, P>,
    queue: &QueueName,
    delivery: &Delivery,
    failure: &Failure,
) -> Result<Handled, Failure> {
    let Invocation { ports, config, .. } = invocation;
    let disposition = match failure.disposition() {
        // What waits for an operator waits as long as the queue keeps it, and comes back less often.
        Disposition::RetryAfter { .. } if waits_for_operator(failure) && delivery.receive_count > OPERATOR_WAIT_RECEIVES => {
            Disposition::RetryAfter { ms: OPERATOR_WAIT_MS }
        }
        Disposition::RetryAfter { .. } if delivery.receive_count > MAX_FREE_RECEIVES => Disposition::Retry,
        other => other,
    };
    let wait_ms = match disposition {
        // A free retry still backs off, by the queue's own count, up to a minute.
        Disposition::RetryAfter { ms } if failure.class == Class::Conflict => {
            Some((ms << delivery.receive_count.min(7).saturating_sub(1)).min(60_000))
        }
        Disposition::RetryAfter { ms } => Some(ms),
        Disposition::Retry => next_wait(ports, config.hub(), delivery).await?,
        Disposition::Park => None,
    };
    match wait_ms {
        Some(_) if waits_for_operator(failure) && delivery.receive_count >= RENEW_RECEIVES => {
            send_copy(ports, queue, delivery).await?;
            Ok(Handled::Renewed)
        }
        Some(ms) => {
            tracing::info!(code = %failure.code, class = failure.class.name(), stage = failure.stage_name(), detail = %failure.chain(), wait_ms = ms, "will try again");
            ports.delay(queue, &delivery.receipt, seconds(config.hub(), ms)).await?;
            Ok(Handled::WillRetry)
        }
        None => {
            park(ports, queue, delivery, failure, disposition == Disposition::Retry).await?;
            Ok(Handled::Parked)
        }
    }
}

/// The longest wait of a message in its queue, in seconds: SQS hides a message for at most 12 hours from its receive, and an
/// invocation may have taken up to 15 minutes of them. `hub check` refuses a schedule with longer waits; a longer wait that a
/// provider requests is cut, and requested again.
pub const LONGEST_WAIT_S: u32 = 43_200 - 900;

/// Seconds of delay for a wait, at least one, at the hub's speed.
fn seconds(hub: &Hub, ms: u64) -> u32 {
    let scaled = ms / u64::from(hub.retry.speed.max(1));
    u32::try_from(scaled.div_ceil(1000)).unwrap_or(LONGEST_WAIT_S).clamp(1, LONGEST_WAIT_S)
}

/// Counts an attempt and gives the wait before the next one; `None` when the schedule is used up.
async fn next_wait<P: Store + Clock>(ports: &P, hub: &Hub, delivery: &Delivery) -> Result<Option<u64>, Failure> {
    let key = Key::new(format!("t#{}", delivery.id), "attempts");
    let made = ports.get(Table::Control, &key).await?.and_then(|item| item.n("attempts")).unwrap_or(0);
    let Some(wait_s) = usize::try_from(made).ok().and_then(|n| hub.retry.schedule_s.get(n)) else { return Ok(None) };
    let expires = ports.now_ms() / 1000 + 15 * 86_400;
    let item = Item::new(key).with("attempts", Attr::N(made + 1)).with("ttl", Attr::N(expires));
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
    let detail = if exhausted { format!("{}: {}", failure.code, failure.chain()) } else { failure.chain() };
    let class = if exhausted { Class::Permanent } else { failure.class };
    tracing::error!(code = %code, class = class.name(), stage = failure.stage_name(), detail = %detail, message = %delivery.id, "parked");
    // A single event that was redriven stays a single event.
    let event = delivery.attributes.get("event").and_then(|index| index.parse().ok());
    let letter = DeadLetter { origin: queue, body: &delivery.body, code, detail: &detail, event };
    send_dead_letter(ports, letter).await
}
