//! The client of one provider's API: the only place from which the hub calls a provider.
//!
//! It reads the access token, takes tokens of the rate buckets, sends the request, and sorts what comes back. A token that is
//! refused is read anew once; then the connection is paused. A caller learns whether a failed call surely had no effect.

use std::cell::Cell;
use std::sync::Arc;

use providers::Provider;
use providers::api::{Api, CallFailure, FailureKind, Op, RemoteRecord, RowFailure, Target, Usage};
use providers::http::{HttpRequest, HttpResponse};

use crate::batch::check_deadline;
use crate::config::{Config, Connection};
use crate::failure::{Cause, Class, Code, Failure, Stage};
use crate::pause::pause_for_auth;
use crate::ports::{Clock, Http, HttpError, Secrets, Store};
use crate::rate_limit::{take_tokens, warn_if_nearly_used};

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
    calls: Cell<u32>,
    usage: Cell<Option<Usage>>,
}

/// Turns a provider's failure into one of ours.
pub fn classify(connection: &str, failure: &RowFailure) -> Failure {
    let (code, what) = match failure.kind {
        FailureKind::Transient => (Code::ProviderUnavailable, "is temporarily unavailable"),
        FailureKind::CursorExpired => (Code::ProviderUnavailable, "no longer accepts a cursor"),
        FailureKind::Throttled { .. } => (Code::RateLimited, "asks to wait"),
        FailureKind::Locked => (Code::ProviderLocked, "has locked the record"),
        FailureKind::Auth => (Code::ProviderAuth, "refuses the credentials"),
        FailureKind::NotFound => (Code::ProviderRejected, "does not have the object"),
        FailureKind::Rejected | FailureKind::DuplicateKey => (Code::ProviderRejected, "refuses the record or the call"),
        FailureKind::Ambiguous => (Code::ProviderAmbiguous, "has several objects where there must be one"),
    };
    let detail = format!("`{connection}` {what}");
    let classified = match failure.kind {
        FailureKind::Throttled { after_ms } => Failure::throttled(code, after_ms, detail),
        _ => Failure::new(code, detail),
    };
    classified.caused_by(Cause::Provider(failure.clone()))
}

impl<'a, P: Store + Secrets + Http + Clock> Client<'a, P> {
    /// Opens a connection's API. Makes no call.
    pub fn open(ports: &'a P, config: &'a Config, name: &'a str, deadline_ms: i64) -> Result<Self, Failure> {
        let (connection, provider) = config.connection(name)?;
        let (calls, usage) = (Cell::new(0), Cell::new(None));
        Ok(Client { ports, name, connection, provider, deadline_ms, calls, usage })
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
        for fresh in [false, true] {
            let Some(token) = self.access_token(fresh).await.map_err(not_sent)? else { continue };
            let target = self.target(object, token);
            let request = build(&target).ok_or_else(|| not_sent(self.no_such_call(object)))?;
            let response = self.send_request(request).await?;
            match read(&target, &response) {
                Ok(value) => return Ok(value),
                Err(failure) if failure.kind == FailureKind::Auth && !fresh => {}
                Err(failure) => return Err(self.call_error(&failure).await),
            }
        }
        let detail = format!("the secret `{}` of `{}` holds no access token", self.secret_name().map_err(not_sent)?, self.name);
        Err(not_sent(Failure::new(Code::ProviderAuth, detail)))
    }

    /// Reads objects by their ids. An object that does not exist is not in the answer.
    pub async fn read(&self, object: &str, ids: &[String]) -> Result<Vec<RemoteRecord>, CallError> {
        let api = self.require_api().map_err(CallError::NotSent)?;
        let properties = self.provider.read_properties(object);
        let mut records = Vec::new();
        for chunk in ids.chunks(api.batch_limit(Op::Read)) {
            let page = self.call(object, |t| Some(api.read(t, chunk, &properties)), |t, r| api.parse_found(t, r)).await?;
            records.extend(page);
        }
        Ok(records)
    }

    fn secret_name(&self) -> Result<&'a str, Failure> {
        let missing = || Failure::new(Code::CannotFetch, format!("`{}` has no `api_secret` to call its API with", self.name));
        self.connection.api_secret.as_deref().ok_or_else(missing)
    }

    async fn access_token(&self, fresh: bool) -> Result<Option<String>, Failure> {
        let set = self.ports.secret(self.secret_name()?, fresh).await?;
        Ok(access_token(set.current.as_deref().unwrap_or_default()))
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
        check_deadline(self.ports, self.deadline_ms).map_err(CallError::NotSent)?;
        take_tokens(self.ports, self.name, &self.connection.buckets, &request.url).await.map_err(CallError::NotSent)?;
        self.calls.set(self.calls.get() + 1);
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

    /// A call that the provider answered with a failure. Credentials that are refused also when they are fresh pause the connection.
    async fn call_error(&self, failure: &CallFailure) -> CallError {
        let classified = classify(self.name, failure);
        if failure.kind == FailureKind::Transient {
            return CallError::Unknown(classified);
        }
        if classified.class == Class::Auth
            && let Err(error) = pause_for_auth(self.ports, self.name, &classified.chain()).await
        {
            return CallError::NotSent(error);
        }
        CallError::NotSent(classified)
    }
}

/// The access token of an API secret: JSON with `access_token`, or the bare token.
fn access_token(secret: &str) -> Option<String> {
    match serde_json::from_str::<serde_json::Value>(secret) {
        Ok(serde_json::Value::Object(map)) => map.get("access_token")?.as_str().map(str::to_owned),
        _ => Some(secret.trim().to_owned()).filter(|token| !token.is_empty()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_access_token_stands_alone_or_in_json() {
        assert_eq!(access_token(" t1 \n").as_deref(), Some("t1"));
        assert_eq!(access_token(r#"{"access_token": "t2", "refresh_token": "r"}"#).as_deref(), Some("t2"));
        assert_eq!(access_token(r#"{"refresh_token": "r"}"#), None);
        assert_eq!(access_token("  "), None);
    }
}
