//! One local stack for each folder: two of them would write to the same tables and queues.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use crate::files::shown;
use crate::out::CommandError;

/// The right to run a stack in a folder, until it is dropped. The operating system takes it back when the process ends, however it
/// ends.
pub struct FolderLock(File);

impl FolderLock {
    /// Takes the lock of a folder.
    ///
    /// # Errors
    /// Another process holds it; the message names that process and its hub's URL. Or the file cannot be written.
    pub fn take(folder: &Path) -> Result<FolderLock, CommandError> {
        let path = folder.join("lock");
        let failed = |error| CommandError::Write(shown(&path), error);
        std::fs::create_dir_all(folder).map_err(failed)?;
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {
                file.set_len(0).map_err(failed)?;
                Ok(FolderLock(file))
            }
            Err(TryLockError::Error(error)) => Err(failed(error)),
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = file.read_to_string(&mut holder);
                Err(CommandError::Usage(format!(
                    "a hub runs already in `{}`{holder}; use it, or stop it there with Ctrl-C",
                    shown(folder)
                )))
            }
        }
    }

    /// Writes into the file what others should know about the holder: its process and the URL of its hub.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn describe(&mut self, url: &str) -> std::io::Result<()> {
        self.0.set_len(0)?;
        self.0.rewind()?;
        write!(self.0, " (process {}, {url})", std::process::id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_stack_in_a_folder_learns_of_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let mut first = FolderLock::take(folder.path()).unwrap();
        first.describe("http://127.0.0.1:8480").unwrap();
        let second = FolderLock::take(folder.path()).err().unwrap().to_string();
        assert!(second.contains("a hub runs already in") && second.contains("http://127.0.0.1:8480)"), "{second}");
        drop(first);
        assert!(FolderLock::take(folder.path()).is_ok());
    }
}
