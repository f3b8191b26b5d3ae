//! `hub dlq`: lists parked messages, shows one, or sends them back to their queues.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use canonical::{BodyRef, Dispatch, Envelope, EnvelopeKind, QueueName, ReadRequest};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use sync::config::Hub;
use sync::failure::{Code, Failure};
use sync::ports::{Delivery, Outgoing, PortError};

use super::Ports;
use super::open::HubArgs;
use crate::out::{CommandError, block_on, counted, print, print_json, print_line};
use crate::queues::dead_letter_queues;
use crate::text::{WIDTH, cut, instant, wrapped};

/// How long a received message is hidden from other receivers, in seconds.
const HIDDEN_S: u32 = 60;
/// Receives without a new message after which a queue counts as read: one answer may come from a few of its hosts only.
const EMPTY_RECEIVES: u32 = 2;

/// Arguments of `hub dlq`.
#[derive(Debug, Args)]
pub struct DlqArgs {
    /// The hub.
    #[command(flatten)]
    pub hub: HubArgs,
    /// The action.
    #[command(subcommand)]
    pub action: DlqAction,
}

/// The actions on parked messages.
#[derive(Debug, Subcommand)]
pub enum DlqAction {
    /// List parked messages with the code of their error
    List {
        /// Only this queue: upsert-hubspot, ingest-urgent, …
        #[arg(long)]
        queue: Option<String>,
        /// Print JSON, for programs
        #[arg(long)]
        json: bool,
    },
    /// Show one message
    Show {
        /// Only this queue
        #[arg(long)]
        queue: Option<String>,
        /// The message's id, or its beginning
        #[arg(long)]
        id: String,
        /// Show the body, which may hold personal data
        #[arg(long)]
        reveal: bool,
    },
    /// Send messages back to the queues that they came from; their attempts count from zero
    Redrive {
        /// Only this queue
        #[arg(long)]
        queue: Option<String>,
        /// Only messages whose id begins like this
        #[arg(long)]
        id: Option<String>,
        /// Only messages with this error code
        #[arg(long)]
        code: Option<String>,
    },
}

impl DlqAction {
    fn queue(&self) -> Option<&str> {
        match self {
            DlqAction::List { queue, .. } | DlqAction::Show { queue, .. } | DlqAction::Redrive { queue, .. } => queue.as_deref(),
        }
    }

    fn id(&self) -> Option<&str> {
        match self {
            DlqAction::List { .. } => None,
            DlqAction::Show { id, .. } => Some(id),
            DlqAction::Redrive { id, .. } => id.as_deref(),
        }
    }

    /// Whether the action is about this message.
    fn selects(&self, message: &Parked) -> bool {
        let code = match self {
            DlqAction::Redrive { code, .. } => code.as_deref(),
            DlqAction::List { .. } | DlqAction::Show { .. } => None,
        };
        self.id().is_none_or(|id| message.delivery.id.starts_with(id)) && code.is_none_or(|code| message.code() == code)
    }
}

/// Runs the command.
pub fn run(args: &DlqArgs) -> Result<ExitCode, CommandError> {
    let hub = args.hub.open()?;
    block_on(act(&hub.ports, &hub.config, &args.action))
}

async fn act<P: Ports>(ports: &P, hub: &Hub, action: &DlqAction) -> Result<ExitCode, CommandError> {
    let queues = match action.queue() {
        Some(name) => vec![queue_named(hub, name)?],
        None => dead_letter_queues(hub),
    };
    let (selected, others): (Vec<_>, Vec<_>) =
        receive_all(ports, &queues).await?.into_iter().partition(|message| action.selects(message));
    release(ports, &others).await;
    if let (Some(id), true) = (action.id(), selected.is_empty()) {
        eprintln!("there is no parked message whose id begins with `{id}`");
        return Ok(ExitCode::FAILURE);
    }
    match action {
        DlqAction::List { json, .. } => {
            release(ports, &selected).await;
            if *json {
                print_json(&as_json(&selected))?;
            } else {
                print(render(&selected))?;
            }
        }
        DlqAction::Show { reveal, .. } => {
            release(ports, &selected).await;
            let texts: Vec<String> = selected.iter().map(|message| show(message, *reveal)).collect();
            print(texts.join("\n"))?;
        }
        DlqAction::Redrive { .. } => {
            let sent = redrive(ports, &selected).await?;
            print_line(format_args!("{} sent back", counted(sent, "message")))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A parked message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parked {
    /// The dead-letter queue.
    pub queue: QueueName,
    /// The message.
    pub delivery: Delivery,
}

impl Parked {
    fn attribute(&self, name: &str) -> Option<&str> {
        self.delivery.attributes.get(name).map(String::as_str)
    }

    /// The queue to which a redrive sends it.
    pub fn origin(&self) -> QueueName {
        self.attribute("origin").unwrap_or_else(|| self.queue.strip_suffix("-dlq").unwrap_or(&self.queue)).into()
    }

    /// The code of its error. Messages that the queue itself moved here have no code.
    pub fn code(&self) -> &str {
        self.attribute("code").unwrap_or("max-receives")
    }

    /// When the hub received what the message is about, in milliseconds since 1970; `None` for a message that does not say it.
    fn at_ms(&self) -> Option<i64> {
        let body: Value = serde_json::from_str(&self.delivery.body).ok()?;
        [&body["received_at_ms"], &body["cause"]["received_at_ms"]].into_iter().find_map(Value::as_i64)
    }

    fn detail(&self) -> &str {
        self.attribute("detail").unwrap_or("the queue moved it here after too many receives; the function's log has the reason")
    }
}

/// The dead-letter queue that a name stands for: `hubspot`, `upsert-hubspot` and `upsert-hubspot-dlq` name the same one.
pub fn queue_named(hub: &Hub, name: &str) -> Result<QueueName, CommandError> {
    let known = dead_letter_queues(hub);
    let queue = QueueName::from(name);
    let candidates = [queue.dead_letter(), QueueName::upsert(name).dead_letter(), queue];
    candidates.into_iter().find(|candidate| known.contains(candidate)).ok_or_else(|| {
        let known: Vec<&str> = known.iter().map(QueueName::as_str).collect();
        CommandError::Usage(format!("there is no dead-letter queue `{name}`; known: {}", known.join(", ")))
    })
}

/// Receives every message of these queues, the oldest first. They are hidden from other receivers for a minute, or until [`release`].
pub async fn receive_all<P: Ports>(ports: &P, queues: &[QueueName]) -> Result<Vec<Parked>, Failure> {
    let mut parked = Vec::new();
    for queue in queues {
        let mut seen = BTreeSet::new();
        let mut empty = 0;
        while empty < EMPTY_RECEIVES {
            let before = seen.len();
            for delivery in ports.receive(queue, HIDDEN_S).await? {
                if seen.insert(delivery.id.clone()) {
                    parked.push(Parked { queue: queue.clone(), delivery });
                }
            }
            empty = if seen.len() == before { empty + 1 } else { 0 };
        }
    }
    parked.sort_by_key(|message| (message.at_ms(), message.queue.to_string(), message.delivery.id.clone()));
    Ok(parked)
}

/// Makes received messages visible again.
pub async fn release<P: Ports>(ports: &P, parked: &[Parked]) {
    for message in parked {
        // An error does no harm: the message becomes visible by itself within a minute.
        let _ = ports.delay(&message.queue, &message.delivery.receipt, 0).await;
    }
}

/// Sends messages back to the queues that they came from. Their attempts count from zero. Returns the number of messages.
pub async fn redrive<P: Ports>(ports: &P, parked: &[Parked]) -> Result<usize, Failure> {
    let mut count = 0;
    for message in parked {
        let mut back = Outgoing::new(message.delivery.body.clone());
        if let Some(event) = message.attribute("event") {
            back.attributes.insert("event".to_owned(), event.to_owned());
        }
        let mut sent = ports.send(&message.origin(), vec![back]).await;
        sent.pop().unwrap_or_else(|| Err(PortError::rejected("the queue gave no answer")))?;
        // Deleted last: a crash in between sends the message twice, and the hub recognises the duplicate.
        ports.delete(&message.queue, &message.delivery.receipt).await?;
        count += 1;
    }
    Ok(count)
}

/// The messages in lines of 80 columns, the oldest first, then the number of messages by code.
pub fn render(parked: &[Parked]) -> String {
    if parked.is_empty() {
        return "no message is parked\n".to_owned();
    }
    let mut text = String::new();
    let mut codes: BTreeMap<&str, usize> = BTreeMap::new();
    for message in parked {
        *codes.entry(message.code()).or_default() += 1;
        let at = message.at_ms().map_or_else(|| "time not known".to_owned(), instant);
        text += &(cut(&format!("{at}  {}  {}", message.queue, message.code()), WIDTH) + "\n");
        text += &(cut(&format!("  {}  {}", message.delivery.id, summary(&message.delivery.body)), WIDTH) + "\n");
    }
    text.push('\n');
    for (code, count) in codes {
        text += &wrapped(&format!("{count} × {code}: {}", page(code)), 2);
    }
    text
}

/// The messages for programs. The bodies are left out, because they may hold personal data.
pub fn as_json(parked: &[Parked]) -> Value {
    let message = |message: &Parked| {
        json!({
            "id": message.delivery.id, "queue": message.queue.as_str(), "origin": message.origin().as_str(), "code": message.code(),
            "detail": message.detail(), "page": page(message.code()), "received": message.at_ms().map(instant),
            "receives": message.delivery.receive_count, "message": summary(&message.delivery.body),
        })
    };
    parked.iter().map(message).collect()
}

/// The page about an error code.
fn page(code: &str) -> String {
    if Code::ALL.iter().any(|c| c.name() == code) { format!("docs/errors/{code}.md") } else { "docs/errors/README.md".to_owned() }
}

/// One message. Its body, which may hold personal data, is shown only with `reveal`.
pub fn show(message: &Parked, reveal: bool) -> String {
    let Parked { queue, delivery } = message;
    let code = format!("{}  ({})", message.code(), page(message.code()));
    let mut facts = vec![
        ("id", delivery.id.clone()),
        ("queue", queue.to_string()),
        ("origin", message.origin().to_string()),
        ("code", code),
        ("detail", message.detail().to_owned()),
        ("receives", delivery.receive_count.to_string()),
        ("message", summary(&delivery.body)),
    ];
    if let Some(event) = message.attribute("event") {
        facts.push(("event", format!("{event} of the envelope; a redrive repeats only this event")));
    }
    if let Ok(envelope) = serde_json::from_str::<Envelope>(&delivery.body) {
        facts.push(("received", instant(envelope.received_at_ms)));
        facts.push(("trace", envelope.trace));
    }
    let mut text: String = facts.into_iter().map(|(name, value)| wrapped(&format!("{name:<9} {value}"), 10)).collect();
    if reveal {
        text += &format!("\n{}\n", body(&delivery.body));
    } else {
        text += "the body may hold personal data; --reveal shows it\n";
    }
    text
}

/// The provider's body of an envelope; any other message as it is.
fn body(text: &str) -> String {
    match serde_json::from_str::<Envelope>(text) {
        Ok(Envelope { body: BodyRef::Text(body), .. }) => body,
        Ok(Envelope { body: BodyRef::Base64(body), .. }) => format!("base64: {body}"),
        Ok(Envelope { body: BodyRef::Blob(key), .. }) => format!("in the bucket, key {key}"),
        Err(_) => text.to_owned(),
    }
}

/// One line about a message, without personal data.
fn summary(text: &str) -> String {
    if let Ok(dispatch) = serde_json::from_str::<Dispatch>(text) {
        return format!("dispatch of {} {} version {}", dispatch.object, dispatch.record, dispatch.version);
    }
    match serde_json::from_str(text) {
        Ok(ReadRequest::Fetch(request)) => return format!("fetch of {}", request.source),
        Ok(ReadRequest::Sweep(request)) => return format!("sweep of {}: {}", request.connection, request.reason),
        Ok(ReadRequest::Import(request)) => return format!("page {} of the import of {}", request.step, request.connection),
        Err(_) => {}
    }
    match serde_json::from_str::<Envelope>(text) {
        Ok(envelope) => match &envelope.kind {
            EnvelopeKind::Webhook => format!("webhook of {}, envelope {}", envelope.connection, envelope.id),
            EnvelopeKind::Fetched(fetched) => format!("fetched record {}, envelope {}", fetched.source, envelope.id),
        },
        Err(_) => format!("{}, not a message of the hub", counted(text.len(), "byte")),
    }
}
