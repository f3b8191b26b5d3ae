//! `hub map`: shows what the hub reads from a provider's payload.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use canonical::Change;
use clap::Args;
use providers::{EventBody, Inbound, InboundEvent, Malformed, Provider};
use serde_json::{Map, Value, json};

use crate::configuration::{ConfigArgs, provider};
use crate::files::{read, shown};
use crate::out::{CommandError, counted, print_line};
use crate::text::{header, instant};

/// Arguments of `hub map`.
#[derive(Debug, Args)]
pub struct MapArgs {
    /// The configuration: fields and mapping files of your own, where the connection has some.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// The provider
    #[arg(long, value_name = "NAME")]
    pub provider: String,
    /// The payload: the body of a webhook, or a record from the API; `-` is standard input
    pub file: PathBuf,
    /// Read the payload as a record of this object from the API
    #[arg(long, value_name = "OBJECT")]
    pub object: Option<String>,
    /// A header of the webhook, `name=value`; may be repeated
    #[arg(long = "header", value_name = "K=V", value_parser = header)]
    pub headers: Vec<(String, String)>,
    /// The connection that the records name [default: the provider's name]
    #[arg(long, value_name = "NAME")]
    pub connection: Option<String>,
    /// List the paths of the payload that no rule reads
    #[arg(long)]
    pub unmapped: bool,
}

/// Runs the command.
pub fn run(args: &MapArgs) -> Result<ExitCode, CommandError> {
    let provider = open(args)?;
    let body = read(&args.file)?;
    let malformed =
        |m: Malformed| CommandError::Usage(format!("`{}` is not a payload of {}: {m}", shown(&args.file), args.provider));
    let connection = args.connection.as_deref().unwrap_or(&args.provider);
    let object = args.object.clone().or_else(|| provider.object_in(&body).filter(|name| provider.object_of(name).is_some()));
    let readable = match &object {
        Some(object) => {
            show_record(&provider.record(connection, object, &body).map_err(malformed)?, object)?;
            true
        }
        None => {
            let headers: BTreeMap<String, String> = args.headers.iter().cloned().collect();
            show_events(
                &provider.events(&Inbound { connection, headers: &headers, target: "", body: &body }).map_err(malformed)?,
            )?
        }
    };
    if args.unmapped {
        let unread = match &object {
            Some(object) => provider.unmapped_record(object, &body),
            None => provider.unmapped(&body),
        };
        show_unmapped(&unread.map_err(malformed)?);
    }
    Ok(if readable { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The provider as the connection uses it; without such a connection, as it comes with the hub.
fn open(args: &MapArgs) -> Result<Provider, CommandError> {
    let known = provider(&args.provider)?;
    let mut loaded = args.config.load_sound()?;
    let name = args.connection.as_deref().unwrap_or(&args.provider);
    let own = loaded.providers.remove(name).filter(|own| own.manifest().provider.name == args.provider);
    Ok(own.unwrap_or(known))
}

/// Shows the changes that a record of the API makes.
fn show_record(changes: &[Change], object: &str) -> Result<(), CommandError> {
    if changes.is_empty() {
        eprintln!("no mapping reads records of `{object}`");
    }
    print_records(changes.iter().map(|change| record(change, None)).collect())?;
    changes.iter().for_each(|change| report_problems(change, object));
    Ok(())
}

/// Shows what the events of a webhook lead to. True when all of them can be read.
fn show_events(events: &[InboundEvent]) -> Result<bool, CommandError> {
    print_records(events.iter().flat_map(records).collect())?;
    events.iter().for_each(report_event);
    Ok(!events.iter().any(|e| matches!(e.body, EventBody::Malformed { .. })))
}

fn show_unmapped(paths: &[String]) {
    eprintln!("{} with a value that no rule reads", counted(paths.len(), "path"));
    paths.iter().for_each(|path| eprintln!("  {path}"));
}

/// The printed records of an event.
fn records(event: &InboundEvent) -> Vec<Value> {
    match &event.body {
        EventBody::Changes(changes) => changes.iter().map(|change| record(change, Some(event))).collect(),
        EventBody::Fetch(wanted) => wanted.iter().map(|source| json!({ "event": event.event_type, "fetch": source })).collect(),
        EventBody::Sweep { objects, reason } => {
            vec![json!({ "event": event.event_type, "sweep": objects, "reason": reason })]
        }
        EventBody::Retained { .. } | EventBody::Ignored { .. } | EventBody::Malformed { .. } => Vec::new(),
    }
}

/// A canonical record with plain values. Members without content are left out.
fn record(change: &Change, event: Option<&InboundEvent>) -> Value {
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

fn report_problems(change: &Change, of: &str) {
    for problem in &change.problems {
        eprintln!("{of}: `{}` is quarantined: {} at `{}`", problem.field, problem.reason, problem.path);
    }
}

fn report_event(event: &InboundEvent) {
    let name = if event.event_type.is_empty() { "without a type" } else { &event.event_type };
    match &event.body {
        EventBody::Ignored { reason } => eprintln!("event {} ({name}) is not supported: {reason}", event.index),
        EventBody::Retained { reason, .. } => eprintln!("event {} ({name}) is retained as it came: {reason}", event.index),
        EventBody::Malformed { reason } => eprintln!("event {} ({name}) is malformed: {reason}", event.index),
        EventBody::Sweep { reason, .. } => eprintln!("event {} ({name}) requests a sweep: {reason}", event.index),
        EventBody::Fetch(wanted) => {
            eprintln!("event {} ({name}) is thin: the hub reads {} from the API", event.index, counted(wanted.len(), "record"));
        }
        EventBody::Changes(changes) => changes.iter().for_each(|change| report_problems(change, name)),
    }
}

fn print_records(records: Vec<Value>) -> Result<(), CommandError> {
    print_line(format_args!("{:#}", Value::Array(records)))
}
