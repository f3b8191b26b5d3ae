//! The simulator: the real handlers, queues and store in memory, stand-ins for the CRMs, one thread, virtual time, one seed.
//!
//! A run delivers a script of webhooks and edits while everything goes wrong, waits until nothing is under way, and compares the
//! result with an oracle that knows only the facts. The same seed gives the same run, await point by await point.

mod acts;
mod ada;
mod bulk;
mod check;
mod credential_ports;
mod credentials;
mod lost_and_found;
mod named;
mod operator;
mod oracle;
mod outside;
mod policy;
mod ports;
mod rng;
mod script;
mod setup;
mod stepper;
mod story;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use sync::batch::{BatchReport, Invocation};
use sync::config::Config;
use sync::mutant::Mutant;
use sync::ports::QueueName;
use sync::receive::Process;
use sync::reconcile::Job;
use sync::seal::Vault;

pub use bulk::{Wave, bulk};
pub use check::Violation;
use named::NAMED;
use outside::Trip;
pub use policy::{HUBSPOT_ID, SALESFORCE_ID, Source, config};
pub use ports::SimPorts;
use ports::{Faults, Shared};
pub use rng::Rng;
use script::{Act, Edit, Fact, Verdict};
pub use script::{START_MS, Script};
pub use stepper::Stepper;
pub use story::{Crm, Story};

/// How to run a seed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// The planted bug, if any.
    pub mutant: Option<Mutant>,
    /// Nothing goes wrong except what the script contains.
    pub calm: bool,
    /// Print what happened, to standard output.
    pub trace: bool,
}

/// Counts of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Await points that were passed.
    pub steps: u64,
    /// Handlers started.
    pub handlers: u64,
    /// Handlers killed.
    pub kills: u64,
    /// Webhooks sent, repeats included.
    pub webhooks: u64,
    /// Writes that the CRMs saw.
    pub crm_rows: u64,
    /// Pushes that the audit log holds.
    pub audited_pushes: u64,
}

/// Runs the ordinary script of a seed.
pub fn run(seed: u64, options: Options) -> Result<Stats, Violation> {
    run_script(seed, script::write(seed), options)
}

/// The names of all scenarios that [`run_named`] runs.
pub fn scenarios() -> Vec<&'static str> {
    NAMED.iter().map(|(name, _)| *name).chain(credentials::SCENARIOS.iter().map(|(name, _)| *name)).collect()
}

/// Runs a named scenario.
pub fn run_named(name: &str, seed: u64, options: Options) -> Option<Result<Stats, Violation>> {
    if let Some((_, scenario)) = credentials::SCENARIOS.iter().find(|(n, _)| *n == name) {
        return Some(scenario(seed, options));
    }
    let (_, write) = NAMED.iter().find(|(n, _)| *n == name)?;
    Some(run_script(seed, write(seed), options))
}

/// Runs a script.
pub fn run_script(seed: u64, script: Script, options: Options) -> Result<Stats, Violation> {
    sync::mutant::plant(options.mutant);
    let sim = Sim::new(seed, script, options);
    let shared = Rc::clone(&sim.shared);
    let result = sim.run();
    sync::mutant::plant(None);
    for line in shared.trace.iter().flat_map(RefCell::take) {
        println!("{line}");
    }
    result
}

type Finish = Box<dyn FnOnce(&mut Sim)>;
type Work = Pin<Box<dyn Future<Output = Finish>>>;

struct Task {
    work: Work,
    wake: Rc<Cell<i64>>,
    deadline: i64,
    /// What happens when it is killed.
    killed: Option<Finish>,
    queue: Option<String>,
}

pub(crate) struct Sim {
    shared: Rc<Shared>,
    config: Rc<Config>,
    vault: Rc<Vault>,
    process: Rc<Process>,
    faults: Faults,
    tasks: Vec<Task>,
    trips: Vec<(i64, Trip)>,
    edits: Vec<Edit>,
    verdicts: Vec<Verdict>,
    acts: Vec<Act>,
    facts: Vec<Fact>,
    /// Facts that are known to the hub: their webhook was answered 2xx.
    accepted: BTreeSet<usize>,
    /// Facts of the run itself: what people did in CRMs.
    lived: Vec<Fact>,
    /// Contacts at HubSpot that people deleted, or merged into others.
    removed: BTreeSet<String>,
    /// HubSpot shows nothing during a reconciliation.
    blind_night: bool,
    /// Envelopes answered 2xx, forged ones answered otherwise.
    answered: u64,
    forged_accepted: u64,
    stats: Stats,
    /// How long a process runs on after its deadline, in milliseconds.
    overstay_ms: i64,
    /// The queues that handlers read, and how many messages at a time.
    batches: &'static [(&'static str, usize)],
    /// True while nothing is written to CRMs.
    hold_upserts: bool,
}

/// How many of 10,000 calls to a CRM hang in a script with hanging processes.
const HANGING_CALLS: u32 = 3_000;
/// How long a hanging process runs on after its deadline, in milliseconds.
const OVERSTAY_MS: i64 = 300_000;
/// An invocation may take this long, in milliseconds.
const INVOCATION_MS: i64 = 30_000;
/// The most handlers of a queue at the same time.
const CONCURRENCY: usize = 3;
/// The queues that handlers read, with the batch size of each.
const QUEUES: &[(&str, usize)] =
    &[("ingest-urgent", 5), ("ingest-bulk", 5), ("fetch", 10), ("upsert-hubspot", 10), ("upsert-salesforce", 10)];
/// Longest run after the script's end, in milliseconds of virtual time.
const PATIENCE_MS: i64 = 6 * 3_600_000;

impl Sim {
    fn new(seed: u64, script: Script, options: Options) -> Sim {
        let setup = setup::build(seed, &script, options.trace);
        let mut sim = Sim {
            shared: setup.shared,
            config: setup.config,
            vault: setup.vault,
            process: Rc::default(),
            faults: match (options.calm, script.hanging) {
                (true, _) => Faults::NONE,
                (_, true) => Faults { hang: HANGING_CALLS, ..Faults::USUAL },
                _ => Faults::USUAL,
            },
            overstay_ms: if script.hanging { OVERSTAY_MS } else { 0 },
            tasks: Vec::new(),
            trips: Vec::new(),
            edits: script.edits,
            verdicts: script.verdicts,
            acts: script.acts,
            blind_night: script.blind_night,
            removed: BTreeSet::new(),
            facts: script.facts,
            accepted: BTreeSet::new(),
            lived: Vec::new(),
            answered: 0,
            forged_accepted: 0,
            stats: Stats::default(),
            batches: if script.full_batches { bulk::BATCHES } else { QUEUES },
            hold_upserts: false,
        };
        sim.shared.faults.set(sim.faults);
        for sending in script.sendings {
            sim.trips.push((sending.at_ms, Trip { sending, attempt: 0, crm: None }));
        }
        sim
    }

    fn run(mut self) -> Result<Stats, Violation> {
        self.calm_down()?;
        for verdict in std::mem::take(&mut self.verdicts) {
            self.shared.faults.set(self.faults);
            for decision in operator::decisions(&self, verdict)? {
                self.send_decision(&decision);
            }
            self.calm_down()?;
        }
        check::before_reconcile(&self)?;
        if self.blind_night {
            self.blind(true);
            self.reconcile(Job::Full);
            self.until_quiet()?;
            check::before_reconcile(&self)?;
            self.blind(false);
        }
        self.reconcile(Job::Full);
        self.until_quiet()?;
        check::after_reconcile(&self)?;
        self.stats.steps = self.shared.steps.get();
        self.stats.crm_rows = self.rows_written();
        self.stats.audited_pushes = check::audited_pushes(&self);
        Ok(self.stats)
    }

    fn rows_written(&self) -> u64 {
        let crms = self.shared.crms.borrow();
        crms.values().map(|crm| crm.stats().iter().filter(|(n, _)| n.starts_with("rows.")).map(|(_, c)| c).sum::<u64>()).sum()
    }

    /// Runs until nothing is under way.
    fn until_quiet(&mut self) -> Result<(), Violation> {
        let limit = self.shared.now.get().max(script::START_MS) + PATIENCE_MS;
        loop {
            self.begin_what_is_due();
            let Some(next) = self.next_time() else { return Ok(()) };
            if next > limit {
                return Err(Violation::new("liveness", self.describe_stuck()));
            }
            self.shared.now.set(self.shared.now.get().max(next));
            self.apply_late_requests();
            self.poll_tasks();
        }
    }

    fn describe_stuck(&self) -> String {
        let queues = self.shared.queues.borrow();
        let waiting: Vec<String> = QUEUES
            .iter()
            .flat_map(|(q, _)| queues.peek(q).into_iter().map(move |m| format!("{q}: {} receives, {}", m.receives, m.body)))
            .collect();
        format!(
            "still busy {} h after the script's end; {} tasks; {}",
            PATIENCE_MS / 3_600_000,
            self.tasks.len(),
            waiting.join("\n")
        )
    }

    fn next_time(&self) -> Option<i64> {
        let now = self.shared.now.get();
        let mut times: Vec<i64> = self.tasks.iter().map(|t| t.wake.get().min(t.deadline)).collect();
        times.extend(self.trips.iter().map(|(at, _)| *at));
        times.extend(self.edits.iter().map(|e| e.at_ms));
        times.extend(self.acts.iter().map(|a| a.at_ms));
        times.extend(self.shared.late.borrow().iter().map(|(at, _, _)| *at));
        let queues = self.shared.queues.borrow();
        for (name, _) in self.open_queues() {
            if self.running(name) < CONCURRENCY {
                times.extend(queues.next_visible(name));
            }
        }
        times.extend(self.shared.crms.borrow().values().filter_map(|crm| crm.next_webhook_ms()));
        times.into_iter().min().map(|at| at.max(now))
    }

    /// Webhooks that the hub answered 2xx, each of which holds at least one event.
    pub(crate) fn answered_with_events(&self) -> u64 {
        self.answered
    }

    fn running(&self, queue: &str) -> usize {
        self.tasks.iter().filter(|t| t.queue.as_deref() == Some(queue)).count()
    }

    fn open_queues(&self) -> impl Iterator<Item = &'static (&'static str, usize)> + use<> {
        let hold = self.hold_upserts;
        self.batches.iter().filter(move |(queue, _)| !hold || !queue.starts_with("upsert-"))
    }

    fn begin_what_is_due(&mut self) {
        let now = self.shared.now.get();
        self.collect_crm_webhooks(now);
        let (due, later) = std::mem::take(&mut self.trips).into_iter().partition::<Vec<_>, _>(|(at, _)| *at <= now);
        self.trips = later;
        for (_, trip) in due {
            self.deliver(trip);
        }
        let (due, later) = std::mem::take(&mut self.edits).into_iter().partition::<Vec<_>, _>(|e| e.at_ms <= now);
        self.edits = later;
        for edit in due {
            self.edit(edit);
        }
        let (due, later) = std::mem::take(&mut self.acts).into_iter().partition::<Vec<_>, _>(|a| a.at_ms <= now);
        self.acts = later;
        for act in due {
            self.act(act);
        }
        for (queue, most) in self.open_queues().collect::<Vec<_>>() {
            while self.running(queue) < CONCURRENCY {
                let deliveries = self.shared.receive(queue, *most);
                if deliveries.is_empty() {
                    break;
                }
                self.invoke(queue, deliveries);
            }
        }
    }

    fn ports(&self) -> SimPorts {
        let skew = self.shared.rng.borrow_mut().range(-400, 400);
        SimPorts { shared: Rc::clone(&self.shared), wake: Rc::new(Cell::new(self.shared.now.get())), skew }
    }

    fn spawn(&mut self, ports: &SimPorts, queue: Option<&str>, work: Work, killed: Option<Finish>) {
        self.stats.handlers += 1;
        let deadline = self.shared.now.get() + INVOCATION_MS + self.overstay_ms;
        self.tasks.push(Task { work, wake: Rc::clone(&ports.wake), deadline, killed, queue: queue.map(str::to_owned) });
    }

    fn invoke(&mut self, queue: &'static str, deliveries: Vec<sync::ports::Delivery>) {
        let ports = self.ports();
        let (config, vault) = (Rc::clone(&self.config), Rc::clone(&self.vault));
        let deadline_ms = self.shared.now.get() + INVOCATION_MS;
        let receipts: Vec<(String, String)> = deliveries.iter().map(|d| (d.id.clone(), d.receipt.clone())).collect();
        let handler_ports = ports.clone();
        self.shared.trace(|| {
            let bodies: Vec<String> = deliveries.iter().map(|d| format!("{} ({})", d.body, d.receive_count)).collect();
            format!("{queue} begins: {}", bodies.join("; "))
        });
        let work: Work = Box::pin(async move {
            let invocation = Invocation { ports: &handler_ports, config: &config, deadline_ms };
            let name = QueueName::from(queue);
            let report = match name.destination() {
                Some(destination) => sync::upsert::handle_batch(invocation, &vault, destination, deliveries).await,
                None if name == QueueName::fetch() => sync::reconcile::handle_batch(invocation, deliveries).await,
                None => sync::transform::handle_batch(invocation, &vault, &name, deliveries).await,
            };
            let finish: Finish = Box::new(move |sim| sim.delete(queue, &receipts, &report));
            finish
        });
        self.spawn(&ports, Some(queue), work, None);
    }

    /// The event source mapping deletes what the handler did not report.
    fn delete(&mut self, queue: &str, receipts: &[(String, String)], report: &BatchReport) {
        self.shared.trace(|| format!("{queue} ends: {} of {} messages stay", report.failures.len(), receipts.len()));
        let lose = { self.shared.rng.borrow_mut().chance(self.shared.faults.get().lose) };
        if lose {
            return;
        }
        let mut queues = self.shared.queues.borrow_mut();
        for (id, receipt) in receipts {
            if !report.failures.contains(id) {
                queues.delete(queue, receipt);
            }
        }
    }

    fn reconcile(&mut self, job: Job) {
        let ports = self.ports();
        let config = Rc::clone(&self.config);
        let deadline_ms = self.shared.now.get() + INVOCATION_MS * 20;
        let handler_ports = ports.clone();
        let work: Work = Box::pin(async move {
            let invocation = Invocation { ports: &handler_ports, config: &config, deadline_ms };
            let _ = sync::reconcile::run_job(invocation, job).await;
            let finish: Finish = Box::new(|_| {});
            finish
        });
        self.spawn(&ports, None, work, None);
        if let Some(task) = self.tasks.last_mut() {
            task.deadline = deadline_ms;
        }
    }

    fn apply_late_requests(&mut self) {
        let now = self.shared.now.get();
        let due: Vec<_> = {
            let mut late = self.shared.late.borrow_mut();
            let (due, rest) = std::mem::take(&mut *late).into_iter().partition::<Vec<_>, _>(|(at, _, _)| *at <= now);
            *late = rest;
            due
        };
        for (_, host, request) in due {
            self.shared.apply(&host, &request);
        }
    }

    fn poll_tasks(&mut self) {
        let now = self.shared.now.get();
        let mut index = 0;
        while index < self.tasks.len() {
            if self.tasks[index].deadline <= now {
                self.kill(index);
                continue;
            }
            if self.tasks[index].wake.get() > now {
                index += 1;
                continue;
            }
            let kill = { self.shared.rng.borrow_mut().chance(self.shared.faults.get().kill) };
            if kill {
                self.kill(index);
                continue;
            }
            // Each await point that is not ready sets the time at which it will be. The earliest one counts.
            self.tasks[index].wake.set(i64::MAX);
            match self.tasks[index].work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Pending => index += 1,
                Poll::Ready(finish) => {
                    drop(self.tasks.remove(index));
                    finish(self);
                }
            }
        }
    }

    fn kill(&mut self, index: usize) {
        self.stats.kills += 1;
        let task = self.tasks.remove(index);
        self.shared.trace(|| format!("{} is killed", task.queue.as_deref().unwrap_or("receive")));
        drop(task.work);
        if let Some(killed) = task.killed {
            killed(self);
        }
    }
}
