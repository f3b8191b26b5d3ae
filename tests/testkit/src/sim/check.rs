//! The invariants, checked against the oracle. Numbers are those of `docs/architecture.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use canonical::{ConnectionName, GoldenId, ObjectType, Outcome, Value};
use sync::ports::Table;
use sync::reconcile::{golden_parts, link_parts};
use sync::record::{GoldenRecord, Link};

use super::oracle::{self, Expected};
use super::policy::{HUBSPOT_ID, SALESFORCE_ID};
use super::script::Fact;
use super::setup::{records, text};
use super::{QUEUES, Sim};

/// An invariant that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Its number, such as `I3`.
    pub invariant: &'static str,
    /// What was found.
    pub detail: String,
}

impl Violation {
    pub(crate) fn new(invariant: &'static str, detail: impl Into<String>) -> Violation {
        Violation { invariant, detail: detail.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} violated: {}", self.invariant, self.detail)
    }
}

impl std::error::Error for Violation {}

/// The hub's state, decrypted.
struct State {
    golden: BTreeMap<GoldenId, GoldenRecord>,
    links: BTreeMap<(ConnectionName, GoldenId), Link>,
}

/// Polls a future on ports without faults until it is done. Time moves as far as it waits.
pub(super) fn finish<T>(sim: &Sim, future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return value;
        }
        sim.shared.now.set(sim.shared.now.get() + 1);
    }
}

fn state(sim: &Sim) -> Result<State, Violation> {
    let ports = sim.ports();
    let now = sim.shared.now.get();
    let mut state = State { golden: BTreeMap::new(), links: BTreeMap::new() };
    let broken = |e: sync::failure::Failure| Violation::new("store", e.chain());
    let golden: Vec<_> = sim.shared.tables.borrow().all(Table::Golden).cloned().collect();
    for item in golden.iter().filter(|i| golden_parts(&i.key).is_some_and(|(object, _)| object == ObjectType::Contact)) {
        let record = finish(sim, sync::record::read_golden(&ports, &sim.vault, item)).map_err(broken)?;
        state.golden.insert(record.id.clone(), record);
    }
    let links: Vec<_> = sim.shared.tables.borrow().all(Table::Links).cloned().collect();
    for item in &links {
        if let Some((destination, ObjectType::Contact, record)) = link_parts(&item.key) {
            let link = finish(sim, sync::record::read_link(&ports, &sim.vault, item)).map_err(broken)?;
            link.check().map_err(|rule| Violation::new("link", format!("{rule}: {link:?}")))?;
            state.links.insert((destination.into(), record.into()), link);
        }
    }
    sim.shared.now.set(now);
    Ok(state)
}

/// The live record of which this is true. There must be exactly one.
pub(crate) fn record_of(sim: &Sim, is_it: impl Fn(&GoldenRecord) -> bool) -> Result<GoldenRecord, Violation> {
    let mut found = state(sim)?.golden.into_values().filter(|record| record.redirect.is_none() && is_it(record));
    match (found.next(), found.next()) {
        (Some(record), None) => Ok(record),
        (one, other) => Err(Violation::new("verdict", format!("not one record but {one:?} and {other:?}"))),
    }
}

/// What must hold once traffic has stopped, before any reconciliation.
pub(crate) fn before_reconcile(sim: &Sim) -> Result<(), Violation> {
    let state = state(sim)?;
    nothing_left(sim)?;
    accounts(sim)?;
    same_truth(sim, &state)?;
    destinations(sim, &state, "I4")
}

/// What must hold after one reconciliation.
pub(crate) fn after_reconcile(sim: &Sim) -> Result<(), Violation> {
    let state = state(sim)?;
    nothing_left(sim)?;
    same_truth(sim, &state)?;
    destinations(sim, &state, "I5")
}

/// Dead letters that stay: they cannot be read, or the records that they name cannot.
pub(crate) fn stays_parked(code: &str) -> bool {
    matches!(code, "malformed-body" | "malformed-event" | "cannot-fetch")
}

/// No message is left, except those that cannot be read or whose records cannot be read.
fn nothing_left(sim: &Sim) -> Result<(), Violation> {
    let queues = sim.shared.queues.borrow();
    for (queue, _) in QUEUES {
        for message in queues.peek(&format!("{queue}-dlq")) {
            let code = message.attributes.get("code").map(String::as_str).unwrap_or_default();
            if !stays_parked(code) {
                return Err(Violation::new("I1", format!("a dead letter remains in {queue}: {:?}", message.attributes)));
            }
        }
    }
    Ok(())
}

/// I1: every event that was answered 2xx has one outcome, and none is in flight. I9: nothing forged came in.
fn accounts(sim: &Sim) -> Result<(), Violation> {
    if sim.forged_accepted > 0 {
        return Err(Violation::new("I9", format!("{} forged webhooks were accepted", sim.forged_accepted)));
    }
    let tables = sim.shared.tables.borrow();
    let mut envelopes: BTreeSet<&str> = BTreeSet::new();
    for item in tables.all(Table::Journal).filter(|i| i.key.pk.starts_with("a#")) {
        let outcome = item.s("outcome").and_then(Outcome::parse);
        if matches!(outcome, None | Some(Outcome::InFlight)) {
            return Err(Violation::new("I1", format!("{} {} has outcome {outcome:?}", item.key.pk, item.key.sk)));
        }
        envelopes.extend(item.key.sk.split('#').next());
    }
    let counted = envelopes.len() as u64;
    // An answer that the provider never saw is received all the same, so there may be more; never fewer.
    if counted < sim.answered_with_events() {
        let detail = format!("{} webhooks were answered 2xx, {counted} have an outcome", sim.answered_with_events());
        return Err(Violation::new("I1", detail));
    }
    Ok(())
}

fn known_facts(sim: &Sim, state: &State) -> Vec<Fact> {
    let accepted = sim.facts.iter().enumerate().filter(|(i, _)| sim.accepted.contains(i)).map(|(_, f)| f.clone());
    let lived = sim.lived.iter().filter(|fact| {
        let id = &fact.source.2;
        state.links.values().any(|l| l.remote_id() == Some(id))
    });
    accepted.chain(lived.cloned()).collect()
}

/// I2 and I6: clusters and values are those of the facts, however they travelled.
fn same_truth(sim: &Sim, state: &State) -> Result<(), Violation> {
    let expected = oracle::expect(&known_facts(sim, state));
    let alive: Vec<&GoldenRecord> = state.golden.values().filter(|g| g.redirect.is_none()).collect();
    for person in &expected {
        let mine: Vec<&&GoldenRecord> = alive.iter().filter(|g| is_member(sim, person, g)).collect();
        let [golden] = mine.as_slice() else {
            return Err(Violation::new("I2", format!("{} records for one person: {:?}", mine.len(), person.members)));
        };
        for (field, want) in &person.fields {
            let have = golden.fields.get(*field).map(|r| r.value.to_string()).filter(|v| v != "null").unwrap_or_default();
            if have != *want {
                let detail =
                    format!("{field} of {}: expected `{want}`, the hub has `{have}`: {:?}", golden.id, golden.fields.get(*field));
                return Err(Violation::new("I2", detail));
            }
        }
        let consent = golden.fields.get("email_consent");
        let have = consent.map(|r| r.value.to_string());
        if person.consent.is_some() && have != person.consent {
            let detail = format!("consent of {}: expected {:?}, the hub has {consent:?}", golden.id, person.consent);
            return Err(Violation::new("I6", detail));
        }
    }
    Ok(())
}

/// Forms have no ids of their own, so the hub chooses the ids of their records. There the address decides.
fn is_member(sim: &Sim, person: &Expected, golden: &GoldenRecord) -> bool {
    person.members.iter().any(|(connection, _, id)| match connection.as_str() {
        "form" => golden.keys.contains_key(&sim.vault.key_hash(&["field", "contact", "email", id])),
        _ => golden.members.iter().any(|member| *connection == member.connection && *id == member.id),
    })
}

/// I3, I4, I5: one live object per person and destination, holding what the golden record says in what we write there.
fn destinations(sim: &Sim, state: &State, invariant: &'static str) -> Result<(), Violation> {
    let crms = sim.shared.crms.borrow();
    for (destination, host, object, id_property) in
        [("hubspot", "hubspot.test", "contacts", HUBSPOT_ID), ("salesforce", "salesforce.test", "Contact", SALESFORCE_ID)]
    {
        let Some(crm) = crms.get(host) else { continue };
        let live = records(crm.as_ref(), object);
        let (_, provider) = sim.config.connection(destination).map_err(|e| Violation::new("store", e.to_string()))?;
        for golden in state.golden.values().filter(|g| g.redirect.is_none() && g.is_pushed()) {
            let ids: BTreeSet<&str> =
                state.golden.values().filter(|g| leads_to(state, g, &golden.id)).map(|g| g.id.as_str()).collect();
            let link = state.links.get(&(destination.into(), golden.id.clone()));
            let is_duplicate = |id: &str| link.is_some_and(|l| l.is_duplicate(id));
            let objects: Vec<_> =
                live.iter().filter(|r| ids.contains(text(&r.properties, id_property).as_str()) && !is_duplicate(&r.id)).collect();
            if link.is_some_and(|l| l.is_gone() || l.refused_at().is_some()) {
                continue;
            }
            let in_review = !golden.reviews.is_empty();
            if in_review && objects.is_empty() {
                // It waits for a person's decision.
                continue;
            }
            let [remote] = objects.as_slice() else {
                let found: Vec<&str> = objects.iter().map(|r| r.id.as_str()).collect();
                let detail = format!("{} has {} objects at {destination}: {found:?}, link {link:?}", golden.id, objects.len());
                return Err(Violation::new("I3", detail));
            };
            let rendered = provider.render(object, &golden.values());
            let wanted = provider.canonical(object, &rendered.properties);
            let there = provider.canonical(object, &remote.properties);
            for field in rendered.by_field.keys().filter(|field| !in_review || &***field != "email") {
                let (want, have) = (shown(wanted.get(field)), shown(there.get(field)));
                let cut = have.chars().count() >= 40 && want.starts_with(&have);
                if have != want && !cut {
                    let detail =
                        format!("{field} of {} at {destination}: expected `{want}`, there is `{have}`; link {link:?}", golden.id);
                    return Err(Violation::new(invariant, detail));
                }
            }
        }
    }
    Ok(())
}

/// A consent that is unknown is none.
fn shown(value: Option<&Value>) -> String {
    value.filter(|v| !v.is_null() && v.as_text() != Some("unknown")).map(Value::to_string).unwrap_or_default()
}

fn leads_to(state: &State, record: &GoldenRecord, target: &str) -> bool {
    let mut record = record;
    for _ in 0..32 {
        if record.id == target {
            return true;
        }
        match record.redirect.as_ref().and_then(|id| state.golden.get(id)) {
            Some(next) => record = next,
            None => return false,
        }
    }
    false
}
