//! Providers at work: each webhook is delivered until it is accepted, some twice or late; and those that no provider sent.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use testkit::sim::Rng;
use tokio::sync::Semaphore;
use webhook::{Draft, Scheme, SignError, sign};

use crate::crm::{Route, post};
use crate::out::CommandError;

/// Deliveries at a time.
const AT_ONCE: usize = 16;
/// How often a provider tries. Real ones try for days.
const TRIES: u32 = 60;
/// A secret that no connection has.
const OTHER: &str = "d3Jvbmctc2VjcmV0LXdyb25nLXNlY3JldC13cm9uZw==";
/// The hub's bound is 6 million bytes.
const TOO_LARGE: usize = 6_000_001;

/// What senders saw of one connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// Accepted deliveries.
    pub accepted: u64,
    /// Deliveries that were tried again, because there was no answer or an unfit one.
    pub again: u64,
    /// Valid ones that were refused.
    pub refused: u64,
    /// Forged or broken ones that were rejected, as they have to be.
    pub rejected: u64,
}

/// A webhook to deliver.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// The connection.
    pub connection: String,
    /// The event's own id.
    pub key: String,
    /// Headers beside the proof.
    pub headers: Vec<(String, String)>,
    /// What follows the `?` of its URL.
    pub query: Option<String>,
    /// The body.
    pub body: Vec<u8>,
    /// The version of the signature, where its provider has several.
    pub version: Option<String>,
}

impl Delivery {
    /// A JSON body alone.
    pub fn plain(connection: &str, key: &str, body: &str) -> Delivery {
        let (connection, key) = (connection.to_owned(), key.to_owned());
        Delivery { connection, key, headers: Vec::new(), query: None, body: body.into(), version: None }
    }

    fn url(&self, route: &Route) -> String {
        self.query.as_ref().map_or_else(|| route.url.clone(), |query| format!("{}?{query}", route.url))
    }
}

/// All senders.
pub struct Senders {
    routes: Mutex<BTreeMap<String, Route>>,
    seen: Mutex<BTreeMap<String, Seen>>,
    wrong: Mutex<Vec<String>>,
    gate: Semaphore,
}

impl Senders {
    /// Senders for these connections.
    pub fn new(routes: BTreeMap<String, Route>) -> Senders {
        let (seen, wrong) = (Mutex::default(), Mutex::default());
        Senders { routes: Mutex::new(routes), seen, wrong, gate: Semaphore::new(AT_ONCE) }
    }

    fn route(&self, connection: &str) -> Option<Route> {
        lock(&self.routes).get(connection).cloned()
    }

    /// From now on the connection's sender signs with this secret.
    pub fn learn(&self, connection: &str, secret: &str) {
        if let Some(route) = lock(&self.routes).get_mut(connection) {
            secret.clone_into(&mut route.secret);
        }
    }

    /// What they saw, by connection.
    pub fn seen(&self) -> BTreeMap<String, Seen> {
        lock(&self.seen).clone()
    }

    /// Answers that were not what they had to be.
    pub fn wrong(&self) -> Vec<String> {
        lock(&self.wrong).clone()
    }

    fn note(&self, connection: &str, change: impl FnOnce(&mut Seen)) {
        change(lock(&self.seen).entry(connection.to_owned()).or_default());
    }

    /// Notes something that is not as it has to be.
    pub fn complain(&self, text: String) {
        lock(&self.wrong).push(text);
    }

    /// Delivers a webhook until it is accepted.
    pub async fn deliver(&self, delivery: &Delivery) {
        let connection = &delivery.connection;
        for attempt in 0..TRIES {
            match self.attempt(delivery, None).await {
                Ok(status) if (200..300).contains(&status) => return self.note(connection, |seen| seen.accepted += 1),
                Ok(status) if (400..500).contains(&status) => self.note(connection, |seen| seen.refused += 1),
                Ok(_) | Err(_) => {}
            }
            self.note(connection, |seen| seen.again += 1);
            tokio::time::sleep(Duration::from_millis(100 << attempt.min(4))).await;
        }
        self.complain(format!("{connection}: `{}` was never accepted", delivery.key));
    }

    /// Sends it once, signed with the connection's secret or another one.
    async fn attempt(&self, delivery: &Delivery, secret: Option<&str>) -> std::io::Result<u16> {
        let _turn = self.gate.acquire().await.map_err(std::io::Error::other)?;
        let route = self.route(&delivery.connection).ok_or_else(|| std::io::Error::other("no such connection"))?;
        let url = delivery.url(&route);
        let (body, id) = (delivery.body.as_slice(), delivery.key.as_str());
        let draft = Draft { method: "POST", url: &url, body, at_ms: sandbox::server::now_ms(), id };
        let scheme = match &delivery.version {
            Some(version) => route.scheme.clone().with_versions(vec![version.clone()]),
            None => route.scheme.clone(),
        };
        let signed = sign(&scheme, &draft, secret.unwrap_or(&route.secret)).map_err(std::io::Error::other)?;
        let headers: Vec<(String, String)> = delivery.headers.iter().cloned().chain(signed.headers).collect();
        post(&url, &headers, signed.body).await.map(|(status, _)| status)
    }

    /// The same webhook without a proof, and with somebody else's.
    pub async fn forge(&self, delivery: &Delivery) {
        let Some(route) = self.route(&delivery.connection) else { return };
        let status = self.ask(&delivery.url(&route), &delivery.headers, delivery.body.clone()).await;
        self.judge(&delivery.connection, "a webhook without a proof", status, 401);
        let other = match &route.scheme {
            // There is one certificate.
            Scheme::Sns(_) => return,
            Scheme::Signed(_) if sign_fails(&route, OTHER) => {
                webhook::ecdsa_pair().map(|(private, _)| private).unwrap_or_default()
            }
            _ => OTHER.to_owned(),
        };
        for _ in 0..TRIES {
            match self.attempt(delivery, Some(&other)).await {
                Ok(status) if status < 500 => {
                    return self.judge(&delivery.connection, "another sender's proof", Some(status), 401);
                }
                _ => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        }
    }

    /// Sends everything that must not get in, and sees that it does not.
    pub async fn knock(&self, connection: &str) {
        let Some(route) = self.route(connection) else { return };
        for (kind, request) in forgeries(&route) {
            let status = match request {
                Ok((url, headers, body)) => self.ask(&url, &headers, body).await,
                Err(_) => continue,
            };
            self.judge(connection, kind, status, if kind == "a body that is too large" { 413 } else { 401 });
        }
        let nowhere = route.url.replace("/hooks/", "/hooks/no-such-");
        let status = self.ask(&nowhere, &[], b"{}".to_vec()).await;
        self.judge(connection, "an unknown path", status, 404);
    }

    fn judge(&self, connection: &str, kind: &str, status: Option<u16>, want: u16) {
        if status == Some(want) {
            return self.note(connection, |seen| seen.rejected += 1);
        }
        let got = status.map_or_else(|| "nothing".to_owned(), |s| s.to_string());
        self.complain(format!("{connection}: {kind} was answered with {got} instead of {want}"));
    }

    /// An answer of the hub: what the front door says while a function is being replaced is none.
    async fn ask(&self, url: &str, headers: &[(String, String)], body: Vec<u8>) -> Option<u16> {
        for _ in 0..TRIES {
            match post(url, headers, body.clone()).await {
                Ok((status, _)) if status < 500 => return Some(status),
                _ => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        }
        None
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

type Forged = Result<(String, Vec<(String, String)>, Vec<u8>), webhook::SignError>;

/// One request of each kind that has to be refused.
fn forgeries(route: &Route) -> Vec<(&'static str, Forged)> {
    const BODY: &[u8] = br#"{"id":"evt_forged","type":"customer.created","form_id":"forged","submission_id":"forged"}"#;
    let now = sandbox::server::now_ms();
    let signed = |secret: &str, at_ms: i64, body: &[u8]| {
        let draft = Draft { method: "POST", url: &route.url, body, at_ms, id: "msg_forged" };
        sign(&route.scheme, &draft, secret).map(|proven| proven.headers)
    };
    let send = |headers: Result<Vec<(String, String)>, _>, body: &[u8]| Ok((route.url.clone(), headers?, body.to_vec()));
    let mut tampered = BODY.to_vec();
    tampered.push(b' ');
    let doubled = signed(&route.secret, now, BODY).map(|headers| {
        headers.iter().cloned().chain(headers.iter().map(|(name, value)| (name.clone(), format!("{value}x")))).collect()
    });
    vec![
        ("another sender's signature", send(signed(OTHER, now, BODY), BODY)),
        ("a tampered body", send(signed(&route.secret, now, BODY), &tampered)),
        ("a signature from an hour ago", send(signed(&route.secret, now - 3_600_000, BODY), BODY)),
        ("a signature from the future", send(signed(&route.secret, now + 3_600_000, BODY), BODY)),
        ("no signature", send(Ok(Vec::new()), BODY)),
        ("two signature headers", send(doubled, BODY)),
        ("a body that is too large", send(Ok(Vec::new()), &vec![b' '; TOO_LARGE])),
    ]
}

fn sign_fails(route: &Route, secret: &str) -> bool {
    let draft = Draft { method: "POST", url: &route.url, body: b"{}", at_ms: 0, id: "" };
    sign(&route.scheme, &draft, secret) == Err(SignError::UnusableSecret)
}

/// When the copies of a webhook arrive, in milliseconds after its time: three in ten come twice, one in ten three times, one in
/// five comes late.
pub fn copies(rng: &mut Rng) -> Vec<u64> {
    let count = match rng.below(10) {
        0..6 => 1,
        6..9 => 2,
        _ => 3,
    };
    let late = if rng.chance(2_000) { 500 + rng.below(3_000) } else { 0 };
    (0..count).map(|n| if n == 0 { late } else { late + rng.below(3_000) }).collect()
}

/// Signs for the current secret of a connection.
pub async fn current_secret(running: &crate::stack::Running, connection: &str) -> Result<Option<String>, CommandError> {
    use sync::ports::Secrets;
    let Some(name) = running.hub.connections.get(connection).and_then(|c| c.signing_secret.clone()) else { return Ok(None) };
    let set = running.ports()?.secret(&name, true).await.map_err(|e| CommandError::Backend(e.to_string()))?;
    Ok(set.current)
}
