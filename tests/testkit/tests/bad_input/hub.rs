//! A hub with one connection, on the ports in memory: what it answers, and what becomes of it.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use canonical::QueueName;
use sync::batch::Invocation;
use sync::config::Config;
use sync::ports::Table;
use sync::receive::{CertificateCache, Request};
use sync::record::journal::{RetainedEvent, day, retained_events};
use sync::seal::Vault;
use testkit::memory::QueueSettings;
use testkit::twin::Twin;
use webhook::HttpReply;

use crate::sender::Sender;

/// When everything happens: after the fixtures.
pub const NOW_MS: i64 = 1_795_000_000_000;
const MASTER: &str = "YmFkIGlucHV0IG1hc3RlciBzZWNyZXQgb2YgMzIgYnl0ZXMgb3IgbW9yZQ==";
const QUEUES: [&str; 3] = ["ingest-urgent", "ingest-bulk", "fetch"];

/// Runs a future whose ports never wait.
pub fn finish<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return value;
        }
    }
}

/// The hub.
pub struct Hub<'s> {
    /// Its ports.
    pub twin: Twin,
    sender: &'s Sender,
    certificates: CertificateCache,
    vault: Vault,
}

/// A dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dead {
    /// Its code.
    pub code: String,
    /// Its reason.
    pub detail: String,
    /// The event of the body that it is about; none if it is the whole.
    pub event: Option<u32>,
}

/// What a delivery came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// The answer's status.
    pub status: u16,
    /// Envelopes that were queued.
    pub queued: usize,
    /// The account: each event's outcome and reason, in order.
    pub account: Vec<String>,
    /// The dead letters.
    pub dead: Vec<Dead>,
    /// Golden records, links and requests to read.
    pub effects: usize,
    /// Messages that could not be settled.
    pub stuck: usize,
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ran { status, queued, account, dead, effects, stuck } = self;
        let dead: Vec<String> = dead.iter().map(|d| format!("{} ({}) of {:?}", d.code, d.detail, d.event)).collect();
        write!(f, "{status}, {queued} queued, {account:?}, dead {dead:?}, {effects} effects, {stuck} stuck")
    }
}

impl<'s> Hub<'s> {
    /// A hub that knows the sender's connection.
    pub fn new(sender: &'s Sender) -> Hub<'s> {
        let twin = Twin::at(NOW_MS);
        for name in QUEUES {
            twin.queues.borrow_mut().create(name, QueueSettings::default());
            twin.queues.borrow_mut().create(&format!("{name}-dlq"), QueueSettings::default());
        }
        sender.introduce(&twin);
        let certificates = CertificateCache::default();
        Hub { twin, sender, certificates, vault: Vault::with_master(MASTER).unwrap() }
    }

    fn config(&self) -> &Config {
        &self.sender.config
    }

    /// The front door's answer.
    pub fn ask(&self, request: &Request) -> HttpReply {
        finish(sync::receive::handle(&self.twin, self.config(), &self.certificates, request))
    }

    /// How many envelopes wait, in whichever queue.
    pub fn waiting(&self) -> usize {
        QUEUES.iter().map(|name| self.twin.queues.borrow().peek(name).len()).sum()
    }

    /// A request through the door and through `transform`.
    pub fn run(&self, request: &Request) -> Ran {
        let status = self.ask(request).status;
        let queued = self.waiting();
        let queue = QueueName::ingest(self.sender.provider.manifest().provider.lane);
        let deliveries = self.twin.queues.borrow_mut().receive(&queue, 10, NOW_MS);
        let receipts: Vec<(String, String)> = deliveries.iter().map(|d| (d.id.clone(), d.receipt.clone())).collect();
        let invocation = Invocation { ports: &self.twin, config: self.config(), deadline_ms: NOW_MS + 600_000 };
        let report = finish(sync::transform::handle_batch(invocation, &self.vault, &queue, deliveries));
        for (_, receipt) in receipts.iter().filter(|(id, _)| !report.failures.contains(id)) {
            self.twin.queues.borrow_mut().delete(&queue, receipt);
        }
        Ran {
            status,
            queued,
            account: self.account(),
            dead: self.dead(&format!("{queue}-dlq")),
            effects: self.effects(),
            stuck: report.failures.len(),
        }
    }

    fn account(&self) -> Vec<String> {
        let tables = self.twin.tables.borrow();
        let lines = tables.all(Table::Journal).filter(|item| item.key.pk.starts_with("a#"));
        lines
            .map(|item| {
                let text = |name| item.s(name).unwrap_or_default();
                format!("{} {}", text("outcome"), text("reason")).trim_end().to_owned()
            })
            .collect()
    }

    /// What was kept of the sender's events today.
    pub fn kept(&self) -> Vec<RetainedEvent> {
        finish(retained_events(&self.twin, &self.vault, &self.sender.name, day(NOW_MS))).unwrap()
    }

    fn dead(&self, queue: &str) -> Vec<Dead> {
        let queues = self.twin.queues.borrow();
        let letters = queues.peek(queue).into_iter();
        letters
            .map(|letter| {
                let text = |name: &str| letter.attributes.get(name).cloned().unwrap_or_default();
                Dead { code: text("code"), detail: text("detail"), event: text("event").parse().ok() }
            })
            .collect()
    }

    fn effects(&self) -> usize {
        let tables = self.twin.tables.borrow();
        let stored = tables.all(Table::Golden).count() + tables.all(Table::Links).count();
        stored + self.twin.queues.borrow().peek("fetch").len()
    }
}
