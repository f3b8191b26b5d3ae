//! `hub retained`: lists events that are stored as they came because no rule maps them.

use std::process::ExitCode;

use clap::Args;
use sync::config::Hub;
use sync::record::journal::{RetainedEvent, day, retained_events};
use sync::seal::Vault;

use super::open::HubArgs;
use super::{Ports, check_connection};
use crate::out::{CommandError, block_on, print_line};
use crate::text::instant;

/// Arguments of `hub retained`.
#[derive(Debug, Args)]
pub struct RetainedArgs {
    /// The hub.
    #[command(flatten)]
    pub hub: HubArgs,
    /// The connection
    pub connection: String,
    /// The number of days, including today (UTC)
    #[arg(long, default_value_t = 2)]
    pub days: u32,
}

/// Runs the command.
pub fn run(args: &RetainedArgs) -> Result<ExitCode, CommandError> {
    let hub = args.hub.open()?;
    for event in block_on(retained(&hub.ports, &hub.config, &args.connection, args.days))? {
        print_line(format_args!("{} {} {}", instant(event.received_at_ms), event.event_type, event.event))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The retained events of a connection over the last `days` days, including today (UTC), the oldest first.
pub async fn retained<P: Ports>(ports: &P, hub: &Hub, connection: &str, days: u32) -> Result<Vec<RetainedEvent>, CommandError> {
    check_connection(hub, connection)?;
    let vault = Vault::open(ports).await?;
    let today = day(ports.now_ms());
    let mut events = Vec::new();
    for ago in (0..i64::from(days.max(1))).rev() {
        events.extend(retained_events(ports, &vault, connection, today - ago).await?);
    }
    Ok(events)
}
