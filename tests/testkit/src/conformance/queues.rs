//! Messages: what is stored of them, which are refused, when they can be received, and where they go if they are not deleted.

use std::collections::{BTreeMap, BTreeSet};

use sync::ports::{Delivery, Outgoing, PortError, Queue};

use super::{Area, Check, Deviation, During, Outcome, Subject, expect, list, rejected};

/// How long a received message stays hidden where that does not matter, in seconds.
const HIDDEN_S: u32 = 120;
/// Greatest message.
const MOST_BYTES: usize = 1_048_576;

pub(super) fn checks<S: Subject>() -> Vec<Check<S>> {
    list![Area::Queues, S:
        "a message comes back as it was sent, until it is deleted" => round_trip,
        "25 messages are all sent and all received" => batches,
        "what is said to be sent can be received, the rest cannot" => one_bad,
        "one bad message does not hold up its neighbours" => neighbours,
        "a message of a mebibyte is kept" => large,
        "messages of more than a mebibyte together are all kept" => large_together,
        "a message above a mebibyte is rejected, its neighbours are not" => too_large,
        "attributes count towards the mebibyte" => too_large_with_attributes,
        "odd but valid texts are kept" => texts,
        "empty and unsendable bodies are rejected" => refusals,
        "an empty attribute is rejected" => empty_attribute,
        "more than ten attributes are rejected" => many_attributes,
        "an unknown queue rejects every message" => unknown_queue,
        "a delayed message appears when its time has come" => delay,
        "a received message is hidden, and comes back when delayed by nothing" => visibility,
        "a fair-queue group is accepted" => group,
        "a message received too often moves to the dead-letter queue" => redrive,
    ]
}

/// Sends, and wants every message to be taken.
async fn send<S: Subject>(subject: &S, queue: &str, messages: Vec<Outgoing>) -> Outcome {
    let count = messages.len();
    expect("sending", subject.ports().send(&queue.into(), messages).await, vec![Ok(()); count])
}

/// Receives until `wanted` messages are there, or for three seconds; then once more, for those that are too many.
async fn drain<S: Subject>(subject: &S, queue: &str, wanted: usize) -> Result<Vec<Delivery>, Deviation> {
    let mut all: Vec<Delivery> = Vec::new();
    for _ in 0..30 {
        let some = subject.receive(queue, HIDDEN_S).await.during("a receive")?;
        let none = some.is_empty();
        all.extend(some);
        if none && all.len() >= wanted {
            break;
        }
        if none {
            subject.pass(100).await;
        }
    }
    for delivery in &all {
        subject.delete(queue, &delivery.receipt).await.during("a delete")?;
    }
    Ok(all)
}

fn bodies(deliveries: &[Delivery]) -> BTreeSet<&str> {
    deliveries.iter().map(|delivery| delivery.body.as_str()).collect()
}

async fn round_trip<S: Subject>(subject: &S) -> Outcome {
    let attributes: BTreeMap<String, String> =
        [("trace", "00-ab-01"), ("attempt", "3"), ("reason", "é 🙂")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    send(subject, "round-trip", vec![Outgoing { attributes: attributes.clone(), ..Outgoing::new(r#"{"a":1}"#) }]).await?;
    let first = subject.receive("round-trip", 1).await.during("a receive")?;
    let [delivery] = first.as_slice() else { return Err(Deviation::new(format!("received {} messages of one", first.len()))) };
    expect("the body", delivery.body.as_str(), r#"{"a":1}"#)?;
    expect("the attributes", &delivery.attributes, &attributes)?;
    expect("the receive count", delivery.receive_count, 1)?;
    expect("whether it has an id", delivery.id.is_empty(), false)?;
    subject.delete("round-trip", &delivery.receipt).await.during("a delete")?;
    subject.pass(1_500).await;
    expect("after the delete", subject.receive("round-trip", HIDDEN_S).await, Ok(Vec::new()))
}

async fn batches<S: Subject>(subject: &S) -> Outcome {
    let texts: Vec<String> = (0..25).map(|i| format!("message {i}")).collect();
    send(subject, "batches", texts.iter().map(Outgoing::new).collect()).await?;
    let received = drain(subject, "batches", 25).await?;
    expect("how many were received", received.len(), 25)?;
    expect("which were received", bodies(&received), texts.iter().map(String::as_str).collect())?;
    let ids: BTreeSet<&str> = received.iter().map(|delivery| delivery.id.as_str()).collect();
    expect("how many ids there are", ids.len(), 25)?;
    expect("sending nothing", subject.ports().send(&"batches".into(), Vec::new()).await, Vec::new())
}

fn with_bad(tag: &str) -> Vec<Outgoing> {
    // The null character is one that SQS does not carry.
    ["good 1", "bad \0", "good 2"].map(|text| Outgoing::new(format!("{tag} {text}"))).to_vec()
}

async fn one_bad<S: Subject>(subject: &S) -> Outcome {
    let messages = with_bad("one-bad");
    let results = subject.ports().send(&"one-bad".into(), messages.clone()).await;
    expect("the number of results", results.len(), 3)?;
    rejected("the bad message", results[1].clone())?;
    let sent: BTreeSet<&str> = messages.iter().zip(&results).filter(|(_, r)| r.is_ok()).map(|(m, _)| m.body.as_str()).collect();
    let received = drain(subject, "one-bad", sent.len()).await?;
    expect("what was received", bodies(&received), sent)
}

async fn neighbours<S: Subject>(subject: &S) -> Outcome {
    let results = subject.ports().send(&"one-bad".into(), with_bad("neighbours")).await;
    drain(subject, "one-bad", 2).await?;
    expect("the neighbours", (results[0].clone(), results[2].clone()), (Ok(()), Ok(())))
}

async fn large<S: Subject>(subject: &S) -> Outcome {
    let attributes: BTreeMap<String, String> = [("trace".to_owned(), "t".repeat(500))].into();
    // The name, the type `String` and the value of an attribute count.
    let body = "x".repeat(MOST_BYTES - 511);
    // Quotes and letters of several bytes grow when a request is written as JSON, but not in the count.
    let messages = vec![
        Outgoing { attributes, ..Outgoing::new(body.clone()) },
        Outgoing::new("\"".repeat(MOST_BYTES)),
        Outgoing::new("é".repeat(MOST_BYTES / 2)),
    ];
    send(subject, "sizes", messages).await?;
    let received = drain(subject, "sizes", 3).await?;
    let lengths: Vec<usize> = received.iter().map(|delivery| delivery.body.len()).collect();
    let firsts: BTreeSet<char> = received.iter().filter_map(|delivery| delivery.body.chars().next()).collect();
    expect("which were received", firsts, BTreeSet::from(['x', '"', 'é']))?;
    expect("the bytes of all", lengths.iter().sum::<usize>(), body.len() + 2 * MOST_BYTES)
}

async fn large_together<S: Subject>(subject: &S) -> Outcome {
    let sizes = [500_000, 500_000, 500_000, 48_576, 700_000];
    send(subject, "sizes", sizes.map(|size| Outgoing::new("y".repeat(size))).to_vec()).await?;
    let mut lengths: Vec<usize> = drain(subject, "sizes", sizes.len()).await?.iter().map(|d| d.body.len()).collect();
    lengths.sort_unstable();
    expect("the lengths", lengths, vec![48_576, 500_000, 500_000, 500_000, 700_000])
}

async fn too_large<S: Subject>(subject: &S) -> Outcome {
    let messages = vec![Outgoing::new("before"), Outgoing::new("x".repeat(MOST_BYTES + 1)), Outgoing::new("after")];
    let results = subject.ports().send(&"sizes".into(), messages).await;
    expect("the neighbours", (results.first().cloned(), results.get(2).cloned()), (Some(Ok(())), Some(Ok(()))))?;
    rejected("the message", results[1].clone())?;
    expect("what was received", bodies(&drain(subject, "sizes", 2).await?), BTreeSet::from(["before", "after"]))
}

async fn too_large_with_attributes<S: Subject>(subject: &S) -> Outcome {
    let attributes: BTreeMap<String, String> = [("trace".to_owned(), "t".to_owned())].into();
    let with = |body: usize| Outgoing { attributes: attributes.clone(), ..Outgoing::new("x".repeat(body)) };
    let results = subject.ports().send(&"sizes".into(), vec![with(MOST_BYTES - 12), with(MOST_BYTES - 11)]).await;
    let received = drain(subject, "sizes", 1).await?;
    expect("a mebibyte with its attribute", results[0].clone(), Ok(()))?;
    rejected("one byte more", results[1].clone())?;
    expect("how many were received", received.len(), 1)
}

async fn texts<S: Subject>(subject: &S) -> Outcome {
    let texts =
        ["tab\tline\r\nend", "né 東京 🙂", "<a>&amp;\"'</a>", " ", "%00%20+", "\u{7f}\u{85}\u{e000}\u{fffd}", "\\u0000", "null"];
    send(subject, "texts", texts.map(Outgoing::new).to_vec()).await?;
    expect("the bodies", bodies(&drain(subject, "texts", texts.len()).await?), texts.into_iter().collect())
}

async fn refusals<S: Subject>(subject: &S) -> Outcome {
    for (what, body) in [("an empty body", ""), ("a character that SQS does not carry", "\u{1}")] {
        rejected(what, send_one(subject, Outgoing::new(body)).await)?;
    }
    expect("what was received", bodies(&drain(subject, "refusals", 0).await?), BTreeSet::new())
}

async fn empty_attribute<S: Subject>(subject: &S) -> Outcome {
    let attributes = [("empty".to_owned(), String::new())].into();
    let result = send_one(subject, Outgoing { attributes, ..Outgoing::new("empty attribute") }).await;
    let received = drain(subject, "refusals", usize::from(result.is_ok())).await?;
    rejected("the message", result)?;
    expect("what was received", bodies(&received), BTreeSet::new())
}

async fn many_attributes<S: Subject>(subject: &S) -> Outcome {
    let with = |count: usize| {
        let attributes = (0..count).map(|i| (format!("a{i}"), "v".to_owned())).collect();
        Outgoing { attributes, ..Outgoing::new("attributes") }
    };
    expect("ten", send_one(subject, with(10)).await, Ok(()))?;
    expect(
        "the attributes of a message with ten",
        drain(subject, "refusals", 1).await?.first().map(|d| d.attributes.len()),
        Some(10),
    )?;
    rejected("eleven", send_one(subject, with(11)).await)
}

/// Sends to the queue of refusals.
async fn send_one<S: Subject>(subject: &S, message: Outgoing) -> Result<(), PortError> {
    let result = subject.ports().send(&"refusals".into(), vec![message]).await.pop();
    result.unwrap_or_else(|| Err(PortError::unavailable("no result")))
}

async fn unknown_queue<S: Subject>(subject: &S) -> Outcome {
    let results = subject.ports().send(&"no-such-queue".into(), vec![Outgoing::new("1"), Outgoing::new("2")]).await;
    expect("the number of results", results.len(), 2)?;
    for result in results {
        rejected("a message", result)?;
    }
    rejected("a delay", subject.ports().delay(&"no-such-queue".into(), "receipt", 1).await)
}

async fn delay<S: Subject>(subject: &S) -> Outcome {
    send(subject, "delays", vec![Outgoing { delay_s: 3, ..Outgoing::new("later") }, Outgoing::new("now")]).await?;
    let first = subject.receive("delays", HIDDEN_S).await.during("a receive")?;
    expect("at once", bodies(&first), BTreeSet::from(["now"]))?;
    subject.pass(3_200).await;
    let second = drain(subject, "delays", 1).await?;
    expect("after its time", bodies(&second), BTreeSet::from(["later"]))?;
    expect("the receive count", second[0].receive_count, 1)
}

async fn visibility<S: Subject>(subject: &S) -> Outcome {
    let queue = "visibility";
    let ports = subject.ports();
    send(subject, queue, vec![Outgoing::new("again")]).await?;
    let first = drain_one(subject, queue, 1).await?;
    expect("while it is hidden", subject.receive(queue, HIDDEN_S).await, Ok(Vec::new()))?;
    ports.delay(&queue.into(), &first.receipt, 0).await.during("a delay of nothing")?;
    let second = drain_one(subject, queue, 2).await?;
    expect("the message", (&second.id, &second.body), (&first.id, &first.body))?;
    ports.delay(&queue.into(), &second.receipt, 3).await.during("a delay")?;
    expect("while it is delayed", subject.receive(queue, HIDDEN_S).await, Ok(Vec::new()))?;
    subject.pass(3_200).await;
    let third = drain_one(subject, queue, 3).await?;
    subject.pass(1_500).await;
    rejected("a delay beyond 12 hours from the receive", ports.delay(&queue.into(), &second.receipt, 43_200).await)?;
    rejected("a receipt that was never issued", ports.delay(&queue.into(), "bm90IGEgcmVjZWlwdA==", 5).await)?;
    subject.delete(queue, &third.receipt).await.during("a delete")?;
    // AWS may say of a deleted message that it is not in flight, or take the call and do nothing.
    expect("after the delete", subject.receive(queue, HIDDEN_S).await, Ok(Vec::new()))
}

/// The one message of a queue, with its receive count.
async fn drain_one<S: Subject>(subject: &S, queue: &str, count: u32) -> Result<Delivery, Deviation> {
    for _ in 0..10 {
        let received = subject.receive(queue, HIDDEN_S).await.during("a receive")?;
        if let Some(delivery) = received.into_iter().next() {
            expect("the receive count", delivery.receive_count, count)?;
            return Ok(delivery);
        }
        subject.pass(100).await;
    }
    Err(Deviation::new(format!("the message was not received the {count}. time")))
}

async fn group<S: Subject>(subject: &S) -> Outcome {
    let messages = ["1", "2", "3"].map(|text| Outgoing { group: Some(format!("group-{text}")), ..Outgoing::new(text) });
    send(subject, "groups", messages.to_vec()).await?;
    expect("the bodies", bodies(&drain(subject, "groups", 3).await?), BTreeSet::from(["1", "2", "3"]))
}

async fn redrive<S: Subject>(subject: &S) -> Outcome {
    let attributes: BTreeMap<String, String> = [("trace".to_owned(), "t1".to_owned())].into();
    send(subject, "redrive", vec![Outgoing { attributes: attributes.clone(), ..Outgoing::new("poison") }]).await?;
    for count in 1..=2 {
        let delivery = drain_one(subject, "redrive", count).await?;
        expect("the dead-letter queue before", subject.receive("dead", HIDDEN_S).await, Ok(Vec::new()))?;
        subject.ports().delay(&"redrive".into(), &delivery.receipt, 0).await.during("a delay of nothing")?;
    }
    expect("the third time", subject.receive("redrive", HIDDEN_S).await, Ok(Vec::new()))?;
    let dead = drain(subject, "dead", 1).await?;
    expect("the dead-letter queue", bodies(&dead), BTreeSet::from(["poison"]))?;
    expect("the attributes", &dead[0].attributes, &attributes)
}
