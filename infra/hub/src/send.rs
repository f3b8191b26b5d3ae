//! `hub send`: signs a webhook as its provider would, sends it to the hub, and shows how its events ended.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use adapters::environment::{Environment, PUBLIC_URL};
use adapters::{Access, Aws, ResourceNames};
use canonical::Outcome;
use clap::Args;
use providers::http::HttpRequest;
use sync::config::{Connection, Hub};
use sync::failure::Failure;
use sync::ports::{Clock, Http, Secrets};
use sync::record::journal::{count_outcomes, day};
use webhook::{Draft, Scheme, body_parameter, sign};

use crate::config::suggestion;
use crate::env::{environment, secrets_file};
use crate::files::read;
use crate::fixture::{self, Webhook};
use crate::keys::Keys;
use crate::operate::open::{HubArgs, configuration};
use crate::out::{CommandError, block_on, print_line};

/// How long a sender waits for the answer.
const TIMEOUT_MS: u64 = 10_000;
/// How long the command waits until all events of the webhook have an outcome.
const OUTCOME_TIMEOUT: Duration = Duration::from_secs(20);
/// How often it looks.
const POLL: Duration = Duration::from_millis(200);

/// Arguments of `hub send`.
#[derive(Debug, Args)]
pub struct SendArgs {
    /// The hub.
    #[command(flatten)]
    pub hub: HubArgs,
    /// The provider, or one of the connections
    pub provider: String,
    /// The type or the name of an example in the provider's folder, or a file with a body or an example; without it, the
    /// types are listed
    #[arg(value_name = "EVENT|FILE")]
    pub event: Option<String>,
    /// The connection, where the provider has several
    #[arg(long, value_name = "NAME")]
    pub connection: Option<String>,
    /// The base URL of a hub that is not the local one: the stack's output `ReceiveUrl`
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Do not wait for the outcomes
    #[arg(long)]
    pub no_wait: bool,
}

/// Runs the command.
pub fn run(args: &SendArgs) -> Result<ExitCode, CommandError> {
    let Some(event) = &args.event else { return list_events(&args.provider) };
    let environment = environment(args.hub.env.as_deref())?;
    let hub = args.hub.open()?;
    let name = connection_name(&hub.config, args)?;
    let connection = &hub.config.connections[name];
    let webhook = find_webhook(&connection.provider, event)?;
    let base = args.url.as_deref().or_else(|| environment.get(PUBLIC_URL)).ok_or_else(|| {
        CommandError::Usage("the environment has no URL of the hub; add --url (the stack's output `ReceiveUrl`)".to_owned())
    })?;
    let scheme = scheme(&environment, name)?;
    let url = url_of(base, name, &scheme, &webhook);
    block_on(async {
        let secret = sender_secret(&hub.ports, args.hub.env.as_deref(), connection, name).await?;
        let request = signed_request(&scheme, &webhook, &url, &secret, hub.ports.now_ms(), &connection.provider)?;
        let before = outcomes(&hub.ports, name).await?;
        let status = deliver(&environment, request).await?;
        print_line(format_args!("{url} answers {status}"))?;
        if !(200..300).contains(&status) {
            eprintln!("  help: `cargo hub verify --provider {}` explains why a signature does not verify", connection.provider);
            return Ok(ExitCode::FAILURE);
        }
        if !args.no_wait {
            report_outcomes(&hub.ports, name, &before).await?;
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// Where the webhook goes. Some providers put a hash of the body into the query, unless the body is a form.
fn url_of(base: &str, connection: &str, scheme: &Scheme, webhook: &Webhook) -> String {
    let is_form =
        webhook.headers.iter().any(|(name, value)| name == "content-type" && value.starts_with("application/x-www-form"));
    let hash = body_parameter(scheme, &webhook.body).filter(|_| !is_form).map(|(name, hash)| format!("{name}={hash}"));
    let query: Vec<&str> = webhook.query.iter().chain(&hash).map(String::as_str).collect();
    let mark = if query.is_empty() { "" } else { "?" };
    format!("{}/hooks/{connection}{mark}{}", base.trim_end_matches('/'), query.join("&"))
}

fn list_events(provider: &str) -> Result<ExitCode, CommandError> {
    let provider = crate::configuration::provider(provider)?.manifest().provider.name.clone();
    for (event, file) in fixture::events(&provider)? {
        print_line(format_args!("{event}  shared/providers/{provider}/fixtures/{file}"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The connection that receives the webhook: the one that is named, else the provider's only one.
fn connection_name<'h>(hub: &'h Hub, args: &SendArgs) -> Result<&'h str, CommandError> {
    let wanted = args.connection.as_deref().unwrap_or(&args.provider);
    let sources = || hub.connections.iter().filter(|(_, c)| c.source).map(|(name, c)| (name.as_str(), c));
    if let Some((name, _)) = sources().find(|(name, _)| *name == wanted) {
        return Ok(name);
    }
    let of_provider: Vec<&str> = sources().filter(|(_, c)| c.provider == args.provider).map(|(name, _)| name).collect();
    match of_provider[..] {
        [name] if args.connection.is_none() => Ok(name),
        [] => {
            let help = suggestion(wanted, sources().map(|(name, _)| name));
            let add = format!("`cargo hub add {}` writes a section for it", args.provider);
            Err(CommandError::Usage(format!("no connection receives webhooks of `{wanted}`; {help}; {add}")))
        }
        _ => Err(CommandError::Usage(format!("choose one with --connection: {}", of_provider.join(", ")))),
    }
}

fn find_webhook(provider: &str, event: &str) -> Result<Webhook, CommandError> {
    let file = Path::new(event);
    if event == "-" || file.is_file() {
        return Ok(Webhook::of_file(read(file)?));
    }
    if let Some(webhook) = fixture::find(provider, event)? {
        return Ok(webhook);
    }
    let known = fixture::events(provider)?;
    let help = suggestion(event, known.keys().map(String::as_str));
    Err(CommandError::Usage(format!(
        "`{event}` is neither a file nor an example of {provider}; {help}; `cargo hub send {provider}` lists them"
    )))
}

/// How the connection's webhooks are signed.
fn scheme(environment: &Environment, name: &str) -> Result<Scheme, CommandError> {
    Ok(configuration(environment)?.connection(name)?.1.manifest().webhook.scheme.clone())
}

/// What the sender signs with: the hub's own secret, or the private key that belongs to it, which only the local stack has.
async fn sender_secret(ports: &Aws, env: Option<&Path>, connection: &Connection, name: &str) -> Result<String, CommandError> {
    let missing = || CommandError::Usage(format!("the connection `{name}` has no signing secret to sign with"));
    let secret = connection.signing_secret.as_deref().ok_or_else(missing)?;
    if let Some(private) = Keys::stored(&secrets_file(env)).private(secret) {
        return Ok(private.clone());
    }
    let stored = ports.secret(secret, true).await.map_err(Failure::from)?;
    stored.current.ok_or_else(missing)
}

fn signed_request(
    scheme: &Scheme,
    webhook: &Webhook,
    url: &str,
    secret: &str,
    now_ms: i64,
    provider: &str,
) -> Result<HttpRequest, CommandError> {
    let signed_as = |id: &str| {
        let draft = Draft { method: "POST", url, body: &webhook.body, at_ms: now_ms, id };
        sign(scheme, &draft, secret)
            .map_err(|e| CommandError::Usage(format!("this body cannot be signed as {provider} signs: {e}")))
    };
    let id = format!("msg_{now_ms}");
    let mut signed = signed_as(&id)?;
    // An example may have a message id of its own. Then that one is signed.
    let id_header = |name: &str| signed.headers.iter().any(|(header, value)| header == name && *value == id);
    if let Some((_, own)) = webhook.headers.iter().find(|(name, _)| id_header(name)) {
        signed = signed_as(own)?;
    }
    let proven = |name: &str| signed.headers.iter().any(|(header, _)| header == name);
    let mut headers: Vec<_> = webhook.headers.iter().filter(|(name, _)| !proven(name)).cloned().collect();
    headers.extend(signed.headers.iter().cloned());
    Ok(HttpRequest { method: "POST", url: url.to_owned(), headers, body: signed.body, timeout_ms: TIMEOUT_MS })
}

/// Sends the request; gives the status of the answer.
async fn deliver(environment: &Environment, request: HttpRequest) -> Result<u16, CommandError> {
    let host = request.url.split("://").nth(1).and_then(|rest| rest.split(['/', '?']).next()).unwrap_or_default().to_owned();
    let access = Access::from_environment(environment).map_err(|e| CommandError::Backend(e.to_string()))?;
    let client = Aws::with(access, ResourceNames { hosts: vec![host], ..ResourceNames::default() });
    let url = request.url.clone();
    let answer = client.http(request).await.map_err(|e| CommandError::backend(&format!("`{url}` gives no answer"), e))?;
    Ok(answer.status)
}

type Outcomes = Vec<(Outcome, u64)>;

/// The outcomes of the connection's events of today and yesterday (UTC).
async fn outcomes(ports: &Aws, connection: &str) -> Result<Outcomes, Failure> {
    let today = day(ports.now_ms());
    let mut sum = count_outcomes(ports, connection, today).await?;
    let yesterday = count_outcomes(ports, connection, today - 1).await?;
    sum.iter_mut().zip(yesterday).for_each(|(count, (_, more))| count.1 += more);
    Ok(sum)
}

/// Waits until new events of the connection have outcomes, and prints these.
async fn report_outcomes(ports: &Aws, connection: &str, before: &Outcomes) -> Result<(), CommandError> {
    let started = std::time::Instant::now();
    loop {
        let new: Outcomes = outcomes(ports, connection)
            .await?
            .into_iter()
            .zip(before)
            .map(|((outcome, now), (_, then))| (outcome, now.saturating_sub(*then)))
            .filter(|(_, count)| *count > 0)
            .collect();
        let open = new.is_empty() || new.iter().any(|(outcome, _)| *outcome == Outcome::InFlight);
        if !open || started.elapsed() > OUTCOME_TIMEOUT {
            return print_line(describe(&new));
        }
        tokio::time::sleep(POLL).await;
    }
}

fn describe(outcomes: &Outcomes) -> String {
    if outcomes.is_empty() {
        return "no event of it has an outcome yet; look later with `cargo hub status`".to_owned();
    }
    let counts: Vec<String> = outcomes.iter().map(|(outcome, n)| format!("{n} {}", outcome.name().replace('_', " "))).collect();
    format!("new outcomes of the connection: {} (docs/generated/outcomes.md)", counts.join(", "))
}

#[cfg(test)]
mod tests {
    use providers::Provider;
    use webhook::{Headers, RawRequest, key_pair, verify};

    use super::*;
    use crate::configuration::provider;

    #[test]
    fn every_example_of_every_provider_verifies() {
        const NOW_MS: i64 = 1_769_851_800_000;
        for name in Provider::builtin_names() {
            let scheme = provider(name).unwrap().manifest().webhook.scheme.clone();
            if matches!(scheme, Scheme::Sns(_)) {
                // It signs with a certificate that `receive` fetches.
                continue;
            }
            let (sender, receiver) = key_pair(&scheme, "000102030405060708090a0b0c0d0e0f1011121314151617").unwrap();
            for event in fixture::events(name).unwrap().keys() {
                let webhook = find_webhook(name, event).unwrap();
                let url = url_of("http://127.0.0.1:8480/", name, &scheme, &webhook);
                let request = signed_request(&scheme, &webhook, &url, &sender, NOW_MS, name).unwrap();
                let headers: Headers = request.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
                let raw = RawRequest { method: "POST", url: &url, headers: &headers, body: &request.body };
                let verified = verify(&scheme, raw, &[receiver.as_str()], NOW_MS);
                assert!(verified.is_ok(), "{name} {event}: {:?}", verified.err());
            }
        }
    }
}
