//! The ports of the simulator: virtual time, stores in memory, stand-ins for the CRMs, and everything that can go wrong.
//!
//! Every port call is two await points with the effect between them. At each of them the scheduler may drop the handler's
//! future, as if the process were killed. Before the effect the call may fail; after it the answer may be lost.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use sandbox::{Request, Sandbox};
use sync::ports::{
    Blob, Clock, Delivery, Http, HttpError, HttpRequest, HttpResponse, Item, Key, Outgoing, Page, PortError, Queue, QueueName,
    SecretSet, Secrets, Store, Table, Write, WriteError,
};

use super::rng::Rng;
use crate::memory::{Queues, Tables};

/// How often things go wrong, each in ten thousand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Faults {
    /// A handler is killed at an await point.
    pub kill: u32,
    /// A call fails before it has an effect.
    pub fail: u32,
    /// A call has its effect and its answer is lost.
    pub lose: u32,
    /// A write meets another transaction.
    pub conflict: u32,
    /// A call takes so long that leases end.
    pub stall: u32,
    /// A request to a provider takes effect after the client gave up.
    pub late: u32,
    /// The process hangs in a call to a provider, and continues later as if nothing had happened.
    pub hang: u32,
}

impl Faults {
    /// Nothing goes wrong.
    pub const NONE: Faults = Faults { kill: 0, fail: 0, lose: 0, conflict: 0, stall: 0, late: 0, hang: 0 };
    /// The faults of an ordinary run.
    pub const USUAL: Faults = Faults { kill: 40, fail: 60, lose: 60, conflict: 150, stall: 15, late: 120, hang: 0 };
}

/// What all handlers share.
pub struct Shared {
    /// Virtual time in milliseconds.
    pub now: Cell<i64>,
    /// The seed's stream.
    pub rng: RefCell<Rng>,
    /// The tables.
    pub tables: RefCell<Tables>,
    /// The queues.
    pub queues: RefCell<Queues>,
    /// The claim-check bucket.
    pub blobs: RefCell<BTreeMap<String, Vec<u8>>>,
    /// The secrets.
    pub secrets: RefCell<BTreeMap<String, SecretSet>>,
    /// The CRMs by the host name in their base URL.
    pub crms: RefCell<BTreeMap<String, Box<dyn Sandbox>>>,
    /// Requests that take effect later: when, at which host, what.
    pub late: RefCell<Vec<(i64, String, Request)>>,
    /// How often things go wrong.
    pub faults: Cell<Faults>,
    /// Await points passed.
    pub steps: Cell<u64>,
    /// Port calls that had their effect.
    pub calls: Cell<u64>,
    /// A line for each thing that happened, if the run is traced.
    pub trace: Option<RefCell<Vec<String>>>,
}

/// The ports as one handler sees them.
#[derive(Clone)]
pub struct SimPorts {
    /// What all handlers share.
    pub shared: Rc<Shared>,
    /// When this handler continues.
    pub wake: Rc<Cell<i64>>,
    /// How far this handler's clock is off, in milliseconds.
    pub skew: i64,
}

struct Until {
    at: i64,
    shared: Rc<Shared>,
    wake: Rc<Cell<i64>>,
}

impl Future for Until {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if self.shared.now.get() >= self.at {
            return Poll::Ready(());
        }
        self.wake.set(self.wake.get().min(self.at));
        Poll::Pending
    }
}

/// What happens to a call.
enum Fate {
    Works,
    Fails,
    LosesAnswer,
}

impl SimPorts {
    pub(super) async fn step(&self, ms: i64) {
        self.shared.steps.set(self.shared.steps.get() + 1);
        Until { at: self.shared.now.get() + ms.max(1), shared: Rc::clone(&self.shared), wake: Rc::clone(&self.wake) }.await;
    }

    pub(super) fn draw<T>(&self, draw: impl FnOnce(&mut Rng, &Faults) -> T) -> T {
        draw(&mut self.shared.rng.borrow_mut(), &self.shared.faults.get())
    }

    async fn before(&self) -> Fate {
        let (latency, fate) = self.draw(|rng, faults| {
            let latency = if rng.chance(faults.stall) { rng.range(20_000, 90_000) } else { rng.range(1, 20) };
            let fate = if rng.chance(faults.fail) {
                Fate::Fails
            } else if rng.chance(faults.lose) {
                Fate::LosesAnswer
            } else {
                Fate::Works
            };
            (latency, fate)
        });
        self.step(latency).await;
        fate
    }

    async fn after(&self) {
        self.shared.calls.set(self.shared.calls.get() + 1);
        let latency = self.draw(|rng, _| rng.range(1, 5));
        self.step(latency).await;
    }

    /// A call whose effect happens between two await points.
    pub(super) async fn call<T>(&self, effect: impl FnOnce(&Shared) -> Result<T, PortError>) -> Result<T, PortError> {
        match self.before().await {
            Fate::Fails => Err(PortError::unavailable("simulated failure")),
            Fate::Works => {
                let result = effect(&self.shared);
                self.after().await;
                result
            }
            Fate::LosesAnswer => {
                let _ = effect(&self.shared);
                self.after().await;
                Err(PortError::unavailable("simulated lost answer"))
            }
        }
    }
}

impl Clock for SimPorts {
    fn now_ms(&self) -> i64 {
        self.shared.now.get() + self.skew
    }

    fn random(&self) -> u64 {
        self.shared.rng.borrow_mut().bits()
    }

    fn fill_secret(&self, buffer: &mut [u8]) {
        let mut rng = self.shared.rng.borrow_mut();
        for chunk in buffer.chunks_mut(8) {
            let bits = rng.bits().to_le_bytes();
            chunk.copy_from_slice(&bits[..chunk.len()]);
        }
    }

    async fn sleep(&self, ms: u64) {
        self.step(i64::try_from(ms).unwrap_or(i64::MAX)).await;
    }
}

impl Queue for SimPorts {
    async fn send(&self, queue: &QueueName, messages: Vec<Outgoing>) -> Vec<Result<(), PortError>> {
        let count = messages.len();
        let sent = self
            .call(|shared| {
                let mut queues = shared.queues.borrow_mut();
                let now = shared.now.get();
                Ok(messages.into_iter().map(|message| queues.send(queue, message, now)).collect::<Vec<_>>())
            })
            .await;
        match sent {
            Ok(results) => results,
            Err(error) => vec![Err(error); count],
        }
    }

    async fn delay(&self, queue: &QueueName, receipt: &str, seconds: u32) -> Result<(), PortError> {
        self.call(|shared| shared.queues.borrow_mut().delay(queue, receipt, seconds, shared.now.get())).await
    }
}

impl Store for SimPorts {
    async fn get(&self, table: Table, key: &Key) -> Result<Option<Item>, PortError> {
        self.call(|shared| Ok(shared.tables.borrow().get(table, key))).await
    }

    async fn get_many(&self, table: Table, keys: &[Key]) -> Result<Vec<Option<Item>>, PortError> {
        self.call(|shared| shared.tables.borrow().get_many(table, keys)).await
    }

    async fn query(&self, table: Table, pk: &str, prefix: &str, limit: u32, after: Option<&Key>) -> Result<Page, PortError> {
        self.call(|shared| Ok(shared.tables.borrow().query(table, pk, prefix, limit, after))).await
    }

    async fn scan(&self, table: Table, limit: u32, after: Option<&Key>) -> Result<Page, PortError> {
        self.call(|shared| Ok(shared.tables.borrow().scan(table, limit, after))).await
    }

    async fn write(&self, writes: Vec<Write>, token: Option<&str>) -> Result<(), WriteError> {
        let fate = self.before().await;
        if self.draw(|rng, faults| rng.chance(faults.conflict)) {
            return Err(WriteError::Conflict { failed: Vec::new() });
        }
        if matches!(fate, Fate::Fails) {
            return Err(PortError::unavailable("simulated failure").into());
        }
        let described = self.shared.trace.as_ref().map(|_| writes.iter().map(describe).collect::<Vec<String>>());
        let result = self.shared.tables.borrow_mut().write(writes, token, self.shared.now.get());
        self.shared.trace(|| {
            format!("write {}: {}", if result.is_ok() { "done" } else { "refused" }, described.unwrap_or_default().join(", "))
        });
        self.after().await;
        if matches!(fate, Fate::LosesAnswer) {
            return Err(PortError::unavailable("simulated lost answer").into());
        }
        result
    }
}

/// A write, for the trace.
fn describe(write: &Write) -> String {
    let (table, key, how) = match write {
        Write::Put { table, item, .. } => (table, &item.key, "put"),
        Write::Delete { table, key, .. } => (table, key, "delete"),
        Write::Check { table, key, .. } => (table, key, "check"),
    };
    format!("{how} {} {}/{}", table.name(), key.pk, key.sk)
}

impl Blob for SimPorts {
    async fn put(&self, key: &str, bytes: &[u8]) -> Result<(), PortError> {
        self.call(|shared| {
            shared.blobs.borrow_mut().insert(key.to_owned(), bytes.to_vec());
            Ok(())
        })
        .await
    }

    async fn get_blob(&self, key: &str) -> Result<Option<Vec<u8>>, PortError> {
        self.call(|shared| Ok(shared.blobs.borrow().get(key).cloned())).await
    }
}

impl Secrets for SimPorts {
    async fn secret(&self, name: &str, _fresh: bool) -> Result<SecretSet, PortError> {
        // The process has a cache of secrets, so this costs no await point.
        Ok(self.shared.secrets.borrow().get(name).cloned().unwrap_or_default())
    }
}

impl Http for SimPorts {
    async fn http(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        if self.draw(|rng, faults| faults.hang > 0 && rng.chance(faults.hang)) {
            let hangs = self.draw(|rng, _| rng.range(60_000, 240_000));
            self.step(hangs).await;
        }
        let fate = self.before().await;
        let rest = request.url.split_once("://").map_or(request.url.as_str(), |(_, rest)| rest);
        let host = rest.split('/').next().unwrap_or_default().to_owned();
        let call = Request::new(request.method, &request.url, &request.headers, &request.body);
        if matches!(fate, Fate::Fails) {
            return Err(HttpError::NotSent("simulated: no connection".into()));
        }
        if self.draw(|rng, faults| rng.chance(faults.late)) {
            let wait = self.draw(|rng, _| rng.range(1_000, 25_000));
            self.shared.late.borrow_mut().push((self.shared.now.get() + wait, host, call));
            self.step(i64::try_from(request.timeout_ms).unwrap_or(10_000)).await;
            return Err(HttpError::Unknown("simulated: timed out".into()));
        }
        let answer = self.shared.apply(&host, &call);
        self.after().await;
        match (answer, fate) {
            (None, _) => Err(HttpError::NotSent(format!("no such host {host}"))),
            (Some(_), Fate::LosesAnswer) => Err(HttpError::Unknown("simulated: the answer was lost".into())),
            (Some(answer), _) if answer.lost => Err(HttpError::Unknown("the answer was lost".into())),
            (Some(answer), _) => Ok(HttpResponse { status: answer.status, headers: answer.headers, body: answer.body }),
        }
    }
}

impl Shared {
    /// Ports without faults, with nothing in them.
    pub fn new(seed: u64, now_ms: i64) -> Shared {
        Shared {
            now: Cell::new(now_ms),
            rng: RefCell::new(Rng::new(seed)),
            tables: RefCell::default(),
            queues: RefCell::default(),
            blobs: RefCell::default(),
            secrets: RefCell::default(),
            crms: RefCell::default(),
            late: RefCell::default(),
            faults: Cell::new(Faults::NONE),
            steps: Cell::new(0),
            calls: Cell::new(0),
            trace: None,
        }
    }

    /// Adds a line to the trace.
    pub fn trace(&self, line: impl FnOnce() -> String) {
        if let Some(trace) = &self.trace {
            let line = format!("{:>9} ms  {}", self.now.get() - super::START_MS, line());
            trace.borrow_mut().push(line);
        }
    }

    /// Lets a request take effect at a CRM.
    pub fn apply(&self, host: &str, request: &Request) -> Option<sandbox::Response> {
        let now = self.now.get();
        let answer = self.crms.borrow_mut().get_mut(host).map(|crm| crm.handle(request, now));
        self.trace(|| {
            let sent = String::from_utf8_lossy(&request.body);
            let received = answer.as_ref().map(|a| String::from_utf8_lossy(&a.body));
            let status = answer.as_ref().map_or(0, |a| a.status);
            format!("{host}: {} {} {sent} -> {status} {}", request.method, request.path, received.unwrap_or_default())
        });
        answer
    }

    /// Receives messages.
    pub fn receive(&self, queue: &str, most: usize) -> Vec<Delivery> {
        self.queues.borrow_mut().receive(queue, most, self.now.get())
    }
}
