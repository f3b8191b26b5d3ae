//! The queues of a hub by their logical names.

use canonical::{Lane, QueueName};
use sync::config::Hub;

/// The queues on which the functions work.
pub fn work_queues(hub: &Hub) -> Vec<QueueName> {
    let destinations = hub.connections.iter().filter(|(_, connection)| connection.destination);
    let upserts = destinations.flat_map(|(name, _)| Lane::ALL.map(|lane| QueueName::upsert(name, lane)));
    let mut queues: Vec<QueueName> =
        Lane::ALL.map(QueueName::ingest).into_iter().chain(Lane::ALL.map(QueueName::fetch)).collect();
    queues.push(QueueName::refresh());
    queues.extend(upserts);
    queues
}

/// The dead-letter queues of [`work_queues`].
pub fn dead_letter_queues(hub: &Hub) -> Vec<QueueName> {
    work_queues(hub).iter().map(QueueName::dead_letter).collect()
}
