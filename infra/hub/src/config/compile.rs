//! From the text of `hub.toml` to what the functions read, as far as it can be told without the providers' folders.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use canonical::{Lane, ObjectType};
use sync::config::{Bucket, Connection, Hub, Limits, Retry};
use toml::de::DeTable;

use super::effects;
use super::finding::{Finding, Source, suggestion};
use super::policy;
use super::read::{At, Findings, Table};

/// What `hub.toml` says, with the places that later checks point at.
#[derive(Debug)]
pub struct Compiled {
    /// What the functions read.
    pub hub: Hub,
    /// How long the oldest message of a connection may wait, in milliseconds.
    pub slas: BTreeMap<String, u64>,
    /// Why personal data of an object may go to destinations.
    pub purposes: BTreeMap<ObjectType, String>,
    /// Connections whose signing secret the hub issues itself, and rotates.
    pub rotating: BTreeSet<String>,
    /// How each connection differs from its provider's folder.
    pub differences: BTreeMap<String, Difference>,
    /// Where things stand.
    pub places: Places,
}

/// How a connection differs from its provider's folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    /// The signature versions that it accepts.
    pub accept: Option<Vec<String>>,
    /// How far the sender's clock may be off, in seconds.
    pub tolerance_s: Option<u32>,
    /// The topics of Amazon SNS that are its own.
    pub topics: Option<Vec<String>>,
    /// Mapping files of its own, relative to `hub.toml`, by the name of the provider's mapping that they change.
    pub mappings: BTreeMap<String, At<String>>,
}

/// Where things stand in the source.
#[derive(Debug, Default)]
pub struct Places {
    /// A connection's provider.
    pub providers: BTreeMap<String, Range<usize>>,
    /// A canonical object's native object at a connection.
    pub destinations: BTreeMap<(ObjectType, String), Range<usize>>,
    /// Native objects that are swept.
    pub sweeps: Vec<(String, At<String>)>,
}

/// What the reader knows besides the file.
pub struct Context<'a> {
    /// Collects what is wrong.
    pub findings: &'a Findings,
    /// The providers that have a folder.
    pub providers: &'a [&'a str],
    /// The connections, once they are read.
    pub connections: BTreeMap<String, Connection>,
}

impl Context<'_> {
    /// Reports a connection that is not there.
    pub fn known_connection(&self, name: &At<String>) -> bool {
        let known = self.connections.contains_key(&name.value);
        if !known {
            let finding = Finding::error(name.span.clone(), format!("there is no connection `{}`", name.value));
            let names: Vec<&str> = self.connections.keys().map(String::as_str).collect();
            self.findings.add(finding.label("unknown connection").help(suggestion(&name.value, names)));
        }
        known
    }

    /// The canonical object of a name, or a finding.
    pub fn object(&self, name: &str, span: Range<usize>) -> Option<ObjectType> {
        let object = name.parse().ok();
        if object.is_none() {
            let finding = Finding::error(span, format!("`{name}` is no canonical object")).label("unknown object");
            self.findings.add(finding.help(suggestion(name, ObjectType::ALL.iter().map(|o| o.name()))));
        }
        object
    }

    /// The canonical field of a name, or a finding.
    pub fn field(&self, object: ObjectType, name: &str, span: Range<usize>) -> Option<&'static canonical::FieldDef> {
        let field = canonical::find_field(object, name);
        if field.is_none() {
            let finding = Finding::error(span, format!("`{object}` has no field `{name}`")).label("unknown field");
            let names: Vec<&str> = canonical::fields_of(object).map(|f| f.name).collect();
            self.findings.add(finding.help(suggestion(name, names)));
        }
        field
    }
}

/// Reads a source. The findings say what is wrong; without errors among them the result is whole.
pub fn compile(source: &Source, providers: &[&str]) -> (Option<Compiled>, Vec<Finding>) {
    let findings = Findings::default();
    let (document, errors) = DeTable::parse_recoverable(&source.text);
    if !errors.is_empty() {
        for error in errors {
            let span = error.span().unwrap_or(0..0);
            findings.add(Finding::error(span, error.message().to_owned()).label("not TOML"));
        }
        return (None, findings.into_sorted());
    }
    let root = Table::new(&findings, document.get_ref(), 0..0, "configuration");
    let compiled = read(&findings, root, providers);
    (Some(compiled), findings.into_sorted())
}

fn read(findings: &Findings, root: Table<'_>, providers: &[&str]) -> Compiled {
    let mut places = Places::default();
    let mut context = Context { findings, providers, connections: BTreeMap::new() };
    if !root.has("generation") {
        root.missing("generation");
    }
    let generation = root.number("generation", 1).unwrap_or(1);
    let mut slas = BTreeMap::new();
    let mut rotating = BTreeSet::new();
    let mut differences = BTreeMap::new();
    if let Some(connections) = root.table("connections", "configuration") {
        for (name, entry) in connections.entries() {
            check_name(findings, &name);
            let Some(table) = entry.table("connection") else { continue };
            slas.extend(table.duration("sla").map(|ms| (name.value.to_owned(), ms)));
            if table.flag("rotate_signing_secret") {
                rotating.insert(name.value.to_owned());
            }
            differences.insert(name.value.to_owned(), difference(&table));
            if let Some(connection) = connection(&context, name.value, table, &mut places) {
                context.connections.insert(name.value.to_owned(), connection);
            }
        }
    } else {
        root.missing("connections");
    }
    let mut objects = BTreeMap::new();
    policy::destinations(&context, &root, &mut objects, &mut places);
    policy::identity(&context, &root, &mut objects);
    policy::survivorship(&context, &root, &mut objects);
    let purposes = policy::purposes(&context, &root);
    let effects = effects::effects(&context, &root);
    let retry = root.table("retry", "retry schedule").map_or_else(Retry::default, retry);
    let limits = root.table("limits", "list of limits").map_or_else(Limits::default, limits);
    let journal_days = root.table("journal", "journal").map_or(DEFAULT_JOURNAL_DAYS, |table| {
        let days = table.number("days", 1).unwrap_or(DEFAULT_JOURNAL_DAYS);
        table.finish();
        days
    });
    root.finish();
    let hub = Hub {
        generation,
        connections: context.connections.into_iter().map(|(name, connection)| (name.into(), connection)).collect(),
        objects,
        effects,
        limits,
        retry,
        journal_days,
    };
    Compiled { hub, slas, purposes, rotating, differences, places }
}

/// Queue and dead-letter retention of 14 days each, and two weeks of a provider's redelivery.
const DEFAULT_JOURNAL_DAYS: u32 = 45;

/// A connection's name is part of URLs, queue names and keys.
fn check_name(findings: &Findings, name: &At<&str>) {
    let fits = name.value.len() <= 40
        && name.value.starts_with(|c: char| c.is_ascii_lowercase())
        && name.value.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !fits {
        let finding = Finding::error(name.span.clone(), format!("`{}` cannot be the name of a connection", name.value));
        findings.add(finding.help("use up to 40 lower-case letters, digits and `-`: it is part of URLs and queue names"));
    }
}

fn difference(table: &Table<'_>) -> Difference {
    let mut difference = Difference::default();
    if let Some(mappings) = table.table("mappings", "table of mapping files") {
        for (map, entry) in mappings.entries() {
            difference.mappings.extend(entry.text().map(|file| (map.value.to_owned(), file)));
        }
    }
    if let Some(signature) = table.table("signature", "signature") {
        difference.accept = signature.texts("accept").map(|texts| texts.into_iter().map(|t| t.value).collect());
        difference.tolerance_s = signature.duration("tolerance").map(|ms| u32::try_from(ms / 1_000).unwrap_or(u32::MAX));
        difference.topics = signature.texts("topics").map(|texts| texts.into_iter().map(|t| t.value).collect());
        signature.finish();
    }
    difference
}

fn connection(context: &Context<'_>, name: &str, table: Table<'_>, places: &mut Places) -> Option<Connection> {
    let findings = context.findings;
    let provider = table.required("provider");
    if let Some(provider) = &provider {
        places.providers.insert(name.to_owned(), provider.span.clone());
        if !context.providers.contains(&provider.value.as_str()) {
            let finding = Finding::error(provider.span.clone(), format!("there is no provider `{}`", provider.value));
            findings.add(finding.label("unknown provider").help(suggestion(&provider.value, context.providers.iter().copied())));
        }
    }
    let (source, destination) = roles(findings, &table);
    let buckets = rate(findings, &table);
    let sweep = table.texts("sweep").unwrap_or_default();
    let signing_secret = table.text("signing_secret").map(|t| t.value);
    let api_secret = table.text("api_secret").map(|t| t.value);
    let base_url = base_url(findings, &table);
    for (key, missing) in [("base_url", base_url.is_none()), ("api_secret", api_secret.is_none())] {
        if missing && !table.has(key) && (destination || !sweep.is_empty()) {
            let why = if destination { "is written to" } else { "is swept" };
            let finding = Finding::error(table.span(), format!("connection `{name}` has no `{key}`"));
            findings.add(finding.label(format!("it {why}")));
        }
    }
    let owner = table.text("owner").map(|t| t.value).unwrap_or_default();
    if owner.is_empty() {
        let finding = Finding::warning(table.span(), format!("nobody answers for connection `{name}`"));
        findings.add(finding.help("add owner = \"a team or a person\": alerts name it"));
    }
    let lane = lane(findings, &table);
    let api_version = table.text("api_version").map(|t| t.value).unwrap_or_default();
    let account = table.text("account").map(|t| t.value).unwrap_or_default();
    let test_records = table.flag("test_records");
    table.finish();
    places.sweeps.extend(sweep.iter().map(|object| (name.to_owned(), object.clone())));
    Some(Connection {
        provider: provider?.value,
        source,
        destination,
        lane,
        base_url: base_url.unwrap_or_default(),
        hosts: Vec::new(),
        account,
        api_version,
        signing_secret,
        api_secret,
        buckets,
        owner,
        sweep: sweep.into_iter().map(|object| object.value).collect(),
        test_records,
    })
}

fn roles(findings: &Findings, table: &Table<'_>) -> (bool, bool) {
    let (mut source, mut destination) = (false, false);
    let Some(roles) = table.texts("roles") else {
        table.missing("roles");
        return (source, destination);
    };
    for role in &roles {
        match role.value.as_str() {
            "source" => source = true,
            "destination" => destination = true,
            other => {
                let finding = Finding::error(role.span.clone(), format!("`{other}` is no role"));
                findings.add(finding.help(suggestion(other, ["source", "destination"])));
            }
        }
    }
    if roles.is_empty() {
        findings.add(Finding::error(table.span(), "a connection without roles does nothing").help("roles: source, destination"));
    }
    (source, destination)
}

fn lane(findings: &Findings, table: &Table<'_>) -> Lane {
    let Some(lane) = table.text("lane") else { return Lane::Urgent };
    match lane.value.as_str() {
        "urgent" => Lane::Urgent,
        "bulk" => Lane::Bulk,
        other => {
            findings.add(Finding::error(lane.span, format!("`{other}` is no lane")).help("lanes: urgent, bulk"));
            Lane::Urgent
        }
    }
}

fn base_url(findings: &Findings, table: &Table<'_>) -> Option<String> {
    let url = table.text("base_url")?;
    let host = url.value.strip_prefix("https://").unwrap_or_default();
    if host.is_empty() || host.contains('@') || host.contains(char::is_whitespace) {
        findings
            .add(Finding::error(url.span, "`base_url` must be an absolute https URL").help("for example https://api.hubapi.com"));
    } else if url.value.ends_with('/') {
        findings.add(Finding::error(url.span, "`base_url` must not end in a slash"));
    }
    Some(url.value)
}

/// The account's own rate, in place of those of the provider's manifest.
fn rate(findings: &Findings, table: &Table<'_>) -> Vec<Bucket> {
    let Some(rate) = table.table("rate", "rate") else { return Vec::new() };
    let requests: Option<u64> = rate.number("requests", 2);
    let per = rate.duration("per").filter(|ms| *ms > 0);
    if requests.is_none() && !rate.has("requests") {
        rate.missing("requests");
    }
    if per.is_none() && !rate.has("per") {
        rate.missing("per");
    }
    let span = rate.span();
    rate.finish();
    match (requests, per) {
        (Some(requests), Some(per)) => vec![Bucket::of("rate", requests, per)],
        _ => {
            findings
                .add(Finding::error(span, "a rate needs `requests` and `per`").help("rate = { requests = 100, per = \"10s\" }"));
            Vec::new()
        }
    }
}

fn retry(table: Table<'_>) -> Retry {
    let default = Retry::default();
    let seconds = |ms: &u64| u32::try_from(ms / 1_000).unwrap_or(u32::MAX);
    let retry = Retry {
        schedule_s: table.durations("schedule").map_or(default.schedule_s, |waits| waits.iter().map(seconds).collect()),
        jitter_percent: table.number("jitter_percent", 0).unwrap_or(default.jitter_percent),
        speed: default.speed,
    };
    table.finish();
    retry
}

fn limits(table: Table<'_>) -> Limits {
    let default = Limits::default();
    let ms = |key| table.duration(key).and_then(|ms| i64::try_from(ms).ok());
    let limits = Limits {
        members: table.number("members", 1).unwrap_or(default.members),
        union_entries: table.number("union_entries", 1).unwrap_or(default.union_entries),
        item_bytes: table.number("item_bytes", 1_000).unwrap_or(default.item_bytes),
        body_bytes: table.number("body_bytes", 1_000).unwrap_or(default.body_bytes),
        claim_check_bytes: table.number("claim_check_bytes", 1_000).unwrap_or(default.claim_check_bytes),
        future_ms: ms("future").unwrap_or(default.future_ms),
        echo_ms: ms("echo").unwrap_or(default.echo_ms),
    };
    table.finish();
    limits
}
