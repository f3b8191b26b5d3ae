//! The command line `hub`. `hub help` lists what it can do.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use hub::cli::Cli;

fn main() -> ExitCode {
    let usual = std::panic::take_hook();
    // Whoever reads only the first lines of what is printed has seen enough.
    std::panic::set_hook(Box::new(move |panic| {
        let message = panic.payload().downcast_ref::<String>().map_or("", String::as_str);
        if message.starts_with("failed printing to stdout") && message.contains("Broken pipe") {
            std::process::exit(0);
        }
        usual(panic);
    }));
    match Cli::parse().run() {
        Ok(code) => code,
        Err(error) => {
            hub::out::complain(&error);
            ExitCode::FAILURE
        }
    }
}
