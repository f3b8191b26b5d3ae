//! `hub fuse`: shows what a fuse holds, and releases or discards it.

use std::process::ExitCode;

use canonical::{Outcome, QueueName};
use clap::Args;
use sync::config::Hub;
use sync::failure::Failure;
use sync::fuse::{Blown, HeldMessage, RELEASED, blown, fuse_partition, replace};
use sync::ports::{Clock, Condition, Item, Outgoing, Queue, Store, Table, Write};
use sync::record::journal::AccountLine;
use sync::seal::Vault;

use super::check_connection;
use super::open::HubArgs;
use crate::out::{CommandError, block_on, counted, print_line};
use crate::text::instant;

/// Held messages that are read at once.
const PAGE: u32 = 100;

/// Arguments of `hub fuse`.
#[derive(Debug, Args)]
pub struct FuseArgs {
    /// The hub.
    #[command(flatten)]
    pub hub: HubArgs,
    /// The connection
    pub connection: String,
    /// Handle what is held, and begin to count anew
    #[arg(long, conflicts_with = "discard")]
    pub release: bool,
    /// Forget what is held, and begin to count anew; its events are counted as ignored
    #[arg(long)]
    pub discard: bool,
}

/// Runs the command.
pub fn run(args: &FuseArgs) -> Result<ExitCode, CommandError> {
    let hub = args.hub.open()?;
    let name = args.connection.as_str();
    check_connection(&hub.config, name)?;
    let text = block_on(async {
        if args.release || args.discard {
            let vault = Vault::open(&hub.ports).await?;
            let count = end(&hub.ports, &vault, &hub.config, name, args.release).await?;
            let verb = if args.release { "released" } else { "discarded" };
            return Ok(format!("{} of {name} {verb}; its fuses count anew", counted(count, "message")));
        }
        let held = count_held(&hub.ports, name).await?;
        Ok(match blown(&hub.ports, name).await? {
            Some(blown) => {
                format!("{}; {} held\n--release handles them, --discard forgets them", describe(&blown), counted(held, "message"))
            }
            None => format!("no fuse of {name} has blown; {} held", counted(held, "message")),
        })
    })?;
    print_line(text)?;
    Ok(ExitCode::SUCCESS)
}

/// A blown fuse in words.
pub fn describe(blown: &Blown) -> String {
    let Blown { kind, count, at_ms } = blown;
    format!("the fuse `{}` has blown at {} after {count} records", kind.name(), instant(*at_ms))
}

/// The number of messages that the fuses of a connection hold.
pub async fn count_held<P: Store>(ports: &P, connection: &str) -> Result<usize, Failure> {
    let (mut count, mut after) = (0, None);
    loop {
        let page = ports.query(Table::Control, &fuse_partition(connection), "", PAGE, after.as_ref()).await?;
        count += page.items.len();
        after = page.next;
        if after.is_none() {
            return Ok(count);
        }
    }
}

/// Makes the fuses of a connection whole, and releases or discards what they hold. Returns the number of messages.
pub async fn end<P: Store + Queue + Clock>(
    ports: &P,
    vault: &Vault,
    hub: &Hub,
    connection: &str,
    release: bool,
) -> Result<usize, Failure> {
    replace(ports, connection).await?;
    let mut count = 0;
    loop {
        // Each page is deleted once it is handled, so the first page is always the next one.
        let page = ports.query(Table::Control, &fuse_partition(connection), "", PAGE, None).await?;
        if page.items.is_empty() {
            return Ok(count);
        }
        for item in page.items {
            end_one(ports, vault, hub, item, release).await?;
            count += 1;
        }
    }
}

async fn end_one<P: Store + Queue + Clock>(
    ports: &P,
    vault: &Vault,
    hub: &Hub,
    item: Item,
    release: bool,
) -> Result<(), Failure> {
    let message: HeldMessage = vault.unseal(ports, &item).await?;
    if release {
        let mut attributes = message.attributes;
        attributes.insert(RELEASED.to_owned(), "yes".to_owned());
        let outgoing = Outgoing { attributes, ..Outgoing::new(message.body) };
        for answer in ports.send(&QueueName::from(message.queue), vec![outgoing]).await {
            answer?;
        }
    } else {
        for event in &message.events {
            let line = AccountLine { event, outcome: Outcome::Ignored, reason: Some("discarded after a fuse had blown") };
            ports.write(vec![line.build_put(hub.journal_days, Condition::Always)], None).await?;
        }
    }
    let delete = Write::Delete { table: Table::Control, key: item.key, condition: Condition::Always };
    ports.write(vec![delete], None).await?;
    Ok(())
}
