//! Every fixture of every provider goes through `transform` twice, in a shuffled order, by processes that are killed.
//!
//! Each delivery is handled many times from the same state: once undisturbed, and once for each of its port calls, where the process
//! dies right after the call had its effect, and the queue brings the message back. The writes, the dispatches and the dead letters
//! must be the same each time: equal items in every table (with sealed values opened; only the time of an audit entry is left
//! out), and equal sets of messages (a repeated dispatch is harmless, since it only says where to look). The run continues from the
//! state after the last kill.
//!
//! The order of messages decides how each single event ends, so the journal and the audit log of two orders differ. Clusters,
//! values and source records must not, nor which records were dispatched where.

mod hub;
pub mod messages;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use providers::Provider;
use sync::mutant::Mutant;
use testkit::sim::Rng;

use hub::{Effects, Hub, Truth};
use messages::{Message, answers, messages, without_common_events};

/// The seed of the order of deliveries.
const SEED: u64 = 9;
/// Threads that work through the providers.
const THREADS: usize = 2;
/// Differences that the failure shows.
const SHOWN: usize = 20;

/// What the run of one provider found.
#[derive(Debug, Default)]
struct Found {
    fixtures: usize,
    deliveries: usize,
    kills: usize,
    differences: Vec<String>,
}

impl Found {
    /// Delivers a message undisturbed, then from the same state with a kill after each port call, and compares.
    fn deliver(&mut self, hub: &Hub, message: &Message) -> Effects {
        self.deliveries += 1;
        hub.mark();
        let calls = hub.handle(message, None);
        let undisturbed = hub.effects();
        for call in 1..=calls {
            hub.undo();
            hub.mark();
            hub.handle(message, Some(call));
            self.kills += 1;
            let differences = undisturbed.differences(&hub.effects()).into_iter();
            let case = format!("{}: {}: killed after port call {call} of {calls}", hub.provider(), message.name);
            self.differences.extend(differences.map(|difference| format!("{case}: {difference}")));
        }
        undisturbed
    }
}

fn shuffle<T>(items: &mut [T], rng: &mut Rng) {
    for index in (1..items.len()).rev() {
        let other = rng.below(index as u64 + 1);
        items.swap(index, usize::try_from(other).unwrap());
    }
}

/// Every message twice, in a shuffled order.
fn shuffled_twice(messages: &[Message], rng: &mut Rng) -> Vec<Message> {
    let mut all: Vec<Message> = messages.iter().flat_map(|message| [message.clone(), message.repeated()]).collect();
    shuffle(&mut all, rng);
    all
}

fn run_with_kills(provider: &str) -> Found {
    let mut found = Found::default();
    let fixtures = messages(provider);
    found.fixtures = fixtures.len();
    let hub = Hub::new(provider);
    let mut effects = Effects::default();
    for message in shuffled_twice(&fixtures, &mut Rng::new(SEED)) {
        effects.extend(found.deliver(&hub, &message));
    }
    for message in answers(provider, &effects.requests()) {
        found.deliver(&hub, &message);
    }
    found
}

/// The truth after these messages.
fn truth_after(provider: &str, messages: &[Message]) -> Truth {
    let hub = Hub::new(provider);
    let mut effects = Effects::default();
    for message in messages {
        hub.mark();
        hub.handle(message, None);
        effects.extend(hub.effects());
    }
    hub.truth(&effects)
}

/// Calls `run` for every provider, on several threads.
fn for_every_provider<T: Send>(run: impl Fn(&str) -> T + Sync) -> Vec<T> {
    let (next, results) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some(provider) = Provider::builtin_names().get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = run(provider);
                    results.lock().unwrap().push(result);
                }
            });
        }
    });
    results.into_inner().unwrap()
}

fn assert_none(differences: &[String]) {
    let shown = differences.len().min(SHOWN);
    assert!(differences.is_empty(), "{} differences; the first {shown}:\n{}", differences.len(), differences[..shown].join("\n"));
}

#[test]
fn every_fixture_ends_the_same_wherever_its_process_is_killed() {
    let all = for_every_provider(run_with_kills);
    let sum = |count: fn(&Found) -> usize| all.iter().map(count).sum::<usize>();
    let (fixtures, deliveries, kills) = (sum(|f| f.fixtures), sum(|f| f.deliveries), sum(|f| f.kills));
    println!("{} providers, {fixtures} fixtures, {deliveries} deliveries, {kills} kills", all.len());
    assert!(fixtures > 1_000 && deliveries >= 2 * fixtures && kills > deliveries, "only {deliveries} deliveries, {kills} kills");
    assert_none(&all.into_iter().flat_map(|found| found.differences).collect::<Vec<_>>());
}

#[test]
fn the_order_of_fixtures_does_not_matter() {
    let found = for_every_provider(|provider| {
        let messages = without_common_events(&messages(provider));
        let shuffled = shuffled_twice(&messages, &mut Rng::new(SEED));
        let differences = truth_after(provider, &messages).differences(&truth_after(provider, &shuffled));
        (messages.len(), differences.into_iter().map(|difference| format!("{provider}: {difference}")).collect::<Vec<_>>())
    });
    let compared: usize = found.iter().map(|(count, _)| count).sum();
    println!("{compared} fixtures without common events");
    assert!(compared > 500, "only {compared} fixtures have no event in common with others");
    assert_none(&found.into_iter().flat_map(|(_, differences)| differences).collect::<Vec<_>>());
}

#[test]
fn a_planted_bug_is_found() {
    sync::mutant::plant(Some(Mutant::JournalBeforeObservations));
    let found = run_with_kills("typeform");
    sync::mutant::plant(None);
    assert!(!found.differences.is_empty());
}
