//! The queues of a hub by their logical names.

use canonical::{Lane, QueueName};
use sync::config::Hub;

/// The queues on which the functions work.
pub fn work_queues(hub: &Hub) -> Vec<QueueName> {
    let mut queues =
        vec![QueueName::ingest(Lane::Urgent), QueueName::ingest(Lane::Bulk), QueueName::fetch(), QueueName::refresh()];
    queues.extend(hub.connections.iter().filter(|(_, c)| c.destination).map(|(name, _)| QueueName::upsert(name)));
    queues
}

/// The dead-letter queues of [`work_queues`].
pub fn dead_letter_queues(hub: &Hub) -> Vec<QueueName> {
    work_queues(hub).iter().map(QueueName::dead_letter).collect()
}
