//! `hub dlq`: what is parked, why, and the way back.

use std::collections::{BTreeMap, BTreeSet};

use canonical::{BodyRef, Dispatch, Envelope, EnvelopeKind, ReadRequest};
use sync::config::Hub;
use sync::failure::{Code, Failure};
use sync::ports::{Delivery, Outgoing};

use super::Ports;
use super::text::{instant, table};

/// How long a message that is being looked at is hidden from others, in seconds.
const LOOK_S: u32 = 60;
/// Receives that bring nothing new before a queue counts as seen: one answer may come from a few of its hosts only.
const EMPTY_RECEIVES: u32 = 2;

/// A parked message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parked {
    /// The dead-letter queue.
    pub queue: String,
    /// The message.
    pub delivery: Delivery,
}

impl Parked {
    fn attribute(&self, name: &str) -> Option<&str> {
        self.delivery.attributes.get(name).map(String::as_str)
    }

    /// Where it goes back to.
    pub fn origin(&self) -> &str {
        self.attribute("origin").unwrap_or_else(|| self.queue.strip_suffix("-dlq").unwrap_or(&self.queue))
    }

    /// Why it is here; the queue's own safety net gives no code.
    pub fn code(&self) -> &str {
        self.attribute("code").unwrap_or("max-receives")
    }

    fn detail(&self) -> &str {
        self.attribute("detail").unwrap_or("the queue gave it up after too many receives; look at the function's log")
    }
}

/// The dead-letter queues of a configuration.
pub fn queues(hub: &Hub) -> Vec<String> {
    let mut queues: Vec<String> = ["ingest-urgent-dlq", "ingest-bulk-dlq", "fetch-dlq"].map(str::to_owned).to_vec();
    queues.extend(hub.connections.iter().filter(|(_, c)| c.destination).map(|(name, _)| format!("upsert-{name}-dlq")));
    queues
}

/// The queue that a person means: `hubspot`, `upsert-hubspot` and `upsert-hubspot-dlq` are one.
pub fn queue_named(hub: &Hub, name: &str) -> Result<String, Failure> {
    let all = queues(hub);
    let tries = [name.to_owned(), format!("{name}-dlq"), format!("upsert-{name}-dlq")];
    match tries.into_iter().find(|t| all.contains(t)) {
        Some(queue) => Ok(queue),
        None => Err(Failure::new(
            Code::UnknownConnection,
            format!("there is no dead-letter queue `{name}`; known: {}", all.join(", ")),
        )),
    }
}

/// Every message of these queues, hidden from others for a minute at most.
pub async fn look<P: Ports>(ports: &P, queues: &[String]) -> Result<Vec<Parked>, Failure> {
    let mut parked = Vec::new();
    for queue in queues {
        let mut seen = BTreeSet::new();
        let mut empty = 0;
        while empty < EMPTY_RECEIVES {
            let before = seen.len();
            for delivery in ports.receive(queue, LOOK_S).await? {
                if seen.insert(delivery.id.clone()) {
                    parked.push(Parked { queue: queue.clone(), delivery });
                }
            }
            empty = if seen.len() == before { empty + 1 } else { 0 };
        }
    }
    Ok(parked)
}

/// Lets go of messages that were looked at.
pub async fn release<P: Ports>(ports: &P, parked: &[Parked]) {
    for message in parked {
        // Not worth an error: it reappears by itself in a minute.
        let _ = ports.delay(&message.queue.as_str().into(), &message.delivery.receipt, 0).await;
    }
}

/// Sends messages back to where they came from, with fresh attempts. Returns how many.
pub async fn redrive<P: Ports>(ports: &P, parked: &[Parked]) -> Result<usize, Failure> {
    let mut count = 0;
    for message in parked {
        let mut back = Outgoing::new(message.delivery.body.clone());
        if let Some(event) = message.attribute("event") {
            back.attributes.insert("event".to_owned(), event.to_owned());
        }
        let mut sent = ports.send(&message.origin().into(), vec![back]).await;
        sent.pop().unwrap_or_else(|| Err(sync::ports::PortError::rejected("the queue gave no answer")))?;
        // Deleted only now: a crash in between sends it twice, which the hub notices.
        ports.delete(&message.queue, &message.delivery.receipt).await?;
        count += 1;
    }
    Ok(count)
}

/// The messages as a table, and how many there are of each code.
pub fn render(parked: &[Parked]) -> String {
    if parked.is_empty() {
        return "nothing is parked\n".to_owned();
    }
    let mut rows = vec![["queue", "id", "code", "what"].map(str::to_owned).to_vec()];
    let mut codes: BTreeMap<&str, usize> = BTreeMap::new();
    for message in parked {
        *codes.entry(message.code()).or_default() += 1;
        rows.push(vec![
            message.queue.clone(),
            message.delivery.id.clone(),
            message.code().to_owned(),
            summary(&message.delivery.body),
        ]);
    }
    let mut text = table(&rows);
    for (code, count) in codes {
        text += &format!("{count} × {code}: {}\n", page(code));
    }
    text
}

fn page(code: &str) -> String {
    if Code::ALL.iter().any(|c| c.name() == code) { format!("docs/errors/{code}.md") } else { "docs/errors/README.md".to_owned() }
}

/// One message, without personal data unless `reveal`.
pub fn show(message: &Parked, reveal: bool) -> String {
    let mut text = format!(
        "message   {}\nqueue     {}\ngoes back to  {}\ncode      {}  ({})\ndetail    {}\ntries     {}\nwhat      {}\n",
        message.delivery.id,
        message.queue,
        message.origin(),
        message.code(),
        page(message.code()),
        message.detail(),
        message.delivery.receive_count,
        summary(&message.delivery.body),
    );
    if let Some(event) = message.attribute("event") {
        text += &format!("event     {event} of the envelope; only this one is handled again\n");
    }
    if let Ok(envelope) = serde_json::from_str::<Envelope>(&message.delivery.body) {
        text += &format!("received  {}\ntrace     {}\n", instant(envelope.received_at_ms), envelope.trace);
    }
    if reveal {
        text += &format!("\n{}\n", body(&message.delivery.body));
    } else {
        text += "the body may hold personal data: --reveal shows it\n";
    }
    text
}

/// The provider's body of an envelope; any other message as it is.
fn body(text: &str) -> String {
    match serde_json::from_str::<Envelope>(text) {
        Ok(Envelope { body: BodyRef::Text(body), .. }) => body,
        Ok(Envelope { body: BodyRef::Base64(body), .. }) => format!("base64: {body}"),
        Ok(Envelope { body: BodyRef::Blob(key), .. }) => format!("in the bucket, at {key}"),
        Err(_) => text.to_owned(),
    }
}

/// What a message is about, without personal data.
fn summary(text: &str) -> String {
    if let Ok(dispatch) = serde_json::from_str::<Dispatch>(text) {
        return format!("dispatch of {} {} version {}", dispatch.object, dispatch.record, dispatch.version);
    }
    match serde_json::from_str(text) {
        Ok(ReadRequest::Fetch(request)) => return format!("fetch of {}", request.source),
        Ok(ReadRequest::Sweep(request)) => return format!("comparison with {}: {}", request.connection, request.reason),
        Err(_) => {}
    }
    match serde_json::from_str::<Envelope>(text) {
        Ok(envelope) => match &envelope.kind {
            EnvelopeKind::Webhook => format!("webhook of {}, envelope {}", envelope.connection, envelope.id),
            EnvelopeKind::Fetched(fetched) => format!("record read: {}, envelope {}", fetched.source, envelope.id),
        },
        Err(_) => format!("{} bytes that are no message of the hub", text.len()),
    }
}
