//! `receive`: the front door. It verifies a request, puts an envelope on an ingest queue, and answers. It touches no table.
//!
//! What reaches the queue is made from a [`VerifiedRequest`], which only [`webhook::verify()`] can make.

mod refusals;
mod sns;

use providers::Provider;
use webhook::{HandshakeAction, Headers, HttpReply, RawRequest, Rejection, Scheme, VerifiedRequest, Webhook};

use crate::batch::Metric;
use crate::config::{Config, Connection};
use crate::envelope::IngestMessage;
use crate::mutant::{Mutant, mutant};
use crate::outbox;
use crate::ports::{Blob, Clock, Http, PortError, Queue, SecretSet, Secrets};

use refusals::Refusals;
use sns::{CertificateCache, Unverified};

/// The ports that `receive` needs.
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

/// What one process of `receive` remembers between requests.
#[derive(Debug, Default)]
pub struct Process {
    certificates: CertificateCache,
    /// What it has refused.
    pub refusals: Refusals,
}

/// What one request is handled with.
struct Receive<'a, P> {
    ports: &'a P,
    config: &'a Config,
    process: &'a Process,
}

/// The connection that a request is for.
struct Source<'a> {
    name: &'a str,
    connection: &'a Connection,
    provider: &'a Provider,
}

fn plain(status: u16, text: &str) -> HttpReply {
    HttpReply { status, content_type: Some("text/plain"), body: text.as_bytes().to_vec() }
}

/// The answer when something of ours fails: the provider sends the same request again later.
fn try_again() -> HttpReply {
    plain(503, "try again\n")
}

/// The measurement of an answered request: a POST to a source's URL was accepted or refused. Other paths are not measured, because
/// strangers choose them.
pub fn measure(config: &Config, request: &Request, answer: &HttpReply) -> Option<Metric> {
    let name = request.path.strip_prefix("/hooks/").filter(|_| request.method == "POST")?;
    config.hub().connections.get(name).filter(|connection| connection.source)?;
    match answer.status {
        200..=299 => Some(Metric::of_connection("accepted", 1.0, name)),
        400..=499 => Some(Metric::of_connection("refused", 1.0, name)),
        _ => None,
    }
}

/// Handles one request.
pub async fn handle<P: Ports>(ports: &P, config: &Config, process: &Process, request: &Request) -> HttpReply {
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
        process.refusals.count(name, "body-size");
        return plain(413, "body too large\n");
    }
    let provider = match config.connection(name) {
        Ok((_, provider)) => provider,
        Err(failure) => {
            tracing::error!(code = %failure.code, detail = %failure.chain(), connection = name, "the configuration cannot be used");
            return try_again();
        }
    };
    let receive = Receive { ports, config, process };
    receive.handle_webhook(&Source { name, connection, provider: &provider }, request).await
}

impl<P: Ports> Receive<'_, P> {
    async fn handle_webhook(&self, source: &Source<'_>, request: &Request) -> HttpReply {
        let webhook = &source.provider.manifest().webhook;
        let raw = RawRequest { method: &request.method, url: &request.url, headers: &request.headers, body: &request.body };
        if let Some(answer) = webhook::answer_unsigned(webhook, &raw) {
            return answer;
        }
        if request.method != "POST" {
            return plain(405, "method not allowed\n");
        }
        let verified = match self.verify(source, webhook, raw).await {
            Ok(verified) => verified,
            Err(Unverified::Refused(rejection)) => return self.refuse(source, &rejection),
            Err(Unverified::Unknown) => return try_again(),
        };
        match webhook::answer_signed(webhook, &verified) {
            Some(HandshakeAction::Reply(answer)) => return answer,
            Some(HandshakeAction::Confirm(confirmation)) => return sns::confirm(self.ports, source.name, &confirmation).await,
            None => {}
        }
        match self.enqueue(source, &verified).await {
            Ok(()) => source.provider.manifest().accepted(),
            Err(error) => {
                tracing::warn!(connection = source.name, error = %error, "the queue did not accept an envelope: the provider must send it again");
                try_again()
            }
        }
    }

    /// Verifies a request against every active secret. On a mismatch that a rotation could explain, the secret is read anew once.
    ///
    /// # Errors
    /// The request is refused, or what it is verified with cannot be read.
    async fn verify<'r>(
        &self,
        source: &Source<'_>,
        webhook: &Webhook,
        raw: RawRequest<'r>,
    ) -> Result<VerifiedRequest<'r>, Unverified> {
        let secret = source.connection.signing_secret.as_deref();
        if let (Scheme::Sns(sns), None) = (&webhook.scheme, secret) {
            let certificate = self.process.certificates.certificate(self.ports, source.name, sns, raw.body).await?;
            return Ok(webhook::verify(&webhook.scheme, raw, &[certificate.as_str()], self.ports.now_ms())?);
        }
        let verify_with = |set: &SecretSet| {
            let active: Vec<&str> = set.active().collect();
            webhook::verify(&webhook.scheme, raw, &active, self.ports.now_ms())
        };
        let mut result = verify_with(&self.read_secret(source.name, secret, false).await?);
        if result.as_ref().is_err_and(Rejection::may_be_old_secret) {
            result = verify_with(&self.read_secret(source.name, secret, true).await?);
        }
        Ok(result?)
    }

    /// The answer to a request that is not accepted. The sender learns nothing but 401; the log and the count have the reason.
    fn refuse(&self, source: &Source<'_>, rejection: &Rejection) -> HttpReply {
        tracing::info!(connection = source.name, reason = rejection.code(), "refused");
        self.process.refusals.count(source.name, rejection.code());
        plain(401, "unauthorized\n")
    }

    /// Reads a signing secret. A connection without one has no active values, so that no request is accepted.
    async fn read_secret(&self, connection: &str, secret: Option<&str>, fresh: bool) -> Result<SecretSet, Unverified> {
        let Some(name) = secret else { return Ok(SecretSet::default()) };
        self.ports.secret(name, fresh).await.map_err(|error| {
            tracing::error!(connection, error = %error, "a signing secret cannot be read");
            Unverified::Unknown
        })
    }

    async fn enqueue(&self, source: &Source<'_>, request: &VerifiedRequest<'_>) -> Result<(), PortError> {
        let (limits, headers) = (&self.config.hub().limits, source.provider.manifest().envelope_headers());
        let envelope = IngestMessage::from_webhook(self.ports, limits, source.name, request, headers).await?;
        tracing::info!(
            connection = source.name,
            envelope = envelope.id(),
            trace = envelope.trace(),
            bytes = request.body().len(),
            "accepted"
        );
        let sent = outbox::send_envelopes(self.ports, source.connection.lane, vec![envelope]).await;
        // The planted bug: the provider gets a success even if the queue did not accept the envelope.
        if mutant(Mutant::AcknowledgeBeforeEnqueue) { Ok(()) } else { sent }
    }
}
