//! A hub whose `transform` handles one message at a time, and what it does with each.

use std::collections::{BTreeMap, BTreeSet};

use canonical::{Dispatch, FieldName, QueueName, ReadRequest};
use serde_json::Value;
use sync::batch::Invocation;
use sync::config::Config;
use sync::ports::{Item, Table};
use sync::record::observation::{MAX_POINTS, Observation};
use sync::record::{GoldenRecord, SourceRecord, golden_by_id, read_golden, read_source};
use sync::seal::Vault;
use testkit::memory::QueueSettings;
use testkit::sim::{Source, Stepper, config};

use super::messages::Message;
use crate::fixtures::NOW_MS;

const MASTER: &str = "a2lsbHMgYW5kIHJlcGV0aXRpb25zIG1hc3RlciBzZWNyZXQgMzIgYnl0ZXM=";
/// Receptions of one message after which it is stuck.
const RECEPTIONS: usize = 20;
/// An invocation's time, in milliseconds.
const INVOCATION_MS: i64 = 600_000;

/// The hub.
pub struct Hub {
    stepper: Stepper,
    config: Config,
    provider: String,
}

fn vault() -> Vault {
    Vault::with_master(MASTER).unwrap()
}

impl Hub {
    /// An empty hub with a connection of this provider, and with destinations.
    pub fn new(provider: &str) -> Hub {
        let sources: Vec<Source> =
            if ["hubspot", "salesforce"].contains(&provider) { Vec::new() } else { vec![Source::of(provider, provider)] };
        let stepper = Stepper::new(1, NOW_MS);
        for queue in ["ingest-urgent", "ingest-bulk", "fetch", "upsert-hubspot", "upsert-salesforce"] {
            stepper.queues().create(&format!("{queue}-dlq"), QueueSettings::default());
            stepper.queues().create(queue, QueueSettings { visibility_ms: INVOCATION_MS, ..QueueSettings::default() });
        }
        Hub { stepper, config: config(&sources), provider: provider.to_owned() }
    }

    /// The provider.
    pub fn provider(&self) -> &str {
        &self.provider
    }

    /// Effects count from here.
    pub fn mark(&self) {
        self.stepper.tables().mark();
    }

    /// Back to the mark.
    pub fn undo(&self) {
        self.stepper.tables().undo();
    }

    /// Handles a message until the queue deletes it. The first process is killed after that port call, if one is given. Returns
    /// the port calls of the first process.
    pub fn handle(&self, message: &Message, kill_after: Option<u64>) -> u64 {
        let queue = QueueName::ingest(message.lane);
        let sent = sync::ports::Outgoing::new(message.body());
        self.stepper.queues().send(&queue, sent, self.stepper.now_ms()).unwrap();
        let before = self.stepper.calls();
        let mut first_calls = None;
        for reception in 0..RECEPTIONS {
            let visible_ms = self.stepper.queues().next_visible(&queue).unwrap();
            self.stepper.pass((visible_ms - self.stepper.now_ms()).max(0));
            let deliveries = self.stepper.queues().receive(&queue, 1, self.stepper.now_ms());
            let (id, receipt) = (deliveries[0].id.clone(), deliveries[0].receipt.clone());
            // A process that was killed leaves nothing behind, neither cached keys.
            let vault = vault();
            let deadline_ms = self.stepper.now_ms() + INVOCATION_MS;
            let invocation = Invocation { ports: self.stepper.ports(), config: &self.config, deadline_ms };
            let batch = sync::transform::handle_batch(invocation, &vault, &queue, deliveries);
            let report = self.stepper.run(batch, kill_after.filter(|_| reception == 0));
            first_calls.get_or_insert(self.stepper.calls() - before);
            if report.is_some_and(|report| !report.failures.contains(&id)) {
                self.stepper.queues().delete(&queue, &receipt);
                return first_calls.unwrap_or_default();
            }
        }
        panic!("{}: {} is still on the queue after {RECEPTIONS} receptions", self.provider, message.name);
    }

    /// What happened since the mark. Takes the messages from the queues.
    pub fn effects(&self) -> Effects {
        let replaced = self.stepper.tables().replaced();
        let vault = vault();
        let mut items = BTreeMap::new();
        // Attempts and pauses in `control` depend on how often a message was received.
        for ((table, key), before) in replaced.into_iter().filter(|((table, _), _)| *table != Table::Control) {
            let after = self.stepper.tables().get(table, &key);
            let [before, after] = [before, after].map(|item| item.map(|item| self.shown(&vault, table, item)));
            if before != after {
                let name = format!("{} {}/{}", table.name(), key.pk, stable_part(table, &key.sk));
                let shown: &mut String = items.entry(name).or_default();
                shown.push_str(&after.unwrap_or_else(|| "deleted".to_owned()));
            }
        }
        let mut messages = BTreeSet::new();
        let now_ms = self.stepper.now_ms();
        let mut queues = self.stepper.queues();
        for name in queues.names() {
            for delivery in queues.receive(&name, usize::MAX, now_ms + 43_200_000) {
                queues.delete(&name, &delivery.receipt);
                messages.insert((name.clone(), delivery.body, delivery.attributes));
            }
        }
        Effects { items, messages }
    }

    /// An item as text, with its sealed value opened.
    fn shown(&self, vault: &Vault, table: Table, mut item: Item) -> String {
        if table == Table::Keys {
            // Every data key is random.
            return "a key".to_owned();
        }
        if table == Table::Audit {
            item.attrs.remove("at");
        }
        let opened: Option<Value> = item.attrs.contains_key("sealed").then(|| {
            let opened = self.stepper.run(vault.unseal(self.stepper.ports(), &item), None);
            let mut opened: Value = opened.unwrap().unwrap();
            // By our clock, which goes on while a process that was killed is repeated.
            opened.as_object_mut().map(|members| members.remove("generation_since_ms"));
            opened
        });
        item.attrs.remove("sealed");
        let plain: Vec<String> = item.attrs.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        format!("{} {}", plain.join(" "), opened.map(|value| value.to_string()).unwrap_or_default())
    }

    /// What does not depend on the order of the messages.
    pub fn truth(&self, effects: &Effects) -> Truth {
        let vault = vault();
        let stored: Vec<Item> = self.stepper.tables().all(Table::Golden).cloned().collect();
        let mut truth = Truth::default();
        for item in stored {
            if item.key.sk != "golden" {
                let source = self.open(read_source(self.stepper.ports(), &vault, &item));
                truth.facts.insert(format!("source record {}", source.source), shown_source(&source));
                continue;
            }
            let golden: GoldenRecord = self.open(read_golden(self.stepper.ports(), &vault, &item));
            if golden.redirect.is_none() {
                let values: BTreeMap<String, String> =
                    golden.values().iter().map(|(name, value)| (name.to_string(), format!("{value:?}"))).collect();
                truth.facts.insert(format!("golden record of {}", members(&golden)), format!("{values:?} {}", golden.deleted));
            }
        }
        for (queue, body, _) in &effects.messages {
            let Ok(dispatch) = serde_json::from_str::<Dispatch>(body) else { continue };
            let golden = self
                .open(golden_by_id(self.stepper.ports(), &vault, dispatch.object, &dispatch.record))
                .expect("a golden record");
            truth.facts.insert(format!("dispatch of {} to {queue}", members(&golden)), String::new());
        }
        truth
    }

    fn open<T>(&self, read: impl Future<Output = Result<T, sync::failure::Failure>>) -> T {
        self.stepper.run(read, None).unwrap().unwrap()
    }
}

/// A sort key without what differs each time: an audit entry's ends with its time and a random number.
fn stable_part(table: Table, sort_key: &str) -> String {
    let parts = if table == Table::Audit { 2 } else { usize::MAX };
    sort_key.split('#').take(parts).collect::<Vec<_>>().join("#")
}

/// A source record as text. A field forgets its oldest points once it has too many, and since when its value counts may then depend
/// on the order of arrival; its value does not (`docs/decisions/observations-as-points.md`).
fn shown_source(source: &SourceRecord) -> String {
    let shown = |(name, field): (&FieldName, &Observation)| {
        let complete = (field.points().len() < MAX_POINTS).then(|| field.points());
        let current = field.current().map(|current| (current.value, current.seen, current.flagged));
        format!("{name}: {current:?} {complete:?} {:?}", field.levels())
    };
    let fields: Vec<String> = source.fields.iter().map(shown).collect();
    format!("{:?} {:?} {:?} {:?} {}", fields, source.keys, source.deleted, source.alive, source.test)
}

fn members(golden: &GoldenRecord) -> String {
    let members: Vec<String> = golden.members.iter().map(ToString::to_string).collect();
    format!("{} {}", golden.object, members.join(" "))
}

/// What a message did.
#[derive(Debug, Default)]
pub struct Effects {
    /// The items that changed, as they are then.
    items: BTreeMap<String, String>,
    /// The messages that were sent: queue, body, attributes.
    messages: BTreeSet<(String, String, BTreeMap<String, String>)>,
}

impl Effects {
    /// Adds the effects of another message.
    pub fn extend(&mut self, other: Effects) {
        self.items.extend(other.items);
        self.messages.extend(other.messages);
    }

    /// The requests for reads.
    pub fn requests(&self) -> Vec<ReadRequest> {
        let fetches = self.messages.iter().filter(|(queue, _, _)| queue == "fetch");
        fetches.map(|(_, body, _)| serde_json::from_str(body).unwrap()).collect()
    }

    /// How others differ from these.
    pub fn differences(&self, other: &Effects) -> Vec<String> {
        let mut all = differences(&self.items, &other.items);
        all.extend(self.messages.difference(&other.messages).map(|message| format!("a message is missing: {message:?}")));
        all.extend(other.messages.difference(&self.messages).map(|message| format!("a message too many: {message:?}")));
        all
    }
}

/// Clusters and values, source records, and which records were dispatched where.
#[derive(Debug, Default)]
pub struct Truth {
    facts: BTreeMap<String, String>,
}

impl Truth {
    /// How another truth differs from this one.
    pub fn differences(&self, other: &Truth) -> Vec<String> {
        differences(&self.facts, &other.facts)
    }
}

fn differences(one: &BTreeMap<String, String>, other: &BTreeMap<String, String>) -> Vec<String> {
    let names: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    let pairs = names.into_iter().map(|name| (name, one.get(name), other.get(name)));
    pairs.filter(|(_, one, other)| one != other).map(|(name, one, other)| format!("{name}: {one:?}, but {other:?}")).collect()
}
