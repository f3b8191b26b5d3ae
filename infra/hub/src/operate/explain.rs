//! `hub explain`: shows where the values of a record come from, which source wins and why, and what was pushed.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use canonical::{Catalogue, ConnectionName, FieldName, ObjectType, RemoteId, Value};
use clap::Args;
use serde_json::json;
use sync::config::Hub;
use sync::failure::Failure;
use sync::ports::{Item, Key, Table};
use sync::record::audit::audit_partition;
use sync::record::{Claim, GoldenRecord, Link, SourceRecord, golden_by_id, identity_key, read_link, read_source, remote_hash};
use sync::seal::Vault;
use sync::transform::identity::key_text;

use super::Ports;
use super::open::HubArgs;
use crate::config::suggestion;
use crate::out::{CommandError, block_on, counted, print, print_json};
use crate::text::{WIDTH, cut, instant, narrow_table, visible, wrapped};

/// Arguments of `hub explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The hub.
    #[command(flatten)]
    pub hub: HubArgs,
    /// The canonical object: contact, company, deal, …
    pub object: String,
    /// The record's id, `connection/object/id`, or an identity value such as an e-mail address
    pub key: String,
    /// Only this field
    pub field: Option<String>,
    /// Print JSON, for programs
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
pub fn run(args: &ExplainArgs) -> Result<ExitCode, CommandError> {
    let object = object(&args.object)?;
    let hub = args.hub.open()?;
    check_field(hub.config.fields, object, args.field.as_deref())?;
    let found = block_on(async {
        let vault = Vault::open(&hub.ports).await?;
        Ok(explain(&hub.ports, &vault, &hub.config, object, &args.key).await?)
    })?;
    match found {
        Some(explanation) => {
            if args.json {
                print_json(&as_json(&explanation, &hub.config, args.field.as_deref()))?;
            } else {
                print(render(&explanation, &hub.config, args.field.as_deref()))?;
            }
            Ok(ExitCode::SUCCESS)
        }
        None => {
            let keys = hub.config.object(object).keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            eprintln!("`{}` leads to no {object}", visible(&args.key));
            eprintln!("  help: give its id, connection/object/id, or an identity value ({keys})");
            Ok(ExitCode::FAILURE)
        }
    }
}

pub(super) fn object(name: &str) -> Result<ObjectType, CommandError> {
    let known = ObjectType::ALL.iter().map(|object| object.name());
    name.parse().map_err(|_| CommandError::Usage(format!("`{name}` is not a canonical object; {}", suggestion(name, known))))
}

fn check_field(catalogue: Catalogue, object: ObjectType, field: Option<&str>) -> Result<(), CommandError> {
    let Some(field) = field.filter(|field| catalogue.find(object, field).is_none()) else { return Ok(()) };
    let known: Vec<&str> = catalogue.fields_of(object).map(|f| f.name).collect();
    Err(CommandError::Usage(format!("`{object}` has no field `{field}`; {}", suggestion(field, known))))
}

/// Everything that the hub stores about a record.
#[derive(Debug)]
pub struct Explanation {
    /// The golden record.
    pub golden: GoldenRecord,
    /// Its source records.
    pub members: Vec<SourceRecord>,
    /// Its links by destination.
    pub links: Vec<(ConnectionName, Link)>,
    /// Its audit log, the oldest entry first.
    pub history: Vec<AuditEntry>,
    /// Its keys whose value other records hold as well, and how many of these there are.
    pub shared: Vec<(String, usize)>,
}

/// One entry of the audit log.
#[derive(Debug)]
pub struct AuditEntry {
    /// The sort key: the version and the writer.
    pub key: String,
    /// When it was written, in milliseconds since 1970.
    pub at_ms: Option<i64>,
    /// What was written.
    pub content: serde_json::Value,
}

/// Looks a record up by its own id, by `connection/object/id`, or by an identity value such as an e-mail address.
pub async fn explain<P: Ports>(
    ports: &P,
    vault: &Vault,
    hub: &Hub,
    object: ObjectType,
    key: &str,
) -> Result<Option<Explanation>, Failure> {
    for id in candidate_ids(ports, vault, hub, object, key).await? {
        if let Some(golden) = golden_by_id(ports, vault, object, &id).await? {
            return read_explanation(ports, vault, hub, golden).await.map(Some);
        }
    }
    Ok(None)
}

/// The ids that a key may stand for: itself, and what it leads to as a remote id or as the value of an identity key.
async fn candidate_ids<P: Ports>(
    ports: &P,
    vault: &Vault,
    hub: &Hub,
    object: ObjectType,
    key: &str,
) -> Result<Vec<String>, Failure> {
    let mut hashes = Vec::new();
    if let [connection, remote_object, id] = key.splitn(3, '/').collect::<Vec<_>>()[..] {
        let remote = RemoteId { connection: connection.into(), object: remote_object.into(), id: id.into() };
        hashes.push(remote_hash(vault, &remote));
    }
    let lower = key.trim().to_lowercase();
    let digits: String = key.chars().filter(|c| c.is_ascii_digit() || *c == '+').collect();
    for name in hub.object(object).keys() {
        let kind = hub.fields.find(object, name).map(|field| field.kind);
        for value in
            [key, lower.as_str(), digits.as_str()].map(|value| key_text(kind, value)).into_iter().collect::<BTreeSet<_>>()
        {
            let parts: Vec<&str> = if name.contains('+') { value.split('+').collect() } else { vec![&*value] };
            let mut hashed = vec!["field", object.name(), name];
            hashed.extend(parts);
            hashes.push(vault.key_hash(&hashed));
        }
    }
    let mut ids = vec![key.to_owned()];
    for hash in hashes {
        let item = ports.get(Table::Links, &identity_key(object, &hash)).await?;
        ids.extend(item.and_then(|item| item.s("golden").map(str::to_owned)));
    }
    Ok(ids)
}

async fn read_explanation<P: Ports>(ports: &P, vault: &Vault, hub: &Hub, golden: GoldenRecord) -> Result<Explanation, Failure> {
    let mut members = Vec::new();
    for member in &golden.members {
        if let Some(item) = ports.get(Table::Golden, &SourceRecord::key(vault, member)).await? {
            members.push(read_source(ports, vault, &item).await?);
        }
    }
    let mut links = Vec::new();
    for destination in hub.object(golden.object).destinations.keys() {
        let key = Link::key(destination, golden.object, &golden.id);
        if let Some(item) = ports.get(Table::Links, &key).await? {
            links.push((destination.clone(), read_link(ports, vault, &item).await?));
        }
    }
    let history = read_history(ports, vault, &golden).await?;
    let shared = read_shared(ports, &golden).await?;
    Ok(Explanation { golden, members, links, history, shared })
}

/// The keys of a record whose value is that of other records, too.
async fn read_shared<P: Ports>(ports: &P, golden: &GoldenRecord) -> Result<Vec<(String, usize)>, Failure> {
    let mut shared = Vec::new();
    for (hash, key) in golden.keys.iter().filter(|(_, key)| key.joins) {
        let item = ports.get(Table::Links, &identity_key(golden.object, hash)).await?;
        let others = item.as_ref().and_then(Claim::read).map_or(0, |claim| claim.others.len());
        if others > 0 {
            shared.push((key.name.clone(), others));
        }
    }
    Ok(shared)
}

async fn read_history<P: Ports>(ports: &P, vault: &Vault, golden: &GoldenRecord) -> Result<Vec<AuditEntry>, Failure> {
    let partition = audit_partition(golden.object, &golden.id);
    let (mut entries, mut after): (Vec<_>, Option<Key>) = (Vec::new(), None);
    loop {
        let page = ports.query(Table::Audit, &partition, "", 200, after.as_ref()).await?;
        for item in &page.items {
            let content = audit_content(ports, vault, item).await;
            entries.push(AuditEntry { key: item.key.sk.clone(), at_ms: item.n("at"), content });
        }
        after = page.next;
        if after.is_none() {
            return Ok(entries);
        }
    }
}

async fn audit_content<P: Ports>(ports: &P, vault: &Vault, item: &Item) -> serde_json::Value {
    if item.b("sealed").is_none() {
        return serde_json::Value::Null;
    }
    let unreadable = || serde_json::Value::String("unreadable: its data key was destroyed".to_owned());
    vault.unseal(ports, item).await.unwrap_or_else(|_| unreadable())
}

/// The explanation as text, for one field or for all.
pub fn render(explanation: &Explanation, hub: &Hub, only: Option<&str>) -> String {
    let golden = &explanation.golden;
    let deleted = match (golden.deleted, golden.no_key) {
        (true, _) => ", deleted at every source",
        (false, true) => ", held: no key (no source gave an e-mail address, telephone, id or domain)",
        (false, false) => "",
    };
    let heading = format!(
        "{} {}, version {}, resolved by generation {}{deleted}",
        golden.object, golden.id, golden.version, golden.generation
    );
    let mut text = wrapped(&heading, 2);
    if only.is_none() {
        text += "\nsource records\n";
        for member in &explanation.members {
            let deleted = if member.is_deleted() { "  deleted there" } else { "" };
            text += &wrapped(&format!("  {}{}{deleted}", member.source, ties_text(member, &explanation.members)), 4);
        }
        for (other, keys) in &golden.reviews {
            let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
            text += &format!("  may be the same as {other} by {}: hub review list\n", keys.join(", "));
        }
        for stranger in golden.strangers() {
            text += &format!("  kept apart from {stranger} by a person\n");
        }
        for (key, others) in &explanation.shared {
            let others = counted(*others, "other record");
            text += &wrapped(&format!("  a value of `{key}` is also that of {others}, and joins no further ones"), 4);
        }
    }
    text += "\nfields\n";
    text += &fields_text(explanation, hub, only);
    text += "\ndestinations\n";
    for destination in hub.object(golden.object).destinations.keys() {
        let link = explanation.links.iter().find(|(name, _)| name == destination).map(|(_, link)| link);
        let line = link.map_or_else(|| "nothing was pushed yet".to_owned(), |link| link_line(link, only));
        text += &wrapped(&format!("  {destination}: {line}"), 4);
    }
    text + &history_text(&explanation.history, only)
}

/// Which keys a source record has in common with the others. Their values are not shown.
fn ties_text(member: &SourceRecord, members: &[SourceRecord]) -> String {
    let mut ties: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for other in members.iter().filter(|other| other.source != member.source) {
        for (_, key) in member.keys.iter().filter(|(hash, key)| key.joins && other.keys.contains_key(*hash)) {
            ties.entry(&key.name).or_default().insert(other.source.to_string());
        }
    }
    let tie = |(key, others): (&&str, &BTreeSet<String>)| {
        let shown: Vec<&str> = others.iter().take(SHOWN_TIES).map(String::as_str).collect();
        let more = others.len().saturating_sub(SHOWN_TIES);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("{key} of {}{more}", shown.join(", "))
    };
    match (ties.is_empty(), members.len()) {
        (true, 1) => String::new(),
        (true, _) => "  joined by the hub's id".to_owned(),
        (false, _) => format!("  joined by {}", ties.iter().map(tie).collect::<Vec<_>>().join("; ")),
    }
}

/// So many source records are named for each key.
const SHOWN_TIES: usize = 3;

fn fields_text(explanation: &Explanation, hub: &Hub, only: Option<&str>) -> String {
    let Explanation { golden, members, .. } = explanation;
    let names: BTreeSet<&FieldName> = members.iter().flat_map(|m| m.fields.keys()).chain(golden.fields.keys()).collect();
    let is_empty = |name: &FieldName| {
        golden.fields.get(name).is_none_or(|r| r.value.is_null())
            && members.iter().filter_map(|m| m.fields.get(name)?.current()).all(|c| c.value.is_null())
    };
    let (empty, shown): (Vec<_>, Vec<_>) = match only {
        Some(only) => (Vec::new(), names.into_iter().filter(|name| &***name == only).collect()),
        None => names.into_iter().partition(|name| is_empty(name)),
    };
    let mut text: String = shown.iter().map(|name| field_text(explanation, hub, name)).collect();
    if shown.is_empty() {
        text += "  no source has sent a value\n";
    }
    if !empty.is_empty() {
        let names: Vec<&str> = empty.iter().map(|name| &***name).collect();
        text += &wrapped(&format!("  empty at every source: {}", names.join(", ")), 4);
    }
    text
}

/// A field's value and rule, then each source's value.
fn field_text(explanation: &Explanation, hub: &Hub, name: &FieldName) -> String {
    let resolved = explanation.golden.fields.get(name);
    let policy = hub.object(explanation.golden.object);
    let value = resolved.map_or_else(|| "has no value".to_owned(), |r| format!("= {}", r.value));
    let rule = resolved.map_or_else(|| policy.rule(name).0.describe(), |r| r.rule.clone());
    let why = policy.fields.get(&**name).and_then(|p| p.why.as_deref());
    let contested = if resolved.is_some_and(|r| r.contested) { ", contested" } else { "" };
    let mut rows = Vec::new();
    for member in &explanation.members {
        let Some(current) = member.fields.get(name).and_then(|o| o.current()) else { continue };
        let wins = resolved.is_some_and(|r| r.source == member.source);
        let note = match (wins, member.is_deleted(), current.flagged) {
            (_, true, _) => "deleted there, does not count",
            (true, _, _) => "wins",
            (_, _, true) => "not understood",
            _ => "",
        };
        rows.push(vec![
            " ".to_owned(),
            shown(current.value),
            member.source.to_string(),
            instant(current.stamp.at_ms),
            note.to_owned(),
        ]);
    }
    let why = why.map(|w| format!(": {w}")).unwrap_or_default();
    let value = cut(&value, WIDTH - 4 - name.len());
    wrapped(&format!("  {name} {value} [{rule}{contested}{why}]"), 4) + &narrow_table(&rows)
}

/// The explanation for programs, of one field or of all.
pub fn as_json(explanation: &Explanation, hub: &Hub, only: Option<&str>) -> serde_json::Value {
    let Explanation { golden, members, links, history, shared } = explanation;
    let policy = hub.object(golden.object);
    let names: BTreeSet<&FieldName> = members.iter().flat_map(|m| m.fields.keys()).chain(golden.fields.keys()).collect();
    let field = |name: &FieldName| {
        let resolved = golden.fields.get(name);
        let candidate = |member: &SourceRecord| {
            let current = member.fields.get(name)?.current()?;
            Some(json!({
                "value": current.value, "source": member.source.to_string(), "at": instant(current.stamp.at_ms),
                "wins": resolved.is_some_and(|r| r.source == member.source), "understood": !current.flagged,
            }))
        };
        let answer = json!({
            "value": resolved.map(|r| &r.value), "contested": resolved.is_some_and(|r| r.contested),
            "rule": resolved.map_or_else(|| policy.rule(name).0.describe(), |r| r.rule.clone()),
            "why": policy.fields.get(&**name).and_then(|p| p.why.as_deref()),
            "candidates": members.iter().filter_map(candidate).collect::<Vec<_>>(),
        });
        (name.to_string(), answer)
    };
    let fields: serde_json::Map<String, serde_json::Value> =
        names.into_iter().filter(|name| only.is_none_or(|only| &***name == only)).map(field).collect();
    let link = |(destination, link): &(ConnectionName, Link)| {
        json!({
            "destination": destination.as_str(), "object": link.remote_id(), "pushed_version": link.pushed_version(),
            "deleted": link.is_gone(), "refused_at_version": link.refused_at(), "in_flight": link.push().is_in_flight(),
        })
    };
    let source = |member: &SourceRecord| {
        let joined = ties_text(member, members);
        json!({"source": member.source.to_string(), "deleted": member.is_deleted(), "joined": joined.trim_start()})
    };
    let entry = |entry: &AuditEntry| json!({"key": entry.key, "at": entry.at_ms.map(instant), "content": entry.content});
    json!({
        "object": golden.object.name(), "id": golden.id.as_str(), "version": golden.version, "generation": golden.generation,
        "deleted": golden.deleted,
        "sources": members.iter().map(source).collect::<Vec<_>>(),
        "shared_keys": shared.iter().map(|(key, others)| json!({"key": key, "other_records": others})).collect::<Vec<_>>(),
        "fields": fields,
        "destinations": links.iter().map(link).collect::<Vec<_>>(),
        "history": history.iter().map(entry).collect::<Vec<_>>(),
    })
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "(cleared)".to_owned(),
        Value::Text(text) if text.is_empty() => "(empty)".to_owned(),
        other => other.to_string(),
    }
}

fn link_line(link: &Link, only: Option<&str>) -> String {
    let object = link.remote_id().map_or_else(|| "not created yet".to_owned(), |remote| format!("object {remote}"));
    let mut states = vec![format!("pushed version {}", link.pushed_version())];
    let flags = [
        (link.is_gone(), "gone there; the hub does not create it again"),
        (link.refused_at().is_some(), "refused there; a newer version is tried again"),
        (link.push().is_in_flight(), "a push is in flight"),
        (link.push().needs_look_up(), "read back before the next push"),
        (!link.duplicates_to_merge().is_empty(), "has duplicates there to merge"),
        (!link.refused_duplicates().is_empty(), "has duplicates that are not merged there: merge them by hand"),
    ];
    states.extend(link.set_aside().iter().map(|(property, set_aside)| format!("`{property}` is left out: {}", set_aside.code)));
    states.extend(flags.iter().filter(|(set, _)| *set).map(|(_, state)| (*state).to_owned()));
    if let Some(seen) = only.and_then(|name| link.knowledge().seen(name)) {
        let value = shown(&seen.value).replace('\u{1}', "… SHA-256 ");
        states.push(format!("holds {value} since {}", instant(seen.stamp.at_ms)));
    }
    format!("{object}, {}", states.join(", "))
}

fn history_text(history: &[AuditEntry], only: Option<&str>) -> String {
    let mentions = |content: &serde_json::Value, field: &str| content.get("fields").and_then(|f| f.get(field)).is_some();
    let entries: String = history
        .iter()
        .filter(|entry| only.is_none_or(|field| mentions(&entry.content, field)))
        .map(|entry| {
            let mut parts = entry.key.split('#').map(|part| part.trim_start_matches('0'));
            let (version, writer) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
            let at = entry.at_ms.map(instant).unwrap_or_default();
            wrapped(&format!("  version {version} by {writer} at {at}: {}", entry_line(&entry.content, only)), 4)
        })
        .collect();
    format!("\nhistory\n{}", if entries.is_empty() { "  none\n" } else { &entries })
}

fn entry_line(content: &serde_json::Value, only: Option<&str>) -> String {
    let text = |name: &str| content.get(name).and_then(serde_json::Value::as_str);
    let mut parts: Vec<String> =
        ["what", "outcome", "source", "event"].iter().filter_map(|n| text(n)).map(str::to_owned).collect();
    if let Some(fields) = content.get("fields").and_then(serde_json::Value::as_object) {
        for (name, change) in fields.iter().filter(|(name, _)| only.is_none_or(|only| only == name.as_str())) {
            match change.as_array().map(Vec::as_slice) {
                Some([before, after]) if before == after => {}
                Some([before, after]) => parts.push(format!("{name}: {before} → {after}")),
                _ => parts.push(format!("{name}: {change}")),
            }
        }
    }
    for (name, value) in content.get("properties").and_then(serde_json::Value::as_object).into_iter().flatten() {
        parts.push(format!("{name} = {value}"));
    }
    if parts.is_empty() {
        return content.as_str().map_or_else(|| content.to_string(), str::to_owned);
    }
    parts.join(", ")
}
