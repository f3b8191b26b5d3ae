//! `hub connections`: whether each account is connected, for how long, with which scopes, and when anything came or went.

use std::collections::BTreeSet;
use std::process::ExitCode;

use clap::Args;
use providers::Provider;
use serde_json::{Value, json};
use sync::config::{Config, Connection};
use sync::credential::Credential;
use sync::failure::Failure;
use sync::pause::Pauses;
use sync::ports::{Clock, Secrets, Store};
use sync::rate_limit::calls_left;
use sync::reconcile::last_sweep_ms;
use sync::record::journal::last_event_ms;
use sync::scopes::{missing_scopes, needed_scopes, split_scopes};

use super::open::HubArgs;
use crate::out::{CommandError, block_on, print, print_json};
use crate::text::{instant, wrapped};

/// Days whose account lines are searched for the last event: today and the days before it.
const EVENT_DAYS: i64 = 3;

/// Arguments of `hub connections`.
#[derive(Debug, Args)]
pub struct ConnectionsArgs {
    /// The hub.
    #[command(flatten)]
    pub hub: HubArgs,
    /// Print JSON, for programs
    #[arg(long)]
    pub json: bool,
}

/// What is known of a connection. Times are in milliseconds since the epoch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Account {
    /// The connection.
    pub connection: String,
    /// The people's name of its provider.
    pub provider: String,
    /// How it is connected; `None` where the hub makes no calls.
    pub credential: Option<Access>,
    /// When the last event was received, within the last days.
    pub last_event_ms: Option<i64>,
    /// When the last call was made.
    pub last_call_ms: Option<i64>,
    /// When the last sweep read something.
    pub last_sweep_ms: Option<i64>,
    /// Rate buckets: the name, the calls that are left at once, and how many it holds.
    pub rates: Vec<(String, u64, u64)>,
    /// Why it is paused, wholly or for an object.
    pub paused: Vec<String>,
}

/// The credentials of a connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// What they are, in the provider's words.
    pub title: String,
    /// True when there is a token.
    pub stored: bool,
    /// When the token ends, if it does.
    pub token_ends_ms: Option<i64>,
    /// True when the hub gets a new one by itself.
    pub refreshed: bool,
    /// When the grant ends, so that a person must connect again.
    pub grant_ends_ms: Option<i64>,
    /// The scopes that are needed.
    pub needed: BTreeSet<String>,
    /// The scopes that were granted, where the provider told them.
    pub granted: Option<BTreeSet<String>>,
    /// The needed scopes that were not granted.
    pub missing: Vec<String>,
}

/// Runs the command.
pub fn run(args: &ConnectionsArgs) -> Result<ExitCode, CommandError> {
    let (ports, config) = args.hub.open_whole()?;
    let (accounts, now_ms) = block_on(async { Ok((accounts(&ports, &config).await?, ports.now_ms())) })?;
    if args.json {
        print_json(&as_json(&accounts))?;
    } else {
        print(render(&accounts, now_ms))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Every connection. Makes no call to a provider.
pub async fn accounts<P: Store + Secrets + Clock>(ports: &P, config: &Config) -> Result<Vec<Account>, Failure> {
    let mut accounts = Vec::new();
    for (name, connection) in &config.hub().connections {
        let (_, provider) = config.connection(name)?;
        let pauses = Pauses::load(ports, name).await?;
        let objects = pauses.of_objects().values().map(|pause| pause.reason.clone());
        let (last_call_ms, rates) = calls_left(ports, name, &connection.buckets).await?;
        let mut last_sweep: Option<i64> = None;
        for object in &connection.sweep {
            last_sweep = last_sweep.max(last_sweep_ms(ports, name, object).await?);
        }
        accounts.push(Account {
            connection: name.to_string(),
            provider: provider.manifest().provider.title.clone(),
            credential: access(ports, config, name, connection, &provider).await?,
            last_event_ms: last_event_ms(ports, name, EVENT_DAYS).await?,
            last_call_ms,
            last_sweep_ms: last_sweep,
            rates,
            paused: pauses.of_connection().map(|pause| pause.reason.clone()).into_iter().chain(objects).collect(),
        });
    }
    Ok(accounts)
}

async fn access<P: Secrets>(
    ports: &P,
    config: &Config,
    name: &str,
    connection: &Connection,
    provider: &Provider,
) -> Result<Option<Access>, Failure> {
    let Some(secret) = &connection.api_secret else { return Ok(None) };
    let stored = ports.secret(secret, true).await?;
    let credential = stored.current.as_deref().and_then(Credential::parse).unwrap_or_default();
    let forms = &provider.manifest().api.auth;
    let Some(form) = credential.form(forms).or_else(|| forms.first()) else { return Ok(None) };
    let granted = credential.scope.as_deref().map(split_scopes);
    let needed = needed_scopes(config.hub(), name, connection, provider, form);
    Ok(Some(Access {
        title: form.title.clone(),
        stored: credential.token().is_some(),
        token_ends_ms: credential.expires_at,
        refreshed: credential.refreshed_by(forms).is_some(),
        grant_ends_ms: credential.grant_end_ms(form),
        missing: granted.as_ref().map(|granted| missing_scopes(form, &needed, granted)).unwrap_or_default(),
        needed,
        granted,
    }))
}

/// The connections in lines of 80 columns.
pub fn render(accounts: &[Account], now_ms: i64) -> String {
    accounts.iter().map(|account| account_text(account, now_ms)).collect()
}

fn account_text(account: &Account, now_ms: i64) -> String {
    let mut text = format!("{}: {}\n", account.connection, account.provider);
    let mut line = |word: &str, value: String| text += &wrapped(&format!("  {word:<11} {value}"), 14);
    match &account.credential {
        None => line("token", "none: the hub makes no calls there".to_owned()),
        Some(access) => {
            line("token", token_text(access, now_ms));
            if let Some(ends_ms) = access.grant_ends_ms {
                line("grant ends", format!("{}; then `hub connect {}`", instant(ends_ms), account.connection));
            }
            if !access.needed.is_empty() {
                line("scopes", scope_text(access));
            }
        }
    }
    line("last event", time_text(account.last_event_ms, "none within three days"));
    if account.credential.is_some() {
        line("last call", time_text(account.last_call_ms, "none yet"));
    }
    if account.last_sweep_ms.is_some() {
        line("last sweep", time_text(account.last_sweep_ms, ""));
    }
    let rates: Vec<String> = account.rates.iter().map(|(name, left, of)| format!("{name} {left} of {of}")).collect();
    if !rates.is_empty() {
        line("rate left", rates.join(", "));
    }
    account.paused.iter().for_each(|reason| line("paused", reason.clone()));
    text
}

fn token_text(access: &Access, now_ms: i64) -> String {
    let title = &access.title;
    if !access.stored {
        return format!("none is stored ({title})");
    }
    let refreshed = if access.refreshed { ", refreshed by the hub" } else { "" };
    match access.token_ends_ms {
        Some(ends_ms) if ends_ms <= now_ms => format!("ended {} ({title}{refreshed})", instant(ends_ms)),
        Some(ends_ms) => format!("good until {} ({title}{refreshed})", instant(ends_ms)),
        None => format!("does not end ({title})"),
    }
}

fn scope_text(access: &Access) -> String {
    match &access.granted {
        None => format!("{} needed; the provider does not tell those of the token", access.needed.len()),
        Some(_) if access.missing.is_empty() => format!("{} needed, all granted", access.needed.len()),
        Some(_) => format!("{} needed, missing: {}", access.needed.len(), access.missing.join(", ")),
    }
}

fn time_text(at_ms: Option<i64>, none: &str) -> String {
    at_ms.map_or_else(|| none.to_owned(), instant)
}

/// The connections for programs.
pub fn as_json(accounts: &[Account]) -> Value {
    let time = |at_ms: Option<i64>| at_ms.map(instant);
    let access = |access: &Access| {
        json!({
            "form": access.title, "stored": access.stored, "token_good_until": time(access.token_ends_ms),
            "refreshed": access.refreshed, "grant_ends": time(access.grant_ends_ms), "scopes_needed": access.needed,
            "scopes_granted": access.granted, "scopes_missing": access.missing,
        })
    };
    let rate = |(name, left, of): &(String, u64, u64)| json!({"name": name, "left": left, "of": of});
    let account = |account: &Account| {
        json!({
            "connection": account.connection, "provider": account.provider,
            "credentials": account.credential.as_ref().map(access), "last_event": time(account.last_event_ms),
            "last_call": time(account.last_call_ms), "last_sweep": time(account.last_sweep_ms),
            "rates": account.rates.iter().map(rate).collect::<Vec<_>>(), "paused": account.paused,
        })
    };
    json!({ "connections": accounts.iter().map(account).collect::<Vec<_>>() })
}
