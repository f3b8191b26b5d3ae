//! `hub absences`: linked objects that a reconciliation did not find, too many to conclude anything from it.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use sync::failure::Failure;
use sync::ports::Table;
use sync::reconcile::absences::{ABSENCES, HeldAbsences, confirm_absences};

use super::open::HubArgs;
use super::{Ports, check_connection};
use crate::out::{CommandError, block_on, counted, print_line};

/// Arguments of `hub absences`.
#[derive(Debug, Args)]
pub struct AbsencesArgs {
    /// The hub.
    #[command(flatten)]
    pub hub: HubArgs,
    /// What to do; by default, list them
    #[command(subcommand)]
    pub action: Option<Action>,
}

/// What to do with absences that are held.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Confirm that the objects are gone: the next reconciliation may conclude so
    Confirm {
        /// The connection
        connection: String,
        /// The object, as the provider names it
        object: String,
    },
}

/// Runs `hub absences`.
pub fn run(args: &AbsencesArgs) -> Result<ExitCode, CommandError> {
    let hub = args.hub.open()?;
    match &args.action {
        None => {
            let held = block_on(held_absences(&hub.ports))?;
            if held.is_empty() {
                print_line(format_args!("no absences are held"))?;
            }
            for HeldAbsences { connection, object, missing, checked, confirmed_ms, .. } in held {
                let state = if confirmed_ms.is_some() { "confirmed" } else { "held: look at them, then `hub absences confirm`" };
                print_line(format_args!(
                    "{connection} {object}: {missing} of {} not found, {state}",
                    counted(usize::try_from(checked).unwrap_or(usize::MAX), "object")
                ))?;
            }
        }
        Some(Action::Confirm { connection, object }) => {
            check_connection(&hub.config, connection)?;
            if !block_on(async { Ok(confirm_absences(&hub.ports, connection, object).await?) })? {
                let detail = format!("no absences of `{object}` at `{connection}` are held; `hub absences` lists them");
                return Err(CommandError::Usage(detail));
            }
            print_line(format_args!("confirmed: the next full reconciliation may conclude that they are gone"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The absences that are held.
async fn held_absences<P: Ports>(ports: &P) -> Result<Vec<HeldAbsences>, CommandError> {
    let (mut held, mut after) = (Vec::new(), None);
    loop {
        let page = ports.query(Table::Control, ABSENCES, "", 1_000, after.as_ref()).await.map_err(Failure::from)?;
        held.extend(page.items.iter().filter_map(HeldAbsences::read));
        after = page.next;
        if after.is_none() {
            return Ok(held);
        }
    }
}
