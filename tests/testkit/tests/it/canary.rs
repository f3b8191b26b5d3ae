//! No log line and no reason shows personal data or a secret.
//!
//! Every fixture of every provider goes through the hub: as it is, damaged, with a wrong proof, and with its personal values
//! replaced by values that cannot be normalised. The destinations accept the pushes, or refuse them and repeat in their answer what
//! they were sent, as real providers do. Everything that the hub logs, at every level, the reasons of dead letters and those of
//! account lines are searched for the canaries: the personal values of the fixture, the junk, and the secrets.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use canonical::{Change, QueueName, Value, find_field};
use providers::{EventBody, Inbound, Overrides, Provider};
use sandbox::{HubSpot, Salesforce, Sandbox, hubspot, salesforce};
use serde_json::json;
use sync::batch::Invocation;
use sync::config::Config;
use sync::ports::{HttpRequest, HttpResponse, Outgoing, Table};
use sync::reconcile::Job;
use sync::seal::Vault;
use testkit::memory::QueueSettings;
use testkit::sim::{HUBSPOT_ID, SALESFORCE_ID, Source, config};
use testkit::twin::{Twin, finish};

use crate::bad_input::bodies::{kind, with_bytes};
use crate::fixtures::hub::Hub;
use crate::fixtures::sender::{Sender, keys};
use crate::fixtures::senders::ALL;
use crate::fixtures::{Fixture, NOW_MS, fixtures};
use crate::kills::messages::messages;
use crate::log::logged;

/// What stands for a personal value that cannot be normalised. It is safe in JSON, in a form and in XML.
const JUNK: &str = "Kanarienvogel-4711-Piepmatz";
const MASTER: &str = "Y2FuYXJpZXMgbmVlZCBhIG1hc3RlciBzZWNyZXQgb2YgMzIgYnl0ZXM=";
const TOKEN: &str = "canary-token-9f31c2";
/// Shorter values are too likely to be part of something else.
const SHORTEST: usize = 4;
const DESTINATIONS: [&str; 2] = ["hubspot", "salesforce"];
/// Leaks that the failure shows.
const SHOWN: usize = 20;
/// The fewest different canaries, and the fewest log lines and reasons, that a test must have searched.
const LEAST_CANARIES: usize = 200;
const LEAST_TEXTS: usize = 5_000;
/// How often the queues are emptied. A message that is still there then waits for its next attempt.
const ROUNDS: usize = 4;

/// Values that must not be shown.
struct Canaries(BTreeSet<String>);

impl Canaries {
    /// The personal values of a fixture, and these secrets.
    fn of(provider: &Provider, connection: &str, fixture: &Fixture, secrets: &[&str]) -> Canaries {
        let mut values: BTreeSet<String> = secrets.iter().map(|secret| (*secret).to_owned()).collect();
        values.insert(JUNK.to_owned());
        for change in changes(provider, connection, fixture) {
            for (name, field) in &change.fields {
                if find_field(change.object, name).is_some_and(|def| def.personal) {
                    collect(&field.value, &mut values);
                }
            }
        }
        Canaries(values)
    }

    /// The canaries that a text shows.
    fn in_text<'s>(&'s self, text: &'s str) -> impl Iterator<Item = &'s str> {
        self.0.iter().map(String::as_str).filter(move |canary| shows(text, canary))
    }
}

/// True if a text contains a canary. A number must stand by itself: its digits may be part of a longer number, such as an id.
fn shows(text: &str, canary: &str) -> bool {
    let is_number = canary.bytes().all(|byte| byte.is_ascii_digit());
    text.match_indices(canary).any(|(at, _)| {
        let around = [text[..at].chars().next_back(), text[at + canary.len()..].chars().next()];
        !is_number || !around.into_iter().flatten().any(|c| c.is_ascii_digit())
    })
}

fn collect(value: &Value, values: &mut BTreeSet<String>) {
    match value {
        Value::Text(text) if text.chars().count() >= SHORTEST => drop(values.insert(text.clone())),
        Value::List(all) => all.iter().for_each(|value| collect(value, values)),
        _ => {}
    }
}

/// What a fixture reports.
fn changes(provider: &Provider, connection: &str, fixture: &Fixture) -> Vec<Change> {
    if let Some(object) = &fixture.record_of {
        return provider.record(connection, object, &fixture.body).unwrap_or_default();
    }
    let headers = fixture.headers.iter().cloned().collect();
    let query = fixture.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
    let target = format!("POST https://hub.example.com/hooks/{connection}{query}");
    let events = provider.events(&Inbound { connection, headers: &headers, target: &target, body: &fixture.body });
    let of_event = |body| match body {
        EventBody::Changes(changes) => changes,
        _ => Vec::new(),
    };
    events.unwrap_or_default().into_iter().flat_map(|event| of_event(event.body)).collect()
}

/// What was searched, and what was found.
#[derive(Default)]
struct Search {
    canaries: BTreeSet<String>,
    lines: usize,
    reasons: usize,
    leaks: Vec<String>,
}

impl Search {
    fn search(&mut self, case: &str, canaries: &Canaries, log: &[String], reasons: &[String]) {
        self.canaries.extend(canaries.0.iter().cloned());
        self.lines += log.len();
        self.reasons += reasons.len();
        for text in log.iter().chain(reasons) {
            self.leaks.extend(canaries.in_text(text).map(|canary| format!("{case}: `{canary}` in: {text}")));
        }
    }

    /// Fails if something was found, or if there was too little to search.
    fn judge(self) {
        let Search { canaries, lines, reasons, leaks } = self;
        println!("{} canaries in {lines} log lines and {reasons} reasons", canaries.len());
        assert!(leaks.is_empty(), "{} leaks, the first:\n{}", leaks.len(), leaks[..leaks.len().min(SHOWN)].join("\n"));
        let enough = canaries.len() >= LEAST_CANARIES && lines >= LEAST_TEXTS && reasons >= LEAST_TEXTS;
        assert!(enough, "too little was searched: {} canaries, {lines} lines, {reasons} reasons", canaries.len());
    }
}

/// The fixture as it is and in every bad form, each with a name. `None` instead of a key: signed as it should be.
fn variants(sender: &Sender, fixture: &Fixture, canaries: &Canaries) -> Vec<(&'static str, Fixture)> {
    let content = sender.content(fixture);
    let text = String::from_utf8_lossy(&content).into_owned();
    let replaced = canaries.0.iter().fold(text.clone(), |text, value| text.replace(value.as_str(), JUNK));
    let wrong_type = replaced.replace(&format!("\"{JUNK}\""), &format!("{{\"{JUNK}\":[\"{JUNK}\",4711]}}"));
    let contents = [
        ("damaged", with_bytes(&content, b"\xff")),
        ("with a control character", with_bytes(&content, b"\x01")),
        ("cut", content[..content.len() / 2].to_vec()),
        ("with junk", replaced.into_bytes()),
        ("with junk of another type", wrong_type.into_bytes()),
        ("with junk around it", [JUNK.as_bytes(), &content].concat()),
    ];
    let changed = contents.into_iter().filter_map(|(case, content)| Some((case, sender.with_content(fixture, content)?)));
    [("as it is", fixture.clone())].into_iter().chain(changed).collect()
}

#[test]
fn the_way_in_shows_no_personal_data_and_no_secret() {
    let mut search = Search::default();
    for sender in ALL.iter() {
        let other = keys(&sender.scheme, 9).0;
        for fixture in &sender.fixtures {
            let secrets = [&sender.keys.0, &sender.keys.1, &other].map(|key| key.trim());
            let canaries = Canaries::of(&sender.provider, &sender.name, fixture, &secrets);
            for (case, variant) in variants(sender, fixture, &canaries) {
                for key in [&sender.keys.0, &other] {
                    let Ok(proven) = sender.prove(&variant, key, NOW_MS) else { continue };
                    let request = sender.carrying(&variant, proven);
                    let hub = Hub::new(sender);
                    let (ran, log) = logged(|| hub.run(&request));
                    let reasons = ran.dead.into_iter().map(|dead| dead.detail).chain(ran.account).collect::<Vec<_>>();
                    search.search(&format!("{}: {} {case}", sender.title, fixture.name), &canaries, &log, &reasons);
                }
            }
        }
    }
    search.judge();
}

/// The error of a provider that repeats everything it was sent.
fn repeat<const STATUS: u16>(request: &HttpRequest) -> HttpResponse {
    let sent = format!("{} {} {:?} {}", request.method, request.url, request.headers, String::from_utf8_lossy(&request.body));
    let error = json!({
        "status": "error", "category": "VALIDATION_ERROR", "message": sent, "errorCode": "INVALID_FIELD", "fields": [sent],
        "errors": [{ "message": sent, "code": "INVALID_EMAIL", "context": { "propertyName": [sent] } }],
    });
    let body = if request.url.contains("salesforce") { json!([error]) } else { error };
    HttpResponse { status: STATUS, headers: Vec::new(), body: body.to_string().into_bytes() }
}

/// How the destinations answer; `None` as the stand-ins do.
type Answer = Option<fn(&HttpRequest) -> HttpResponse>;

const ANSWERS: [(&str, Answer); 4] = [
    ("with the stand-ins", None),
    ("with 400 for every call", Some(repeat::<400>)),
    ("with 401 for every call", Some(repeat::<401>)),
    ("with 500 for every call", Some(repeat::<500>)),
];

fn stand_ins() -> [(String, Box<dyn Sandbox>); 2] {
    let mut hubspot = HubSpot::new(hubspot::Options::with_hub_id(HUBSPOT_ID));
    let mut salesforce = Salesforce::new(salesforce::Options::with_hub_id(SALESFORCE_ID));
    hubspot.allow_token(TOKEN, None);
    salesforce.allow_token(TOKEN, None);
    [("hubspot.test".to_owned(), Box::new(hubspot)), ("salesforce.test".to_owned(), Box::new(salesforce))]
}

/// A hub with a provider as its source, and with both destinations.
struct WholeHub {
    twin: Twin,
    config: Config,
    vault: Vault,
    reasons: RefCell<Vec<String>>,
}

impl WholeHub {
    fn new(provider: &str, answer: Answer) -> WholeHub {
        let twin = Twin::at(NOW_MS);
        for queue in ["ingest-urgent", "ingest-bulk", "fetch", "upsert-hubspot", "upsert-salesforce"] {
            twin.queues.borrow_mut().create(queue, QueueSettings::default());
            twin.queues.borrow_mut().create(&format!("{queue}-dlq"), QueueSettings::default());
        }
        for destination in DESTINATIONS {
            twin.set_secret(&format!("{destination}/api"), &json!({ "access_token": TOKEN }).to_string());
        }
        twin.crms.borrow_mut().0.extend(stand_ins());
        let hosts = DESTINATIONS.map(|destination| format!("{destination}.test"));
        twin.answers.borrow_mut().extend(hosts.into_iter().filter_map(|host| Some((host, answer?))));
        let sources = if DESTINATIONS.contains(&provider) { Vec::new() } else { vec![Source::of(provider, provider)] };
        let vault = Vault::with_master(MASTER).unwrap();
        WholeHub { twin, config: config(&sources), vault, reasons: RefCell::default() }
    }

    fn invocation(&self) -> Invocation<'_, Twin> {
        Invocation { ports: &self.twin, config: &self.config, deadline_ms: NOW_MS + 86_400_000 }
    }

    fn send(&self, queue: &QueueName, body: String) {
        self.twin.queues.borrow_mut().send(queue, Outgoing::new(body), NOW_MS).unwrap();
    }

    /// Handles what is on a queue, and takes the reasons of its dead letters.
    fn work(&self, name: &str) {
        let (now_ms, queue) = (NOW_MS, QueueName::from(name));
        let deliveries = self.twin.queues.borrow_mut().receive(name, 100, now_ms);
        let receipts: Vec<(String, String)> = deliveries.iter().map(|d| (d.id.clone(), d.receipt.clone())).collect();
        let report = match queue.destination() {
            _ if receipts.is_empty() => return,
            Some(destination) => finish(sync::upsert::handle_batch(self.invocation(), &self.vault, destination, deliveries)),
            None if queue == QueueName::fetch() => finish(sync::reconcile::handle_batch(self.invocation(), deliveries)),
            None => finish(sync::transform::handle_batch(self.invocation(), &self.vault, &queue, deliveries)),
        };
        let mut queues = self.twin.queues.borrow_mut();
        for (_, receipt) in receipts.iter().filter(|(id, _)| !report.failures.contains(id)) {
            queues.delete(name, receipt);
        }
        for letter in queues.receive(&queue.dead_letter(), usize::MAX, now_ms) {
            self.reasons.borrow_mut().extend(letter.attributes.into_values());
        }
    }

    fn run(&self) {
        for _ in 0..ROUNDS {
            for queue in ["ingest-urgent", "ingest-bulk", "upsert-hubspot", "upsert-salesforce", "fetch"] {
                self.work(queue);
            }
        }
    }

    /// The reasons of dead letters and account lines, and why connections are paused.
    fn all_reasons(&self) -> Vec<String> {
        let tables = self.twin.tables.borrow();
        let stored = [Table::Journal, Table::Control].map(|table| tables.all(table).collect::<Vec<_>>()).concat();
        let reasons = stored.iter().filter_map(|item| item.s("reason").map(str::to_owned));
        reasons.chain(self.reasons.borrow().iter().cloned()).collect()
    }
}

#[test]
fn the_way_out_shows_no_personal_data_and_no_secret() {
    let mut search = Search::default();
    for name in Provider::builtin_names() {
        let provider = Provider::builtin(name, &Overrides::default()).unwrap();
        let all: BTreeMap<String, Fixture> = fixtures(name).into_iter().map(|f| (f.name.clone(), f)).collect();
        let mut canaries = Canaries(BTreeSet::new());
        for fixture in all.values() {
            canaries.0.extend(Canaries::of(&provider, name, fixture, &[TOKEN, MASTER]).0);
        }
        for (how, answer) in ANSWERS {
            let hub = WholeHub::new(name, answer);
            let ((), log) = logged(|| {
                for message in messages(name) {
                    hub.send(&QueueName::ingest(message.lane), message.body());
                }
                hub.run();
                finish(sync::reconcile::run_job(hub.invocation(), Job::Full)).ok();
                hub.run();
            });
            search.search(&format!("{name}, {how}"), &canaries, &log, &hub.all_reasons());
        }
    }
    search.judge();
}

#[test]
fn a_leak_is_found() {
    let sender = ALL.iter().find(|sender| kind(&sender.best().body) == crate::bad_input::bodies::Kind::Json).unwrap();
    let canaries = Canaries::of(&sender.provider, &sender.name, sender.best(), &[]);
    let (value, log) = logged(|| {
        let value = canaries.0.iter().next_back().unwrap();
        tracing::debug!(value, "a careless line");
        value
    });
    let mut search = Search::default();
    search.search("a careless line", &canaries, &log, &[]);
    assert_eq!(search.leaks.len(), 1, "{value}: {log:?}");
}
