//! The table of effects: what a change of one object says about another.

use std::collections::BTreeMap;

use canonical::{FieldDef, FieldKind, ObjectType};
use mapping::file::{Entries, Span, Spanned, TextOr, suggestion};
use sync::config::{Effect, EffectValue};

use super::context::Context;
use super::file::{AssignmentTable, EffectTable};

/// Reads the list `effects`.
pub(super) fn effects(context: &mut Context<'_>, tables: Vec<Spanned<EffectTable>>) -> Vec<Effect> {
    tables.into_iter().filter_map(|table| effect(context, table.into_inner())).collect()
}

fn effect(context: &mut Context<'_>, table: EffectTable) -> Option<Effect> {
    let from = table.from.as_ref().and_then(|name| context.object(name));
    let to = table.to.as_ref().and_then(|name| context.object(name));
    let (from, to) = (from?, to?);
    for field in &table.about {
        if let Some(definition) = context.field(from, field)
            && !matches!(definition.kind, FieldKind::Ref(_))
        {
            let message = format!("`{}` is of kind {} and refers to no record", definition.name, definition.kind.name());
            context.report.error(field.span(), message);
        }
    }
    Some(Effect {
        from,
        when: conditions(context, from, table.when),
        to,
        about: table.about.into_iter().map(Spanned::into_inner).collect(),
        set: assignments(context, from, to, table.set),
        why: table.why.unwrap_or_default(),
    })
}

fn conditions(
    context: &mut Context<'_>,
    from: ObjectType,
    table: Entries<Vec<Spanned<String>>>,
) -> BTreeMap<String, Vec<String>> {
    let mut when = BTreeMap::new();
    for (name, values) in table.0 {
        let Some(definition) = context.field(from, &name) else { continue };
        values.iter().for_each(|value| check_member(context, definition, value));
        when.insert(name.into_inner(), values.into_iter().map(Spanned::into_inner).collect());
    }
    when
}

fn check_member(context: &mut Context<'_>, definition: &FieldDef, value: &Spanned<String>) {
    let text = value.get_ref();
    if let FieldKind::Enum(members) = definition.kind
        && !members.contains(&text.as_str())
    {
        let message = format!("`{}.{}` is never `{text}`", definition.object, definition.name);
        let help = suggestion(text, members.iter().copied());
        context.report.error(value.span(), message).label("unknown value").help(help);
    }
}

fn assignments(
    context: &mut Context<'_>,
    from: ObjectType,
    to: ObjectType,
    table: Entries<Spanned<TextOr<AssignmentTable>>>,
) -> BTreeMap<String, EffectValue> {
    let mut set = BTreeMap::new();
    for (name, value) in table.0 {
        let Some(target) = context.field(to, &name) else { continue };
        if let Some(value) = assignment(context, from, target, value) {
            set.insert(name.into_inner(), value);
        }
    }
    set
}

fn assignment(
    context: &mut Context<'_>,
    from: ObjectType,
    target: &FieldDef,
    value: Spanned<TextOr<AssignmentTable>>,
) -> Option<EffectValue> {
    let at = value.span();
    match value.into_inner() {
        TextOr::Text(field) => copy(context, from, target, field, at),
        TextOr::Table(AssignmentTable { day_of: Some(field), text: None }) => day_of(context, from, target, field),
        TextOr::Table(AssignmentTable { day_of: None, text: Some(text) }) => template(context, from, target, text),
        TextOr::Table(_) => {
            context.report.error(at, "a value is a field's name, { day_of = … } or { text = … }");
            None
        }
    }
}

fn copy(context: &mut Context<'_>, from: ObjectType, target: &FieldDef, field: String, at: Span) -> Option<EffectValue> {
    let source = context.field_at(from, &field, at.clone())?;
    if !fits(source.kind, target.kind) {
        let message = format!("`{}.{}` cannot go into `{}.{}`", source.object, source.name, target.object, target.name);
        let label = format!("{} into {}", describe(source.kind), describe(target.kind));
        context.report.error(at, message).label(label);
    }
    Some(EffectValue::Field(field))
}

fn day_of(context: &mut Context<'_>, from: ObjectType, target: &FieldDef, field: Spanned<String>) -> Option<EffectValue> {
    let source = context.field(from, &field)?;
    if !matches!(source.kind, FieldKind::Instant | FieldKind::Date) {
        let message = format!("`{}.{}` has no day: it is of kind {}", source.object, source.name, source.kind.name());
        context.report.error(field.span(), message);
    }
    if !matches!(target.kind, FieldKind::Date | FieldKind::Text) {
        let message =
            format!("a day cannot go into `{}.{}`, which is of kind {}", target.object, target.name, target.kind.name());
        context.report.error(field.span(), message);
    }
    Some(EffectValue::DayOf(field.into_inner()))
}

fn template(context: &mut Context<'_>, from: ObjectType, target: &FieldDef, text: Spanned<String>) -> Option<EffectValue> {
    let mut rest = text.get_ref().as_str();
    let mut constant = true;
    while let Some((_, after)) = rest.split_once('{') {
        constant = false;
        let Some((field, tail)) = after.split_once('}') else {
            context.report.error(text.span(), "a `{` is not closed");
            return None;
        };
        if field != "id" {
            context.field_at(from, field, text.span())?;
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
        context.report.error(text.span(), message).label(format!("it is {}", describe(target.kind)));
    }
    Some(EffectValue::Text(text.into_inner()))
}

/// True when every value of one kind is a value of the other.
fn fits(source: FieldKind, target: FieldKind) -> bool {
    use FieldKind::{
        Bool, Date, Decimal, Domain, Email, Enum, Id, Industry, Instant, Int, Money, Name, Phone, Ref, Set, Text, Url, Verbatim,
    };
    match (source, target) {
        (Enum(from), Enum(to)) => from.iter().all(|member| to.contains(member)),
        (Ref(from), Ref(to)) => from == to,
        (Money | Bool | Int | Set(_) | Ref(_), other) => source == other,
        (
            Text | Name | Email | Phone | Id | Verbatim | Url | Domain | Industry | Enum(_) | Date | Instant | Decimal,
            Text | Verbatim,
        )
        | (Text | Name | Verbatim, Name) => true,
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
