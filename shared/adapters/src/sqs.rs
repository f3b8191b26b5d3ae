//! Queues.

use std::collections::BTreeMap;

use aws_sdk_sqs::types::{MessageAttributeValue, SendMessageBatchRequestEntry};
use sync::ports::{Outgoing, PortError, Queue, QueueName};

use crate::{Aws, port_error};

/// Entries per call.
const BATCH: usize = 10;
/// Bytes per call, with room for attributes.
const BATCH_BYTES: usize = 900_000;

impl Queue for Aws {
    async fn send(&self, queue: &QueueName, messages: Vec<Outgoing>) -> Vec<Result<(), PortError>> {
        let count = messages.len();
        let url = match self.queue(queue) {
            Ok(url) => url.to_owned(),
            Err(error) => return vec![Err(error); count],
        };
        let mut results = vec![Err(PortError::unavailable("not sent")); count];
        for range in chunks(&messages) {
            let part = &messages[range.clone()];
            for (index, result) in range.zip(self.send_batch(&url, part).await) {
                results[index] = result;
            }
        }
        results
    }

    async fn delay(&self, queue: &QueueName, receipt: &str, seconds: u32) -> Result<(), PortError> {
        let url = self.queue(queue)?;
        let seconds = i32::try_from(seconds.min(43_200)).unwrap_or(43_200);
        self.sqs
            .change_message_visibility()
            .queue_url(url)
            .receipt_handle(receipt)
            .visibility_timeout(seconds)
            .send()
            .await
            .map(drop)
            .map_err(|e| port_error(&e))
    }
}

/// Splits messages so that each part fits one call.
fn chunks(messages: &[Outgoing]) -> Vec<std::ops::Range<usize>> {
    let mut parts = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (index, message) in messages.iter().enumerate() {
        let size = message.body.len() + message.attributes.iter().map(|(k, v)| k.len() + v.len() + 16).sum::<usize>();
        if index > start && (index - start == BATCH || bytes + size > BATCH_BYTES) {
            parts.push(start..index);
            (start, bytes) = (index, 0);
        }
        bytes += size;
    }
    if start < messages.len() {
        parts.push(start..messages.len());
    }
    parts
}

fn attributes(message: &Outgoing) -> Option<std::collections::HashMap<String, MessageAttributeValue>> {
    let attribute = |(name, value): (&String, &String)| {
        let value = MessageAttributeValue::builder().data_type("String").string_value(value).build().ok()?;
        Some((name.clone(), value))
    };
    (!message.attributes.is_empty()).then(|| message.attributes.iter().filter_map(attribute).collect())
}

impl Aws {
    async fn send_batch(&self, url: &str, messages: &[Outgoing]) -> Vec<Result<(), PortError>> {
        let entries: Result<Vec<_>, _> = messages
            .iter()
            .enumerate()
            .map(|(index, message)| {
                SendMessageBatchRequestEntry::builder()
                    .id(index.to_string())
                    .message_body(&message.body)
                    .delay_seconds(i32::try_from(message.delay_s.min(900)).unwrap_or(900))
                    .set_message_group_id(message.group.clone())
                    .set_message_attributes(attributes(message))
                    .build()
            })
            .collect();
        let Ok(entries) = entries else { return vec![Err(PortError::rejected("a message cannot be built")); messages.len()] };
        let answer = match self.sqs.send_message_batch().queue_url(url).set_entries(Some(entries)).send().await {
            Ok(answer) => answer,
            Err(error) => return vec![Err(port_error(&error)); messages.len()],
        };
        let mut by_id: BTreeMap<&str, Result<(), PortError>> = answer.successful().iter().map(|s| (s.id(), Ok(()))).collect();
        for failed in answer.failed() {
            let error = if failed.sender_fault() {
                PortError::rejected(failed.code().to_owned())
            } else {
                PortError::unavailable(failed.code().to_owned())
            };
            by_id.insert(failed.id(), Err(error));
        }
        (0..messages.len())
            .map(|i| by_id.remove(i.to_string().as_str()).unwrap_or_else(|| Err(PortError::unavailable("no result"))))
            .collect()
    }
}
