//! Each alarm of `template.yaml` goes off by what the functions' own handlers measure, and ends again. What AWS measures itself
//! (queues, failed and throttled invocations) is recorded as AWS does.

use std::collections::{BTreeMap, BTreeSet};

use canonical::QueueName;
use hub::config::{Changes, DEFAULT, Loaded, pack};
use local::{AlarmState, Alarms};
use providers::api::{FailureKind, RowFailure};
use runtime::metric_lines;
use sandbox::{HubSpot, Salesforce, hubspot, salesforce};
use sync::batch::{BatchReport, Invocation, Metric};
use sync::config::Config;
use sync::pause::{pause_for, pause_key};
use sync::ports::{Clock, Condition, Delivery, HttpRequest, HttpResponse, Outgoing, SecretVersions, Store, Table, Write};
use sync::receive::{Process, Request};
use sync::reconcile::{Job, run_job};
use sync::seal::Vault;
use testkit::memory::{QueueSettings, Queues};
use testkit::twin::{Twin, finish};
use webhook::{Draft, sign};

#[path = "alarms/credentials.rs"]
mod credentials;

use credentials::{credentials, grant_ending};

const TEMPLATE: &str = include_str!("../../../template.yaml");
const NOW_MS: i64 = 1_790_000_000_000;
const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const MASTER: &str = "YWxhcm1zIG1hc3RlciBzZWNyZXQgb2YgMzIgYnl0ZXMgb3IgbW9yZQ==";
const QUEUES: [&str; 6] = ["ingest-urgent", "ingest-bulk", "fetch", "refresh", "upsert-hubspot", "upsert-salesforce"];
const SOURCES: [&str; 3] = ["hubspot", "stripe", "form"];
const CUSTOMER: &str = r#"{"id":"evt_1","object":"event","type":"customer.created","created":1790000000,"livemode":true,"data":{"object":{"id":"cus_1","object":"customer","created":1790000000,"email":"ada@example.org","name":"Ada Example","livemode":true}}}"#;

/// A hub on the ports in memory, and the alarms that watch it.
struct Watched {
    twin: Twin,
    config: Config,
    vault: Vault,
    alarms: Alarms,
    /// The alarms that have gone off, and ended again.
    seen: BTreeSet<String>,
}

impl Watched {
    fn new() -> Watched {
        let twin = Twin::at(NOW_MS);
        *twin.queues.borrow_mut() = empty_queues();
        twin.set_secret("master", MASTER);
        for name in SOURCES {
            twin.set_secret(&format!("{name}/signing"), &secret(name));
        }
        for name in ["hubspot", "salesforce"] {
            twin.set_secret(&format!("{name}/api"), "token");
        }
        let config = Config::open(pack(&Changes::default()).expect("sound")).expect("a pack");
        let alarms = Alarms::read(TEMPLATE, &BTreeMap::new(), "test").expect("alarms");
        Watched { twin, config, vault: Vault::with_master(MASTER).expect("a vault"), alarms, seen: BTreeSet::new() }
    }

    fn state(&self, name: &str) -> AlarmState {
        let alarm = self.alarms.iter().find(|alarm| alarm.name() == name).unwrap_or_else(|| panic!("there is no {name}"));
        self.alarms.state(alarm, self.twin.now_ms())
    }

    fn is_quiet(&self, names: &[impl AsRef<str>]) {
        names.iter().for_each(|name| assert_eq!(self.state(name.as_ref()), AlarmState::Ok, "{}", name.as_ref()));
    }

    fn goes_off(&self, names: &[impl AsRef<str>]) {
        names.iter().for_each(|name| assert_eq!(self.state(name.as_ref()), AlarmState::Alarm, "{}", name.as_ref()));
    }

    /// The alarms have ended, and count as seen.
    fn is_over(&mut self, names: &[impl AsRef<str>]) {
        self.is_quiet(names);
        self.seen.extend(names.iter().map(|name| name.as_ref().to_owned()));
    }

    fn wait(&self, ms: u64) {
        finish(self.twin.sleep(ms));
    }

    fn record(&mut self, function: &str, metrics: &[Metric]) {
        // The default of the parameter `Environment`.
        metric_lines("prod", function, self.twin.now_ms(), metrics).iter().for_each(|line| self.alarms.record_line(line));
    }

    /// A request through the front door. Returns its status.
    fn post(&mut self, connection: &str, headers: Vec<(String, String)>, body: &[u8]) -> u16 {
        let request = Request {
            method: "POST".to_owned(),
            path: format!("/hooks/{connection}"),
            url: url(connection),
            headers: headers.into_iter().collect(),
            body: body.to_vec(),
        };
        let answer = finish(sync::receive::handle(&self.twin, &self.config, &Process::default(), &request));
        let measured = sync::receive::measure(&self.config, &request, &answer);
        self.record("receive", measured.as_slice());
        if answer.status >= 500 {
            let now_ms = self.twin.now_ms();
            self.alarms.record("AWS/Lambda", "Url5xxCount", ("FunctionName", "test-receive"), now_ms, 1.0);
        }
        answer.status
    }

    /// A webhook as the provider signs it. Returns the status of the answer.
    fn post_signed(&mut self, connection: &str, body: &str) -> u16 {
        let (_, provider) = self.config.connection(connection).expect("a connection");
        let url = url(connection);
        let id = format!("msg_{}", self.twin.now_ms());
        let draft = Draft { method: "POST", url: &url, body: body.as_bytes(), at_ms: self.twin.now_ms(), id: &id };
        let signed = sign(&provider.manifest().webhook.scheme, &draft, &secret(connection)).expect("signed");
        self.post(connection, signed.headers, &signed.body)
    }

    fn receive(&self, queue: &QueueName) -> Vec<Delivery> {
        self.twin.queues.borrow_mut().receive(queue, 100, self.twin.now_ms())
    }

    /// Runs a function on what waits in a queue.
    fn consume(&mut self, queue: &str) {
        let queue = QueueName::from(queue);
        let deliveries = self.receive(&queue);
        let receipts: Vec<(String, String)> = deliveries.iter().map(|d| (d.id.clone(), d.receipt.clone())).collect();
        let invocation = Invocation { ports: &self.twin, config: &self.config, deadline_ms: self.twin.now_ms() + 600_000 };
        let (function, report): (&str, BatchReport) = match (queue.as_str(), queue.destination()) {
            (_, Some(destination)) => {
                ("upsert", finish(sync::upsert::handle_batch(invocation, &self.vault, destination, deliveries)))
            }
            ("refresh", None) => ("rotate", finish(sync::rotate::handle_batch(invocation, deliveries))),
            ("fetch", None) => ("reconcile", finish(sync::reconcile::handle_batch(invocation, deliveries))),
            _ => ("transform", finish(sync::transform::handle_batch(invocation, &self.vault, &queue, deliveries))),
        };
        for (_, receipt) in receipts.iter().filter(|(id, _)| !report.failures.contains(id)) {
            self.twin.queues.borrow_mut().delete(&queue, receipt);
        }
        self.record(function, &report.metrics);
    }

    fn run(&mut self, job: Job) {
        let invocation = Invocation { ports: &self.twin, config: &self.config, deadline_ms: self.twin.now_ms() + 600_000 };
        let report = finish(run_job(invocation, job)).expect("the job runs");
        self.record("reconcile", &report.metrics(job));
    }

    /// Runs `rotate` on its schedule.
    fn refresh(&mut self) {
        let invocation = Invocation { ports: &self.twin, config: &self.config, deadline_ms: self.twin.now_ms() + 600_000 };
        let report = finish(sync::rotate::run_job(invocation, sync::rotate::Job::Refresh));
        assert_eq!(report.failed, None);
        self.record("rotate", &report.metrics);
    }

    /// Stores a new version of the secrets of both APIs.
    fn store(&self, version: &str, value: &str) {
        for name in ["hubspot/api", "salesforce/api"] {
            let from = finish(self.twin.current_version(name)).expect("a secret");
            finish(self.twin.put_pending(name, version, value)).expect("stored");
            finish(self.twin.promote(name, version, from.as_deref())).expect("promoted");
        }
    }

    /// What SQS measures once a minute.
    fn measure_queues(&mut self) {
        let now_ms = self.twin.now_ms();
        for name in QUEUES.iter().flat_map(|name| [(*name).to_owned(), format!("{name}-dlq")]) {
            let (count, oldest_ms) = {
                let queues = self.twin.queues.borrow();
                let messages = queues.peek(&name);
                (messages.len(), messages.iter().map(|message| message.sent_ms).min().unwrap_or(now_ms))
            };
            let queue = format!("test-{name}");
            let dimension = ("QueueName", queue.as_str());
            self.alarms.record("AWS/SQS", "ApproximateNumberOfMessagesVisible", dimension, now_ms, count as f64);
            self.alarms.record(
                "AWS/SQS",
                "ApproximateAgeOfOldestMessage",
                dimension,
                now_ms,
                (now_ms - oldest_ms) as f64 / 1_000.0,
            );
        }
    }

    fn send(&self, queue: &str, message: &str) {
        let now_ms = self.twin.now_ms();
        self.twin.queues.borrow_mut().send(queue, Outgoing::new(message), now_ms).expect("sent");
    }

    fn empty_queues(&self) {
        *self.twin.queues.borrow_mut() = empty_queues();
    }
}

/// The queues and their dead-letter queues, without a message.
fn empty_queues() -> Queues {
    let mut queues = Queues::default();
    for name in QUEUES {
        queues.create(name, QueueSettings::default());
        queues.create(&format!("{name}-dlq"), QueueSettings::default());
    }
    queues
}

/// Made of parts, so that the scan for secrets in files finds nothing here.
fn secret(connection: &str) -> String {
    if connection == "hubspot" {
        "hubspot app secret".to_owned()
    } else {
        format!("whsec_{}", "YWxhcm1zIHNpZ25pbmcgc2VjcmV0IDAxMjM0NTY3ODk=")
    }
}

fn url(connection: &str) -> String {
    format!("https://hub.example.org/hooks/{connection}")
}

fn refused(watched: &mut Watched) {
    let names = ["HubspotRefusedAlarm", "StripeRefusedAlarm", "FormRefusedAlarm"];
    for connection in SOURCES {
        assert_eq!(watched.post_signed(connection, "[]") / 100, 2, "{connection}");
    }
    watched.is_quiet(&names);
    for connection in SOURCES {
        assert_eq!(watched.post(connection, Vec::new(), b"[]"), 401);
        assert_eq!(watched.post("nobody", Vec::new(), b"[]"), 404, "a path that no connection has is not measured");
    }
    watched.goes_off(&names);
    watched.wait(6 * MINUTE);
    watched.is_over(&names);
    watched.empty_queues();
}

fn silent(watched: &mut Watched) {
    for (connection, name, quiet_ms) in [
        ("hubspot", "HubspotSilentAlarm", 72 * HOUR),
        ("stripe", "StripeSilentAlarm", 72 * HOUR),
        ("form", "FormSilentAlarm", 168 * HOUR),
    ] {
        watched.post_signed(connection, "[]");
        watched.is_quiet(&[name]);
        watched.wait(quiet_ms - HOUR);
        watched.is_quiet(&[name]);
        watched.wait(2 * HOUR);
        watched.goes_off(&[name]);
        watched.post(connection, Vec::new(), b"[]");
        watched.goes_off(&[name]);
        watched.post_signed(connection, "[]");
        watched.is_over(&[name]);
    }
    watched.empty_queues();
}

/// A contact that waits in the queues of both destinations.
fn dispatch_contact(watched: &mut Watched) {
    watched.post_signed("stripe", CUSTOMER);
    watched.consume("ingest-urgent");
    for queue in ["upsert-hubspot", "upsert-salesforce"] {
        assert_eq!(watched.twin.queues.borrow().peek(queue).len(), 1, "{queue}");
    }
}

/// `upsert` pauses one connection, and `reconcile` the other one.
fn paused(watched: &mut Watched) {
    let names = ["HubspotPausedAlarm", "SalesforcePausedAlarm"];
    watched.run(Job::Watch);
    watched.is_quiet(&names);
    dispatch_contact(watched);
    watched.twin.refused.borrow_mut().insert("https://api.hubapi.com/".to_owned(), 401);
    watched.consume("upsert-hubspot");
    watched.wait(5 * MINUTE);
    watched.run(Job::Watch);
    watched.goes_off(&names[..1]);
    watched.is_quiet(&names[1..]);
    watched.twin.refused.borrow_mut().insert("https://example.my.salesforce.com/".to_owned(), 401);
    watched.run(Job::Sweep);
    watched.run(Job::Watch);
    watched.goes_off(&names);
    for connection in ["hubspot", "salesforce"] {
        let end = Write::Delete { table: Table::Control, key: pause_key(connection), condition: Condition::Always };
        finish(watched.twin.write(vec![end], None)).expect("resumed");
    }
    watched.wait(16 * MINUTE);
    watched.run(Job::Watch);
    watched.is_over(&names);
    watched.twin.refused.borrow_mut().clear();
    watched.empty_queues();
}

/// Accounts without a property that the mapping names. `upsert` learns it from their refusals.
fn properties_refused(watched: &mut Watched) {
    let names = ["HubspotPropertiesRefusedAlarm", "SalesforcePropertiesRefusedAlarm"];
    let tokens = vec!["token".to_owned()];
    let mut hubspot = hubspot::Options { tokens: tokens.clone(), ..hubspot::Options::with_hub_id("crm_hub_id") };
    let mut salesforce = salesforce::Options { tokens, ..salesforce::Options::with_hub_id("CrmHubId__c") };
    hubspot.objects.get_mut("contacts").expect("contacts").properties.remove("phone");
    salesforce.objects.get_mut("Contact").expect("Contact").properties.remove("Phone");
    watched.twin.crms.borrow_mut().0.extend([
        ("api.hubapi.com".to_owned(), Box::new(HubSpot::new(hubspot)) as Box<_>),
        ("example.my.salesforce.com".to_owned(), Box::new(Salesforce::new(salesforce)) as Box<_>),
    ]);
    watched.run(Job::Watch);
    watched.is_quiet(&names);
    let phone = CUSTOMER.replace("\"name\"", "\"phone\":\"+33612345678\",\"name\"").replace("_1", "_3").replace("ada", "cleo");
    watched.post_signed("stripe", &phone);
    ["ingest-urgent", "upsert-hubspot", "upsert-salesforce"].iter().for_each(|queue| watched.consume(queue));
    for crm in watched.twin.crms.borrow().0.values() {
        assert_eq!(crm.stats().get("rows.created"), Some(&1), "{}: the rest of the record is written", crm.name());
    }
    watched.run(Job::Watch);
    watched.goes_off(&names);
    // After six hours it is tried again, and until then a last measurement shows it.
    watched.wait(6 * HOUR + MINUTE);
    watched.run(Job::Watch);
    watched.is_over(&names);
    watched.twin.crms.borrow_mut().0.clear();
    watched.empty_queues();
}

/// Bodies that cannot be read, and destinations that do not answer.
fn errors_in_work(watched: &mut Watched) {
    let names = ["HubspotErrorRateAlarm", "SalesforceErrorRateAlarm", "StripeErrorRateAlarm", "FormErrorRateAlarm"];
    watched.wait(HOUR);
    watched.is_quiet(&names);
    watched.post_signed("stripe", &CUSTOMER.replace("cus_1", "cus_2").replace("evt_1", "evt_2").replace("ada", "bob"));
    watched.consume("ingest-urgent");
    watched.is_quiet(&names);
    for connection in ["stripe", "form"] {
        watched.post_signed(connection, "{");
    }
    watched.consume("ingest-urgent");
    watched.consume("upsert-hubspot");
    watched.consume("upsert-salesforce");
    watched.goes_off(&names);
    watched.wait(16 * MINUTE);
    watched.is_over(&names);
    watched.empty_queues();
}

fn parked(watched: &mut Watched) {
    each_queue(watched, "Dlq", |watched| {
        for queue in QUEUES {
            watched.send(queue, "not a message of the hub");
            watched.consume(queue);
        }
    });
}

fn late(watched: &mut Watched) {
    each_queue(watched, "Age", |watched| {
        QUEUES.iter().for_each(|queue| watched.send(queue, "it waits"));
        watched.wait(4 * MINUTE);
        watched.measure_queues();
        watched.is_quiet(&queue_alarms("Age"));
        watched.wait(2 * MINUTE);
    });
}

/// The alarms of a kind, one for each queue, go off by what happens, and end with empty queues.
fn each_queue(watched: &mut Watched, kind: &str, happens: impl FnOnce(&mut Watched)) {
    let names = queue_alarms(kind);
    watched.measure_queues();
    watched.is_quiet(&names);
    happens(watched);
    watched.measure_queues();
    watched.goes_off(&names);
    watched.empty_queues();
    watched.wait(2 * MINUTE);
    watched.measure_queues();
    watched.is_over(&names);
}

fn queue_alarms(kind: &str) -> Vec<String> {
    let queues = ["IngestUrgent", "IngestBulk", "Fetch", "Refresh", "UpsertHubspot", "UpsertSalesforce"];
    queues.map(|queue| format!("{queue}{kind}Alarm")).to_vec()
}

fn jobs(watched: &mut Watched) {
    let names = ["SweepLateAlarm", "FullLateAlarm", "WatchLateAlarm", "RefreshLateAlarm"];
    let all = [Job::Sweep, Job::Full, Job::Watch];
    // Nothing answers here, and a job that a rate limit stops counts as not finished; what is paused is left out.
    for connection in ["hubspot", "salesforce"] {
        let refusal = RowFailure::new(FailureKind::Auth, "EXPIRED", "");
        finish(pause_for(&watched.twin, (connection, "any"), (&refusal, None), 1)).expect("paused");
    }
    all.iter().for_each(|job| watched.run(*job));
    watched.refresh();
    watched.is_quiet(&names);
    watched.wait(31 * MINUTE);
    watched.goes_off(&names[2..]);
    watched.is_quiet(&names[..2]);
    watched.wait(3 * HOUR);
    watched.goes_off(&names[..1]);
    watched.is_quiet(&names[1..2]);
    watched.wait(24 * HOUR);
    watched.goes_off(&names);
    all.iter().for_each(|job| watched.run(*job));
    watched.refresh();
    watched.is_over(&names);
}

fn functions(watched: &mut Watched) {
    for function in ["Receive", "Transform", "Upsert", "Reconcile", "Rotate"] {
        for metric in ["Errors", "Throttles"] {
            let (name, id) = (format!("{function}{metric}Alarm"), format!("test-{}", function.to_lowercase()));
            watched.is_quiet(&[&name]);
            let now_ms = watched.twin.now_ms();
            watched.alarms.record("AWS/Lambda", metric, ("FunctionName", &id), now_ms, 1.0);
            watched.goes_off(&[&name]);
            watched.wait(6 * MINUTE);
            watched.is_over(&[&name]);
        }
    }
}

fn front_door(watched: &mut Watched) {
    let name = "ReceiveRefusalsAlarm";
    *watched.twin.queues.borrow_mut() = Queues::default();
    for requests in 1..=6 {
        watched.is_quiet(&[name]);
        assert_eq!(watched.post_signed("stripe", CUSTOMER), 503, "request {requests}: there is no queue");
    }
    watched.goes_off(&[name]);
    watched.wait(6 * MINUTE);
    watched.is_over(&[name]);
}

#[test]
fn each_alarm_of_the_template_goes_off_once_and_ends() {
    let mut watched = Watched::new();
    for scenario in [
        refused,
        silent,
        paused,
        properties_refused,
        errors_in_work,
        parked,
        late,
        jobs,
        functions,
        front_door,
        credentials,
        grant_ending,
    ] {
        scenario(&mut watched);
    }
    let all: BTreeSet<String> = watched.alarms.iter().map(|alarm| alarm.name().to_owned()).collect();
    assert_eq!(watched.seen, all);
}

#[test]
fn a_new_stack_is_silent_until_its_first_webhook() {
    let watched = Watched::new();
    watched.goes_off(&["HubspotSilentAlarm", "StripeSilentAlarm", "FormSilentAlarm", "WatchLateAlarm", "RefreshLateAlarm"]);
}

#[test]
fn the_text_of_an_alarm_names_the_connection_its_owner_and_a_page() {
    let alarms = Alarms::read(TEMPLATE, &BTreeMap::new(), "test").expect("alarms");
    let loaded = Loaded::new("hub.toml", DEFAULT.to_owned(), None);
    let hub = &loaded.compiled.as_ref().expect("TOML").hub;
    let mut about = 0;
    for alarm in alarms.iter() {
        assert!(alarm.text().contains("docs/"), "{}: {}", alarm.name(), alarm.text());
        for (name, connection) in &hub.connections {
            let word = hub::config::resource_word(name);
            if alarm.name().starts_with(&word) || alarm.name().starts_with(&format!("Upsert{word}")) {
                let who = format!("connection {name} (owner: {})", connection.owner);
                assert!(alarm.text().contains(&who), "{}: {}", alarm.name(), alarm.text());
                about += 1;
            }
        }
    }
    assert_eq!(about, 22, "alarms about one connection");
}
