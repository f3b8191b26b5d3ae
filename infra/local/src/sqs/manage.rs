//! Queues themselves: making, configuring and removing them.

use std::collections::BTreeMap;

use super::engine::{Change, QueueEngine};
use super::error::SqsError;
use super::queue::{Queue, check_attribute, parse_redrive};

impl QueueEngine {
    /// Creates a queue, or accepts one that exists with the same attributes.
    ///
    /// # Errors
    /// A bad name or attribute; [`SqsError::QueueNameExists`] when the attributes differ.
    pub fn create(&mut self, name: &str, attributes: BTreeMap<String, String>, now: i64) -> Result<(), SqsError> {
        let valid = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || name.len() > 80 || !name.chars().all(valid) {
            return Err(SqsError::InvalidParameterValue(
                "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length".into(),
            ));
        }
        self.check_attributes(name, &attributes)?;
        if let Some(existing) = self.queues.get(name) {
            let differing = attributes.iter().find(|(key, value)| existing.attribute(key) != Some(value.as_str()));
            return differing.map_or(Ok(()), |(key, _)| Err(SqsError::QueueNameExists(key.clone())));
        }
        self.queues.insert(name.to_owned(), Queue { attributes, created: now, ..Queue::default() });
        self.record_queue(name);
        Ok(())
    }

    fn check_attributes(&self, name: &str, attributes: &BTreeMap<String, String>) -> Result<(), SqsError> {
        for (key, value) in attributes {
            check_attribute(key, value)?;
        }
        let Some(policy) = attributes.get("RedrivePolicy").filter(|text| !text.is_empty()) else { return Ok(()) };
        let redrive = parse_redrive(policy)?;
        let invalid = |reason: &str| {
            SqsError::InvalidParameterValue(format!("Value for parameter RedrivePolicy is invalid. Reason: {reason}"))
        };
        let target = self.by_arn(&redrive.target).ok_or_else(|| invalid("Dead letter target does not exist."))?;
        if !self.may_redrive(&target, name) {
            return Err(invalid("The dead-letter queue's redrive permission does not allow this source."));
        }
        Ok(())
    }

    /// What the target's `RedriveAllowPolicy` says of a source.
    fn may_redrive(&self, target: &str, source: &str) -> bool {
        let Some(text) = self.queues.get(target).and_then(|q| q.attributes.get("RedriveAllowPolicy")) else { return true };
        let policy: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
        match policy["redrivePermission"].as_str() {
            Some("denyAll") => false,
            Some("byQueue") => policy["sourceQueueArns"]
                .as_array()
                .is_some_and(|arns| arns.iter().any(|a| a.as_str() == Some(&self.arn(source)))),
            _ => true,
        }
    }

    /// Sets attributes; an empty `RedrivePolicy` removes it.
    ///
    /// # Errors
    /// An unknown queue or attribute, or a bad value. Then nothing changes.
    pub fn set_attributes(&mut self, name: &str, attributes: BTreeMap<String, String>) -> Result<(), SqsError> {
        self.queue(name)?;
        self.check_attributes(name, &attributes)?;
        let queue = self.queue_mut(name)?;
        for (key, value) in attributes {
            if value.is_empty() {
                queue.attributes.remove(&key);
            } else {
                queue.attributes.insert(key, value);
            }
        }
        self.record_queue(name);
        Ok(())
    }

    fn record_queue(&mut self, name: &str) {
        let queue = &self.queues[name];
        self.changes.push(Change::Queue { name: name.to_owned(), created: queue.created, attributes: queue.attributes.clone() });
    }

    /// Removes a queue with its messages.
    ///
    /// # Errors
    /// An unknown queue.
    pub fn delete_queue(&mut self, name: &str) -> Result<(), SqsError> {
        self.queues.remove(name).ok_or(SqsError::QueueDoesNotExist)?;
        self.changes.push(Change::QueueGone { name: name.to_owned() });
        Ok(())
    }
}
