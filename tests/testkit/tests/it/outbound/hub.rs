//! A hub with one source and the stand-ins as destinations.

use std::collections::BTreeMap;

use canonical::{Change, ChangeKind, Dispatch, EventRef, FieldName, FieldValue, ObjectType, RemoteId, Stamp, Value};
use providers::{Overrides, Provider};
use sandbox::{Fault, FaultKind, HubSpot, Salesforce, Sandbox, hubspot, salesforce};
use serde_json::{Map, json};
use sync::batch::{BatchReport, Invocation};
use sync::config::Config;
use sync::ports::{Clock, Item, Outgoing, Store, Table};
use sync::record::{Link, read_link};
use sync::seal::Vault;
use sync::transform::transaction::Transaction;
use testkit::memory::QueueSettings;
use testkit::twin::{Twin, finish};

pub const NOW_MS: i64 = 1_790_000_000_000;
const MASTER: &str = "b3V0Ym91bmQgbmVlZHMgYSBtYXN0ZXIgc2VjcmV0IG9mIDMyIGJ5dGVz";

/// A hub with HubSpot and Salesforce as destinations.
pub struct Hub {
    pub twin: Twin,
    pub config: Config,
    vault: Vault,
}

/// The options of a stand-in for HubSpot that fits [`Hub`].
pub fn hubspot_options() -> hubspot::Options {
    hubspot::Options { tokens: vec!["token".to_owned()], ..hubspot::Options::with_hub_id("crm_hub_id") }
}

/// The options of a stand-in for Salesforce that fits [`Hub`].
pub fn salesforce_options() -> salesforce::Options {
    salesforce::Options { tokens: vec!["token".to_owned()], ..salesforce::Options::with_hub_id("CrmHubId__c") }
}

impl Hub {
    pub fn new() -> Hub {
        Hub::with(hubspot_options(), salesforce_options())
    }

    pub fn with(hubspot: hubspot::Options, salesforce: salesforce::Options) -> Hub {
        let twin = Twin::at(NOW_MS);
        for name in ["ingest-urgent", "ingest-bulk", "fetch", "upsert-hubspot", "upsert-salesforce"] {
            twin.queues.borrow_mut().create(name, QueueSettings::default());
            twin.queues.borrow_mut().create(&format!("{name}-dlq"), QueueSettings::default());
        }
        twin.set_secret("crm/api", "token");
        let crms: [(&str, Box<dyn Sandbox>); 2] =
            [("hubspot.test", Box::new(HubSpot::new(hubspot))), ("salesforce.test", Box::new(Salesforce::new(salesforce)))];
        twin.crms.borrow_mut().0.extend(crms.map(|(host, crm)| (host.to_owned(), crm)));
        Hub { twin, config: config(1), vault: Vault::with_master(MASTER).unwrap() }
    }

    /// Deploys the next generation of the configuration.
    pub fn deploy(&mut self) {
        self.config = config(self.config.hub().generation + 1);
    }

    pub fn invocation(&self) -> Invocation<'_, Twin> {
        Invocation { ports: &self.twin, config: &self.config, deadline_ms: self.twin.now_ms() + 600_000 }
    }

    /// Works in a stand-in.
    pub fn at<T>(&self, destination: &str, act: impl FnOnce(&mut dyn Sandbox) -> T) -> T {
        act(self.twin.crms.borrow_mut().0.get_mut(&format!("{destination}.test")).unwrap().as_mut())
    }

    /// Lets a stand-in answer every request whose line and body contain these texts in this way.
    pub fn answers(&self, destination: &str, line: &str, text: &str, status: u16, body: &serde_json::Value) {
        let kind = FaultKind::Answer { status, body: body.to_string(), media: None };
        self.at(destination, |crm| crm.fault(Fault::always(kind).on(line).with_body(text)));
    }

    /// Stores what a source says about an object.
    pub fn store(&self, object: ObjectType, id: &str, fields: &[(&str, &str)]) -> Dispatch {
        let now_ms = self.twin.now_ms();
        let field = |(name, text): &(&str, &str)| {
            (FieldName::from(*name), FieldValue { value: Value::text(*text), stamp: None, flagged: false })
        };
        let change = Change {
            object,
            source: RemoteId { connection: "form".into(), object: object.to_string(), id: id.to_owned() },
            kind: ChangeKind::Partial,
            stamp: Some(Stamp::at(now_ms)),
            fields: fields.iter().map(field).collect(),
            external_ids: Vec::new(),
            problems: Vec::new(),
            test: false,
            id_of_event: false,
        };
        let event = EventRef { connection: "form".into(), envelope: format!("{id}-{now_ms}"), index: 0, received_at_ms: now_ms };
        let transaction = Transaction {
            ports: &self.twin,
            vault: &self.vault,
            hub: self.config.hub(),
            change: &change,
            event: &event,
            read_ms: None,
        };
        let plan = finish(transaction.plan()).unwrap();
        let writes = finish(transaction.build_writes(&plan)).unwrap();
        finish(self.twin.write(writes, None)).unwrap();
        let (object, record) = (plan.golden.object, plan.golden.id);
        Dispatch { object, record, version: plan.next_version, trace: String::new(), received_at_ms: now_ms }
    }

    /// Sends dispatches to a destination and has them handled in one batch.
    pub fn push(&self, destination: &str, dispatches: &[Dispatch]) -> BatchReport {
        let queue = format!("upsert-{destination}");
        for dispatch in dispatches {
            let message = Outgoing::new(serde_json::to_string(dispatch).unwrap());
            self.twin.queues.borrow_mut().send(&queue, message, self.twin.now_ms()).unwrap();
        }
        self.handle(destination)
    }

    /// Handles one batch of what waits for a destination.
    fn handle(&self, destination: &str) -> BatchReport {
        let queue = format!("upsert-{destination}");
        let deliveries = self.twin.queues.borrow_mut().receive(&queue, 100, self.twin.now_ms());
        let receipts: Vec<(String, String)> = deliveries.iter().map(|d| (d.id.clone(), d.receipt.clone())).collect();
        let report = finish(sync::upsert::handle_batch(self.invocation(), &self.vault, destination, deliveries));
        for (_, receipt) in receipts.iter().filter(|(id, _)| !report.failures.contains(id)) {
            self.twin.queues.borrow_mut().delete(&queue, receipt);
        }
        report
    }

    /// Lets time pass, and handles what waits for a destination as it comes back.
    pub fn run(&self, destination: &str, ms: u64) {
        let end_ms = self.twin.now_ms() + i64::try_from(ms).unwrap();
        while self.twin.now_ms() < end_ms {
            finish(self.twin.sleep(5_000));
            self.handle(destination);
        }
    }

    /// Runs the scheduled sweep, which also dispatches what is behind, and handles what it dispatched.
    pub fn reconcile(&self, destination: &str) -> sync::reconcile::JobReport {
        let report = finish(sync::reconcile::run_job(self.invocation(), sync::reconcile::Job::Sweep)).unwrap();
        self.handle(destination);
        report
    }

    /// The codes of a destination's dead letters.
    pub fn parked(&self, destination: &str) -> Vec<String> {
        let queues = self.twin.queues.borrow();
        queues.peek(&format!("upsert-{destination}-dlq")).into_iter().map(|m| m.attributes["code"].clone()).collect()
    }

    /// The details of a destination's dead letters.
    pub fn reasons(&self, destination: &str) -> Vec<String> {
        let queues = self.twin.queues.borrow();
        queues.peek(&format!("upsert-{destination}-dlq")).into_iter().map(|m| m.attributes["detail"].clone()).collect()
    }

    /// The live records of a stand-in.
    pub fn records(&self, destination: &str, native: &str) -> Vec<Map<String, serde_json::Value>> {
        let dump = self.at(destination, |crm| crm.dump());
        let list = dump["objects"][native].as_array().cloned().unwrap_or_default();
        let live = list.iter().filter(|record| record["archived"].is_null());
        live.map(|record| record["properties"].as_object().unwrap().clone()).collect()
    }

    /// The ties between objects of HubSpot's stand-in, each in one direction: from the first object type to the second.
    pub fn ties(&self, from: &str, to: &str) -> Vec<(String, String)> {
        let dump = self.at("hubspot", |crm| crm.dump());
        let links: Vec<[String; 4]> = serde_json::from_value(dump["links"].clone()).unwrap();
        let of_types = links.into_iter().filter(|[a, _, b, _]| a == from && b == to);
        of_types.map(|[_, a_id, _, b_id]| (a_id, b_id)).collect()
    }

    /// How many calls a stand-in got.
    pub fn calls(&self, destination: &str) -> u64 {
        self.at(destination, |crm| crm.stats().get("calls").copied().unwrap_or(0))
    }

    pub fn link(&self, destination: &str, dispatch: &Dispatch) -> Link {
        let key = Link::key(destination, dispatch.object, &dispatch.record);
        let item = finish(self.twin.get(Table::Links, &key)).unwrap().unwrap();
        finish(read_link(&self.twin, &self.vault, &item)).unwrap()
    }

    /// What the audit log says about a destination, the oldest entry first.
    pub fn audited(&self, destination: &str) -> Vec<String> {
        let writer = format!("#{destination}#");
        let items: Vec<Item> =
            self.twin.tables.borrow().all(Table::Audit).filter(|i| i.key.sk.contains(&writer)).cloned().collect();
        let what = |item: &Item| {
            let entry: serde_json::Value = finish(self.vault.unseal(&self.twin, item)).unwrap();
            entry["what"].as_str().unwrap().to_owned()
        };
        let mut entries: Vec<(i64, String)> = items.iter().map(|item| (item.n("at").unwrap(), what(item))).collect();
        entries.sort();
        entries.into_iter().map(|(_, what)| what).collect()
    }

    pub fn control(&self, partition: &str) -> Vec<Item> {
        self.twin.tables.borrow().all(Table::Control).filter(|item| item.key.pk.starts_with(partition)).cloned().collect()
    }
}

/// A property's text.
pub fn text<'a>(record: &'a Map<String, serde_json::Value>, property: &str) -> &'a str {
    record.get(property).and_then(serde_json::Value::as_str).unwrap_or_default()
}

/// The headers that Salesforce gets with every write.
pub const WRITE_HEADERS: (&str, &str) = ("Sforce-Duplicate-Rule-Header", "allowSave=true");

fn config(generation: u64) -> Config {
    let search = json!({"name": "search", "burst": 2, "per_second": 2.0, "path": "/search"});
    let crm = |name: &str| {
        json!({
            "provider": name, "destination": true, "lane": "urgent", "base_url": format!("https://{name}.test"),
            "api_secret": "crm/api", "buckets": [{"name": "all", "burst": 1000, "per_second": 1000.0}, search],
            "write_headers": if name == "salesforce" { json!({WRITE_HEADERS.0: WRITE_HEADERS.1}) } else { json!({}) },
            "sweep": if name == "hubspot" { json!(["contacts", "companies", "deals", "tickets"]) } else { json!([]) },
        })
    };
    let hub = json!({
        "generation": generation,
        "connections": {
            "form": { "provider": "generic-form", "source": true, "lane": "urgent" },
            "hubspot": crm("hubspot"), "salesforce": crm("salesforce"),
        },
        "objects": {
            "contact": { "destinations": { "hubspot": "contacts", "salesforce": "Contact" }, "keys": ["email"] },
            "company": { "destinations": { "hubspot": "companies", "salesforce": "Account" }, "keys": ["domain"] },
            "deal": { "destinations": { "hubspot": "deals", "salesforce": "Opportunity" }, "keys": [] },
            "ticket": { "destinations": { "hubspot": "tickets", "salesforce": "Case" }, "keys": [] },
        },
    });
    let hub = serde_json::from_value(hub).unwrap();
    let packed = |name: &str| Provider::builtin(name, &Overrides::default()).unwrap().to_packed();
    let providers = ["generic-form", "hubspot", "salesforce"].map(|name| (name.replace("generic-", ""), packed(name)));
    Config::open(Config::pack(&hub, &BTreeMap::from(providers)).unwrap()).unwrap()
}
