//! Sweeping: everything that changed at a connection since the watermark is read, and sent to `ingest`.
//!
//! The first sweep of an object begins now: what was there before the connection is taken in by an import, and only when
//! somebody asks for it.

use canonical::{Lane, Outcome, RemoteId, SweepRequest};
use providers::SweepWindow;
use providers::api::{FailureKind, Page, Target};
use providers::http::HttpResponse;

use super::{JobReport, Ports, ReadResult, Reconcile, Requested};
use crate::client::{CallError, Client};
use crate::failure::{AtStage, Code, Failure, Stage};
use crate::outbox::send_envelopes;
use crate::pause::require_running;
use crate::ports::{Attr, Condition, Item, Key, Store, Table, Write};
use crate::record::journal::{AccountLine, close_account_line};

/// How far an object of a connection has been swept.
#[derive(Debug, Clone, Copy)]
struct Watermark {
    /// Where the first sweep began. Nothing older is ever read.
    begin_ms: i64,
    /// The stamp of the newest change that was read.
    newest_ms: i64,
    /// When the last sweep that read anything began.
    swept_ms: i64,
    /// When the last second look at changes began.
    second_look_ms: i64,
}

impl Watermark {
    fn read(item: &Item) -> Watermark {
        let at = |name: &str| item.n(name).unwrap_or(0);
        Watermark { begin_ms: at("begin"), newest_ms: at("at"), swept_ms: at("swept"), second_look_ms: at("second_look") }
    }

    /// True when the last hours are due for a second look: some changes become visible only long after their stamp.
    fn is_second_look_due(self, window: &SweepWindow, now_ms: i64) -> bool {
        now_ms - self.second_look_ms >= milliseconds(window.second_look_s) / 2
    }
}

fn milliseconds(seconds: u32) -> i64 {
    i64::from(seconds) * 1_000
}

/// How far a list has been read.
pub(super) struct Progress {
    /// From when on changes are listed.
    pub since_ms: i64,
    /// The provider's cursor of the next page; `None` for the first one.
    pub cursor: Option<String>,
}

fn watermark_key(connection: &str, object: &str) -> Key {
    Key::new(format!("watermark#{connection}#{object}"), "watermark")
}

/// When the last sweep of an object that read anything began.
pub async fn last_sweep_ms<P: Store>(ports: &P, connection: &str, object: &str) -> Result<Option<i64>, Failure> {
    let item = ports.get(Table::Control, &watermark_key(connection, object)).await?;
    Ok(item.and_then(|item| item.n("swept")).filter(|at_ms| *at_ms > 0))
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
        let overlap_ms = milliseconds(self.client(connection)?.provider().manifest().api.sweep.overlap_s);
        let begin_ms = received.unwrap_or_else(|| self.ports.now_ms()) - overlap_ms;
        // One object that cannot be read must not keep the others from their turn.
        let mut failed = None;
        for object in objects {
            if let Err(failure) = self.sweep_from(connection, object, begin_ms, &mut report).await {
                failed.get_or_insert(failure);
            }
        }
        if let Some(failure) = failed {
            return Err(failure);
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

    /// Reads what changed of an object since the watermark. Without one, it begins at `begin_ms`. From time to time, the last
    /// hours are read again.
    async fn sweep_from(&self, connection: &str, object: &str, begin_ms: i64, report: &mut JobReport) -> Result<(), Failure> {
        require_running(self.ports, connection, object).await?;
        let (client, now_ms) = (self.client(connection)?, self.ports.now_ms());
        let window = client.provider().manifest().api.sweep.clone();
        let mut watermark = match self.ports.get(Table::Control, &watermark_key(connection, object)).await? {
            Some(item) => Watermark::read(&item),
            None => {
                tracing::info!(connection, object, begin_ms, "sweeps begin here; `hub import` takes in what is older");
                let watermark = Watermark { begin_ms, newest_ms: begin_ms, swept_ms: 0, second_look_ms: begin_ms };
                self.store_watermark(connection, object, watermark).await?;
                watermark
            }
        };
        // It is stored with the first page: a sweep that reads nothing has had no turn.
        watermark.swept_ms = now_ms;
        let since_ms = (watermark.newest_ms - milliseconds(window.overlap_s)).max(watermark.begin_ms);
        watermark = self.read_changes(&client, (connection, object), since_ms, watermark, report).await?;
        if watermark.is_second_look_due(&window, now_ms) {
            // Noted before it is made: one that takes too long must not keep the sweeps from what is new.
            watermark.second_look_ms = now_ms;
            self.store_watermark(connection, object, watermark).await?;
            let since_ms = (now_ms - milliseconds(window.second_look_s)).max(watermark.begin_ms);
            self.read_changes(&client, (connection, object), since_ms, watermark, report).await?;
        }
        Ok(())
    }

    /// Reads what changed of an object since a time, page by page. The watermark follows each page.
    async fn read_changes(
        &self,
        client: &Client<'_, P>,
        (connection, object): (&str, &str),
        since_ms: i64,
        mut watermark: Watermark,
        report: &mut JobReport,
    ) -> Result<Watermark, Failure> {
        let mut progress = Progress { since_ms, cursor: None };
        loop {
            let read_at_ms = self.ports.now_ms();
            let Some(page) = list(client, object, &progress).await? else {
                // The cursor has expired: the pages begin anew at the newest change.
                progress = Progress { since_ms: watermark.newest_ms.max(since_ms), cursor: None };
                continue;
            };
            let mut envelopes = Vec::new();
            for record in &page.records {
                watermark.newest_ms = watermark.newest_ms.max(record.stamp.map_or(0, |stamp| stamp.at_ms));
                let source = RemoteId { connection: connection.into(), object: object.into(), id: record.id.clone() };
                envelopes.push(self.build_envelope(ReadResult::new(source, Some(record), read_at_ms)).await?);
            }
            report.read += page.records.len() as u64;
            send_envelopes(self.ports, Lane::Bulk, envelopes).await?;
            self.store_watermark(connection, object, watermark).await?;
            progress.cursor = page.next;
            if progress.cursor.is_none() {
                return Ok(watermark);
            }
        }
    }

    /// Every object that is swept, with its connection: those whose last sweep began longest ago come first, so that none is kept
    /// from its turn by those before it.
    pub(super) async fn objects_to_sweep(&self) -> Result<Vec<(&str, &str)>, Failure> {
        let mut objects = Vec::new();
        for (connection, settings) in &self.config.hub().connections {
            for object in &settings.sweep {
                let item = self.ports.get(Table::Control, &watermark_key(connection, object)).await?;
                let swept_ms = item.map_or(0, |item| Watermark::read(&item).swept_ms);
                objects.push((swept_ms, &**connection, object.as_str()));
            }
        }
        objects.sort_by_key(|(swept_ms, _, _)| *swept_ms);
        Ok(objects.into_iter().map(|(_, connection, object)| (connection, object)).collect())
    }

    async fn store_watermark(&self, connection: &str, object: &str, watermark: Watermark) -> Result<(), Failure> {
        let item = Item::new(watermark_key(connection, object))
            .with("begin", Attr::N(watermark.begin_ms))
            .with("at", Attr::N(watermark.newest_ms))
            .with("swept", Attr::N(watermark.swept_ms))
            .with("second_look", Attr::N(watermark.second_look_ms));
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
