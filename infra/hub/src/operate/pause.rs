//! `hub pause` and `hub resume`.

use std::process::ExitCode;

use clap::Args;
use sync::config::Hub;
use sync::failure::Failure;
use sync::pause::{pause_key, send_held};
use sync::ports::{Attr, Condition, Item, Table, Write};
use sync::quarantine::refused_partition;

use super::open::HubArgs;
use super::{Ports, check_connection};
use crate::out::{CommandError, block_on, counted, print_line};

/// Arguments of `hub pause`.
#[derive(Debug, Args)]
pub struct PauseArgs {
    /// The hub.
    #[command(flatten)]
    pub hub: HubArgs,
    /// The connection
    pub connection: String,
    /// Why, for other operators; `hub status` shows it
    #[arg(long, default_value = "an operator paused it")]
    pub reason: String,
}

/// Arguments of `hub resume`.
#[derive(Debug, Args)]
pub struct ResumeArgs {
    /// The hub.
    #[command(flatten)]
    pub hub: HubArgs,
    /// The connection
    pub connection: String,
}

/// Runs `hub pause`.
pub fn run_pause(args: &PauseArgs) -> Result<ExitCode, CommandError> {
    let hub = args.hub.open()?;
    let name = &args.connection;
    block_on(pause(&hub.ports, &hub.config, name, &args.reason))?;
    print_line(format_args!("{name} is paused; messages for it are held until `hub resume {name}`"))?;
    Ok(ExitCode::SUCCESS)
}

/// Runs `hub resume`.
pub fn run_resume(args: &ResumeArgs) -> Result<ExitCode, CommandError> {
    let hub = args.hub.open()?;
    let sent = block_on(resume(&hub.ports, &hub.config, &args.connection))?;
    print_line(format_args!("{} is resumed; {} sent", args.connection, counted(sent, "held message")))?;
    Ok(ExitCode::SUCCESS)
}

/// Pauses a connection: the hub does not write to it or read from it until it is resumed. Its webhooks are still accepted.
pub async fn pause<P: Ports>(ports: &P, hub: &Hub, connection: &str, reason: &str) -> Result<(), CommandError> {
    check_connection(hub, connection)?;
    let item = Item::new(pause_key(connection)).with("reason", Attr::S(reason.to_owned())).with("at", Attr::N(ports.now_ms()));
    let put = Write::Put { table: Table::Control, item, condition: Condition::Always };
    ports.write(vec![put], None).await.map_err(Failure::from)?;
    Ok(())
}

/// Ends the pauses of a connection and of its object types, forgets which properties it refuses, and sends the held messages.
/// Returns their number.
pub async fn resume<P: Ports>(ports: &P, hub: &Hub, connection: &str) -> Result<usize, CommandError> {
    check_connection(hub, connection)?;
    for partition in [pause_key(connection).pk, refused_partition(connection)] {
        for item in ports.query(Table::Control, &partition, "", 1_000, None).await.map_err(Failure::from)?.items {
            let end = Write::Delete { table: Table::Control, key: item.key, condition: Condition::Always };
            ports.write(vec![end], None).await.map_err(Failure::from)?;
        }
    }
    Ok(send_held(ports, connection).await?)
}
