//! What a change says, noted on its source record and on the link to its object.

use canonical::{Change, ChangeKind, FieldName, FieldValue, Outcome, Stamp, Value, find_field};

use crate::config::{Hub, ObjectPolicy, Survivorship};
use crate::failure::{Code, Failure};
use crate::mutant::{Mutant, mutant};
use crate::record::link::{Echo, Reported};
use crate::record::observation::{Observation, Observed, Point};
use crate::record::{GoldenRecord, Link, SourceRecord};

/// How the fields of a change fared.
#[derive(Debug, Default)]
pub(super) struct Tally {
    changed: usize,
    same: usize,
    older: usize,
    pub(super) echo: usize,
}

pub(super) struct Observer<'a> {
    pub(super) hub: &'a Hub,
    pub(super) policy: &'a ObjectPolicy,
    pub(super) change: &'a Change,
    pub(super) received_ms: i64,
    pub(super) now_ms: i64,
    /// The golden record before the change.
    pub(super) before: Option<&'a GoldenRecord>,
    /// True when a destination holds something else than the golden record in a field that we write there.
    pub(super) seen_differs: bool,
    pub(super) tally: Tally,
}

impl Observer<'_> {
    pub(super) fn observe(&mut self, source: &mut SourceRecord, mut link: Option<&mut Link>) -> Result<(), Failure> {
        let (stamp, _) = self.bounded(self.change.stamp.unwrap_or(Stamp::at(self.received_ms)));
        match &self.change.kind {
            ChangeKind::Delete { .. } => self.delete(source, link.as_deref_mut(), stamp),
            ChangeKind::MergedInto { id } => {
                if let Some(link) = link.as_deref_mut() {
                    link.note_merged(&self.change.source.id, id);
                }
                self.delete(source, None, stamp);
            }
            ChangeKind::Snapshot | ChangeKind::Partial | ChangeKind::Restored => {
                if let (ChangeKind::Restored, Some(link)) = (&self.change.kind, link.as_deref_mut()) {
                    link.note_restored(&self.change.source.id);
                }
                if source.alive.is_none_or(|alive| alive < stamp) {
                    source.alive = Some(stamp);
                }
            }
        }
        let explicit = matches!(self.change.fields.get("explicit").map(|f| &f.value), Some(Value::Bool(true)));
        for (name, field) in &self.change.fields {
            if find_field(self.change.object, name).is_none() {
                // Words that only qualify others, such as an effect's `explicit`.
                continue;
            }
            let (stamp, clamped) = self.bounded(field.stamp.or(self.change.stamp).unwrap_or(Stamp::at(self.received_ms)));
            let value = self.absolute(name, &field.value);
            if let Some(link) = link.as_deref_mut() {
                // A link holds values as they are at the destination: references are not absolute there.
                let reported = self.reported(link, name, field, stamp);
                if !reported.of_duplicate {
                    let as_golden = self.ours(name).is_none_or(|ours| *ours == value);
                    self.seen_differs |= link.has_drifted(name, reported.value, as_golden);
                }
                let since = |written: Stamp| {
                    let own = source.fields.get(name).and_then(Observation::current);
                    own.is_some_and(|c| *c.value != value && c.stamp > written)
                };
                let echo = link.judge(&reported, since);
                if echo == Echo::Undecided {
                    return Err(Failure::new(Code::PushOpen, format!("a push of `{name}` is still in flight")));
                }
                if !reported.of_duplicate {
                    self.seen_differs |= link.note_reported(&reported) && self.ours(name) != Some(&value);
                }
                if echo == Echo::Own && !mutant(Mutant::EchoAsObservation) {
                    self.tally.echo += 1;
                    continue;
                }
            }
            let stamp = if mutant(Mutant::LastWriteWinsByArrival) { Stamp::at(self.now_ms) } else { stamp };
            let observation = source.fields.entry(name.clone()).or_default();
            if let (Survivorship::MostRestrictive, Value::Text(level)) = (self.policy.rule(name).0, &value) {
                observation.add_level(level, stamp, explicit && level == "granted");
            }
            let stated = matches!(self.change.kind, ChangeKind::Partial);
            match observation.add(Point { value, stamp, stated, flagged: field.flagged || clamped }) {
                Observed::Changed => self.tally.changed += 1,
                Observed::Same => self.tally.same += 1,
                Observed::Older => self.tally.older += 1,
            }
        }
        if let (ChangeKind::Snapshot, Some(link)) = (&self.change.kind, link)
            && !link.is_duplicate(&self.change.source.id)
        {
            let at = self.change.stamp.unwrap_or(Stamp::at(self.received_ms));
            link.forget_unmentioned(|name| self.change.fields.contains_key(name), at);
        }
        Ok(())
    }

    fn delete(&mut self, source: &mut SourceRecord, link: Option<&mut Link>, stamp: Stamp) {
        if source.deleted.is_none_or(|deleted| deleted < stamp) {
            source.deleted = Some(stamp);
            self.tally.changed += 1;
        } else {
            self.tally.older += 1;
        }
        if let Some(link) = link
            && source.is_deleted()
        {
            link.note_deleted(&self.change.source.id);
        }
    }

    /// What the golden record holds in a field before the change.
    fn ours(&self, name: &FieldName) -> Option<&Value> {
        self.before?.fields.get(name).map(|r| &r.value)
    }

    fn reported<'f>(&self, link: &Link, name: &'f FieldName, field: &'f FieldValue, stamp: Stamp) -> Reported<'f> {
        Reported {
            field: name,
            value: &field.value,
            stamp,
            own_stamp: field.stamp.is_some() || matches!(self.change.kind, ChangeKind::Partial),
            of_duplicate: link.is_duplicate(&self.change.source.id),
            tolerance_ms: self.hub.limits.echo_ms,
        }
    }

    /// A stamp that lies too far in our future is brought back to the bound and flagged.
    fn bounded(&self, stamp: Stamp) -> (Stamp, bool) {
        let bound = self.now_ms + self.hub.limits.future_ms;
        if stamp.at_ms > bound { (Stamp { at_ms: self.received_ms, ..stamp }, true) } else { (stamp, false) }
    }

    /// A reference within the connection becomes the full remote id, so that it means the same in every cluster.
    fn absolute(&self, field: &str, value: &Value) -> Value {
        let is_ref = find_field(self.change.object, field).is_some_and(|f| matches!(f.kind, canonical::FieldKind::Ref(_)));
        match value {
            Value::Text(text) if is_ref => match text.split_once(':') {
                Some((object, id)) => Value::Text(format!("{}/{object}/{id}", self.change.source.connection)),
                None => value.clone(),
            },
            _ => value.clone(),
        }
    }

    pub(super) fn outcome(&self, values_changed: bool) -> Outcome {
        let t = &self.tally;
        if !self.change.problems.is_empty() {
            return Outcome::Quarantined;
        }
        match () {
            () if values_changed => Outcome::Applied,
            () if t.echo > 0 && t.changed == 0 => Outcome::Echo,
            () if t.changed + t.same > 0 => Outcome::Unchanged,
            () if t.older > 0 => Outcome::Superseded,
            () => Outcome::Unchanged,
        }
    }
}
