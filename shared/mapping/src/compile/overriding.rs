//! Applies a user's file to a provider's map: a rule there replaces the provider's rules of that field, or adds one.

use canonical::Catalogue;

use crate::file::{Entries, Report, Spanned, TextOr, read};
use crate::map::{Map, Plan};
use crate::rule::Direction;

use super::file::{MappingFile, PlanTable};
use super::keys;
use super::plan::object;
use super::rule::{RuleScope, compile_rules};
use super::slots::Slots;

/// Applies the file of a report.
pub(super) fn apply(map: &mut Map, catalogue: Catalogue, slots: &mut Slots, report: &mut Report) {
    let Some(Entries(tables)) = read::<MappingFile>(&keys::OVERRIDE, report) else { return };
    for (name, table) in tables {
        if let TextOr::Table(table) = table {
            apply_table(&name, table, map, catalogue, slots, report);
        }
    }
}

fn apply_table(
    name: &Spanned<String>,
    table: PlanTable,
    map: &mut Map,
    catalogue: Catalogue,
    slots: &mut Slots,
    report: &mut Report,
) {
    let Some(object) = object(name, &table, report) else { return };
    let Map { file, properties, plans, .. } = map;
    let Some(plan) = plans.iter_mut().find(|plan| plan.object == object) else {
        report.error(name.span(), format!("`{file}` maps no {object}, so nothing can be overridden"));
        return;
    };
    let scope = RuleScope {
        object,
        catalogue,
        properties: properties.as_ref(),
        direction: default_direction(plan),
        field_stamp: None,
        overriding: true,
    };
    for (field, rules) in table.fields.0 {
        let mut rules = compile_rules(&field, rules, scope, slots, report);
        for rule in &mut rules {
            rule.file = Some(report.source().file.to_string());
            // The field's own stamps stay as the provider's file declares them.
            let replaced = plan.rules.iter().find(|r| r.field == rule.field && r.from == rule.from);
            rule.stamp = replaced.and_then(|r| r.stamp.clone());
        }
        plan.rules.retain(|rule| *rule.field != **field.get_ref());
        plan.rules.extend(rules);
    }
}

/// An overriding rule of a plan that only reads does not write either, unless it names its direction.
fn default_direction(plan: &Plan) -> Direction {
    let only_reads = plan.rules.iter().all(|rule| rule.direction == Direction::In);
    if only_reads { Direction::In } else { Direction::Both }
}
