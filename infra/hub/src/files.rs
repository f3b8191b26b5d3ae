//! The files that commands read and write, and how messages name them.

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::config::DEFAULT_PATH;
use crate::out::CommandError;

/// The repository: the nearest folder upwards that has a configuration, else the folder in which this program was built.
pub fn root() -> PathBuf {
    let here = std::env::current_dir().unwrap_or_default();
    let found = here.ancestors().find(|folder| folder.join(DEFAULT_PATH).is_file());
    found.map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."), Path::to_path_buf)
}

/// A path for a message, relative to the current folder where it is below it.
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

/// The text of a file.
pub fn read_text(path: &Path) -> Result<String, CommandError> {
    std::fs::read_to_string(path).map_err(|error| CommandError::Read(shown(path), error))
}

/// An error in the content of a file.
pub fn invalid(path: &Path, error: impl std::fmt::Display) -> CommandError {
    CommandError::Usage(format!("`{}`: {error}", shown(path)))
}

/// Writes a file. A crash leaves the old file or the new one, never a part of it.
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
