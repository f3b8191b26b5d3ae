//! What events report about the object of a link, and whether they only report the hub's own writes.

use canonical::{FieldName, Stamp, Value};

use super::knowledge::may_be_made_of;
use super::{Link, Object};
use crate::record::shortened::same;

/// How long a request whose answer was lost may still take effect at a destination, in milliseconds.
const LATE_EFFECT_MS: i64 = 900_000;

/// A value that an event reports.
#[derive(Debug, Clone, Copy)]
pub struct Reported<'a> {
    /// The field.
    pub field: &'a FieldName,
    /// The value, as it is at the destination.
    pub value: &'a Value,
    /// When it was true, by the destination's clock.
    pub stamp: Stamp,
    /// True when the stamp is the field's own, and not that of the whole snapshot.
    pub own_stamp: bool,
    /// True when the event is about another object than the one that the link stands for.
    pub of_duplicate: bool,
    /// By how much clocks and stamps may differ, in milliseconds.
    pub tolerance_ms: i64,
}

/// Whether a reported value is the hub's own write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Echo {
    /// It is.
    Own,
    /// It is somebody else's.
    Foreign,
    /// A push is in flight, and only its outcome decides.
    Undecided,
}

impl Link {
    /// True when an event is about the object that the link stands for, about a duplicate of it, or about an object that carries
    /// the id of the golden record or of one that was merged into it: the hub has written to it, even if the link does not know
    /// it.
    pub fn is_about(&self, id: &str, carries_hub_id: bool) -> bool {
        match &self.object {
            Object::Live(own) | Object::Gone(own) => own.id == id || self.is_duplicate(id) || carries_hub_id,
            Object::None => carries_hub_id,
            Object::MovedTo(_) => false,
        }
    }

    /// True when the link stands for another object than this one.
    pub fn stands_for_another(&self, id: &str) -> bool {
        self.remote_id().is_some_and(|own| own != id)
    }

    /// True when an object only waits to be merged: it is not the one that the link writes to.
    pub fn is_duplicate(&self, id: &str) -> bool {
        self.duplicates_to_merge.contains(id) || self.refused_duplicates.contains(id)
    }

    /// Notes that there is evidence that an object was deleted at the destination. A duplicate that is deleted needs no merge
    /// any more. If it was the link's own object, a living duplicate takes its place. Returns true if the link stands for another
    /// object now.
    pub fn note_deleted(&mut self, id: &str) -> bool {
        self.assert_allowed(self.has_not_moved(), "note_deleted");
        if self.remove_duplicate(id) || !self.object.end(id) {
            return false;
        }
        let duplicate = self.duplicates_to_merge.first().or(self.refused_duplicates.first()).cloned();
        duplicate.is_some_and(|duplicate| self.replace_gone(&duplicate))
    }

    fn remove_duplicate(&mut self, id: &str) -> bool {
        self.duplicates_to_merge.remove(id) | self.refused_duplicates.remove(id)
    }

    /// Notes proof that an object exists. Returns true if the link took its object for gone: the destination is read before the
    /// next push.
    pub fn note_alive(&mut self, id: &str) -> bool {
        self.assert_allowed(self.has_not_moved(), "note_alive");
        let revived = self.object.revive(id);
        if revived {
            self.mark_unverified();
        }
        revived
    }

    /// Another object of the same golden record takes the place of one that is gone. Returns true if the link's object was gone.
    pub fn replace_gone(&mut self, id: &str) -> bool {
        self.assert_allowed(self.has_not_moved(), "replace_gone");
        let free = self.is_gone() && self.remote_id() != Some(id);
        if free {
            self.point_to(id.to_owned(), false);
            self.mark_unverified();
        }
        free
    }

    /// Notes that the destination has merged the object `id` into the object `into`.
    pub fn note_merged(&mut self, id: &str, into: &str) {
        self.assert_allowed(self.has_not_moved(), "note_merged");
        if !self.remove_duplicate(id) {
            self.point_to(into.to_owned(), false);
        } else if self.remote_id() != Some(into) && !self.replace_gone(into) {
            self.duplicates_to_merge.insert(into.to_owned());
        }
        if let Some(object) = self.object.known_mut() {
            object.marked = false;
        }
        self.mark_unverified();
    }

    /// Notes a reported value. Returns true if no source had reported it before.
    pub fn note_reported(&mut self, reported: &Reported<'_>) -> bool {
        self.assert_allowed(self.has_not_moved(), "note_reported");
        self.knowledge.see(reported.field, reported.value, reported.stamp);
        self.knowledge.mark_observed(reported.field, reported.value, reported.stamp)
    }

    /// Notes that a snapshot of the object mentions only these fields.
    pub fn forget_unmentioned(&mut self, mentioned: impl Fn(&str) -> bool, at: Stamp) {
        self.knowledge.forget_unmentioned(mentioned, at);
    }

    /// True when a field that the hub has written holds something else than the destination made of that write. Where the
    /// destination's answer is not known, `as_golden` decides: whether the value is that of the golden record.
    pub fn has_drifted(&self, field: &str, there: &Value, as_golden: bool) -> bool {
        let differs = self.knowledge.read_back(field).map_or(!as_golden, |read_back| !same(read_back, there));
        self.knowledge.sent.contains_key(field) && differs
    }

    /// Judges whether a reported value is our own write.
    ///
    /// A value with a stamp of its own is our write if it is not newer than that write, by the destination's clock. A value of a
    /// snapshot that is stamped only as a whole is our last write unless the source has reported something else since: so
    /// A → B → A stays real. A write whose answer was lost may still take effect for a while.
    pub fn judge(&self, reported: &Reported<'_>, changed_since: impl Fn(Stamp) -> bool) -> Echo {
        let Reported { field, value, stamp, tolerance_ms, .. } = *reported;
        let Some(sent) = self.knowledge.sent.get(field) else { return Echo::Foreign };
        let mut unconfirmed = sent.iter().filter(|sent| sent.stamp.is_none() && stamp.at_ms <= sent.intended_ms + LATE_EFFECT_MS);
        if self.knowledge.has_written(field, value, stamp, tolerance_ms)
            || unconfirmed.any(|sent| may_be_made_of(value, &sent.value))
        {
            return Echo::Own;
        }
        if let (false, Some(written)) = (reported.own_stamp, self.written_before(reported)) {
            return if changed_since(written) { Echo::Foreign } else { Echo::Own };
        }
        let known_older = self.knowledge.seen(field).is_some_and(|seen| stamp < seen.stamp);
        if self.push.is_in_flight() && self.knowledge.last_is_unconfirmed(field) && !known_older {
            return Echo::Undecided;
        }
        Echo::Foreign
    }

    /// When we wrote the value that a snapshot holds, if the snapshot can hold that write.
    fn written_before(&self, reported: &Reported<'_>) -> Option<Stamp> {
        let (at_ms, sent) = (reported.stamp.at_ms, self.knowledge.sent.get(reported.field)?);
        let confirmed = || sent.iter().rev().filter_map(|sent| Some((&sent.value, sent.stamp?)));
        // What we wrote at about the time of the snapshot may be in it or not.
        let about_then = confirmed().filter(|(_, written)| (at_ms + 1..=at_ms + reported.tolerance_ms).contains(&written.at_ms));
        // A duplicate was written under another link, whose writes are among these: any of them may be its last.
        let last = if reported.of_duplicate { usize::MAX } else { 1 };
        let by_then = confirmed().filter(|(_, written)| written.at_ms <= at_ms).take(last);
        by_then.chain(about_then).find(|(value, _)| same(value, reported.value)).map(|(_, written)| written)
    }

    /// True when an event at this time can only report that the hub created the object.
    pub fn has_created(&self, stamp: Stamp, tolerance_ms: i64) -> bool {
        let created = self.object.known().and_then(|object| object.created);
        created.is_some_and(|created| stamp.at_ms <= created.at_ms + tolerance_ms)
    }

    /// True when an event can only report a confirmed write of ours, so that a read could bring nothing new.
    pub fn explains(&self, field: &str, value: &Value, stamp: Stamp, tolerance_ms: i64) -> bool {
        // If something else was there in between, the return of the value is news, whoever brought it back.
        let expected = self.knowledge.seen(field).is_some_and(|seen| same(&seen.value, value) || seen.stamp > stamp);
        expected && !self.knowledge.last_is_unconfirmed(field) && self.knowledge.has_written(field, value, stamp, tolerance_ms)
    }

    /// True when the object exists and has this id.
    pub fn is_live_as(&self, id: &str) -> bool {
        matches!(&self.object, Object::Live(object) if object.id == id)
    }
}
