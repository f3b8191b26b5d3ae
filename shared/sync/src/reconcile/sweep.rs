//! Sweeping: everything that changed at a connection since the watermark is read, and sent to `ingest`.
//!
//! The first sweep of an object begins now: what was there before the connection is taken in by an import, and only when
//! somebody asks for it.

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

/// How far an object of a connection has been swept.
#[derive(Debug, Clone, Copy)]
struct Watermark {
    /// Where the first sweep began. Nothing older is ever read.
    begin_ms: i64,
    /// The stamp of the newest change that was read.
    newest_ms: i64,
}

impl Watermark {
    fn read(item: &Item) -> Watermark {
        Watermark { begin_ms: item.n("begin").unwrap_or(0), newest_ms: item.n("at").unwrap_or(0) }
    }

    /// From when on the next sweep lists changes.
    fn since_ms(self) -> i64 {
        (self.newest_ms - OVERLAP_MS).max(self.begin_ms)
    }
}

/// How far a list has been read.
pub(super) struct Progress {
    /// From when on changes are listed.
    pub since_ms: i64,
    /// The provider's cursor of the next page; `None` for the first one.
    pub cursor: Option<String>,
    /// The stamp of the newest change so far.
    pub newest_ms: i64,
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
        // What an event reports has just changed. If the object was never swept, its sweeps begin there.
        let received = requests.iter().filter_map(|requested| Some(requested.request.cause.as_ref()?.received_at_ms)).min();
        let begin_ms = received.unwrap_or_else(|| self.ports.now_ms()) - OVERLAP_MS;
        for object in objects {
            self.sweep_from(connection, object, begin_ms, &mut report).await?;
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

    /// Reads what changed of an object since the watermark. Without a watermark, the sweeps of the object begin now.
    pub(super) async fn sweep(&self, connection: &str, object: &str, report: &mut JobReport) -> Result<(), Failure> {
        self.sweep_from(connection, object, self.ports.now_ms(), report).await
    }

    /// Reads what changed of an object since the watermark, page by page. The watermark follows each page. Without one, it begins
    /// at `begin_ms`.
    async fn sweep_from(&self, connection: &str, object: &str, begin_ms: i64, report: &mut JobReport) -> Result<(), Failure> {
        require_running(self.ports, connection, object).await?;
        let client = self.client(connection)?;
        let watermark = match self.ports.get(Table::Control, &watermark_key(connection, object)).await? {
            Some(item) => Watermark::read(&item),
            None => {
                tracing::info!(connection, object, begin_ms, "sweeps begin here; `hub import` takes in what is older");
                let watermark = Watermark { begin_ms, newest_ms: begin_ms };
                self.store_watermark(connection, object, watermark).await?;
                watermark
            }
        };
        let mut progress = Progress { since_ms: watermark.since_ms(), cursor: None, newest_ms: watermark.newest_ms };
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
            self.store_watermark(connection, object, Watermark { newest_ms: progress.newest_ms, ..watermark }).await?;
            progress.cursor = page.next;
            if progress.cursor.is_none() {
                return Ok(());
            }
        }
    }

    async fn store_watermark(&self, connection: &str, object: &str, watermark: Watermark) -> Result<(), Failure> {
        let item = Item::new(watermark_key(connection, object))
            .with("begin", Attr::N(watermark.begin_ms))
            .with("at", Attr::N(watermark.newest_ms));
        self.ports.write(vec![Write::Put { table: Table::Control, item, condition: Condition::Always }], None).await?;
        Ok(())
    }
}

/// Reads one page of changes; `None` when the cursor has expired.
pub(super) async fn list<P: Ports>(client: &Client<'_, P>, object: &str, progress: &Progress) -> Result<Option<Page>, Failure> {
    let api = client.require_api()?;
    let (since_ms, cursor) = (progress.since_ms, progress.cursor.as_deref());
    let request = |target: &Target, properties: &[String]| api.list(target, since_ms, cursor, properties);
    let listed = |target: &Target, response: &HttpResponse| match api.parse_page(target, since_ms, cursor, response) {
        Err(failure) if failure.kind == FailureKind::CursorExpired && cursor.is_some() => Ok(None),
        other => other.map(Some),
    };
    client.call_reading(object, request, listed).await.map_err(CallError::into_failure).at(Stage::Fetch)
}
