//! All ports of a function in memory, with a clock that moves only when a test moves it. There is no network, no thread and no
//! fault here; the simulator has faults.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use sandbox::{Request, Sandbox};
use sync::ports::{
    Blob, Clock, Delivery, Http, HttpError, HttpRequest, HttpResponse, Item, Key, Outgoing, Page, PortError, Queue, QueueName,
    SecretSet, SecretVersions, Secrets, Store, Table, Write, WriteError,
};

use crate::conformance::{QUEUES, SECRETS, Subject};
use crate::memory::{QueueSettings, Queues, Tables};

const CURRENT: &str = "AWSCURRENT";
const PENDING: &str = "AWSPENDING";
const PREVIOUS: &str = "AWSPREVIOUS";

/// A secret: values by version, and which version has which stage.
#[derive(Debug, Default, Clone, PartialEq)]
struct Versions {
    values: BTreeMap<String, String>,
    stages: BTreeMap<String, String>,
}

impl Versions {
    fn value(&self, stage: &str) -> Option<String> {
        self.values.get(self.stages.get(stage)?).cloned()
    }
}

/// Stand-ins by host name.
#[derive(Default)]
pub struct Crms(pub BTreeMap<String, Box<dyn Sandbox>>);

impl fmt::Debug for Crms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Runs a future whose ports never wait.
pub fn finish<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the ports in memory never wait"),
    }
}

/// A function that answers a request in place of a CRM.
pub type Answerer = fn(&HttpRequest) -> HttpResponse;

/// The ports.
#[derive(Debug, Default)]
pub struct Twin {
    /// The tables.
    pub tables: RefCell<Tables>,
    /// The queues.
    pub queues: RefCell<Queues>,
    /// The bodies that a GET of a URL returns.
    pub pages: RefCell<BTreeMap<String, Vec<u8>>>,
    /// The CRMs by the host name in their base URL.
    pub crms: RefCell<Crms>,
    /// Functions that answer every request to a host, by the host name.
    pub answers: RefCell<BTreeMap<String, Answerer>>,
    /// Every request to a provider.
    pub requests: RefCell<Vec<HttpRequest>>,
    /// The beginnings of URLs that refuse every request, and with which status.
    pub refused: RefCell<BTreeMap<String, u16>>,
    now: Cell<i64>,
    random: Cell<u64>,
    blobs: RefCell<BTreeMap<String, Vec<u8>>>,
    secrets: RefCell<BTreeMap<String, Versions>>,
}

impl Twin {
    /// Empty ports at this time, in milliseconds since the epoch.
    pub fn at(now_ms: i64) -> Twin {
        Twin { now: Cell::new(now_ms), ..Twin::default() }
    }

    /// Adds a secret with one version, or replaces it.
    pub fn set_secret(&self, name: &str, value: &str) {
        let mut versions = Versions::default();
        versions.values.insert("first".into(), value.into());
        versions.stages.insert(CURRENT.into(), "first".into());
        self.secrets.borrow_mut().insert(name.into(), versions);
    }

    fn with_secret<T>(&self, name: &str, act: impl FnOnce(&mut Versions) -> Result<T, PortError>) -> Result<T, PortError> {
        act(self.secrets.borrow_mut().get_mut(name).ok_or_else(|| PortError::rejected("no such secret"))?)
    }
}

impl Clock for Twin {
    fn now_ms(&self) -> i64 {
        self.now.get()
    }

    fn random(&self) -> u64 {
        self.random.set(self.random.get().wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407));
        self.random.get() ^ (self.random.get() >> 32)
    }

    fn fill_secret(&self, buffer: &mut [u8]) {
        for byte in buffer {
            [*byte, ..] = self.random().to_le_bytes();
        }
    }

    async fn sleep(&self, ms: u64) {
        self.now.set(self.now.get().saturating_add(i64::try_from(ms).unwrap_or(i64::MAX)));
    }
}

impl Store for Twin {
    async fn get(&self, table: Table, key: &Key) -> Result<Option<Item>, PortError> {
        Ok(self.tables.borrow().get(table, key))
    }

    async fn get_many(&self, table: Table, keys: &[Key]) -> Result<Vec<Option<Item>>, PortError> {
        self.tables.borrow().get_many(table, keys)
    }

    async fn query(&self, table: Table, pk: &str, prefix: &str, limit: u32, after: Option<&Key>) -> Result<Page, PortError> {
        Ok(self.tables.borrow().query(table, pk, prefix, limit, after))
    }

    async fn scan(&self, table: Table, limit: u32, after: Option<&Key>) -> Result<Page, PortError> {
        Ok(self.tables.borrow().scan(table, limit, after))
    }

    async fn write(&self, writes: Vec<Write>, token: Option<&str>) -> Result<(), WriteError> {
        self.tables.borrow_mut().write(writes, token, self.now.get())
    }
}

impl Queue for Twin {
    async fn send(&self, queue: &QueueName, messages: Vec<Outgoing>) -> Vec<Result<(), PortError>> {
        let mut queues = self.queues.borrow_mut();
        messages.into_iter().map(|message| queues.send(queue, message, self.now.get())).collect()
    }

    async fn delay(&self, queue: &QueueName, receipt: &str, seconds: u32) -> Result<(), PortError> {
        self.queues.borrow_mut().delay(queue, receipt, seconds, self.now.get())
    }
}

impl Blob for Twin {
    async fn put(&self, key: &str, bytes: &[u8]) -> Result<(), PortError> {
        self.blobs.borrow_mut().insert(key.to_owned(), bytes.to_vec());
        Ok(())
    }

    async fn get_blob(&self, key: &str) -> Result<Option<Vec<u8>>, PortError> {
        Ok(self.blobs.borrow().get(key).cloned())
    }
}

impl Http for Twin {
    async fn http(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        self.requests.borrow_mut().push(request.clone());
        let refused =
            self.refused.borrow().iter().find(|(url, _)| request.url.starts_with(url.as_str())).map(|(_, status)| *status);
        if let Some(status) = refused {
            return Ok(HttpResponse { status, headers: Vec::new(), body: Vec::new() });
        }
        let host = request.url.split("://").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default();
        if let Some(answer) = self.answers.borrow().get(host) {
            return Ok(answer(&request));
        }
        if let Some(crm) = self.crms.borrow_mut().0.get_mut(host) {
            let answer = crm.handle(&Request::new(request.method, &request.url, &request.headers, &request.body), self.now.get());
            return match answer.lost {
                true => Err(HttpError::Unknown("the answer was lost".into())),
                false => Ok(HttpResponse { status: answer.status, headers: answer.headers, body: answer.body }),
            };
        }
        let page = self.pages.borrow().get(&request.url).filter(|_| request.method == "GET").cloned();
        let body = page.ok_or_else(|| HttpError::NotSent("no such host".into()))?;
        Ok(HttpResponse { status: 200, headers: Vec::new(), body })
    }
}

impl Secrets for Twin {
    async fn secret(&self, name: &str, _fresh: bool) -> Result<SecretSet, PortError> {
        let secrets = self.secrets.borrow();
        let value = |stage: &str| secrets.get(name)?.value(stage);
        let version = secrets.get(name).and_then(|versions| versions.stages.get(CURRENT).cloned());
        Ok(SecretSet { current: value(CURRENT), pending: value(PENDING), previous: value(PREVIOUS), version })
    }
}

impl SecretVersions for Twin {
    fn secret_name(&self, logical: &str) -> String {
        logical.to_owned()
    }

    async fn version_value(&self, secret: &str, version: Option<&str>, stage: &str) -> Result<Option<String>, PortError> {
        self.with_secret(secret, |versions| {
            let named = version.is_none_or(|version| versions.stages.get(stage).is_some_and(|holder| holder == version));
            Ok(if named { versions.value(stage) } else { None })
        })
    }

    async fn current_version(&self, secret: &str) -> Result<Option<String>, PortError> {
        Ok(self.secrets.borrow().get(secret).and_then(|versions| versions.stages.get(CURRENT).cloned()))
    }

    async fn put_pending(&self, secret: &str, version: &str, value: &str) -> Result<(), PortError> {
        self.with_secret(secret, |versions| match versions.values.get(version) {
            Some(before) if before != value => Err(PortError::rejected("the version has another value")),
            _ => {
                versions.values.insert(version.into(), value.into());
                versions.stages.insert(PENDING.into(), version.into());
                Ok(())
            }
        })
    }

    async fn promote(&self, secret: &str, version: &str, from: Option<&str>) -> Result<(), PortError> {
        self.with_secret(secret, |versions| {
            let holder = versions.stages.get(CURRENT).cloned();
            if holder.as_deref() != from || !versions.values.contains_key(version) {
                return Err(PortError::rejected("the current version is another one, or there is no such version"));
            }
            versions.stages.extend(holder.map(|holder| (PREVIOUS.to_owned(), holder)));
            versions.stages.insert(CURRENT.into(), version.into());
            let staged: BTreeSet<String> = versions.stages.values().cloned().collect();
            versions.values.retain(|version, _| staged.contains(version));
            Ok(())
        })
    }
}

impl Subject for Twin {
    type Ports = Twin;

    fn ports(&self) -> &Twin {
        self
    }

    async fn receive(&self, queue: &str, visibility_s: u32) -> Result<Vec<Delivery>, PortError> {
        let mut queues = self.queues.borrow_mut();
        let received = queues.receive(queue, 10, self.now.get());
        for delivery in &received {
            queues.delay(queue, &delivery.receipt, visibility_s, self.now.get())?;
        }
        Ok(received)
    }

    async fn delete(&self, queue: &str, receipt: &str) -> Result<(), PortError> {
        self.queues.borrow_mut().delete(queue, receipt);
        Ok(())
    }

    async fn pass(&self, ms: u64) {
        self.sleep(ms).await;
        self.tables.borrow_mut().sweep_ttl(self.now.get());
    }

    fn secret_id(&self, name: &str) -> String {
        name.to_owned()
    }

    fn contend(&self, _on: bool) -> bool {
        false
    }
}

impl Twin {
    /// Ports with the queues and secrets that the checks of [`crate::conformance`] need.
    pub fn for_conformance(now_ms: i64) -> Twin {
        let twin = Twin::at(now_ms);
        for need in QUEUES {
            let redrive = need.redrive.map(|(queue, most)| (queue.to_owned(), most));
            twin.queues.borrow_mut().create(need.name, QueueSettings { redrive, ..QueueSettings::default() });
        }
        for (name, value) in SECRETS {
            twin.set_secret(name, value);
        }
        twin
    }
}
