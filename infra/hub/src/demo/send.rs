//! The senders of the demo. They deliver each webhook until it is accepted, some twice or late, and send requests that the hub must
//! refuse.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use testkit::sim::Rng;
use tokio::sync::Semaphore;
use webhook::{Draft, Scheme, SignError, sign};

use crate::http::post;
use crate::sandboxes::Route;

/// Deliveries at a time.
const AT_ONCE: usize = 16;
/// How often a sender tries. Real providers try for days.
const TRIES: u32 = 60;
/// A secret that no connection has.
const WRONG_SECRET: &str = "d3Jvbmctc2VjcmV0LXdyb25nLXNlY3JldC13cm9uZw==";
/// The hub accepts bodies of up to 6 million bytes.
const TOO_LARGE: usize = 6_000_001;
/// Pause before a refused request is sent again because the hub gave no answer of its own.
const NO_ANSWER: Duration = Duration::from_millis(200);

/// What the senders of one connection counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sent {
    /// Accepted deliveries.
    pub accepted: u64,
    /// Deliveries that were repeated, because they were not accepted.
    pub repeated: u64,
    /// Valid deliveries that the hub refused.
    pub refused: u64,
    /// Forged or broken requests that the hub rejected, as it must.
    pub rejected: u64,
}

/// A webhook to deliver.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// The connection.
    pub connection: String,
    /// The id of the message.
    pub key: String,
    /// The headers, without those of the signature.
    pub headers: Vec<(String, String)>,
    /// The query of its URL.
    pub query: Option<String>,
    /// The body.
    pub body: Vec<u8>,
    /// The version of the signature, where its provider has several.
    pub version: Option<String>,
}

impl Delivery {
    /// A delivery of a JSON body.
    pub fn plain(connection: &str, key: &str, body: &str) -> Delivery {
        let (connection, key) = (connection.to_owned(), key.to_owned());
        Delivery { connection, key, headers: Vec::new(), query: None, body: body.into(), version: None }
    }

    fn url(&self, route: &Route) -> String {
        self.query.as_ref().map_or_else(|| route.url.clone(), |query| format!("{}?{query}", route.url))
    }
}

/// An HTTP request.
struct Request {
    url: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// All senders.
pub struct Senders {
    routes: Mutex<BTreeMap<String, Route>>,
    sent: Mutex<BTreeMap<String, Sent>>,
    faults: Mutex<Vec<String>>,
    gate: Semaphore,
}

impl Senders {
    /// Senders for these connections.
    pub fn new(routes: BTreeMap<String, Route>) -> Senders {
        let (sent, faults) = (Mutex::default(), Mutex::default());
        Senders { routes: Mutex::new(routes), sent, faults, gate: Semaphore::new(AT_ONCE) }
    }

    fn route(&self, connection: &str) -> Option<Route> {
        lock(&self.routes).get(connection).cloned()
    }

    /// Changes the secret with which the connection's sender signs.
    pub fn use_secret(&self, connection: &str, secret: &str) {
        if let Some(route) = lock(&self.routes).get_mut(connection) {
            secret.clone_into(&mut route.secret);
        }
    }

    /// The counts by connection.
    pub fn sent(&self) -> BTreeMap<String, Sent> {
        lock(&self.sent).clone()
    }

    /// The faults so far.
    pub fn faults(&self) -> Vec<String> {
        lock(&self.faults).clone()
    }

    fn count(&self, connection: &str, change: impl FnOnce(&mut Sent)) {
        change(lock(&self.sent).entry(connection.to_owned()).or_default());
    }

    /// Adds a fault, which makes the demo fail.
    pub fn report(&self, fault: String) {
        lock(&self.faults).push(fault);
    }

    /// Delivers a webhook until it is accepted.
    pub async fn deliver(&self, delivery: &Delivery) {
        let connection = &delivery.connection;
        for attempt in 0..TRIES {
            match self.attempt(delivery, None).await {
                Ok(status) if (200..300).contains(&status) => return self.count(connection, |sent| sent.accepted += 1),
                Ok(status) if (400..500).contains(&status) => self.count(connection, |sent| sent.refused += 1),
                Ok(_) | Err(_) => {}
            }
            self.count(connection, |sent| sent.repeated += 1);
            tokio::time::sleep(Duration::from_millis(100 << attempt.min(4))).await;
        }
        self.report(format!("{connection}: `{}` was never accepted", delivery.key));
    }

    /// Sends a webhook once, signed with this secret or with the connection's own.
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

    /// Sends a webhook without a signature, and with another sender's. The hub must refuse both.
    pub async fn send_unproven(&self, delivery: &Delivery) {
        let Some(route) = self.route(&delivery.connection) else { return };
        let unsigned = Request { url: delivery.url(&route), headers: delivery.headers.clone(), body: delivery.body.clone() };
        let status = self.send(&unsigned).await;
        self.check(&delivery.connection, "a webhook without a signature", status, 401);
        let other = match &route.scheme {
            // This machine has one certificate only.
            Scheme::Sns(_) => return,
            Scheme::Signed(_) if !accepts_secret(&route, WRONG_SECRET) => {
                webhook::ecdsa_pair().map(|(private, _)| private).unwrap_or_default()
            }
            _ => WRONG_SECRET.to_owned(),
        };
        for _ in 0..TRIES {
            match self.attempt(delivery, Some(&other)).await {
                Ok(status) if status < 500 => {
                    return self.check(&delivery.connection, "another sender's signature", Some(status), 401);
                }
                _ => tokio::time::sleep(NO_ANSWER).await,
            }
        }
    }

    /// Sends one request of each kind that the hub must refuse.
    pub async fn send_forged(&self, connection: &str) {
        let Some(route) = self.route(connection) else { return };
        for (kind, request) in forgeries(&route) {
            let Ok(request) = request else { continue };
            let status = self.send(&request).await;
            self.check(connection, kind, status, if kind == "a body that is too large" { 413 } else { 401 });
        }
        let url = route.url.replace("/hooks/", "/hooks/no-such-");
        let status = self.send(&Request { url, headers: Vec::new(), body: b"{}".to_vec() }).await;
        self.check(connection, "an unknown path", status, 404);
    }

    fn check(&self, connection: &str, kind: &str, status: Option<u16>, expected: u16) {
        if status == Some(expected) {
            return self.count(connection, |sent| sent.rejected += 1);
        }
        let got = status.map_or_else(|| "not answered".to_owned(), |status| format!("answered with {status}"));
        self.report(format!("{connection}: {kind} was {got}, expected {expected}"));
    }

    /// Sends a request until the hub answers it. A 5xx comes from the function URL while a function is replaced, not from the hub.
    async fn send(&self, request: &Request) -> Option<u16> {
        for _ in 0..TRIES {
            match post(&request.url, &request.headers, request.body.clone()).await {
                Ok((status, _)) if status < 500 => return Some(status),
                _ => tokio::time::sleep(NO_ANSWER).await,
            }
        }
        None
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One request of each kind that the hub must refuse. A scheme without signatures cannot make some of them.
fn forgeries(route: &Route) -> Vec<(&'static str, Result<Request, SignError>)> {
    const BODY: &[u8] = br#"{"id":"evt_forged","type":"customer.created","form_id":"forged","submission_id":"forged"}"#;
    let now = sandbox::server::now_ms();
    let signed = |secret: &str, at_ms: i64, body: &[u8]| {
        let draft = Draft { method: "POST", url: &route.url, body, at_ms, id: "msg_forged" };
        sign(&route.scheme, &draft, secret).map(|proven| proven.headers)
    };
    let request = |headers: Result<Vec<(String, String)>, _>, body: &[u8]| {
        Ok(Request { url: route.url.clone(), headers: headers?, body: body.to_vec() })
    };
    let mut tampered = BODY.to_vec();
    tampered.push(b' ');
    let doubled = signed(&route.secret, now, BODY).map(|headers| {
        headers.iter().cloned().chain(headers.iter().map(|(name, value)| (name.clone(), format!("{value}x")))).collect()
    });
    vec![
        ("another sender's signature", request(signed(WRONG_SECRET, now, BODY), BODY)),
        ("a tampered body", request(signed(&route.secret, now, BODY), &tampered)),
        ("a signature from an hour ago", request(signed(&route.secret, now - 3_600_000, BODY), BODY)),
        ("a signature from the future", request(signed(&route.secret, now + 3_600_000, BODY), BODY)),
        ("no signature", request(Ok(Vec::new()), BODY)),
        ("two signature headers", request(doubled, BODY)),
        ("a body that is too large", request(Ok(Vec::new()), &vec![b' '; TOO_LARGE])),
    ]
}

/// Whether the scheme can sign with this secret.
fn accepts_secret(route: &Route, secret: &str) -> bool {
    let draft = Draft { method: "POST", url: &route.url, body: b"{}", at_ms: 0, id: "" };
    sign(&route.scheme, &draft, secret) != Err(SignError::UnusableSecret)
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
