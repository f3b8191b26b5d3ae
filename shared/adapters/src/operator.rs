//! What operators do with queues by hand; functions have a poller for it.

use std::collections::BTreeMap;

use aws_sdk_sqs::types::QueueAttributeName;
use sync::ports::{Delivery, PortError};

use crate::Aws;
use crate::error::port_error;

impl Aws {
    /// Receives at most ten messages and hides them from others for that many seconds. An empty answer may come from a part of
    /// the queue's hosts only.
    ///
    /// # Errors
    /// The queue is not one of the configured names, or the call failed.
    pub async fn receive(&self, queue: &str, visibility_s: u32) -> Result<Vec<Delivery>, PortError> {
        let answer = self
            .sqs
            .receive_message()
            .queue_url(self.queue(queue)?)
            .max_number_of_messages(10)
            .wait_time_seconds(1)
            .visibility_timeout(i32::try_from(visibility_s.min(43_200)).unwrap_or(43_200))
            .message_attribute_names("All")
            .message_system_attribute_names(aws_sdk_sqs::types::MessageSystemAttributeName::ApproximateReceiveCount)
            .send()
            .await
            .map_err(|e| port_error(&e))?;
        Ok(answer.messages.unwrap_or_default().into_iter().map(delivery).collect())
    }

    /// How many messages of a queue can be received, and how many are hidden: in work, or waiting for their next attempt. SQS counts
    /// on several hosts, so both numbers are approximate.
    ///
    /// # Errors
    /// The queue is not one of the configured names, or the call failed.
    pub async fn count(&self, queue: &str) -> Result<(u64, u64), PortError> {
        let [visible, hidden, delayed] = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
            QueueAttributeName::ApproximateNumberOfMessagesDelayed,
        ];
        let request = self.sqs.get_queue_attributes().queue_url(self.queue(queue)?);
        let request = request.attribute_names(visible.clone()).attribute_names(hidden.clone()).attribute_names(delayed.clone());
        let attributes = request.send().await.map_err(|e| port_error(&e))?.attributes.unwrap_or_default();
        let count = |name| attributes.get(&name).and_then(|count| count.parse::<u64>().ok()).unwrap_or(0);
        Ok((count(visible), count(hidden) + count(delayed)))
    }

    /// Removes a received message.
    ///
    /// # Errors
    /// The queue is not one of the configured names, or the call failed.
    pub async fn delete(&self, queue: &str, receipt: &str) -> Result<(), PortError> {
        let request = self.sqs.delete_message().queue_url(self.queue(queue)?).receipt_handle(receipt);
        request.send().await.map(drop).map_err(|e| port_error(&e))
    }
}

fn delivery(message: aws_sdk_sqs::types::Message) -> Delivery {
    let count = aws_sdk_sqs::types::MessageSystemAttributeName::ApproximateReceiveCount;
    let receive_count = message.attributes.as_ref().and_then(|a| a.get(&count)).and_then(|n| n.parse().ok()).unwrap_or(1);
    let attributes: BTreeMap<String, String> = message
        .message_attributes
        .unwrap_or_default()
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.string_value?)))
        .collect();
    Delivery {
        id: message.message_id.unwrap_or_default(),
        receipt: message.receipt_handle.unwrap_or_default(),
        body: message.body.unwrap_or_default(),
        receive_count,
        attributes,
    }
}
