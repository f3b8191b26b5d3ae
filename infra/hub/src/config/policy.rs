//! Destinations, purposes, identity and survivorship: what holds for each canonical object.

use std::collections::BTreeMap;

use canonical::{FieldKind, ObjectType};
use sync::config::{Cleared, FieldPolicy, ObjectPolicy, Survivorship};

use super::compile::{Context, Places};
use super::finding::{Finding, suggestion};
use super::read::{At, Table};

type Objects = BTreeMap<ObjectType, ObjectPolicy>;

/// Reads the table `destinations`.
pub fn destinations(context: &Context<'_>, root: &Table<'_>, objects: &mut Objects, places: &mut Places) {
    let Some(table) = root.table("destinations", "table of destinations") else { return };
    for (name, entry) in table.entries() {
        let Some(object) = context.object(name.value, name.span.clone()) else { continue };
        let Some(targets) = entry.table("list of destinations") else { continue };
        for (connection, native) in targets.entries() {
            let connection = At { value: connection.value.to_owned(), span: connection.span };
            let Some(native) = native.text() else { continue };
            if !context.known_connection(&connection) {
                continue;
            }
            if !context.connections[&connection.value].destination {
                let finding = Finding::error(connection.span, format!("`{}` is no destination", connection.value));
                context.findings.add(finding.help("add \"destination\" to its roles"));
                continue;
            }
            places.destinations.insert((object, connection.value.clone()), native.span);
            objects.entry(object).or_default().destinations.insert(connection.value.into(), native.value);
        }
    }
}

/// Reads the table `purposes`.
pub fn purposes(context: &Context<'_>, root: &Table<'_>) -> BTreeMap<ObjectType, String> {
    let Some(table) = root.table("purposes", "table of purposes") else { return BTreeMap::new() };
    let mut purposes = BTreeMap::new();
    for (name, entry) in table.entries() {
        if let (Some(object), Some(purpose)) = (context.object(name.value, name.span.clone()), entry.text()) {
            purposes.insert(object, purpose.value);
        }
    }
    purposes
}

/// Reads the tables `identity.<object>`.
pub fn identity(context: &Context<'_>, root: &Table<'_>, objects: &mut Objects) {
    let Some(table) = root.table("identity", "table of identities") else { return };
    for (name, entry) in table.entries() {
        let Some(object) = context.object(name.value, name.span.clone()) else { continue };
        let Some(table) = entry.table("identity") else { continue };
        let policy = objects.entry(object).or_default();
        for key in table.texts("keys").unwrap_or_default() {
            for part in key.value.split('+') {
                if let Some(field) = context.field(object, part, key.span.clone()) {
                    check_key(context, field, &key);
                }
            }
            policy.keys.push(key.value);
        }
        policy.blocked = table.texts("blocked").unwrap_or_default().into_iter().map(|t| t.value).collect();
        table.finish();
    }
}

fn check_key(context: &Context<'_>, field: &canonical::FieldDef, key: &At<String>) {
    let usable = !matches!(field.kind, FieldKind::Money | FieldKind::Bool | FieldKind::Int | FieldKind::Set);
    if !usable {
        let finding = Finding::error(
            key.span.clone(),
            format!("`{}` is a {} and cannot be an identity key", field.name, field.kind.name()),
        );
        context.findings.add(finding.help("identity keys are texts: e-mail, phone, domain, id"));
    }
}

/// Reads the tables `survivorship.<object>` and the default for all.
pub fn survivorship(context: &Context<'_>, root: &Table<'_>, objects: &mut Objects) {
    let Some(table) = root.table("survivorship", "table of rules") else { return };
    let default = table.text("default").and_then(|rule| simple_rule(context, &rule));
    for (name, entry) in table.entries().filter(|(name, _)| name.value != "default") {
        let Some(object) = context.object(name.value, name.span.clone()) else { continue };
        let Some(rules) = entry.table("table of field rules") else { continue };
        for (field, entry) in rules.entries() {
            let Some(definition) = context.field(object, field.value, field.span.clone()) else { continue };
            let Some(rule) = entry.table("field rule") else { continue };
            if let Some(policy) = field_policy(context, definition, &field, rule) {
                objects.entry(object).or_default().fields.insert(field.value.to_owned(), policy);
            }
        }
    }
    for object in ObjectType::ALL {
        objects.entry(*object).or_default().default.clone_from(&default);
    }
}

fn simple_rule(context: &Context<'_>, rule: &At<String>) -> Option<Survivorship> {
    match rule.value.as_str() {
        "latest" => Some(Survivorship::Latest),
        "first" => Some(Survivorship::First),
        "union" => Some(Survivorship::Union),
        "most_restrictive" => Some(Survivorship::MostRestrictive),
        other => {
            let finding = Finding::error(rule.span.clone(), format!("`{other}` is no rule"));
            context.findings.add(finding.help(suggestion(other, ["latest", "first", "union", "most_restrictive"])));
            None
        }
    }
}

fn field_policy(
    context: &Context<'_>,
    definition: &canonical::FieldDef,
    field: &At<&str>,
    table: Table<'_>,
) -> Option<FieldPolicy> {
    let rule = one_rule(context, &table);
    if let Some(rule) = &rule {
        check_kind(context, definition, field, rule);
    }
    let cleared = match table.text("cleared") {
        Some(word) if word.value == "clear" => Cleared::Clear,
        Some(word) if word.value != "keep" => {
            let finding = Finding::error(word.span, format!("`{}` is not what a cleared value can do", word.value));
            context.findings.add(finding.help("cleared = \"keep\" or \"clear\""));
            Cleared::Keep
        }
        _ => Cleared::Keep,
    };
    let why = table.text("why").map(|t| t.value).filter(|why| !why.trim().is_empty());
    if why.is_none() {
        let finding =
            Finding::error(field.span.clone(), format!("the rule of `{}.{}` has no `why`", definition.object, field.value));
        context.findings.add(finding.help("say in a few words why this field differs; the data dictionary shows it"));
    }
    table.finish();
    Some(FieldPolicy { rule: rule?, cleared, why })
}

fn one_rule(context: &Context<'_>, table: &Table<'_>) -> Option<Survivorship> {
    let rule = table.text("rule");
    let owner = table.text("owner");
    let prefer = table.texts("prefer");
    if [rule.is_some(), owner.is_some(), prefer.is_some()].iter().filter(|there| **there).count() != 1 {
        let finding = Finding::error(table.span(), "a field rule has exactly one of `rule`, `owner` and `prefer`");
        context.findings.add(finding);
        return None;
    }
    for connection in owner.iter().chain(prefer.iter().flatten()) {
        context.known_connection(connection);
    }
    match (rule, owner, prefer) {
        (Some(rule), ..) => simple_rule(context, &rule),
        (_, Some(owner), _) => Some(Survivorship::Owner(owner.value.into())),
        (_, _, Some(prefer)) => Some(Survivorship::Prefer(prefer.into_iter().map(|t| t.value.into()).collect())),
        _ => None,
    }
}

/// `union` is for sets, `most_restrictive` for levels of consent.
fn check_kind(context: &Context<'_>, definition: &canonical::FieldDef, field: &At<&str>, rule: &Survivorship) {
    let wrong = match rule {
        Survivorship::Union if definition.kind != FieldKind::Set => "`union` is for sets",
        Survivorship::MostRestrictive if !is_consent(definition.kind) => "`most_restrictive` is for levels of consent",
        _ => return,
    };
    let finding =
        Finding::error(field.span.clone(), format!("{wrong}, and `{}` is of kind {}", field.value, definition.kind.name()));
    context.findings.add(finding);
}

fn is_consent(kind: FieldKind) -> bool {
    matches!(kind, FieldKind::Enum(members) if members.contains(&"withdrawn") && members.contains(&"granted"))
}
