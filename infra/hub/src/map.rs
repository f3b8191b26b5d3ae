//! `hub map`: what the hub would understand of a payload.

use std::collections::BTreeMap;
use std::process::ExitCode;

use canonical::Change;
use providers::{EventBody, Inbound, InboundEvent, Overrides, Provider};
use serde_json::{Value, json};

use crate::cli::MapArgs;
use crate::config::finding::suggestion;
use crate::out::{CommandError, read, shown};

/// Runs the command.
pub fn run(args: &MapArgs) -> Result<ExitCode, CommandError> {
    let provider = open(&args.provider)?;
    let body = read(&args.file)?;
    let shown_file = shown(&args.file);
    let malformed =
        |m: providers::Malformed| CommandError::Usage(format!("`{shown_file}` is no payload of {}: {m}", args.provider));
    let connection = args.connection.as_deref().unwrap_or(&args.provider);
    if let Some(object) = &args.object {
        let changes = provider.record(connection, object, &body).map_err(malformed)?;
        if changes.is_empty() {
            eprintln!("nothing is mapped for records of `{object}`");
        }
        print(&json!(changes));
        return Ok(ExitCode::SUCCESS);
    }
    let headers: BTreeMap<String, String> = args.headers.iter().cloned().collect();
    let inbound = Inbound { connection, headers: &headers, target: "", body: &body };
    let events = provider.events(&inbound).map_err(malformed)?;
    print(&Value::Array(events.iter().filter_map(shape).collect()));
    for event in &events {
        tell(event);
    }
    let broken = events.iter().any(|e| matches!(e.body, EventBody::Malformed { .. }));
    Ok(if broken { ExitCode::FAILURE } else { ExitCode::SUCCESS })
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

/// What an event says, as it is printed; `None` for an event that says nothing.
fn shape(event: &InboundEvent) -> Option<Value> {
    match &event.body {
        EventBody::Changes(changes) => {
            Some(json!({ "event": event.event_type, "stamp": event.stamp, "records": records(changes) }))
        }
        EventBody::Fetch(wanted) => Some(json!({ "event": event.event_type, "stamp": event.stamp, "fetch": wanted })),
        EventBody::Ignored { .. } | EventBody::Malformed { .. } => None,
    }
}

fn records(changes: &[Change]) -> Vec<Value> {
    changes.iter().map(|change| json!(change)).collect()
}

fn tell(event: &InboundEvent) {
    let name = if event.event_type.is_empty() { "without a type" } else { &event.event_type };
    match &event.body {
        EventBody::Ignored { reason } => eprintln!("event {} ({name}) is not supported: {reason}", event.index),
        EventBody::Malformed { reason } => eprintln!("event {} ({name}) is malformed: {reason}", event.index),
        EventBody::Fetch(wanted) => {
            eprintln!("event {} ({name}) is thin: the hub reads {} from the API", event.index, counted(wanted.len(), "record"));
        }
        EventBody::Changes(changes) => {
            for problem in changes.iter().flat_map(|c| &c.problems) {
                eprintln!(
                    "event {} ({name}): `{}` is set aside: {} at `{}`",
                    event.index, problem.field, problem.reason, problem.path
                );
            }
        }
    }
}

fn counted(n: usize, word: &str) -> String {
    format!("{n} {word}{}", if n == 1 { "" } else { "s" })
}

fn print(value: &Value) {
    println!("{value:#}");
}
