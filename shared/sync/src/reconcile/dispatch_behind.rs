//! Dispatching what is behind: golden records that a destination does not have yet, or whose last push is not confirmed there.

use canonical::{Dispatch, ObjectType};

use super::position::Scan;
use super::{JobReport, Ports, Reconcile, SCAN_PAGE, golden_parts};
use crate::batch::check_deadline;
use crate::failure::Failure;
use crate::outbox::send_dispatches;
use crate::ports::{Attr, Item, Table};
use crate::record::Link;

impl<P: Ports> Reconcile<'_, P> {
    /// Dispatches every golden record that a destination is behind with, from where the last run ended.
    pub(super) async fn dispatch_behind(&self, report: &mut JobReport) -> Result<(), Failure> {
        let mut position = self.read_position(Scan::Records).await?;
        loop {
            let page = self.ports.scan(Table::Golden, SCAN_PAGE, position.after().as_ref()).await?;
            for item in page.items.iter().filter(|item| is_live_golden(item)) {
                check_deadline(self.ports, self.deadline_ms)?;
                if let Some((object, record)) = golden_parts(&item.key) {
                    self.dispatch_record(object, record, version_of(item, "ver"), report).await?;
                }
            }
            position.advance(page.next.as_ref());
            self.store_position(Scan::Records, &position).await?;
            if page.next.is_none() {
                return Ok(());
            }
        }
    }

    async fn dispatch_record(
        &self,
        object: ObjectType,
        record: &str,
        version: u64,
        report: &mut JobReport,
    ) -> Result<(), Failure> {
        for destination in self.config.hub().object(object).destinations.keys() {
            let link = self.ports.get(Table::Links, &Link::key(destination, object, record)).await?;
            if !is_behind(link.as_ref(), version) && !link.as_ref().is_some_and(|link| self.has_to_try_again(link)) {
                continue;
            }
            let received_at_ms = self.ports.now_ms();
            let dispatch = Dispatch { object, record: record.into(), version, trace: String::new(), received_at_ms };
            send_dispatches(self.ports, destination, [&dispatch]).await?;
            report.dispatched += 1;
        }
        Ok(())
    }
}

impl<P: Ports> Reconcile<'_, P> {
    /// True when properties that the destination refused are to be tried again: the configuration has changed since, or their
    /// time is over.
    fn has_to_try_again(&self, link: &Item) -> bool {
        let generation = i64::try_from(self.config.hub().generation).ok();
        let another = link.n("set_aside_under").is_some_and(|under| Some(under) != generation);
        let over = link.n("set_aside_until").is_some_and(|until| until <= self.ports.now_ms());
        (another || over) && !is_true(link, "closed")
    }
}

fn version_of(item: &Item, attribute: &str) -> u64 {
    item.n(attribute).and_then(|version| u64::try_from(version).ok()).unwrap_or(0)
}

fn is_true(item: &Item, attribute: &str) -> bool {
    item.attrs.get(attribute) == Some(&Attr::Bool(true))
}

fn is_live_golden(item: &Item) -> bool {
    item.key.sk == "golden" && item.s("redirect").is_none() && !is_true(item, "deleted") && !is_true(item, "no_key")
}

/// True when a destination has an older version than this one, or its last push is not confirmed, and it may be written.
fn is_behind(link: Option<&Item>, version: u64) -> bool {
    link.is_none_or(|link| {
        (version_of(link, "pushed_version") < version || !is_true(link, "in_sync")) && !is_true(link, "closed")
    })
}
