//! What must come out, computed from the facts alone, by brute force and without the hub's code.

use std::collections::{BTreeMap, BTreeSet};

use canonical::{ObjectType, find_field};

use super::policy::{Rule, rule};
use super::script::Fact;

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

/// The persons that the facts speak of.
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

/// Groups facts that share a source record, an e-mail address or a telephone number, directly or through others.
fn cluster(facts: &[Fact]) -> Vec<Vec<&Fact>> {
    let mut groups: Vec<(BTreeSet<String>, Vec<&Fact>)> = Vec::new();
    for fact in facts {
        let mut keys = BTreeSet::from([format!("source {:?}", fact.source)]);
        for field in ["email", "phone"] {
            if let Some(value) = fact.fields.get(field).filter(|v| !v.is_empty()) {
                keys.insert(format!("{field} {value}"));
            }
        }
        let mut members = vec![fact];
        let mut rest = Vec::new();
        for (other_keys, other) in groups {
            if other_keys.is_disjoint(&keys) {
                rest.push((other_keys, other));
            } else {
                keys.extend(other_keys);
                members.extend(other);
            }
        }
        rest.push((keys, members));
        groups = rest;
    }
    groups.into_iter().map(|(_, members)| members).collect()
}

/// What one source says: its newest value, and since when that counts.
fn says(name: &str, facts: &[&Fact]) -> Option<(i64, String)> {
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
        .filter_map(|(source, facts)| says(name, &facts).map(|(since, value)| (since, source, value)))
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
