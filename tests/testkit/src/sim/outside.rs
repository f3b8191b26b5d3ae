//! What happens outside the hub: providers deliver webhooks, and people edit records in CRMs.

use std::collections::BTreeMap;
use std::rc::Rc;

use sync::receive::Request;

use super::script::{Edit, Fact, Sending, Signature};
use super::{Finish, Sim, Work, setup};

/// A webhook that is to be delivered.
#[derive(Clone)]
pub(super) struct Trip {
    pub(super) sending: Sending,
    /// From 0.
    pub(super) attempt: u32,
    /// The stand-in that sent it, and the stand-in's id of the delivery.
    pub(super) crm: Option<(String, u64)>,
}

impl Sim {
    /// Takes the webhooks that the stand-ins want to send now.
    pub(super) fn collect_crm_webhooks(&mut self, now: i64) {
        let mut crms = self.shared.crms.borrow_mut();
        for (host, crm) in crms.iter_mut() {
            for webhook in crm.due_webhooks(now) {
                let sending = Sending {
                    connection: "hubspot",
                    at_ms: now,
                    id: format!("{host}-{}", webhook.id),
                    body: webhook.body,
                    fact: None,
                    signature: Signature::Good,
                };
                self.trips.push((now, Trip { sending, attempt: webhook.attempt, crm: Some((host.clone(), webhook.id)) }));
            }
        }
    }

    /// Delivers a webhook to `receive`.
    pub(super) fn deliver(&mut self, trip: Trip) {
        self.stats.webhooks += 1;
        let request: Request = setup::request(&trip.sending, self.shared.now.get());
        let ports = self.ports();
        let (config, process) = (Rc::clone(&self.config), Rc::clone(&self.process));
        let (again, handler_ports) = (trip.clone(), ports.clone());
        let work: Work = Box::pin(async move {
            let answer = sync::receive::handle(&handler_ports, &config, &process, &request).await;
            let finish: Finish = Box::new(move |sim| sim.answered(trip, Some(answer.status)));
            finish
        });
        self.spawn(&ports, None, work, Some(Box::new(move |sim| sim.answered(again, None))));
    }

    /// The provider gets an answer, or none. It sends the webhook again after anything but success.
    fn answered(&mut self, trip: Trip, status: Option<u16>) {
        let now = self.shared.now.get();
        self.shared.trace(|| {
            format!(
                "{} {} answered {status:?}: {}",
                trip.sending.connection,
                trip.sending.id,
                String::from_utf8_lossy(&trip.sending.body)
            )
        });
        let success = status.is_some_and(|s| (200..300).contains(&s));
        if success {
            self.answered += 1;
            self.accepted.extend(trip.sending.fact);
            self.forged_accepted += u64::from(trip.sending.signature == Signature::Forged);
        }
        if let Some((host, id)) = &trip.crm {
            if let Some(crm) = self.shared.crms.borrow_mut().get_mut(host) {
                crm.webhook_answered(*id, success, now);
            }
        } else if !success && trip.sending.signature == Signature::Good && trip.attempt < 8 {
            let wait = 5_000 << trip.attempt.min(5);
            self.trips.push((now + wait, Trip { attempt: trip.attempt + 1, ..trip }));
        }
    }

    /// A person edits a record in a CRM.
    pub(super) fn edit(&mut self, edit: Edit) {
        let now = self.shared.now.get();
        let mut crms = self.shared.crms.borrow_mut();
        let Some(crm) = crms.get_mut(edit.crm) else { return };
        let Some(id) = setup::find_by_email(crm.as_ref(), edit.object, &edit.email) else { return };
        // To enter a value that is there already is not a statement: the CRM stores nothing and sends no webhook.
        let before = setup::records(crm.as_ref(), edit.object).into_iter().find(|r| r.id == id);
        let known =
            |name: &String, value: &serde_json::Value| before.as_ref().is_some_and(|r| r.properties.get(name) == Some(value));
        if edit.properties.iter().all(|(name, value)| known(name, value)) {
            return;
        }
        if crm.edit(edit.object, &id, &edit.properties, now).is_err() {
            return;
        }
        self.shared.trace(|| format!("a person edits {} {id}: {:?}", edit.object, edit.properties));
        if let Some((field, value)) = edit.fact {
            let source = ("hubspot", "contacts", id);
            let consent = (field == "email_consent").then_some("withdrawn");
            let mut fields = BTreeMap::from([("email", edit.email)]);
            if consent.is_none() {
                fields.insert(field, value);
            }
            // The address only ties the record to its person. It is not a statement of HubSpot.
            self.lived.push(Fact { source, stamp_ms: now, stated: false, fields, consent, person: edit.person });
        }
    }
}
