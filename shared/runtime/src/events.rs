//! SQS events. Each record is read by itself, so that a body that is not ours only fails its own message.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sync::batch::BatchReport;
use sync::ports::{Delivery, QueueName};

/// The event that an SQS event source mapping sends.
#[derive(Debug, Clone, Deserialize)]
pub struct SqsBatch {
    #[serde(rename = "Records")]
    records: Vec<Record>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    message_id: String,
    receipt_handle: String,
    #[serde(default)]
    body: String,
    #[serde(default)]
    attributes: BTreeMap<String, String>,
    #[serde(default)]
    message_attributes: BTreeMap<String, Attribute>,
    #[serde(rename = "eventSourceARN")]
    source: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Attribute {
    string_value: Option<String>,
}

impl SqsBatch {
    /// The ARN of the queue that the batch is from. All messages of a batch are from the same queue.
    pub fn source(&self) -> &str {
        self.records.first().map_or("", |r| &r.source)
    }

    /// The messages.
    pub fn deliveries(self) -> Vec<Delivery> {
        self.records
            .into_iter()
            .map(|record| Delivery {
                id: record.message_id,
                receipt: record.receipt_handle,
                body: record.body,
                receive_count: record.attributes.get("ApproximateReceiveCount").and_then(|n| n.parse().ok()).unwrap_or(1),
                attributes: record
                    .message_attributes
                    .into_iter()
                    .filter_map(|(name, attribute)| Some((name, attribute.string_value?)))
                    .collect(),
            })
            .collect()
    }
}

/// The queue with this ARN: the longest of `names` that the physical name ends with.
pub fn queue_of(arn: &str, names: impl IntoIterator<Item = QueueName>) -> Option<QueueName> {
    let physical = arn.rsplit(':').next().unwrap_or_default();
    names.into_iter().filter(|name| *name == physical || physical.ends_with(&format!("-{name}"))).max_by_key(|name| name.len())
}

/// The partial-batch answer (`ReportBatchItemFailures`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Answer {
    #[serde(rename = "batchItemFailures")]
    failures: Vec<Failed>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Failed {
    #[serde(rename = "itemIdentifier")]
    id: String,
}

impl From<&BatchReport> for Answer {
    fn from(report: &BatchReport) -> Answer {
        Answer { failures: report.failures.iter().map(|id| Failed { id: id.clone() }).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = r#"{"Records":[
        {"messageId":"m1","receiptHandle":"r1","body":"{}","attributes":{"ApproximateReceiveCount":"3","SentTimestamp":"1"},
         "messageAttributes":{"event":{"stringValue":"4","dataType":"String"}},"md5OfBody":"x","eventSource":"aws:sqs",
         "eventSourceARN":"arn:aws:sqs:eu-central-1:000000000000:prod-upsert-hubspot","awsRegion":"eu-central-1"}]}"#;

    #[test]
    fn a_real_event_is_read_and_answered_per_message() {
        let batch: SqsBatch = serde_json::from_str(EVENT).unwrap();
        let names = [QueueName::upsert("hubspot"), "hubspot".into(), QueueName::fetch()];
        assert_eq!(queue_of(batch.source(), names), Some(QueueName::upsert("hubspot")));
        let deliveries = batch.deliveries();
        assert_eq!((deliveries[0].receive_count, deliveries[0].attributes["event"].as_str()), (3, "4"));
        let report = BatchReport { failures: vec!["m1".into()], metrics: Vec::new() };
        let answer = serde_json::to_string(&Answer::from(&report)).unwrap();
        assert_eq!(answer, r#"{"batchItemFailures":[{"itemIdentifier":"m1"}]}"#);
    }
}
