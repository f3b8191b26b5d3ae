//! Instants and dates as the providers write them.

use jiff::Timestamp;
use jiff::civil::Date;

/// `2026-01-31T09:30:00.000Z`
pub(crate) fn iso(ms: i64) -> String {
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH).strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

/// `2026-01-31T09:30:00.000+0000`, as Salesforce writes it.
pub(crate) fn iso_offset(ms: i64) -> String {
    iso(ms).replace('Z', "+0000")
}

/// An instant in ISO 8601 (offset with or without a colon), or a date, which stands for its midnight in UTC.
pub(crate) fn parse_instant(text: &str) -> Option<i64> {
    let date = || text.parse::<Date>().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|z| z.timestamp());
    text.parse::<Timestamp>().ok().or_else(date).map(|t| t.as_millisecond())
}

/// The UTC date of an instant.
pub(crate) fn date(ms: i64) -> String {
    iso(ms)[..10].to_owned()
}

/// True for a date such as `2026-01-31`.
pub(crate) fn is_date(text: &str) -> bool {
    text.len() == 10 && text.parse::<Date>().is_ok()
}
