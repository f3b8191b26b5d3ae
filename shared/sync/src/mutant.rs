//! Planted bugs, to prove that the simulator finds real ones. They exist only with the feature `mutants`, which no function's
//! build has: without it [`mutant`] is a constant `false`.

/// A planted bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// `receive` answers before the queue has accepted the envelope.
    AcknowledgeBeforeEnqueue,
    /// `transform` writes the journal entry before, and apart from, the observations.
    JournalBeforeObservations,
    /// `upsert` does not mind the end of its lease: it commits without checking its fence, believes what it reads back, does not
    /// look for what a late worker may have written, nor whether the record rose.
    NoFence,
    /// Observations are stamped with their arrival.
    LastWriteWinsByArrival,
    /// Failed messages of a batch are not reported.
    SwallowedPartialFailure,
    /// A destination's echo counts as its own observation.
    EchoAsObservation,
    /// A message that meets a busy lease is acknowledged.
    BusyLeaseAcknowledged,
}

impl Mutant {
    /// Every mutant with its name on the command line.
    pub const ALL: &'static [(&'static str, Mutant)] = &[
        ("acknowledge-before-enqueue", Mutant::AcknowledgeBeforeEnqueue),
        ("journal-before-observations", Mutant::JournalBeforeObservations),
        ("no-fence", Mutant::NoFence),
        ("last-write-wins-by-arrival", Mutant::LastWriteWinsByArrival),
        ("swallowed-partial-failure", Mutant::SwallowedPartialFailure),
        ("echo-as-observation", Mutant::EchoAsObservation),
        ("busy-lease-acknowledged", Mutant::BusyLeaseAcknowledged),
    ];
}

#[cfg(feature = "mutants")]
mod active {
    use std::cell::Cell;

    use super::Mutant;

    thread_local! {
        static ACTIVE: Cell<Option<Mutant>> = const { Cell::new(None) };
    }

    /// True when this mutant is switched on in this thread.
    pub fn mutant(which: Mutant) -> bool {
        ACTIVE.get() == Some(which)
    }

    /// Switches a mutant on for this thread, or all off.
    pub fn plant(which: Option<Mutant>) {
        ACTIVE.set(which);
    }
}

#[cfg(feature = "mutants")]
pub use active::{mutant, plant};

/// Always false: this build has no planted bugs.
#[cfg(not(feature = "mutants"))]
pub const fn mutant(_: Mutant) -> bool {
    false
}
