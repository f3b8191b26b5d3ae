//! Moving messages back from a dead-letter queue.

use super::engine::Engine;
use super::error::SqsError;

/// A move task. It does all its work when it starts, so `RUNNING` is never seen and the rate limit has no effect.
#[derive(Debug, Clone)]
pub struct MoveTask {
    /// Handle, as `CancelMessageMoveTask` takes it.
    pub handle: String,
    /// ARN of the dead-letter queue.
    pub source: String,
    /// ARN of the one destination, when one was named.
    pub destination: Option<String>,
    /// Messages moved.
    pub moved: u64,
    /// Messages that were there at the start.
    pub to_move: u64,
    /// Why it failed.
    pub failure: Option<&'static str>,
    /// When it was started, milliseconds.
    pub started: i64,
}

impl Engine {
    /// Moves every visible message of a dead-letter queue to `destination`, or back to where each came from. They become
    /// new messages: ids from `id`, sent now, no receives.
    ///
    /// # Errors
    /// The source is no dead-letter queue, or a queue does not exist.
    pub fn start_move(
        &mut self,
        source: &str,
        destination: Option<&str>,
        mut id: impl FnMut() -> String,
        now: i64,
    ) -> Result<MoveTask, SqsError> {
        let name = self.by_arn(source).ok_or(SqsError::ResourceNotFound)?;
        let target = match destination {
            Some(arn) => Some(self.by_arn(arn).ok_or(SqsError::ResourceNotFound)?),
            None => None,
        };
        if self.sources_of(&name)?.is_empty() {
            return Err(SqsError::InvalidParameterValue("Source queue must be configured as a Dead Letter Queue.".into()));
        }
        let waiting = self.queue(&name)?.receivable(now, usize::MAX);
        let mut task = MoveTask {
            handle: id(),
            source: source.to_owned(),
            destination: destination.map(str::to_owned),
            moved: 0,
            to_move: waiting.len() as u64,
            failure: None,
            started: now,
        };
        for sequence in waiting {
            let origin = self.queue(&name)?.messages[&sequence].source.clone();
            let Some(to) = target.clone().or_else(|| origin.and_then(|arn| self.by_arn(&arn))) else {
                task.failure = Some("CouldNotDetermineMessageSource");
                break;
            };
            let Some(mut message) = self.take(&name, sequence)? else { continue };
            message.id = id();
            message.sent = now;
            message.visible = now;
            message.receives = 0;
            message.first_received = None;
            message.receipt = 0;
            message.settled = false;
            message.source = None;
            self.put(&to, message)?;
            task.moved += 1;
        }
        self.tasks.insert(0, task.clone());
        Ok(task)
    }

    /// The latest tasks of a dead-letter queue, newest first.
    ///
    /// # Errors
    /// An unknown queue.
    pub fn moves(&self, source: &str, max: usize) -> Result<Vec<MoveTask>, SqsError> {
        self.by_arn(source).ok_or(SqsError::ResourceNotFound)?;
        Ok(self.tasks.iter().filter(|t| t.source == source).take(max).cloned().collect())
    }

    /// Tasks end when they start, so there is never one to cancel.
    ///
    /// # Errors
    /// Always: an unknown task, or one that has ended.
    pub fn cancel_move(&self, handle: &str) -> Result<u64, SqsError> {
        match self.tasks.iter().find(|t| t.handle == handle) {
            Some(_) => Err(SqsError::UnsupportedOperation("Only active tasks can be cancelled.".into())),
            None => Err(SqsError::ResourceNotFound),
        }
    }
}
