//! The inventory of integrations: what each provider sends and receives, and the connections.

use std::collections::BTreeSet;

use mapping::{Coverage, Map, Plan};
use providers::{EventAction, EventRule, Events, Manifest, OneOrMore};

use super::comments::Comments;
use super::english::{code, codes, conditions, inputs, listing, time_unit};
use super::facts::{Facts, Folder};
use super::markdown::{GENERATED, Table, escape};
use super::phrases::{credentials, duration, lane, roles, with_comment};
use super::signing::{handshakes, proofs};

/// The page.
pub fn page(facts: &Facts<'_>) -> String {
    let mut text = format!("# Integration inventory\n\n{GENERATED}{INTRODUCTION}");
    text += &connections(facts);
    text += "## Providers\n\n";
    text += &overview(facts);
    facts.folders.iter().for_each(|folder| text += &section(folder));
    text.truncate(text.trim_end().len());
    text + "\n"
}

const INTRODUCTION: &str = "\
This page lists the connections of `infra/config/hub.toml` and every provider that the hub supports. See also the \
[data dictionary](data-dictionary.md) for fields, [what the hub does through the APIs](api-capabilities.md) for calls, and \
[deadlines](event-sla.md) for times.

";

fn connections(facts: &Facts<'_>) -> String {
    let columns =
        ["connection", "provider", "roles", "lane", "owner", "SLA", "writes", "swept", "secrets", "signing secret rotates"];
    let mut table = Table::new(&columns);
    for (name, connection) in &facts.compiled.hub.connections {
        let written: Vec<String> = (facts.compiled.hub.objects.iter())
            .filter_map(|(object, policy)| Some(format!("{object} → `{}`", policy.destinations.get(name)?)))
            .collect();
        let secrets: Vec<&String> = connection.signing_secret.iter().chain(&connection.api_secret).collect();
        let rotates = match (facts.compiled.rotating.contains(name.as_str()), &connection.signing_secret) {
            (true, _) => "by the hub",
            (false, Some(_)) => "by people",
            (false, None) => "",
        };
        table.row(&[
            code(name),
            facts.folder(&connection.provider).map_or(connection.provider.as_str(), Folder::title).to_owned(),
            roles(connection),
            lane(connection.lane).to_owned(),
            connection.owner.clone(),
            facts.compiled.slas.get(name.as_str()).map(|ms| duration(*ms)).unwrap_or_default(),
            written.join(", "),
            codes(&connection.sweep, "and"),
            codes(&secrets, "and"),
            rotates.to_owned(),
        ]);
    }
    format!("## Connections\n\n{}", table.end())
}

fn overview(facts: &Facts<'_>) -> String {
    let mut table = Table::new(&["provider", "lane", "objects in", "written", "events"]);
    for folder in &facts.folders {
        let manifest = folder.provider.manifest();
        let written: Vec<&str> = manifest.destinations.iter().map(|d| d.native.as_str()).collect();
        let actions = manifest.events.as_ref().map(|events| actions(&events.on)).unwrap_or_default();
        table.marked(&[
            format!("[{}](#{})", escape(folder.title()), folder.name),
            lane(manifest.provider.lane).to_owned(),
            escape(&objects(folder).join(", ")),
            codes(&written, "and"),
            actions.join(", "),
        ]);
    }
    table.end()
}

/// The canonical objects that a folder's mapping files produce.
fn objects(folder: &Folder) -> Vec<&'static str> {
    let plans = folder.provider.maps().flat_map(|(_, map)| &map.plans);
    let objects: BTreeSet<_> = plans.map(|plan| plan.object).collect();
    objects.into_iter().map(|object| object.name()).collect()
}

/// The actions for a provider's events, each once.
fn actions(on: &[EventRule]) -> Vec<&'static str> {
    let mut words: Vec<&str> = on.iter().map(|on| word(on.action)).collect();
    words.sort_unstable();
    words.dedup();
    words
}

/// The name of an action in manifests.
const fn word(action: EventAction) -> &'static str {
    match action {
        EventAction::Map => "map",
        EventAction::Fetch => "fetch",
        EventAction::Delete => "delete",
        EventAction::PrivacyDelete => "privacy_delete",
        EventAction::Merge => "merge",
        EventAction::Restore => "restore",
        EventAction::Sweep => "sweep",
        EventAction::Retain => "retain",
        EventAction::Ignore => "ignore",
    }
}

fn section(folder: &Folder) -> String {
    let manifest = folder.provider.manifest();
    let comments = folder.comments("manifest.toml");
    let mut text = format!("### <a id=\"{}\"></a>{}\n\n", folder.name, escape(folder.title()));
    for (name, text_of_trait) in traits(manifest, &comments) {
        text += &format!("* **{name}**: {}\n", escape(&text_of_trait));
    }
    let links: Vec<String> = manifest.provider.docs.iter().map(|url| format!("<{url}>")).collect();
    if !links.is_empty() {
        text += &format!("* **its documentation**: {}\n", links.join(", "));
    }
    text += &format!("* **how to connect it, and its limits**: [README](../../shared/providers/{}/README.md)\n\n", folder.name);
    if let Some(events) = &manifest.events {
        text += &event_table(events, &comments);
    }
    text + &object_table(folder)
}

/// The properties of a provider's webhooks and API: a name and a phrase each.
fn traits(manifest: &Manifest, comments: &Comments<'_>) -> Vec<(&'static str, String)> {
    let mut traits = vec![("lane", lane(manifest.provider.lane).to_owned())];
    traits.extend(proofs(&manifest.webhook.scheme).into_iter().map(|proof| ("verified by", proof)));
    traits.extend(handshakes(&manifest.webhook.handshakes).into_iter().map(|handshake| ("handshake", handshake)));
    if let Some(events) = &manifest.events {
        traits.push(("a body holds", shape(events)));
        traits.push(("idempotency key", joined(&events.key, " + ")));
        traits.extend(
            events.single_use_token.iter().map(|token| ("a signature is valid once, by", codes(token.as_slice(), "else"))),
        );
        let stamp = events.stamp.as_ref().map(|stamp| {
            let sequence = stamp.sequence.as_ref().map(|s| format!(", then the number {}", codes(s.as_slice(), "else")));
            format!("{} ({}){}", codes(stamp.from.as_slice(), "else"), time_unit(stamp.unit), sequence.unwrap_or_default())
        });
        traits
            .push(("order", with_comment(stamp.unwrap_or_else(|| "the time of receipt".to_owned()), &comments.of_key("stamp"))));
        traits
            .extend(events.sequence.iter().map(|s| ("sequence, in which a gap shows", format!("`{}` to `{}`", s.first, s.last))));
        traits.extend(test_records(events).map(|test| ("test records", test)));
    }
    traits.extend(manifest.api.auth.iter().map(|auth| ("credentials", credentials(auth))));
    traits
}

fn shape(events: &Events) -> String {
    let mut shape = Vec::new();
    shape.extend(events.at.iter().map(|at| format!("events at {}", codes(at.as_slice(), "else"))));
    let forms = [
        (events.list, "a list of events"),
        (events.form || events.multipart, "form fields"),
        (events.xml.is_some(), "XML"),
        (events.bodyless, "nothing: the event is in the headers"),
    ];
    shape.extend(forms.into_iter().filter(|(is, _)| *is).map(|(_, what)| what.to_owned()));
    if shape.is_empty() {
        shape.push("one event".to_owned());
    }
    let most = events.max_events.map(|most| format!(", at most {most} at once")).unwrap_or_default();
    listing(&shape, "or") + &most
}

fn test_records(events: &Events) -> Option<String> {
    let all: Vec<String> = events.test.iter().map(|(path, value)| format!("`{path}` is `{value}`")).collect();
    (!all.is_empty()).then(|| listing(&all, "and"))
}

fn joined(parts: &[OneOrMore], between: &str) -> String {
    let one = |part: &OneOrMore| match part.as_slice() {
        [one] => code(one),
        several => format!("({})", codes(several, "else")),
    };
    parts.iter().map(one).collect::<Vec<_>>().join(between)
}

fn event_table(events: &Events, comments: &Comments<'_>) -> String {
    let mut table = Table::new(&["event type", "condition", "action", "effect", "reason"]);
    for (nth, on) in events.on.iter().enumerate() {
        let when: Vec<String> = on.when.iter().map(|(path, value)| condition(path, value)).collect();
        let why = on.why.clone().unwrap_or_else(|| comments.of_header("[[events.on]]", nth));
        table.row(&[codes(on.types.as_slice(), "or"), listing(&when, "and"), word(on.action).to_owned(), effect(on), why]);
    }
    format!("The first matching line applies. An event that matches no line is ignored, and counted as such.\n\n{}", table.end())
}

fn condition(path: &str, value: &str) -> String {
    match value {
        "*" => format!("`{path}` has a value"),
        _ => format!("`{path}` is `{value}`"),
    }
}

/// The effect of a rule in plain English.
fn effect(on: &EventRule) -> String {
    let id = on.id.as_ref().map(|id| format!(" `{id}`")).unwrap_or_default();
    let object = on.object.as_ref().map(|object| format!(" of `{object}`")).unwrap_or_default();
    let mut text = match on.action {
        EventAction::Map if on.partial => "maps the fields in the event".to_owned(),
        EventAction::Map => "maps the record in the event".to_owned(),
        EventAction::Fetch if on.created || on.property.is_some() => {
            format!("reads the record{id}{object} from the API, unless the event reports a write of the hub itself")
        }
        EventAction::Fetch => format!("reads the record{id}{object} from the API"),
        EventAction::Delete => format!("marks the record{id}{object} as deleted"),
        EventAction::PrivacyDelete => format!("marks the record{id} as deleted: the person wants to be forgotten"),
        EventAction::Merge => {
            let survivor = on.survivor.as_ref().map(|s| codes(s.as_slice(), "else")).unwrap_or_default();
            let also = on.also_merged.as_ref().map(|also| format!(" and `{also}`")).unwrap_or_default();
            format!("points{id}{also} to the surviving record {survivor}")
        }
        EventAction::Restore => format!("removes the deletion mark of the record{id}{object}"),
        EventAction::Sweep => "reads everything that changed".to_owned(),
        EventAction::Retain => "stores the event as it came".to_owned(),
        EventAction::Ignore => "nothing".to_owned(),
    };
    if let Some(map) = &on.map {
        text += &format!(", by `{map}.map.toml`");
    }
    if let Some(each) = &on.each {
        text += &format!(", for each of {}", codes(each.as_slice(), "else"));
    }
    if on.then_fetch {
        text += "; then reads the current record from the API";
    }
    if !on.key.is_empty() {
        text += &format!("; its idempotency key is {}", joined(&on.key, " + "));
    }
    text
}

fn object_table(folder: &Folder) -> String {
    let columns =
        ["provider's object", "canonical object", "written", "id", "contains", "changed at", "condition", "deleted if", "note"];
    let mut table = Table::new(&columns);
    for (name, map) in folder.provider.maps() {
        let file = folder.comments(&format!("{name}.map.toml"));
        let written = folder.provider.destination(name).is_some();
        for (nth, plan) in map.plans.iter().enumerate() {
            table.row(&object_row(map, plan, written && plan.remote == map.remote, &note(&file, plan, nth)));
        }
    }
    format!("Objects:\n\n{}", table.end())
}

/// The comments of a file about one of its tables.
fn note(file: &Comments<'_>, plan: &Plan, nth: usize) -> String {
    let own = file.of_header(&format!("[{}]", plan.object), 0);
    let heading = if nth == 0 { file.heading() } else { String::new() };
    [heading, own].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ")
}

fn object_row(map: &Map, plan: &Plan, written: bool, note: &str) -> [String; 9] {
    let contains = match plan.coverage {
        Coverage::Snapshot => "the whole object",
        Coverage::Partial => "some fields",
    };
    let stamp = plan.stamp.as_ref().map_or_else(
        || "the event's time".to_owned(),
        |stamp| format!("{} ({})", inputs(map, &stamp.from, "else"), time_unit(stamp.unit)),
    );
    let suffix = if plan.id_suffix.is_empty() { String::new() } else { format!(", followed by `{}`", plan.id_suffix) };
    let word = if plan.id_join.is_some() { "and" } else { "else" };
    let gone = plan.deleted.as_ref().map(|deleted| conditions(map, &deleted.when, "and")).unwrap_or_default();
    [
        code(&plan.remote),
        plan.object.to_string(),
        if written { "yes" } else { "" }.to_owned(),
        format!("{}{suffix}", inputs(map, &plan.id, word)),
        contains.to_owned(),
        stamp,
        conditions(map, &plan.when, "and"),
        gone,
        note.to_owned(),
    ]
}
