//! How commands fail and what they print.

use std::error::Error;
use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::builder::styling::AnsiColor;
use sync::failure::Failure;
use thiserror::Error as ThisError;

use crate::config::ConfigError;

/// Why a command failed.
#[derive(Debug, ThisError)]
pub enum CommandError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A file cannot be read.
    #[error("`{0}` cannot be read")]
    Read(String, #[source] std::io::Error),
    /// A file cannot be written.
    #[error("`{0}` cannot be written")]
    Write(String, #[source] std::io::Error),
    /// Standard output cannot be written.
    #[error("standard output cannot be written")]
    Print(#[source] std::io::Error),
    /// The arguments, or the files that they name, are wrong.
    #[error("{0}")]
    Usage(String),
    /// The hub, its stand-ins or this machine failed.
    #[error("{0}")]
    Backend(String),
}

impl From<Failure> for CommandError {
    fn from(failure: Failure) -> CommandError {
        CommandError::Backend(format!("{}: {} (docs/errors/{}.md)", failure.code, failure.chain(), failure.code))
    }
}

impl CommandError {
    /// A backend error: what failed, and why.
    pub fn backend(what: &str, cause: impl Display) -> CommandError {
        CommandError::Backend(format!("{what}: {cause}"))
    }

    /// The exit code of the command, after the error is shown with its causes.
    pub fn report(&self) -> ExitCode {
        if let CommandError::Print(error) = self
            && error.kind() == std::io::ErrorKind::BrokenPipe
        {
            // The reader closed the pipe, as `hub … | head` does. It has read all that it wants.
            return ExitCode::SUCCESS;
        }
        let red = AnsiColor::Red.on_default().bold();
        anstream::eprintln!("{red}error{red:#}: {self}");
        let mut cause = self.source();
        while let Some(source) = cause {
            eprintln!("  because: {source}");
            cause = source.source();
        }
        ExitCode::FAILURE
    }
}

/// Prints a text on standard output.
///
/// # Errors
/// The text cannot be written; [`CommandError::report`] tells a closed pipe from other errors.
pub fn print(text: impl Display) -> Result<(), CommandError> {
    let mut out = std::io::stdout().lock();
    write!(out, "{text}").and_then(|()| out.flush()).map_err(CommandError::Print)
}

/// Prints a text and a line end on standard output.
///
/// # Errors
/// As for [`print`].
pub fn print_line(text: impl Display) -> Result<(), CommandError> {
    print(format_args!("{text}\n"))
}

/// Prints a value as JSON on standard output, for programs.
///
/// # Errors
/// As for [`print`].
pub fn print_json(value: &serde_json::Value) -> Result<(), CommandError> {
    print_line(format_args!("{value:#}"))
}

/// A number with its noun: `1 error`, `2 errors`.
pub fn counted<N: Display + PartialEq + From<u8>>(n: N, noun: &str) -> String {
    let end = if n == N::from(1) { "" } else { "s" };
    format!("{n} {noun}{end}")
}

/// A line on standard error that shows progress and is replaced in place. It appears on terminals only.
pub struct ProgressLine {
    terminal: bool,
}

impl ProgressLine {
    /// A line that shows nothing yet.
    pub fn new() -> ProgressLine {
        ProgressLine { terminal: std::io::stderr().is_terminal() }
    }

    /// Whether standard error is a terminal.
    pub const fn is_visible(&self) -> bool {
        self.terminal
    }

    /// Replaces the line.
    pub fn show(&self, text: impl Display) {
        if self.terminal {
            eprint!("\r\u{1b}[K{text}");
            let _ = std::io::stderr().flush();
        }
    }

    /// Removes the line.
    pub fn clear(&self) {
        self.show("");
    }
}

impl Default for ProgressLine {
    fn default() -> ProgressLine {
        ProgressLine::new()
    }
}

/// Runs a command's future to its end.
pub fn block_on<T>(command: impl Future<Output = Result<T, CommandError>>) -> Result<T, CommandError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|e| CommandError::backend("the async runtime does not start", e))?;
    runtime.block_on(command)
}

/// Waits for Ctrl-C.
pub async fn interrupted() -> Result<(), CommandError> {
    tokio::signal::ctrl_c().await.map_err(|e| CommandError::backend("Ctrl-C cannot be observed", e))
}
