//! What a change says, noted on its source record and on the link to its object.

use canonical::{Change, ChangeKind, FieldName, FieldValue, Outcome, Stamp, Value, find_field};

use crate::config::{Hub, ObjectPolicy, Survivorship};
use crate::failure::{Code, Failure};
use crate::mutant::{Mutant, mutant};
use crate::record::observation::{Observation, Observed, Point};
use crate::record::{GoldenRecord, Link, Sent, SourceRecord, may_be_made_of};

/// How long a request whose answer was lost may still take effect at a destination, in milliseconds.
const LATE_EFFECT_MS: i64 = 900_000;

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
                    if !link.orphans.remove(&self.change.source.id) {
                        link.point_to(id.clone());
                    } else if link.remote.as_ref() != Some(id) {
                        link.orphans.insert(id.clone());
                    }
                    link.marked = false;
                    link.dirty = true;
                }
                self.delete(source, None, stamp);
            }
            ChangeKind::Snapshot | ChangeKind::Partial | ChangeKind::Restored => {
                if let (ChangeKind::Restored, Some(link)) = (&self.change.kind, link.as_deref_mut()) {
                    link.gone &= self.is_orphan(link);
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
                // A link speaks the destination's own language: references as they stand there.
                let there = &field.value;
                let orphan = self.is_orphan(link);
                if !orphan {
                    self.compare_with_golden(link, name, there, &value);
                }
                let since = |written: Stamp| {
                    let own = source.fields.get(name).and_then(Observation::current);
                    own.is_some_and(|c| *c.value != value && c.stamp > written)
                };
                let echo = self.echo(link, name, field, stamp, since)?;
                if !orphan {
                    link.see(name, there, stamp);
                    self.seen_differs |= link.hear(name, there, stamp) && self.ours(name) != Some(&value);
                }
                if echo && !mutant(Mutant::EchoAsObservation) {
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
            && !self.is_orphan(link)
        {
            // What a whole record does not mention any more is gone.
            let at = self.change.stamp.unwrap_or(Stamp::at(self.received_ms));
            link.unheard.retain(|name, found| self.change.fields.contains_key(name) || found.stamp > at);
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
            // Losing a merge task is what merge tasks are for.
            link.gone |= !link.orphans.remove(&self.change.source.id);
        }
    }

    /// What the golden record holds in a field before the change.
    fn ours(&self, name: &FieldName) -> Option<&Value> {
        self.before?.fields.get(name).map(|r| &r.value)
    }

    /// True when the change comes from an object that only waits to be merged: it is not what the link writes to.
    fn is_orphan(&self, link: &Link) -> bool {
        link.orphans.contains(&self.change.source.id)
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

    fn compare_with_golden(&mut self, link: &Link, name: &FieldName, there: &Value, value: &Value) {
        let ours = self.ours(name);
        let differs = match link.back.get(name) {
            Some(back) => back != there,
            None => ours.is_some_and(|ours| ours != value),
        };
        if link.sent.contains_key(name) && differs {
            self.seen_differs = true;
        }
    }

    /// True when the value is our own write coming back. An open push whose outcome is not known yet makes some values
    /// undecidable: the event waits for it.
    ///
    /// A value with a stamp of its own is our write if it is not newer than that write, by the destination's clock. A value of a
    /// snapshot that is stamped as a whole only is our last write unless the source has said something else since: that is how
    /// A → B → A stays real. A write whose answer was lost may still take effect for a while.
    fn echo(
        &self,
        link: &Link,
        name: &FieldName,
        field: &FieldValue,
        stamp: Stamp,
        said_since: impl Fn(Stamp) -> bool,
    ) -> Result<bool, Failure> {
        let value = &field.value;
        let Some(ring) = link.sent.get(name) else { return Ok(false) };
        let tolerance = self.hub.limits.echo_ms;
        let may_come_back = |sent: &Sent| {
            sent.stamp.is_none() && stamp.at_ms <= sent.intended_ms + LATE_EFFECT_MS && may_be_made_of(value, &sent.value)
        };
        if link.has_written(name, value, stamp, tolerance) || ring.iter().any(may_come_back) {
            return Ok(true);
        }
        let own_stamp = field.stamp.is_some() || matches!(self.change.kind, ChangeKind::Partial);
        // What we had last written when the snapshot was taken; what we wrote about then may be in it or not.
        let stamps = || ring.iter().rev().filter_map(|sent| Some((&sent.value, sent.stamp?)));
        let about_then = stamps().filter(|(_, written)| (stamp.at_ms + 1..=stamp.at_ms + tolerance).contains(&written.at_ms));
        // An object that waits to be merged was written under another link, whose writes are among these: any of them may be its last.
        let last = if self.is_orphan(link) { usize::MAX } else { 1 };
        let by_then = stamps().filter(|(_, written)| written.at_ms <= stamp.at_ms).take(last);
        if let (false, Some((_, written))) = (own_stamp, by_then.chain(about_then).find(|(sent, _)| *sent == value)) {
            return Ok(!said_since(written));
        }
        let known_older = link.seen.get(name).is_some_and(|seen| stamp < seen.stamp);
        if link.open && ring.last().is_some_and(|sent| sent.stamp.is_none()) && !known_older {
            return Err(Failure::new(Code::PushOpen, format!("a push of `{name}` is not settled yet")));
        }
        Ok(false)
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
