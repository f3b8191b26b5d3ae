//! The queue engine: a state machine without clock, randomness or I/O. Every call is given the time in milliseconds.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::error::SqsError;
use super::queue::{Counts, MAX_ATTRIBUTES, MAX_BYTES, MAX_VISIBILITY, Message, NewMessage, Queue};

/// A change to what is stored, in the order in which it happened. Replaying all of them gives the same queues.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Change {
    Queue { name: String, created: i64, attributes: BTreeMap<String, String> },
    QueueGone { name: String },
    Message { queue: String, sequence: u64, message: Message },
    Received { queue: String, sequence: u64, visible: i64, receives: u32, first: Option<i64>, receipt: u64, visibility_set: bool },
    MessageGone { queue: String, sequence: u64 },
}

/// A received message, with the handle to delete it or to change its visibility.
#[derive(Debug, Clone)]
pub struct Received {
    /// The message as it was stored.
    pub message: Message,
    /// Handle of this receive.
    pub receipt_handle: String,
}

/// All queues of the account.
#[derive(Debug)]
pub struct QueueEngine {
    region: String,
    account: String,
    pub(super) queues: BTreeMap<String, Queue>,
    pub(super) sequence: u64,
    pub(super) changes: Vec<Change>,
}

impl QueueEngine {
    /// An engine without queues.
    #[must_use]
    pub fn new(region: &str, account: &str) -> Self {
        Self { region: region.into(), account: account.into(), queues: BTreeMap::new(), sequence: 0, changes: Vec::new() }
    }

    /// The ARN of a queue, whether or not it exists.
    #[must_use]
    pub fn arn(&self, name: &str) -> String {
        format!("arn:aws:sqs:{}:{}:{name}", self.region, self.account)
    }

    /// The name of the queue that an ARN of this account names, when it exists.
    pub(super) fn by_arn(&self, arn: &str) -> Option<String> {
        let name = arn.rsplit(':').next()?;
        (self.queues.contains_key(name) && self.arn(name) == arn).then(|| name.to_owned())
    }

    /// Names of all queues, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.queues.keys().cloned().collect()
    }

    pub(super) fn queue(&self, name: &str) -> Result<&Queue, SqsError> {
        self.queues.get(name).ok_or(SqsError::QueueDoesNotExist)
    }

    pub(super) fn queue_mut(&mut self, name: &str) -> Result<&mut Queue, SqsError> {
        self.queues.get_mut(name).ok_or(SqsError::QueueDoesNotExist)
    }

    fn next_sequence(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    /// Stores a message under `id`.
    ///
    /// # Errors
    /// An unknown queue, or a message that the queue does not take.
    pub fn send(&mut self, name: &str, id: String, new: NewMessage, now: i64) -> Result<(), SqsError> {
        let queue = self.queue(name)?;
        check_message(queue, &new)?;
        let delay = new.delay.unwrap_or_else(|| queue.number("DelaySeconds"));
        self.put(
            name,
            Message {
                id,
                body: new.body.into(),
                attributes: new.attributes,
                sent: now,
                visible: now + delay * 1000,
                receives: 0,
                first_received: None,
                received: None,
                receipt: 0,
                visibility_set: false,
                group: new.group,
                trace: new.trace,
                source: None,
            },
        )
    }

    fn put(&mut self, name: &str, message: Message) -> Result<(), SqsError> {
        self.queue(name)?;
        let sequence = self.next_sequence();
        self.changes.push(Change::Message { queue: name.to_owned(), sequence, message: message.clone() });
        self.queue_mut(name)?.insert(sequence, message);
        Ok(())
    }

    fn take(&mut self, name: &str, sequence: u64) -> Result<Option<Message>, SqsError> {
        let taken = self.queue_mut(name)?.remove(sequence);
        if taken.is_some() {
            self.changes.push(Change::MessageGone { queue: name.to_owned(), sequence });
        }
        Ok(taken)
    }

    /// Receives up to `max` messages; those beyond their `maxReceiveCount` move to the dead-letter queue instead.
    ///
    /// # Errors
    /// An unknown queue.
    pub fn receive(&mut self, name: &str, max: usize, visibility: Option<i64>, now: i64) -> Result<Vec<Received>, SqsError> {
        self.expire(name, now)?;
        let visibility = visibility.unwrap_or(self.queue(name)?.number("VisibilityTimeout"));
        let redrive = self.queue(name)?.redrive().and_then(|r| self.by_arn(&r.target).map(|target| (target, r.max_receives)));
        let mut received: Vec<Received> = Vec::new();
        // With a visibility of zero, what was just received is receivable still.
        let mut seen = std::collections::BTreeSet::new();
        while received.len() < max {
            let mut found = self.queue(name)?.receivable(now, max + seen.len());
            found.retain(|sequence| !seen.contains(sequence));
            found.truncate(max - received.len());
            if found.is_empty() {
                break;
            }
            for sequence in found {
                seen.insert(sequence);
                match &redrive {
                    Some((target, limit)) if self.queues[name].messages[&sequence].receives >= *limit => {
                        self.dead_letter(name, sequence, target, now)?;
                    }
                    _ => received.push(self.hand_out(name, sequence, now + visibility * 1000, now)?),
                }
            }
        }
        Ok(received)
    }

    fn hand_out(&mut self, name: &str, sequence: u64, visible: i64, now: i64) -> Result<Received, SqsError> {
        let receipt = self.next_sequence();
        let queue = self.queue_mut(name)?;
        let message = queue.show_at(sequence, visible).ok_or(SqsError::ReceiptHandleIsInvalid)?;
        message.receives += 1;
        message.first_received.get_or_insert(now);
        message.received = Some(now);
        message.receipt = receipt;
        message.visibility_set = false;
        let message = message.clone();
        self.record_state(name, sequence, &message);
        let receipt_handle = URL_SAFE_NO_PAD.encode(format!("{name}\n{}\n{receipt}", message.id));
        Ok(Received { message, receipt_handle })
    }

    fn record_state(&mut self, name: &str, sequence: u64, message: &Message) {
        self.changes.push(Change::Received {
            queue: name.to_owned(),
            sequence,
            visible: message.visible,
            receives: message.receives,
            first: message.first_received,
            receipt: message.receipt,
            visibility_set: message.visibility_set,
        });
    }

    fn dead_letter(&mut self, name: &str, sequence: u64, target: &str, now: i64) -> Result<(), SqsError> {
        let Some(mut message) = self.take(name, sequence)? else { return Ok(()) };
        message.visible = now;
        message.receipt = 0;
        message.source = Some(self.arn(name));
        self.put(target, message)
    }

    /// Drops what is older than the queue's retention.
    fn expire(&mut self, name: &str, now: i64) -> Result<(), SqsError> {
        let queue = self.queue_mut(name)?;
        if now - queue.expired_at < 1000 {
            return Ok(());
        }
        queue.expired_at = now;
        let oldest = now - queue.number("MessageRetentionPeriod") * 1000;
        let gone: Vec<u64> = queue.messages.iter().filter(|(_, m)| m.sent <= oldest).map(|(s, _)| *s).collect();
        gone.into_iter().try_for_each(|sequence| self.take(name, sequence).map(|_| ()))
    }

    /// Finds the message of a handle: `None` when it is gone or was received again since.
    fn resolve(&self, name: &str, handle: &str) -> Result<Option<u64>, SqsError> {
        let invalid = || SqsError::ReceiptHandleIsInvalid;
        let text = URL_SAFE_NO_PAD.decode(handle).ok().and_then(|b| String::from_utf8(b).ok()).ok_or_else(invalid)?;
        let mut parts = text.split('\n');
        let (Some(queue), Some(id), Some(receipt)) = (parts.next(), parts.next(), parts.next()) else { return Err(invalid()) };
        if queue != name {
            return Err(invalid());
        }
        let queue = self.queue(name)?;
        let Some(sequence) = queue.by_id.get(id).copied() else { return Ok(None) };
        Ok((queue.messages[&sequence].receipt.to_string() == receipt).then_some(sequence))
    }

    /// Deletes the message of a receive. To delete twice, or with the handle of an earlier receive, is not an error and has no effect.
    ///
    /// # Errors
    /// An unknown queue or a handle that it did not issue.
    pub fn delete(&mut self, name: &str, handle: &str) -> Result<(), SqsError> {
        self.queue(name)?;
        match self.resolve(name, handle)? {
            Some(sequence) => self.take(name, sequence).map(|_| ()),
            None => Ok(()),
        }
    }

    /// Sets when the message of a receive comes back: `seconds` from now.
    ///
    /// # Errors
    /// An unknown queue or handle, a timeout out of range, a message that is gone or visible again.
    pub fn change_visibility(&mut self, name: &str, handle: &str, seconds: i64, now: i64) -> Result<(), SqsError> {
        self.queue(name)?;
        if !(0..=MAX_VISIBILITY).contains(&seconds) {
            return Err(beyond_the_limit(seconds));
        }
        let Some(sequence) = self.resolve(name, handle)? else {
            return Err(SqsError::InvalidParameterValue(
                "Value for parameter ReceiptHandle is invalid. Reason: Message does not exist or is not available for visibility timeout change.".into(),
            ));
        };
        let message = &self.queues[name].messages[&sequence];
        if message.visible <= now {
            return Err(SqsError::MessageNotInflight);
        }
        // The limit counts from the receive.
        let hidden_ms = message.received.map_or(0, |received| now - received);
        if hidden_ms + seconds * 1000 > MAX_VISIBILITY * 1000 {
            return Err(beyond_the_limit(seconds));
        }
        self.set_visible(name, sequence, now + seconds * 1000, true)
    }

    /// Brings a message of a failed invocation back within `cap` milliseconds, unless its consumer said when it wants it.
    ///
    /// # Errors
    /// An unknown queue or handle.
    pub fn shorten(&mut self, name: &str, handle: &str, cap: i64, now: i64) -> Result<(), SqsError> {
        let Some(sequence) = self.resolve(name, handle)? else { return Ok(()) };
        let message = &self.queues[name].messages[&sequence];
        if message.visibility_set || message.visible <= now + cap {
            return Ok(());
        }
        self.set_visible(name, sequence, now + cap, false)
    }

    /// Makes messages that were in flight visible within `cap` milliseconds: after a restart no consumer holds them.
    pub fn shorten_all(&mut self, cap: i64, now: i64) {
        for name in self.names() {
            let held = |m: &Message| m.receipt > 0 && !m.visibility_set && m.visible > now + cap;
            let found: Vec<u64> = self.queues[&name].messages.iter().filter(|(_, m)| held(m)).map(|(s, _)| *s).collect();
            for sequence in found {
                // The queue was just listed, so it exists.
                let _ = self.set_visible(&name, sequence, now + cap, false);
            }
        }
    }

    fn set_visible(&mut self, name: &str, sequence: u64, visible: i64, visibility_set: bool) -> Result<(), SqsError> {
        let Some(message) = self.queue_mut(name)?.show_at(sequence, visible) else { return Ok(()) };
        message.visibility_set = visibility_set;
        let message = message.clone();
        self.record_state(name, sequence, &message);
        Ok(())
    }

    /// Removes all messages.
    ///
    /// # Errors
    /// An unknown queue.
    pub fn purge(&mut self, name: &str) -> Result<(), SqsError> {
        let all: Vec<u64> = self.queue(name)?.messages.keys().copied().collect();
        all.into_iter().try_for_each(|sequence| self.take(name, sequence).map(|_| ()))
    }

    /// How many messages there are, by state.
    ///
    /// # Errors
    /// An unknown queue.
    pub fn counts(&mut self, name: &str, now: i64) -> Result<Counts, SqsError> {
        self.expire(name, now)?;
        Ok(self.queue(name)?.counts(now))
    }

    /// All messages without receiving them, oldest first.
    ///
    /// # Errors
    /// An unknown queue.
    pub fn peek(&self, name: &str) -> Result<Vec<Message>, SqsError> {
        Ok(self.queue(name)?.messages.values().cloned().collect())
    }

    /// When the next message of a queue becomes visible, when there is any.
    #[must_use]
    pub fn next_visible(&self, name: &str) -> Option<i64> {
        self.queues.get(name).and_then(Queue::next_visible)
    }
}

fn check_message(queue: &Queue, new: &NewMessage) -> Result<(), SqsError> {
    let invalid = |text: String| Err(SqsError::InvalidParameterValue(text));
    let carried =
        |c: char| matches!(c, '\u{9}' | '\u{A}' | '\u{D}' | '\u{20}'..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..);
    let limit = usize::try_from(queue.number("MaximumMessageSize")).unwrap_or(MAX_BYTES);
    if new.body.is_empty() {
        return Err(SqsError::MissingParameter("MessageBody"));
    }
    if size(new) > limit {
        return invalid(format!("One or more parameters are invalid. Reason: Message must be shorter than {limit} bytes."));
    }
    if !new.body.chars().all(carried) {
        return Err(SqsError::InvalidMessageContents);
    }
    if let Some((name, _)) = new.attributes.iter().find(|(_, a)| a.string_value.as_ref().is_some_and(String::is_empty)) {
        return invalid(format!("Message (user) attribute '{name}' must contain a non-empty value of type 'String'."));
    }
    if new.attributes.len() > MAX_ATTRIBUTES {
        return invalid(format!(
            "Number of message attributes [{}] exceeds the allowed maximum [{MAX_ATTRIBUTES}].",
            new.attributes.len()
        ));
    }
    if let Some(seconds) = new.delay
        && !(0..=900).contains(&seconds)
    {
        return invalid(format!("Value {seconds} for parameter DelaySeconds is invalid."));
    }
    Ok(())
}

/// What counts towards the size limits: body and attributes.
pub(super) fn size(new: &NewMessage) -> usize {
    let value = |a: &super::queue::MessageAttribute| {
        a.string_value.as_ref().map_or(0, String::len) + a.binary_value.as_ref().map_or(0, |b| b.len() / 4 * 3)
    };
    new.body.len() + new.attributes.iter().map(|(name, a)| name.len() + a.data_type.len() + value(a)).sum::<usize>()
}
fn beyond_the_limit(seconds: i64) -> SqsError {
    SqsError::InvalidParameterValue(format!(
        "Value {seconds} for parameter VisibilityTimeout is invalid. Reason: Total VisibilityTimeout for the message is beyond the limit [43200 seconds]"
    ))
}
