//! The ports of the scenarios about credentials: secrets with versions, a cache in each process, and a witness of I12.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use sandbox::{Request, TokenEndpoint};
use sync::credential::Credential;
use sync::ports::{
    Blob, Clock, Http, HttpError, HttpRequest, HttpResponse, Item, Key, Outgoing, Page, PortError, Queue, QueueName, SecretSet,
    SecretVersions, Secrets, Store, Table, Write, WriteError,
};
use sync::rotate::REFRESH_MS;

use super::Violation;
use super::ports::SimPorts;

/// How long a process serves a secret from its cache, in milliseconds.
const CACHED_MS: i64 = 300_000;
/// How many of ten thousand calls that store a token are made by a process that freezes just before.
const FROZEN: u32 = 400;
/// The host of the account, and of its token endpoint.
pub(super) const HOST: &str = "crm.test";
const TOKEN_PATH: &str = "/oauth/v1/token";

/// The access token of the pair that a secret's value holds, and the number of its refresh token.
fn tokens_of(value: &str) -> (String, u64) {
    let credential = Credential::parse(value).unwrap_or_default();
    let number = credential.refresh_token.as_deref().map_or(0, TokenEndpoint::number);
    (credential.access_token, number)
}

/// A secret.
#[derive(Debug, Default, Clone)]
struct Versions {
    values: BTreeMap<String, String>,
    current: String,
    pending: Option<String>,
}

/// What every process shares: the secrets, and what the witness saw.
#[derive(Default)]
pub struct Scene {
    secrets: RefCell<BTreeMap<String, Versions>>,
    /// Access tokens that were the current ones of a secret at some time.
    stored: RefCell<BTreeSet<String>>,
    /// Refreshes that are under way, by host.
    flights: RefCell<BTreeMap<String, u32>>,
    violation: RefCell<Option<Violation>>,
    /// Secrets as the processes have cached them.
    cached: RefCell<BTreeMap<(usize, String), (i64, SecretSet)>>,
}

impl Scene {
    pub(super) fn violation(&self) -> Option<Violation> {
        self.violation.borrow_mut().take()
    }

    fn report(&self, detail: impl Into<String>) {
        self.violation.borrow_mut().get_or_insert_with(|| Violation::new("I12", detail));
    }

    /// The current version of a secret and its value.
    pub(super) fn current(&self, name: &str) -> Option<(String, String)> {
        let secrets = self.secrets.borrow();
        let versions = secrets.get(name)?;
        Some((versions.current.clone(), versions.values.get(&versions.current)?.clone()))
    }

    /// Stores a value as a new current version.
    pub(super) fn store(&self, name: &str, version: &str, value: &str) {
        let mut secrets = self.secrets.borrow_mut();
        let versions = secrets.entry(name.to_owned()).or_default();
        versions.values.insert(version.to_owned(), value.to_owned());
        version.clone_into(&mut versions.current);
        self.stored.borrow_mut().insert(tokens_of(value).0);
    }

    fn promote(&self, name: &str, version: &str, from: Option<&str>) -> Result<(), PortError> {
        let (before, value) = {
            let secrets = self.secrets.borrow();
            let versions = secrets.get(name).ok_or_else(|| PortError::rejected("no such secret"))?;
            let value = versions.values.get(version).ok_or_else(|| PortError::rejected("no such version"))?;
            if from != Some(versions.current.as_str()) {
                return Err(PortError::rejected("the current version is another one"));
            }
            (versions.values.get(&versions.current).cloned().unwrap_or_default(), value.clone())
        };
        if tokens_of(&value).1 < tokens_of(&before).1 {
            self.report("an older pair of tokens took the place of a newer one");
        }
        self.store(name, version, &value);
        Ok(())
    }

    fn set(&self, name: &str) -> SecretSet {
        let secrets = self.secrets.borrow();
        let Some(versions) = secrets.get(name) else { return SecretSet::default() };
        let value = |version: &String| versions.values.get(version).cloned();
        SecretSet {
            current: value(&versions.current),
            pending: versions.pending.as_ref().and_then(value),
            previous: None,
            version: Some(versions.current.clone()),
        }
    }
}

/// The ports as one process sees them.
#[derive(Clone)]
pub struct TokenPorts {
    pub(super) sim: SimPorts,
    pub(super) scene: Rc<Scene>,
    /// Which process it is: those with the same number share a cache.
    pub(super) process: usize,
}

impl TokenPorts {
    /// A process that stores a token may freeze just before.
    async fn freeze(&self) {
        if self.sim.draw(|rng, faults| faults.stall > 0 && rng.chance(FROZEN)) {
            let ms = self.sim.draw(|rng, _| rng.range(60_000, 240_000));
            self.sim.step(ms).await;
        }
    }

    /// Counts a refresh as long as its call lasts.
    fn take_off(&self, host: &str) -> Flight {
        let mut flights = self.scene.flights.borrow_mut();
        let count = flights.entry(host.to_owned()).or_default();
        *count += 1;
        if *count > 1 {
            self.scene.report(format!("{count} refreshes at {host} are under way"));
        }
        Flight { scene: Rc::clone(&self.scene), host: host.to_owned() }
    }
}

/// A refresh that is under way.
struct Flight {
    scene: Rc<Scene>,
    host: String,
}

impl Drop for Flight {
    fn drop(&mut self) {
        if let Some(count) = self.scene.flights.borrow_mut().get_mut(&self.host) {
            *count -= 1;
        }
    }
}

impl Http for TokenPorts {
    async fn http(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let call = Request::new(request.method, &request.url, &request.headers, &request.body);
        let host = request.url.split('/').nth(2).unwrap_or_default().to_owned();
        let refreshes = call.path == TOKEN_PATH;
        if !refreshes {
            let token = call.header("authorization").and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
            if !self.scene.stored.borrow().contains(token) {
                self.scene.report(format!("the access token `{token}` was used before it was stored"));
            }
        }
        let flight = refreshes.then(|| self.take_off(&host));
        let (latency, fails, loses, late) = self.sim.draw(|rng, faults| {
            (rng.range(5, 2_000), rng.chance(faults.fail), rng.chance(faults.lose * 5), rng.chance(faults.late))
        });
        self.sim.step(latency).await;
        if fails {
            return Err(HttpError::NotSent("simulated: no connection".into()));
        }
        if late {
            let wait = self.sim.draw(|rng, _| rng.range(1_000, 25_000));
            self.sim.shared.late.borrow_mut().push((self.sim.shared.now.get() + wait, HOST.to_owned(), call));
            self.sim.step(i64::try_from(request.timeout_ms).unwrap_or(i64::MAX)).await;
            return Err(HttpError::Unknown("simulated: timed out".into()));
        }
        let answer = self.sim.shared.apply(HOST, &call);
        if loses {
            self.sim.step(i64::try_from(request.timeout_ms).unwrap_or(i64::MAX)).await;
            return Err(HttpError::Unknown("simulated: the answer was lost".into()));
        }
        drop(flight);
        self.sim.step(5).await;
        let answer = answer.ok_or_else(|| HttpError::NotSent("no such host".into()))?;
        Ok(HttpResponse { status: answer.status, headers: answer.headers, body: answer.body })
    }
}

impl Secrets for TokenPorts {
    async fn secret(&self, name: &str, fresh: bool) -> Result<SecretSet, PortError> {
        let (key, now_ms) = ((self.process, name.to_owned()), self.sim.shared.now.get());
        let limit_ms = if fresh { i64::try_from(REFRESH_MS).unwrap_or(0) } else { CACHED_MS };
        if let Some((at_ms, set)) = self.scene.cached.borrow().get(&key)
            && now_ms - at_ms < limit_ms
        {
            return Ok(set.clone());
        }
        let set = self.sim.call(|_| Ok(self.scene.set(name))).await?;
        self.scene.cached.borrow_mut().insert(key, (self.sim.shared.now.get(), set.clone()));
        Ok(set)
    }
}

impl SecretVersions for TokenPorts {
    fn secret_name(&self, logical: &str) -> String {
        logical.to_owned()
    }

    async fn version_value(&self, secret: &str, version: Option<&str>, stage: &str) -> Result<Option<String>, PortError> {
        self.sim
            .call(|_| {
                let secrets = self.scene.secrets.borrow();
                let Some(versions) = secrets.get(secret) else { return Ok(None) };
                let staged = match stage {
                    "AWSCURRENT" => Some(&versions.current),
                    "AWSPENDING" => versions.pending.as_ref(),
                    _ => None,
                };
                let staged = staged.filter(|staged| version.is_none_or(|version| *staged == version));
                Ok(staged.and_then(|staged| versions.values.get(staged).cloned()))
            })
            .await
    }

    async fn current_version(&self, secret: &str) -> Result<Option<String>, PortError> {
        self.sim.call(|_| Ok(self.scene.current(secret).map(|(version, _)| version))).await
    }

    async fn put_pending(&self, secret: &str, version: &str, value: &str) -> Result<(), PortError> {
        self.freeze().await;
        self.sim
            .call(|_| {
                let mut secrets = self.scene.secrets.borrow_mut();
                let versions = secrets.entry(secret.to_owned()).or_default();
                versions.values.insert(version.to_owned(), value.to_owned());
                versions.pending = Some(version.to_owned());
                Ok(())
            })
            .await
    }

    async fn promote(&self, secret: &str, version: &str, from: Option<&str>) -> Result<(), PortError> {
        self.freeze().await;
        self.sim.call(|_| self.scene.promote(secret, version, from)).await
    }
}

impl Clock for TokenPorts {
    fn now_ms(&self) -> i64 {
        self.sim.now_ms()
    }

    fn random(&self) -> u64 {
        self.sim.random()
    }

    fn fill_secret(&self, buffer: &mut [u8]) {
        self.sim.fill_secret(buffer);
    }

    async fn sleep(&self, ms: u64) {
        self.sim.sleep(ms).await;
    }
}

impl Store for TokenPorts {
    async fn get(&self, table: Table, key: &Key) -> Result<Option<Item>, PortError> {
        self.sim.get(table, key).await
    }

    async fn get_many(&self, table: Table, keys: &[Key]) -> Result<Vec<Option<Item>>, PortError> {
        self.sim.get_many(table, keys).await
    }

    async fn query(&self, table: Table, pk: &str, prefix: &str, limit: u32, after: Option<&Key>) -> Result<Page, PortError> {
        self.sim.query(table, pk, prefix, limit, after).await
    }

    async fn scan(&self, table: Table, limit: u32, after: Option<&Key>) -> Result<Page, PortError> {
        self.sim.scan(table, limit, after).await
    }

    async fn write(&self, writes: Vec<Write>, token: Option<&str>) -> Result<(), WriteError> {
        self.sim.write(writes, token).await
    }
}

impl Queue for TokenPorts {
    async fn send(&self, queue: &QueueName, messages: Vec<Outgoing>) -> Vec<Result<(), PortError>> {
        self.sim.send(queue, messages).await
    }

    async fn delay(&self, queue: &QueueName, receipt: &str, seconds: u32) -> Result<(), PortError> {
        self.sim.delay(queue, receipt, seconds).await
    }
}

impl Blob for TokenPorts {
    async fn put(&self, key: &str, bytes: &[u8]) -> Result<(), PortError> {
        self.sim.put(key, bytes).await
    }

    async fn get_blob(&self, key: &str) -> Result<Option<Vec<u8>>, PortError> {
        self.sim.get_blob(key).await
    }
}
