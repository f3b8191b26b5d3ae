//! One failure type with a stable code, a class that decides, and a runbook page per code (`docs/errors/`).

use std::fmt;

/// What is to be done about a failure. One exhaustive match, [`Failure::disposition`], decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// May pass by itself: retried on the schedule.
    Transient,
    /// The other side asks to wait; costs no attempt.
    Throttled {
        /// How long, in milliseconds.
        after_ms: u64,
    },
    /// Somebody else was faster: read again and plan again; costs no attempt.
    Conflict,
    /// Credentials are not accepted: the connection is paused and an alert is raised.
    Auth,
    /// Will never succeed: parked at once.
    Permanent,
    /// Our own mistake: parked, alarm.
    Defect,
}

impl Class {
    /// The name in logs, metrics and dead letters.
    pub const fn name(self) -> &'static str {
        match self {
            Class::Transient => "transient",
            Class::Throttled { .. } => "throttled",
            Class::Conflict => "conflict",
            Class::Auth => "auth",
            Class::Permanent => "permanent",
            Class::Defect => "defect",
        }
    }
}

/// What the batch runner does with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// Try again on the schedule; counts as an attempt.
    Retry,
    /// Try again after this time; does not count.
    RetryAfter {
        /// Milliseconds.
        ms: u64,
    },
    /// Move it to the dead-letter queue with its reason.
    Park,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $class:expr;)+) => {
        /// A stable error code. Each has a page `docs/errors/<code>.md`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code { $($(#[$doc])* $variant,)+ }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Code] = &[$(Code::$variant,)+];
            /// The code as it is written everywhere.
            pub const fn name(self) -> &'static str { match self { $(Code::$variant => $name,)+ } }
            /// The class that a failure of this code has unless said otherwise.
            pub const fn class(self) -> Class { match self { $(Code::$variant => $class,)+ } }
        }
    };
}

codes! {
    /// A store, queue, blob or secret call failed.
    Backend = "backend-unavailable", Class::Transient;
    /// A compare-and-set kept losing.
    Contention = "contention", Class::Conflict;
    /// A lease is held by another worker.
    LeaseBusy = "lease-busy", Class::Conflict;
    /// The golden record is older than the message that names it.
    GoldenBehind = "golden-behind", Class::Conflict;
    /// A push to this destination is not settled yet, so an inbound value cannot be told from its echo.
    PushOpen = "push-open", Class::Conflict;
    /// The function's time is nearly over.
    Deadline = "deadline", Class::Conflict;
    /// The queue message is not of our format.
    BadMessage = "bad-message", Class::Permanent;
    /// A verified body cannot be decoded.
    MalformedBody = "malformed-body", Class::Permanent;
    /// An event within a good body cannot be used.
    MalformedEvent = "malformed-event", Class::Permanent;
    /// The proof of another event was used again for this one.
    ProofReused = "proof-reused", Class::Permanent;
    /// A field could not be normalised.
    BadField = "bad-field", Class::Permanent;
    /// The configuration has no such connection any more.
    UnknownConnection = "unknown-connection", Class::Permanent;
    /// A cap (members of a cluster, size of an item, …) would be exceeded.
    CapExceeded = "cap-exceeded", Class::Permanent;
    /// A record that this one refers to is still to be created at the destination.
    ReferencePending = "reference-pending", Class::Throttled { after_ms: 2_000 };
    /// The provider's rate limit, or our own bucket for it, is used up.
    RateLimited = "rate-limited", Class::Throttled { after_ms: 1_000 };
    /// The provider did not answer, or answered that it cannot now.
    ProviderUnavailable = "provider-unavailable", Class::Transient;
    /// The provider has locked the record.
    ProviderLocked = "provider-locked", Class::Transient;
    /// A read is older than the event that asked for it.
    StaleRead = "stale-read", Class::Throttled { after_ms: 1_500 };
    /// The provider cannot be read.
    CannotFetch = "cannot-fetch", Class::Permanent;
    /// The provider does not accept our credentials.
    ProviderAuth = "provider-auth", Class::Auth;
    /// The provider refuses the record.
    ProviderRejected = "provider-rejected", Class::Permanent;
    /// The provider finds several objects where there must be one.
    ProviderAmbiguous = "provider-ambiguous", Class::Permanent;
    /// The connection is paused.
    Paused = "paused", Class::Throttled { after_ms: 60_000 };
    /// The retry schedule is used up.
    Exhausted = "attempts-exhausted", Class::Permanent;
    /// A stored item cannot be read.
    CorruptItem = "corrupt-item", Class::Defect;
    /// A state that must not be.
    Bug = "defect", Class::Defect;
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What went wrong. `Display` gives the code and the detail, never the source; details hold no secret and no personal data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The stable code.
    pub code: Code,
    /// What decides.
    pub class: Class,
    /// What, where, and what to do.
    pub detail: String,
}

impl Failure {
    /// A failure of the code's own class.
    pub fn new(code: Code, detail: impl Into<String>) -> Failure {
        Failure { code, class: code.class(), detail: detail.into() }
    }

    /// A request to wait.
    pub fn throttled(code: Code, after_ms: u64, detail: impl Into<String>) -> Failure {
        Failure { code, class: Class::Throttled { after_ms }, detail: detail.into() }
    }

    /// What to do with the message that met this failure.
    pub const fn disposition(&self) -> Disposition {
        match self.class {
            Class::Transient => Disposition::Retry,
            Class::Throttled { after_ms } => Disposition::RetryAfter { ms: after_ms },
            Class::Conflict => Disposition::RetryAfter { ms: 500 },
            Class::Auth => Disposition::RetryAfter { ms: 60_000 },
            Class::Permanent | Class::Defect => Disposition::Park,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

impl std::error::Error for Failure {}

impl From<crate::ports::PortError> for Failure {
    fn from(error: crate::ports::PortError) -> Failure {
        match error {
            crate::ports::PortError::Unavailable { reason, after_ms: Some(ms) } => Failure::throttled(Code::Backend, ms, reason),
            crate::ports::PortError::Unavailable { reason, after_ms: None } => Failure::new(Code::Backend, reason),
            crate::ports::PortError::Rejected { reason } => Failure::new(Code::Bug, reason),
        }
    }
}

impl From<crate::ports::WriteError> for Failure {
    fn from(error: crate::ports::WriteError) -> Failure {
        match error {
            crate::ports::WriteError::Conflict { .. } => Failure::new(Code::Contention, "a compare-and-set lost"),
            crate::ports::WriteError::Port(error) => error.into(),
        }
    }
}
