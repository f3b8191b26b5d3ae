//! One queue and its messages.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::error::SqsError;

/// The longest body, in bytes, as of the limit that AWS raised in August 2025.
pub(super) const MAX_BYTES: usize = 1_048_576;
/// Most attributes of a message.
pub(super) const MAX_ATTRIBUTES: usize = 10;
/// The longest visibility timeout, in seconds.
pub(super) const MAX_VISIBILITY: i64 = 43_200;

/// A user-defined attribute of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct MessageAttribute {
    /// `String`, `Number`, `Binary`, or one of these with a suffix.
    pub data_type: String,
    /// Value of a text or number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub string_value: Option<String>,
    /// Value of a binary attribute, base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binary_value: Option<String>,
}

/// A message that is to be sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewMessage {
    /// The text.
    pub body: String,
    /// User-defined attributes.
    pub attributes: BTreeMap<String, MessageAttribute>,
    /// Seconds until the message can be received; the queue's delay when absent.
    pub delay: Option<i64>,
    /// The tenant of a fair queue.
    pub group: Option<String>,
    /// The system attribute `AWSTraceHeader`.
    pub trace: Option<String>,
}

/// A message as the engine stores it. Times are milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Its id. It stays the same when the message moves to a dead-letter queue.
    pub id: String,
    /// The text.
    pub body: Arc<str>,
    /// User-defined attributes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, MessageAttribute>,
    /// When it was sent.
    pub sent: i64,
    /// From when on it can be received.
    pub visible: i64,
    /// How often it was received.
    pub receives: u32,
    /// When it was received first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_received: Option<i64>,
    /// When it was received last; not known any more after a restart of the stack.
    #[serde(skip)]
    pub received: Option<i64>,
    /// Number of the latest receive; part of the receipt handle. Zero before the first.
    #[serde(default)]
    pub receipt: u64,
    /// True if a consumer has changed the visibility of the latest receive.
    #[serde(default)]
    pub visibility_set: bool,
    /// The tenant of a fair queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// `AWSTraceHeader`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
    /// ARN of the queue that dead-lettered it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// `RedrivePolicy`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redrive {
    /// ARN of the dead-letter queue.
    pub target: String,
    /// Receives after which the next one moves the message.
    pub max_receives: u32,
}

/// Numbers that `GetQueueAttributes` reports.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Can be received now.
    pub visible: usize,
    /// Received, and neither deleted nor visible again.
    pub in_flight: usize,
    /// Sent with a delay that has not passed.
    pub delayed: usize,
}

impl Counts {
    /// All messages of the queue.
    #[must_use]
    pub fn total(&self) -> usize {
        self.visible + self.in_flight + self.delayed
    }
}

/// A queue.
#[derive(Debug, Clone, Default)]
pub struct Queue {
    /// Attributes as set; defaults are filled in on read.
    pub attributes: BTreeMap<String, String>,
    /// When it was created, milliseconds.
    pub created: i64,
    pub(super) messages: BTreeMap<u64, Message>,
    pub(super) by_id: HashMap<String, u64>,
    /// (visible from, sequence) of every message: what can be received is a prefix.
    pub(super) order: BTreeSet<(i64, u64)>,
    pub(super) expired_at: i64,
}

impl Queue {
    /// An attribute with its default, when it has one.
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str).or_else(|| default_of(name))
    }

    /// A numeric attribute. Values were checked when they were set.
    pub(super) fn number(&self, name: &str) -> i64 {
        self.attribute(name).and_then(|v| v.parse().ok()).unwrap_or_default()
    }

    pub(super) fn redrive(&self) -> Option<Redrive> {
        self.attributes.get("RedrivePolicy").and_then(|text| parse_redrive(text).ok())
    }

    pub(super) fn insert(&mut self, sequence: u64, message: Message) {
        self.order.insert((message.visible, sequence));
        self.by_id.insert(message.id.clone(), sequence);
        self.messages.insert(sequence, message);
    }

    pub(super) fn remove(&mut self, sequence: u64) -> Option<Message> {
        let message = self.messages.remove(&sequence)?;
        self.order.remove(&(message.visible, sequence));
        self.by_id.remove(&message.id);
        Some(message)
    }

    /// Moves a message in time.
    pub(super) fn show_at(&mut self, sequence: u64, visible: i64) -> Option<&mut Message> {
        let message = self.messages.get_mut(&sequence)?;
        self.order.remove(&(message.visible, sequence));
        message.visible = visible;
        self.order.insert((visible, sequence));
        Some(message)
    }

    /// The sequences of the messages that can be received now, in order.
    pub(super) fn receivable(&self, now: i64, limit: usize) -> Vec<u64> {
        self.order.range(..=(now, u64::MAX)).take(limit).map(|(_, sequence)| *sequence).collect()
    }

    /// The next moment at which something becomes visible, when nothing is now.
    pub(super) fn next_visible(&self) -> Option<i64> {
        self.order.first().map(|(visible, _)| *visible)
    }

    pub(super) fn counts(&self, now: i64) -> Counts {
        let mut counts = Counts::default();
        for message in self.messages.values() {
            if message.visible <= now {
                counts.visible += 1;
            } else if message.receives > 0 && message.receipt > 0 {
                counts.in_flight += 1;
            } else {
                counts.delayed += 1;
            }
        }
        counts
    }
}

fn default_of(name: &str) -> Option<&'static str> {
    Some(match name {
        "VisibilityTimeout" => "30",
        "DelaySeconds" | "ReceiveMessageWaitTimeSeconds" => "0",
        "MaximumMessageSize" => "1048576",
        "MessageRetentionPeriod" => "345600",
        "SqsManagedSseEnabled" => "true",
        _ => return None,
    })
}

/// The attributes that a caller may set, with their bounds where they are numbers.
const SETTABLE: &[(&str, Option<(i64, i64)>)] = &[
    ("VisibilityTimeout", Some((0, MAX_VISIBILITY))),
    ("DelaySeconds", Some((0, 900))),
    ("MaximumMessageSize", Some((1024, MAX_BYTES as i64))),
    ("MessageRetentionPeriod", Some((60, 1_209_600))),
    ("ReceiveMessageWaitTimeSeconds", Some((0, 20))),
    ("RedrivePolicy", None),
    ("RedriveAllowPolicy", None),
    ("Policy", None),
    ("KmsMasterKeyId", None),
    ("KmsDataKeyReusePeriodSeconds", Some((60, 86_400))),
    ("SqsManagedSseEnabled", None),
];

/// Checks one attribute's name and value on its own.
pub(super) fn check_attribute(name: &str, value: &str) -> Result<(), SqsError> {
    let Some((_, bounds)) = SETTABLE.iter().find(|(known, _)| *known == name) else {
        return Err(SqsError::InvalidAttributeName(name.to_owned()));
    };
    let Some((low, high)) = bounds else { return Ok(()) };
    match value.parse::<i64>() {
        Ok(number) if (*low..=*high).contains(&number) => Ok(()),
        _ => Err(SqsError::InvalidParameterValue(format!("Invalid value for the parameter {name}."))),
    }
}

/// Reads a `RedrivePolicy`; `maxReceiveCount` may be a number or a text.
pub(super) fn parse_redrive(text: &str) -> Result<Redrive, SqsError> {
    let invalid = || SqsError::InvalidParameterValue("Value for parameter RedrivePolicy is invalid.".into());
    let value: serde_json::Value = serde_json::from_str(text).map_err(|_| invalid())?;
    let target = value["deadLetterTargetArn"].as_str().ok_or_else(invalid)?.to_owned();
    let count = &value["maxReceiveCount"];
    let max = count.as_u64().or_else(|| count.as_str().and_then(|t| t.parse().ok())).ok_or_else(invalid)?;
    match u32::try_from(max) {
        Ok(max_receives @ 1..=1000) => Ok(Redrive { target, max_receives }),
        _ => Err(invalid()),
    }
}
