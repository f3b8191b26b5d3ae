//! Verifying links: every linked object is read at its destination, so that changes that no event reported are observed.
//!
//! Objects that were taken for gone are read as well: one that is found is live again. Where more objects are missing at once
//! than the limit allows, nothing is concluded from that until a person has looked (`absences.rs`). The links are read page by page,
//! and a run that ends early is continued by the next one (`position.rs`).

use std::collections::{BTreeMap, BTreeSet};

use canonical::{ConnectionName, Lane, RemoteId};

use super::position::{Missed, Position, Scan, ends_run};
use super::{JobReport, Ports, ReadResult, Reconcile, SCAN_PAGE, link_parts};
use crate::batch::check_deadline;
use crate::failure::{Code, Failure};
use crate::outbox::send_envelopes;
use crate::pause::Pauses;
use crate::ports::{Attr, Item, Table};

/// A linked object that is to be read.
struct LinkedId {
    id: String,
    /// True if it is taken for gone.
    gone: bool,
}

/// An object type at a destination.
type Target = (ConnectionName, String);

impl<P: Ports> Reconcile<'_, P> {
    /// Reads every linked object at every destination that is not paused. An object type that cannot be read does not keep the
    /// others from being read.
    pub(super) async fn verify_links(&self, report: &mut JobReport) -> Result<(), Failure> {
        let mut position = self.read_position(Scan::Links).await?;
        let mut failed: BTreeSet<Target> = BTreeSet::new();
        loop {
            check_deadline(self.ports, self.deadline_ms)?;
            let page = self.ports.scan(Table::Links, SCAN_PAGE, position.after().as_ref()).await?;
            for (target, linked) in self.linked_ids(&page.items) {
                if failed.contains(&target) {
                    continue;
                }
                match self.verify_objects(&target, &linked, &mut position, report).await {
                    Ok(()) => {}
                    Err(failure) if ends_run(&failure) => return Err(failure),
                    Err(failure) => {
                        report.add_failure(&target.0, &failure);
                        failed.insert(target);
                    }
                }
            }
            position.advance(page.next.as_ref());
            if page.next.is_some() {
                self.store_position(Scan::Links, &position).await?;
                continue;
            }
            for (target, missed) in &position.missed {
                self.conclude(target, missed, report).await?;
            }
            return self.store_position(Scan::Links, &Position::default()).await;
        }
    }

    /// The linked objects of a page, by what reads them.
    fn linked_ids(&self, items: &[Item]) -> BTreeMap<Target, Vec<LinkedId>> {
        let mut linked: BTreeMap<Target, Vec<LinkedId>> = BTreeMap::new();
        for item in items {
            let Some((destination, object, _)) = link_parts(&item.key) else { continue };
            let native = self.config.hub().object(object).destinations.get(destination);
            if let (Some(remote), Some(native)) = (item.s("remote"), native) {
                let gone = item.attrs.get("gone") == Some(&Attr::Bool(true));
                let ids = linked.entry((destination.into(), native.clone())).or_default();
                ids.push(LinkedId { id: remote.to_owned(), gone });
            }
        }
        linked
    }

    /// Reads objects of one type. What is found is sent at once; what is missing only once all of them were read, if it is not too
    /// much.
    async fn verify_objects(
        &self,
        (destination, native): &Target,
        linked: &[LinkedId],
        position: &mut Position,
        report: &mut JobReport,
    ) -> Result<(), Failure> {
        if Pauses::load(self.ports, destination).await?.of(native).is_some() {
            return Ok(());
        }
        let client = self.client(destination)?;
        let read_at_ms = self.ports.now_ms();
        let ids: Vec<String> = linked.iter().map(|linked| linked.id.clone()).collect();
        let mut reads = client.read_each(native, &ids).await;
        let (mut envelopes, mut missing, mut failed) = (Vec::new(), Vec::new(), None);
        for LinkedId { id, gone } in linked {
            let source = RemoteId { connection: destination.clone(), object: native.clone(), id: id.clone() };
            match reads.remove(id) {
                Some(Ok(Some(record))) if !record.archived => {
                    report.read += 1;
                    envelopes.push(self.build_envelope(ReadResult::new(source, Some(&record), read_at_ms)).await?);
                }
                Some(Err(failure)) => failed = Some(failure),
                _ if !gone => missing.push((id.clone(), read_at_ms)),
                _ => {}
            }
        }
        send_envelopes(self.ports, Lane::Bulk, envelopes).await?;
        if let Some(failure) = failed {
            return Err(failure);
        }
        let confirmed = self.is_absence_confirmed(destination, native).await?;
        if confirmed {
            self.send_missing((&**destination, native.as_str()), &missing).await?;
        }
        report.missing += missing.len() as u64;
        let missed = position.missed.entry(format!("{destination}/{native}")).or_default();
        missed.checked += linked.iter().filter(|linked| !linked.gone).count() as u64;
        if !confirmed {
            missed.missing += missing.len() as u64;
            missed.ids.extend(missing);
            missed.ids.truncate(self.config.hub().limits.absent_objects.max(1));
        }
        Ok(())
    }

    /// Concludes from what was missed of an object type that it is gone, if it is not too much.
    async fn conclude(&self, target: &str, missed: &Missed, report: &mut JobReport) -> Result<(), Failure> {
        let Some((destination, native)) = target.split_once('/') else { return Ok(()) };
        if self.may_conclude_absence(destination, native, missed.missing, missed.checked).await? {
            return self.send_missing((destination, native), &missed.ids).await;
        }
        let Missed { missing, checked, .. } = missed;
        let detail = format!("{missing} of {checked} {native} were not found at {destination}; see `hub absences`");
        report.add_failure(destination, &Failure::new(Code::AbsencesHeld, detail));
        Ok(())
    }

    async fn send_missing(&self, (destination, native): (&str, &str), missing: &[(String, i64)]) -> Result<(), Failure> {
        let mut envelopes = Vec::new();
        for (id, read_at_ms) in missing {
            let source = RemoteId { connection: destination.into(), object: native.to_owned(), id: id.clone() };
            envelopes.push(self.build_envelope(ReadResult::new(source, None, *read_at_ms)).await?);
        }
        Ok(send_envelopes(self.ports, Lane::Bulk, envelopes).await?)
    }
}
