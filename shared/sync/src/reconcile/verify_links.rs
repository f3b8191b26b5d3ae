//! Verifying links: every linked object is read at its destination, so that changes that no event reported are observed.

use std::collections::BTreeMap;

use canonical::{ConnectionName, Lane, RemoteId};

use super::{JobReport, Ports, ReadResult, Reconcile, SCAN_PAGE, link_parts};
use crate::client::CallError;
use crate::failure::{AtStage, Failure, Stage};
use crate::outbox::send_envelopes;
use crate::pause::Pauses;
use crate::ports::Table;

/// The ids of linked objects, by destination and native object.
type LinkedIds = BTreeMap<(ConnectionName, String), Vec<String>>;

/// Objects that are read and sent to `ingest` together.
const CHUNK: usize = 500;

impl<P: Ports> Reconcile<'_, P> {
    /// Reads every linked object at every destination that is not paused.
    pub(super) async fn verify_links(&self, report: &mut JobReport) -> Result<(), Failure> {
        for ((destination, native), ids) in self.linked_ids().await? {
            if Pauses::load(self.ports, &destination).await?.of(&native).is_some() {
                continue;
            }
            for chunk in ids.chunks(CHUNK) {
                self.verify_objects(&destination, &native, chunk, report).await?;
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
                    linked.entry((destination.into(), native.clone())).or_default().push(remote.to_owned());
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok(linked);
            }
        }
    }

    async fn verify_objects(
        &self,
        destination: &ConnectionName,
        native: &str,
        ids: &[String],
        report: &mut JobReport,
    ) -> Result<(), Failure> {
        let read = self.client(destination)?.read(native, ids).await.map_err(CallError::into_failure).at(Stage::Fetch)?;
        let records = read.records;
        let live: BTreeMap<&str, _> = records.iter().filter(|r| !r.archived).map(|r| (r.id.as_str(), r)).collect();
        let mut envelopes = Vec::new();
        // An id that cannot be read alone says nothing about its object.
        for id in ids.iter().filter(|id| !read.refused.contains_key(*id)) {
            let record = live.get(id.as_str()).copied();
            report.missing += u64::from(record.is_none());
            let source = RemoteId { connection: destination.clone(), object: native.to_owned(), id: id.clone() };
            envelopes.push(self.build_envelope(ReadResult { source, record, causes: Vec::new(), trace: None }).await?);
        }
        report.read += records.len() as u64;
        Ok(send_envelopes(self.ports, Lane::Bulk, envelopes).await?)
    }
}
