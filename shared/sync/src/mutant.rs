//! Planted bugs, which prove that the simulator finds real ones. They exist only with the feature `mutants`. A function is never
//! built with it: then [`mutant`] is the constant `false`.

/// A planted bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// `receive` answers 2xx although the queue has not accepted the envelope.
    AcknowledgeBeforeEnqueue,
    /// `transform` writes the journal entry before the observations, in a write of its own.
    JournalBeforeObservations,
    /// `upsert` ignores the end of its lease: it commits without comparing fencing tokens, trusts what it reads back, does not
    /// recheck what a late worker may have written, and does not dispatch again when the record has a newer version.
    NoFence,
    /// Observations are stamped with the time at which they arrive.
    LastWriteWinsByArrival,
    /// Failed messages of a batch are not reported.
    SwallowedPartialFailure,
    /// An echo counts as an observation of the destination.
    EchoAsObservation,
    /// A message whose record is leased by another worker is deleted.
    BusyLeaseAcknowledged,
    /// Calls show the pending access token before it is stored as the current one.
    PendingTokenUsed,
    /// `rotate` refreshes without the lease.
    RefreshWithoutLease,
    /// A refresher stores its token pair over whatever is current by then.
    StalledRefreshOverwrites,
}

impl Mutant {
    /// Every mutant and its name on the command line.
    pub const ALL: &'static [(&'static str, Mutant)] = &[
        ("acknowledge-before-enqueue", Mutant::AcknowledgeBeforeEnqueue),
        ("journal-before-observations", Mutant::JournalBeforeObservations),
        ("no-fence", Mutant::NoFence),
        ("last-write-wins-by-arrival", Mutant::LastWriteWinsByArrival),
        ("swallowed-partial-failure", Mutant::SwallowedPartialFailure),
        ("echo-as-observation", Mutant::EchoAsObservation),
        ("busy-lease-acknowledged", Mutant::BusyLeaseAcknowledged),
        ("pending-token-used", Mutant::PendingTokenUsed),
        ("refresh-without-lease", Mutant::RefreshWithoutLease),
        ("stalled-refresh-overwrites", Mutant::StalledRefreshOverwrites),
    ];
}

#[cfg(feature = "mutants")]
mod active {
    use std::cell::Cell;

    use super::Mutant;

    thread_local! {
        static ACTIVE: Cell<Option<Mutant>> = const { Cell::new(None) };
    }

    /// True when this mutant is active in this thread.
    pub fn mutant(which: Mutant) -> bool {
        ACTIVE.get() == Some(which)
    }

    /// Activates a mutant for this thread; `None` deactivates it.
    pub fn plant(which: Option<Mutant>) {
        ACTIVE.set(which);
    }
}

#[cfg(feature = "mutants")]
pub use active::{mutant, plant};

/// Always false: this build has no planted bug.
#[cfg(not(feature = "mutants"))]
pub const fn mutant(_: Mutant) -> bool {
    false
}
