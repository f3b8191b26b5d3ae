//! `hub map`: what the hub would understand of a payload.

use std::collections::BTreeMap;
use std::process::ExitCode;

use canonical::Change;
use providers::{EventBody, Inbound, InboundEvent, Overrides, Provider};
use serde_json::{Map, Value, json};

use crate::cli::MapArgs;
use crate::config::finding::suggestion;
use crate::operate::text::instant;
use crate::out::{CommandError, read, shown};

/// Runs the command.
pub fn run(args: &MapArgs) -> Result<ExitCode, CommandError> {
    let provider = open(&args.provider)?;
    let body = read(&args.file)?;
    let shown_file = shown(&args.file);
    let malformed =
        |m: providers::Malformed| CommandError::Usage(format!("`{shown_file}` is no payload of {}: {m}", args.provider));
    let connection = args.connection.as_deref().unwrap_or(&args.provider);
    let named = args.object.clone().or_else(|| provider.object_in(&body).filter(|name| provider.object_of(name).is_some()));
    if let Some(object) = named {
        let changes = provider.record(connection, &object, &body).map_err(malformed)?;
        if changes.is_empty() {
            eprintln!("nothing is mapped for records of `{object}`");
        }
        print(&changes.iter().map(|change| shape(change, None)).collect());
        changes.iter().for_each(|change| tell_problems(change, &object));
        return unmapped(&provider, &body, args.unmapped, malformed);
    }
    let headers: BTreeMap<String, String> = args.headers.iter().cloned().collect();
    let inbound = Inbound { connection, headers: &headers, target: "", body: &body };
    let events = provider.events(&inbound).map_err(malformed)?;
    print(&events.iter().flat_map(shapes).collect());
    events.iter().for_each(tell);
    let code = unmapped(&provider, &body, args.unmapped, malformed)?;
    let broken = events.iter().any(|e| matches!(e.body, EventBody::Malformed { .. }));
    Ok(if broken { ExitCode::FAILURE } else { code })
}

fn unmapped(
    provider: &Provider,
    body: &[u8],
    wanted: bool,
    malformed: impl Fn(providers::Malformed) -> CommandError,
) -> Result<ExitCode, CommandError> {
    if wanted {
        let paths = provider.unmapped(body).map_err(malformed)?;
        eprintln!("{} that hold something and that nothing reads", counted(paths.len(), "path"));
        paths.iter().for_each(|path| eprintln!("  {path}"));
    }
    Ok(ExitCode::SUCCESS)
}

/// A provider of the embedded folders.
pub fn open(name: &str) -> Result<Provider, CommandError> {
    let known = Provider::builtin_names();
    if !known.contains(&name) {
        let help = suggestion(name, known.iter().copied());
        return Err(CommandError::Usage(format!("there is no provider `{name}`; {help}")));
    }
    Provider::builtin(name, &Overrides::default()).map_err(|e| CommandError::Usage(format!("provider `{name}`: {e}")))
}

/// What an event says, as it is printed.
fn shapes(event: &InboundEvent) -> Vec<Value> {
    match &event.body {
        EventBody::Changes(changes) => changes.iter().map(|change| shape(change, Some(event))).collect(),
        EventBody::Fetch(wanted) => wanted.iter().map(|source| json!({ "event": event.event_type, "fetch": source })).collect(),
        EventBody::Sweep { objects, reason } => {
            vec![json!({ "event": event.event_type, "sweep": objects, "reason": reason })]
        }
        EventBody::Retained { .. } | EventBody::Ignored { .. } | EventBody::Malformed { .. } => Vec::new(),
    }
}

/// A canonical record with plain values; what is not there is left out.
fn shape(change: &Change, event: Option<&InboundEvent>) -> Value {
    let mut record = Map::new();
    if let Some(event) = event {
        record.insert("event".to_owned(), json!(event.event_type));
    }
    record.insert("object".to_owned(), json!(change.object));
    record.insert("source".to_owned(), json!(change.source));
    let kind = serde_json::to_value(&change.kind).unwrap_or_default();
    record.insert("kind".to_owned(), kind.get("type").cloned().unwrap_or_default());
    if let Some(survivor) = kind.get("id") {
        record.insert("merged_into".to_owned(), survivor.clone());
    }
    record.insert("stamp".to_owned(), json!(change.stamp.map(|stamp| instant(stamp.at_ms))));
    record.insert("fields".to_owned(), json!(change.values()));
    let flagged: Vec<_> = change.fields.iter().filter(|(_, field)| field.flagged).map(|(name, _)| name).collect();
    let more = [
        ("flagged", json!(flagged), flagged.is_empty()),
        ("external_ids", json!(change.external_ids), change.external_ids.is_empty()),
        ("problems", json!(change.problems), change.problems.is_empty()),
        ("test", json!(change.test), !change.test),
    ];
    record.extend(more.into_iter().filter(|(_, _, empty)| !empty).map(|(name, value, _)| (name.to_owned(), value)));
    Value::Object(record)
}

fn tell_problems(change: &Change, of: &str) {
    for problem in &change.problems {
        eprintln!("{of}: `{}` is set aside: {} at `{}`", problem.field, problem.reason, problem.path);
    }
}

fn tell(event: &InboundEvent) {
    let name = if event.event_type.is_empty() { "without a type" } else { &event.event_type };
    match &event.body {
        EventBody::Ignored { reason } => eprintln!("event {} ({name}) is not supported: {reason}", event.index),
        EventBody::Retained { reason, .. } => eprintln!("event {} ({name}) is retained as it came: {reason}", event.index),
        EventBody::Malformed { reason } => eprintln!("event {} ({name}) is malformed: {reason}", event.index),
        EventBody::Sweep { reason, .. } => eprintln!("event {} ({name}) asks for a sweep: {reason}", event.index),
        EventBody::Fetch(wanted) => {
            eprintln!("event {} ({name}) is thin: the hub reads {} from the API", event.index, counted(wanted.len(), "record"));
        }
        EventBody::Changes(changes) => {
            changes.iter().for_each(|change| tell_problems(change, name));
        }
    }
}

fn counted(n: usize, word: &str) -> String {
    format!("{n} {word}{}", if n == 1 { "" } else { "s" })
}

fn print(records: &Vec<Value>) {
    println!("{:#}", json!(records));
}
