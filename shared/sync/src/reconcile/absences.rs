//! Absences: how many objects may be missing at once before a person decides whether they are gone.
//!
//! A user who may see less than yesterday, or a partial answer, looks like many deletions. So a run that misses more objects of
//! a type than the limit concludes nothing. It raises an alarm and notes what it missed. A person confirms it, or does
//! nothing: then the next run looks again. Whatever was concluded is taken back object by object once it is found again.

use super::{Ports, Reconcile};
use crate::batch::write_if;
use crate::config::Limits;
use crate::failure::Failure;
use crate::ports::{Attr, Clock, Condition, Item, Key, Store, Table, Write};

/// How long a person's confirmation holds, in milliseconds.
const CONFIRMATION_MS: i64 = 48 * 3_600_000;

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

    /// True while a person's confirmation covers that many missing objects.
    fn covers(&self, missing: u64, now_ms: i64) -> bool {
        self.confirmed_ms.is_some_and(|at_ms| now_ms - at_ms <= CONFIRMATION_MS) && missing <= self.missing
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
fn exceeds(limits: &Limits, missing: usize, checked: usize) -> bool {
    let share = checked * usize::try_from(limits.absent_percent).unwrap_or(usize::MAX) / 100;
    missing > share.min(limits.absent_objects).max(1)
}

impl<P: Ports> Reconcile<'_, P> {
    /// True if a run may conclude that the objects which it missed are gone. Otherwise it raises an alarm.
    pub(super) async fn may_conclude_absence(
        &self,
        connection: &str,
        object: &str,
        missing: usize,
        checked: usize,
    ) -> Result<bool, Failure> {
        let (now_ms, key) = (self.ports.now_ms(), key(connection, object));
        let stored = self.ports.get(Table::Control, &key).await?;
        let confirmed = stored.as_ref().and_then(HeldAbsences::read).is_some_and(|held| held.covers(missing as u64, now_ms));
        if !exceeds(&self.config.hub().limits, missing, checked) || confirmed {
            if stored.is_some() {
                let end = Write::Delete { table: Table::Control, key, condition: Condition::Always };
                self.ports.write(vec![end], None).await?;
            }
            return Ok(true);
        }
        tracing::error!(
            connection,
            object,
            missing,
            checked,
            alert = true,
            "more linked objects are missing than the limit: `hub absences` shows them"
        );
        let held = HeldAbsences {
            connection: connection.to_owned(),
            object: object.to_owned(),
            missing: missing as u64,
            checked: checked as u64,
            at_ms: now_ms,
            confirmed_ms: None,
        };
        self.ports.write(vec![held.build_put(Condition::Always)], None).await?;
        Ok(false)
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
