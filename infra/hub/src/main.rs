//! The command line `hub`. `hub help` lists what it can do.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use hub::cli::Cli;

fn main() -> ExitCode {
    Cli::parse().run().unwrap_or_else(|error| error.report())
}
