//! Sweeping: everything that changed at a connection since the watermark is read, and sent to `ingest`.

use canonical::{Lane, Outcome, RemoteId, SweepRequest};
use providers::api::{FailureKind, Page, Target};
use providers::http::HttpResponse;

use super::{JobReport, Ports, ReadResult, Reconcile, Requested};
use crate::client::{CallError, Client};
use crate::failure::{AtStage, Code, Failure, Stage};
use crate::outbox::send_envelopes;
use crate::pause::require_running;
use crate::ports::{Attr, Condition, Item, Key, Table, Write};
use crate::record::journal::{AccountLine, close_account_line};

/// How far a sweep reads back before its watermark, in milliseconds: providers index late, and clocks differ.
const OVERLAP_MS: i64 = 120_000;

/// How far a sweep has got.
struct Progress {
    /// From when on changes are listed.
    since_ms: i64,
    /// The provider's cursor of the next page; `None` for the first one.
    cursor: Option<String>,
    /// The stamp of the newest change so far: the watermark.
    newest_ms: i64,
}

fn watermark_key(connection: &str, object: &str) -> Key {
    Key::new(format!("watermark#{connection}#{object}"), "watermark")
}

impl<P: Ports> Reconcile<'_, P> {
    /// Sweeps the objects whose events were lost. An empty list stands for all that the connection sweeps.
    pub(super) async fn sweep_requested(
        &self,
        connection: &str,
        objects: &[String],
        requests: &[Requested<SweepRequest>],
    ) -> Result<(), Failure> {
        let (settings, _) = self.config.connection(connection)?;
        let objects = if objects.is_empty() { settings.sweep.as_slice() } else { objects };
        if objects.is_empty() {
            let reason = requests.first().map_or("", |requested| requested.request.reason.as_str());
            return Err(Failure::new(Code::CannotFetch, format!("`{connection}` has nothing to sweep, and {reason}")));
        }
        let mut report = JobReport::default();
        for object in objects {
            self.sweep(connection, object, &mut report).await?;
        }
        for Requested { request, .. } in requests {
            tracing::info!(connection, reason = %request.reason, read = report.read, trace = %request.trace, "swept on request");
        }
        Ok(())
    }

    /// Closes the account line of the event that requested a sweep. What the sweep changes is counted as its own.
    pub(super) async fn close_sweep(&self, request: &SweepRequest) -> Result<(), Failure> {
        let Some(event) = &request.cause else { return Ok(()) };
        let line = AccountLine { event, outcome: Outcome::Unchanged, reason: Some(&request.reason) };
        close_account_line(self.ports, line, self.config.hub().journal_days).await
    }

    /// Reads what changed of an object since the watermark, page by page. The watermark follows each page.
    pub(super) async fn sweep(&self, connection: &str, object: &str, report: &mut JobReport) -> Result<(), Failure> {
        require_running(self.ports, connection).await?;
        let client = self.client(connection)?;
        let stored = self.ports.get(Table::Control, &watermark_key(connection, object)).await?;
        let watermark_ms = stored.and_then(|item| item.n("at")).unwrap_or(0);
        let since_ms = (watermark_ms - OVERLAP_MS).max(0);
        let mut progress = Progress { since_ms, cursor: None, newest_ms: watermark_ms };
        loop {
            let Some(page) = list(&client, object, &progress).await? else {
                // The cursor has expired: the pages begin anew at the newest change.
                progress = Progress { since_ms: progress.newest_ms, cursor: None, ..progress };
                continue;
            };
            let mut envelopes = Vec::new();
            for record in &page.records {
                progress.newest_ms = progress.newest_ms.max(record.stamp.map_or(0, |stamp| stamp.at_ms));
                let source = RemoteId { connection: connection.into(), object: object.into(), id: record.id.clone() };
                let read = ReadResult { source, record: Some(record), causes: Vec::new(), trace: None };
                envelopes.push(self.build_envelope(read).await?);
            }
            report.read += page.records.len() as u64;
            send_envelopes(self.ports, Lane::Bulk, envelopes).await?;
            let item = Item::new(watermark_key(connection, object)).with("at", Attr::N(progress.newest_ms));
            self.ports.write(vec![Write::Put { table: Table::Control, item, condition: Condition::Always }], None).await?;
            progress.cursor = page.next;
            if progress.cursor.is_none() {
                return Ok(());
            }
        }
    }
}

/// Reads one page of changes; `None` when the cursor has expired.
async fn list<P: Ports>(client: &Client<'_, P>, object: &str, progress: &Progress) -> Result<Option<Page>, Failure> {
    let api = client.require_api()?;
    let properties = client.provider().read_properties(object);
    let (since_ms, cursor) = (progress.since_ms, progress.cursor.as_deref());
    let request = |target: &Target| Some(api.list(target, since_ms, cursor, &properties));
    let listed = |target: &Target, response: &HttpResponse| match api.parse_page(target, since_ms, cursor, response) {
        Err(failure) if failure.kind == FailureKind::CursorExpired && cursor.is_some() => Ok(None),
        other => other.map(Some),
    };
    client.call(object, request, listed).await.map_err(CallError::into_failure).at(Stage::Fetch)
}
