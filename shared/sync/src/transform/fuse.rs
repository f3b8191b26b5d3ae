//! Fuses at work: what each connection reports is counted, and what comes from one whose fuse has blown is held.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use canonical::{Change, ChangeKind, ConnectionName, Envelope, EnvelopeKind, Outcome};

use super::{Ports, Transform};
use crate::batch::write_if;
use crate::failure::{Code, Failure};
use crate::fuse::{self, Blown, FuseKind, HeldMessage, RELEASED, Reported, blown, build_hold};
use crate::import::is_imported;
use crate::ports::{Delivery, Write};
use crate::record::journal::AccountLine;
use crate::transform::plan::Merged;

/// The fuses during one batch.
#[derive(Debug, Default)]
pub(super) struct BatchFuses {
    /// Whether a connection's fuse had blown when the batch first met it.
    blown: RefCell<BTreeMap<ConnectionName, Option<Blown>>>,
    reported: RefCell<BTreeMap<ConnectionName, Reported>>,
    /// Envelopes that no fuse counts.
    exempt: RefCell<BTreeSet<String>>,
}

impl<P: Ports> Transform<'_, P> {
    /// Holds the message if the connection's fuse has blown. Returns whether it did.
    pub(super) async fn hold_if_blown(&self, envelope: &Envelope, delivery: &Delivery) -> Result<bool, Failure> {
        if self.config.hub().fuses.is_empty() {
            return Ok(false);
        }
        if is_exempt(envelope, delivery) {
            self.fuses.exempt.borrow_mut().insert(envelope.id.clone());
            return Ok(false);
        }
        let connection = &envelope.connection;
        let known = self.fuses.blown.borrow().get(connection).cloned();
        let state = match known {
            Some(state) => state,
            None => {
                let state = blown(self.ports, connection).await?;
                self.fuses.blown.borrow_mut().insert(connection.clone(), state.clone());
                state
            }
        };
        let Some(Blown { kind, .. }) = state else { return Ok(false) };
        let events = self.events_of(envelope).await;
        let (queue, body, attributes) = (self.queue.to_string(), delivery.body.clone(), delivery.attributes.clone());
        let message = HeldMessage { queue, body, attributes, events };
        if message.body.len() > self.config.hub().limits.item_bytes {
            let detail =
                format!("the fuse `{}` of `{connection}` has blown, and the message is too large to be held", kind.name());
            return Err(Failure::new(Code::FuseBlown, detail));
        }
        let hold = build_hold(self.ports, self.vault, connection, &delivery.id, &message).await?;
        self.ports.write(vec![hold], None).await?;
        let reason = format!("fuse: more {} records than declared", kind.name());
        for event in &message.events {
            let line = AccountLine { event, outcome: Outcome::Held, reason: Some(&reason) };
            let write: Option<Write> = line.build_close(self.ports, self.config.hub().journal_days).await?;
            if let Some(write) = write {
                write_if(self.ports, write).await?;
            }
        }
        tracing::warn!(%connection, envelope = %envelope.id, kind = kind.name(), "held: a fuse has blown");
        Ok(true)
    }

    /// Notes what a change that was stored means for the fuses of its connection.
    pub(super) fn note_for_fuses(&self, change: &Change, plan: &Merged, envelope: &Envelope) {
        if self.config.hub().fuses.is_empty() || self.config.hub().object(change.object).destinations.is_empty() {
            return;
        }
        let mut all = self.fuses.reported.borrow_mut();
        let reported = all.entry(change.source.connection.clone()).or_default();
        let first = plan.source.as_ref().is_some_and(|source| source.version == 0);
        reported.known += u64::from(first);
        let deleted = matches!(change.kind, ChangeKind::Delete { .. } | ChangeKind::MergedInto { .. });
        let kind = match (plan.outcome, deleted) {
            (Outcome::Applied | Outcome::Held | Outcome::Quarantined, true) => FuseKind::Deleted,
            (Outcome::Applied | Outcome::Held | Outcome::Quarantined, false) if plan.novelty() == "new" => FuseKind::New,
            (Outcome::Applied, false) => FuseKind::Changed,
            _ => return,
        };
        if !self.fuses.exempt.borrow().contains(&envelope.id) {
            *reported.counts.entry(kind).or_default() += 1;
        }
    }

    /// Stores what the batch has counted. A failure only loses the count.
    pub(super) async fn store_fuse_counts(&self) {
        let all = std::mem::take(&mut *self.fuses.reported.borrow_mut());
        for (connection, reported) in all {
            if let Err(failure) = fuse::count(self.ports, &self.config.hub().fuses, &connection, &reported).await {
                tracing::warn!(code = %failure.code, %connection, "a count of the fuses could not be stored");
            }
        }
    }
}

/// True for what somebody has asked for: an import, or a message that an operator released.
fn is_exempt(envelope: &Envelope, delivery: &Delivery) -> bool {
    let imported = match &envelope.kind {
        EnvelopeKind::Fetched(fetched) => fetched.causes.iter().any(is_imported),
        EnvelopeKind::Webhook => false,
    };
    imported || delivery.attributes.contains_key(RELEASED)
}
