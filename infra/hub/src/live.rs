//! `hub check --live` and `hub doctor`: ask the accounts whether they fit the configuration. Only reads, and pauses nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use adapters::{Access, Aws, ResourceNames};
use canonical::{FieldKind, FieldName, Fields, ObjectType};
use providers::api::{Api, FailureKind, PropertyInfo, PropertyKind, Target};
use providers::http::HttpResponse;
use providers::{AuthForm, Provider, api_of};
use serde_json::Value;
use sync::config::{Config, Connection, Hub};
use sync::credential::Credential;
use sync::failure::Failure;
use sync::ports::{Clock, Http, HttpRequest, Secrets};
use sync::scopes::needed_scopes;

use crate::config::{samples, written};
use crate::env::environment;
use crate::operate::open::{HubArgs, configuration};
use crate::out::{CommandError, block_on, print, print_line};

/// The clocks of the hub and of a provider may be this much apart, in seconds: signatures are accepted within five minutes.
const CLOCK_S: i64 = 60;

/// What to do about a mapped property that the account lacks.
const MISSING: &str = "is mapped and does not exist there, or is hidden: create it, or override its rule";

/// Runs the command.
pub fn run(args: &HubArgs) -> Result<ExitCode, CommandError> {
    let environment = environment(args.env.as_deref())?;
    let config = configuration(&environment)?;
    let access = Access::from_environment(&environment).map_err(|e| CommandError::Backend(e.to_string()))?;
    let mut names = ResourceNames::from_environment(&environment);
    let urls = config.hub().connections.values().map(|connection| connection.base_url.as_str());
    names.hosts = urls.filter_map(|url| Some(url.split_once("://")?.1.split('/').next()?.to_owned())).collect();
    let ports = Aws::with(access, names);
    let examined = block_on(examine(&ports, &config))?;
    print(render(&examined))?;
    let findings: usize = examined.iter().map(|account| account.findings.len()).sum();
    print_line(if findings == 0 { "the accounts fit".to_owned() } else { format!("{findings} findings") })?;
    Ok(if findings == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What an account answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Account {
    /// The connection.
    pub connection: String,
    /// What was looked at and fits, or cannot be asked.
    pub notes: Vec<String>,
    /// What does not fit, each with what to do.
    pub findings: Vec<String>,
}

/// Asks every account with an API that the hub writes to or sweeps.
///
/// # Errors
/// A secret cannot be read. What an account refuses is a finding.
pub async fn examine<P: Secrets + Http + Clock>(ports: &P, config: &Config) -> Result<Vec<Account>, CommandError> {
    let mut accounts = Vec::new();
    for (name, connection) in &config.hub().connections {
        let (Some(api), Some(secret)) = (api_of(&connection.provider), &connection.api_secret) else { continue };
        let stored = ports.secret(secret, true).await.map_err(Failure::from)?;
        let provider = config.connection(name)?.1;
        let mut account = Account { connection: name.to_string(), ..Account::default() };
        let credential = stored.current.as_deref().and_then(Credential::parse);
        match credential.and_then(|credential| credential.token().map(str::to_owned)) {
            None => {
                account.findings.push(format!("the secret `{secret}` has no `access_token`: store {{\"access_token\": \"...\"}}"))
            }
            Some(token) => {
                Examiner { ports, hub: config.hub(), connection, provider: &provider, api, token, account: &mut account }
                    .run()
                    .await
            }
        }
        accounts.push(account);
    }
    Ok(accounts)
}

/// The accounts as text.
pub fn render(accounts: &[Account]) -> String {
    let mut text = String::new();
    for account in accounts {
        text += &format!("{}\n", account.connection);
        account.notes.iter().for_each(|note| text += &format!("  ok  {note}\n"));
        account.findings.iter().for_each(|finding| text += &format!("  !!  {finding}\n"));
    }
    text
}

struct Examiner<'a, P> {
    ports: &'a P,
    hub: &'a Hub,
    connection: &'a Connection,
    provider: &'a Provider,
    api: &'static dyn Api,
    token: String,
    account: &'a mut Account,
}

impl<P: Http + Clock> Examiner<'_, P> {
    async fn run(mut self) {
        let mut first = true;
        for (object, native) in self.objects() {
            let target = self.target(&native);
            let Some(answer) = self.send(self.api.describe(&target)).await else { return };
            if std::mem::take(&mut first) {
                self.check_clock(&answer);
                self.check_scopes(&target).await;
            }
            match self.api.parse_described(&target, &answer) {
                Ok(properties) => self.check_object(object, &target, &properties),
                Err(failure) if failure.kind == FailureKind::NotFound => {
                    self.find(format!("the account has no object `{native}`, or the token may not see it"));
                }
                Err(failure) => {
                    let hint =
                        if failure.kind == FailureKind::Auth { ": store a new token (docs/errors/provider-auth.md)" } else { "" };
                    return self.find(format!("the account refuses the call: {failure}{hint}"));
                }
            }
        }
        self.note("webhook subscriptions cannot be asked with this token; `hub status` shows what arrives".to_owned());
    }

    /// The objects that the hub writes there or sweeps, with the canonical object that it writes.
    fn objects(&self) -> Vec<(Option<ObjectType>, String)> {
        let mut objects: BTreeMap<String, Option<ObjectType>> =
            self.connection.sweep.iter().map(|native| (native.clone(), None)).collect();
        for (object, policy) in &self.hub.objects {
            let native = policy.destinations.get(self.account.connection.as_str());
            objects.extend(native.map(|native| (native.clone(), Some(*object))));
        }
        objects.into_iter().map(|(native, object)| (object, native)).collect()
    }

    fn target(&self, native: &str) -> Target {
        let own = self.connection.api_version.as_str();
        Target {
            base_url: self.connection.base_url.clone(),
            token: self.token.clone(),
            object: native.to_owned(),
            id_property: self.provider.destination(native).map(|d| d.id_property.clone()).unwrap_or_default(),
            version: if own.is_empty() { self.provider.manifest().api_version() } else { own }.to_owned(),
            timeout_ms: self.provider.manifest().call_timeout_ms(),
        }
    }

    async fn send(&mut self, request: HttpRequest) -> Option<HttpResponse> {
        match self.ports.http(request).await {
            Ok(response) => Some(response),
            Err(error) => {
                self.find(format!("`{}` gives no answer: {error}", self.connection.base_url));
                None
            }
        }
    }

    fn note(&mut self, text: String) {
        self.account.notes.push(text);
    }

    fn find(&mut self, text: String) {
        self.account.findings.push(text);
    }

    /// Compares the clocks by the `Date` of an answer.
    fn check_clock(&mut self, answer: &HttpResponse) {
        let Some(theirs) = answer.header("date").and_then(|text| jiff::fmt::rfc2822::parse(text).ok()) else { return };
        let apart = (self.ports.now_ms() / 1_000 - theirs.timestamp().as_second()).abs();
        if apart > CLOCK_S {
            self.find(format!("the clocks are {apart} s apart: signatures and stamps need the right time on this machine"));
        } else {
            self.note("the clocks agree".to_owned());
        }
    }

    async fn check_scopes(&mut self, target: &Target) {
        let Some(request) = self.api.scopes(target) else { return };
        // Only fixed tokens tell their scopes.
        let fixed = self.provider.manifest().api.auth.iter().find(|auth| auth.form == AuthForm::Bearer);
        let name = self.account.connection.clone();
        let needed = fixed.map(|auth| needed_scopes(self.hub, &name, self.connection, self.provider, auth)).unwrap_or_default();
        let Some(answer) = self.send(request).await else { return };
        match self.api.parse_scopes(target, &answer) {
            Ok(granted) => {
                let missing: Vec<String> = needed.into_iter().filter(|scope| !granted.contains(scope)).collect();
                if missing.is_empty() {
                    self.note("the token has every scope".to_owned());
                } else {
                    self.find(format!("the token lacks scopes: {}", missing.join(", ")));
                }
            }
            // Only private apps tell their scopes.
            Err(_) => self.note("the account does not tell the token's scopes".to_owned()),
        }
    }

    fn check_object(&mut self, object: Option<ObjectType>, target: &Target, properties: &[PropertyInfo]) {
        let known: BTreeMap<&str, &PropertyInfo> = properties.iter().map(|p| (p.name.as_str(), p)).collect();
        let before = self.account.findings.len();
        let native = &target.object;
        if !target.id_property.is_empty() {
            match known.get(target.id_property.as_str()) {
                None => {
                    self.find(format!("{native}: `{}` does not exist: create it, unique, for the hub's id", target.id_property))
                }
                Some(p) if !p.unique => self.find(format!("{native}: `{}` is not unique: two objects could have one id", p.name)),
                Some(_) => {}
            }
        }
        let mut faults = BTreeSet::new();
        for field in object.iter().flat_map(|object| written(self.hub.fields, self.provider, *object, native)) {
            for sample in samples(field.kind).into_iter().filter(|_| !matches!(field.kind, FieldKind::Ref(_))) {
                let rendered = self.provider.render(native, &Fields::from([(FieldName::from(field.name), sample)]));
                let names = rendered.by_field.get(field.name).into_iter().flatten();
                let faulty = names.filter_map(|name| match known.get(name.as_str()) {
                    Some(property) => fault(property, rendered.properties.get(name)?),
                    None => Some(format!("`{name}` {MISSING}")),
                });
                faults.extend(faulty.map(|fault| format!("{native}: {fault} (field `{}`)", field.name)));
            }
        }
        self.check_reads(native, &known, &mut faults);
        self.account.findings.extend(faults);
        if self.account.findings.len() == before {
            self.note(format!("{native}: every mapped property exists and takes what the hub writes"));
        }
    }

    /// What is read and not there. Where the provider ignores unknown names, the mapping only offers more than this account has.
    fn check_reads(&mut self, native: &str, known: &BTreeMap<&str, &PropertyInfo>, faults: &mut BTreeSet<String>) {
        let reads = self.provider.read_properties(native).into_iter().filter(|name| !known.contains_key(name.as_str()));
        let written = |name: &String| faults.iter().any(|fault| fault.contains(&format!("`{name}`")));
        let lacking: Vec<String> = reads.filter(|name| !written(name)).map(|name| format!("`{name}`")).collect();
        if lacking.is_empty() {
            return;
        }
        let own = self.overridden(native);
        let (faulty, harmless): (Vec<String>, Vec<String>) =
            lacking.into_iter().partition(|name| self.api.refuses_unknown_properties() || own.contains(name.trim_matches('`')));
        faults.extend(faulty.iter().map(|name| format!("{native}: {name} {MISSING}")));
        if !harmless.is_empty() {
            self.note(format!("{native}: without effect, because the account has no {}", harmless.join(", ")));
        }
    }

    /// The properties that the user's own mapping files read.
    fn overridden(&self, native: &str) -> BTreeSet<String> {
        let maps = self.provider.maps().filter(|(name, _)| *name == native);
        let inputs = maps.flat_map(|(_, map)| {
            let rules = map.plans.iter().flat_map(|plan| &plan.rules).filter(|rule| rule.file.is_some());
            rules.flat_map(|rule| &rule.from).map(move |input| map.input_name(input))
        });
        inputs.filter_map(|path| path.rsplit('.').next().map(str::to_owned)).collect()
    }
}

/// Why a property does not take a value that the hub would write.
fn fault(property: &PropertyInfo, value: &Value) -> Option<String> {
    let name = &property.name;
    if !property.writable {
        return Some(format!(
            "`{name}` may not be written: let the rule only read it (`direction = \"in\"`), or grant the permission"
        ));
    }
    let text = match value {
        Value::Null => return None,
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if !property.options.is_empty() && !property.options.contains(&text) {
        return Some(format!("`{text}` is no option of `{name}`: add it there, or translate it by `values` in an override"));
    }
    let fits = match property.kind {
        PropertyKind::Text => true,
        PropertyKind::Number => text.parse::<f64>().is_ok(),
        PropertyKind::Bool => matches!(text.as_str(), "true" | "false"),
        PropertyKind::Time => text.starts_with(|c: char| c.is_ascii_digit()),
    };
    if fits { None } else { Some(format!("`{name}` has another type there: it takes no value such as the hub writes")) }
}
