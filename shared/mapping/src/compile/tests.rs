//! The declared keys are those that the typed structures accept.

use canonical::ValueKind;

use super::file::{DeletedTable, FieldStampTable, PairsTable, PlanTable, RuleTable, StampTable};
use super::keys::{PLAN, RULE};
use crate::file::accepted_names;
use crate::map::Coverage;
use crate::rule::{DecimalUnit, Direction, MoneyUnit, TimeUnit};

#[test]
fn the_tables_and_the_structs_have_the_same_keys() {
    assert_eq!(PLAN.sorted_names(), accepted_names::<PlanTable>());
    assert_eq!(RULE.sorted_names(), accepted_names::<RuleTable>());
    assert_eq!(PLAN.nested("stamp").unwrap().sorted_names(), accepted_names::<StampTable>());
    assert_eq!(PLAN.nested("field_stamp").unwrap().sorted_names(), accepted_names::<FieldStampTable>());
    assert_eq!(PLAN.nested("deleted").unwrap().sorted_names(), accepted_names::<DeletedTable>());
    assert_eq!(RULE.nested("pairs").unwrap().sorted_names(), accepted_names::<PairsTable>());
}

#[test]
fn the_tables_and_the_enums_have_the_same_words() {
    assert_eq!(PLAN.choices("kind"), accepted_names::<Coverage>());
    assert_eq!(PLAN.choices("direction"), accepted_names::<Direction>());
    assert_eq!(RULE.choices("direction"), accepted_names::<Direction>());
    assert_eq!(RULE.choices("as"), accepted_names::<ValueKind>());
    assert_eq!(PLAN.nested("stamp").unwrap().choices("unit"), accepted_names::<TimeUnit>());
    let plain = accepted_names::<DecimalUnit>().into_iter().filter(|word| *word != "plain");
    let mut units: Vec<_> = accepted_names::<TimeUnit>().into_iter().chain(accepted_names::<MoneyUnit>()).chain(plain).collect();
    units.sort_unstable();
    assert_eq!(RULE.choices("unit"), units);
}
