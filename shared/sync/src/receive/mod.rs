//! `receive`: the front door. Verifies, stamps, hands over to the queue, answers. Touches no table. Calls nobody, but for Amazon SNS
//! its publisher: for the certificate that a message of a configured topic names, and to confirm a subscription.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use canonical::{BodyRef, Envelope, EnvelopeKind, Lane, QueueName};
use providers::http::{HttpRequest, HttpResponse};
use webhook::{Answer, Confirmation, Headers, RawRequest, Rejection, Reply, Scheme, Sns, Webhook};

use crate::claim_check::serialize_with_body;
use crate::config::Config;
use crate::mutant::{Mutant, mutant};
use crate::ports::{Blob, Clock, Http, Outgoing, PortError, Queue, Secrets};

/// Everything that receive needs of the outside.
pub trait Ports: Queue + Blob + Secrets + Http + Clock {}
impl<T: Queue + Blob + Secrets + Http + Clock> Ports for T {}

/// A request as the front door got it.
#[derive(Debug, Clone)]
pub struct Request {
    /// Upper case.
    pub method: String,
    /// The path, beginning with `/`.
    pub path: String,
    /// The absolute URL as the provider called it, with query.
    pub url: String,
    /// Lower-case names; a repeated header keeps every value.
    pub headers: Headers,
    /// The raw bytes.
    pub body: Vec<u8>,
}

/// The identity of this process, for gap detection: an instance name and a counter; and the certificates that it has fetched.
#[derive(Debug, Default)]
pub struct Instance {
    name: String,
    next: AtomicU64,
    certificates: Mutex<BTreeMap<String, String>>,
}

/// Certificates that are kept. Amazon has one a region, and another URL for each new one.
const CERTIFICATES: usize = 32;
/// How long Amazon's answer is waited for, in milliseconds; SNS waits 15 s for ours.
const SNS_MS: u64 = 5_000;

impl Instance {
    /// A new instance with a random name.
    pub fn new<P: Clock>(ports: &P) -> Instance {
        Instance { name: format!("{:016x}", ports.random()), ..Instance::default() }
    }

    /// The instance's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The next sequence number, from 0.
    pub fn next(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }
}

fn plain(status: u16, text: &str) -> Answer {
    Answer { status, content_type: Some("text/plain"), body: text.as_bytes().to_vec() }
}

/// Handles one request.
pub async fn handle<P: Ports>(ports: &P, config: &Config, instance: &Instance, request: &Request) -> Answer {
    let Some(name) = request.path.strip_prefix("/hooks/") else {
        return match (request.path.as_str(), request.method.as_str()) {
            ("/health", "GET" | "HEAD") => plain(200, "ok\n"),
            ("/health", _) => plain(405, "method not allowed\n"),
            _ => plain(404, "not found\n"),
        };
    };
    let connection = match config.hub().connections.get(name) {
        Some(connection) if connection.source => connection,
        _ => return plain(404, "not found\n"),
    };
    if request.body.len() > config.hub().limits.body_bytes {
        return plain(413, "body too large\n");
    }
    let provider = match config.connection(name) {
        Ok((_, provider)) => provider,
        Err(failure) => {
            tracing::error!(code = %failure.code, detail = %failure.detail, connection = name, "configuration");
            return plain(503, "try again\n");
        }
    };
    let webhook = &provider.manifest().webhook;
    let raw = RawRequest { method: &request.method, url: &request.url, headers: &request.headers, body: &request.body };
    if let Some(answer) = webhook::greet(webhook, &raw) {
        return answer;
    }
    if request.method != "POST" {
        return plain(405, "method not allowed\n");
    }
    match verify(ports, instance, name, connection.signing_secret.as_deref(), webhook, &raw).await {
        // Nothing but proof: no event is in it.
        Ok(Some(Reply::Answer(answer))) => return answer,
        Ok(Some(Reply::Confirm(confirmation))) => return confirm(ports, name, &confirmation).await,
        Ok(None) => {}
        Err(answer) => return answer,
    }
    match enqueue(ports, config, instance, name, connection.lane, request, provider.manifest().envelope_headers()).await {
        Ok(()) => provider.manifest().accepted(),
        Err(error) => {
            tracing::warn!(connection = name, error = %error, "the queue did not take an envelope; asking the provider to send again");
            plain(503, "try again\n")
        }
    }
}

/// Verifies against every active secret; on a mismatch that a rotation could explain, once more with a fresh read. The caller
/// learns nothing but 401.
async fn verify<P: Ports>(
    ports: &P,
    instance: &Instance,
    connection: &str,
    secret: Option<&str>,
    webhook: &Webhook,
    raw: &RawRequest<'_>,
) -> Result<Option<Reply>, Answer> {
    if let (Scheme::Sns(sns), None) = (&webhook.scheme, secret) {
        let certificate = certificate(ports, instance, connection, sns, raw.body).await?;
        return match webhook::verify(&webhook.scheme, *raw, &[certificate.as_str()], ports.now_ms()) {
            Ok(verified) => Ok(webhook::handshake(webhook, &verified)),
            Err(rejection) => Err(refused(connection, &rejection)),
        };
    }
    for fresh in [false, true] {
        let set = match secret {
            Some(name) => ports.secret(name, fresh).await.map_err(|error| {
                tracing::error!(connection, error = %error, "a signing secret cannot be read");
                plain(503, "try again\n")
            })?,
            None => crate::ports::SecretSet::default(),
        };
        let secrets: Vec<&str> = set.active().collect();
        match webhook::verify(&webhook.scheme, *raw, &secrets, ports.now_ms()) {
            Ok(verified) => return Ok(webhook::handshake(webhook, &verified)),
            Err(rejection) if !fresh && rejection.may_be_old_secret() => {}
            Err(rejection) => return Err(refused(connection, &rejection)),
        }
    }
    Err(plain(401, "unauthorized\n"))
}

fn refused(connection: &str, rejection: &Rejection) -> Answer {
    tracing::info!(connection, reason = rejection.code(), "refused");
    plain(401, "unauthorized\n")
}

/// The certificate that a message of a configured topic names, from Amazon's own host, as PEM.
async fn certificate<P: Ports>(
    ports: &P,
    instance: &Instance,
    connection: &str,
    sns: &Sns,
    body: &[u8],
) -> Result<String, Answer> {
    let url = webhook::certificate_url(sns, body).map_err(|rejection| refused(connection, &rejection))?;
    let kept = || instance.certificates.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(certificate) = kept().get(&url).cloned() {
        return Ok(certificate);
    }
    let answer = ask(ports, connection, url.clone(), "a certificate of SNS cannot be read").await?;
    let certificate = String::from_utf8(answer.body).map_err(|_| plain(503, "try again\n"))?;
    let mut all = kept();
    if all.len() >= CERTIFICATES {
        all.clear();
    }
    all.insert(url, certificate.clone());
    Ok(certificate)
}

/// Confirms a subscription of a configured topic: from then on SNS sends its messages here.
async fn confirm<P: Ports>(ports: &P, connection: &str, confirmation: &Confirmation) -> Answer {
    match ask(ports, connection, confirmation.url.clone(), "a subscription of SNS cannot be confirmed").await {
        Ok(_) => {
            tracing::info!(connection, topic = %confirmation.topic, "a subscription is confirmed");
            plain(200, "ok\n")
        }
        Err(answer) => answer,
    }
}

async fn ask<P: Ports>(ports: &P, connection: &str, url: String, what: &str) -> Result<HttpResponse, Answer> {
    let request = HttpRequest { method: "GET", url, headers: Vec::new(), body: Vec::new(), timeout_ms: SNS_MS };
    match ports.http(request).await {
        Ok(response) if response.status == 200 => Ok(response),
        Ok(response) => {
            tracing::error!(connection, status = response.status, "{what}");
            Err(plain(503, "try again\n"))
        }
        Err(error) => {
            tracing::error!(connection, error = %error, "{what}");
            Err(plain(503, "try again\n"))
        }
    }
}

async fn enqueue<P: Queue + Blob + Clock>(
    ports: &P,
    config: &Config,
    instance: &Instance,
    connection: &str,
    lane: Lane,
    request: &Request,
    kept: &[String],
) -> Result<(), PortError> {
    let now = ports.now_ms();
    let id = format!("{:013x}{:016x}", now, ports.random());
    let headers: BTreeMap<String, String> =
        kept.iter().filter_map(|name| Some((name.clone(), request.headers.first(name)?.to_owned()))).collect();
    let trace = format!("{:016x}{:016x}", ports.random(), ports.random());
    let envelope = Envelope {
        id,
        connection: connection.into(),
        kind: EnvelopeKind::Webhook,
        received_at_ms: now,
        instance: instance.name().to_owned(),
        sequence: instance.next(),
        trace,
        target: format!("{} {}", request.method, request.url),
        headers,
        body: BodyRef::Text(String::new()),
    };
    tracing::info!(connection, envelope = %envelope.id, trace = %envelope.trace, bytes = request.body.len(), "accepted");
    let text = serialize_with_body(ports, &config.hub().limits, envelope, &request.body).await?;
    let message = Outgoing { group: Some(connection.to_owned()), ..Outgoing::new(text) };
    if mutant(Mutant::AcknowledgeBeforeEnqueue) {
        // The planted bug: whatever becomes of this, the provider is told that all is well.
        let _ = ports.send(&QueueName::ingest(lane), vec![message]).await;
        return Ok(());
    }
    ports
        .send(&QueueName::ingest(lane), vec![message])
        .await
        .pop()
        .unwrap_or_else(|| Err(PortError::unavailable("the queue gave no answer")))
}
