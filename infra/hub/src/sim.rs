//! `hub sim`: searches for violated invariants with the simulator.

use std::process::ExitCode;

use crate::cli::SimArgs;
use crate::out::CommandError;

/// Runs the command.
pub fn run(_args: &SimArgs) -> Result<ExitCode, CommandError> {
    Err(CommandError::Usage("`hub sim` is not there yet".to_owned()))
}
