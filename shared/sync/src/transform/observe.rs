//! Observing: what a change reports is added to its source record, and to the link to its object.

use canonical::{ChangeKind, FieldKind, FieldName, FieldValue, Outcome, Stamp, Value};

use crate::config::{ObjectPolicy, Survivorship};
use crate::failure::{Code, Failure};
use crate::mutant::{Mutant, mutant};
use crate::record::link::{Echo, Reported};
use crate::record::observation::{Observation, Observed, Point};
use crate::record::{GoldenRecord, Link, SourceRecord};
use crate::transform::identity::HUB_NAMESPACE;
use crate::transform::plan::MergeInput;

/// The field of a change that only qualifies the others: true when the person concerned gave the consent.
const EXPLICIT: &str = "explicit";

/// How many reports of a change were new, and how many were not.
#[derive(Debug, Default)]
struct Counts {
    changed: usize,
    same: usize,
    older: usize,
    echo: usize,
}

/// One field of a change, ready to be observed.
struct FieldReport<'f> {
    name: &'f FieldName,
    /// As the change holds it, and as the destination does.
    field: &'f FieldValue,
    /// The value as it means the same in every cluster.
    value: Value,
    stamp: Stamp,
    /// True when the stamp was too far in the future.
    clamped: bool,
}

/// True if the changed object no longer exists, as far as anybody knows once the change is observed.
pub(super) fn is_gone_after(input: MergeInput<'_>, stored: Option<&SourceRecord>) -> bool {
    let change = input.change;
    let mut source = SourceRecord::new(change.source.clone(), change.object, Default::default());
    if let Some(stored) = stored {
        (source.deleted, source.alive, source.absence, source.found_ms) =
            (stored.deleted, stored.alive, stored.absence, stored.found_ms);
    }
    Observer::new(input, None).note_life(&mut source);
    source.is_deleted()
}

/// Observes one change.
pub(super) struct Observer<'a> {
    input: MergeInput<'a>,
    policy: &'a ObjectPolicy,
    /// The golden record before the change.
    before: Option<&'a GoldenRecord>,
    /// True when the destination that reports the change differs from the golden record in a field that the hub writes there.
    pub(super) destination_differs: bool,
    counts: Counts,
}

impl<'a> Observer<'a> {
    pub(super) fn new(input: MergeInput<'a>, before: Option<&'a GoldenRecord>) -> Observer<'a> {
        let policy = input.hub.object(input.change.object);
        Observer { input, policy, before, destination_differs: false, counts: Counts::default() }
    }

    /// Adds the change to its source record, and to the link of its cluster to the change's connection if that link is about the
    /// changed object.
    pub(super) fn observe(&mut self, source: &mut SourceRecord, link: Option<&mut Link>) -> Result<(), Failure> {
        let change = self.input.change;
        let carries_hub_id = change.external_ids.iter().any(|(namespace, _)| namespace == HUB_NAMESPACE);
        let mut link = link.filter(|link| link.is_about(&change.source.id, carries_hub_id));
        self.observe_object(source, link.as_deref_mut());
        if let Some(link) = link.as_deref_mut().filter(|_| carries_hub_id && !source.is_deleted()) {
            self.observe_duplicate(link);
        }
        // A field outside the catalogue only qualifies the others.
        let catalogue = self.input.hub.fields;
        for (name, field) in change.fields.iter().filter(|(name, _)| catalogue.find(change.object, name).is_some()) {
            let mut report = self.report_of(name, field);
            if let (Some(link), None, ChangeKind::Snapshot) = (link.as_deref(), field.stamp, &change.kind)
                && let Some(since) = link.knowledge().adopted_since(name, &field.value)
            {
                // The object's stamp may be that of the hub's own write, which dates nothing that was there before.
                report.stamp = report.stamp.min(since);
            }
            let is_echo = match link.as_deref_mut() {
                Some(link) => self.observe_at_destination(&report, source, link)?,
                None => false,
            };
            if is_echo && !mutant(Mutant::EchoAsObservation) {
                self.counts.echo += 1;
            } else {
                self.observe_at_source(report, source);
            }
        }
        if let (ChangeKind::Snapshot, Some(link)) = (&change.kind, link)
            && !link.stands_for_another(&change.source.id)
        {
            link.forget_unmentioned(|name| change.fields.contains_key(name), self.unbounded_stamp(None));
        }
        Ok(())
    }

    /// Observes that the object exists, was deleted or merged, or was not found. What that means for the link is decided once
    /// all members of the cluster are known (`merge.rs`).
    fn observe_object(&mut self, source: &mut SourceRecord, link: Option<&mut Link>) {
        let change = self.input.change;
        if let (ChangeKind::MergedInto { id }, Some(link)) = (&change.kind, link) {
            link.note_merged(&change.source.id, id);
            self.destination_differs = true;
        }
        match self.note_life(source) {
            Some(Observed::Changed) => self.counts.changed += 1,
            Some(Observed::Same) => self.counts.same += 1,
            Some(Observed::Older) => self.counts.older += 1,
            None => {}
        }
    }

    /// Notes on the source record what the change proves about the life of its object; `None` where the change only shows that it
    /// exists.
    fn note_life(&self, source: &mut SourceRecord) -> Option<Observed> {
        let (stamp, _) = self.bounded_stamp(None);
        match &self.input.change.kind {
            ChangeKind::Delete { .. } | ChangeKind::MergedInto { .. } => Some(match source.deleted {
                Some(deleted) if deleted >= stamp => Observed::Older,
                _ => {
                    source.deleted = Some(stamp);
                    Observed::Changed
                }
            }),
            ChangeKind::Absent { confirmed } => {
                let news = source.note_absent(stamp.at_ms, *confirmed) && *confirmed;
                Some(if news { Observed::Changed } else { Observed::Same })
            }
            ChangeKind::Restored | ChangeKind::Snapshot | ChangeKind::Partial => {
                source.alive = source.alive.max(Some(stamp));
                if let Some(read_ms) = self.input.read_ms {
                    source.note_found(read_ms);
                }
                None
            }
        }
    }

    /// A living object that carries the record's id, or that of a record merged into it, is a duplicate of the one that the link
    /// stands for: a worker was killed after it had created the object.
    fn observe_duplicate(&mut self, link: &mut Link) {
        let source = &self.input.change.source;
        let written = self.policy.destinations.get(&source.connection) == Some(&source.object);
        if written && !link.is_gone() && link.stands_for_another(&source.id) && !link.is_duplicate(&source.id) {
            link.add_duplicate(source.id.clone());
            self.destination_differs = true;
        }
    }

    /// Compares a field with what the link knows of the destination. Returns true when the report is an echo: a write of the hub
    /// that comes back. While a push of the field is in flight this may be undecidable, and the event waits for the push.
    fn observe_at_destination(
        &mut self,
        report: &FieldReport<'_>,
        source: &SourceRecord,
        link: &mut Link,
    ) -> Result<bool, Failure> {
        let FieldReport { name, field, value, stamp, .. } = report;
        let golden_value = self.before.and_then(|golden| golden.fields.get(*name)).map(|resolved| &resolved.value);
        let reported = Reported {
            field: name,
            value: &field.value,
            stamp: *stamp,
            own_stamp: field.stamp.is_some() || self.input.change.kind == ChangeKind::Partial,
            of_duplicate: link.stands_for_another(&self.input.change.source.id),
            tolerance_ms: self.input.hub.limits.echo_ms,
        };
        let drifted = link.has_drifted(name, reported.value, golden_value.is_none_or(|golden| golden == value));
        let changed_since = |written: Stamp| {
            let own = source.fields.get(*name).and_then(Observation::current);
            own.is_some_and(|current| current.value != value && current.stamp > written)
        };
        let echo = link.judge(&reported, changed_since);
        if echo == Echo::Undecided {
            return Err(Failure::new(Code::PushOpen, format!("a push of `{name}` is still in flight")));
        }
        // A duplicate is not the object that the hub writes to.
        if !reported.of_duplicate {
            let newly_observed = link.note_reported(&reported);
            self.destination_differs |= drifted || newly_observed && golden_value != Some(value);
        }
        Ok(echo == Echo::Own)
    }

    /// Adds a field to the source record's observations.
    fn observe_at_source(&mut self, report: FieldReport<'_>, source: &mut SourceRecord) {
        let FieldReport { name, field, value, stamp, clamped } = report;
        let change = self.input.change;
        let stamp = if mutant(Mutant::LastWriteWinsByArrival) { Stamp::at(self.input.now_ms) } else { stamp };
        let observation = source.fields.entry(name.clone()).or_default();
        if let (Survivorship::MostRestrictive, Value::Text(level)) = (self.policy.rule(name).0, &value) {
            let explicit = change.fields.get(EXPLICIT).is_some_and(|field| field.value == Value::Bool(true));
            observation.add_level(level, stamp, explicit && level == "granted");
        }
        let stated = change.kind == ChangeKind::Partial;
        match observation.add(Point { value, stamp, stated, flagged: field.flagged || clamped }) {
            Observed::Changed => self.counts.changed += 1,
            Observed::Same => self.counts.same += 1,
            Observed::Older => self.counts.older += 1,
        }
    }

    fn report_of<'f>(&self, name: &'f FieldName, field: &'f FieldValue) -> FieldReport<'f> {
        let (stamp, clamped) = self.bounded_stamp(field.stamp);
        FieldReport { name, field, value: self.absolute(name, &field.value), stamp, clamped }
    }

    /// The stamp of a field or of the whole change, as the source gave it.
    fn unbounded_stamp(&self, own: Option<Stamp>) -> Stamp {
        own.or(self.input.change.stamp).unwrap_or(Stamp::at(self.input.received_ms))
    }

    /// The stamp of a field or of the whole change. A stamp that was too far in our future when the change was received is
    /// replaced by that time; then the second value is true. When the change is worked on does not matter.
    fn bounded_stamp(&self, own: Option<Stamp>) -> (Stamp, bool) {
        let stamp = self.unbounded_stamp(own);
        let bound = self.input.received_ms + self.input.hub.limits.future_ms;
        if stamp.at_ms > bound { (Stamp { at_ms: self.input.received_ms, ..stamp }, true) } else { (stamp, false) }
    }

    /// Turns a reference within the connection into the full remote id, so that it means the same in every cluster.
    fn absolute(&self, field: &str, value: &Value) -> Value {
        let change = self.input.change;
        let is_ref = self.input.hub.fields.find(change.object, field).is_some_and(|def| matches!(def.kind, FieldKind::Ref(_)));
        match value.as_text().filter(|_| is_ref).and_then(|text| text.split_once(':')) {
            Some((object, id)) => Value::Text(format!("{}/{object}/{id}", change.source.connection)),
            None => value.clone(),
        }
    }

    /// True when the change brought back writes of the hub.
    pub(super) fn found_echo(&self) -> bool {
        self.counts.echo > 0
    }

    /// How the change ended.
    pub(super) fn outcome(&self, values_changed: bool) -> Outcome {
        let Counts { changed, same, older, echo } = self.counts;
        if !self.input.change.problems.is_empty() {
            Outcome::Quarantined
        } else if values_changed {
            Outcome::Applied
        } else if echo > 0 && changed == 0 {
            Outcome::Echo
        } else if older > 0 && changed + same == 0 {
            Outcome::Superseded
        } else {
            Outcome::Unchanged
        }
    }
}
