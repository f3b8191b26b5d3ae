//! SQS: the engine, its file, and the JSON protocol in front of it.
//!
//! Known gaps, by name:
//! - `MessageGroupId` on a standard queue is stored, but messages are received in the order of their visibility, not fairly by group.
//! - Standard queues only: a FIFO queue cannot be created. Tags are not stored, and there are no message move tasks.
//! - Policies, permissions and encryption attributes are stored but not enforced. The number of messages in flight is not limited.
//! - A delete with the handle of an earlier receive never deletes; AWS sometimes does.

mod digest;
mod engine;
mod error;
mod manage;
mod queue;
mod store;
mod wire;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

pub use engine::{QueueEngine, Received};
pub use error::SqsError;
pub use queue::{Counts, Message, MessageAttribute, NewMessage};
pub(crate) use wire::event_record;

use crate::ids::{now_ms, uuid};

/// The queues of a stack: the engine behind a lock, with waiting and storage.
#[derive(Debug)]
pub(crate) struct Queues {
    inner: Mutex<(QueueEngine, Option<store::Store>)>,
    arrivals: Mutex<HashMap<String, Arc<Notify>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Queues {
    /// Opens the queues kept at `path`, or queues that live as long as the process.
    pub(crate) fn open(path: Option<&Path>, region: &str, account: &str) -> std::io::Result<Self> {
        let mut engine = QueueEngine::new(region, account);
        let store = path.map(|path| store::Store::open(path, &mut engine)).transpose()?;
        Ok(Self { inner: Mutex::new((engine, store)), arrivals: Mutex::default() })
    }

    /// Runs one call on the engine and stores what it changed.
    pub(crate) fn with<T>(&self, call: impl FnOnce(&mut QueueEngine) -> T) -> T {
        let mut inner = lock(&self.inner);
        let result = call(&mut inner.0);
        let changes = std::mem::take(&mut inner.0.changes);
        if let Some(store) = &mut inner.1
            && let Err(error) = store.append(&changes)
        {
            eprintln!("local: the queues could not be stored: {error}");
        }
        drop(inner);
        for change in &changes {
            if let engine::Change::Message { queue, .. } | engine::Change::Received { queue, .. } = change {
                self.arrival(queue).notify_waiters();
            }
        }
        result
    }

    fn arrival(&self, queue: &str) -> Arc<Notify> {
        lock(&self.arrivals).entry(queue.to_owned()).or_default().clone()
    }

    /// Sends one message and gives its id.
    pub(crate) fn send(&self, queue: &str, message: NewMessage) -> Result<String, SqsError> {
        let id = uuid();
        self.with(|engine| engine.send(queue, id.clone(), message, now_ms())).map(|()| id)
    }

    /// Receives, waiting up to `wait` for the first message.
    pub(crate) async fn receive(
        &self,
        queue: &str,
        max: usize,
        visibility: Option<i64>,
        wait: Duration,
    ) -> Result<Vec<Received>, SqsError> {
        let deadline = tokio::time::Instant::now() + wait;
        loop {
            let notify = self.arrival(queue);
            let arrived = notify.notified();
            tokio::pin!(arrived);
            // From here on no arrival is missed, not even between the receive and the wait.
            arrived.as_mut().enable();
            let found = self.with(|engine| engine.receive(queue, max, visibility, now_ms()))?;
            if !found.is_empty() || tokio::time::Instant::now() >= deadline {
                return Ok(found);
            }
            let next = self.with(|engine| engine.next_visible(queue));
            let until_next = next.map(|at| Duration::from_millis(u64::try_from(at - now_ms()).unwrap_or(0).max(1)));
            let pause = until_next.map_or(deadline, |wait| deadline.min(tokio::time::Instant::now() + wait));
            tokio::select! {
                () = &mut arrived => {}
                () = tokio::time::sleep_until(pause) => {}
            }
        }
    }

    /// Answers one request of the JSON protocol: the status, the body, and the code for `x-amzn-query-error`.
    pub(crate) async fn call(&self, base: &str, operation: &str, body: &[u8]) -> (u16, serde_json::Value, Option<&'static str>) {
        match wire::dispatch(self, base, operation, body).await {
            Ok(value) => (200, value, None),
            Err(error) => {
                let body =
                    serde_json::json!({ "__type": format!("com.amazonaws.sqs#{}", error.shape()), "message": error.to_string() });
                (400, body, Some(error.query_code()))
            }
        }
    }
}
