//! The data dictionary as Markdown.

use super::dictionary::{Field, Object, Row, Way};
use super::dictionary_csv::type_of;
use super::english::{code, codes};
use super::markdown::{GENERATED, Table, escape};

/// The page.
pub fn page(objects: &[Object]) -> String {
    let mut text = format!("# Canonical data dictionary\n\n{GENERATED}{INTRODUCTION}");
    for object in objects {
        let name = object.object.name();
        text += &format!("* [{name}](#{name}): {}\n", escape(object.object.doc()));
    }
    text.push('\n');
    objects.iter().for_each(|object| text += &section(object));
    text.truncate(text.trim_end().len());
    text + "\n"
}

const INTRODUCTION: &str = "\
This page lists every field of the hub's model: its meaning, the providers that send it, the destinations that receive it, and how its \
values are converted. The same data is available as [a page with a search box](data-dictionary.html) and as [CSV](data-dictionary.csv).

| direction | means |
|---|---|
| 🟢 in | comes from sources only |
| 🔵 out | goes to destinations only |
| 🟡 both | comes from sources and goes to destinations |
| ⚪ none | no provider maps it yet |

A path names a value in a provider's body; [mapping files](../mapping.md#paths) explains paths. A name with `$` is not part of the body: it \
comes from the request or from the connection. A value that cannot be normalised is quarantined: it alone is set aside, with the reason. \
`infra/config/hub.toml` decides which objects are written to which destination, and whose value wins.

";

/// A direction with its coloured mark.
fn mark(way: Option<Way>) -> &'static str {
    match way {
        Some(Way::In) => "🟢 in",
        Some(Way::Out) => "🔵 out",
        Some(Way::Both) => "🟡 both",
        None => "⚪ none",
    }
}

fn section(object: &Object) -> String {
    let mut text = format!("## {}\n\n{}\n\n", object.object.name(), escape(object.object.doc()));
    for fact in facts(object) {
        text += &format!("* {}\n", escape(&fact));
    }
    let mut fields = Table::new(&["field", "direction", "type and validation", "meaning", "personal", "which value wins"]);
    for field in &object.fields {
        fields.row(&[
            code(field.def.name).as_str(),
            mark(field.way),
            &format!("{}: {}", type_of(field.def.kind), field.validation),
            field.def.doc,
            if field.def.personal { "yes" } else { "" },
            &field.winner,
        ]);
    }
    text.push('\n');
    text += &fields.end();
    let mut rows = Table::new(&["field", "provider and object", "direction", "from", "in", "to", "out", "validation", "reason"]);
    object.fields.iter().for_each(|field| field.rows.iter().for_each(|row| mapping(&mut rows, field, row)));
    text + &format!("### Mappings of {}\n\n", object.object.name()) + &rows.end()
}

/// What the configuration sets for an object, a sentence each.
pub fn facts(object: &Object) -> Vec<String> {
    let mut facts = Vec::new();
    let destinations: Vec<String> = object.destinations.iter().map(|(name, native)| format!("{name} (`{native}`)")).collect();
    facts.push(match destinations.is_empty() {
        true => "The hub stores it and writes it to no destination.".to_owned(),
        false => format!("Written to {}.", destinations.join(", ")),
    });
    if !object.keys.is_empty() {
        facts.push(format!("Source records that share {} are joined into one golden record.", codes(&object.keys, "or")));
    }
    facts.extend(object.purpose.iter().map(|purpose| format!("Purpose of the personal data at these destinations: {purpose}.")));
    facts
}

fn mapping(table: &mut Table, field: &Field, row: &Row) {
    table.row(&[
        code(field.def.name),
        format!("{} {}", row.source, code(&row.object)),
        mark(Some(row.way)).to_owned(),
        row.paths.iter().map(|path| code(path)).collect::<Vec<_>>().join(", "),
        row.incoming.join("; "),
        row.property.as_deref().map(code).unwrap_or_default(),
        row.outgoing.join("; "),
        row.checks.join("; "),
        row.reason.clone(),
    ]);
}
