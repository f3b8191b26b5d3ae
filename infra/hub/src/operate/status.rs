//! `hub status`: what came in and how it ended, per connection, from the journal.

use std::collections::BTreeMap;

use canonical::Outcome;
use sync::config::Hub;
use sync::failure::Failure;
use sync::pause::{held_partition, paused};
use sync::ports::{Store, Table};
use sync::record::journal::{count_outcomes, day};

use super::Ports;
use super::text::table;

/// One connection's accounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The connection.
    pub connection: String,
    /// Events by outcome, in the order of [`Outcome::ALL`].
    pub outcomes: Vec<(Outcome, u64)>,
    /// Why it is paused.
    pub paused: Option<String>,
    /// Messages that are held for it.
    pub held: u64,
}

impl Account {
    /// All events that were answered 2xx.
    pub fn received(&self) -> u64 {
        self.outcomes.iter().map(|(_, count)| count).sum()
    }
}

/// The accounts of all connections over the last `days` days, today included (UTC).
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
        let pause = paused(ports, connection).await?;
        let held = held(ports, connection).await?;
        accounts.push(Account { connection: connection.to_string(), outcomes, paused: pause.map(|p| p.reason), held });
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

/// The same with one more column: its heading, and its values by connection.
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
        if let Some(reason) = &account.paused {
            text += &format!("{} is paused: {reason}; `hub resume {}` ends it\n", account.connection, account.connection);
        }
        if account.held > 0 {
            text += &format!("{} messages are held for {}\n", account.held, account.connection);
        }
    }
    text
}
