//! Compiles one table of a mapping file into the plan of a canonical object.

use std::collections::BTreeMap;

use canonical::{Catalogue, ObjectType};

use crate::file::{Entries, Report, Spanned, suggestion};
use crate::input::Input;
use crate::map::{Deletion, ExternalId, Map, ObjectStamp, Plan};
use crate::normal;

use super::file::{DeletedTable, EmptyText, PlanTable, StampTable};
use super::rule::{RuleScope, compile_rules};
use super::slots::Slots;

/// The canonical object that a table is about: the one it names, else the one it is called after.
pub(super) fn object(name: &Spanned<String>, table: &PlanTable, report: &mut Report) -> Option<ObjectType> {
    let name = table.object.as_ref().unwrap_or(name);
    let text = name.get_ref();
    let object = text.parse().ok();
    if object.is_none() {
        let known = ObjectType::ALL.iter().map(|object| object.name());
        report.error(name.span(), format!("`{text}` is not a canonical object")).help(suggestion(text, known));
    }
    object
}

/// Compiles a table.
pub(super) fn compile(
    name: Spanned<String>,
    table: PlanTable,
    map: &Map,
    slots: &mut Slots,
    report: &mut Report,
) -> Option<Plan> {
    let object = object(&name, &table, report)?;
    let scope = RuleScope {
        object,
        catalogue: Catalogue::default(),
        properties: map.properties.as_ref(),
        direction: table.direction,
        field_stamp: table.field_stamp.as_ref(),
        overriding: false,
    };
    Some(Plan {
        object,
        remote: table.remote.unwrap_or_else(|| map.remote.clone()),
        coverage: table.coverage,
        id: slots.inputs(&table.id),
        id_join: table.id_join,
        id_suffix: table.id_suffix,
        id_of_event: table.id_of_event,
        stamp: table.stamp.map(|stamp| object_stamp(&stamp, slots)),
        when: slots.conditions(table.when),
        test: slots.conditions(table.test),
        deleted: table.deleted.map(|deleted| deletion(deleted, slots)),
        external: external_ids(table.external, slots),
        exponents: exponents(&table.exponents, report),
        empty_is_null: table.empty == EmptyText::Null,
        typed: table.typed,
        rules: table.fields.0.into_iter().flat_map(|(field, rules)| compile_rules(&field, rules, scope, slots, report)).collect(),
    })
}

fn object_stamp(stamp: &StampTable, slots: &mut Slots) -> ObjectStamp {
    ObjectStamp {
        from: slots.inputs(&stamp.from),
        unit: stamp.unit,
        sequence: stamp.sequence.as_ref().and_then(|text| slots.input(text)),
    }
}

fn deletion(deleted: DeletedTable, slots: &mut Slots) -> Deletion {
    let merged_into: Option<Input> = deleted.merged_into.and_then(|text| slots.input(&text));
    Deletion { when: slots.conditions(deleted.when), merged_into }
}

fn external_ids(external: Entries<String>, slots: &mut Slots) -> Vec<ExternalId> {
    let ids = external.0.into_iter().filter_map(|(namespace, path)| {
        let from = slots.input(&path)?;
        Some(ExternalId { namespace: namespace.into_inner(), from })
    });
    ids.collect()
}

/// Currencies with the decimals that a provider uses for them.
fn exponents(declared: &Entries<Spanned<u32>>, report: &mut Report) -> BTreeMap<String, u32> {
    let mut exponents = BTreeMap::new();
    for (name, decimals) in &declared.0 {
        match normal::currency(name.get_ref()) {
            Ok(code) if *decimals.get_ref() <= 6 => {
                exponents.insert(code.to_owned(), *decimals.get_ref());
            }
            Ok(_) => {
                report.error(decimals.span(), "decimals are a number from 0 to 6");
            }
            Err(fault) => {
                report.error(name.span(), format!("`{}`: {fault}", name.get_ref()));
            }
        }
    }
    exponents
}
