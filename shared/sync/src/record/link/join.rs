//! How two versions of a link, or the links of two golden records, become one.

use std::collections::BTreeSet;

use canonical::GoldenId;

use super::{Lease, Link, Object, Push};

/// How long after its lease a creation may still take effect, in milliseconds.
const LATE_CREATE_MS: i64 = 30_000;

impl Link {
    /// True if nobody has ever stored it.
    pub fn is_new(&self) -> bool {
        *self == Link::default()
    }

    /// Retires the link of a record that was merged into `survivor`, and returns what it was. Whoever is writing under it is
    /// fenced out.
    pub fn retire(&mut self, survivor: &GoldenId) -> Link {
        self.assert_allowed(self.has_not_moved(), "retire");
        let lease = Lease { fencing_token: self.lease.fencing_token + 1, ..Lease::default() };
        let version = self.version;
        std::mem::replace(self, Link { version, lease, object: Object::MovedTo(survivor.clone()), ..Link::default() })
    }

    /// Takes over the link of `record`, which was merged into `own`. Where both have a living object, this link's stays and the
    /// other one becomes a duplicate; a living object replaces one that is gone. Whoever is writing under either link is fenced
    /// out, and an object that is being created meanwhile is looked for once it can no longer appear.
    pub fn absorb(&mut self, own: &GoldenId, record: &GoldenId, mut retired: Link) {
        self.assert_allowed(self.has_not_moved() && retired.has_not_moved(), "absorb");
        for (id, creates) in [(own, self.creates_until()), (record, retired.creates_until())] {
            if let Some(until) = creates {
                self.pending_creates.insert(id.clone(), until);
            }
        }
        self.pending_creates.append(&mut retired.pending_creates);
        self.lease.join(&retired.lease);
        self.mark_unverified();
        self.knowledge.expect_sent_of(&mut retired.knowledge);
        self.duplicates_to_merge.append(&mut retired.duplicates_to_merge);
        self.refused_duplicates.append(&mut retired.refused_duplicates);
        match (&self.object, retired.object) {
            (Object::None, object @ (Object::Live(_) | Object::Gone(_))) | (Object::Gone(_), object @ Object::Live(_)) => {
                // The object still carries the retired id: the next push marks it with the survivor's.
                self.object = object;
                if let Some(object) = self.object.known_mut() {
                    object.marked = false;
                }
                let sent = std::mem::take(&mut self.knowledge.sent);
                self.knowledge = retired.knowledge;
                self.knowledge.sent = sent;
            }
            (Object::Live(own), Object::Live(other)) if own.id != other.id => {
                self.duplicates_to_merge.insert(other.id);
            }
            _ => {}
        }
        self.drop_own_duplicate();
    }

    /// Gives the objects with these ids to the link of a record that is split off from `own`, and returns that link. Whoever is
    /// writing under this link is fenced out, and an object that is being created meanwhile is looked for once it can no longer
    /// appear.
    pub fn split_off(&mut self, own: &GoldenId, ids: &BTreeSet<String>) -> Link {
        self.assert_allowed(self.has_not_moved(), "split_off");
        if let Some(until) = self.creates_until() {
            self.pending_creates.insert(own.clone(), until);
        }
        self.lease.fencing_token += 1;
        self.mark_unverified();
        let mut other = Link::default();
        if self.remote_id().is_some_and(|id| ids.contains(id)) {
            other.object = std::mem::take(&mut self.object);
            other.knowledge = std::mem::take(&mut self.knowledge);
            other.lease = self.lease.clone();
            if let Some(object) = other.object.known_mut() {
                object.marked = false;
            }
            (self.push, self.pushed_version, self.refused_at) = (Push::Unverified, 0, None);
        }
        // What the destination refused to merge is tried again, should they be found to be one after all.
        self.duplicates_to_merge.append(&mut self.refused_duplicates);
        let (theirs, mut mine) =
            std::mem::take(&mut self.duplicates_to_merge).into_iter().partition::<BTreeSet<_>, _>(|id| ids.contains(id));
        if self.object == Object::None
            && let Some(first) = mine.pop_first()
        {
            self.point_to(first, false);
        }
        self.duplicates_to_merge = mine;
        for id in theirs {
            match other.object {
                Object::None => other.point_to(id, false),
                _ => other.add_duplicate(id),
            }
        }
        if !other.is_new() {
            other.mark_unverified();
        }
        other
    }

    /// Until when a worker may still create an object for this link.
    fn creates_until(&self) -> Option<i64> {
        (self.object == Object::None && self.lease.was_ever_held()).then(|| self.lease.until_ms + LATE_CREATE_MS)
    }

    /// Takes over an object that was created for a record after that had been merged into this link's.
    pub fn absorb_late_create(&mut self, id: &str) {
        self.assert_allowed(self.has_not_moved(), "absorb_late_create");
        match self.remote_id() {
            None => self.point_to(id.to_owned(), false),
            Some(own) if own != id => {
                if !self.replace_gone(id) {
                    self.duplicates_to_merge.insert(id.to_owned());
                }
                return;
            }
            Some(_) => {}
        }
        self.mark_unverified();
    }

    /// This link as a worker is to store it, with what others have stored since it was `base`: duplicates and pending creates
    /// of a merge of records, another object, reports of webhooks. What this worker has finished does not come back.
    pub fn with_changes_of_others(&self, base: &Link, stored: &Link) -> Link {
        self.assert_allowed(self.has_not_moved() && stored.has_not_moved(), "with_changes_of_others");
        let mut next = Link { version: stored.version, ..self.clone() };
        next.duplicates_to_merge.extend(stored.duplicates_to_merge.difference(&base.duplicates_to_merge).cloned());
        next.duplicates_to_merge.retain(|id| stored.duplicates_to_merge.contains(id) || !base.duplicates_to_merge.contains(id));
        next.refused_duplicates.retain(|id| stored.refused_duplicates.contains(id) || !base.refused_duplicates.contains(id));
        next.refused_duplicates.extend(stored.refused_duplicates.difference(&base.refused_duplicates).cloned());
        let pending = stored.pending_creates.iter().filter(|(id, _)| !base.pending_creates.contains_key(*id));
        next.pending_creates.extend(pending.map(|(id, until)| (id.clone(), *until)));
        let news = stored.push.needs_look_up() && !base.push.needs_look_up();
        if news || !next.pending_creates.is_empty() {
            next.mark_unverified();
        }
        let recheck = stored.lease.recheck_at_ms.filter(|_| stored.lease.recheck_at_ms != base.lease.recheck_at_ms);
        next.lease.recheck_at_ms = next.lease.recheck_at_ms.max(recheck);
        if let Some(theirs) = stored.remote_id().filter(|_| stored.remote_id() != base.remote_id())
            && stored.remote_id() != self.remote_id()
        {
            if self.remote_id() == base.remote_id() {
                next.point_to(theirs.to_owned(), false);
            } else {
                next.duplicates_to_merge.insert(theirs.to_owned());
            }
            next.mark_unverified();
        }
        if let Some(id) = stored.remote_id().filter(|_| stored.is_gone()) {
            next.object.end(id);
        }
        if stored.remote_id().is_none() || stored.remote_id() == next.remote_id() {
            next.knowledge.take_in_reports(&base.knowledge, &stored.knowledge);
        }
        next.drop_own_duplicate();
        next
    }

    fn drop_own_duplicate(&mut self) {
        if let Some(own) = self.object.id() {
            self.duplicates_to_merge.remove(own);
            self.refused_duplicates.remove(own);
        }
    }
}
