//! Refreshing the access token of one connection.
//!
//! Under the lease: finish what a killed refresher left, go to the token endpoint with the refresh token that is stored, store the new
//! pair as pending, make it current if the secret has not changed since. So nobody can use a token that is not stored, and a lost
//! answer is followed by the same refresh token again.

use std::sync::Arc;

use providers::{Auth, Grant, Provider};

use super::exchange::{Answer, Exchange, TIMEOUT_MS};
use super::lease::{Course, Lease};
use super::{Ports, announce};
use crate::batch::{Invocation, MARGIN_MS, Metric};
use crate::config::Connection;
use crate::credential::Credential;
use crate::failure::{Code, Failure};
use crate::mutant::{Mutant, mutant};
use crate::pause::{is_paused_for, pause_until_connected};
use crate::ports::HttpError;

/// The time between two runs of the schedule, in milliseconds: what ends before the next one is due now.
const PERIOD_MS: i64 = 300_000;
/// How often a token endpoint is tried in one invocation.
const TRIES: usize = 3;
/// The wait between two of these tries, in milliseconds.
const BETWEEN_MS: u64 = 2_000;
/// How long before the end of a lease the last call may end, in milliseconds: clocks differ, and a request may be held up.
const LEASE_MARGIN_MS: i64 = 20_000;
/// How often a call to Secrets Manager is tried: a pair that is lost may be the end of the grant.
const STORE_TRIES: u32 = 6;
/// How many tokens in a row may be refused although they are new.
const MOST_REFUSALS: i64 = 3;

const CURRENT: &str = "AWSCURRENT";
const PENDING: &str = "AWSPENDING";

/// Why a token is refreshed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason<'a> {
    /// The schedule looks whether it is near its end.
    Schedule,
    /// A worker found the token of this version of the secret near its end.
    NearEnd(&'a str),
    /// The provider refused the token of this version.
    Refused(&'a str),
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refreshed {
    /// Nothing refreshes the credential, or its token is good for a while.
    NotDue,
    /// Another worker refreshes it, or the wait after a failure is not over.
    Busy,
    /// The secret has changed since the request.
    Newer,
    /// A new pair is stored.
    Stored,
    /// Only a person can renew the credentials: the connection is paused.
    Refused,
    /// The token endpoint gave no token. True when the one that is stored is no longer good.
    Failed {
        /// Whether the token that is stored is over.
        over: bool,
    },
}

impl Refreshed {
    /// The measurements of a look at a connection's credentials.
    pub(super) fn metrics(self, connection: &str) -> Vec<Metric> {
        let bad = matches!(self, Refreshed::Refused | Refreshed::Failed { over: true });
        vec![Metric::of_connection("credentials_refused", f64::from(u8::from(bad)), connection)]
    }
}

/// A credential with the version of the secret that holds it.
struct Stored {
    version: String,
    credential: Credential,
}

/// Refreshes one connection.
pub(super) struct Refresher<'a, P> {
    invocation: Invocation<'a, P>,
    name: &'a str,
    connection: &'a Connection,
    provider: Arc<Provider>,
    secret: String,
}

impl<'a, P: Ports> Refresher<'a, P> {
    /// `None` for a connection without an API secret.
    pub(super) fn open(invocation: Invocation<'a, P>, name: &'a str) -> Result<Option<Self>, Failure> {
        let (connection, provider) = invocation.config.connection(name)?;
        let Some(secret) = &connection.api_secret else { return Ok(None) };
        let secret = invocation.ports.secret_name(secret);
        Ok(Some(Refresher { invocation, name, connection, provider, secret }))
    }

    fn ports(&self) -> &'a P {
        self.invocation.ports
    }

    fn form<'c>(&'c self, credential: &Credential) -> Option<(&'c Auth, Grant)> {
        credential.refreshed_by(&self.provider.manifest().api.auth)
    }

    pub(super) async fn run(&self, reason: Reason<'_>) -> Result<Refreshed, Failure> {
        let Some(stored) = self.current().await? else { return Ok(Refreshed::NotDue) };
        if is_paused_for(self.ports(), self.name, &stored.version).await? {
            return Ok(Refreshed::Refused);
        }
        if let Some(left) = self.not_due(&stored, reason) {
            return Ok(left);
        }
        let Some(lease) = Lease::take(self.ports(), self.name).await? else { return Ok(Refreshed::Busy) };
        let result = self.under_lease(&lease, reason).await;
        let course = match &result {
            Ok((Refreshed::Stored, _)) => Course::Stored { refused: matches!(reason, Reason::Refused(_)) },
            Ok((Refreshed::Failed { .. }, after_ms)) => Course::Failed(*after_ms),
            Ok(_) => Course::Nothing,
            Err(_) => Course::Failed(0),
        };
        lease.release(self.ports(), course).await?;
        result.map(|(refreshed, _)| refreshed)
    }

    /// Announces the end of the grant, if there is one.
    pub(super) async fn announce(&self) -> Result<Option<Metric>, Failure> {
        let Some(stored) = self.current().await? else { return Ok(None) };
        let Some((auth, _)) = self.form(&stored.credential) else { return Ok(None) };
        announce::grant_end(self.ports(), (self.name, self.connection), &stored.credential, auth).await
    }

    /// What is to be reported where nothing is to be refreshed.
    fn not_due(&self, stored: &Stored, reason: Reason<'_>) -> Option<Refreshed> {
        let Some((auth, _)) = self.form(&stored.credential) else { return Some(Refreshed::NotDue) };
        match reason {
            Reason::NearEnd(version) | Reason::Refused(version) => (stored.version != version).then_some(Refreshed::Newer),
            Reason::Schedule => {
                let ahead_ms = i64::from(auth.refresh_ahead_s) * 1_000 + PERIOD_MS;
                let now_ms = self.ports().now_ms();
                let over = match stored.credential.left_ms(auth, now_ms) {
                    Some(left_ms) => left_ms <= ahead_ms,
                    // Nobody knows how old the token is. A new one has a known age.
                    None => auth.lifetime_s.is_some(),
                };
                let due = over || stored.credential.refresh_by.is_some_and(|by_ms| by_ms <= now_ms + PERIOD_MS);
                (!due).then_some(Refreshed::NotDue)
            }
        }
    }

    async fn under_lease(&self, lease: &Lease, reason: Reason<'_>) -> Result<(Refreshed, u64), Failure> {
        let Some(mut stored) = self.current().await? else { return Ok((Refreshed::NotDue, 0)) };
        if let Some(pending) = self.left_behind(&stored).await? {
            tracing::warn!(connection = self.name, "a refresh that broke off is finished");
            if !self.promote(&pending, &stored.version).await? {
                return Ok((Refreshed::Newer, 0));
            }
            let Some(newer) = self.current().await? else { return Ok((Refreshed::NotDue, 0)) };
            stored = newer;
        }
        if let Some(left) = self.not_due(&stored, reason) {
            return Ok((left, 0));
        }
        let Some((auth, grant)) = self.form(&stored.credential) else { return Ok((Refreshed::NotDue, 0)) };
        if matches!(reason, Reason::Refused(_)) && lease.refusals >= MOST_REFUSALS {
            let why = format!("it refused {MOST_REFUSALS} new access tokens in a row: they are not refused because of their age");
            return Ok((self.refused(&stored, &why).await?, 0));
        }
        match self.exchange(lease, auth, grant, &stored.credential).await {
            Answer::Granted(pair) => Ok((self.store(*pair, &stored.version).await?, 0)),
            Answer::Refused(code) => Ok((self.grant_refused(&stored, lease, &code).await?, 0)),
            Answer::Unavailable { reason, after_ms } => {
                let over = stored.credential.left_ms(auth, self.ports().now_ms()).is_some_and(|left| left <= 0);
                let failures = lease.failures + 1;
                tracing::warn!(connection = self.name, detail = reason, failures, over, "no new access token: it is tried again");
                Ok((Refreshed::Failed { over }, after_ms.unwrap_or(0)))
            }
        }
    }

    /// The current version, read so that version and value belong together.
    async fn current(&self) -> Result<Option<Stored>, Failure> {
        let Some(version) = self.ports().current_version(&self.secret).await? else { return Ok(None) };
        let value = self.ports().version_value(&self.secret, Some(&version), CURRENT).await?;
        Ok(value.as_deref().and_then(Credential::parse).map(|credential| Stored { version, credential }))
    }

    /// The version of a pair that was stored from the current one and never made current.
    async fn left_behind(&self, stored: &Stored) -> Result<Option<String>, Failure> {
        let Some(value) = self.ports().version_value(&self.secret, None, PENDING).await? else { return Ok(None) };
        let pending = Credential::parse(&value).filter(|pending| pending.replaces.as_ref() == Some(&stored.version));
        Ok(pending.and_then(|pending| pending.made_as))
    }

    /// Goes to the token endpoint, several times if its answer is lost: always with the refresh token that is stored.
    async fn exchange(&self, lease: &Lease, auth: &Auth, grant: Grant, credential: &Credential) -> Answer {
        let variables = self.connection.auth_variables();
        let (token_url, audience) = (variables.fill(&auth.token_url), variables.fill(&auth.audience));
        let mut exchange = Exchange { auth, grant, credential, token_url, audience, repeated: lease.failures > 0 };
        let mut last = Answer::Unavailable { reason: "there was no time left for a call".to_owned(), after_ms: None };
        for attempt in 0..TRIES {
            if attempt > 0 {
                self.ports().sleep(BETWEEN_MS).await;
            }
            let began_ms = self.ports().now_ms();
            let call_ends_ms = began_ms + i64::try_from(TIMEOUT_MS).unwrap_or(i64::MAX);
            if call_ends_ms + LEASE_MARGIN_MS > lease.until_ms || call_ends_ms + MARGIN_MS > self.invocation.deadline_ms {
                return last;
            }
            let request = match exchange.request(began_ms) {
                Ok(request) => request,
                Err(reason) => return Answer::Refused(reason),
            };
            last = match self.ports().http(request).await {
                Ok(response) => exchange.parse(&response, began_ms),
                Err(HttpError::NotSent(reason)) => Answer::Unavailable { reason, after_ms: None },
                Err(HttpError::Unknown(reason)) => {
                    exchange.repeated = true;
                    Answer::Unavailable { reason, after_ms: None }
                }
            };
            if !matches!(last, Answer::Unavailable { after_ms: None, .. }) {
                return last;
            }
        }
        last
    }

    /// Stores a pair, first as pending, and makes it current if the secret still has the version from which the pair was made.
    async fn store(&self, pair: Credential, from: &str) -> Result<Refreshed, Failure> {
        let mut id = [0; 16];
        self.ports().fill_secret(&mut id);
        let version = hex::encode(id);
        let pair = Credential { replaces: Some(from.to_owned()), made_as: Some(version.clone()), ..pair };
        announce::instance(self.name, self.connection, &pair);
        let value = pair.to_secret();
        for attempt in 1.. {
            match self.ports().put_pending(&self.secret, &version, &value).await {
                Ok(()) => break,
                Err(error) if attempt >= STORE_TRIES => return Err(error.into()),
                Err(_) => self.ports().sleep(100 << attempt).await,
            }
        }
        if self.promote(&version, from).await? {
            tracing::info!(connection = self.name, expires_at = pair.expires_at, "a new access token is stored");
            return Ok(Refreshed::Stored);
        }
        tracing::warn!(connection = self.name, "the secret has changed during the refresh: what it holds now counts");
        Ok(Refreshed::Newer)
    }

    /// Makes a version current. False when the secret has another one than `from` by now.
    async fn promote(&self, version: &str, from: &str) -> Result<bool, Failure> {
        for attempt in 1.. {
            let overwritten =
                if mutant(Mutant::StalledRefreshOverwrites) { self.ports().current_version(&self.secret).await? } else { None };
            let from = overwritten.as_deref().unwrap_or(from);
            let Err(error) = self.ports().promote(&self.secret, version, Some(from)).await else { return Ok(true) };
            match self.ports().current_version(&self.secret).await {
                // The answer to an earlier try was lost.
                Ok(Some(current)) if current == version => return Ok(true),
                Ok(Some(current)) if current != from => return Ok(false),
                _ if attempt >= STORE_TRIES => return Err(error.into()),
                _ => self.ports().sleep(100 << attempt).await,
            }
        }
        Ok(false)
    }

    /// The token endpoint refuses the grant. If the secret has changed since it was read, that refusal is about an old token.
    async fn grant_refused(&self, stored: &Stored, lease: &Lease, code: &str) -> Result<Refreshed, Failure> {
        if self.ports().current_version(&self.secret).await?.as_deref() != Some(stored.version.as_str()) {
            return Ok(Refreshed::Newer);
        }
        let lost = if lease.failures > 0 { ", after an answer of it was lost" } else { "" };
        let shared = "if it was good before, another environment may use the same grant";
        self.refused(stored, &format!("the token endpoint refuses the grant with `{code}`{lost}; {shared}")).await
    }

    /// Pauses the connection until a person connects it again.
    async fn refused(&self, stored: &Stored, why: &str) -> Result<Refreshed, Failure> {
        let (name, owner) = (self.name, self.connection.owner.as_str());
        let reason = format!("{why}; run `hub connect {name}`");
        if pause_until_connected(self.ports(), name, &reason, &stored.version).await? {
            tracing::error!(
                connection = name,
                owner,
                code = %Code::ProviderAuth,
                detail = reason,
                alert = true,
                "the credentials of a connection must be renewed by a person: it is paused"
            );
        }
        Ok(Refreshed::Refused)
    }
}
