//! `hub resolve`: applies a changed configuration to what is stored, after showing what that would do.
//!
//! It writes no record. It asks `reconcile` to read the source records again, which maps them by the new rules and resolves their
//! clusters anew, and dispatches the golden records, of which `upsert` writes only what differs.

use std::collections::BTreeMap;
use std::process::ExitCode;

use canonical::{ConnectionName, Dispatch, FetchRequest, ObjectType, ReadRequest, RemoteId};
use clap::Args;
use providers::api_of;
use sync::config::Config;
use sync::failure::Failure;
use sync::outbox::{send_dispatches, send_read_requests};
use sync::ports::{Item, Table};
use sync::record::{GoldenRecord, SourceRecord, read_golden, read_source};
use sync::seal::Vault;
use sync::transform::survivorship::resolve;

use super::open::HubArgs;
use super::{Ports, check_connection};
use crate::env::environment;
use crate::operate::open::configuration;
use crate::out::{CommandError, block_on, print, print_line};

/// Items of a page of the table.
const PAGE: u32 = 100;
/// The trace of the messages.
const TRACE: &str = "resolve";

/// Arguments of `hub resolve`.
#[derive(Debug, Args)]
pub struct ResolveArgs {
    /// The hub.
    #[command(flatten)]
    pub hub: HubArgs,
    /// Only this canonical object
    #[arg(long, value_name = "OBJECT")]
    pub object: Option<ObjectType>,
    /// Read only this connection's records again, and dispatch only to it
    #[arg(long, value_name = "NAME")]
    pub connection: Option<String>,
    /// Do what the plan shows
    #[arg(long)]
    pub apply: bool,
}

/// Which records a run is about, and whether it only counts.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// Only this canonical object.
    pub object: Option<ObjectType>,
    /// Only this connection.
    pub connection: Option<ConnectionName>,
    /// Send the messages; otherwise they are only counted.
    pub apply: bool,
}

/// What a run does to the records of one canonical object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Golden records.
    pub records: usize,
    /// Golden records that another generation of the configuration resolved.
    pub outdated: usize,
    /// Golden records whose stored observations give another value now.
    pub changed: usize,
    /// The fields of these values.
    pub fields: BTreeMap<String, usize>,
    /// Source records that are read again, by connection.
    pub reads: BTreeMap<ConnectionName, usize>,
    /// Source records that cannot be read again, by connection.
    pub unreadable: BTreeMap<ConnectionName, usize>,
    /// Dispatches by destination.
    pub dispatches: BTreeMap<ConnectionName, usize>,
}

/// Runs the command.
pub fn run(args: &ResolveArgs) -> Result<ExitCode, CommandError> {
    let config = configuration(&environment(args.hub.env.as_deref())?)?;
    let hub = args.hub.open()?;
    if let Some(connection) = &args.connection {
        check_connection(config.hub(), connection)?;
    }
    let scope =
        Scope { object: args.object, connection: args.connection.as_deref().map(ConnectionName::from), apply: args.apply };
    let plans = block_on(async {
        let vault = Vault::open(&hub.ports).await?;
        Ok(resolve_stored(&hub.ports, &vault, &config, &scope).await?)
    })?;
    print(render(&plans))?;
    print_line(match (plans.is_empty(), args.apply) {
        (true, _) => "there are no records",
        (false, true) => "all of it is requested; `hub status` shows when it is done",
        (false, false) => "this is a plan; `hub resolve --apply` does it",
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Counts what applying the configuration to the stored records takes, and requests it if the scope says so.
///
/// # Errors
/// A record cannot be read, or a message cannot be sent. What was requested before stays requested; running it again is harmless.
pub async fn resolve_stored<P: Ports>(
    ports: &P,
    vault: &Vault,
    config: &Config,
    scope: &Scope,
) -> Result<BTreeMap<ObjectType, Plan>, Failure> {
    let mut plans = BTreeMap::new();
    let mut after = None;
    loop {
        let page = ports.scan(Table::Golden, PAGE, after.as_ref()).await?;
        let run = Run { ports, vault, config, scope };
        for item in page.items.iter().filter(|item| item.key.sk == "golden" && item.s("redirect").is_none()) {
            let golden = read_golden(ports, vault, item).await?;
            if scope.object.is_none_or(|object| object == golden.object) && !golden.deleted {
                run.record(&golden, plans.entry(golden.object).or_default()).await?;
            }
        }
        after = page.next;
        if after.is_none() {
            return Ok(plans);
        }
    }
}

struct Run<'a, P> {
    ports: &'a P,
    vault: &'a Vault,
    config: &'a Config,
    scope: &'a Scope,
}

impl<P: Ports> Run<'_, P> {
    async fn record(&self, golden: &GoldenRecord, plan: &mut Plan) -> Result<(), Failure> {
        let hub = self.config.hub();
        plan.records += 1;
        plan.outdated += usize::from(golden.generation != hub.generation);
        let members = self.members(golden).await?;
        let values = resolve(members.iter(), &golden.summary, hub.object(golden.object), &hub.limits);
        let names = values.keys().chain(golden.fields.keys().filter(|name| !values.contains_key(*name)));
        let differs = |name: &&_| values.get(*name).map(|v| &v.value) != golden.fields.get(*name).map(|v| &v.value);
        let fields: Vec<String> = names.filter(differs).map(|name| name.to_string()).collect();
        plan.changed += usize::from(!fields.is_empty());
        fields.into_iter().for_each(|field| *plan.fields.entry(field).or_default() += 1);
        let mut requests = Vec::new();
        for source in golden.members.iter().filter(|source| self.includes(&source.connection)) {
            let readable = self.is_readable(source);
            let counts = if readable { &mut plan.reads } else { &mut plan.unreadable };
            *counts.entry(source.connection.clone()).or_default() += 1;
            if readable {
                let (source, trace) = (source.clone(), TRACE.to_owned());
                let request = FetchRequest { source, cause: None, not_before: None, absent_since_ms: None, trace };
                requests.push(ReadRequest::Fetch(request));
            }
        }
        if self.scope.apply {
            send_read_requests(self.ports, &requests).await?;
        }
        self.dispatch(golden, plan).await
    }

    async fn members(&self, golden: &GoldenRecord) -> Result<Vec<SourceRecord>, Failure> {
        let keys: Vec<_> = golden.members.iter().map(|source| SourceRecord::key(self.vault, source)).collect();
        let items: Vec<Item> = self.ports.get_many(Table::Golden, &keys).await?.into_iter().flatten().collect();
        let mut members = Vec::new();
        for item in &items {
            members.push(read_source(self.ports, self.vault, item).await?);
        }
        Ok(members)
    }

    fn includes(&self, connection: &ConnectionName) -> bool {
        self.scope.connection.as_ref().is_none_or(|only| only == connection)
    }

    /// Whether the hub can read the object through the provider's API.
    fn is_readable(&self, source: &RemoteId) -> bool {
        let Ok((connection, provider)) = self.config.connection(&source.connection) else { return false };
        let fetched = provider.manifest().api.fetch.contains_key(&source.object);
        let listed = api_of(&connection.provider).is_some() && provider.object_of(&source.object).is_some();
        connection.api_secret.is_some() && (fetched || listed)
    }

    async fn dispatch(&self, golden: &GoldenRecord, plan: &mut Plan) -> Result<(), Failure> {
        let destinations = self.config.hub().object(golden.object).destinations.keys().filter(|name| self.includes(name));
        for destination in destinations {
            *plan.dispatches.entry(destination.clone()).or_default() += 1;
            if self.scope.apply {
                let received_at_ms = self.ports.now_ms();
                let (record, version) = (golden.id.clone(), golden.version);
                let dispatch = Dispatch { object: golden.object, record, version, trace: TRACE.to_owned(), received_at_ms };
                send_dispatches(self.ports, destination, [&dispatch]).await?;
            }
        }
        Ok(())
    }
}

/// The plans as text.
pub fn render(plans: &BTreeMap<ObjectType, Plan>) -> String {
    let mut text = String::new();
    for (object, plan) in plans {
        text += &format!("{object}: {} records, {} of them resolved by another configuration\n", plan.records, plan.outdated);
        text += &format!("  change at once: {} records{}\n", plan.changed, listed(" (", &plan.fields, ")"));
        text += &listed("  are read again: ", &plan.reads, "\n");
        text += &listed("  cannot be read again, and change with their next event: ", &plan.unreadable, "\n");
        text += &listed("  are compared and written where they differ: ", &plan.dispatches, "\n");
    }
    text
}

/// `before a 1, b 2 after`; nothing when there are no counts.
fn listed<N: AsRef<str>>(before: &str, counts: &BTreeMap<N, usize>, after: &str) -> String {
    let all: Vec<String> = counts.iter().map(|(name, count)| format!("{} {count}", name.as_ref())).collect();
    if all.is_empty() { String::new() } else { format!("{before}{}{after}", all.join(", ")) }
}
