//! The client of one provider's API: the only place from which the hub calls a provider.
//!
//! It reads the credential, takes tokens of the rate buckets, sends the request, and sorts what comes back. An access token that is
//! refused or near its end is read anew once. If the secret holds no newer one, `rotate` is requested to get one, and the work
//! waits; where nothing can refresh it, what the refusal concerns is paused. Properties that the account does not let be read are left
//! out. A caller learns whether a failed call surely had no effect.

mod reads;

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use canonical::RefreshRequest;
use providers::Provider;
use providers::api::{Api, CallFailure, FailureKind, Fault, RowFailure, Target, Usage};
use providers::http::{HttpRequest, HttpResponse};

use crate::batch::{MARGIN_MS, check_deadline};
use crate::config::{Config, Connection};
use crate::credential::{Credential, NEAR_END_MS};
use crate::failure::{Cause, Class, Code, Failure, Stage};
use crate::mutant::{Mutant, mutant};
use crate::pause::pause_for;
use crate::ports::{Clock, Http, HttpError, Queue, Secrets, Store};
use crate::quarantine::{PropertyOf, PropertyUse, RefusedProperties};
use crate::rate_limit::{take_tokens, warn_if_nearly_used};
use crate::refresh_request::{request_refresh, token_pending};

pub use reads::{ReadById, Reads};

/// The longest that a call waits for the tokens of its buckets, in milliseconds, where the invocation has the time.
const LONGEST_BUCKET_WAIT_MS: u64 = 30_000;

/// Why a call brought no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallError {
    /// The call surely had no effect.
    NotSent(Failure),
    /// The call may have had an effect, or may still have one.
    Unknown(Failure),
}

impl CallError {
    /// The error with the stage of its failure.
    #[must_use]
    pub fn at(self, stage: Stage) -> CallError {
        match self {
            CallError::NotSent(failure) => CallError::NotSent(failure.at(stage)),
            CallError::Unknown(failure) => CallError::Unknown(failure.at(stage)),
        }
    }

    /// The provider's refusal, where it answered and nothing was written.
    pub fn refusal(&self) -> Option<&CallFailure> {
        match self {
            CallError::NotSent(failure) => failure.refusal(),
            CallError::Unknown(_) => None,
        }
    }

    /// The failure, for callers to whom the effect does not matter because they only read.
    pub fn into_failure(self) -> Failure {
        match self {
            CallError::NotSent(failure) | CallError::Unknown(failure) => failure,
        }
    }
}

/// One connection's API, opened for an invocation.
pub struct Client<'a, P> {
    ports: &'a P,
    name: &'a str,
    connection: &'a Connection,
    provider: Arc<Provider>,
    deadline_ms: i64,
    config: &'a Config,
    calls: Cell<u32>,
    usage: Cell<Option<Usage>>,
    refused: RefCell<Option<RefusedProperties>>,
}

/// A credential as it was read.
struct Held {
    credential: Credential,
    /// The version of the secret that held it.
    version: Option<String>,
    /// True when `rotate` can get a new access token.
    refreshable: bool,
}

/// Turns a provider's failure into one of ours.
pub fn classify(connection: &str, failure: &RowFailure) -> Failure {
    let (code, what) = match failure.kind {
        FailureKind::Transient => (Code::ProviderUnavailable, "is temporarily unavailable"),
        FailureKind::CursorExpired => (Code::ProviderUnavailable, "no longer accepts a cursor"),
        FailureKind::Throttled { .. } => (Code::RateLimited, "asks to wait"),
        FailureKind::Locked => (Code::ProviderLocked, "has locked the record"),
        FailureKind::Auth => (Code::ProviderAuth, "refuses the credentials"),
        FailureKind::Denied => (Code::ProviderDenied, "does not permit the use of the object type"),
        FailureKind::LimitReached => (Code::ProviderLimit, "has reached a limit of the account"),
        FailureKind::Blocked => (Code::ProviderBlocked, "did not get the request: something in front of it refuses its content"),
        FailureKind::NotFound => (Code::ProviderRejected, "does not have the object"),
        FailureKind::Rejected | FailureKind::DuplicateKey => (Code::ProviderRejected, "refuses the record or the call"),
        FailureKind::Similar => (Code::ProviderAmbiguous, "has objects that it finds too similar"),
        FailureKind::Ambiguous => (Code::ProviderAmbiguous, "has several objects where there must be one"),
    };
    let detail = format!("`{connection}` {what}");
    let classified = match failure.kind {
        FailureKind::Throttled { after_ms } => Failure::throttled(code, after_ms, detail),
        _ => Failure::new(code, detail),
    };
    classified.caused_by(Cause::Provider(failure.clone()))
}

impl<'a, P: Store + Queue + Secrets + Http + Clock> Client<'a, P> {
    /// Opens a connection's API. Makes no call.
    pub fn open(ports: &'a P, config: &'a Config, name: &'a str, deadline_ms: i64) -> Result<Self, Failure> {
        let (connection, provider) = config.connection(name)?;
        let (calls, usage, refused) = (Cell::new(0), Cell::new(None), RefCell::new(None));
        Ok(Client { ports, name, connection, provider, deadline_ms, config, calls, usage, refused })
    }

    /// The connection's settings.
    pub fn connection(&self) -> &'a Connection {
        self.connection
    }

    /// The provider.
    pub fn provider(&self) -> &Arc<Provider> {
        &self.provider
    }

    /// The provider's protocol for batches, lists and writes, if it has one.
    pub fn api(&self) -> Option<&'static dyn Api> {
        providers::api_of(&self.connection.provider)
    }

    /// The provider's protocol, where nothing can be done without one.
    pub fn require_api(&self) -> Result<&'static dyn Api, Failure> {
        let provider = &self.connection.provider;
        self.api().ok_or_else(|| Failure::new(Code::CannotFetch, format!("`{provider}` has no protocol for batches and lists")))
    }

    /// How long one call may take, in milliseconds.
    pub fn timeout_ms(&self) -> u64 {
        self.provider.manifest().call_timeout_ms()
    }

    /// The number of calls made by this invocation.
    pub fn calls_made(&self) -> u32 {
        self.calls.get()
    }

    /// What the provider last reported about the calls that are left.
    pub fn usage(&self) -> Option<Usage> {
        self.usage.get()
    }

    /// Makes one call about a native object: `build` makes the request, `read` understands the answer. `build` gives `None` where
    /// the provider has no such call.
    ///
    /// The deadline is checked just before the request leaves, so that its effects end before a lease of this invocation does.
    pub async fn call<T>(
        &self,
        object: &str,
        build: impl Fn(&Target) -> Option<HttpRequest>,
        read: impl Fn(&Target, &HttpResponse) -> Result<T, CallFailure>,
    ) -> Result<T, CallError> {
        let not_sent = CallError::NotSent;
        let mut refused: Option<(CallFailure, Held)> = None;
        for fresh in [false, true] {
            let Some(held) = self.usable(fresh).await.map_err(not_sent)? else { continue };
            if refused.as_ref().is_some_and(|(failure, before)| is_in_vain(failure, before, &held)) {
                break;
            }
            let target = self.target(object, held.credential.access_token.clone());
            let mut request = build(&target).ok_or_else(|| not_sent(self.no_such_call(object)))?;
            held.credential.show(&self.provider.manifest().api.auth, &self.connection.account, &mut request);
            let response = self.send_request(request).await?;
            match read(&target, &response) {
                Ok(value) => return Ok(value),
                Err(failure) if matches!(failure.kind, FailureKind::Auth | FailureKind::Denied) => {
                    refused = Some((failure, held))
                }
                Err(failure) => return Err(self.call_error(object, &failure, None).await),
            }
        }
        if let Some((failure, held)) = refused {
            return Err(self.call_error(object, &failure, Some(&held)).await);
        }
        let detail = format!("the secret `{}` of `{}` holds no access token", self.secret_name().map_err(not_sent)?, self.name);
        Err(not_sent(Failure::new(Code::ProviderAuth, detail)))
    }

    /// Pauses what the refusal of a row concerns, where it concerns more than a record.
    ///
    /// # Errors
    /// The store fails, or the refusal only means that a new access token is needed: the failure says how long to wait for it.
    pub async fn pause_for(&self, object: &str, refusal: &RowFailure) -> Result<(), Failure> {
        let held = if refusal.kind == FailureKind::Auth { self.held(true).await?.map(|(held, _)| held) } else { None };
        self.pause_or_wait(object, refusal, held.as_ref()).await
    }

    /// Makes sure that the properties which the connection refuses are known.
    pub async fn load_refused(&self) -> Result<(), Failure> {
        if self.refused.borrow().is_none() {
            let refused = RefusedProperties::load(self.ports, self.name, self.config.hub().generation).await?;
            self.refused.borrow_mut().get_or_insert(refused);
        }
        Ok(())
    }

    /// The properties that the connection refuses, as far as they are loaded.
    pub fn refused(&self) -> RefusedProperties {
        self.refused.borrow().clone().unwrap_or_default()
    }

    /// Remembers that the connection refuses a property in every record.
    pub async fn note_refused(&self, object: &str, property_use: PropertyUse, fault: &Fault) -> Result<(), Failure> {
        self.load_refused().await?;
        let generation = self.config.hub().generation;
        let about = PropertyOf { connection: self.name, native: object, property_use, generation };
        let mut refused = self.refused();
        refused.note(self.ports, &about, fault).await?;
        self.refused.replace(Some(refused));
        Ok(())
    }

    fn secret_name(&self) -> Result<&'a str, Failure> {
        let missing = || Failure::new(Code::CannotFetch, format!("`{}` has no `api_secret` to call its API with", self.name));
        self.connection.api_secret.as_deref().ok_or_else(missing)
    }

    /// The credential of the secret, and how long its access token is still good, in milliseconds, where that is known.
    async fn held(&self, fresh: bool) -> Result<Option<(Held, Option<i64>)>, Failure> {
        let set = self.ports.secret(self.secret_name()?, fresh).await?;
        let early = set.pending.as_ref().filter(|_| mutant(Mutant::PendingTokenUsed));
        let Some(credential) = Credential::parse(early.or(set.current.as_ref()).map_or("", String::as_str)) else {
            return Ok(None);
        };
        let auth = credential.refreshed_by(&self.provider.manifest().api.auth).map(|(auth, _)| auth);
        let left_ms = auth.and_then(|auth| credential.left_ms(auth, self.ports.now_ms()));
        Ok(Some((Held { version: set.version, refreshable: auth.is_some(), credential }, left_ms)))
    }

    /// The credential, if its access token can be used now. Near its end it is read anew; if there is no newer one, a new one is
    /// requested, and what is left of this one is used.
    async fn usable(&self, fresh: bool) -> Result<Option<Held>, Failure> {
        let Some((held, left_ms)) = self.held(fresh).await? else { return Ok(None) };
        if left_ms.is_none_or(|left| left > NEAR_END_MS) {
            return Ok(Some(held).filter(|held| held.credential.token().is_some()));
        }
        if !fresh {
            return Ok(None);
        }
        let pending = self.request_token(&held, false).await?;
        if left_ms.is_some_and(|left| left > i64::try_from(self.timeout_ms()).unwrap_or(i64::MAX)) {
            return Ok(Some(held));
        }
        Err(pending)
    }

    /// Requests a new access token. Returns the failure of work that must wait for it.
    async fn request_token(&self, held: &Held, refused: bool) -> Result<Failure, Failure> {
        let version = held.version.clone().unwrap_or_default();
        let request = RefreshRequest { connection: self.name.into(), version, refused };
        Ok(token_pending(self.name, request_refresh(self.ports, &request).await?))
    }

    fn target(&self, object: &str, token: String) -> Target {
        let version = match self.connection.api_version.as_str() {
            "" => self.provider.manifest().api_version(),
            version => version,
        };
        Target {
            base_url: self.connection.base_url.clone(),
            token,
            object: object.to_owned(),
            id_property: self.provider.destination(object).map(|d| d.id_property.clone()).unwrap_or_default(),
            version: version.to_owned(),
            timeout_ms: self.timeout_ms(),
        }
    }

    fn no_such_call(&self, object: &str) -> Failure {
        Failure::new(Code::CannotFetch, format!("the provider of `{}` has no such call for `{object}`", self.name))
    }

    async fn send_request(&self, request: HttpRequest) -> Result<HttpResponse, CallError> {
        self.wait_for_tokens(&request.url).await.map_err(CallError::NotSent)?;
        self.calls.set(self.calls.get() + 1);
        if let Some(log) = self.ports.write_log() {
            log.note_call(self.name);
        }
        let response = self.ports.http(request).await.map_err(|error| {
            let failure = Failure::new(Code::ProviderUnavailable, format!("`{}` did not answer", self.name));
            let failed = if matches!(error, HttpError::NotSent(_)) { CallError::NotSent } else { CallError::Unknown };
            failed(failure.caused_by(Cause::Http(error)))
        })?;
        let usage = self.api().and_then(|api| api.parse_usage(&response));
        warn_if_nearly_used(self.name, usage);
        self.usage.set(usage.or(self.usage.get()));
        Ok(response)
    }

    /// Takes tokens of the buckets, and waits for them while the invocation has the time: work that is given up begins anew, and
    /// what comes last would never be reached.
    async fn wait_for_tokens(&self, url: &str) -> Result<(), Failure> {
        let began_ms = self.ports.now_ms();
        loop {
            check_deadline(self.ports, self.deadline_ms)?;
            let Err(failure) = take_tokens(self.ports, self.name, &self.connection.buckets, url).await else { return Ok(()) };
            let Class::Throttled { after_ms } = failure.class else { return Err(failure) };
            let end_ms = self.ports.now_ms().saturating_add(i64::try_from(after_ms).unwrap_or(i64::MAX));
            let waited_ms = u64::try_from(end_ms - began_ms).unwrap_or(0);
            if waited_ms > LONGEST_BUCKET_WAIT_MS || end_ms + MARGIN_MS > self.deadline_ms {
                return Err(failure);
            }
            self.ports.sleep(after_ms).await;
        }
    }

    /// A call that the provider answered with a failure. `held` is the credential that it refused, as it was read last.
    async fn call_error(&self, object: &str, failure: &CallFailure, held: Option<&Held>) -> CallError {
        let classified = classify(self.name, failure);
        if failure.kind == FailureKind::Transient {
            return CallError::Unknown(classified);
        }
        CallError::NotSent(self.pause_or_wait(object, failure, held).await.err().unwrap_or(classified))
    }

    /// What a refusal leads to, where it concerns more than a record. A token that `rotate` can refresh is waited for; everything
    /// else pauses what it concerns.
    async fn pause_or_wait(&self, object: &str, refusal: &RowFailure, held: Option<&Held>) -> Result<(), Failure> {
        if let Some(held) = held.filter(|held| refusal.kind == FailureKind::Auth && held.refreshable) {
            return Err(self.request_token(held, true).await?.caused_by(Cause::Provider(refusal.clone())));
        }
        let version = held.and_then(|held| held.version.as_deref());
        pause_for(self.ports, (self.name, object), (refusal, version), self.config.hub().retry.speed).await
    }
}

/// True when a second call would only show the token again that was refused, and `rotate` can get a new one.
fn is_in_vain(failure: &CallFailure, before: &Held, now: &Held) -> bool {
    failure.kind == FailureKind::Auth && now.refreshable && now.version.is_some() && before.version == now.version
}
