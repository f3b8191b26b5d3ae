//! The declared keys are those that the typed structures accept, and the declared defaults are those that hold.

use mapping::file::{KeyTable, ValueType, accepted_names};
use sync::config::{Cleared, Limits, Retry, Survivorship};

use super::file::{
    AssignmentTable, ConfigurationFile, ConnectionTable, EffectTable, FieldPolicyTable, FuseTable, FusesTable, IdentityTable,
    JournalTable, LimitsTable, OwnFieldTable, RateTable, RetryTable, Role, SignatureTable,
};
use super::keys::{CONFIGURATION, CONNECTION, EFFECT, FIELD_POLICY, FUSES, IDENTITY, JOURNAL, LIMITS, OWN_FIELD, RETRY};
use super::{Source, compile};

fn names(table: &KeyTable) -> Vec<&'static str> {
    let mut names: Vec<_> = table.names().collect();
    names.sort_unstable();
    names
}

fn words(table: &KeyTable, key: &str) -> Vec<&'static str> {
    let mut value = &table.find(key).unwrap().value;
    while let ValueType::List(inner) = value {
        value = inner;
    }
    let ValueType::OneOf(words) = value else { panic!("`{key}` is not a choice") };
    let mut words = words.to_vec();
    words.sort_unstable();
    words
}

fn nested(table: &KeyTable, key: &str) -> &'static KeyTable {
    table.find(key).unwrap().value.table().unwrap()
}

#[test]
fn the_tables_and_the_structs_have_the_same_keys() {
    assert_eq!(names(&CONFIGURATION), accepted_names::<ConfigurationFile>());
    assert_eq!(names(&CONNECTION), accepted_names::<ConnectionTable>());
    assert_eq!(names(nested(&CONNECTION, "signature")), accepted_names::<SignatureTable>());
    assert_eq!(names(nested(&CONNECTION, "rate")), accepted_names::<RateTable>());
    assert_eq!(names(&OWN_FIELD), accepted_names::<OwnFieldTable>());
    assert_eq!(names(&IDENTITY), accepted_names::<IdentityTable>());
    assert_eq!(names(&FIELD_POLICY), accepted_names::<FieldPolicyTable>());
    assert_eq!(names(&EFFECT), accepted_names::<EffectTable>());
    assert_eq!(names(nested(&EFFECT, "set")), accepted_names::<AssignmentTable>());
    assert_eq!(names(&RETRY), accepted_names::<RetryTable>());
    assert_eq!(names(&FUSES), accepted_names::<FusesTable>());
    assert_eq!(names(nested(&FUSES, "new")), accepted_names::<FuseTable>());
    assert_eq!(names(&LIMITS), accepted_names::<LimitsTable>());
    assert_eq!(names(&JOURNAL), accepted_names::<JournalTable>());
}

#[test]
fn the_tables_and_the_enums_have_the_same_words() {
    assert_eq!(words(&CONNECTION, "roles"), accepted_names::<Role>());
    assert_eq!(words(&CONNECTION, "lane"), accepted_names::<canonical::Lane>());
    assert_eq!(words(&OWN_FIELD, "kind"), accepted_names::<canonical::ValueKind>());
    assert_eq!(words(&FIELD_POLICY, "cleared"), accepted_names::<Cleared>());
    let without_connection = accepted_names::<Survivorship>().into_iter().filter(|word| !["owner", "prefer"].contains(word));
    assert_eq!(words(&FIELD_POLICY, "rule"), without_connection.collect::<Vec<_>>());
}

/// The section of a table with its declared defaults.
fn with_defaults(header: &str, table: &KeyTable) -> String {
    let mut text = format!("{header}\n");
    for key in table.keys() {
        let value = match key.value {
            ValueType::Duration => format!("\"{}\"", key.default),
            ValueType::List(_) => format!("[\"{}\"]", key.default.replace(", ", "\", \"")),
            _ => key.default.to_owned(),
        };
        text += &format!("{} = {value}\n", key.name);
    }
    text
}

#[test]
fn the_declared_defaults_are_those_that_hold() {
    let text =
        ["generation = 1\n[connections]\n".to_owned(), with_defaults("[limits]", &LIMITS), with_defaults("[retry]", &RETRY)];
    let text = text.concat() + &with_defaults("[journal]", &JOURNAL);
    let (declared, diagnostics) = compile(&Source::new("hub.toml", text), &[]);
    assert_eq!(diagnostics, []);
    let declared = declared.unwrap().hub;
    assert_eq!((declared.limits, declared.retry), (Limits::default(), Retry::default()));
    let (silent, _) = compile(&Source::new("hub.toml", "generation = 1\n[connections]\n"), &[]);
    assert_eq!(silent.unwrap().hub.journal_days, declared.journal_days);
}

#[test]
fn a_wait_that_sqs_cannot_keep_is_refused() {
    let text = |jitter: u32| {
        format!("generation = 1\n[connections]\n[retry]\nschedule = [\"1m\", \"10h\"]\njitter_percent = {jitter}\n")
    };
    let (_, fine) = compile(&Source::new("hub.toml", text(10)), &[]);
    assert_eq!(fine, []);
    let (_, refused) = compile(&Source::new("hub.toml", text(20)), &[]);
    assert_eq!(refused.len(), 1);
    assert!(refused[0].to_string().contains("11 h 45 min at most"), "{}", refused[0]);
}
