//! What one process of `receive` has refused, by connection and reason, for `hub status`.
//!
//! Anybody can send requests that are refused, so none of them may cost a message of its own. A process counts in memory, and
//! sends the counts of a connection at most once a minute. See `docs/decisions/refused-webhooks.md`.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::config::Config;
use crate::outbox::send_refused_webhooks;
use crate::ports::{Clock, Queue};
use crate::refused_webhooks::RefusedWebhooks;

/// A process sends the counts of a connection at most this often, in milliseconds.
const REPORT_MS: i64 = 60_000;

/// The counts of one process. They hold a name of the configuration and codes of the hub's own, nothing of a request.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<BTreeMap<String, Counted>>);

#[derive(Debug, Default)]
struct Counted {
    /// Not reported yet, by reason.
    reasons: BTreeMap<String, u64>,
    /// When a report was last sent, or was tried to be sent, in milliseconds since the epoch.
    reported_ms: Option<i64>,
}

impl Refusals {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Counted>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a refused webhook of a connection.
    pub(super) fn count(&self, connection: &str, reason: &str) {
        let mut counted = self.lock();
        let reasons = &mut counted.entry(connection.to_owned()).or_default().reasons;
        *reasons.entry(reason.to_owned()).or_default() += 1;
    }

    /// Sends what is due. The first refusal of a connection is reported at once, later ones with the first request after a minute.
    /// What cannot be sent stays for the next report; the answer to the sender does not depend on it.
    pub async fn report<P: Queue + Clock>(&self, ports: &P, config: &Config) {
        let now_ms = ports.now_ms();
        for report in self.take_due(now_ms) {
            if config.hub().connections.contains_key(&report.connection)
                && let Err(failure) = send_refused_webhooks(ports, &report).await
            {
                tracing::warn!(code = %failure.code, connection = %report.connection, "the count of refused webhooks could not be sent");
                self.put_back(report);
            }
        }
    }

    fn take_due(&self, now_ms: i64) -> Vec<RefusedWebhooks> {
        let mut counted = self.lock();
        let is_due = |counted: &Counted| {
            !counted.reasons.is_empty() && counted.reported_ms.is_none_or(|reported| (now_ms - reported).abs() >= REPORT_MS)
        };
        let due = counted.iter_mut().filter(|(_, counted)| is_due(counted));
        due.map(|(connection, counted)| {
            counted.reported_ms = Some(now_ms);
            let reasons = std::mem::take(&mut counted.reasons);
            RefusedWebhooks { connection: connection.as_str().into(), reasons, until_ms: now_ms }
        })
        .collect()
    }

    fn put_back(&self, report: RefusedWebhooks) {
        let mut counted = self.lock();
        let reasons = &mut counted.entry(report.connection.to_string()).or_default().reasons;
        report.reasons.into_iter().for_each(|(reason, count)| *reasons.entry(reason).or_default() += count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(refusals: &Refusals, now_ms: i64) -> Vec<u64> {
        refusals.take_due(now_ms).iter().map(|report| report.reasons.values().sum()).collect()
    }

    #[test]
    fn a_flood_is_one_message_a_minute() {
        let refusals = Refusals::default();
        refusals.count("stripe", "mismatch");
        assert_eq!(sizes(&refusals, 0), [1], "the first one is reported at once");
        let reports: usize = (1..=100_000)
            .map(|n| {
                refusals.count("stripe", "mismatch");
                sizes(&refusals, n).len()
            })
            .sum();
        assert_eq!(reports, 1, "within 100 seconds");
        assert_eq!(sizes(&refusals, 120_000), [40_000], "and none is forgotten");
        assert_eq!(sizes(&refusals, 240_000), [0; 0], "nothing was refused since then");
    }

    #[test]
    fn what_could_not_be_sent_is_sent_with_the_next_report() {
        let refusals = Refusals::default();
        refusals.count("form", "stale");
        let report = refusals.take_due(0).remove(0);
        refusals.put_back(report);
        refusals.count("form", "mismatch");
        assert_eq!(sizes(&refusals, 1_000), [0; 0]);
        assert_eq!(sizes(&refusals, 60_000), [2]);
    }
}
