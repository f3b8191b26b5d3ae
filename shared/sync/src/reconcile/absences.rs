//! Absences: how many objects may be missing at once before a person decides whether they are gone.
//!
//! A user who may see less than yesterday, or a partial answer, looks like many deletions. So a run that misses more objects of
//! a type than the limit concludes nothing. It raises an alarm and notes what it missed. A person confirms it, or does
//! nothing: then the next run looks again. Whatever was concluded is taken back object by object once it is found again.
//!
//! Second looks at single objects are counted by the day: from more than the number of the limit on, they wait for a person, too.

use super::{Ports, Reconcile};
use crate::batch::write_if;
use crate::config::Limits;
use crate::failure::{Code, Failure};
use crate::ports::{Attr, Clock, Condition, Item, Key, Store, Table, Write};

/// How long a person's confirmation holds, in milliseconds.
const CONFIRMATION_MS: i64 = 48 * 3_600_000;

/// How long second looks that find nothing are counted together, in milliseconds.
const LOOKS_MS: i64 = 86_400_000;

/// How long a second look waits that may conclude nothing, in milliseconds.
const HELD_LOOK_MS: u64 = 600_000;

/// How often counting is tried against other workers.
const COUNTS: usize = 8;

/// The partition of the counts of second looks that found nothing.
const LOOKS: &str = "absent-looks";

/// The partition of the absences that are held.
pub const ABSENCES: &str = "absences";

/// What a run missed of one object type at one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldAbsences {
    /// The connection.
    pub connection: String,
    /// The native object.
    pub object: String,
    /// How many linked objects were not found.
    pub missing: u64,
    /// How many were looked for.
    pub checked: u64,
    /// When, by our clock, in milliseconds.
    pub at_ms: i64,
    /// When a person confirmed that they are gone, in milliseconds.
    pub confirmed_ms: Option<i64>,
}

fn key(connection: &str, object: &str) -> Key {
    Key::new(ABSENCES, format!("{connection}/{object}"))
}

impl HeldAbsences {
    fn build_put(&self, condition: Condition) -> Write {
        let number = |value: u64| Attr::N(i64::try_from(value).unwrap_or(i64::MAX));
        let item = Item::new(key(&self.connection, &self.object))
            .with("missing", number(self.missing))
            .with("checked", number(self.checked))
            .with("at", Attr::N(self.at_ms));
        let item = match self.confirmed_ms {
            Some(at_ms) => item.with("confirmed", Attr::N(at_ms)),
            None => item,
        };
        Write::Put { table: Table::Control, item, condition }
    }

    /// Reads an item of the partition [`ABSENCES`].
    pub fn read(item: &Item) -> Option<HeldAbsences> {
        let (connection, object) = item.key.sk.split_once('/')?;
        let number = |name: &str| item.n(name).and_then(|value| u64::try_from(value).ok()).unwrap_or(0);
        Some(HeldAbsences {
            connection: connection.to_owned(),
            object: object.to_owned(),
            missing: number("missing"),
            checked: number("checked"),
            at_ms: item.n("at")?,
            confirmed_ms: item.n("confirmed"),
        })
    }

    /// True while a person's confirmation holds.
    fn is_confirmed(&self, now_ms: i64) -> bool {
        self.confirmed_ms.is_some_and(|at_ms| now_ms - at_ms <= CONFIRMATION_MS)
    }
}

/// Confirms that the objects which the last run missed are gone: the next run may conclude so. Returns false if none are held.
pub async fn confirm_absences<P: Store + Clock>(ports: &P, connection: &str, object: &str) -> Result<bool, Failure> {
    let stored = ports.get(Table::Control, &key(connection, object)).await?;
    let Some(held) = stored.as_ref().and_then(HeldAbsences::read) else { return Ok(false) };
    let same = Condition::Equals("at", Attr::N(held.at_ms));
    write_if(ports, HeldAbsences { confirmed_ms: Some(ports.now_ms()), ..held }.build_put(same)).await
}

/// True if so many missing objects are too many to be believed. One alone never is.
fn exceeds(limits: &Limits, missing: u64, checked: u64) -> bool {
    let share = checked * u64::from(limits.absent_percent) / 100;
    missing > share.min(limits.absent_objects as u64).max(1)
}

impl<P: Ports> Reconcile<'_, P> {
    /// True while a person has confirmed that missing objects of a type are gone.
    pub(super) async fn is_absence_confirmed(&self, connection: &str, object: &str) -> Result<bool, Failure> {
        let stored = self.ports.get(Table::Control, &key(connection, object)).await?;
        Ok(stored.as_ref().and_then(HeldAbsences::read).is_some_and(|held| held.is_confirmed(self.ports.now_ms())))
    }

    /// True if a run may conclude that the objects which it missed are gone. Otherwise it raises an alarm.
    pub(super) async fn may_conclude_absence(
        &self,
        connection: &str,
        object: &str,
        missing: u64,
        checked: u64,
    ) -> Result<bool, Failure> {
        let (now_ms, key) = (self.ports.now_ms(), key(connection, object));
        let stored = self.ports.get(Table::Control, &key).await?;
        let confirmed = stored.as_ref().and_then(HeldAbsences::read).is_some_and(|held| held.is_confirmed(now_ms));
        if !exceeds(&self.config.hub().limits, missing, checked) || confirmed {
            // A confirmation holds until its time is over: the second looks at what was missed come later.
            if stored.is_some() && !confirmed {
                let end = Write::Delete { table: Table::Control, key, condition: Condition::Always };
                self.ports.write(vec![end], None).await?;
            }
            return Ok(true);
        }
        self.hold_absences(connection, object, missing, checked).await?;
        Ok(false)
    }

    /// Raises an alarm and notes what was missed.
    async fn hold_absences(&self, connection: &str, object: &str, missing: u64, checked: u64) -> Result<(), Failure> {
        tracing::error!(
            connection,
            object,
            missing,
            checked,
            alert = true,
            "more linked objects are missing than the limit: `hub absences` shows them"
        );
        let (connection, object) = (connection.to_owned(), object.to_owned());
        let held = HeldAbsences { connection, object, missing, checked, at_ms: self.ports.now_ms(), confirmed_ms: None };
        self.ports.write(vec![held.build_put(Condition::Always)], None).await?;
        Ok(())
    }

    /// Counts second looks that found nothing.
    ///
    /// # Errors
    /// So many objects of the type were missed within a day that a person must look first. The request waits.
    pub(super) async fn count_looks(&self, connection: &str, object: &str, looks: usize) -> Result<(), Failure> {
        let counted = Key::new(LOOKS, format!("{connection}/{object}"));
        for _ in 0..COUNTS {
            let now_ms = self.ports.now_ms();
            let stored = self.ports.get(Table::Control, &counted).await?;
            let known = stored.as_ref().and_then(|item| Some((item.n("since")?, item.n("count")?)));
            let (since_ms, count) = known.filter(|(since_ms, _)| now_ms - since_ms < LOOKS_MS).unwrap_or((now_ms, 0));
            let total = u64::try_from(count).unwrap_or(0) + looks as u64;
            if total > self.config.hub().limits.absent_objects.max(1) as u64 {
                let held = self.ports.get(Table::Control, &key(connection, object)).await?.as_ref().and_then(HeldAbsences::read);
                if !held.as_ref().is_some_and(|held| held.is_confirmed(now_ms)) {
                    if held.is_none() {
                        self.hold_absences(connection, object, total, total).await?;
                    }
                    let detail = format!("{total} {object} were not found at {connection} within a day; see `hub absences`");
                    return Err(Failure::throttled(Code::AbsencesHeld, HELD_LOOK_MS, detail));
                }
            }
            let total = i64::try_from(total).unwrap_or(i64::MAX);
            let item = Item::new(counted.clone()).with("since", Attr::N(since_ms)).with("count", Attr::N(total));
            let condition = known.map_or(Condition::Absent, |(_, count)| Condition::Equals("count", Attr::N(count)));
            if write_if(self.ports, Write::Put { table: Table::Control, item, condition }).await? {
                return Ok(());
            }
        }
        Err(Failure::new(Code::Contention, "other workers kept counting second looks"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_or_a_number_is_too_many_but_one_alone_never() {
        let limits = Limits::default();
        assert!(!exceeds(&limits, 0, 0));
        assert!(!exceeds(&limits, 1, 1));
        assert!(exceeds(&limits, 2, 2));
        assert!(exceeds(&limits, 2, 199));
        assert!(!exceeds(&limits, 2, 200));
        assert!(!exceeds(&limits, 20, 1_000_000));
        assert!(exceeds(&limits, 21, 1_000_000));
    }
}
