//! `hub plan`: shows what an import would do, record by record and field by field, and writes nothing.

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};
use sync::import::Import;
use sync::ports::Clock;
use sync::rehearsal::{Rehearsal, rehearse};
use sync::write_log::PlannedObject;

use super::check_connection;
use super::import::{ScopeArgs, render as render_import, scope};
use super::open::HubArgs;
use crate::out::{CommandError, block_on, counted, print, print_json};
use crate::text::{narrow_table, wrapped};

/// Objects whose changes are shown, unless all are.
const SHOWN: usize = 20;

/// Arguments of `hub plan`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// The hub.
    #[command(flatten)]
    pub hub: HubArgs,
    /// The connection
    pub connection: String,
    /// Which records.
    #[command(flatten)]
    pub scope: ScopeArgs,
    /// Show the changes of every object
    #[arg(long)]
    pub all: bool,
    /// Print JSON, for programs: every object, whatever --all says
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
pub fn run(args: &PlanArgs) -> Result<ExitCode, CommandError> {
    let (ports, config) = args.hub.open_whole()?;
    check_connection(config.hub(), &args.connection)?;
    let scope = scope(&config, &args.connection, &args.scope)?;
    eprintln!("reading …");
    let rehearsal = block_on(async {
        let import = Import::new(&args.connection, scope, args.scope.rate, None, ports.now_ms());
        Ok(rehearse(&ports, &config, import).await?)
    })?;
    if args.json {
        print_json(&as_json(&rehearsal))?;
    } else {
        print(render(&rehearsal, args.all))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What would happen to the objects of one type at a destination.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Objects that would be created.
    pub created: usize,
    /// Objects of another system that exist and would be joined with an imported record.
    pub joined: usize,
    /// Objects that exist and would get other values.
    pub changed: usize,
    /// Objects that would only get the hub's id.
    pub marked: usize,
}

/// The counts by connection and native object.
pub fn counts(rehearsal: &Rehearsal) -> BTreeMap<(String, String), Counts> {
    let mut all: BTreeMap<(String, String), Counts> = BTreeMap::new();
    for ((connection, native, _), object) in &rehearsal.objects {
        let counts = all.entry((connection.clone(), native.clone())).or_default();
        counts.created += usize::from(object.created);
        counts.joined += usize::from(object.adopted && *connection != *rehearsal.import.connection);
        counts.changed += usize::from(!object.created && !object.changes.is_empty());
        counts.marked += usize::from(!object.created && object.changes.is_empty());
    }
    all
}

/// The plan in lines of 80 columns.
pub fn render(rehearsal: &Rehearsal, all: bool) -> String {
    let mut text = render_import(&rehearsal.import, &rehearsal.results);
    let heading = ["destination", "object", "created", "joined", "changed", "only marked with the hub's id"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    for ((connection, native), counts) in counts(rehearsal) {
        let Counts { created, joined, changed, marked } = counts;
        rows.push(vec![connection, native, created.to_string(), joined.to_string(), changed.to_string(), marked.to_string()]);
    }
    text += &format!("\nwould be written\n{}", narrow_table(&rows));
    let mut line = |line: String| text += &wrapped(&line, 2);
    for (connection, count) in &rehearsal.merges {
        line(format!("{connection}: {} of objects would be merged", counted(*count, "pair")));
    }
    if rehearsal.reviews > 0 {
        let pairs = counted(rehearsal.reviews, "pair");
        line(format!("a person must decide about {pairs} of records that may be the same (`hub review list` after the import)"));
    }
    for (code, count) in &rehearsal.parked {
        line(format!("a person must decide: {count} × {code} (docs/errors/{code}.md)"));
    }
    text += &changes(rehearsal, all);
    let calls: Vec<String> = rehearsal.calls.iter().map(|(name, calls)| format!("{name} {calls}")).collect();
    let minutes = counted(rehearsal.minutes, "minute");
    text += &format!("\n{}", wrapped(&format!("API calls, with full batches: {}; about {minutes}", calls.join(", ")), 2));
    text + "nothing was written; `hub import` does it\n"
}

/// The plan for programs, with every object.
pub fn as_json(rehearsal: &Rehearsal) -> Value {
    let count = |((connection, native), counts): ((String, String), Counts)| {
        let Counts { created, joined, changed, marked } = counts;
        json!({
            "connection": connection, "object": native, "created": created, "joined": joined, "changed": changed,
            "marked": marked,
        })
    };
    let object = |((connection, native, id), planned): (&(String, String, String), &PlannedObject)| {
        let change =
            |(name, (before, after)): (&String, &(Value, Value))| (name.clone(), json!({ "before": before, "after": after }));
        let changes: serde_json::Map<String, Value> = planned.changes.iter().map(change).collect();
        json!({
            "connection": connection, "object": native, "id": id, "created": planned.created, "joined": planned.adopted,
            "changes": changes,
        })
    };
    json!({
        "read": rehearsal.import.read, "taken": rehearsal.import.taken, "results": rehearsal.results,
        "destinations": counts(rehearsal).into_iter().map(count).collect::<Vec<_>>(),
        "objects": rehearsal.objects.iter().map(object).collect::<Vec<_>>(),
        "merges": rehearsal.merges, "reviews": rehearsal.reviews, "parked": rehearsal.parked,
        "calls": rehearsal.calls, "minutes": rehearsal.minutes,
    })
}

fn changes(rehearsal: &Rehearsal, all: bool) -> String {
    let changed = rehearsal.objects.iter().filter(|(_, object)| !object.created && !object.changes.is_empty());
    let mut text = String::new();
    let total = changed.clone().count();
    for ((connection, native, id), object) in changed.take(if all { usize::MAX } else { SHOWN }) {
        text += &wrapped(&format!("  {connection}/{native}/{id}: {}", fields(object)), 4);
    }
    if total > SHOWN && !all {
        text += &format!("  and {} more; --all shows them\n", total - SHOWN);
    }
    if text.is_empty() { text } else { format!("\nchanges of objects that exist\n{text}") }
}

fn fields(object: &PlannedObject) -> String {
    let change = |(name, (before, after)): (&String, &(Value, Value))| format!("{name}: {} → {}", shown(before), shown(after));
    object.changes.iter().map(change).collect::<Vec<_>>().join(", ")
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "(empty)".to_owned(),
        Value::String(text) if text.is_empty() => "(empty)".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
