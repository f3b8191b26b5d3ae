//! What operators do with a running hub: look, explain, pause, redrive. Everything goes through the ports, so the same code
//! works on the local stack and on AWS.
#![allow(async_fn_in_trait)]

pub mod absences;
pub mod connections;
pub mod dlq;
pub mod explain;
pub mod fuse;
pub mod import;
pub mod open;
pub mod pause;
pub mod plan;
pub mod quarantine;
pub mod resolve;
pub mod retained;
pub mod review;
pub mod status;

use canonical::QueueName;
use sync::config::Hub;
use sync::ports::{Clock, Delivery, PortError, Queue, Secrets, Store};

use crate::config::suggestion;
use crate::out::CommandError;

/// Receiving and deleting messages by hand. Lambda polls the queues for the functions; nobody polls a dead-letter queue.
pub trait DeadLetters {
    /// Receives at most ten messages and hides them from other receivers for that many seconds.
    async fn receive(&self, queue: &QueueName, visibility_s: u32) -> Result<Vec<Delivery>, PortError>;
    /// How many messages can be received, and how many are hidden: in work, or waiting for their next attempt.
    async fn count(&self, queue: &QueueName) -> Result<(u64, u64), PortError>;
    /// Deletes a received message.
    async fn delete(&self, queue: &QueueName, receipt: &str) -> Result<(), PortError>;
}

/// The ports that operators' commands need.
pub trait Ports: Store + Queue + Secrets + Clock + DeadLetters {}
impl<T: Store + Queue + Secrets + Clock + DeadLetters> Ports for T {}

/// Fails unless the configuration has this connection.
pub(crate) fn check_connection(hub: &Hub, name: &str) -> Result<(), CommandError> {
    if hub.connections.contains_key(name) {
        return Ok(());
    }
    let known: Vec<&str> = hub.connections.keys().map(|name| name.as_str()).collect();
    Err(CommandError::Usage(format!("there is no connection `{name}`; {}", suggestion(name, known))))
}
