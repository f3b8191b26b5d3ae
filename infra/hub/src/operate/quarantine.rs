//! `hub quarantine`: lists events whose fields were set aside, and sends them again after the mapping was corrected.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use sync::config::Hub;
use sync::failure::Failure;
use sync::ports::{Clock, Outgoing, PortError, Queue, Secrets, Store, WriteError};
use sync::record::journal::day;
use sync::record::quarantined::{DRAIN, StoredEvent, build_quarantine_delete, quarantined_events};
use sync::seal::Vault;

use super::check_connection;
use super::open::HubArgs;
use crate::out::{CommandError, block_on, counted, print, print_json, print_line};
use crate::text::{instant, wrapped};

/// Arguments of `hub quarantine`.
#[derive(Debug, Args)]
pub struct QuarantineArgs {
    /// The hub.
    #[command(flatten)]
    pub hub: HubArgs,
    /// The action.
    #[command(subcommand)]
    pub action: QuarantineAction,
}

/// The actions on quarantined events.
#[derive(Debug, Subcommand)]
pub enum QuarantineAction {
    /// List the events with the fields that were set aside, and why; no value is shown
    List {
        /// The connection
        connection: String,
        /// The number of days, including today (UTC)
        #[arg(long, default_value_t = 28)]
        days: u32,
        /// Print JSON, for programs
        #[arg(long)]
        json: bool,
    },
    /// Send the events again, after the mapping was corrected and deployed
    Drain {
        /// The connection
        connection: String,
        /// The number of days, including today (UTC)
        #[arg(long, default_value_t = 28)]
        days: u32,
    },
}

/// Runs the command.
pub fn run(args: &QuarantineArgs) -> Result<ExitCode, CommandError> {
    let hub = args.hub.open()?;
    match &args.action {
        QuarantineAction::List { connection, days, json } => {
            let events = block_on(quarantined(&hub.ports, &hub.config, connection, *days))?;
            if *json { print_json(&as_json(&events))? } else { print(render(&events))? }
        }
        QuarantineAction::Drain { connection, days } => {
            let sent = block_on(async {
                let events = quarantined(&hub.ports, &hub.config, connection, *days).await?;
                Ok(drain(&hub.ports, &events).await?)
            })?;
            print_line(format_args!("{} sent again; what still does not fit is set aside again", counted(sent, "event")))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The quarantined events of a connection over the last `days` days, including today (UTC), the oldest first.
pub async fn quarantined<P: Store + Clock + Secrets>(
    ports: &P,
    hub: &Hub,
    connection: &str,
    days: u32,
) -> Result<Vec<StoredEvent>, CommandError> {
    check_connection(hub, connection)?;
    let vault = Vault::open(ports).await?;
    let today = day(ports.now_ms());
    let mut events = Vec::new();
    for ago in (0..i64::from(days.max(1))).rev() {
        events.extend(quarantined_events(ports, &vault, connection, today - ago).await?);
    }
    Ok(events)
}

/// Sends events back to their ingest queues, where they are handled once more. Returns the number of events.
pub async fn drain<P: Store + Queue>(ports: &P, events: &[StoredEvent]) -> Result<usize, Failure> {
    for stored in events {
        let mut message = Outgoing::new(stored.event.message.clone());
        message.attributes.insert(DRAIN.to_owned(), (stored.drains + 1).to_string());
        message.attributes.extend(stored.event.index.map(|index| ("event".to_owned(), index.to_string())));
        let mut sent = ports.send(&stored.event.queue, vec![message]).await;
        sent.pop().unwrap_or_else(|| Err(PortError::rejected("the queue gave no answer")))?;
        // Removed last: a crash in between sends the event twice, and the hub recognises the second one.
        match ports.write(vec![build_quarantine_delete(stored)], None).await {
            // It was set aside once more before it was removed here.
            Ok(()) | Err(WriteError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(events.len())
}

/// The events in lines of 80 columns.
pub fn render(events: &[StoredEvent]) -> String {
    if events.is_empty() {
        return "no event is in quarantine\n".to_owned();
    }
    let line = |stored: &StoredEvent| {
        let again = if stored.drains > 0 {
            format!(", set aside again after {}", counted(stored.drains, "drain"))
        } else {
            String::new()
        };
        let heading = format!("{}  {}{again}", instant(stored.event.received_at_ms), stored.event.event_type);
        wrapped(&heading, 4) + &wrapped(&format!("    {}", stored.event.reason), 4)
    };
    events.iter().map(line).collect()
}

/// The events for programs, without what they hold.
pub fn as_json(events: &[StoredEvent]) -> Value {
    let event = |stored: &StoredEvent| {
        json!({
            "received": instant(stored.event.received_at_ms), "type": stored.event.event_type, "reason": stored.event.reason,
            "queue": stored.event.queue.as_str(), "drains": stored.drains,
        })
    };
    events.iter().map(event).collect()
}
