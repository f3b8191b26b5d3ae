//! Importing: one page of what a connection holds is read and sent to `ingest`, and the next page is requested.

use canonical::{ImportRequest, Lane, RemoteId};
use providers::api::RemoteRecord;

use super::sweep::{Progress, list};
use super::{Ports, ReadResult, Reconcile};
use crate::client::Client;
use crate::failure::Failure;
use crate::import::{Import, ImportState, read_import, send_step, store_import};
use crate::outbox::send_envelopes;
use crate::pause::require_running;

impl<P: Ports> Reconcile<'_, P> {
    /// Reads one page of an import. A message of an import that was paused, ended or replaced does nothing.
    pub(super) async fn import_page(&self, request: &ImportRequest, receive_count: u32) -> Result<(), Failure> {
        let Some(mut import) = read_import(self.ports, &request.connection).await? else { return Ok(()) };
        if import.id != request.import || import.state != ImportState::Running {
            return Ok(());
        }
        if import.position.step != request.step {
            // The page was stored by an earlier delivery of this message, which may have ended before it requested the next one.
            let is_next = receive_count > 1 && import.position.step == request.step + 1;
            return if is_next { send_step(self.ports, &import, 0).await } else { Ok(()) };
        }
        let native = import.scope.objects.get(import.position.object).cloned().unwrap_or_default();
        require_running(self.ports, &import.connection, &native).await?;
        let connection = import.connection.clone();
        let client = self.client(&connection)?;
        let taken = self.take_page(&client, &mut import).await?;
        if !store_import(self.ports, &mut import).await? {
            // An operator has paused or ended it, or another worker had the same message.
            return Ok(());
        }
        if import.state == ImportState::Running {
            return send_step(self.ports, &import, import.wait_s(taken)).await;
        }
        tracing::info!(%connection, import = %import.id, read = import.read, taken = import.taken, state = import.state.name(), "the import has read everything");
        Ok(())
    }

    /// Reads the page at the import's position, sends what is in scope, and advances. Gives the number of records sent.
    async fn take_page(&self, client: &Client<'_, P>, import: &mut Import) -> Result<usize, Failure> {
        let Some(object) = import.scope.objects.get(import.position.object).cloned() else {
            import.advance(None);
            return Ok(0);
        };
        let (since_ms, cursor) = (import.position.since_ms, import.position.cursor.clone());
        // A cursor goes on in the list that it came from, which began at the beginning.
        let from_ms = if cursor.is_some() { 0 } else { since_ms };
        let progress = Progress { since_ms: from_ms, cursor };
        let read_at_ms = self.ports.now_ms();
        let Some(page) = list(client, &object, &progress).await? else {
            (import.position.cursor, import.position.step) = (None, import.position.step + 1);
            return Ok(0);
        };
        let mut envelopes = Vec::new();
        for record in &page.records {
            if !is_new_to(import, record) {
                continue;
            }
            import.read += 1;
            if import.is_sampled() || !takes(client, import, &object, record) {
                continue;
            }
            import.taken += 1;
            let source = RemoteId { connection: import.connection.clone(), object: object.clone(), id: record.id.clone() };
            let causes = vec![import.event(envelopes.len())];
            envelopes
                .push(self.build_envelope(ReadResult { causes, ..ReadResult::new(source, Some(record), read_at_ms) }).await?);
        }
        let stamp = |record: &RemoteRecord| record.stamp.map_or(0, |stamp| stamp.at_ms);
        let newest_ms = page.records.iter().map(stamp).max().unwrap_or(0).max(since_ms);
        import.position.since_ms = newest_ms;
        import.position.edge =
            page.records.iter().filter(|record| stamp(record) == newest_ms).map(|record| record.id.clone()).collect();
        let taken = envelopes.len();
        send_envelopes(self.ports, Lane::Bulk, envelopes).await?;
        import.advance(page.next);
        Ok(taken)
    }
}

/// True for a record that the import has not read yet. What the hub itself has written since the import began comes again at the end
/// of a list that is sorted by time.
fn is_new_to(import: &Import, record: &RemoteRecord) -> bool {
    let written_since = record.hub_id.is_some() && record.stamp.is_some_and(|stamp| stamp.at_ms >= import.started_ms);
    !record.archived && !written_since && !import.position.edge.contains(&record.id)
}

/// True for a record that the import takes.
fn takes<P: Ports>(client: &Client<'_, P>, import: &Import, object: &str, record: &RemoteRecord) -> bool {
    if !import.share.holds(&record.id) {
        return false;
    }
    let filters = &import.scope.filters;
    let values = || client.provider().canonical(object, &record.properties);
    filters.is_empty() || {
        let values = values();
        filters.iter().all(|filter| filter.fits(&values))
    }
}
