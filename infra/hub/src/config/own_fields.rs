//! Fields of one's own: the tables `fields.<object>`.

use std::collections::BTreeMap;

use canonical::{ObjectType, OwnField, ValueKind, find_field};
use mapping::file::{Entries, Span, Spanned};

use super::context::Context;
use super::file::OwnFieldTable;

/// The longest name of a field.
const LONGEST_NAME: usize = 60;

/// Reads the tables. `positions` gets where each field is.
pub(super) fn own_fields(
    context: &mut Context<'_>,
    tables: Entries<Entries<Spanned<OwnFieldTable>>>,
    positions: &mut BTreeMap<(ObjectType, String), Span>,
) -> Vec<OwnField> {
    let mut fields = Vec::new();
    for (object_name, table) in tables.0 {
        let Some(object) = context.object(&object_name) else { continue };
        for (name, field) in table.0 {
            check_name(context, object, &name);
            if let Some(field) = own_field(context, object, &name, field) {
                positions.insert((object, field.name.clone()), name.span());
                fields.push(field);
            }
        }
    }
    fields
}

fn check_name(context: &mut Context<'_>, object: ObjectType, name: &Spanned<String>) {
    let text = name.get_ref();
    let fits = text.len() <= LONGEST_NAME
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if !fits {
        let help = format!("use up to {LONGEST_NAME} lower-case letters, digits and `_`");
        context.report.error(name.span(), format!("`{text}` cannot be the name of a field")).help(help);
    } else if find_field(object, text).is_some() {
        let help = "map it as it is, or choose another name";
        context.report.error(name.span(), format!("the hub has a field `{text}` of a {object} already")).help(help);
    }
}

fn own_field(
    context: &mut Context<'_>,
    object: ObjectType,
    name: &Spanned<String>,
    table: Spanned<OwnFieldTable>,
) -> Option<OwnField> {
    let at = table.span();
    let table = table.into_inner();
    let kind = table.kind?;
    let refers_to = table.refers_to.as_ref().and_then(|target| context.object(target));
    if (kind == ValueKind::Enum) == table.members.is_empty() {
        let help = "kind = \"enum\", members = [\"one\", \"other\"]";
        context.report.error(at.clone(), "`members` lists the values of a field of the kind `enum`, and of no other").help(help);
    }
    if (kind == ValueKind::Ref) == table.refers_to.is_none() {
        let help = "kind = \"ref\", refers_to = \"company\"";
        context.report.error(at, "`refers_to` names the object for a field of the kind `ref`, and for no other").help(help);
    }
    Some(OwnField {
        object,
        name: name.get_ref().clone(),
        kind,
        members: table.members,
        refers_to,
        personal: table.personal.unwrap_or_default(),
        label: table.label.unwrap_or_default(),
    })
}
