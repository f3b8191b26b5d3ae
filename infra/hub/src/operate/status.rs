//! `hub status`: the events that each connection received and their outcomes, counted from the journal.

use std::collections::BTreeMap;
use std::process::ExitCode;

use canonical::Outcome;
use clap::Args;
use sync::config::Hub;
use sync::failure::Failure;
use sync::fuse::{Blown, blown};
use sync::pause::{Pauses, held_partition};
use sync::ports::{Store, Table};
use sync::quarantine::{PropertyUse, RefusedProperties, RefusedProperty};
use sync::record::journal::{count_outcomes, day};

use super::Ports;
use super::fuse::describe;
use super::open::HubArgs;
use crate::out::{CommandError, block_on, counted, print};
use crate::text::table;

/// Arguments of `hub status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// The hub.
    #[command(flatten)]
    pub hub: HubArgs,
    /// The number of days, including today (UTC)
    #[arg(long, default_value_t = 2)]
    pub days: u32,
}

/// One connection's events, and what is held for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The connection.
    pub connection: String,
    /// The number of events by outcome, in the order of [`Outcome::ALL`].
    pub outcomes: Vec<(Outcome, u64)>,
    /// The reason of the connection's pause, if it is paused.
    pub paused: Option<String>,
    /// Its native objects that are paused, with the reasons.
    pub paused_objects: BTreeMap<String, String>,
    /// The properties that it refuses: what with, the native object, the property and the provider's code.
    pub refused: Vec<String>,
    /// The number of messages that are held for it.
    pub held: u64,
    /// The fuse of the connection that has blown.
    pub blown: Option<Blown>,
}

impl Account {
    /// The number of events that were answered with 2xx.
    pub fn received(&self) -> u64 {
        self.outcomes.iter().map(|(_, count)| count).sum()
    }

    /// The number of events with this outcome.
    pub fn count(&self, outcome: Outcome) -> u64 {
        self.outcomes.iter().find(|(known, _)| *known == outcome).map_or(0, |(_, count)| *count)
    }
}

/// Runs the command.
pub fn run(args: &StatusArgs) -> Result<ExitCode, CommandError> {
    let hub = args.hub.open()?;
    let accounts = block_on(async { Ok(accounts(&hub.ports, &hub.config, args.days).await?) })?;
    print(render(&accounts))?;
    Ok(ExitCode::SUCCESS)
}

/// The accounts of all connections over the last `days` days, including today (UTC).
pub async fn accounts<P: Ports>(ports: &P, hub: &Hub, days: u32) -> Result<Vec<Account>, Failure> {
    let today = day(ports.now_ms());
    let mut accounts = Vec::new();
    for connection in hub.connections.keys() {
        let mut outcomes: Vec<(Outcome, u64)> = Outcome::ALL.iter().map(|outcome| (*outcome, 0)).collect();
        for ago in 0..i64::from(days.max(1)) {
            for (sum, (_, count)) in outcomes.iter_mut().zip(count_outcomes(ports, connection, today - ago).await?) {
                sum.1 += count;
            }
        }
        let pauses = Pauses::load(ports, connection).await?;
        let paused_objects = pauses.of_objects().iter().map(|(native, pause)| (native.clone(), pause.reason.clone())).collect();
        let properties = RefusedProperties::load(ports, connection, hub.generation).await?;
        let line = |(property_use, native, property, refused): (PropertyUse, &str, &str, &RefusedProperty)| {
            format!("does not let the hub {} `{property}` of {native} ({})", property_use.name(), refused.code)
        };
        accounts.push(Account {
            connection: connection.to_string(),
            outcomes,
            paused: pauses.of_connection().map(|pause| pause.reason.clone()),
            paused_objects,
            refused: properties.iter().map(line).collect(),
            held: held(ports, connection).await?,
            blown: blown(ports, connection).await?,
        });
    }
    Ok(accounts)
}

async fn held<P: Store>(ports: &P, connection: &str) -> Result<u64, Failure> {
    let (mut count, mut after) = (0, None);
    loop {
        let page = ports.query(Table::Control, &held_partition(connection), "", 1_000, after.as_ref()).await?;
        count += page.items.len() as u64;
        after = page.next;
        if after.is_none() {
            return Ok(count);
        }
    }
}

/// The accounts as a table.
pub fn render(accounts: &[Account]) -> String {
    render_with(accounts, None)
}

/// The accounts as a table with one more column: its heading, and its values by connection.
pub fn render_with(accounts: &[Account], more: Option<(&str, &BTreeMap<String, u64>)>) -> String {
    let mut heading = vec!["connection".to_owned(), "received".to_owned()];
    heading.extend(Outcome::ALL.iter().map(|o| o.name().replace('_', " ")));
    heading.extend(more.map(|(name, _)| name.to_owned()));
    let mut rows = vec![heading];
    for account in accounts {
        let mut row = vec![account.connection.clone(), account.received().to_string()];
        row.extend(account.outcomes.iter().map(|(_, count)| count.to_string()));
        row.extend(more.map(|(_, values)| values.get(&account.connection).copied().unwrap_or(0).to_string()));
        rows.push(row);
    }
    let mut text = table(&rows);
    for account in accounts {
        let Account { connection, paused, paused_objects, refused, held, .. } = account;
        let unnamed = account.count(Outcome::Held);
        if unnamed > 0 {
            text += &format!(
                "{} of {connection} held: no key; nothing is created for them before an e-mail address, telephone, id or domain arrives\n",
                counted(usize::try_from(unnamed).unwrap_or(usize::MAX), "event")
            );
        }
        if let Some(blown) = &account.blown {
            text += &format!("{connection}: {}; `hub fuse {connection}` shows what is held\n", describe(blown));
        }
        if let Some(reason) = paused {
            text += &format!("{connection} is paused: {reason}; `hub resume {connection}` ends the pause\n");
        }
        for reason in paused_objects.values() {
            text += &format!("{connection} is paused for {reason}; `hub resume {connection}` ends the pause\n");
        }
        for property in refused {
            text += &format!(
                "{connection} {property}; it is left out and tried again by itself, or after `hub resume {connection}`\n"
            );
        }
        if *held > 0 {
            text += &format!("{held} messages are held for {connection}\n");
        }
    }
    text
}
