//! What the source records contribute that a golden record does not list any more.
//!
//! A person may fill in 10,000 forms, and each is a source record. A golden record lists only so many members; of the others it
//! keeps what survivorship may need, whatever the rule of a field: for each connection the newest and the oldest value, with and
//! without the cleared ones, the entries of unions, and the newest stamp of each consent level. So a summary has a bounded size,
//! and it is a function of the set of records: their order does not matter.

use std::collections::{BTreeMap, BTreeSet};

use canonical::{FieldName, RemoteId, Stamp, Value};
use serde::{Deserialize, Serialize};

use super::source::SourceRecord;

/// A source's current value of a field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// The source record.
    pub source: RemoteId,
    /// Its value.
    pub value: Value,
    /// Since when the value counts.
    pub stamp: Stamp,
    /// True when the source reported two different values with the same stamp.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub contested: bool,
}

impl Candidate {
    /// True when the source holds no value.
    pub fn is_cleared(&self) -> bool {
        match &self.value {
            Value::Null => true,
            Value::Text(text) => text.is_empty(),
            _ => false,
        }
    }

    fn key(&self) -> (Stamp, &RemoteId) {
        (self.stamp, &self.source)
    }
}

/// The newest report of a consent level.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Level {
    /// When.
    pub stamp: Stamp,
    /// By which source record.
    pub source: RemoteId,
}

/// What the summarised records hold in one field.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldSummary {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    candidates: Vec<Candidate>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    entries: BTreeSet<Value>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    levels: BTreeMap<String, Level>,
}

impl FieldSummary {
    /// The newest and the oldest values of each connection.
    pub fn candidates(&self) -> &[Candidate] {
        &self.candidates
    }

    /// The entries of all lists.
    pub fn entries(&self) -> &BTreeSet<Value> {
        &self.entries
    }

    /// The newest report of each consent level.
    pub fn levels(&self) -> &BTreeMap<String, Level> {
        &self.levels
    }

    fn add_candidate(&mut self, candidate: Candidate) {
        if let Value::List(entries) = &candidate.value {
            self.entries.extend(entries.iter().cloned());
        }
        self.candidates.retain(|known| known.source != candidate.source || known.stamp > candidate.stamp);
        self.candidates.push(candidate);
        let mut remaining: Vec<Candidate> = Vec::new();
        for candidate in &self.candidates {
            let alike = || {
                let same = |c: &&Candidate| {
                    c.source.connection == candidate.source.connection && c.is_cleared() == candidate.is_cleared()
                };
                self.candidates.iter().filter(same)
            };
            let newest = alike().all(|other| other.key() <= candidate.key());
            let oldest = alike().all(|other| other.key() >= candidate.key());
            if (newest || oldest) && !remaining.contains(candidate) {
                remaining.push(candidate.clone());
            }
        }
        remaining.sort_by(|a, b| a.key().cmp(&b.key()));
        self.candidates = remaining;
    }

    fn add_level(&mut self, name: &str, level: Level) {
        let known = self.levels.entry(name.to_owned()).or_insert_with(|| level.clone());
        if (known.stamp, &level.source) < (level.stamp, &known.source) {
            *known = level;
        }
    }
}

/// What the source records contribute that a golden record does not list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// True if one of them existed at its source.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    live: bool,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    fields: BTreeMap<FieldName, FieldSummary>,
}

impl Summary {
    /// True if nothing was summarised.
    pub fn is_empty(&self) -> bool {
        *self == Summary::default()
    }

    /// True if one of the summarised records existed at its source.
    pub fn is_live(&self) -> bool {
        self.live
    }

    /// What the summarised records hold, by field.
    pub fn fields(&self) -> &BTreeMap<FieldName, FieldSummary> {
        &self.fields
    }

    /// Adds a source record. Of a deleted one only the consent counts.
    pub fn add(&mut self, record: &SourceRecord) {
        let deleted = record.is_deleted();
        self.live |= !deleted;
        for (name, observation) in &record.fields {
            let field = self.fields.entry(name.clone()).or_default();
            field.candidates.retain(|candidate| !deleted || candidate.source != record.source);
            for (level, stamp) in observation.levels() {
                field.add_level(level, Level { stamp: *stamp, source: record.source.clone() });
            }
            if let Some(current) = observation.current().filter(|_| !deleted) {
                let (value, stamp, contested) = (current.value.clone(), current.stamp, current.contested);
                field.add_candidate(Candidate { source: record.source.clone(), value, stamp, contested });
            }
        }
    }

    /// Takes over the summary of another cluster.
    pub fn join(&mut self, other: Summary) {
        self.live |= other.live;
        for (name, theirs) in other.fields {
            let field = self.fields.entry(name).or_default();
            field.entries.extend(theirs.entries);
            theirs.candidates.into_iter().for_each(|candidate| field.add_candidate(candidate));
            theirs.levels.into_iter().for_each(|(name, level)| field.add_level(&name, level));
        }
    }
}
