//! The transitions that a worker of `upsert` makes while it writes to a destination: lease, look-up, push, release.

use canonical::{Fields, Stamp};

use super::{Link, Object, Push, PushedField, ReadBack};

/// An object that was found at the destination.
#[derive(Debug, Clone)]
pub struct Found {
    /// Its id.
    pub id: String,
    /// True if it carries the id of the golden record.
    pub marked: bool,
    /// When it last changed, by the destination's clock.
    pub stamp: Stamp,
    /// Its values.
    pub values: Fields,
}

impl Link {
    /// Until when the next push must wait, because an object of a merged record may still appear.
    pub fn waits_for_creates(&self, now_ms: i64) -> Option<i64> {
        self.pending_creates.values().max().copied().filter(|until| *until > now_ms)
    }

    /// True when the destination has to be written or read although the golden record renders to what it holds.
    pub fn has_work(&self, can_merge: bool) -> bool {
        self.push != Push::Confirmed || !self.pending_creates.is_empty() || self.has_duplicates(can_merge)
    }

    /// True when the destination is read before the next push: an object may be there to adopt, or what it holds is uncertain.
    pub fn needs_look_up(&self) -> bool {
        self.object == Object::None || self.push.needs_look_up()
    }

    fn has_duplicates(&self, can_merge: bool) -> bool {
        can_merge && !self.duplicates_to_merge.is_empty()
    }

    /// Schedules a look-up once no worker whose lease expired can still write.
    pub fn recheck_if_due(&mut self, now_ms: i64) {
        if self.lease.recheck_at_ms.is_some_and(|at| at <= now_ms) {
            self.lease.recheck_at_ms = None;
            self.mark_unverified();
        }
    }

    /// Notes that nothing of this golden version concerns the destination. Returns true if that was news.
    pub fn mark_up_to_date(&mut self, version: u64) -> bool {
        let news = self.remote_id().is_some() && self.pushed_version < version;
        if news {
            self.pushed_version = version;
        }
        news
    }

    /// Takes the lease. `recheck_at_ms` is set when the lease before expired with a push in flight.
    pub fn take_lease(&mut self, until_ms: i64, recheck_at_ms: Option<i64>, can_merge: bool) {
        self.assert_allowed(self.is_writable(), "take_lease");
        self.lease.fencing_token += 1;
        self.lease.until_ms = until_ms;
        self.lease.recheck_at_ms = recheck_at_ms.or(self.lease.recheck_at_ms);
        // The last push of an expired lease may or may not have taken effect.
        if self.push.is_in_flight() || !self.pending_creates.is_empty() || self.has_duplicates(can_merge) {
            self.mark_unverified();
        }
    }

    /// Notes what is about to be sent: from now on these values coming back are echoes.
    pub fn intend_push<'a>(&mut self, fields: impl IntoIterator<Item = PushedField<'a>>, now_ms: i64) {
        self.assert_allowed(self.is_writable() && self.is(Push::Confirmed), "intend_push");
        self.push = Push::InFlight;
        for field in fields {
            self.knowledge.intend(&field, now_ms);
        }
    }

    /// Notes that the destination may hold something else than the link knows.
    pub fn mark_unverified(&mut self) {
        self.assert_allowed(self.has_not_moved(), "mark_unverified");
        self.push = self.push.unverified();
    }

    /// Takes in an object that was found at the destination: the link stands for it from now on. Returns true if it holds what an
    /// earlier push sent whose outcome was not known.
    pub fn adopt(&mut self, found: Found) -> bool {
        self.assert_allowed(self.is_writable() && self.push.needs_look_up(), "adopt");
        self.point_to(found.id, found.marked);
        self.knowledge.adopt(found.values, found.stamp)
    }

    /// Notes another object at the destination that stands for the same golden record.
    pub fn add_duplicate(&mut self, id: String) {
        self.assert_allowed(self.object.known().is_some(), "add_duplicate");
        if self.remote_id() != Some(&id) && !self.refused_duplicates.contains(&id) {
            self.duplicates_to_merge.insert(id);
        }
    }

    /// Notes that everything that a look-up found has been taken in. Nobody looks for pending creates again.
    pub fn finish_look_up(&mut self) {
        self.assert_allowed(self.has_not_moved() && self.push.needs_look_up(), "finish_look_up");
        self.pending_creates.clear();
        self.push = Push::Confirmed;
    }

    /// Notes that the destination is about to merge a duplicate into the object. What it moves from one to the other is the
    /// hub's doing, and comes back with new stamps.
    pub fn begin_merge(&mut self, now_ms: i64) {
        self.assert_allowed(self.object.known().is_some() && self.is(Push::Confirmed), "begin_merge");
        self.mark_unverified();
        self.knowledge.expect_again(now_ms);
    }

    /// Notes that the destination did not merge. `before` is the link before [`Link::begin_merge`].
    pub fn merge_not_made(&mut self, before: &Link) {
        self.assert_allowed(self.object.known().is_some() && self.is(Push::Unverified), "merge_not_made");
        self.knowledge.sent.clone_from(&before.knowledge.sent);
    }

    /// Notes that the destination refused to merge a duplicate: nobody tries it again automatically.
    pub fn merge_refused(&mut self, duplicate: &str) {
        self.assert_allowed(self.has_not_moved(), "merge_refused");
        if self.duplicates_to_merge.remove(duplicate) {
            self.refused_duplicates.insert(duplicate.to_owned());
        }
    }

    /// Notes that the destination has merged a duplicate and the object into `remains`.
    pub fn merged_at_destination(&mut self, duplicate: &str, remains: String) {
        self.assert_allowed(self.object.known().is_some() && self.is(Push::Unverified), "merged_at_destination");
        self.duplicates_to_merge.remove(duplicate);
        self.point_to(remains, false);
    }

    /// Notes that the destination has taken a golden version into this object. What it made of the values is not known yet.
    pub fn confirm_push(&mut self, id: String, version: u64) {
        self.assert_allowed(self.is_writable() && self.is(Push::InFlight), "confirm_push");
        self.point_to(id, true);
        self.refused_at = None;
        self.key_holders.clear();
        self.pushed_version = version;
        self.push = Push::Unverified;
    }

    /// Notes what the destination made of the values. The link stays unverified if a worker whose lease expired has undone some.
    pub fn note_read_back(&mut self, read_back: &ReadBack<'_>) {
        self.assert_allowed(matches!(self.object, Object::Live(_)) && self.is(Push::Unverified), "note_read_back");
        if self.knowledge.confirm(read_back, self.lease.recheck_at_ms.is_some()) {
            self.push = Push::Confirmed;
        }
    }

    /// Notes that the push created the object, and that it holds nothing but what was sent.
    pub fn note_created(&mut self, stamp: Stamp) {
        self.assert_allowed(matches!(self.object, Object::Live(_)), "note_created");
        if let Some(object) = self.object.known_mut() {
            object.created = Some(stamp);
        }
    }

    /// Notes that the push had no effect.
    pub fn push_not_made(&mut self) {
        self.assert_allowed(self.is_writable() && self.push.is_in_flight(), "push_not_made");
        self.push = self.push.not_made();
        self.knowledge.forget_intended();
    }

    /// Notes that nobody knows whether the push had an effect.
    pub fn push_outcome_unknown(&mut self) {
        self.assert_allowed(self.is_writable() && self.push.is_in_flight(), "push_outcome_unknown");
        self.mark_unverified();
    }

    /// Notes that nobody waits any longer for the outcome of a push: the hub does not write to the object any more, and the lease
    /// of the worker that was writing has ended. What was sent may still come back as an echo. Returns true if a push was in
    /// flight.
    pub fn give_up_push(&mut self) -> bool {
        self.assert_allowed(self.has_not_moved(), "give_up_push");
        let in_flight = self.push.is_in_flight();
        if in_flight {
            self.push = Push::Unverified;
        }
        in_flight
    }

    /// Notes that other objects hold a unique key of the record, for `certain` or perhaps. The next attempt looks for them, to
    /// adopt one; if the key is taken again after that, the record is refused.
    pub fn key_is_taken(&mut self, version: u64, holders: impl IntoIterator<Item = String>, certain: bool) {
        let first = self.refused_at != Some(version);
        self.assert_allowed(self.is_writable() && self.is(Push::InFlight) && first, "key_is_taken");
        self.push_not_made();
        self.mark_unverified();
        self.refused_at = Some(version);
        self.key_holders = holders.into_iter().map(|id| (id, certain)).collect();
    }

    /// Notes that the destination does not take this version. Nobody tries it again automatically; only a newer version or an
    /// operator does.
    pub fn refuse(&mut self, version: u64) {
        self.assert_allowed(self.has_not_moved(), "refuse");
        self.refused_at = Some(version);
        self.pushed_version = self.pushed_version.max(version);
    }

    /// Gives the lease back. While the outcome of a push is unknown, it is held until `hold_until_ms`: the push may still take
    /// effect, and would undo whatever is written before that.
    pub fn release(&mut self, hold_until_ms: i64) {
        self.assert_allowed(self.has_not_moved(), "release");
        self.lease.until_ms = if self.push.is_in_flight() { hold_until_ms } else { 0 };
    }

    /// Makes the link stand for this object.
    pub(super) fn point_to(&mut self, id: String, marked: bool) {
        self.duplicates_to_merge.remove(&id);
        self.refused_duplicates.remove(&id);
        if self.object.point_to(id) {
            self.knowledge.forget_object();
        }
        if let Some(object) = self.object.known_mut() {
            object.marked = marked;
        }
    }
}
