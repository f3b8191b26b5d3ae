//! Destinations, purposes, identity and survivorship: what holds for each canonical object.

use std::collections::BTreeMap;

use canonical::{ConnectionName, FieldDef, FieldKind, ObjectType};
use mapping::file::{Entries, Span, Spanned, TextOr};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as WordError, StrDeserializer};
use sync::config::{FieldPolicy, ObjectPolicy, Survivorship};

use super::context::Context;
use super::file::{FieldPolicyTable, IdentityTable};

type Objects = BTreeMap<ObjectType, ObjectPolicy>;

/// Reads the table `destinations`. `positions` gets where each of them is.
pub(super) fn destinations(
    context: &mut Context<'_>,
    table: Entries<Entries<Spanned<String>>>,
    objects: &mut Objects,
    positions: &mut BTreeMap<(ObjectType, ConnectionName), Span>,
) {
    for (name, targets) in table.0 {
        let Some(object) = context.object(&name) else { continue };
        for (connection, native) in targets.0 {
            let Some(known) = context.connection(&connection) else { continue };
            if !known.destination {
                let message = format!("`{}` is not a destination", connection.get_ref());
                context.report.error(connection.span(), message).help("add \"destination\" to its roles");
                continue;
            }
            let connection: ConnectionName = connection.into_inner().into();
            positions.insert((object, connection.clone()), native.span());
            objects.entry(object).or_default().destinations.insert(connection, native.into_inner());
        }
    }
}

/// Reads the table `purposes`.
pub(super) fn purposes(context: &mut Context<'_>, table: Entries<String>) -> BTreeMap<ObjectType, String> {
    table.0.into_iter().filter_map(|(name, purpose)| Some((context.object(&name)?, purpose))).collect()
}

/// Reads the tables `identity.<object>`.
pub(super) fn identity(context: &mut Context<'_>, tables: Entries<IdentityTable>, objects: &mut Objects) {
    for (name, table) in tables.0 {
        let Some(object) = context.object(&name) else { continue };
        check_strengths(context, &table);
        for key in table.strong.iter().chain(&table.weak) {
            for part in key.get_ref().split('+') {
                if let Some(field) = context.field_at(object, part, key.span()) {
                    check_key(context, field, key.span());
                }
            }
        }
        let policy = objects.entry(object).or_default();
        policy.strong = table.strong.into_iter().map(Spanned::into_inner).collect();
        policy.weak = table.weak.into_iter().map(Spanned::into_inner).collect();
        policy.blocked = table.blocked;
        if let Some(people) = table.people_per_value {
            policy.people_per_value = people;
        }
    }
}

/// A key is strong or weak, and a weak key needs a strong one that tells records apart.
fn check_strengths(context: &mut Context<'_>, table: &IdentityTable) {
    for weak in &table.weak {
        if table.strong.iter().any(|strong| strong.get_ref() == weak.get_ref()) {
            let message = format!("`{}` is a strong and a weak key", weak.get_ref());
            context.report.error(weak.span(), message).help("name it in one of the two lists");
        }
    }
    if let (Some(first), true) = (table.weak.first(), table.strong.is_empty()) {
        let help = "add the field that tells records apart to `strong`, such as \"email\"";
        context.report.error(first.span(), "a weak key without a strong one").help(help);
    }
}

fn check_key(context: &mut Context<'_>, field: &FieldDef, at: Span) {
    if matches!(field.kind, FieldKind::Money | FieldKind::Bool | FieldKind::Int | FieldKind::Set(_)) {
        let message = format!("`{}` is of kind {} and cannot be an identity key", field.name, field.kind.name());
        context.report.error(at, message).help("identity keys are texts: e-mail, phone, domain, id");
    }
}

/// Reads the tables `survivorship.<object>`, and the default for all.
pub(super) fn survivorship(
    context: &mut Context<'_>,
    table: Entries<TextOr<Entries<Spanned<FieldPolicyTable>>>>,
    objects: &mut Objects,
) {
    let mut default = None;
    for (name, value) in table.0 {
        match value {
            // The only key that is a text.
            TextOr::Text(word) => default = rule_of(&word),
            TextOr::Table(rules) => field_policies(context, &name, rules, objects),
        }
    }
    for object in ObjectType::ALL {
        objects.entry(*object).or_default().default.clone_from(&default);
    }
}

/// The rule of a word, which the check of the file has found to be one.
fn rule_of(word: &str) -> Option<Survivorship> {
    let word: StrDeserializer<'_, WordError> = word.into_deserializer();
    Survivorship::deserialize(word).ok()
}

fn field_policies(
    context: &mut Context<'_>,
    name: &Spanned<String>,
    rules: Entries<Spanned<FieldPolicyTable>>,
    objects: &mut Objects,
) {
    let Some(object) = context.object(name) else { return };
    for (field, table) in rules.0 {
        let Some(definition) = context.field(object, &field) else { continue };
        if let Some(policy) = field_policy(context, definition, &field, table) {
            objects.entry(object).or_default().fields.insert(field.into_inner(), policy);
        }
    }
}

fn field_policy(
    context: &mut Context<'_>,
    definition: &FieldDef,
    field: &Spanned<String>,
    table: Spanned<FieldPolicyTable>,
) -> Option<FieldPolicy> {
    let at = table.span();
    let table = table.into_inner();
    let (cleared, why) = (table.cleared, table.why.clone());
    let rule = one_rule(context, &at, table)?;
    check_kind(context, definition, field, &rule);
    Some(FieldPolicy { rule, cleared, why })
}

fn one_rule(context: &mut Context<'_>, at: &Span, table: FieldPolicyTable) -> Option<Survivorship> {
    for connection in table.owner.iter().chain(table.prefer.iter().flatten()) {
        context.connection(connection);
    }
    match (table.rule, table.owner, table.prefer) {
        (Some(rule), None, None) => Some(rule),
        (None, Some(owner), None) => Some(Survivorship::Owner(owner.into_inner().into())),
        (None, None, Some(prefer)) => {
            Some(Survivorship::Prefer(prefer.into_iter().map(|connection| connection.into_inner().into()).collect()))
        }
        _ => {
            if !context.report.has_error_within(at) {
                context.report.error(at.clone(), "a field rule has exactly one of `rule`, `owner` and `prefer`");
            }
            None
        }
    }
}

/// `union` is for sets, `most_restrictive` for levels of consent.
fn check_kind(context: &mut Context<'_>, definition: &FieldDef, field: &Spanned<String>, rule: &Survivorship) {
    let wrong = match rule {
        Survivorship::Union if !matches!(definition.kind, FieldKind::Set(_)) => "`union` is for sets",
        Survivorship::MostRestrictive if !is_consent(definition.kind) => "`most_restrictive` is for levels of consent",
        _ => return,
    };
    let message = format!("{wrong}, and `{}` is of kind {}", definition.name, definition.kind.name());
    context.report.error(field.span(), message);
}

fn is_consent(kind: FieldKind) -> bool {
    matches!(kind, FieldKind::Enum(members) if members.contains(&"withdrawn") && members.contains(&"granted"))
}
