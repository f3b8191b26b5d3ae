//! The table of effects: what a change of one object says about another.

use std::collections::BTreeMap;

use canonical::{FieldDef, FieldKind, ObjectType};
use sync::config::{Effect, EffectValue};

use super::compile::Context;
use super::finding::{Finding, suggestion};
use super::read::{At, Entry, Table};

/// Reads the list `effects`.
pub fn effects(context: &Context<'_>, root: &Table<'_>) -> Vec<Effect> {
    root.tables("effects", "effect").into_iter().filter_map(|table| effect(context, table)).collect()
}

fn effect(context: &Context<'_>, table: Table<'_>) -> Option<Effect> {
    let object = |name: Option<At<String>>| name.and_then(|n| context.object(&n.value, n.span));
    let from = object(table.required("from"));
    let to = object(table.required("to"));
    let when = table.table("when", "condition");
    let about = table.texts("about").unwrap_or_default();
    let set = table.table("set", "list of fields");
    if set.is_none() && !table.has("set") {
        table.missing("set");
    }
    let why = table.text("why").map(|t| t.value).unwrap_or_default();
    if why.trim().is_empty() {
        let finding = Finding::error(table.span(), "this effect has no `why`");
        context.findings.add(finding.help("say in a few words why one object speaks about another"));
    }
    table.finish();
    let (from, to) = (from?, to?);
    let when = when.map(|table| conditions(context, from, &table)).unwrap_or_default();
    for field in &about {
        if let Some(definition) = context.field(from, &field.value, field.span.clone())
            && !matches!(definition.kind, FieldKind::Ref(_))
        {
            let message = format!("`{}` is of kind {} and refers to no record", field.value, definition.kind.name());
            context.findings.add(Finding::error(field.span.clone(), message));
        }
    }
    let set = set.map(|table| assignments(context, from, to, &table)).unwrap_or_default();
    Some(Effect { from, when, to, about: about.into_iter().map(|t| t.value).collect(), set, why })
}

fn conditions(context: &Context<'_>, from: ObjectType, table: &Table<'_>) -> BTreeMap<String, Vec<String>> {
    let mut when = BTreeMap::new();
    for (name, entry) in table.entries() {
        let Some(definition) = context.field(from, name.value, name.span.clone()) else { continue };
        let values = entry.texts();
        for value in &values {
            check_member(context, definition, value);
        }
        when.insert(name.value.to_owned(), values.into_iter().map(|t| t.value).collect());
    }
    when
}

fn check_member(context: &Context<'_>, definition: &FieldDef, value: &At<String>) {
    if let FieldKind::Enum(members) = definition.kind
        && !members.contains(&value.value.as_str())
    {
        let message = format!("`{}.{}` is never `{}`", definition.object, definition.name, value.value);
        let finding = Finding::error(value.span.clone(), message).label("unknown value");
        context.findings.add(finding.help(suggestion(&value.value, members.iter().copied())));
    }
}

fn assignments(context: &Context<'_>, from: ObjectType, to: ObjectType, table: &Table<'_>) -> BTreeMap<String, EffectValue> {
    let mut set = BTreeMap::new();
    for (name, entry) in table.entries() {
        let Some(target) = context.field(to, name.value, name.span.clone()) else { continue };
        if let Some(value) = assignment(context, from, target, entry) {
            set.insert(name.value.to_owned(), value);
        }
    }
    set
}

fn assignment(context: &Context<'_>, from: ObjectType, target: &FieldDef, entry: Entry<'_>) -> Option<EffectValue> {
    if let Some(field) = entry.as_text() {
        let source = context.field(from, &field.value, field.span.clone())?;
        if !fits(source.kind, target.kind) {
            let finding = Finding::error(
                field.span.clone(),
                format!("`{}.{}` cannot go into `{}.{}`", source.object, source.name, target.object, target.name),
            );
            context.findings.add(finding.label(format!("{} into {}", describe(source.kind), describe(target.kind))));
        }
        return Some(EffectValue::Field(field.value));
    }
    let table = entry.table("value: a field's name, { day_of = … } or { text = … },")?;
    let value = match (table.text("day_of"), table.text("text")) {
        (Some(field), None) => day_of(context, from, target, field),
        (None, Some(text)) => template(context, from, target, text),
        _ => {
            context.findings.add(Finding::error(table.span(), "a value is a field's name, { day_of = … } or { text = … }"));
            None
        }
    };
    table.finish();
    value
}

fn day_of(context: &Context<'_>, from: ObjectType, target: &FieldDef, field: At<String>) -> Option<EffectValue> {
    let source = context.field(from, &field.value, field.span.clone())?;
    if !matches!(source.kind, FieldKind::Instant | FieldKind::Date) {
        let message = format!("`{}.{}` has no day: it is of kind {}", source.object, source.name, source.kind.name());
        context.findings.add(Finding::error(field.span.clone(), message));
    }
    if !matches!(target.kind, FieldKind::Date | FieldKind::Text) {
        let message =
            format!("a day cannot go into `{}.{}`, which is of kind {}", target.object, target.name, target.kind.name());
        context.findings.add(Finding::error(field.span, message));
    }
    Some(EffectValue::DayOf(field.value))
}

fn template(context: &Context<'_>, from: ObjectType, target: &FieldDef, text: At<String>) -> Option<EffectValue> {
    let mut rest = text.value.as_str();
    let mut constant = true;
    while let Some((_, after)) = rest.split_once('{') {
        constant = false;
        let Some((field, tail)) = after.split_once('}') else {
            context.findings.add(Finding::error(text.span, "a `{` is not closed"));
            return None;
        };
        if field != "id" {
            context.field(from, field, text.span.clone())?;
        }
        rest = tail;
    }
    let fits = match target.kind {
        FieldKind::Text | FieldKind::Name | FieldKind::Id | FieldKind::Verbatim => true,
        FieldKind::Enum(_) if constant => {
            check_member(context, target, &text);
            true
        }
        _ => false,
    };
    if !fits {
        let message = format!("a text cannot go into `{}.{}`", target.object, target.name);
        context.findings.add(Finding::error(text.span.clone(), message).label(format!("it is {}", describe(target.kind))));
    }
    Some(EffectValue::Text(text.value))
}

/// True when every value of one kind is a value of the other.
fn fits(source: FieldKind, target: FieldKind) -> bool {
    use FieldKind::{Date, Decimal, Domain, Email, Enum, Id, Instant, Int, Money, Name, Phone, Ref, Set, Text, Url, Verbatim};
    match (source, target) {
        (Enum(from), Enum(to)) => from.iter().all(|member| to.contains(member)),
        (Ref(from), Ref(to)) => from == to,
        (Money | FieldKind::Bool | Int | Set | Ref(_), other) => source == other,
        (Text | Name | Email | Phone | Id | Verbatim | Url | Domain | Enum(_) | Date | Instant | Decimal, Text | Verbatim) => {
            true
        }
        (Text | Name | Verbatim, Name) => true,
        (from, to) => from == to,
    }
}

fn describe(kind: FieldKind) -> String {
    match kind {
        FieldKind::Ref(object) => format!("a reference to a {object}"),
        FieldKind::Enum(members) => format!("one of {}", members.join(", ")),
        other => format!("of kind {}", other.name()),
    }
}
