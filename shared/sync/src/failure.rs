//! One failure type with a stable code, a class that decides, and a runbook page per code (`docs/errors/`).

use std::error::Error;
use std::fmt;

use providers::api::CallFailure;

use crate::ports::{HttpError, PortError, WriteError};

/// What kind of failure it is. One exhaustive match, [`Failure::disposition`], decides what happens to the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// It may be temporary: the message is tried again on the schedule.
    Transient,
    /// The other side requires a wait. This does not count as an attempt.
    Throttled {
        /// How long, in milliseconds.
        after_ms: u64,
    },
    /// Another worker was faster: read again and plan again; this counts as no attempt.
    Conflict,
    /// The provider refuses the credentials: the connection is paused, which an alarm reports.
    Auth,
    /// It will never succeed: parked at once.
    Permanent,
    /// A mistake of the hub's own: parked, with an alarm.
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

    /// True for a failure that counts in the error rate. A wait for another worker, for a rate limit or for the end of a pause is
    /// none.
    pub const fn is_error(self) -> bool {
        matches!(self, Class::Transient | Class::Auth | Class::Permanent | Class::Defect)
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
    /// A compare-and-set lost: another worker has written the item.
    WriteConflict = "write-conflict", Class::Conflict;
    /// A compare-and-set kept losing.
    Contention = "contention", Class::Conflict;
    /// A lease is held by another worker.
    LeaseBusy = "lease-busy", Class::Conflict;
    /// The golden record is older than the message that names it.
    GoldenBehind = "golden-behind", Class::Conflict;
    /// A push to this destination is in flight, so an inbound value cannot be distinguished from its echo.
    PushOpen = "push-open", Class::Conflict;
    /// The function's configuration is older than the one that has just resolved the record.
    OutdatedConfiguration = "outdated-configuration", Class::Throttled { after_ms: 60_000 };
    /// The function's time is nearly over.
    Deadline = "deadline", Class::Conflict;
    /// The queue message does not have the hub's format.
    BadMessage = "bad-message", Class::Permanent;
    /// A verified body cannot be decoded.
    MalformedBody = "malformed-body", Class::Permanent;
    /// An event of a readable body cannot be used.
    MalformedEvent = "malformed-event", Class::Permanent;
    /// Another event used the proof of this event before.
    ProofReused = "proof-reused", Class::Permanent;
    /// A field was set aside: its value could not be normalised, or could not be written to a destination.
    BadField = "bad-field", Class::Permanent;
    /// The configuration has no such connection.
    UnknownConnection = "unknown-connection", Class::Permanent;
    /// A limit (members of a cluster, size of an item, …) would be exceeded.
    CapExceeded = "cap-exceeded", Class::Permanent;
    /// A record that this one refers to has no object at the destination yet.
    ReferencePending = "reference-pending", Class::Throttled { after_ms: 2_000 };
    /// The provider's rate limit, or our own bucket for it, is used up.
    RateLimited = "rate-limited", Class::Throttled { after_ms: 1_000 };
    /// The provider did not answer, or reported that it is temporarily unavailable.
    ProviderUnavailable = "provider-unavailable", Class::Transient;
    /// A write succeeded, but its result could not be read back.
    UnconfirmedWrite = "unconfirmed-write", Class::Transient;
    /// A record's object existed already at the destination; it is read before it is overwritten.
    AdoptionPending = "adoption-pending", Class::Transient;
    /// Another object at the destination holds a value that must be unique.
    KeyTaken = "key-taken", Class::Transient;
    /// The destination did not find a record's object. It is read once more before that counts.
    ObjectMissing = "object-missing", Class::Transient;
    /// More linked objects than the limit were not found at once: a person decides whether they are gone.
    AbsencesHeld = "absences-held", Class::Permanent;
    /// The provider refused to merge two objects of one record.
    MergeRefused = "merge-refused", Class::Permanent;
    /// The provider has locked the record.
    ProviderLocked = "provider-locked", Class::Transient;
    /// A read is older than the event that requested it.
    StaleRead = "stale-read", Class::Throttled { after_ms: 1_500 };
    /// The provider cannot be read.
    CannotFetch = "cannot-fetch", Class::Permanent;
    /// The provider refuses the hub's credentials.
    ProviderAuth = "provider-auth", Class::Auth;
    /// The access token has ended or is refused, and a new one was requested.
    TokenPending = "token-pending", Class::Throttled { after_ms: 6_000 };
    /// The token does not permit the use of an object type: that object type is paused.
    ProviderDenied = "provider-denied", Class::Throttled { after_ms: 60_000 };
    /// A limit of the whole account is reached: the connection is paused.
    ProviderLimit = "provider-limit", Class::Throttled { after_ms: 60_000 };
    /// Something in front of the provider refuses a request because of its content.
    ProviderBlocked = "provider-blocked", Class::Transient;
    /// The provider refuses the record.
    ProviderRejected = "provider-rejected", Class::Permanent;
    /// The provider has several objects where there must be one.
    ProviderAmbiguous = "provider-ambiguous", Class::Permanent;
    /// A fuse of the connection has blown, and the message is too large to be held.
    FuseBlown = "fuse-blown", Class::Throttled { after_ms: 600_000 };
    /// The connection is paused.
    Paused = "paused", Class::Throttled { after_ms: 60_000 };
    /// The retry schedule is used up.
    Exhausted = "attempts-exhausted", Class::Permanent;
    /// A stored item cannot be read.
    CorruptItem = "corrupt-item", Class::Defect;
    /// A state that must not occur.
    Bug = "defect", Class::Defect;
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The step of the work at which a failure happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// A message or a body was decoded.
    Decode,
    /// A change was merged.
    Plan,
    /// Records were stored.
    Store,
    /// A message was sent to one of the hub's queues.
    Send,
    /// A golden record was rendered for a destination.
    Render,
    /// Objects were searched for at a destination.
    Find,
    /// Objects were written to a destination.
    Write,
    /// Written objects were read back.
    ReadBack,
    /// Objects were read from a provider for `ingest`.
    Fetch,
}

impl Stage {
    /// The name in log lines.
    pub const fn name(self) -> &'static str {
        match self {
            Stage::Decode => "decode",
            Stage::Plan => "plan",
            Stage::Store => "store",
            Stage::Send => "send",
            Stage::Render => "render",
            Stage::Find => "find",
            Stage::Write => "write",
            Stage::ReadBack => "read_back",
            Stage::Fetch => "fetch",
        }
    }
}

/// The error of a lower layer that a failure comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// A store, queue, blob or secret call.
    Port(PortError),
    /// A call to a provider that brought no answer.
    Http(HttpError),
    /// A provider's answer.
    Provider(CallFailure),
}

impl Cause {
    fn as_error(&self) -> &(dyn Error + 'static) {
        match self {
            Cause::Port(error) => error,
            Cause::Http(error) => error,
            Cause::Provider(error) => error,
        }
    }
}

/// Why work stopped. `Display` gives the code and the detail, never the cause. Details hold no secret and no personal data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The stable code.
    pub code: Code,
    /// What decides about the message.
    pub class: Class,
    /// Where it happened, as far as known.
    pub stage: Option<Stage>,
    /// What happened, to what, and what to do.
    pub detail: String,
    cause: Option<Box<Cause>>,
}

impl Failure {
    /// A failure of the code's own class.
    pub fn new(code: Code, detail: impl Into<String>) -> Failure {
        Failure { code, class: code.class(), stage: None, detail: detail.into(), cause: None }
    }

    /// A request to wait.
    pub fn throttled(code: Code, after_ms: u64, detail: impl Into<String>) -> Failure {
        Failure { class: Class::Throttled { after_ms }, ..Failure::new(code, detail) }
    }

    /// The failure with the error that it comes from.
    #[must_use]
    pub fn caused_by(self, cause: Cause) -> Failure {
        Failure { cause: Some(Box::new(cause)), ..self }
    }

    /// The failure with its stage, unless a lower layer has set one.
    #[must_use]
    pub fn at(self, stage: Stage) -> Failure {
        Failure { stage: self.stage.or(Some(stage)), ..self }
    }

    /// The stage's name, for a log line.
    pub fn stage_name(&self) -> Option<&'static str> {
        self.stage.map(Stage::name)
    }

    /// The detail followed by every cause, for the one log line or dead letter that reports the failure.
    pub fn chain(&self) -> String {
        let mut text = self.detail.clone();
        let mut source = self.source();
        while let Some(error) = source {
            text.push_str(": ");
            text.push_str(&error.to_string());
            source = error.source();
        }
        text
    }

    /// The provider's refusal that it comes from.
    pub fn refusal(&self) -> Option<&CallFailure> {
        match self.cause.as_deref() {
            Some(Cause::Provider(refusal)) => Some(refusal),
            _ => None,
        }
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

/// Sets the stage of a result's failure.
pub trait AtStage {
    /// The same result; a failure gets the stage, unless a lower layer has set one.
    #[must_use]
    fn at(self, stage: Stage) -> Self;
}

impl<T> AtStage for Result<T, Failure> {
    fn at(self, stage: Stage) -> Self {
        self.map_err(|failure| failure.at(stage))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_deref().map(Cause::as_error)
    }
}

impl From<PortError> for Failure {
    fn from(error: PortError) -> Failure {
        let detail = "a store, queue, bucket or secret call failed";
        let failure = match &error {
            PortError::Unavailable { after_ms: Some(ms), .. } => Failure::throttled(Code::Backend, *ms, detail),
            PortError::Unavailable { after_ms: None, .. } => Failure::new(Code::Backend, detail),
            PortError::Rejected { .. } => Failure::new(Code::Bug, detail),
        };
        failure.caused_by(Cause::Port(error))
    }
}

impl From<WriteError> for Failure {
    fn from(error: WriteError) -> Failure {
        match error {
            WriteError::Conflict { .. } => {
                Failure::new(Code::WriteConflict, "an item has changed since it was read").at(Stage::Store)
            }
            WriteError::Port(error) => Failure::from(error).at(Stage::Store),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_its_cause_in_the_chain_only() {
        let failure = Failure::from(WriteError::Port(PortError::unavailable("no route"))).at(Stage::Plan);
        assert_eq!(failure.to_string(), "backend-unavailable: a store, queue, bucket or secret call failed");
        assert_eq!(failure.chain(), "a store, queue, bucket or secret call failed: not available: no route");
        assert_eq!(failure.stage_name(), Some("store"), "the lower layer knows better");
    }
}
