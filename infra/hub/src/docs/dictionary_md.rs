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
Every field that the hub knows: what it holds, which provider feeds it, where it is written, and what happens to the value on the way. \
The same as [a page with a search box](data-dictionary.html) and as [CSV](data-dictionary.csv).

| direction | means |
|---|---|
| 🟢 in | comes from sources only |
| 🔵 out | goes to destinations only |
| 🟡 both | comes from sources and goes to destinations |
| ⚪ none | known, and not mapped by any provider yet |

A path leads through a provider's body ([mapping files](../mapping.md#paths) explains it); a name with `$` is not in the body but known \
with it. A value without a valid form is set aside alone, with the reason; the other fields go on. Which objects are written where, and \
whose value counts, is what `infra/config/hub.toml` says.

";

/// The coloured mark and the word of a direction.
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
    let mut fields = Table::new(&["field", "direction", "type and validation", "meaning", "personal", "whose value counts"]);
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
    text + &format!("### Where {} comes from and goes\n\n", object.object.name()) + &rows.end()
}

/// What the configuration says about an object, a sentence each.
pub fn facts(object: &Object) -> Vec<String> {
    let mut facts = Vec::new();
    let destinations: Vec<String> = object.destinations.iter().map(|(name, native)| format!("{name} (`{native}`)")).collect();
    facts.push(match destinations.is_empty() {
        true => "Kept by the hub, written to no destination by itself.".to_owned(),
        false => format!("Written to {}.", destinations.join(", ")),
    });
    if !object.keys.is_empty() {
        facts.push(format!("Records are one when they share {}.", codes(&object.keys, "or")));
    }
    facts.extend(object.purpose.iter().map(|purpose| format!("Purpose of its personal data there: {purpose}.")));
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
