//! What one source reported about one field, over time.
//!
//! A field keeps the recent *points* in time at which its source held a value. The current value is the value of the newest point.
//! It counts from the first point of the newest run of equal values, so that a snapshot which merely repeats a value does not make
//! it look newer than another source's real change. An explicit statement (a form, a property-change event) counts from its own
//! time. All of this is a function of the *set* of points: the order and the repetition of arrivals do not matter.

use std::collections::BTreeMap;

use canonical::{Stamp, Value};
use serde::{Deserialize, Serialize};

use super::shortened::{same, shorten};

/// Most points that are kept per field. A point older than all of them can no longer split a run of equal values.
pub const MAX_POINTS: usize = 8;

/// The consent levels from the loosest to the strictest; see [`strictness`].
const LEVELS: &[&str] = &["granted", UNKNOWN, "pending", "suppressed", "withdrawn"];
/// The level before any consent or refusal was reported.
const UNKNOWN: &str = "unknown";

/// One moment at which the source held a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    /// The value. Of a long value that a newer point has replaced, only what recognises it again.
    #[serde(rename = "v")]
    pub value: Value,
    /// When, by the source's clock.
    #[serde(rename = "t")]
    pub stamp: Stamp,
    /// True for an explicit statement, false for a value that a snapshot merely contained.
    #[serde(rename = "s", default, skip_serializing_if = "std::ops::Not::not")]
    pub stated: bool,
    /// True when the value was stored without being understood.
    #[serde(rename = "f", default, skip_serializing_if = "std::ops::Not::not")]
    pub flagged: bool,
}

/// What one source reported about one field.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// Ascending by stamp, then value.
    #[serde(rename = "p")]
    points: Vec<Point>,
    /// For consent: the newest stamp of each level that was ever reported, and of the person's own grants. It never shrinks.
    #[serde(rename = "l", default, skip_serializing_if = "BTreeMap::is_empty")]
    levels: BTreeMap<String, Stamp>,
}

/// How an inbound value relates to what was known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Observed {
    /// The source's current value changed.
    Changed,
    /// The value was known already.
    Same,
    /// Something newer was known.
    Older,
}

impl Observation {
    /// Adds a point.
    pub fn add(&mut self, point: Point) -> Observed {
        let before = self.current().map(|c| (c.value.clone(), c.stamp));
        let wanted = (point.stamp, shorten(&point.value));
        let index = self.points.partition_point(|p| (p.stamp, shorten(&p.value)) < wanted);
        let newest = self.points.last().map(|p| p.stamp);
        match self.points.get_mut(index) {
            Some(known) if known.stamp == point.stamp && same(&known.value, &point.value) => {
                known.stated |= point.stated;
                known.flagged |= point.flagged;
            }
            _ => self.points.insert(index, point.clone()),
        }
        self.prune();
        let after = self.current().map(|c| (c.value.clone(), c.stamp));
        match (before, after) {
            (Some(b), Some(a)) if b == a => {
                if newest.is_some_and(|n| n > point.stamp) && b.0 != point.value {
                    Observed::Older
                } else {
                    Observed::Same
                }
            }
            _ => Observed::Changed,
        }
    }

    /// Adds a consent level. A grant by the person concerned is stored under a key of its own.
    pub fn add_level(&mut self, level: &str, stamp: Stamp, own_grant: bool) {
        let key = if own_grant { OWN_GRANT } else { level };
        let at = self.levels.entry(key.to_owned()).or_insert(stamp);
        *at = (*at).max(stamp);
    }

    /// The source's current value.
    pub fn current(&self) -> Option<Current<'_>> {
        let last = self.points.last()?;
        let run = self.points.iter().rposition(|p| !same(&p.value, &last.value)).map_or(0, |i| i + 1);
        let stated = self.points[run..].iter().filter(|p| p.stated).map(|p| p.stamp).next_back();
        let contested = run > 0 && self.points[run - 1].stamp == self.points[run].stamp && last.stamp == self.points[run].stamp;
        Some(Current {
            value: &last.value,
            stamp: stated.unwrap_or(self.points[run].stamp),
            seen: last.stamp,
            flagged: last.flagged,
            contested,
        })
    }

    /// The newest stamp of each consent level that was ever reported.
    pub fn levels(&self) -> &BTreeMap<String, Stamp> {
        &self.levels
    }

    /// The points, the oldest first.
    pub fn points(&self) -> &[Point] {
        &self.points
    }

    fn prune(&mut self) {
        while self.points.len() > MAX_POINTS {
            let inner = (1..self.points.len() - 1).find(|&i| {
                !self.points[i].stated
                    && same(&self.points[i - 1].value, &self.points[i].value)
                    && same(&self.points[i + 1].value, &self.points[i].value)
            });
            self.points.remove(inner.unwrap_or(0));
        }
        if let Some((_, older)) = self.points.split_last_mut() {
            older.iter_mut().for_each(|point| point.value = shorten(&point.value));
        }
    }
}

/// The key of a person's own grant among the consent levels.
const OWN_GRANT: &str = "granted by the person";

/// A source's current value of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Current<'a> {
    /// The value.
    pub value: &'a Value,
    /// Since when the value counts.
    pub stamp: Stamp,
    /// The newest point at which the source held the value.
    pub seen: Stamp,
    /// True when the value was not understood.
    pub flagged: bool,
    /// True when the source reported two different values with the same stamp.
    pub contested: bool,
}

/// How strict a consent level is. A level that is not in the list is as strict as `suppressed`, because it must not loosen anything.
pub fn strictness(level: &str) -> usize {
    LEVELS.iter().position(|l| *l == level).unwrap_or(3)
}

/// The consent that holds, given the levels that all sources ever reported: the strictest one that is not older than the person's
/// own newest grant, or `granted` when nothing stricter remains. `unknown` holds only when no source reported another level.
pub fn effective_level<'a>(levels: impl Iterator<Item = &'a BTreeMap<String, Stamp>>) -> Option<(String, Stamp)> {
    let mut newest: BTreeMap<&str, Stamp> = BTreeMap::new();
    for source in levels {
        for (level, stamp) in source {
            let at = newest.entry(level.as_str()).or_insert(*stamp);
            *at = (*at).max(*stamp);
        }
    }
    let grant = newest.remove(OWN_GRANT);
    if grant.is_some() || newest.len() > 1 {
        newest.remove(UNKNOWN);
    }
    let strictest = newest
        .into_iter()
        .filter(|(_, stamp)| grant.is_none_or(|g| *stamp >= g))
        .max_by_key(|(level, stamp)| (strictness(level), *stamp));
    match (strictest, grant) {
        (Some((level, stamp)), _) if strictness(level) > 0 || grant.is_none() => Some((level.to_owned(), stamp)),
        (_, Some(stamp)) => Some(("granted".to_owned(), stamp)),
        (other, None) => other.map(|(level, stamp)| (level.to_owned(), stamp)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(value: &str, at: i64) -> Point {
        Point { value: Value::text(value), stamp: Stamp::at(at), stated: false, flagged: false }
    }

    #[test]
    fn a_snapshot_that_repeats_a_value_is_not_newer_but_a_return_to_it_is() {
        for order in [[1, 5, 9], [9, 1, 5], [5, 9, 1], [9, 5, 1]] {
            let mut observation = Observation::default();
            for at in order {
                observation.add(seen(if at == 5 { "b" } else { "a" }, at));
            }
            let current = observation.current().unwrap();
            assert_eq!((current.value, current.stamp), (&Value::text("a"), Stamp::at(9)), "order {order:?}");
        }
        let mut repeated = Observation::default();
        repeated.add(seen("a", 9));
        repeated.add(seen("a", 1));
        assert_eq!(repeated.current().unwrap().stamp, Stamp::at(1));
    }

    #[test]
    fn a_long_text_that_changes_often_stays_small_in_any_order() {
        let text = |n: i64| format!("{n}{}", "x".repeat(60_000));
        for order in [[1, 2, 3, 4, 5], [5, 4, 3, 2, 1], [3, 5, 1, 4, 2]] {
            let mut observation = Observation::default();
            for at in order {
                observation.add(seen(&text(at % 4), at));
            }
            let current = observation.current().unwrap();
            assert_eq!((current.value, current.stamp), (&Value::text(text(1)), Stamp::at(5)), "{order:?}");
            let bytes = serde_json::to_string(&observation).unwrap().len();
            assert!(bytes < 62_000, "{bytes} bytes, {order:?}");
        }
    }

    #[test]
    fn a_statement_counts_from_itself() {
        let mut observation = Observation::default();
        observation.add(seen("a", 1));
        observation.add(Point { stated: true, ..seen("a", 7) });
        assert_eq!(observation.current().unwrap().stamp, Stamp::at(7));
    }

    #[test]
    fn two_values_with_one_stamp_are_contested() {
        let mut observation = Observation::default();
        observation.add(seen("a", 3));
        observation.add(seen("b", 3));
        assert!(observation.current().unwrap().contested);
        observation.add(seen("b", 4));
        assert!(!observation.current().unwrap().contested);
    }

    #[test]
    fn only_the_persons_newer_grant_loosens() {
        let level = |entries: &[(&str, i64, bool)]| {
            let mut observation = Observation::default();
            for (name, at, own) in entries {
                observation.add_level(name, Stamp::at(*at), *own);
            }
            effective_level(std::iter::once(observation.levels())).map(|(l, _)| l)
        };
        assert_eq!(level(&[("withdrawn", 5, false), ("granted", 9, false)]).as_deref(), Some("withdrawn"));
        assert_eq!(level(&[("withdrawn", 5, false), ("granted", 9, true)]).as_deref(), Some("granted"));
        assert_eq!(level(&[("withdrawn", 5, false), ("granted", 5, true)]).as_deref(), Some("withdrawn"), "equal stamps");
        assert_eq!(level(&[("granted", 9, true), ("withdrawn", 10, false)]).as_deref(), Some("withdrawn"));
        assert_eq!(level(&[("granted", 3, false)]).as_deref(), Some("granted"));
        assert_eq!(level(&[("granted", 3, true), ("granted", 9, false)]).as_deref(), Some("granted"));
        assert_eq!(level(&[("granted", 3, true), ("unknown", 9, false)]).as_deref(), Some("granted"));
        assert_eq!(level(&[("withdrawn", 3, false), ("unknown", 9, false)]).as_deref(), Some("withdrawn"));
        assert_eq!(level(&[("unknown", 9, false)]).as_deref(), Some("unknown"));
        assert_eq!(level(&[]), None);
    }
}
