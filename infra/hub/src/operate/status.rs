//! `hub status`: the events that each connection received and how they ended, counted from the journal, and what waits.

use std::collections::BTreeMap;
use std::process::ExitCode;

use canonical::{Outcome, QueueName};
use clap::Args;
use serde_json::{Value, json};
use sync::config::Hub;
use sync::failure::Failure;
use sync::fuse::{Blown, blown};
use sync::pause::{Pauses, held_partition};
use sync::ports::{Clock, Store, Table};
use sync::quarantine::{PropertyUse, RefusedProperties, RefusedProperty};
use sync::record::journal::{count_day, day};

use super::Ports;
use super::fuse::describe;
use super::open::HubArgs;
use crate::out::{CommandError, block_on, counted, print, print_json};
use crate::queues::work_queues;
use crate::text::{narrow_table, table, wrapped};

/// Arguments of `hub status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// The hub.
    #[command(flatten)]
    pub hub: HubArgs,
    /// The number of days, including today (UTC)
    #[arg(long, default_value_t = 2)]
    pub days: u32,
    /// Print JSON, for programs
    #[arg(long)]
    pub json: bool,
}

/// One connection's events, and what waits for it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Account {
    /// The connection.
    pub connection: String,
    /// Who answers for it.
    pub owner: String,
    /// The number of events by outcome, in the order of [`Outcome::ALL`].
    pub outcomes: Vec<(Outcome, u64)>,
    /// The fields that were set aside, with path and reason, and in how many events.
    pub quarantined: BTreeMap<String, u64>,
    /// The number of records that changed something although no event had reported it.
    pub swept: u64,
    /// The reason of the connection's pause, if it is paused.
    pub paused: Option<String>,
    /// Its native objects that are paused, with the reasons.
    pub paused_objects: BTreeMap<String, String>,
    /// The number of webhooks to its URL that were refused, by reason.
    pub refused_webhooks: BTreeMap<String, u64>,
    /// The properties that it refuses: what with, the native object, the property and the provider's code.
    pub refused: Vec<String>,
    /// The number of dispatches that are held for it.
    pub held: u64,
    /// The fuse of the connection that has blown.
    pub blown: Option<Blown>,
}

/// What waits in a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The queue.
    pub queue: QueueName,
    /// Messages that can be received.
    pub waiting: u64,
    /// Messages that are in work or wait for their next attempt.
    pub hidden: u64,
    /// Messages in its dead-letter queue.
    pub parked: u64,
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
    let (accounts, queues) =
        block_on(async { Ok((accounts(&hub.ports, &hub.config, args.days).await?, queues(&hub.ports, &hub.config).await?)) })?;
    if args.json {
        print_json(&as_json(&accounts, &queues, args.days))?;
    } else {
        print(render(&accounts, &queues))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The accounts of all connections over the last `days` days, including today (UTC).
pub async fn accounts<P: Store + Clock>(ports: &P, hub: &Hub, days: u32) -> Result<Vec<Account>, Failure> {
    let today = day(ports.now_ms());
    let mut accounts = Vec::new();
    for (name, connection) in &hub.connections {
        let pauses = Pauses::load(ports, name).await?;
        let properties = RefusedProperties::load(ports, name, hub.generation).await?;
        let mut account = Account {
            connection: name.to_string(),
            owner: connection.owner.clone(),
            outcomes: Outcome::ALL.iter().map(|outcome| (*outcome, 0)).collect(),
            paused: pauses.of_connection().map(|pause| pause.reason.clone()),
            paused_objects: pauses.of_objects().iter().map(|(native, pause)| (native.clone(), pause.reason.clone())).collect(),
            refused: properties.iter().map(refused_property).collect(),
            held: held(ports, name).await?,
            blown: blown(ports, name).await?,
            ..Account::default()
        };
        for ago in 0..i64::from(days.max(1)) {
            let counted = count_day(ports, name, today - ago).await?;
            account.outcomes.iter_mut().zip(counted.outcomes).for_each(|(sum, (_, count))| sum.1 += count);
            counted.quarantined.into_iter().for_each(|(reason, count)| *account.quarantined.entry(reason).or_default() += count);
            account.swept += counted.swept;
            counted.refused.into_iter().for_each(|(reason, count)| *account.refused_webhooks.entry(reason).or_default() += count);
        }
        accounts.push(account);
    }
    Ok(accounts)
}

fn refused_property((property_use, native, property, refused): (PropertyUse, &str, &str, &RefusedProperty)) -> String {
    format!("does not let the hub {} `{property}` of {native} ({})", property_use.name(), refused.code)
}

/// What waits in each queue.
pub async fn queues<P: Ports>(ports: &P, hub: &Hub) -> Result<Vec<Waiting>, Failure> {
    let mut queues = Vec::new();
    for queue in work_queues(hub) {
        let (waiting, hidden) = ports.count(&queue).await?;
        let (parked, received) = ports.count(&queue.dead_letter()).await?;
        queues.push(Waiting { queue, waiting, hidden, parked: parked + received });
    }
    Ok(queues)
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

/// The accounts and the queues in lines of 80 columns.
pub fn render(accounts: &[Account], queues: &[Waiting]) -> String {
    let mut text: String = accounts.iter().map(account_text).collect();
    let mut rows = vec![["queue", "waiting", "in work or retried later", "parked"].map(str::to_owned).to_vec()];
    for Waiting { queue, waiting, hidden, parked } in queues {
        rows.push(vec![queue.to_string(), waiting.to_string(), hidden.to_string(), parked.to_string()]);
    }
    text.push('\n');
    text += &narrow_table(&rows);
    text
}

fn account_text(account: &Account) -> String {
    let Account { connection, quarantined, swept, paused, paused_objects, refused, refused_webhooks, held, .. } = account;
    let outcomes: Vec<String> = account
        .outcomes
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(outcome, count)| format!("{count} {}", outcome.name().replace('_', " ")))
        .collect();
    let mut text = wrapped(
        &match account.received() {
            0 => format!("{connection}: nothing received"),
            received => format!("{connection}: {received} received: {}", outcomes.join(", ")),
        },
        4,
    );
    let mut line = |line: String| text += &wrapped(&format!("  {line}"), 4);
    if !refused_webhooks.is_empty() {
        let reasons: Vec<String> = refused_webhooks.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        let sum: u64 = refused_webhooks.values().sum();
        line(format!("{} refused: {} (docs/alarms.md#refused)", counted(sum, "webhook"), reasons.join(", ")));
    }
    let unnamed = account.count(Outcome::Held);
    if unnamed > 0 {
        line(format!(
            "{} held: no key; nothing is created for them before an e-mail address, telephone, id or domain arrives",
            counted(unnamed, "event")
        ));
    }
    if let Some(blown) = &account.blown {
        line(format!("{}; `hub fuse {connection}` shows what is held", describe(blown)));
    }
    if let Some(reason) = paused {
        line(format!("paused: {reason}; `hub resume {connection}` ends the pause"));
    }
    for reason in paused_objects.values() {
        line(format!("paused for {reason}; `hub resume {connection}` ends the pause"));
    }
    for property in refused {
        line(format!("{property}; it is left out and tried again by itself, or after `hub resume {connection}`"));
    }
    if *held > 0 {
        line(format!("{} held until the pause ends", counted(*held, "change")));
    }
    if *swept > 0 {
        line(format!("{} brought by sweeps, which no event had reported", counted(*swept, "change")));
    }
    for (reason, count) in quarantined {
        line(format!("{}: {reason}", counted(*count, "quarantined event")));
    }
    if !quarantined.is_empty() {
        line(format!("`hub quarantine drain {connection}` sends them again after the fix"));
    }
    text
}

/// The accounts and the queues for programs.
pub fn as_json(accounts: &[Account], queues: &[Waiting], days: u32) -> Value {
    let account = |account: &Account| {
        let outcomes: serde_json::Map<String, Value> =
            account.outcomes.iter().map(|(outcome, count)| (outcome.name().to_owned(), json!(count))).collect();
        let quarantined: Vec<Value> =
            account.quarantined.iter().map(|(reason, count)| json!({"reason": reason, "events": count})).collect();
        json!({
            "connection": account.connection, "owner": account.owner, "received": account.received(), "outcomes": outcomes,
            "quarantined": quarantined, "swept": account.swept, "paused": account.paused, "paused_objects": account.paused_objects,
            "refused_webhooks": account.refused_webhooks, "refused_properties": account.refused, "held": account.held,
            "fuse": account.blown.as_ref().map(describe),
        })
    };
    let queue = |q: &Waiting| json!({"queue": q.queue.as_str(), "waiting": q.waiting, "hidden": q.hidden, "parked": q.parked});
    json!({
        "days": days,
        "connections": accounts.iter().map(account).collect::<Vec<_>>(),
        "queues": queues.iter().map(queue).collect::<Vec<_>>(),
    })
}

/// The accounts as one wide table, with one more column: its heading, and its values by connection.
pub fn wide_table(accounts: &[Account], more: (&str, &BTreeMap<String, u64>)) -> String {
    let mut heading = vec!["connection".to_owned(), "received".to_owned()];
    heading.extend(Outcome::ALL.iter().map(|o| o.name().replace('_', " ")));
    heading.push(more.0.to_owned());
    let mut rows = vec![heading];
    for account in accounts {
        let mut row = vec![account.connection.clone(), account.received().to_string()];
        row.extend(account.outcomes.iter().map(|(_, count)| count.to_string()));
        row.push(more.1.get(&account.connection).copied().unwrap_or(0).to_string());
        rows.push(row);
    }
    table(&rows)
}
