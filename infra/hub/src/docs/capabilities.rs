//! What the hub reads and writes through the providers' APIs.

use providers::api::Op;
use providers::{ApiInfo, Destination, Rate, api_of};

use sync::config::Bucket;

use super::english::{code, codes};
use super::facts::{Facts, Folder};
use super::markdown::{GENERATED, Table};
use super::phrases::{credentials, duration, grouped, with_comment};

/// The page.
pub fn page(facts: &Facts<'_>) -> String {
    let mut reads = Table::new(&["provider", "by id", "by property", "changed since", "version", "timeout", "rates", "access"]);
    let mut writes = Table::new(&COLUMNS);
    for folder in &facts.folders {
        reads.row(&reading(folder));
        folder.provider.manifest().destinations.iter().for_each(|destination| writes.row(&writing(folder, destination)));
    }
    format!(
        "# What the hub does through the APIs\n\n{GENERATED}{INTRODUCTION}## Reading, rates, access\n\n{READING}{}## Writing\n\n{WRITING}{}{}",
        reads.end(),
        writes.end(),
        connections(facts)
    )
    .trim_end()
    .to_owned()
        + "\n"
}

const INTRODUCTION: &str = "\
This page shows what the hub does today. What else a provider offers is in its README. A rate is what the provider allows, according to its \
documentation; the rates of a connection, which all workers share, are below.

";

const READING: &str = "\
*By id*: the hub reads the records that thin events name. *By property*: it looks for an object before it creates one. *Changed since*: \
sweeps read what changed, so only these objects can stand in `sweep` in `hub.toml`. A dash means that the hub does not do this.

";

const WRITING: &str = "\
The hub creates and updates an object with one call (upsert) by the property that holds the hub's id. If an object already exists without \
that id, the hub adopts it: it looks the object up by the natural keys, in this order.

";

const COLUMNS: [&str; 8] = [
    "provider",
    "provider's object",
    "canonical object",
    "hub's id",
    "natural keys",
    "rows per upsert",
    "rows per find",
    "records per page",
];

fn reading(folder: &Folder) -> [String; 8] {
    let ApiInfo { version, timeout_ms, auth, rates, fetch, .. } = &folder.provider.manifest().api;
    let comments = folder.comments("manifest.toml");
    let protocol = api_of(folder.name).is_some();
    let only_with_protocol = || if protocol { "yes" } else { "" }.to_owned();
    let listable = api_of(folder.name).map_or(&[][..], |api| api.listable());
    let named: Vec<&String> = fetch.keys().collect();
    let by_id = if named.is_empty() { only_with_protocol() } else { codes(&named, "and") };
    let called = protocol || !fetch.is_empty();
    let rates: Vec<String> = rates.iter().map(rate).collect();
    [
        folder.title().to_owned(),
        by_id,
        only_with_protocol(),
        codes(listable, "and"),
        if version.is_empty() { String::new() } else { code(version) },
        if called { duration(*timeout_ms) } else { String::new() },
        with_comment(rates.join(", "), &comments.of_key("rates")),
        auth.iter().map(credentials).collect::<Vec<_>>().join("; "),
    ]
}

fn rate(rate: &Rate) -> String {
    format!("{}: {} in {}", rate.name, grouped(rate.capacity), duration(rate.window_ms))
}

fn writing(folder: &Folder, destination: &Destination) -> [String; 8] {
    let protocol = api_of(folder.name);
    let rows = |op: Op| protocol.map(|api| api.batch_limit(op).to_string()).unwrap_or_default();
    [
        folder.title().to_owned(),
        code(&destination.native),
        folder.provider.object_of(&destination.native).map(|object| object.to_string()).unwrap_or_default(),
        code(&destination.id_property),
        codes(&destination.natural_keys, "then"),
        rows(Op::Upsert),
        rows(Op::Find),
        rows(Op::List),
    ]
}

fn connections(facts: &Facts<'_>) -> String {
    let mut table = Table::new(&["connection", "base URL", "version", "rate"]);
    let called = facts.compiled.hub.connections.iter().filter(|(_, c)| c.destination || !c.sweep.is_empty());
    for (name, connection) in called {
        let version = match connection.api_version.as_str() {
            "" => facts.folder(&connection.provider).map_or("", |folder| folder.provider.manifest().api_version()),
            own => own,
        };
        table.row(&[
            code(name),
            code(&connection.base_url),
            if version.is_empty() { String::new() } else { code(version) },
            if connection.buckets.is_empty() {
                "as the provider allows".to_owned()
            } else {
                connection.buckets.iter().map(bucket).collect()
            },
        ]);
    }
    format!("## The connections\n\nRates are token buckets that all workers share.\n\n{}", table.end())
}

fn bucket(bucket: &Bucket) -> String {
    format!("{} at once, refilled at {} per second", bucket.burst, bucket.per_second)
}
