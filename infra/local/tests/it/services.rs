//! The services behind the endpoint, and what outlives a stack.

use std::time::Duration;

use local::{Conflicts, Stack};
use serde_json::{Value, json};

use crate::support::{call, http, options, text};

async fn secret(stack: &Stack, stage: &str) -> Value {
    call(stack, "secretsmanager.GetSecretValue", json!({ "SecretId": "app/signing", "VersionStage": stage })).await.1
}

#[tokio::test(flavor = "multi_thread")]
async fn queues_count_hide_and_dead_letter() {
    let stack = Stack::start(options()).await.unwrap();
    let url = stack.queue_url("spare").unwrap();
    let (_, sent, _) = call(&stack, "AmazonSQS.SendMessage", json!({ "QueueUrl": url, "MessageBody": "héllo" })).await;
    let receive = json!({ "QueueUrl": url, "MaxNumberOfMessages": 10, "AttributeNames": ["All"], "VisibilityTimeout": 1 });
    let (_, first, _) = call(&stack, "AmazonSQS.ReceiveMessage", receive.clone()).await;
    assert_eq!(first["Messages"][0]["MD5OfBody"], sent["MD5OfMessageBody"]);
    assert_eq!(first["Messages"][0]["Attributes"]["ApproximateReceiveCount"], "1");
    assert_eq!(call(&stack, "AmazonSQS.ReceiveMessage", receive).await.1, json!({}), "hidden for a second");
    assert_eq!(stack.counts("spare").unwrap().in_flight, 1);
    let again = stack.receive("spare", 1, Duration::from_secs(5)).await.unwrap();
    assert_eq!(again[0].message.receives, 2, "the wait ends when the message becomes visible");
    let handle = &first["Messages"][0]["ReceiptHandle"];
    let old = json!({ "QueueUrl": url, "ReceiptHandle": handle });
    assert_eq!(call(&stack, "AmazonSQS.DeleteMessage", old).await.0, 200);
    assert_eq!(stack.counts("spare").unwrap().total(), 1, "the handle of an earlier receive deletes nothing");
    stack.delete("spare", &again[0].receipt_handle).unwrap();
    assert_eq!(stack.counts("spare").unwrap().total(), 0);
    let (status, error, code) =
        call(&stack, "AmazonSQS.SendMessage", json!({ "QueueUrl": format!("{url}x"), "MessageBody": "a" })).await;
    assert_eq!((status, code.as_str()), (400, "AWS.SimpleQueueService.NonExistentQueue;Sender"));
    assert_eq!(error["__type"], "com.amazonaws.sqs#QueueDoesNotExist");
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_and_a_batch_hold_a_mebibyte() {
    const MEBIBYTE: usize = 1_048_576;
    let stack = Stack::start(options()).await.unwrap();
    let url = stack.queue_url("spare").unwrap();
    let one = async |bytes: usize| {
        call(&stack, "AmazonSQS.SendMessage", json!({ "QueueUrl": url, "MessageBody": "x".repeat(bytes) })).await
    };
    assert_eq!(one(MEBIBYTE).await.0, 200);
    let (status, refused, _) = one(MEBIBYTE + 1).await;
    assert_eq!((status, &refused["__type"]), (400, &json!("com.amazonaws.sqs#InvalidParameterValueException")));
    let batch = async |bytes: usize| {
        let entry = |id: &str, bytes: usize| json!({ "Id": id, "MessageBody": "x".repeat(bytes) });
        let entries = [entry("a", MEBIBYTE / 2), entry("b", bytes)];
        call(&stack, "AmazonSQS.SendMessageBatch", json!({ "QueueUrl": url, "Entries": entries })).await
    };
    assert_eq!(batch(MEBIBYTE / 2).await.0, 200);
    let (status, refused, code) = batch(MEBIBYTE / 2 + 1).await;
    assert_eq!((status, &refused["__type"]), (400, &json!("com.amazonaws.sqs#BatchRequestTooLong")));
    assert_eq!(code, "AWS.SimpleQueueService.BatchRequestTooLong;Sender");
    assert_eq!(stack.counts("spare").unwrap().visible, 3);
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_generated_and_rotated_through_their_function() {
    let mut options = options();
    options.secrets.insert("app/api".into(), "given".into());
    let stack = Stack::start(options).await.unwrap();
    let first = secret(&stack, "AWSCURRENT").await;
    let text = first["SecretString"].as_str().unwrap();
    assert!(text.len() == 44 && text.chars().all(|c| c.is_ascii_alphanumeric()), "as the template describes it");
    let (_, api, _) = call(&stack, "secretsmanager.GetSecretValue", json!({ "SecretId": "app/api" })).await;
    assert_eq!(api["SecretString"], "given");

    let version = stack.rotate("app/signing").unwrap();
    let mut rotated = Value::Null;
    for _ in 0..200 {
        rotated = secret(&stack, "AWSCURRENT").await;
        if rotated["SecretString"] == "rotated" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!((&rotated["SecretString"], &rotated["VersionId"]), (&json!("rotated"), &json!(version)));
    assert_eq!(secret(&stack, "AWSPREVIOUS").await["VersionId"], first["VersionId"]);
    assert!(stack.rotate("app/api").is_err(), "no function rotates it");
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generated_document_keeps_its_template() {
    let stack = Stack::start(options()).await.unwrap();
    let (_, api, _) = call(&stack, "secretsmanager.GetSecretValue", json!({ "SecretId": "app/api" })).await;
    let document: Value = serde_json::from_str(api["SecretString"].as_str().unwrap()).unwrap();
    assert_eq!((&document["user"], document["token"].as_str().unwrap().len()), (&json!("u"), 20));
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_expire_items_and_conflict_on_demand() {
    let stack = Stack::start(options()).await.unwrap();
    let table = &stack.outputs()["Table"];
    let (_, ttl, _) = call(&stack, "DynamoDB_20120810.DescribeTimeToLive", json!({ "TableName": table })).await;
    assert_eq!(ttl["TimeToLiveDescription"]["AttributeName"], "ttl");
    let put = json!({ "TransactItems": [{ "Put": { "TableName": table, "Item": { "pk": { "S": "a" }, "sk": { "S": "1" } } } }] });
    let transact = async || call(&stack, "DynamoDB_20120810.TransactWriteItems", put.clone()).await;
    assert_eq!(transact().await.0, 200);
    stack.set_conflicts(Some(Conflicts { probability: 1.0, seed: 1 }));
    let (status, refused, _) = transact().await;
    assert_eq!((status, &refused["CancellationReasons"][0]["Code"]), (400, &json!("TransactionConflict")));
    stack.set_conflicts(Some(Conflicts { probability: 0.5, seed: 1 }));
    let mut outcomes = Vec::new();
    for _ in 0..40 {
        outcomes.push(transact().await.0);
    }
    let conflicts = outcomes.iter().filter(|status| **status == 400).count();
    assert!((8..=32).contains(&conflicts), "{conflicts} of 40");
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_put_read_listed_and_deleted() {
    let stack = Stack::start(options()).await.unwrap();
    let path = format!("/{}/envelopes/2026/a%20b", stack.outputs()["Bucket"]);
    let base = stack.endpoint();
    assert_eq!(http(base, "GET", &path, &[], Vec::new()).await.status, 404);
    assert_eq!(http(base, "PUT", &path, &[("content-type", "application/json")], b"{}".to_vec()).await.status, 200);
    let read = http(base, "GET", &path, &[], Vec::new()).await;
    assert_eq!((read.body.as_slice(), read.header("content-type")), (b"{}".as_slice(), "application/json"));
    let chunks = b"3;chunk-signature=x\r\nabc\r\n2\r\nde\r\n0\r\nx-amz-checksum-crc32:AAAA\r\n\r\n".to_vec();
    http(base, "PUT", &path, &[("content-encoding", "aws-chunked")], chunks).await;
    assert_eq!(http(base, "GET", &path, &[], Vec::new()).await.body, b"abcde");
    let list =
        http(base, "GET", &format!("/{}?list-type=2&prefix=envelopes%2F", stack.outputs()["Bucket"]), &[], Vec::new()).await;
    assert!(String::from_utf8(list.body).unwrap().contains("<Key>envelopes/2026/a b</Key><Size>5</Size>"));
    assert_eq!(http(base, "DELETE", &path, &[], Vec::new()).await.status, 204);
    assert_eq!(http(base, "HEAD", &path, &[], Vec::new()).await.status, 404);
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn state_outlives_the_stack_until_it_is_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let options_with_state = || {
        let mut options = options();
        options.state_dir = Some(folder.path().join("state"));
        options
    };
    let stack = Stack::start(options_with_state()).await.unwrap();
    let before = secret(&stack, "AWSCURRENT").await["SecretString"].clone();
    stack.send("spare", text(&json!({ "n": 1 }))).unwrap();
    let received = stack.receive("spare", 1, Duration::ZERO).await.unwrap();
    stack.send("spare", text(&json!({ "n": 2 }))).unwrap();
    let item = json!({ "TableName": stack.outputs()["Table"], "Item": { "pk": { "S": "a" }, "sk": { "S": "1" } } });
    assert_eq!(call(&stack, "DynamoDB_20120810.PutItem", item).await.0, 200);
    // No orderly stop: what was answered must be there anyway.
    drop(stack);

    let stack = Stack::start(options_with_state()).await.unwrap();
    assert_eq!(secret(&stack, "AWSCURRENT").await["SecretString"], before);
    let messages = stack.peek("spare").unwrap();
    assert_eq!(messages.iter().map(|m| m.receives).collect::<Vec<_>>(), [1, 0]);
    stack.delete("spare", &received[0].receipt_handle).unwrap();
    assert_eq!(stack.peek("spare").unwrap().len(), 1, "a handle from before the restart still deletes its message");
    let key = json!({ "TableName": stack.outputs()["Table"], "Key": { "pk": { "S": "a" }, "sk": { "S": "1" } } });
    assert!(call(&stack, "DynamoDB_20120810.GetItem", key).await.1["Item"].is_object());
    stack.stop().await;

    let mut fresh = options_with_state();
    fresh.fresh = true;
    let stack = Stack::start(fresh).await.unwrap();
    assert_ne!(secret(&stack, "AWSCURRENT").await["SecretString"], before);
    assert_eq!(stack.counts("spare").unwrap().total(), 0);
    stack.stop().await;
}
