//! Who refreshes a connection: one worker at a time, by a lease in `control`. What was learnt of earlier refreshes is beside it.

use crate::batch::write_if;
use crate::failure::Failure;
use crate::mutant::{Mutant, mutant};
use crate::ports::{Attr, Clock, Condition, Item, Key, Store, Table, Write};

/// How long a lease lasts, in milliseconds: longer than an invocation and the last call that it sent.
const LEASE_MS: i64 = 90_000;
/// The wait after the first refresh that fails, in milliseconds; it doubles.
const FIRST_WAIT_MS: i64 = 10_000;
/// The longest wait.
const LONGEST_WAIT_MS: i64 = 300_000;
/// Tokens that are refused within this time after the one before them was refused are not refused because of their age, in
/// milliseconds. No provider's tokens live shorter.
const REFUSED_AGAIN_MS: i64 = 600_000;

/// A lease that was taken.
pub(super) struct Lease {
    key: Key,
    fencing_token: i64,
    /// When it ends, in milliseconds by the clock of the worker that took it.
    pub until_ms: i64,
    /// Refreshes that failed one after the other.
    pub failures: i64,
    /// How many tokens were refused soon after they were made, one after the other.
    pub refusals: i64,
    refused_at_ms: i64,
}

/// How a refresh went.
pub(super) enum Course {
    /// A new token is stored. True when the one before it was refused.
    Stored {
        /// Whether the one before it was refused.
        refused: bool,
    },
    /// Nothing was to be done, or only a person can do it.
    Nothing,
    /// It failed, and the provider may request a wait, in milliseconds.
    Failed(u64),
}

/// The key of a connection's lease.
pub(super) fn lease_key(connection: &str) -> Key {
    Key::new(format!("refresh#{connection}"), "lease")
}

impl Lease {
    /// Takes the lease, unless another worker has it or a wait is not over.
    pub(super) async fn take<P: Store + Clock>(ports: &P, connection: &str) -> Result<Option<Lease>, Failure> {
        let (key, now_ms) = (lease_key(connection), ports.now_ms());
        let stored = ports.get(Table::Control, &key).await?;
        let number = |name: &str| stored.as_ref().and_then(|item| item.n(name)).unwrap_or(0);
        // A clock that is far ahead must not lock everybody out.
        let held = (now_ms..now_ms + LEASE_MS.max(LONGEST_WAIT_MS) * 2).contains(&number("until"));
        if held && !mutant(Mutant::RefreshWithoutLease) {
            return Ok(None);
        }
        let in_row = now_ms - number("refused_at") < REFUSED_AGAIN_MS;
        let lease = Lease {
            key,
            fencing_token: number("fence") + 1,
            until_ms: now_ms + LEASE_MS,
            failures: number("failures"),
            refusals: number("refusals") * i64::from(in_row),
            refused_at_ms: number("refused_at"),
        };
        let condition = match &stored {
            Some(_) => Condition::Equals("fence", Attr::N(number("fence"))),
            None => Condition::Absent,
        };
        let taken = write_if(ports, lease.build_put(lease.until_ms, condition)).await?;
        Ok(Some(lease).filter(|_| taken || mutant(Mutant::RefreshWithoutLease)))
    }

    /// Gives the lease back. After a failure it first lets some time pass.
    pub(super) async fn release<P: Store + Clock>(mut self, ports: &P, course: Course) -> Result<(), Failure> {
        let now_ms = ports.now_ms();
        let mut until_ms = 0;
        match course {
            Course::Failed(after_ms) => {
                let doubled = FIRST_WAIT_MS << self.failures.clamp(0, 10);
                until_ms = now_ms + doubled.max(i64::try_from(after_ms).unwrap_or(i64::MAX)).min(LONGEST_WAIT_MS);
                self.failures += 1;
            }
            Course::Stored { refused } => {
                self.failures = 0;
                if refused {
                    (self.refusals, self.refused_at_ms) = (self.refusals + 1, now_ms);
                }
            }
            Course::Nothing => {}
        }
        let condition = Condition::Equals("fence", Attr::N(self.fencing_token));
        // Another worker may have taken it over since then.
        write_if(ports, self.build_put(until_ms, condition)).await.map(drop)
    }

    fn build_put(&self, until_ms: i64, condition: Condition) -> Write {
        let numbers = [
            ("fence", self.fencing_token),
            ("until", until_ms),
            ("failures", self.failures),
            ("refusals", self.refusals),
            ("refused_at", self.refused_at_ms),
        ];
        let item = numbers.into_iter().fold(Item::new(self.key.clone()), |item, (name, value)| item.with(name, Attr::N(value)));
        Write::Put { table: Table::Control, item, condition }
    }
}
