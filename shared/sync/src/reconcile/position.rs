//! Where the scans of a reconciliation stand. A position is stored after every page, so that a run which is killed, or whose time is
//! over, is continued by the next one. Nothing starts from the beginning because time ran out.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Ports, Reconcile};
use crate::failure::{Code, Failure};
use crate::outbox::serialize;
use crate::ports::{Attr, Condition, Item, Key, Table, Write};

/// What a scan goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scan {
    /// Linked objects, to verify them.
    Links,
    /// Golden records, to dispatch what is behind.
    Records,
}

impl Scan {
    fn key(self) -> Key {
        let name = match self {
            Scan::Links => "links",
            Scan::Records => "records",
        };
        Key::new("scan", name)
    }
}

/// What a verification has missed so far of one object type at one destination.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Missed {
    /// Linked objects that were taken for living, and were looked for.
    pub checked: u64,
    /// How many of them were not found.
    pub missing: u64,
    /// Their ids and when the read began, up to the limit: beyond it, nothing is concluded from them.
    pub ids: Vec<(String, i64)>,
}

/// How far a scan has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    /// The last item that was handled: partition and sort key; `None` at the beginning.
    after: Option<(String, String)>,
    /// What was missed, by destination and native object.
    #[serde(default)]
    pub missed: BTreeMap<String, Missed>,
}

impl Position {
    pub(super) fn after(&self) -> Option<Key> {
        self.after.as_ref().map(|(pk, sk)| Key::new(pk.clone(), sk.clone()))
    }

    pub(super) fn advance(&mut self, next: Option<&Key>) {
        self.after = next.map(|key| (key.pk.clone(), key.sk.clone()));
    }
}

impl<P: Ports> Reconcile<'_, P> {
    /// Where a scan stands. One that cannot be read begins anew.
    pub(super) async fn read_position(&self, scan: Scan) -> Result<Position, Failure> {
        let stored = self.ports.get(Table::Control, &scan.key()).await?;
        let position = stored.as_ref().and_then(|item| serde_json::from_str(item.s("position")?).ok());
        Ok(position.unwrap_or_default())
    }

    /// Stores where a scan stands, or that it is at its end.
    pub(super) async fn store_position(&self, scan: Scan, position: &Position) -> Result<(), Failure> {
        let write = match position.after {
            Some(_) => {
                let item = Item::new(scan.key()).with("position", Attr::S(serialize(position)?));
                Write::Put { table: Table::Control, item, condition: Condition::Always }
            }
            None => Write::Delete { table: Table::Control, key: scan.key(), condition: Condition::Always },
        };
        self.ports.write(vec![write], None).await?;
        Ok(())
    }
}

/// True for a failure that the next objects would meet as well: the scan stays where it is, and the next run goes on.
pub(super) fn ends_run(failure: &Failure) -> bool {
    matches!(failure.code, Code::Deadline | Code::RateLimited)
}
