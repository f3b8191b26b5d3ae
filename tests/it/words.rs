//! The glossary's second table: words that no identifier uses, since the glossary has one better word for each.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::source::{files, identifiers, root};

/// The heading of the table in `docs/glossary.md`.
const HEADING: &str = "## Words that identifiers do not use";

/// Identifiers that may use such a word: path, identifier, reason.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("shared/canonical/src/catalogue.rs", "ended_at", "subscriptions and calls end: a canonical field of that name"),
    ("shared/sync/src/seal.rs", "open_in_place", "a method of ring"),
    ("shared/sync/src/seal.rs", "seal_in_place_append_tag", "a method of ring"),
];

/// The words of the table, in lower case, and what to use instead.
fn banned_words(glossary: &str) -> BTreeMap<String, String> {
    let (_, table) = glossary.split_once(HEADING).expect("the glossary has the table");
    let rows = table.lines().filter(|line| line.starts_with('|')).skip(2);
    let mut words = BTreeMap::new();
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        // A bracket says which meaning of the word is meant.
        let without_brackets = cells[0].split('(').next().unwrap_or_default();
        for word in without_brackets.split(',') {
            words.insert(word.trim().to_lowercase(), cells[1].to_owned());
        }
    }
    words
}

/// The words of an identifier in lower case: `WriteHint` and `write_hint` have two.
fn words_of(identifier: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut after_small = false;
    for c in identifier.trim_start_matches("r#").chars() {
        if c == '_' || (c.is_uppercase() && after_small) {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| c != '_') {
            word.extend(c.to_lowercase());
        }
        after_small = c.is_lowercase() || c.is_ascii_digit();
    }
    words
}

/// The banned word in an identifier, in singular or plural.
fn banned_in<'w>(banned: &'w BTreeMap<String, String>, identifier: &str) -> Option<(&'w String, &'w String)> {
    words_of(identifier)
        .iter()
        .find_map(|word| banned.get_key_value(word).or_else(|| banned.get_key_value(word.strip_suffix('s')?)))
}

#[test]
fn an_identifier_is_split_into_words() {
    assert_eq!(words_of("SqsEventV2"), ["sqs", "event", "v2"]);
    assert_eq!(words_of("r#as_told"), ["as", "told"]);
    assert_eq!(words_of("MOST_KEYS"), ["most", "keys"]);
    let banned = BTreeMap::from([("place".to_owned(), "key".to_owned())]);
    assert!(banned_in(&banned, "entry_places").is_some());
    assert!(banned_in(&banned, "placeholder").is_none());
}

#[test]
fn identifiers_use_the_words_of_the_glossary() {
    let banned = banned_words(&fs::read_to_string(root().join("docs/glossary.md")).unwrap());
    assert!(banned.len() >= 20, "the glossary's table has only these words: {banned:?}");
    let mut found = Vec::new();
    let mut used: BTreeSet<&(&str, &str, &str)> = BTreeSet::new();
    for file in files() {
        identifiers(file.tokens(), &mut |ident| {
            let identifier = ident.to_string();
            let Some((word, instead)) = banned_in(&banned, &identifier) else { return };
            let excepted = EXCEPTIONS.iter().filter(|(path, name, _)| file.path == *path && identifier == *name);
            used.extend(excepted.clone());
            if excepted.count() == 0 {
                let line = ident.span().start().line;
                found.push(format!("{}:{line}: `{identifier}`: not `{word}` but: {instead}", file.path));
            }
        });
    }
    assert!(found.is_empty(), "{} identifiers use words that docs/glossary.md bans:\n{}", found.len(), found.join("\n"));
    assert_eq!(used.len(), EXCEPTIONS.len(), "an exception is not needed any more: only these are: {used:?}");
}
