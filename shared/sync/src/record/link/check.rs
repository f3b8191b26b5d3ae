//! What holds for every link that is stored, whatever led to it.

use super::{Link, Object, Push};

impl Link {
    /// Checks the rules that tie the parts of a link together. The simulator checks each stored link, and each write of a
    /// debug build checks its own.
    pub fn check(&self) -> Result<(), &'static str> {
        let rules = [
            (self.moved_leaves_nothing(), "a link that moved still holds something"),
            (self.no_object_means_no_memory(), "a link without an object remembers one"),
            (!self.own_is_duplicate(), "the object of a link is also its duplicate"),
            (!self.push.is_in_flight() || self.lease.until_ms > 0, "a push is in flight without a lease"),
            (!self.push.is_in_flight() || self.lease.was_ever_held(), "a push is in flight without a fencing token"),
            (self.pending_creates.is_empty() || self.push.needs_look_up(), "a pending create without a look-up"),
        ];
        match rules.into_iter().find(|(holds, _)| !holds) {
            Some((_, rule)) => Err(rule),
            None => Ok(()),
        }
    }

    fn moved_leaves_nothing(&self) -> bool {
        let Object::MovedTo(_) = &self.object else { return true };
        let mut rest = self.clone();
        rest.object = Object::None;
        rest.lease.fencing_token = 0;
        rest.version = 0;
        rest == Link::default()
    }

    fn no_object_means_no_memory(&self) -> bool {
        let Object::None = &self.object else { return true };
        self.knowledge.pushed.is_empty()
            && self.knowledge.read_back.is_empty()
            && self.knowledge.unobserved.is_empty()
            && self.duplicates_to_merge.is_empty()
            && self.refused_duplicates.is_empty()
            && (self.pushed_version == 0 || self.refused_at.is_some())
    }

    fn own_is_duplicate(&self) -> bool {
        self.remote_id().is_some_and(|id| self.is_duplicate(id))
    }

    /// Checks that a transition is allowed in this state, in debug builds.
    pub(super) fn assert_allowed(&self, allowed: bool, transition: &str) {
        debug_assert!(allowed, "{transition} is not allowed for a link that is {:?} with a push {:?}", self.object, self.push);
    }

    pub(super) fn is_writable(&self) -> bool {
        matches!(self.object, Object::None | Object::Live(_))
    }

    pub(super) fn has_not_moved(&self) -> bool {
        !matches!(self.object, Object::MovedTo(_))
    }

    pub(super) fn is(&self, push: Push) -> bool {
        self.push == push
    }
}
