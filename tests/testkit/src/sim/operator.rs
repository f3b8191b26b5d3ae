//! What an operator does once traffic has stopped: sends back what was parked, and decides who is who.

use canonical::{ObjectType, RemoteId};
use sync::decision::{self, Decision};
use sync::ports::{Outgoing, Table};
use sync::record::{Review, ReviewState};

use super::Sim;
use super::check::{self, Violation, record_of};
use super::ports::Faults;
use super::script::Verdict;

/// The decisions that a verdict comes to.
pub(super) fn decisions(sim: &Sim, verdict: Verdict) -> Result<Vec<Decision>, Violation> {
    let remote = |(connection, object, id): (&str, &str, &str)| RemoteId {
        connection: connection.into(),
        object: object.into(),
        id: id.into(),
    };
    let decide = |decision| Decision { decision, object: ObjectType::Contact, by: "a person".to_owned() };
    Ok(match verdict {
        Verdict::AcceptAll | Verdict::RejectAll => {
            let verdict_on = |review: Review| {
                let (records, review) = (review.records, Some(review.id));
                match verdict {
                    Verdict::AcceptAll => decision::Verdict::Join { records, review },
                    _ => decision::Verdict::KeepApart { records, review },
                }
            };
            open_reviews(sim).into_iter().map(verdict_on).map(decide).collect()
        }
        Verdict::Unmerge(connection, object, id) => {
            let source = remote((connection, object, id));
            let record = record_of(sim, |record| record.members.contains(&source))?.id;
            vec![decide(decision::Verdict::Split { record, sources: vec![source] })]
        }
        Verdict::Merge(source, email) => {
            let source = remote(source);
            let one = record_of(sim, |record| record.members.contains(&source))?.id;
            let address = sim.vault.key_hash(&["field", "contact", "email", email]);
            let other = record_of(sim, |record| record.keys.contains_key(&address))?.id;
            vec![decide(decision::Verdict::Join { records: [one, other], review: None })]
        }
    })
}

fn open_reviews(sim: &Sim) -> Vec<Review> {
    let tables = sim.shared.tables.borrow();
    let reviews = tables.all(Table::Links).filter_map(Review::read);
    reviews.filter(|review| review.state == ReviewState::Open).collect()
}

impl Sim {
    /// Runs until nothing is under way, then without faults. What was parked meanwhile is redriven, as after an outage.
    pub(super) fn calm_down(&mut self) -> Result<(), Violation> {
        self.until_quiet()?;
        self.shared.faults.set(Faults::NONE);
        self.until_quiet()?;
        for _ in 0..3 {
            if !self.redrive() {
                break;
            }
            self.until_quiet()?;
        }
        Ok(())
    }

    /// Moves every dead letter that may pass now back to where it came from.
    fn redrive(&mut self) -> bool {
        let mut moved = false;
        let now = self.shared.now.get();
        let mut queues = self.shared.queues.borrow_mut();
        for name in queues.names().into_iter().filter(|n| n.ends_with("-dlq")) {
            for delivery in queues.receive(&name, usize::MAX, now) {
                let code = delivery.attributes.get("code").map(String::as_str).unwrap_or_default();
                if check::stays_parked(code) {
                    continue;
                }
                queues.delete(&name, &delivery.receipt);
                let origin = delivery.attributes.get("origin").cloned().unwrap_or_default();
                let mut message = sync::ports::Outgoing::new(delivery.body);
                message.attributes.extend(delivery.attributes.get("event").map(|e| ("event".to_owned(), e.clone())));
                moved |= queues.send(&origin, message, now).is_ok();
            }
        }
        moved
    }
    /// Sends a decision to `transform`, as the command line does.
    pub(super) fn send_decision(&self, decision: &Decision) {
        let body = serde_json::to_string(decision).unwrap_or_else(|e| panic!("a decision: {e}"));
        let sent = self.shared.queues.borrow_mut().send("ingest-urgent", Outgoing::new(body), self.shared.now.get());
        assert!(sent.is_ok(), "the queue refuses a decision: {sent:?}");
    }
}
