//! The declared keys are those that the typed structures accept, and the declared defaults are those that hold.

use mapping::file::{KeyTable, ValueType, accepted_names};
use sync::config::{Cleared, Limits, Retry, Survivorship};

use super::file::{
    AssignmentTable, ConfigurationFile, ConnectionTable, EffectTable, FieldPolicyTable, FuseTable, FusesTable, IdentityTable,
    JournalTable, LimitsTable, OwnFieldTable, RateTable, RetryTable, Role, SignatureTable,
};
use super::keys::{CONFIGURATION, CONNECTION, EFFECT, FIELD_POLICY, FUSES, IDENTITY, JOURNAL, LIMITS, OWN_FIELD, RETRY};
use super::{Source, compile};

#[test]
fn the_tables_and_the_structs_have_the_same_keys() {
    assert_eq!(CONFIGURATION.sorted_names(), accepted_names::<ConfigurationFile>());
    assert_eq!(CONNECTION.sorted_names(), accepted_names::<ConnectionTable>());
    assert_eq!(CONNECTION.nested("signature").unwrap().sorted_names(), accepted_names::<SignatureTable>());
    assert_eq!(CONNECTION.nested("rate").unwrap().sorted_names(), accepted_names::<RateTable>());
    assert_eq!(OWN_FIELD.sorted_names(), accepted_names::<OwnFieldTable>());
    assert_eq!(IDENTITY.sorted_names(), accepted_names::<IdentityTable>());
    assert_eq!(FIELD_POLICY.sorted_names(), accepted_names::<FieldPolicyTable>());
    assert_eq!(EFFECT.sorted_names(), accepted_names::<EffectTable>());
    assert_eq!(EFFECT.nested("set").unwrap().sorted_names(), accepted_names::<AssignmentTable>());
    assert_eq!(RETRY.sorted_names(), accepted_names::<RetryTable>());
    assert_eq!(FUSES.sorted_names(), accepted_names::<FusesTable>());
    assert_eq!(FUSES.nested("new").unwrap().sorted_names(), accepted_names::<FuseTable>());
    assert_eq!(LIMITS.sorted_names(), accepted_names::<LimitsTable>());
    assert_eq!(JOURNAL.sorted_names(), accepted_names::<JournalTable>());
}

#[test]
fn the_tables_and_the_enums_have_the_same_words() {
    assert_eq!(CONNECTION.choices("roles"), accepted_names::<Role>());
    assert_eq!(CONNECTION.choices("lane"), accepted_names::<canonical::Lane>());
    assert_eq!(OWN_FIELD.choices("kind"), accepted_names::<canonical::ValueKind>());
    assert_eq!(FIELD_POLICY.choices("cleared"), accepted_names::<Cleared>());
    let without_connection = accepted_names::<Survivorship>().into_iter().filter(|word| !["owner", "prefer"].contains(word));
    assert_eq!(FIELD_POLICY.choices("rule"), without_connection.collect::<Vec<_>>());
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
