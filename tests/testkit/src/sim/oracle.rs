//! What must come out, computed from the facts alone, by brute force and without the hub's code.

use std::collections::{BTreeMap, BTreeSet};

use canonical::{ObjectType, find_field};

use super::policy::{Rule, rule};
use super::script::{Fact, PLACEHOLDERS};

/// One person as the facts have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// The source records.
    pub members: BTreeSet<(String, String, String)>,
    /// The values that survive.
    pub fields: BTreeMap<&'static str, String>,
    /// Marketing consent, if anybody spoke of it.
    pub consent: Option<String>,
}

/// The persons whom the facts are about.
pub fn expect(facts: &[Fact]) -> Vec<Expected> {
    cluster(facts)
        .into_iter()
        .map(|group| {
            let members: BTreeSet<_> = group.iter().map(|f| source(f)).collect();
            let names: BTreeSet<&'static str> = group.iter().flat_map(|f| f.fields.keys().copied()).collect();
            let fields = names.into_iter().filter_map(|name| Some((name, resolve(name, &group)?))).collect();
            Expected { members, fields, consent: consent(&group) }
        })
        .collect()
}

fn source(fact: &Fact) -> (String, String, String) {
    (fact.source.0.to_owned(), fact.source.1.to_owned(), fact.source.2.clone())
}

/// Groups facts that share a source record or an e-mail address, directly or through others. A group without an address belongs to
/// the one group that has its telephone number; a number of several people ties nobody. Where only people know who is who, the script
/// says so.
fn cluster(facts: &[Fact]) -> Vec<Vec<&Fact>> {
    if facts.iter().any(|fact| fact.person.is_some()) {
        let mut people: BTreeMap<Option<&str>, Vec<&Fact>> = BTreeMap::new();
        facts.iter().for_each(|fact| people.entry(fact.person).or_default().push(fact));
        return people.into_values().collect();
    }
    let groups = tied(facts.iter().map(|fact| (vec![fact], keys_of(&[fact], "email"))).collect());
    let (people, nameless): (Vec<_>, Vec<_>) = groups.into_iter().partition(|group| has(group, "email"));
    let mut people: Vec<(Vec<&Fact>, BTreeSet<String>)> =
        people.into_iter().map(|group| (group.clone(), keys_of(&group, "phone"))).collect();
    for group in tied(nameless.into_iter().map(|group| (group.clone(), keys_of(&group, "phone"))).collect()) {
        let keys = keys_of(&group, "phone");
        let mut owners: Vec<_> = people.iter_mut().filter(|(_, theirs)| !theirs.is_disjoint(&keys)).collect();
        match owners.as_mut_slice() {
            [(members, _)] => members.extend(group),
            _ => people.push((group, BTreeSet::new())),
        }
    }
    people.into_iter().map(|(members, _)| members).collect()
}

fn has(facts: &[&Fact], field: &str) -> bool {
    facts.iter().any(|fact| fact.fields.get(field).is_some_and(|value| !value.is_empty()))
}

/// The source records of facts, and their values of a field.
fn keys_of(facts: &[&Fact], field: &str) -> BTreeSet<String> {
    let ties = |value: &&String| !value.is_empty() && !PLACEHOLDERS.contains(&value.as_str());
    let values = facts.iter().filter_map(|fact| fact.fields.get(field)).filter(ties);
    let sources = facts.iter().map(|fact| format!("source {:?}", fact.source));
    values.map(|value| format!("{field} {value}")).chain(sources).collect()
}

/// Joins groups that have a key in common, directly or through others.
fn tied(all: Vec<(Vec<&Fact>, BTreeSet<String>)>) -> Vec<Vec<&Fact>> {
    let mut groups: Vec<(Vec<&Fact>, BTreeSet<String>)> = Vec::new();
    for (mut members, mut keys) in all {
        let mut rest = Vec::new();
        for (other, other_keys) in groups {
            if other_keys.is_disjoint(&keys) {
                rest.push((other, other_keys));
            } else {
                keys.extend(other_keys);
                members.extend(other);
            }
        }
        rest.push((members, keys));
        groups = rest;
    }
    groups.into_iter().map(|(members, _)| members).collect()
}

/// What one source reports: its newest value, and since when that counts.
fn report_of(name: &str, facts: &[&Fact]) -> Option<(i64, String)> {
    let mut points: Vec<(i64, &str, bool)> =
        facts.iter().filter_map(|f| Some((f.stamp_ms, f.fields.get(name)?.as_str(), f.stated))).collect();
    points.sort_unstable();
    let (_, value, _) = *points.last()?;
    let run = points.iter().rposition(|p| p.1 != value).map_or(0, |i| i + 1);
    let stated = points[run..].iter().filter(|p| p.2).map(|p| p.0).max();
    Some((stated.unwrap_or(points[run].0), value.to_owned()))
}

fn resolve(name: &str, facts: &[&Fact]) -> Option<String> {
    let mut by_source: BTreeMap<(String, String, String), Vec<&Fact>> = BTreeMap::new();
    for fact in facts {
        by_source.entry(source(fact)).or_default().push(fact);
    }
    let mut candidates: Vec<(i64, (String, String, String), String)> = by_source
        .into_iter()
        .filter_map(|(source, facts)| report_of(name, &facts).map(|(since, value)| (since, source, value)))
        .collect();
    if candidates.iter().any(|c| !c.2.is_empty()) {
        candidates.retain(|c| !c.2.is_empty());
    }
    candidates.sort();
    let of = |connection: &str| candidates.iter().rev().find(|c| c.1.0 == connection);
    let rule = find_field(ObjectType::Contact, name).map_or(Rule::Latest, |field| rule(field.object, field.name, field.kind));
    let winner = match rule {
        Rule::Latest | Rule::First | Rule::Union | Rule::MostRestrictive => None,
        Rule::Owner(owner) => of(owner),
        Rule::Prefer(order) => order.iter().find_map(|connection| of(connection)),
    };
    winner.or(candidates.last()).map(|c| c.2.clone())
}

/// Withdrawn unless the person's own grant is newer than every withdrawal.
fn consent(facts: &[&Fact]) -> Option<String> {
    let spoken: Vec<(i64, &str)> = facts.iter().filter_map(|f| Some((f.stamp_ms, f.consent?))).collect();
    let newest = |level: &str| spoken.iter().filter(|(_, l)| *l == level).map(|(at, _)| *at).max();
    match (newest("withdrawn"), newest("granted")) {
        (None, None) => None,
        (Some(no), Some(yes)) if yes > no => Some("granted".into()),
        (Some(_), _) => Some("withdrawn".into()),
        (None, Some(_)) => Some("granted".into()),
    }
}
