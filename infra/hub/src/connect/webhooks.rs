//! Registers the hub's URL at the provider: lists what is registered, compares, and creates or changes only what lacks. Removes it on
//! `hub disconnect`.

use providers::subscriptions::{CallValues, Step, Subscription, list_request, parse_list, request, steps};
use providers::{ApiInfo, CallTemplate, WebhooksApi};
use serde_json::Value;
use sync::credential::Credential;
use sync::ports::{Http, HttpRequest, HttpResponse};

use super::guide::Plan;
use crate::out::CommandError;

/// What a registration did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registered {
    /// How many subscriptions were created or changed.
    pub changed: usize,
    /// How many are there for the URL.
    pub present: usize,
    /// The secret that the provider signs with, where it has told it.
    pub secret: Option<String>,
}

/// The provider's registration calls for one connection.
pub struct Registration<'a, P> {
    ports: &'a P,
    plan: &'a Plan<'a>,
    api: &'a ApiInfo,
    webhooks: &'a WebhooksApi,
    credential: &'a Credential,
    /// The hub's URL for the connection.
    url: &'a str,
    /// The secret that signs the webhooks, where the hub or a person chooses it.
    signing: &'a str,
}

impl<'a, P: Http> Registration<'a, P> {
    /// The calls; `None` where the provider declares none.
    pub fn new(
        ports: &'a P,
        plan: &'a Plan<'a>,
        credential: &'a Credential,
        url: &'a str,
        signing: &'a str,
    ) -> Option<Registration<'a, P>> {
        let api = &plan.provider.manifest().api;
        let webhooks = api.webhooks.as_ref().filter(|webhooks| webhooks.list.is_some())?;
        Some(Registration { ports, plan, api, webhooks, credential, url, signing })
    }

    /// Creates and changes what lacks. Run twice, it does nothing the second time.
    ///
    /// # Errors
    /// The provider refuses a call, or its list cannot be read.
    pub async fn register(&self) -> Result<Registered, CommandError> {
        let mut registered = Registered::default();
        if self.webhooks.update.is_none() {
            // One that was switched off and cannot be changed makes room for a new one.
            for one in self.ours().await?.iter().filter(|one| !one.enabled) {
                self.delete(one).await?;
            }
        }
        for step in steps(self.webhooks, &self.list().await?, self.url) {
            let (call, id, topics) = match &step {
                Step::Create(topics) => (self.webhooks.create.as_ref(), "", topics),
                Step::Update(id, topics) => (self.webhooks.update.as_ref(), id.as_str(), topics),
            };
            let Some(call) = call else {
                let text = "it is registered, and lacks topics or is switched off; change it at the provider, or run hub disconnect first";
                return Err(CommandError::Backend(text.to_owned()));
            };
            let answer = self.send(call, &CallValues { id, topics, ..self.values() }).await?;
            registered.changed += 1;
            if matches!(step, Step::Create(_)) && self.webhooks.secret.as_ref().is_some_and(|secret| secret.call.is_none()) {
                registered.secret = self.secret_in(&answer);
            }
        }
        let ours = self.ours().await?;
        registered.present = ours.len();
        let source = self.webhooks.secret.as_ref().and_then(|secret| secret.call.as_ref()).filter(|_| registered.changed > 0);
        if let (Some(call), Some(one)) = (source, ours.first()) {
            let answer = self.send(call, &CallValues { id: &one.id, ..self.values() }).await?;
            registered.secret = self.secret_in(&answer);
        }
        Ok(registered)
    }

    /// Removes what is registered for the hub's URL, and returns how many those were.
    ///
    /// # Errors
    /// As for [`Registration::register`].
    pub async fn remove(&self) -> Result<usize, CommandError> {
        let ours = self.ours().await?;
        for one in &ours {
            self.delete(one).await?;
        }
        Ok(ours.len())
    }

    async fn delete(&self, one: &Subscription) -> Result<(), CommandError> {
        if let Some(call) = &self.webhooks.delete {
            self.send(call, &CallValues { id: &one.id, ..self.values() }).await?;
        }
        Ok(())
    }

    async fn ours(&self) -> Result<Vec<Subscription>, CommandError> {
        Ok(self.list().await?.into_iter().filter(|one| one.url == self.url).collect())
    }

    async fn list(&self) -> Result<Vec<Subscription>, CommandError> {
        let Some(request) = list_request(self.api, &self.plan.connection.base_url, &self.values()) else { return Ok(Vec::new()) };
        let answer = self.exchange(request).await?;
        let unreadable = || CommandError::Backend("the provider's list of webhooks cannot be read".to_owned());
        parse_list(self.webhooks, &answer.body).ok_or_else(unreadable)
    }

    async fn send(&self, call: &CallTemplate, values: &CallValues<'_>) -> Result<HttpResponse, CommandError> {
        self.exchange(request(self.api, &self.plan.connection.base_url, call, values)).await
    }

    async fn exchange(&self, mut request: HttpRequest) -> Result<HttpResponse, CommandError> {
        self.credential.show(&self.api.auth, &self.plan.connection.account, &mut request);
        let what = format!("{} {}", request.method, request.url.split('?').next().unwrap_or_default());
        let answer = self.ports.http(request).await;
        let answer = answer.map_err(|e| CommandError::Backend(format!("{what} has no answer: {e}")))?;
        match answer.status {
            200..=299 => Ok(answer),
            status => Err(CommandError::Backend(format!("the provider answers {what} with status {status}"))),
        }
    }

    fn secret_in(&self, answer: &HttpResponse) -> Option<String> {
        let body: Value = serde_json::from_slice(&answer.body).ok()?;
        body.pointer(&self.webhooks.secret.as_ref()?.from)?.as_str().filter(|secret| !secret.is_empty()).map(str::to_owned)
    }

    fn values(&self) -> CallValues<'_> {
        let own = self.plan.connection.api_version.as_str();
        CallValues {
            account: &self.plan.connection.account,
            version: if own.is_empty() { &self.api.version } else { own },
            url: self.url,
            secret: self.signing,
            ..CallValues::default()
        }
    }
}
