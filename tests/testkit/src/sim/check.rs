//! The invariants, checked against the oracle. Numbers are those of `docs/architecture.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use canonical::{ConnectionName, FieldName, Fields, GoldenId, ObjectType, Outcome, RemoteId, Value};
use providers::Provider;
use sync::ports::Table;
use sync::reconcile::{golden_parts, link_parts};
use sync::record::{GoldenRecord, Link, SourceRecord};

use super::oracle::{self, Expected};
use super::policy::{HUBSPOT_ID, SALESFORCE_ID};
use super::script::Fact;
use super::setup::{Remote, records, text};
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
    /// What the hub has read of contacts in HubSpot, by their ids.
    read: BTreeMap<String, SourceRecord>,
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
    let mut state = State { golden: BTreeMap::new(), links: BTreeMap::new(), read: BTreeMap::new() };
    let broken = |e: sync::failure::Failure| Violation::new("store", e.chain());
    let golden: Vec<_> = sim.shared.tables.borrow().all(Table::Golden).cloned().collect();
    for item in golden.iter().filter(|i| golden_parts(&i.key).is_some_and(|(object, _)| object == ObjectType::Contact)) {
        let record = finish(sim, sync::record::read_golden(&ports, &sim.vault, item)).map_err(broken)?;
        state.golden.insert(record.id.clone(), record);
    }
    let sources = |item: &&sync::ports::Item| item.key.pk.starts_with("s#hubspot/contacts/");
    let sources: Vec<_> = sim.shared.tables.borrow().all(Table::Golden).filter(sources).cloned().collect();
    for item in &sources {
        let record = finish(sim, sync::record::read_source(&ports, &sim.vault, item)).map_err(broken)?;
        state.read.insert(record.source.id.clone(), record);
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
    let reported = sim.facts.iter().enumerate().filter(|(i, _)| sim.accepted.contains(i)).map(|(_, f)| f.clone());
    let known = |fact: &&Fact| {
        let (connection, object, id) = &fact.source;
        let member = |m: &RemoteId| m.connection == *connection && m.object == *object && m.id == *id;
        // Of a contact that was deleted before the hub could read it, the hub knows nothing but its id.
        let read = |g: &&GoldenRecord| g.members.len() > 1 || !g.fields.is_empty();
        let linked = state.links.values().any(|l| l.remote_id() == Some(id));
        linked || state.golden.values().filter(read).any(|g| g.members.iter().any(member))
    };
    let lived = sim.lived.iter().filter(known).map(|fact| match sim.removed.contains(&fact.source.2) {
        true => remains_of(fact, state),
        false => fact.clone(),
    });
    reported.chain(lived).collect()
}

/// What counts of a contact that was deleted: the address, which ties it to its person, and what the person refused, if the hub
/// could still read it.
fn remains_of(fact: &Fact, state: &State) -> Fact {
    let address = |(name, _): &(&&'static str, &String)| **name == "email";
    let fields = fact.fields.iter().filter(address).map(|(name, value)| (*name, value.clone())).collect();
    let read = state.read.get(&fact.source.2).and_then(|record| record.fields.get("email_consent"));
    let refused = read.is_some_and(|consent| consent.levels().contains_key("withdrawn"));
    Fact { fields, consent: fact.consent.filter(|_| refused), ..fact.clone() }
}

/// A link is gone only if its object is, and if no other object there belongs to its record.
fn check_gone(link: &Link, golden: &GoldenRecord, destination: &str, live: &[Remote]) -> Result<(), Violation> {
    let belongs = |r: &&Remote| {
        link.remote_id() == Some(&r.id) || golden.members.iter().any(|m| m.connection == *destination && m.id == r.id)
    };
    match live.iter().find(belongs) {
        Some(living) => Err(Violation::new(
            "I5",
            format!("{} lives at {destination}, but the link of {} is gone: {link:?}", living.id, golden.id),
        )),
        None => Ok(()),
    }
}

/// Pushes that the audit log holds.
pub(crate) fn audited_pushes(sim: &Sim) -> u64 {
    let tables = sim.shared.tables.borrow();
    let by_destination = |item: &&sync::ports::Item| ["#hubspot#", "#salesforce#"].iter().any(|name| item.key.sk.contains(name));
    tables.all(Table::Audit).filter(by_destination).count() as u64
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
            if let Some(link) = link.filter(|l| l.is_gone()) {
                check_gone(link, golden, destination, &live)?;
                continue;
            }
            if link.is_some_and(|l| l.refused_at().is_some()) {
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
            let (wanted, there) = rendered_and_there(&provider, object, golden, remote);
            for (field, want) in wanted.iter().filter(|(field, _)| !in_review || &***field != "email") {
                let have = shown(there.get(field));
                let cut = have.chars().count() >= 40 && want.starts_with(&have);
                let held = &**field == "email" && link.is_some_and(|link| is_held_by_refused(link, &live, want));
                if have != *want && !cut && !held {
                    let detail =
                        format!("{field} of {} at {destination}: expected `{want}`, there is `{have}`; link {link:?}", golden.id);
                    return Err(Violation::new(invariant, detail));
                }
            }
        }
    }
    Ok(())
}

/// What an object should hold in the fields that the hub writes, and what it holds.
fn rendered_and_there(
    provider: &Provider,
    object: &str,
    golden: &GoldenRecord,
    remote: &Remote,
) -> (BTreeMap<FieldName, String>, Fields) {
    let rendered = provider.render(object, &golden.values());
    let wanted = provider.canonical(object, &rendered.properties);
    let wanted = rendered.by_field.keys().map(|field| (field.clone(), shown(wanted.get(field)))).collect();
    (wanted, provider.canonical(object, &remote.properties))
}

/// True when another living object of the record holds an address, and the destination has refused to merge the two: the hub
/// cannot give the address to the record's own object.
fn is_held_by_refused(link: &Link, live: &[Remote], address: &str) -> bool {
    live.iter().any(|r| link.refused_duplicates().contains(&r.id) && text(&r.properties, "email") == address)
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
