//! Waits, sizes and days: their defaults, and what the services that keep messages, items and requests can hold at most.

use mapping::file::{Milliseconds, Report, Spanned};
use sync::batch::LONGEST_WAIT_S;
use sync::config::{FuseLimit, Fuses, Limits, Retry};

use super::file::{ConnectionTable, FuseTable, FusesTable, JournalTable, LimitsTable, RetryTable, Role};

/// Queue and dead-letter retention of 14 days each, and two weeks of a provider's redelivery.
const DEFAULT_JOURNAL_DAYS: u32 = 45;
/// Days for which an event may still come back: 14 in its queue and 14 in the dead-letter queue.
const RETENTION_DAYS: u32 = 28;
/// For how long a message can wait in its queue, in milliseconds.
const LONGEST_WAIT_MS: u64 = LONGEST_WAIT_S as u64 * 1_000;
/// For how long a queue keeps a message, in milliseconds.
const QUEUE_MS: u64 = 14 * 86_400_000;
/// Bytes of a body that a function URL passes on.
const URL_BODY_BYTES: usize = 6_000_000;
/// Bytes of an item that DynamoDB stores.
const ITEM_BYTES: usize = 400_000;
/// How often queues report the age of their messages, in milliseconds.
const AGE_PERIOD_MS: u64 = 60_000;

/// How long a source may be silent at least and at most, in milliseconds: CloudWatch looks back for seven days.
const QUIET_MS: std::ops::RangeInclusive<u64> = 300_000..=7 * 86_400_000;

/// The retry schedule.
pub(super) fn retry(table: RetryTable, report: &mut Report) -> Retry {
    let default = Retry::default();
    let jitter_percent = table.jitter_percent.as_ref().map_or(default.jitter_percent, |percent| *percent.get_ref());
    if let Some(percent) = table.jitter_percent.as_ref().filter(|percent| *percent.get_ref() > 100) {
        report.error(percent.span(), "`jitter_percent` is a share of the wait, at most 100");
    } else if let Some(schedule) = &table.schedule {
        check_schedule(schedule, jitter_percent, report);
    }
    let seconds = |wait: Spanned<Milliseconds>| u32::try_from(wait.into_inner().0 / 1_000).unwrap_or(u32::MAX);
    let schedule = table.schedule.map(|waits| waits.into_inner().into_iter().map(seconds).collect());
    Retry { schedule_s: schedule.unwrap_or(default.schedule_s), jitter_percent, speed: default.speed }
}

/// A message waits hidden in its queue, which can hide it for so long and keep it for so long.
fn check_schedule(schedule: &Spanned<Vec<Spanned<Milliseconds>>>, jitter_percent: u32, report: &mut Report) {
    let with_jitter = |wait: u64| wait.saturating_add(wait.saturating_mul(u64::from(jitter_percent)) / 100);
    let mut all_ms: u64 = 0;
    for wait in schedule.get_ref() {
        let wait_ms = wait.get_ref().0;
        all_ms = all_ms.saturating_add(with_jitter(wait_ms));
        if wait_ms < 1_000 {
            report.error(wait.span(), "a wait before an attempt must be a second or longer").label("queues count in seconds");
            return;
        }
        if with_jitter(wait_ms) > LONGEST_WAIT_MS {
            let help = "add more waits instead of a longer one, or lower `jitter_percent`";
            let message = "a wait before an attempt, with its jitter, can be 11 h 45 min at most";
            report.error(wait.span(), message).label("SQS hides a message for 12 h at most, from its receive").help(help);
            return;
        }
    }
    if all_ms >= QUEUE_MS {
        let message = "the waits of the schedule, with their jitter, must be less than 14 days together";
        report.error(schedule.span(), message).label("its queue keeps a message for 14 days");
    }
}

/// The limits.
pub(super) fn limits(table: &LimitsTable, report: &mut Report) -> Limits {
    let default = Limits::default();
    let ms = |wait: &Option<Milliseconds>| wait.as_ref().and_then(|wait| i64::try_from(wait.0).ok());
    Limits {
        members: table.members.unwrap_or(default.members),
        union_entries: table.union_entries.unwrap_or(default.union_entries),
        field_bytes: bytes("field_bytes", &table.field_bytes, ITEM_BYTES / 4, "an item holds other fields beside it", report)
            .unwrap_or(default.field_bytes),
        item_bytes: bytes("item_bytes", &table.item_bytes, ITEM_BYTES, "DynamoDB stores no larger item", report)
            .unwrap_or(default.item_bytes),
        body_bytes: bytes("body_bytes", &table.body_bytes, URL_BODY_BYTES, "a function URL takes no larger body", report)
            .unwrap_or(default.body_bytes),
        claim_check_bytes: table.claim_check_bytes.unwrap_or(default.claim_check_bytes),
        absent_percent: table.absent_percent.unwrap_or(default.absent_percent),
        absent_objects: table.absent_objects.unwrap_or(default.absent_objects),
        future_ms: ms(&table.future).unwrap_or(default.future_ms),
        echo_ms: ms(&table.echo).unwrap_or(default.echo_ms),
    }
}

fn bytes(key: &str, value: &Option<Spanned<usize>>, most: usize, why: &str, report: &mut Report) -> Option<usize> {
    let value = value.as_ref()?;
    if *value.get_ref() > most {
        report.error(value.span(), format!("`{key}` can be {most} at most")).label(why);
    }
    Some(*value.get_ref())
}

/// How long the journal remembers an event.
pub(super) fn journal_days(table: &JournalTable, report: &mut Report) -> u32 {
    let Some(days) = &table.days else { return DEFAULT_JOURNAL_DAYS };
    if *days.get_ref() < RETENTION_DAYS {
        let help =
            "an event may wait 14 days in its queue and 14 days in the dead-letter queue, and would then count a second time";
        report.error(days.span(), format!("`days` must be {RETENTION_DAYS} or more")).help(help);
    }
    *days.get_ref()
}

/// How long the oldest message of a connection may wait, in milliseconds.
pub(super) fn sla(table: &ConnectionTable, report: &mut Report) -> Option<u64> {
    let sla = table.sla.as_ref()?;
    if !(AGE_PERIOD_MS..QUEUE_MS).contains(&sla.get_ref().0) {
        let message = "`sla` must be 1m or longer, and shorter than 14d";
        report.error(sla.span(), message).label("queues report the age of messages once a minute, and keep them for 14 days");
    }
    Some(sla.get_ref().0)
}

/// How much each connection may report.
pub(super) fn fuses(table: &FusesTable) -> Fuses {
    let limit = |fuse: &FuseTable| {
        let per_ms = fuse.per.as_ref().and_then(|per| i64::try_from(per.0).ok()).unwrap_or(0);
        FuseLimit { most: fuse.most, percent: fuse.percent, per_ms }
    };
    Fuses {
        new: table.new.as_ref().map(limit),
        changed: table.changed.as_ref().map(limit),
        deleted: table.deleted.as_ref().map(limit),
    }
}

/// How long a source may be silent, in milliseconds.
pub(super) fn quiet(table: &ConnectionTable, report: &mut Report) -> Option<u64> {
    let quiet = table.quiet.as_ref()?;
    if !table.roles.contains(&Role::Source) {
        report.error(quiet.span(), "only a source can be too quiet").help("remove `quiet`, or add \"source\" to the roles");
    } else if !QUIET_MS.contains(&quiet.get_ref().0) {
        report.error(quiet.span(), "`quiet` must be from 5m to 7d").label("an alarm looks back for seven days");
    }
    Some(quiet.get_ref().0)
}
