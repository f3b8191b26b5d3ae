//! `hub explain`: how a record came to be what it is.

use std::collections::BTreeSet;

use canonical::{ConnectionName, FieldName, ObjectType, RemoteId, Value};
use sync::config::Hub;
use sync::failure::Failure;
use sync::ports::{Item, Key, Table};
use sync::record::{GoldenRecord, Link, SourceRecord, golden_by_id, identity_key, read_link, read_source, remote_hash};
use sync::seal::Vault;

use super::Ports;
use super::text::{instant, table};

/// Everything that is known about a record.
#[derive(Debug)]
pub struct Story {
    /// The record.
    pub golden: GoldenRecord,
    /// Its version; a record of its own carries it apart.
    pub version: u64,
    /// Its members.
    pub members: Vec<SourceRecord>,
    /// Its objects at destinations.
    pub links: Vec<(ConnectionName, Link)>,
    /// Its history, the oldest first: version and writer, time, content.
    pub history: Vec<(String, Option<i64>, serde_json::Value)>,
}

/// Finds a record by its own id, by `connection/object/id`, or by an identity value such as an e-mail address.
pub async fn find<P: Ports>(
    ports: &P,
    vault: &Vault,
    hub: &Hub,
    object: ObjectType,
    key: &str,
) -> Result<Option<Story>, Failure> {
    for id in candidates(ports, vault, hub, object, key).await? {
        if let Some(golden) = golden_by_id(ports, vault, object, &id).await? {
            return tell(ports, vault, hub, golden).await.map(Some);
        }
    }
    Ok(None)
}

async fn candidates<P: Ports>(
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
    for name in &hub.object(object).keys {
        for value in BTreeSet::from([key, lower.as_str(), digits.as_str()]) {
            let parts: Vec<&str> = if name.contains('+') { value.split('+').collect() } else { vec![value] };
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

async fn tell<P: Ports>(ports: &P, vault: &Vault, hub: &Hub, golden: GoldenRecord) -> Result<Story, Failure> {
    let mut members = Vec::new();
    for member in &golden.members {
        if let Some(item) = ports.get(Table::Golden, &SourceRecord::key(vault, member)).await? {
            members.push(read_source(ports, vault, &item).await?);
        }
    }
    let mut links = Vec::new();
    for destination in hub.object(golden.object).destinations.keys() {
        let place = Link::key(destination, golden.object, &golden.id);
        if let Some(item) = ports.get(Table::Links, &place).await? {
            links.push((destination.clone(), read_link(ports, vault, &item).await?));
        }
    }
    let history = history(ports, vault, &golden).await?;
    Ok(Story { version: golden.version, golden, members, links, history })
}

async fn history<P: Ports>(
    ports: &P,
    vault: &Vault,
    golden: &GoldenRecord,
) -> Result<Vec<(String, Option<i64>, serde_json::Value)>, Failure> {
    let partition = sync::record::audit::audit_partition(golden.object, &golden.id);
    let (mut lines, mut after): (Vec<_>, Option<Key>) = (Vec::new(), None);
    loop {
        let page = ports.query(Table::Audit, &partition, "", 200, after.as_ref()).await?;
        for item in &page.items {
            lines.push((item.key.sk.clone(), item.n("at"), content(ports, vault, item).await));
        }
        after = page.next;
        if after.is_none() {
            return Ok(lines);
        }
    }
}

/// What an entry says; an entry whose key is gone says that.
async fn content<P: Ports>(ports: &P, vault: &Vault, item: &Item) -> serde_json::Value {
    if item.b("sealed").is_none() {
        return serde_json::Value::Null;
    }
    vault.unseal(ports, item).await.unwrap_or_else(|_| serde_json::Value::String("sealed under a key that is gone".to_owned()))
}

/// The story as text, of one field or of all.
pub fn render(story: &Story, hub: &Hub, only: Option<&str>) -> String {
    let golden = &story.golden;
    let state = if golden.deleted { ", deleted at every source" } else { "" };
    let mut text = format!(
        "{} {}, version {}, resolved by generation {}{state}\n",
        golden.object, golden.id, story.version, golden.generation
    );
    if only.is_none() {
        text += "\nsource records\n";
        for member in &story.members {
            let deleted = if member.is_deleted() { "  deleted there" } else { "" };
            text += &format!("  {}{deleted}\n", member.source);
        }
    }
    text += "\nfields\n";
    let names: BTreeSet<&FieldName> = story.members.iter().flat_map(|m| m.fields.keys()).chain(golden.fields.keys()).collect();
    let mut shown = 0;
    let empty = |name: &FieldName| {
        golden.fields.get(name).is_none_or(|r| r.value.is_null())
            && story.members.iter().filter_map(|m| m.fields.get(name)?.current()).all(|c| c.value.is_null())
    };
    let (cleared, names): (Vec<_>, Vec<_>) = names.into_iter().partition(|name| only.is_none() && empty(name));
    for name in names.into_iter().filter(|name| only.is_none_or(|only| only == &***name)) {
        text += &field(story, hub, name);
        shown += 1;
    }
    if shown == 0 {
        text += "  no source has said anything\n";
    }
    if !cleared.is_empty() {
        let names: Vec<&str> = cleared.iter().map(|name| &***name).collect();
        text += &format!("  empty everywhere: {}\n", names.join(", "));
    }
    text += "\ndestinations\n";
    for destination in hub.object(golden.object).destinations.keys() {
        let link = story.links.iter().find(|(name, _)| name == destination).map(|(_, link)| link);
        text +=
            &format!("  {destination}: {}\n", link.map_or_else(|| "nothing was pushed yet".to_owned(), |l| link_line(l, only)));
    }
    text + &history_text(story, only)
}

fn field(story: &Story, hub: &Hub, name: &FieldName) -> String {
    let resolved = story.golden.fields.get(name);
    let value = resolved.map_or_else(|| "has no value".to_owned(), |r| format!("= {}", r.value));
    let rule = resolved.map_or_else(|| hub.object(story.golden.object).rule(name).0.describe(), |r| r.rule.clone());
    let why = hub.object(story.golden.object).fields.get(&**name).and_then(|p| p.why.as_deref());
    let contested = if resolved.is_some_and(|r| r.contested) { ", contested" } else { "" };
    let mut text = format!("  {name} {value}   [{rule}{contested}{}]\n", why.map(|w| format!(": {w}")).unwrap_or_default());
    let mut rows = Vec::new();
    for member in &story.members {
        let Some(current) = member.fields.get(name).and_then(|o| o.current()) else { continue };
        let won = resolved.is_some_and(|r| r.source == member.source);
        let note = match (won, member.is_deleted(), current.flagged) {
            (_, true, _) => "deleted there, has no say",
            (true, _, _) => "wins",
            (_, _, true) => "not understood",
            _ => "",
        };
        rows.push(vec![
            "   ".to_owned(),
            shown(current.value),
            member.source.to_string(),
            instant(current.stamp.at_ms),
            note.to_owned(),
        ]);
    }
    text += &table(&rows);
    text
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "(cleared)".to_owned(),
        Value::Text(text) if text.is_empty() => "(empty)".to_owned(),
        other => other.to_string(),
    }
}

fn link_line(link: &Link, only: Option<&str>) -> String {
    let place = link.remote.as_deref().map_or_else(|| "not created yet".to_owned(), |remote| format!("object {remote}"));
    let mut states = vec![format!("pushed version {}", link.pushed_version)];
    let flags = [
        (link.gone, "deleted there, never created again by itself"),
        (link.rejected, "refused there; a newer version tries again"),
        (link.open, "a push is not settled yet"),
        (link.dirty, "will be read back before the next push"),
        (!link.orphans.is_empty(), "has duplicates there to merge"),
    ];
    states.extend(flags.iter().filter(|(set, _)| *set).map(|(_, what)| (*what).to_owned()));
    if let Some(seen) = only.and_then(|name| link.seen.iter().find(|(field, _)| &***field == name)) {
        states.push(format!("holds {} since {}", shown(&seen.1.value), instant(seen.1.stamp.at_ms)));
    }
    format!("{place}, {}", states.join(", "))
}

fn history_text(story: &Story, only: Option<&str>) -> String {
    let mut text = "\nhistory\n".to_owned();
    let mut shown = 0;
    for (place, at, content) in &story.history {
        if only.is_some_and(|only| !mentions(content, only)) {
            continue;
        }
        let mut parts = place.split('#').map(|part| part.trim_start_matches('0'));
        let (version, writer) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
        let at = at.map(instant).unwrap_or_default();
        text += &format!("  version {version} by {writer} at {at}: {}\n", line(content, only));
        shown += 1;
    }
    if shown == 0 {
        text += "  none\n";
    }
    text
}

fn mentions(content: &serde_json::Value, field: &str) -> bool {
    content.get("fields").is_some_and(|fields| fields.get(field).is_some())
}

fn line(content: &serde_json::Value, only: Option<&str>) -> String {
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
