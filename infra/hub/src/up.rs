//! `hub up`: the local stack and the sandboxes, left running.

use std::process::ExitCode;

use crate::cli::UpArgs;
use crate::out::CommandError;

/// Runs the command.
pub fn run(_args: &UpArgs) -> Result<ExitCode, CommandError> {
    Err(CommandError::Usage("`hub up` is not there yet".to_owned()))
}
