//! Survivorship: which value of a field the golden record takes, among the source records of its cluster. Pure, and independent of
//! the order of the records.

use std::collections::{BTreeMap, BTreeSet};

use canonical::{FieldName, RemoteId, Stamp, Value};

use crate::config::{Cleared, Limits, ObjectPolicy, Survivorship};
use crate::record::observation::{Observation, effective_level};
use crate::record::summary::{Candidate, FieldSummary, Level, Summary};
use crate::record::{Resolved, SourceRecord};

/// Resolves every field of a cluster. The values of deleted members are left out, but not their consent: a refusal outlives the
/// record that carried it.
pub fn resolve<'a>(
    members: impl Iterator<Item = &'a SourceRecord>,
    summary: &Summary,
    policy: &ObjectPolicy,
    limits: &Limits,
) -> BTreeMap<FieldName, Resolved> {
    let mut by_field: BTreeMap<&FieldName, Reports<'_>> = BTreeMap::new();
    for (field, summarised) in summary.fields() {
        by_field.entry(field).or_default().summary = Some(summarised);
    }
    for member in members {
        let deleted = member.is_deleted();
        let counts = |field: &str| !deleted || *policy.rule(field).0 == Survivorship::MostRestrictive;
        for (field, observation) in member.fields.iter().filter(|(field, _)| counts(field)) {
            by_field.entry(field).or_default().observations.push((&member.source, observation));
        }
    }
    let resolved =
        |(field, reports): (&FieldName, Reports<'_>)| Some((field.clone(), resolve_field(field, &reports, policy, limits)?));
    by_field.into_iter().filter_map(resolved).collect()
}

/// What the sources of a cluster report about one field.
#[derive(Default)]
struct Reports<'a> {
    observations: Vec<(&'a RemoteId, &'a Observation)>,
    summary: Option<&'a FieldSummary>,
}

impl Reports<'_> {
    fn candidates(&self) -> Vec<Candidate> {
        let current = |(source, observation): &(&RemoteId, &Observation)| {
            let current = observation.current()?;
            let (value, stamp, contested) = (current.value.clone(), current.stamp, current.contested);
            Some(Candidate { source: (*source).clone(), value, stamp, contested })
        };
        // A summarised record that has changed since is a member again, and its current value counts.
        let listed = |candidate: &&Candidate| !self.observations.iter().any(|(source, _)| **source == candidate.source);
        let summarised = self.summary.iter().flat_map(|summary| summary.candidates()).filter(listed).cloned();
        self.observations.iter().filter_map(current).chain(summarised).collect()
    }
}

fn resolve_field(field: &str, reports: &Reports<'_>, policy: &ObjectPolicy, limits: &Limits) -> Option<Resolved> {
    let (rule, cleared) = policy.rule(field);
    if *rule == Survivorship::MostRestrictive {
        return most_restrictive(reports);
    }
    let mut candidates = reports.candidates();
    if cleared == Cleared::Keep && candidates.iter().any(|c| !c.is_cleared()) {
        candidates.retain(|c| !c.is_cleared());
    }
    let winner = match rule {
        Survivorship::First => candidates.iter().min_by_key(|c| (c.stamp, &c.source)),
        Survivorship::Owner(owner) => {
            newest(candidates.iter().filter(|c| c.source.connection == *owner)).or(newest(candidates.iter()))
        }
        Survivorship::Prefer(order) => order
            .iter()
            .find_map(|connection| newest(candidates.iter().filter(|c| c.source.connection == *connection && !c.is_cleared())))
            .or(newest(candidates.iter())),
        Survivorship::Latest | Survivorship::Union | Survivorship::MostRestrictive => newest(candidates.iter()),
    }?;
    let value = match rule {
        Survivorship::Union => union(field, &candidates, reports.summary, limits),
        _ => winner.value.clone(),
    };
    let (source, stamp, contested) = (winner.source.clone(), winner.stamp, winner.contested);
    Some(Resolved { value, source, stamp, rule: rule.describe(), contested })
}

fn newest<'b>(candidates: impl Iterator<Item = &'b Candidate>) -> Option<&'b Candidate> {
    candidates.max_by_key(|c| (c.stamp, &c.source))
}

/// All entries of all sources, sorted. Beyond the limit the first ones count: the field must not keep its record from being stored.
fn union(field: &str, candidates: &[Candidate], summary: Option<&FieldSummary>, limits: &Limits) -> Value {
    let mut all: BTreeSet<Value> = summary.map(|summary| summary.entries().clone()).unwrap_or_default();
    for candidate in candidates {
        match &candidate.value {
            Value::List(values) => all.extend(values.iter().cloned()),
            Value::Null => {}
            single => _ = all.insert(single.clone()),
        }
    }
    if all.len() > limits.union_entries {
        tracing::warn!(field, entries = all.len(), limit = limits.union_entries, "a union has more entries than the limit");
    }
    Value::List(all.into_iter().take(limits.union_entries).collect())
}

fn most_restrictive(reports: &Reports<'_>) -> Option<Resolved> {
    let summarised: BTreeMap<&str, &Level> =
        reports.summary.iter().flat_map(|summary| summary.levels()).map(|(name, level)| (name.as_str(), level)).collect();
    let stamps: BTreeMap<String, Stamp> = summarised.iter().map(|(name, level)| ((*name).to_owned(), level.stamp)).collect();
    let levels = || reports.observations.iter().map(|(_, observation)| observation.levels());
    let (level, stamp) = effective_level(levels().chain([&stamps]))?;
    let members =
        reports.observations.iter().filter(|(_, o)| o.levels().values().any(|s| *s == stamp)).map(|(source, _)| *source);
    let earlier = summarised.values().filter(|level| level.stamp == stamp).map(|level| &level.source);
    let source = members.chain(earlier).min()?.clone();
    Some(Resolved { value: Value::Text(level), source, stamp, rule: Survivorship::MostRestrictive.describe(), contested: false })
}
