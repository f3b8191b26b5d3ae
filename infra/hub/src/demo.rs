//! `hub demo`: the main job on this machine, end to end.

use std::process::ExitCode;

use crate::cli::DemoArgs;
use crate::out::CommandError;

/// Runs the command.
pub fn run(_args: &DemoArgs) -> Result<ExitCode, CommandError> {
    Err(CommandError::Usage("`hub demo` is not there yet".to_owned()))
}
