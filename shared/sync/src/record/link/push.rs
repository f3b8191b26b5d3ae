//! What became of the last push.

use serde::{Deserialize, Serialize};

/// What became of the last push to the destination, and whether the link's knowledge of the destination can be trusted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Push {
    /// No push is in flight, and what the link knows is right as far as anybody has reported.
    #[default]
    Confirmed,
    /// A worker is about to send a push, or has sent it.
    InFlight,
    /// A push was sent, and nobody knows whether it took effect: the destination is read before the next one.
    OutcomeUnknown,
    /// No push is in flight, but the destination may hold something else than the link knows: it is read before the next push.
    Unverified,
}

impl Push {
    /// True while a push may still take effect.
    pub fn is_in_flight(self) -> bool {
        matches!(self, Push::InFlight | Push::OutcomeUnknown)
    }

    /// True if the destination is read before the next push.
    pub fn needs_look_up(self) -> bool {
        matches!(self, Push::OutcomeUnknown | Push::Unverified)
    }

    /// The state after something happened that the link does not know in full.
    pub(super) fn unverified(self) -> Push {
        match self {
            Push::Confirmed | Push::Unverified => Push::Unverified,
            Push::InFlight | Push::OutcomeUnknown => Push::OutcomeUnknown,
        }
    }

    /// The state after it turned out that the push in flight had no effect.
    pub(super) fn not_made(self) -> Push {
        match self {
            Push::Confirmed | Push::InFlight => Push::Confirmed,
            Push::OutcomeUnknown | Push::Unverified => Push::Unverified,
        }
    }
}
