//! Verifying links: every linked object is read at its destination, so that changes that no event reported are observed.
//!
//! Objects that were taken for gone are read as well: one that is found is live again. Where more objects are missing at once
//! than the limit allows, nothing is concluded from that until a person has looked (`absences.rs`).

use std::collections::BTreeMap;

use canonical::{ConnectionName, Lane, RemoteId};

use super::{JobReport, Ports, ReadResult, Reconcile, SCAN_PAGE, link_parts};
use crate::failure::{Code, Failure};
use crate::outbox::send_envelopes;
use crate::pause::Pauses;
use crate::ports::{Attr, Table};

/// A linked object that is to be read.
struct LinkedId {
    id: String,
    /// True if it is taken for gone.
    gone: bool,
}

/// Linked objects, by destination and native object.
type LinkedIds = BTreeMap<(ConnectionName, String), Vec<LinkedId>>;

/// Objects that are read and sent to `ingest` together.
const CHUNK: usize = 500;

impl<P: Ports> Reconcile<'_, P> {
    /// Reads every linked object at every destination that is not paused. An object type that cannot be read does not keep the
    /// others from being read.
    pub(super) async fn verify_links(&self, report: &mut JobReport) -> Result<(), Failure> {
        for ((destination, native), ids) in self.linked_ids().await? {
            if Pauses::load(self.ports, &destination).await?.of(&native).is_some() {
                continue;
            }
            if let Err(failure) = self.verify_objects(&destination, &native, &ids, report).await {
                report.add_failure(&destination, &failure);
            }
        }
        Ok(())
    }

    async fn linked_ids(&self) -> Result<LinkedIds, Failure> {
        let mut linked = LinkedIds::new();
        let mut after = None;
        loop {
            let page = self.ports.scan(Table::Links, SCAN_PAGE, after.as_ref()).await?;
            for item in &page.items {
                let Some((destination, object, _)) = link_parts(&item.key) else { continue };
                let native = self.config.hub().object(object).destinations.get(destination);
                if let (Some(remote), Some(native)) = (item.s("remote"), native) {
                    let gone = item.attrs.get("gone") == Some(&Attr::Bool(true));
                    let ids = linked.entry((destination.into(), native.clone())).or_default();
                    ids.push(LinkedId { id: remote.to_owned(), gone });
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok(linked);
            }
        }
    }

    /// Reads the objects of one type. What is found is sent at once; what is missing only once all of them were read, if it is not
    /// too much.
    async fn verify_objects(
        &self,
        destination: &ConnectionName,
        native: &str,
        linked: &[LinkedId],
        report: &mut JobReport,
    ) -> Result<(), Failure> {
        let client = self.client(destination)?;
        let (mut missing, mut failed) = (Vec::new(), None);
        for chunk in linked.chunks(CHUNK) {
            let read_at_ms = self.ports.now_ms();
            let ids: Vec<String> = chunk.iter().map(|linked| linked.id.clone()).collect();
            let mut reads = client.read_each(native, &ids).await;
            let mut envelopes = Vec::new();
            for LinkedId { id, gone } in chunk {
                let source = RemoteId { connection: destination.clone(), object: native.to_owned(), id: id.clone() };
                match reads.remove(id) {
                    Some(Ok(Some(record))) if !record.archived => {
                        report.read += 1;
                        envelopes.push(self.build_envelope(ReadResult::new(source, Some(&record), read_at_ms)).await?);
                    }
                    Some(Err(failure)) => failed = Some(failure),
                    _ if !gone => missing.push(self.build_envelope(ReadResult::new(source, None, read_at_ms)).await?),
                    _ => {}
                }
            }
            send_envelopes(self.ports, Lane::Bulk, envelopes).await?;
        }
        report.missing += missing.len() as u64;
        let live = linked.iter().filter(|linked| !linked.gone).count();
        if self.may_conclude_absence(destination, native, missing.len(), live).await? {
            send_envelopes(self.ports, Lane::Bulk, missing).await?;
        } else {
            let detail = format!("{} of {live} {native} were not found at {destination}; see `hub absences`", missing.len());
            report.add_failure(destination, &Failure::new(Code::AbsencesHeld, detail));
        }
        failed.map_or(Ok(()), Err)
    }
}
