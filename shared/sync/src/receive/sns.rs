//! Amazon SNS, the one publisher that `receive` calls back: for the certificate that a message of a configured topic names, and to
//! confirm a subscription.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use providers::http::{HttpRequest, HttpResponse};
use webhook::{Confirmation, HttpReply, Rejection, Sns};

use super::{plain, try_again};
use crate::ports::Http;

/// How many certificates are cached. Amazon has one per region, and a new URL for each renewal.
const MAX_CERTIFICATES: usize = 32;
/// How long `receive` waits for Amazon's answer, in milliseconds. SNS waits 15 s for ours.
const TIMEOUT_MS: u64 = 5_000;

/// The certificates that this process has fetched, by their URL.
#[derive(Debug, Default)]
pub struct CertificateCache(Mutex<BTreeMap<String, String>>);

/// Why a request is not verified.
pub(super) enum Unverified {
    /// Its proof is wrong or missing.
    Refused(Rejection),
    /// What it is verified with cannot be read now: the sender sends it again.
    Unknown,
}

impl From<Rejection> for Unverified {
    fn from(rejection: Rejection) -> Unverified {
        Unverified::Refused(rejection)
    }
}

impl CertificateCache {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The certificate that a message of a configured topic names, as PEM. It is fetched from Amazon's own host only.
    ///
    /// # Errors
    /// The message is not from a configured topic, or the certificate cannot be read now.
    pub(super) async fn certificate<P: Http>(
        &self,
        ports: &P,
        connection: &str,
        sns: &Sns,
        body: &[u8],
    ) -> Result<String, Unverified> {
        let url = webhook::certificate_url(sns, body)?;
        if let Some(certificate) = self.lock().get(&url).cloned() {
            return Ok(certificate);
        }
        let response = get(ports, connection, &url, "an SNS certificate could not be read").await;
        let certificate = response.ok().and_then(|response| String::from_utf8(response.body).ok()).ok_or(Unverified::Unknown)?;
        let mut cached = self.lock();
        if cached.len() >= MAX_CERTIFICATES {
            cached.clear();
        }
        cached.insert(url, certificate.clone());
        Ok(certificate)
    }
}

/// Confirms a subscription of a configured topic, so that SNS sends its messages from then on.
pub(super) async fn confirm<P: Http>(ports: &P, connection: &str, confirmation: &Confirmation) -> HttpReply {
    match get(ports, connection, &confirmation.url, "an SNS subscription could not be confirmed").await {
        Ok(_) => {
            tracing::info!(connection, topic = %confirmation.topic, "an SNS subscription was confirmed");
            plain(200, "ok\n")
        }
        Err(answer) => answer,
    }
}

async fn get<P: Http>(ports: &P, connection: &str, url: &str, error_text: &str) -> Result<HttpResponse, HttpReply> {
    let (url, headers, body) = (url.to_owned(), Vec::new(), Vec::new());
    let request = HttpRequest { method: "GET", url, headers, body, timeout_ms: TIMEOUT_MS };
    match ports.http(request).await {
        Ok(response) if response.status == 200 => Ok(response),
        Ok(response) => {
            tracing::error!(connection, status = response.status, "{error_text}");
            Err(try_again())
        }
        Err(error) => {
            tracing::error!(connection, error = %error, "{error_text}");
            Err(try_again())
        }
    }
}
