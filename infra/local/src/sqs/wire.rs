//! The JSON 1.0 protocol of SQS, and the records of an SQS event.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::Queues;
use super::digest::{md5_hex, md5_of_attributes};
use super::engine::{QueueEngine, Received, size};
use super::error::SqsError;
use super::queue::{MAX_BYTES, MAX_VISIBILITY, Message, MessageAttribute, NewMessage};
use crate::ids::{ACCOUNT, now_ms, uuid};

type Answer = Result<Value, SqsError>;

fn read<T: DeserializeOwned>(body: &Value) -> Result<T, SqsError> {
    T::deserialize(body).map_err(|e| SqsError::Malformed(e.to_string()))
}

/// Runs one operation.
pub(super) async fn dispatch(queues: &Queues, base: &str, operation: &str, body: &[u8]) -> Answer {
    let body: Value = serde_json::from_slice(body).map_err(|e| SqsError::Malformed(e.to_string()))?;
    if operation == "ReceiveMessage" {
        return receive(queues, &body).await;
    }
    queues.with(|engine| match operation {
        "CreateQueue" | "GetQueueUrl" | "ListQueues" | "DeleteQueue" | "PurgeQueue" | "GetQueueAttributes"
        | "SetQueueAttributes" => manage(engine, base, operation, &body),
        "SendMessage" => send(engine, &queue_of(&body)?, read(&body)?),
        "DeleteMessage" => engine.delete(&queue_of(&body)?, &text(&body, "ReceiptHandle")?).map(|()| json!({})),
        "ChangeMessageVisibility" => change(engine, &queue_of(&body)?, &body).map(|()| json!({})),
        "SendMessageBatch" => send_batch(engine, &body),
        "DeleteMessageBatch" => {
            batch(&body, |queue, entry| engine.delete(queue, &text(entry, "ReceiptHandle")?).map(|()| json!({})))
        }
        "ChangeMessageVisibilityBatch" => batch(&body, |queue, entry| change(engine, queue, entry).map(|()| json!({}))),
        other => Err(SqsError::InvalidAction(other.to_owned())),
    })
}

fn text(body: &Value, name: &'static str) -> Result<String, SqsError> {
    body[name].as_str().map(str::to_owned).ok_or(SqsError::MissingParameter(name))
}

/// The queue's name, out of `QueueUrl`.
fn queue_of(body: &Value) -> Result<String, SqsError> {
    let url = text(body, "QueueUrl")?;
    Ok(url.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned())
}

fn manage(engine: &mut QueueEngine, base: &str, operation: &str, body: &Value) -> Answer {
    let url = |name: &str| format!("{base}/{}/{name}", ACCOUNT);
    let texts = |name: &str| read::<Option<BTreeMap<String, String>>>(&body[name]).map(Option::unwrap_or_default);
    match operation {
        "CreateQueue" => {
            let name = text(body, "QueueName")?;
            engine.create(&name, texts("Attributes")?, now_ms())?;
            Ok(json!({ "QueueUrl": url(&name) }))
        }
        "GetQueueUrl" => {
            let name = text(body, "QueueName")?;
            engine.queue(&name)?;
            Ok(json!({ "QueueUrl": url(&name) }))
        }
        "ListQueues" => {
            let prefix = body["QueueNamePrefix"].as_str().unwrap_or_default();
            let urls: Vec<String> = engine.names().iter().filter(|n| n.starts_with(prefix)).map(|n| url(n)).collect();
            Ok(json!({ "QueueUrls": urls }))
        }
        "DeleteQueue" => engine.delete_queue(&queue_of(body)?).map(|()| json!({})),
        "PurgeQueue" => engine.purge(&queue_of(body)?).map(|()| json!({})),
        "GetQueueAttributes" => attributes(engine, &queue_of(body)?, &names(body, "AttributeNames")),
        _ => engine.set_attributes(&queue_of(body)?, texts("Attributes")?).map(|()| json!({})),
    }
}

fn names(body: &Value, field: &str) -> BTreeSet<String> {
    body[field].as_array().map(|a| a.iter().filter_map(|v| v.as_str().map(str::to_owned)).collect()).unwrap_or_default()
}

fn attributes(engine: &mut QueueEngine, name: &str, wanted: &BTreeSet<String>) -> Answer {
    let counts = engine.counts(name, now_ms())?;
    let queue = engine.queue(name)?;
    let mut all: BTreeMap<String, String> = queue.attributes.clone();
    let defaults = [
        "VisibilityTimeout",
        "DelaySeconds",
        "MaximumMessageSize",
        "MessageRetentionPeriod",
        "ReceiveMessageWaitTimeSeconds",
        "SqsManagedSseEnabled",
    ];
    for key in defaults {
        if let Some(value) = queue.attribute(key) {
            all.insert(key.into(), value.into());
        }
    }
    let seconds = (queue.created / 1000).to_string();
    all.insert("CreatedTimestamp".into(), seconds.clone());
    all.insert("LastModifiedTimestamp".into(), seconds);
    all.insert("QueueArn".into(), engine.arn(name));
    all.insert("ApproximateNumberOfMessages".into(), counts.visible.to_string());
    all.insert("ApproximateNumberOfMessagesNotVisible".into(), counts.in_flight.to_string());
    all.insert("ApproximateNumberOfMessagesDelayed".into(), counts.delayed.to_string());
    if !wanted.contains("All") {
        all.retain(|key, _| wanted.contains(key));
    }
    Ok(json!({ "Attributes": all }))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Send {
    #[serde(default)]
    message_body: String,
    #[serde(default)]
    delay_seconds: Option<i64>,
    #[serde(default)]
    message_attributes: Option<BTreeMap<String, MessageAttribute>>,
    #[serde(default)]
    message_system_attributes: Option<BTreeMap<String, MessageAttribute>>,
    #[serde(default)]
    message_group_id: Option<String>,
}

impl From<Send> for NewMessage {
    fn from(send: Send) -> Self {
        Self {
            body: send.message_body,
            attributes: send.message_attributes.unwrap_or_default(),
            delay: send.delay_seconds,
            group: send.message_group_id,
            trace: send.message_system_attributes.and_then(|mut all| all.remove("AWSTraceHeader")?.string_value),
        }
    }
}

fn send(engine: &mut QueueEngine, queue: &str, send: Send) -> Answer {
    let message = NewMessage::from(send);
    let mut answer = json!({ "MD5OfMessageBody": md5_hex(message.body.as_bytes()) });
    if !message.attributes.is_empty() {
        answer["MD5OfMessageAttributes"] = md5_of_attributes(&message.attributes).into();
    }
    let id = uuid();
    engine.send(queue, id.clone(), message, now_ms())?;
    answer["MessageId"] = id.into();
    Ok(answer)
}

fn send_batch(engine: &mut QueueEngine, body: &Value) -> Answer {
    let entries = read::<Option<Vec<Send>>>(&body["Entries"])?.unwrap_or_default();
    if entries.into_iter().map(|e| size(&e.into())).sum::<usize>() > MAX_BYTES {
        return Err(SqsError::BatchRequestTooLong);
    }
    engine.queue(&queue_of(body)?)?;
    batch(body, |queue, entry| send(engine, queue, read(entry)?))
}

fn change(engine: &mut QueueEngine, queue: &str, body: &Value) -> Result<(), SqsError> {
    let seconds = body["VisibilityTimeout"].as_i64().ok_or(SqsError::MissingParameter("VisibilityTimeout"))?;
    engine.change_visibility(queue, &text(body, "ReceiptHandle")?, seconds, now_ms())
}

/// Runs `each` for every entry of a batch request and collects the results.
fn batch(body: &Value, mut each: impl FnMut(&str, &Value) -> Answer) -> Answer {
    let queue = queue_of(body)?;
    let entries = body["Entries"].as_array().cloned().unwrap_or_default();
    if entries.is_empty() {
        return Err(SqsError::EmptyBatchRequest);
    }
    if entries.len() > 10 {
        return Err(SqsError::TooManyEntriesInBatchRequest(entries.len()));
    }
    let mut ids = BTreeSet::new();
    for entry in &entries {
        let id = text(entry, "Id")?;
        if !ids.insert(id.clone()) {
            return Err(SqsError::BatchEntryIdsNotDistinct(id));
        }
    }
    let (mut successful, mut failed) = (Vec::new(), Vec::new());
    for entry in &entries {
        match each(&queue, entry) {
            Ok(mut value) => {
                value["Id"] = entry["Id"].clone();
                successful.push(value);
            }
            Err(SqsError::QueueDoesNotExist) => return Err(SqsError::QueueDoesNotExist),
            Err(error) => failed.push(json!({
                "Id": entry["Id"], "SenderFault": true, "Code": error.query_code(), "Message": error.to_string(),
            })),
        }
    }
    Ok(json!({ "Successful": successful, "Failed": failed }))
}

async fn receive(queues: &Queues, body: &Value) -> Answer {
    let queue = queue_of(body)?;
    let max = body["MaxNumberOfMessages"].as_i64().unwrap_or(1);
    let visibility = body["VisibilityTimeout"].as_i64();
    let out_of_range =
        |name: &str, value: i64| SqsError::InvalidParameterValue(format!("Value {value} for parameter {name} is invalid."));
    if !(1..=10).contains(&max) {
        return Err(out_of_range("MaxNumberOfMessages", max));
    }
    if let Some(seconds) = visibility.filter(|s| !(0..=MAX_VISIBILITY).contains(s)) {
        return Err(out_of_range("VisibilityTimeout", seconds));
    }
    let wait = match body["WaitTimeSeconds"].as_i64() {
        Some(seconds) if (0..=20).contains(&seconds) => seconds,
        Some(seconds) => return Err(out_of_range("WaitTimeSeconds", seconds)),
        None => queues.with(|engine| engine.queue(&queue).map(|q| q.number("ReceiveMessageWaitTimeSeconds")))?,
    };
    let wait = Duration::from_secs(u64::try_from(wait).unwrap_or_default());
    let received = queues.receive(&queue, usize::try_from(max).unwrap_or(1), visibility, wait).await?;
    let mut system = names(body, "AttributeNames");
    system.extend(names(body, "MessageSystemAttributeNames"));
    let wanted = names(body, "MessageAttributeNames");
    let messages: Vec<Value> = received.iter().map(|r| message(r, &system, &wanted)).collect();
    Ok(if messages.is_empty() { json!({}) } else { json!({ "Messages": messages }) })
}

fn message(received: &Received, system: &BTreeSet<String>, wanted: &BTreeSet<String>) -> Value {
    let m = &received.message;
    let mut answer = json!({
        "MessageId": m.id, "ReceiptHandle": received.receipt_handle, "Body": &*m.body, "MD5OfBody": md5_hex(m.body.as_bytes()),
    });
    let mut own = system_attributes(received);
    if !system.contains("All") {
        own.retain(|key, _| system.contains(key));
    }
    if !own.is_empty() {
        answer["Attributes"] = own.into();
    }
    let requested = |name: &str| {
        wanted.iter().any(|w| w == "All" || w == name || w.strip_suffix(".*").is_some_and(|prefix| name.starts_with(prefix)))
    };
    let given: BTreeMap<String, MessageAttribute> =
        m.attributes.iter().filter(|(name, _)| requested(name)).map(|(n, a)| (n.clone(), a.clone())).collect();
    if !given.is_empty() {
        answer["MD5OfMessageAttributes"] = md5_of_attributes(&given).into();
        answer["MessageAttributes"] = json!(given);
    }
    answer
}

fn system_attributes(received: &Received) -> Map<String, Value> {
    let m = &received.message;
    let all = [
        ("SenderId", Some("AIDALOCAL".to_owned())),
        ("SentTimestamp", Some(m.sent.to_string())),
        ("ApproximateReceiveCount", Some(m.receives.to_string())),
        ("ApproximateFirstReceiveTimestamp", m.first_received.map(|t| t.to_string())),
        ("AWSTraceHeader", m.trace.clone()),
        ("MessageGroupId", m.group.clone()),
        ("DeadLetterQueueSourceArn", m.source.clone()),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into()))).collect()
}

/// One record of the event that Lambda builds of received messages.
pub(crate) fn event_record(arn: &str, region: &str, received: &Received) -> Value {
    let m: &Message = &received.message;
    let attributes: Map<String, Value> = m
        .attributes
        .iter()
        .map(|(name, a)| {
            let mut value = json!({ "stringListValues": [], "binaryListValues": [], "dataType": a.data_type });
            if let Some(text) = &a.string_value {
                value["stringValue"] = text.as_str().into();
            }
            if let Some(binary) = &a.binary_value {
                value["binaryValue"] = binary.as_str().into();
            }
            (name.clone(), value)
        })
        .collect();
    let mut record = json!({
        "messageId": m.id,
        "receiptHandle": received.receipt_handle,
        "body": &*m.body,
        "attributes": system_attributes(received),
        "messageAttributes": attributes,
        "md5OfBody": md5_hex(m.body.as_bytes()),
        "eventSource": "aws:sqs",
        "eventSourceARN": arn,
        "awsRegion": region,
    });
    if !m.attributes.is_empty() {
        record["md5OfMessageAttributes"] = md5_of_attributes(&m.attributes).into();
    }
    record
}
