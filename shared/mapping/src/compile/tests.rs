//! The declared keys are those that the typed structures accept.

use canonical::ValueKind;

use super::file::{DeletedTable, FieldStampTable, PairsTable, PlanTable, RuleTable, StampTable};
use super::keys::{PLAN, RULE};
use crate::file::{KeyTable, ValueType, accepted_names};
use crate::map::Coverage;
use crate::rule::{DecimalUnit, Direction, MoneyUnit, TimeUnit};

fn names(table: &KeyTable) -> Vec<&'static str> {
    let mut names: Vec<_> = table.names().collect();
    names.sort_unstable();
    names
}

fn words(table: &KeyTable, key: &str) -> Vec<&'static str> {
    let ValueType::OneOf(words) = table.find(key).unwrap().value else { panic!("`{key}` is not a choice") };
    let mut words = words.to_vec();
    words.sort_unstable();
    words
}

fn nested(table: &KeyTable, key: &str) -> &'static KeyTable {
    table.find(key).unwrap().value.table().unwrap()
}

#[test]
fn the_tables_and_the_structs_have_the_same_keys() {
    assert_eq!(names(&PLAN), accepted_names::<PlanTable>());
    assert_eq!(names(&RULE), accepted_names::<RuleTable>());
    assert_eq!(names(nested(&PLAN, "stamp")), accepted_names::<StampTable>());
    assert_eq!(names(nested(&PLAN, "field_stamp")), accepted_names::<FieldStampTable>());
    assert_eq!(names(nested(&PLAN, "deleted")), accepted_names::<DeletedTable>());
    assert_eq!(names(nested(&RULE, "pairs")), accepted_names::<PairsTable>());
}

#[test]
fn the_tables_and_the_enums_have_the_same_words() {
    assert_eq!(words(&PLAN, "kind"), accepted_names::<Coverage>());
    assert_eq!(words(&PLAN, "direction"), accepted_names::<Direction>());
    assert_eq!(words(&RULE, "direction"), accepted_names::<Direction>());
    assert_eq!(words(&RULE, "as"), accepted_names::<ValueKind>());
    assert_eq!(words(nested(&PLAN, "stamp"), "unit"), accepted_names::<TimeUnit>());
    let plain = accepted_names::<DecimalUnit>().into_iter().filter(|word| *word != "plain");
    let mut units: Vec<_> = accepted_names::<TimeUnit>().into_iter().chain(accepted_names::<MoneyUnit>()).chain(plain).collect();
    units.sort_unstable();
    assert_eq!(words(&RULE, "unit"), units);
}
