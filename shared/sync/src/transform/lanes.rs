//! The lane of what follows from a batch.

use std::collections::BTreeSet;

use canonical::{ConnectionName, Dispatch, Lane, QueueName};

use super::{Ports, Transform};
use crate::failure::Failure;
use crate::outbox::{self, Route};

/// Envelopes in one batch that make a burst: a full batch of the urgent lane.
const BURST: usize = 10;

/// The lane of what follows from a batch of so many envelopes: that of its queue, or bulk in a burst.
pub(super) fn lane_of_batch(queue: &QueueName, envelopes: usize) -> Lane {
    if envelopes >= BURST { Lane::Bulk } else { queue.lane() }
}

impl<P: Ports> Transform<'_, P> {
    /// Where dispatches to a destination go. Single changes go at once. When a whole batch was waiting, more is coming, and a burst
    /// is written in fewer calls by the bulk lane.
    pub(super) fn route<'d>(&self, destination: &'d str) -> Route<'d> {
        match (self.queue.lane(), self.lane) {
            (Lane::Urgent, Lane::Bulk) => Route::burst(destination),
            (_, lane) => Route::to(destination, lane),
        }
    }

    pub(super) async fn send_dispatches(&self, dispatches: &[(ConnectionName, Dispatch)]) -> Result<(), Failure> {
        let destinations: BTreeSet<&ConnectionName> = dispatches.iter().map(|(destination, _)| destination).collect();
        for destination in destinations {
            let here = dispatches.iter().filter(|(to, _)| to == destination).map(|(_, dispatch)| dispatch);
            outbox::send_dispatches(self.ports, self.route(destination), here).await?;
        }
        Ok(())
    }
}
