//! The command line `hub`. `hub help` lists what it can do.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use hub::cli::Cli;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(code) => code,
        Err(error) => {
            hub::out::complain(&error);
            ExitCode::FAILURE
        }
    }
}
