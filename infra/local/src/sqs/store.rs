//! Stores the queues in a file: one change per line. At each start the file is rewritten without deleted messages.
//!
//! Every change reaches the operating system before the call that made it is answered, so messages outlive the process.
//! A power cut may lose the latest ones: nothing is synced to the disk.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use super::engine::{Change, QueueEngine};

/// The open file.
#[derive(Debug)]
pub(super) struct Store {
    file: File,
}

impl Store {
    /// Loads what the file holds into `engine` and opens it for appending. A torn last line is dropped.
    pub(super) fn open(path: &Path, engine: &mut QueueEngine) -> std::io::Result<Self> {
        if path.exists() {
            for line in BufReader::new(File::open(path)?).lines() {
                let Ok(change) = serde_json::from_str::<Change>(&line?) else { break };
                engine.replay(change);
            }
        }
        let fresh = path.with_extension("new");
        let mut file = File::create(&fresh)?;
        write(&mut file, &engine.snapshot())?;
        std::fs::rename(&fresh, path)?;
        Ok(Self { file: OpenOptions::new().append(true).open(path)? })
    }

    pub(super) fn append(&mut self, changes: &[Change]) -> std::io::Result<()> {
        if changes.is_empty() { Ok(()) } else { write(&mut self.file, changes) }
    }
}

fn write(file: &mut File, changes: &[Change]) -> std::io::Result<()> {
    let mut buffer = Vec::new();
    for change in changes {
        serde_json::to_writer(&mut buffer, change)?;
        buffer.push(b'\n');
    }
    file.write_all(&buffer)
}

impl QueueEngine {
    /// Applies a stored change.
    pub(super) fn replay(&mut self, change: Change) {
        match change {
            Change::Queue { name, created, attributes } => {
                let queue = self.queues.entry(name).or_default();
                (queue.created, queue.attributes) = (created, attributes);
            }
            Change::QueueGone { name } => {
                self.queues.remove(&name);
            }
            Change::Message { queue, sequence, message } => {
                self.sequence = self.sequence.max(sequence).max(message.receipt);
                if let Some(queue) = self.queues.get_mut(&queue) {
                    queue.insert(sequence, message);
                }
            }
            Change::Received { queue, sequence, visible, receives, first, receipt, visibility_set } => {
                self.sequence = self.sequence.max(receipt);
                if let Some(message) = self.queues.get_mut(&queue).and_then(|q| q.show_at(sequence, visible)) {
                    (message.receives, message.first_received, message.receipt, message.visibility_set) =
                        (receives, first, receipt, visibility_set);
                }
            }
            Change::MessageGone { queue, sequence } => {
                if let Some(queue) = self.queues.get_mut(&queue) {
                    queue.remove(sequence);
                }
            }
        }
    }

    /// The changes that lead from no queues to the current ones.
    pub(super) fn snapshot(&self) -> Vec<Change> {
        let mut changes = Vec::new();
        for (name, queue) in &self.queues {
            changes.push(Change::Queue { name: name.clone(), created: queue.created, attributes: queue.attributes.clone() });
            for (sequence, message) in &queue.messages {
                changes.push(Change::Message { queue: name.clone(), sequence: *sequence, message: message.clone() });
            }
        }
        changes
    }
}
