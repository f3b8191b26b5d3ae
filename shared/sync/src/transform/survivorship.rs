//! Survivorship: which value of a field the golden record takes, among the source records of its cluster. Pure, and independent of
//! the order of the records.

use std::collections::BTreeMap;

use canonical::{FieldName, RemoteId, Stamp, Value};

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
    for member in members {
        let counts = |field: &str| !member.is_deleted() || *policy.rule(field).0 == Survivorship::MostRestrictive;
        for (field, observation) in member.fields.iter().filter(|(field, _)| counts(field)) {
            by_field.entry(field).or_default().push((&member.source, observation));
        }
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
    let winner = match rule {
        Survivorship::First => candidates.iter().min_by_key(|c| (c.stamp, c.source)),
        Survivorship::Owner(owner) => {
            newest(candidates.iter().filter(|c| c.source.connection == *owner)).or(newest(candidates.iter()))
        }
        Survivorship::Prefer(order) => order
            .iter()
            .find_map(|connection| newest(candidates.iter().filter(|c| c.source.connection == *connection && !c.is_cleared())))
            .or(newest(candidates.iter())),
        Survivorship::Latest | Survivorship::Union | Survivorship::MostRestrictive => newest(candidates.iter()),
    };
    let Some(winner) = winner else { return Ok(None) };
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
