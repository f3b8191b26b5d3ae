//! What operators do with a running hub: look, explain, pause, redrive. Everything goes through the ports, so the same code
//! works on the local stack and on AWS.
#![allow(async_fn_in_trait)]

pub mod command;
pub mod control;
pub mod dlq;
pub mod explain;
pub mod open;
pub mod status;
pub mod text;

use sync::ports::{Clock, Delivery, PortError, Queue, Secrets, Store};

/// Reading and deleting messages by hand; functions have a poller for that.
pub trait DeadLetters {
    /// At most ten messages, invisible to others for that many seconds.
    async fn receive(&self, queue: &str, visibility_s: u32) -> Result<Vec<Delivery>, PortError>;
    /// Removes a received message.
    async fn delete(&self, queue: &str, receipt: &str) -> Result<(), PortError>;
}

/// Everything that operators need of the outside.
pub trait Ports: Store + Queue + Secrets + Clock + DeadLetters {}
impl<T: Store + Queue + Secrets + Clock + DeadLetters> Ports for T {}
