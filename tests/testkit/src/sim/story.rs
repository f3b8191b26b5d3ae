//! A calm hub whose story a test tells step by step: the real handlers, the stand-ins of the CRMs, and nothing that goes wrong.

use std::collections::BTreeMap;
use std::future::Future;
use std::rc::Rc;

use canonical::{Lane, ObjectType, Outcome, QueueName};
use sandbox::Sandbox;
use serde_json::{Map, Value};
use sync::config::{Config, Hub};
use sync::ports::{Item, Outgoing, Table};
use sync::reconcile::Job;
use sync::record::GoldenRecord;
use sync::seal::Vault;

use super::bulk::BATCHES;
use super::policy::{HUBSPOT_HOST, SALESFORCE_HOST, config_with};
use super::script::{START_MS, Script, Sending, Signature};
use super::setup::{Remote, records, sources};
use super::{Options, Sim, SimPorts, Trip, check};

/// One of the two CRMs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crm {
    /// The stand-in for HubSpot.
    HubSpot,
    /// The stand-in for Salesforce.
    Salesforce,
}

impl Crm {
    /// The name of its connection.
    pub fn connection(self) -> &'static str {
        match self {
            Crm::HubSpot => "hubspot",
            Crm::Salesforce => "salesforce",
        }
    }

    fn host(self) -> &'static str {
        match self {
            Crm::HubSpot => HUBSPOT_HOST,
            Crm::Salesforce => SALESFORCE_HOST,
        }
    }
}

/// A hub, two CRMs, a form and a billing system, without faults.
pub struct Story {
    sim: Sim,
    sent: u64,
}

impl Story {
    /// A hub that knows nothing yet, with the simulator's configuration, changed by `adjust`.
    pub fn new(adjust: impl FnOnce(&mut Hub)) -> Story {
        let script = Script { end_ms: START_MS, ..Script::default() };
        let mut sim = Sim::new(0, script, Options { calm: true, ..Options::default() });
        sim.batches = BATCHES;
        sim.config = Rc::new(config_with(&sources(), adjust));
        sim.shared.now.set(START_MS);
        Story { sim, sent: 0 }
    }

    /// Deploys another configuration.
    pub fn deploy(&mut self, adjust: impl FnOnce(&mut Hub)) {
        self.sim.config = Rc::new(config_with(&sources(), adjust));
    }

    /// The time, in milliseconds since the epoch.
    pub fn now_ms(&self) -> i64 {
        self.sim.shared.now.get()
    }

    /// Lets time pass.
    pub fn pass(&mut self, ms: i64) {
        self.sim.shared.now.set(self.now_ms() + ms);
    }

    /// The ports of a handler.
    pub fn ports(&self) -> SimPorts {
        SimPorts { skew: 0, ..self.sim.ports() }
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.sim.config
    }

    /// The hub's vault.
    pub fn vault(&self) -> &Vault {
        &self.sim.vault
    }

    /// Runs a future on the story's ports.
    pub fn finish<T>(&self, future: impl Future<Output = T>) -> T {
        check::finish(&self.sim, future)
    }

    /// Acts in a CRM, as a person or as a test.
    pub fn at<T>(&self, crm: Crm, act: impl FnOnce(&mut dyn Sandbox, i64) -> T) -> T {
        let now_ms = self.now_ms();
        let mut crms = self.sim.shared.crms.borrow_mut();
        match crms.get_mut(crm.host()) {
            Some(sandbox) => act(sandbox.as_mut(), now_ms),
            None => panic!("there is no {crm:?}"),
        }
    }

    /// Puts a record into a CRM that has always been there. Gives its id.
    pub fn seed(&self, crm: Crm, object: &str, properties: &[(&str, &str)], at_ms: i64) -> String {
        let properties: Map<String, Value> =
            properties.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect();
        self.at(crm, |sandbox, _| sandbox.seed(object, &properties, at_ms)).unwrap_or_else(|refused| panic!("{refused}"))
    }

    /// The live records of a CRM.
    pub fn records(&self, crm: Crm, object: &str) -> Vec<Remote> {
        self.at(crm, |sandbox, _| records(&*sandbox, object))
    }

    /// The counters of a CRM.
    pub fn stats(&self, crm: Crm) -> BTreeMap<String, u64> {
        self.at(crm, |sandbox, _| sandbox.stats())
    }

    /// The form sends this body, now.
    pub fn submit(&mut self, body: &Value) {
        self.sent += 1;
        let sending = Sending {
            connection: "form",
            at_ms: self.now_ms(),
            id: format!("msg_story_{}", self.sent),
            body: body.to_string().into_bytes(),
            fact: None,
            signature: Signature::Good,
        };
        self.sim.trips.push((self.now_ms(), Trip { sending, attempt: 0, crm: None }));
        self.run();
    }

    /// Runs until nothing is under way any more.
    pub fn run(&mut self) {
        self.sim.until_quiet().unwrap_or_else(|violation| panic!("{violation}"));
    }

    /// Runs a job of `reconcile`, and what follows from it.
    pub fn reconcile(&mut self, job: Job) {
        self.sim.reconcile(job);
        self.run();
    }

    /// Sends a message, and runs what follows from it.
    pub fn send(&mut self, queue: &QueueName, body: &str) {
        let sent = self.sim.shared.queues.borrow_mut().send(queue, Outgoing::new(body), self.now_ms());
        sent.unwrap_or_else(|error| panic!("{error}"));
        self.run();
    }

    /// Every item of a table.
    pub fn items(&self, table: Table) -> Vec<Item> {
        self.sim.shared.tables.borrow().all(table).cloned().collect()
    }

    /// The golden records of an object that were not merged into another one.
    pub fn golden(&self, object: ObjectType) -> Vec<GoldenRecord> {
        let ports = self.ports();
        let of_object = format!("g#{object}#");
        let mut found = Vec::new();
        for item in self.items(Table::Golden).iter().filter(|item| item.key.pk.starts_with(&of_object)) {
            let record = self.finish(sync::record::read_golden(&ports, &self.sim.vault, item));
            found.extend(record.ok().filter(|golden| golden.redirect.is_none()));
        }
        found
    }

    /// How many received events have each outcome.
    pub fn outcomes(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for item in self.items(Table::Journal).iter().filter(|item| item.key.pk.starts_with("a#")) {
            if let Some(outcome) = item.s("outcome").and_then(Outcome::parse) {
                *counts.entry(outcome.name()).or_default() += 1;
            }
        }
        counts
    }

    /// Messages in a queue.
    pub fn queued(&self, queue: &str) -> usize {
        self.sim.shared.queues.borrow().peek(queue).len()
    }

    /// Messages on the lane for bursts.
    pub fn queued_bulk(&self) -> usize {
        self.queued(&QueueName::ingest(Lane::Bulk))
    }
}
