//! Survivorship: which value of a field the golden record takes, among the source records of its cluster. Pure, and independent of
//! the order of the records.

use std::collections::{BTreeMap, BTreeSet};

use canonical::{FieldGroup, FieldName, RemoteId, Stamp, Value, groups_of};

use crate::config::{Cleared, Limits, ObjectPolicy, Survivorship};
use crate::failure::{Code, Failure};
use crate::record::observation::{Observation, effective_level};
use crate::record::{Resolved, SourceRecord};

/// One source's current value of a field.
#[derive(Debug, Clone, Copy)]
struct Candidate<'a> {
    source: &'a RemoteId,
    value: &'a Value,
    stamp: Stamp,
    contested: bool,
}

impl Candidate<'_> {
    fn is_cleared(&self) -> bool {
        match self.value {
            Value::Null => true,
            Value::Text(text) => text.is_empty(),
            _ => false,
        }
    }
}

/// Resolves every field of a cluster. The values of deleted members are left out, but not their consent: a refusal outlives the
/// record that carried it.
pub fn resolve<'a>(
    members: impl Iterator<Item = &'a SourceRecord>,
    policy: &ObjectPolicy,
    limits: &Limits,
) -> Result<BTreeMap<FieldName, Resolved>, Failure> {
    let mut by_field: BTreeMap<&FieldName, Vec<(&RemoteId, &Observation)>> = BTreeMap::new();
    let mut object = None;
    for member in members.filter(|m| !m.is_deleted()) {
        object = Some(member.object);
        for (field, observation) in &member.fields {
            by_field.entry(field).or_default().push((&member.source, observation));
        }
    }
    for group in object.map(groups_of).unwrap_or_default() {
        keep_one_source(group, &mut by_field, policy);
    }
    let mut fields = BTreeMap::new();
    for (field, observations) in by_field {
        if let Some(resolved) = resolve_field(field, &observations, policy, limits)? {
            fields.insert(field.clone(), resolved);
        }
    }
    Ok(fields)
}

fn resolve_field(
    field: &str,
    observations: &[(&RemoteId, &Observation)],
    policy: &ObjectPolicy,
    limits: &Limits,
) -> Result<Option<Resolved>, Failure> {
    let (rule, cleared) = policy.rule(field);
    if *rule == Survivorship::MostRestrictive {
        return Ok(most_restrictive(observations));
    }
    let mut candidates: Vec<Candidate<'_>> = observations
        .iter()
        .filter_map(|(source, observation)| {
            let current = observation.current()?;
            Some(Candidate { source, value: current.value, stamp: current.stamp, contested: current.contested })
        })
        .collect();
    if cleared == Cleared::Keep && candidates.iter().any(|c| !c.is_cleared()) {
        candidates.retain(|c| !c.is_cleared());
    }
    let Some(winner) = winner(rule, &candidates) else { return Ok(None) };
    let value = match rule {
        Survivorship::Union => union(field, &candidates, limits)?,
        _ => winner.value.clone(),
    };
    Ok(Some(Resolved {
        value,
        source: winner.source.clone(),
        stamp: winner.stamp,
        rule: rule.describe(),
        contested: winner.contested,
    }))
}

/// The candidate that a rule chooses.
fn winner<'a, 'b>(rule: &Survivorship, candidates: &'b [Candidate<'a>]) -> Option<&'b Candidate<'a>> {
    match rule {
        Survivorship::First => candidates.iter().min_by_key(|c| (c.stamp, c.source)),
        Survivorship::Owner(owner) => {
            newest(candidates.iter().filter(|c| c.source.connection == *owner)).or(newest(candidates.iter()))
        }
        Survivorship::Prefer(order) => order
            .iter()
            .find_map(|connection| newest(candidates.iter().filter(|c| c.source.connection == *connection && !c.is_cleared())))
            .or(newest(candidates.iter())),
        Survivorship::Latest | Survivorship::Union | Survivorship::MostRestrictive => newest(candidates.iter()),
    }
}

/// Leaves the fields of a group to one source record: that whose values the rule of the core field chooses. A record without the core
/// field is chosen only if no record has it. Without any value in the group, nothing is left out.
fn keep_one_source(
    group: &FieldGroup,
    by_field: &mut BTreeMap<&FieldName, Vec<(&RemoteId, &Observation)>>,
    policy: &ObjectPolicy,
) {
    let mut newest: BTreeMap<&RemoteId, Candidate<'_>> = BTreeMap::new();
    let mut with_core: BTreeSet<&RemoteId> = BTreeSet::new();
    for name in group.fields {
        for (source, observation) in by_field.get(&FieldName::from(*name)).into_iter().flatten().copied() {
            let Some(current) = observation.current() else { continue };
            let candidate = Candidate { source, value: current.value, stamp: current.stamp, contested: false };
            if candidate.is_cleared() {
                continue;
            }
            if *name == group.core {
                with_core.insert(source);
            }
            let known = newest.entry(source).or_insert(candidate);
            known.stamp = known.stamp.max(candidate.stamp);
        }
    }
    let complete = |candidate: &Candidate<'_>| with_core.is_empty() || with_core.contains(candidate.source);
    let candidates: Vec<Candidate<'_>> = newest.into_values().filter(complete).collect();
    let Some(chosen) = winner(policy.rule(group.core).0, &candidates).map(|candidate| candidate.source) else { return };
    for name in group.fields {
        if let Some(observations) = by_field.get_mut(&FieldName::from(*name)) {
            observations.retain(|(source, _)| *source == chosen);
        }
    }
}

fn newest<'a, 'b>(candidates: impl Iterator<Item = &'b Candidate<'a>>) -> Option<&'b Candidate<'a>>
where
    'a: 'b,
{
    candidates.max_by_key(|c| (c.stamp, c.source))
}

fn union(field: &str, candidates: &[Candidate<'_>], limits: &Limits) -> Result<Value, Failure> {
    let mut all = Vec::new();
    for candidate in candidates {
        match candidate.value {
            Value::List(values) => all.extend(values.iter().cloned()),
            Value::Null => {}
            single => all.push(single.clone()),
        }
    }
    all.sort();
    all.dedup();
    if all.len() > limits.union_entries {
        let detail = format!("the union `{field}` would have {} entries, the limit is {}", all.len(), limits.union_entries);
        return Err(Failure::new(Code::CapExceeded, detail));
    }
    Ok(Value::List(all))
}

fn most_restrictive(observations: &[(&RemoteId, &Observation)]) -> Option<Resolved> {
    let (level, stamp) = effective_level(observations.iter().map(|(_, o)| o.levels()))?;
    let source = observations
        .iter()
        .filter(|(_, o)| o.levels().values().any(|s| *s == stamp))
        .map(|(source, _)| (*source).clone())
        .min()?;
    Some(Resolved { value: Value::Text(level), source, stamp, rule: Survivorship::MostRestrictive.describe(), contested: false })
}

#[cfg(test)]
mod tests {
    use canonical::ObjectType;

    use super::*;
    use crate::record::observation::Point;

    fn source(id: &str, at_ms: i64, fields: &[(&str, &str)]) -> SourceRecord {
        let remote = RemoteId { connection: "c".into(), object: "o".into(), id: id.into() };
        let mut record = SourceRecord::new(remote, ObjectType::Contact, "g".into());
        for (name, value) in fields {
            let point = Point { value: Value::text(*value), stamp: Stamp::at(at_ms), stated: true, flagged: false };
            record.fields.entry(FieldName::from(*name)).or_default().add(point);
        }
        record
    }

    fn values(sources: &[SourceRecord]) -> Vec<(String, String)> {
        let fields = resolve(sources.iter(), &ObjectPolicy::default(), &Limits::default()).unwrap();
        fields.into_iter().map(|(name, resolved)| (name.to_string(), resolved.value.to_string())).collect()
    }

    #[test]
    fn the_names_and_addresses_of_two_sources_do_not_mix() {
        let ada = source(
            "1",
            1,
            &[("first_name", "Ada"), ("last_name", "Vogt"), ("address_line", "Am Hang 1"), ("address_city", "Ulm")],
        );
        let bea =
            source("2", 2, &[("first_name", "Bea"), ("address_line", "Rue 2"), ("address_country", "FR"), ("job_title", "CEO")]);
        let expected = [
            ("address_country", "FR"),
            ("address_line", "Rue 2"),
            ("first_name", "Ada"),
            ("job_title", "CEO"),
            ("last_name", "Vogt"),
        ];
        assert_eq!(values(&[ada, bea]), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn half_a_name_counts_where_nobody_knows_more() {
        let (ada, bea) = (source("1", 1, &[("first_name", "Ada")]), source("2", 2, &[("first_name", "Bea")]));
        assert_eq!(values(&[ada, bea]), [("first_name".to_owned(), "Bea".to_owned())]);
    }
}
