//! The running stack, as its user holds it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::dynamodb::Conflicts;
use crate::gateway::Services;
use crate::ids::ACCOUNT;
use crate::lambda::{FunctionStats, InvokeError};
use crate::options::Schedules;
use crate::secrets::SecretsError;
use crate::sqs::{Counts, Message, NewMessage, Received, SqsError};
use crate::template::ScheduleSpec;

/// Why a call on a running stack was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StackError {
    /// The queue engine.
    #[error("the queue refuses the call")]
    Queue(#[from] SqsError),
    /// The secret engine.
    #[error("the secret store refuses the call")]
    Secret(#[from] SecretsError),
    /// The function.
    #[error("the invocation has no result")]
    Invoke(#[from] InvokeError),
    /// The template has no such schedule or mapping.
    #[error("there is no {0}")]
    Unknown(String),
}

/// A running stack. Dropping it kills the function processes; [`Stack::stop`] does so in order.
pub struct Stack {
    pub(crate) services: Services,
    pub(crate) region: String,
    pub(crate) stack_name: String,
    pub(crate) urls: BTreeMap<String, String>,
    pub(crate) outputs: BTreeMap<String, String>,
    pub(crate) ignored: BTreeMap<String, String>,
    pub(crate) schedules: Vec<ScheduleSpec>,
    pub(crate) mappings: BTreeMap<String, watch::Sender<bool>>,
    pub(crate) tasks: Vec<JoinHandle<()>>,
    /// Holds the temporary folder of a stack without a state folder.
    pub(crate) _scratch: Option<tempfile::TempDir>,
}

impl Stack {
    /// URL of the endpoint of all AWS services, without a slash at its end.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.services.base
    }

    /// Function URLs by logical id of the function, with a slash at their end.
    #[must_use]
    pub fn urls(&self) -> &BTreeMap<String, String> {
        &self.urls
    }

    /// Outputs of the template.
    #[must_use]
    pub fn outputs(&self) -> &BTreeMap<String, String> {
        &self.outputs
    }

    /// The resources of the template that the local stack does not run: logical id and type.
    #[must_use]
    pub fn ignored(&self) -> &BTreeMap<String, String> {
        &self.ignored
    }

    /// Functions and names of the schedules, for [`Stack::trigger`].
    pub fn schedules(&self) -> impl Iterator<Item = (&str, &str)> {
        self.schedules.iter().map(|s| (s.function.as_str(), s.event.as_str()))
    }

    /// Names of all queues.
    #[must_use]
    pub fn queues(&self) -> Vec<String> {
        self.services.queues.with(|engine| engine.names())
    }

    /// The physical name of a queue that is named by it, by its URL or by its logical name (`fetch`).
    fn queue(&self, name: &str) -> Result<String, SqsError> {
        let name = name.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        let with_stack = format!("{}-{name}", self.stack_name);
        let all = self.queues();
        all.into_iter().find(|known| known == name || *known == with_stack).ok_or(SqsError::QueueDoesNotExist)
    }

    /// URL of a queue.
    ///
    /// # Errors
    /// No such queue.
    pub fn queue_url(&self, name: &str) -> Result<String, StackError> {
        Ok(format!("{}/{}/{}", self.endpoint(), ACCOUNT, self.queue(name)?))
    }

    /// Sends a message and returns its id.
    ///
    /// # Errors
    /// No such queue, or a message that it does not take.
    pub fn send(&self, queue: &str, message: NewMessage) -> Result<String, StackError> {
        Ok(self.services.queues.send(&self.queue(queue)?, message)?)
    }

    /// Receives up to `max` messages, waiting for the first one. They come back after the queue's visibility timeout.
    ///
    /// # Errors
    /// No such queue.
    pub async fn receive(&self, queue: &str, max: usize, wait: Duration) -> Result<Vec<Received>, StackError> {
        Ok(self.services.queues.receive(&self.queue(queue)?, max, None, wait).await?)
    }

    /// Deletes a received message.
    ///
    /// # Errors
    /// No such queue, or a handle of another one.
    pub fn delete(&self, queue: &str, receipt_handle: &str) -> Result<(), StackError> {
        let queue = self.queue(queue)?;
        Ok(self.services.queues.with(|engine| engine.delete(&queue, receipt_handle))?)
    }

    /// All messages of a queue, oldest first, without receiving them.
    ///
    /// # Errors
    /// No such queue.
    pub fn peek(&self, queue: &str) -> Result<Vec<Message>, StackError> {
        let queue = self.queue(queue)?;
        Ok(self.services.queues.with(|engine| engine.peek(&queue))?)
    }

    /// How many messages a queue has, by state.
    ///
    /// # Errors
    /// No such queue.
    pub fn counts(&self, queue: &str) -> Result<Counts, StackError> {
        let queue = self.queue(queue)?;
        Ok(self.services.queues.with(|engine| engine.counts(&queue, crate::ids::now_ms()))?)
    }

    /// Stops or starts the event source mappings of a queue.
    ///
    /// # Errors
    /// No mapping takes from this queue.
    pub fn set_mapping(&self, queue: &str, enabled: bool) -> Result<(), StackError> {
        let queue = self.queue(queue)?;
        let switch = self.mappings.get(&queue).ok_or_else(|| StackError::Unknown(format!("mapping of {queue}")))?;
        switch.send_replace(enabled);
        Ok(())
    }

    /// Invokes a function, named by logical id, name or ARN, and waits for its answer.
    ///
    /// # Errors
    /// No such function, or one that fails.
    pub async fn invoke(&self, function: &str, payload: &Value) -> Result<Bytes, StackError> {
        Ok(self.services.host.invoke(function, payload.to_string().into()).await?)
    }

    /// Runs a schedule now and waits for the function's answer. `event` is the schedule's logical name, in any case.
    ///
    /// # Errors
    /// No such schedule, or a function that fails.
    pub async fn trigger(&self, function: &str, event: &str) -> Result<Bytes, StackError> {
        let same = |spec: &&ScheduleSpec| {
            let suffix = format!("-{}", function.to_lowercase());
            let name = spec.function.to_lowercase();
            (name == function.to_lowercase() || name.ends_with(&suffix)) && spec.event.eq_ignore_ascii_case(event)
        };
        let spec =
            self.schedules.iter().find(same).ok_or_else(|| StackError::Unknown(format!("schedule {event} of {function}")))?;
        Ok(self.services.host.invoke(&spec.function, due_event(spec, &self.region).into()).await?)
    }

    /// Rotates a secret, by its name or ARN, through its function. Returns the new version; the steps run in the background.
    ///
    /// # Errors
    /// No such secret, or no function that rotates it.
    pub fn rotate(&self, secret: &str) -> Result<String, StackError> {
        Ok(self.services.secrets.rotate(secret, None)?)
    }

    /// Kills all processes of a function as `kill -9` does, and starts one again. Returns how many were killed.
    ///
    /// # Errors
    /// No such function.
    pub fn kill(&self, function: &str) -> Result<usize, StackError> {
        Ok(self.services.host.kill(function)?)
    }

    /// Sets which write transactions fail with a conflict from now on.
    pub fn set_conflicts(&self, conflicts: Option<Conflicts>) {
        self.services.tables.set_conflicts(conflicts);
    }

    /// Numbers of all functions, by logical id.
    #[must_use]
    pub fn stats(&self) -> BTreeMap<String, FunctionStats> {
        self.services.host.stats()
    }

    /// Stops taking messages and requests, ends the function processes, then the engines.
    pub async fn stop(mut self) {
        self.end_tasks();
        self.services.host.stop().await;
        self.services.tables.stop();
    }

    fn end_tasks(&mut self) {
        self.mappings.clear();
        self.tasks.drain(..).for_each(|task| task.abort());
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.end_tasks();
        self.services.host.abandon();
        self.services.tables.stop();
    }
}

/// The event that a schedule sends to its function.
pub(crate) fn due_event(spec: &ScheduleSpec, region: &str) -> String {
    match &spec.input {
        Some(input) => {
            let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
            let filled = input.replace("<aws.scheduler.scheduled-time>", &now).replace("<aws.scheduler.schedule-arn>", &spec.arn);
            filled.replace("<aws.scheduler.execution-id>", &crate::ids::uuid()).replace("<aws.scheduler.attempt-number>", "1")
        }
        None => crate::events::envelope(region, spec.source, "Scheduled Event", &json!([spec.arn]), &json!({})).to_string(),
    }
}

/// Runs a schedule until its task is aborted.
pub(crate) async fn run_schedule(spec: ScheduleSpec, schedules: Schedules, region: String, host: Arc<crate::lambda::Host>) {
    loop {
        let wait = match schedules {
            Schedules::Off => return,
            Schedules::Every(period) => Some(period),
            Schedules::Real => spec.schedule.wait(jiff::Timestamp::now(), 1),
            Schedules::Faster(speed) => spec.schedule.wait(jiff::Timestamp::now(), speed),
        };
        let Some(wait) = wait else { return };
        tokio::time::sleep(wait).await;
        if host.invoke_async(&spec.function, due_event(&spec, &region).into()).is_err() {
            return;
        }
    }
}
