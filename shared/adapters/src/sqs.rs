//! Queues.

use std::collections::BTreeMap;

use aws_sdk_sqs::types::{MessageAttributeValue, SendMessageBatchRequestEntry};
use sync::ports::{MESSAGE_BYTES, Outgoing, PortError, Queue, QueueName};

use crate::Aws;
use crate::error::{error_of, port_error};

/// The most entries of one call. The limit in bytes is that of a single message, [`MESSAGE_BYTES`].
const BATCH: usize = 10;

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

/// Splits messages so that each part fits into one call. A message that is too large is alone in its part, so that only it is
/// refused.
fn chunks(messages: &[Outgoing]) -> Vec<std::ops::Range<usize>> {
    let mut parts = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (index, message) in messages.iter().enumerate() {
        if index > start && (index - start == BATCH || bytes + message.bytes() > MESSAGE_BYTES) {
            parts.push(start..index);
            (start, bytes) = (index, 0);
        }
        bytes += message.bytes();
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
            let code = failed.code();
            let error = if failed.sender_fault() { error_of(code) } else { PortError::unavailable(code) };
            by_id.insert(failed.id(), Err(error));
        }
        (0..messages.len())
            .map(|i| by_id.remove(i.to_string().as_str()).unwrap_or_else(|| Err(PortError::unavailable("no result"))))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(sizes: &[usize]) -> Vec<std::ops::Range<usize>> {
        let messages: Vec<Outgoing> = sizes.iter().map(|size| Outgoing::new("x".repeat(*size))).collect();
        chunks(&messages)
    }

    #[test]
    fn a_call_holds_ten_messages_and_a_mebibyte() {
        assert_eq!(parts(&[]), []);
        assert_eq!(parts(&[1; 21]), [0..10, 10..20, 20..21]);
        let half = MESSAGE_BYTES / 2;
        assert_eq!(parts(&[half, half, half, half + 1]), [0..2, 2..3, 3..4]);
        assert_eq!(parts(&[1, MESSAGE_BYTES + 1, 1, 1]), [0..1, 1..2, 2..4], "one that is too large is alone");
    }

    #[test]
    fn attributes_count() {
        let attributes = [("name".to_owned(), "value".to_owned())].into();
        let with = Outgoing { attributes, ..Outgoing::new("x".repeat(MESSAGE_BYTES - 20)) };
        let calls = |rest: usize| chunks(&[with.clone(), Outgoing::new("y".repeat(rest))]).len();
        assert_eq!(with.bytes(), MESSAGE_BYTES - 5);
        assert_eq!((calls(5), calls(6)), (1, 2));
    }
}
