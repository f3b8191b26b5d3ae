//! What commands share: files, the repository's root, errors, colours.

use std::error::Error;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

use thiserror::Error as ThisError;

use crate::config::ConfigError;

/// Why a command did not do what was asked.
#[derive(Debug, ThisError)]
pub enum CommandError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A file cannot be read.
    #[error("`{0}` cannot be read")]
    Read(String, #[source] std::io::Error),
    /// A file cannot be written.
    #[error("`{0}` cannot be written")]
    Write(String, #[source] std::io::Error),
    /// What was asked for makes no sense.
    #[error("{0}")]
    Usage(String),
    /// A store, queue or secret did not do its part.
    #[error("{0}")]
    Backend(String),
}

/// Shows an error and everything behind it.
pub fn complain(error: &CommandError) {
    let mark = if std::io::stderr().is_terminal() { "\u{1b}[1;31merror\u{1b}[0m" } else { "error" };
    eprintln!("{mark}: {error}");
    let mut cause = error.source();
    while let Some(source) = cause {
        eprintln!("  because: {source}");
        cause = source.source();
    }
}

/// True when standard error takes colours.
pub fn styled() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// The repository: the nearest folder upwards with a configuration, else where this program was built.
pub fn root() -> PathBuf {
    let here = std::env::current_dir().unwrap_or_default();
    let found = here.ancestors().find(|folder| folder.join(crate::config::DEFAULT_PATH).is_file());
    found.map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."), Path::to_path_buf)
}

/// A path as a person would write it from here.
pub fn shown(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(&here).unwrap_or(path).display().to_string()
}

/// The bytes of a file; `-` is standard input.
pub fn read(path: &Path) -> Result<Vec<u8>, CommandError> {
    let failed = |error| CommandError::Read(shown(path), error);
    if path == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes).map_err(failed)?;
        return Ok(bytes);
    }
    std::fs::read(path).map_err(failed)
}

/// Writes a file as a whole or not at all.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), CommandError> {
    let failed = |error| CommandError::Write(shown(path), error);
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut draft = path.as_os_str().to_owned();
    draft.push(".new");
    let draft = PathBuf::from(draft);
    std::fs::write(&draft, bytes).map_err(failed)?;
    std::fs::rename(&draft, path).map_err(failed)
}

/// Runs a command that waits for others, on this thread.
pub fn block_on(
    command: impl Future<Output = Result<std::process::ExitCode, CommandError>>,
) -> Result<std::process::ExitCode, CommandError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| CommandError::Backend(format!("no runtime: {e}")))?;
    runtime.block_on(command)
}
