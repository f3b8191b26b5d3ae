//! Days and points in time.

use std::fmt::Write as _;

use jiff::civil::{Date, DateTime};
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};

use super::Fault;
use super::visible::visible;
use crate::rule::TimeUnit;

/// A time zone, looked up once.
pub type Zone = TimeZone;

const INSTANT: Fault = Fault("not a point in time");

/// Stands for the zone of the account in a mapping file: the configuration names it for each connection. It is UTC where it
/// does not.
pub const ACCOUNT_ZONE: &str = "account";

/// The Windows name of a zone, then its IANA name; see `data/generate.py`.
const WINDOWS_ZONES: &str = include_str!("../../data/windows_zones.tsv");

/// A time zone by its IANA name, its Windows name (`Pacific Standard Time`), its offset (`+02:00`), or a URI that ends in one of them.
///
/// # Errors
/// No zone has that name.
pub fn zone(name: &str) -> Result<Zone, Fault> {
    let seen = visible(name);
    let name = seen.trim();
    let name = if name.contains("://") { name.rsplit('/').next().unwrap_or(name) } else { name };
    if name == ACCOUNT_ZONE || ["UTC", "Z", "GMT"].iter().any(|utc| utc.eq_ignore_ascii_case(name)) {
        return Ok(TimeZone::UTC);
    }
    let windows = WINDOWS_ZONES.lines().filter_map(|line| line.split_once('\t'));
    let iana = windows.into_iter().find(|(windows, _)| windows.eq_ignore_ascii_case(name)).map_or(name, |(_, iana)| iana);
    let known = TimeZone::get(iana).ok();
    known.or_else(|| fixed(name)).ok_or(Fault("neither an IANA nor a Windows time zone"))
}

/// A zone that is an offset: `+02:00`, `UTC-03:30`.
fn fixed(name: &str) -> Option<Zone> {
    let bare = ["UTC", "GMT"].iter().find_map(|utc| name.strip_prefix(utc)).unwrap_or(name);
    let sign = match bare.chars().next()? {
        '+' => 1,
        '-' => -1,
        _ => return None,
    };
    let (hours, minutes) = bare[1..].split_once(':')?;
    let number = |text: &str| text.parse::<i32>().ok().filter(|_| text.len() == 2 && digits(text));
    let seconds = sign * (number(hours).filter(|h| *h <= 14)? * 3600 + number(minutes).filter(|m| *m < 60)? * 60);
    Some(TimeZone::fixed(Offset::from_seconds(seconds).ok()?))
}

/// Whether a text begins with a day that programs write where they know none: year 1 (.NET), 1604 (a birthday without its year),
/// 4501 (Outlook), 9999, or zeros.
pub fn means_none(time: &str) -> bool {
    ["0000-00-00", "0001-", "1604-", "4501-", "9999-"].iter().any(|start| time.trim_start().starts_with(start))
}

/// A calendar day, `2026-01-31`.
///
/// # Errors
/// It is not a day, or it is more than a day: an instant becomes a day only where a rule names the zone.
pub fn date(text: &str) -> Result<String, Fault> {
    let text = text.trim();
    let shaped = text.len() == 10 && text.as_bytes()[4] == b'-' && text.as_bytes()[7] == b'-';
    let day: Date = text.parse().ok().filter(|_| shaped).ok_or(Fault("not a calendar day"))?;
    if day.year() < 1 { Err(Fault("not a calendar day")) } else { Ok(text.to_owned()) }
}

/// The calendar day of a canonical instant in a zone.
///
/// # Errors
/// It is not an instant.
pub fn day_of(instant: &str, zone: &Zone) -> Result<String, Fault> {
    let at: Timestamp = instant.parse().map_err(|_| INSTANT)?;
    Ok(at.to_zoned(zone.clone()).date().to_string())
}

/// A point in time that belongs to a canonical day in a zone: midnight in UTC, noon in any other zone, so that also most of its
/// neighbours see the same day.
///
/// # Errors
/// The calendar has no such day.
pub fn instant_of_day(day: &str, zone: &Zone) -> Result<String, Fault> {
    let date: Date = day.parse().map_err(|_| Fault("not a calendar day"))?;
    let hour = if *zone == TimeZone::UTC { 0 } else { 12 };
    let at = date.at(hour, 0, 0, 0).to_zoned(zone.clone()).map_err(|_| INSTANT)?;
    Ok(at.timestamp().to_string())
}

/// The day before a canonical day.
///
/// # Errors
/// The calendar has no such day.
pub fn day_before(day: &str) -> Result<String, Fault> {
    let day: Date = day.parse().map_err(|_| Fault("not a calendar day"))?;
    day.yesterday().map(|day| day.to_string()).map_err(|_| Fault("not a calendar day"))
}

/// A point in time in UTC, with the precision that the source gave it. A time without an offset needs a zone.
///
/// # Errors
/// It is not a point in time of the years 1 to 9999, or it has neither an offset nor a zone, or it is only a day.
pub fn instant(text: &str, unit: TimeUnit, zone: Option<&Zone>) -> Result<String, Fault> {
    let text = text.trim();
    match unit {
        TimeUnit::S => seconds(text),
        TimeUnit::Ms => milliseconds(text),
        TimeUnit::IsoOrMs if digits(text) => milliseconds(text),
        TimeUnit::IsoOrS if digits(text) => seconds(text),
        TimeUnit::Dotnet if text.starts_with("/Date(") => dotnet(text),
        TimeUnit::Rfc1123 => {
            let at = jiff::fmt::rfc2822::parse(text).or_else(|_| jiff::fmt::rfc2822::parse(&short_names(text)));
            print(at.map_err(|_| INSTANT)?.timestamp(), 0)
        }
        _ => iso(text, zone),
    }
}

/// All digits after an optional minus.
fn digits(text: &str) -> bool {
    let rest = text.strip_prefix('-').unwrap_or(text);
    !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit())
}

/// Names of days and months cut to three letters: `Thurs, 20 July 1989` as `Thu, 20 Jul 1989`.
fn short_names(text: &str) -> String {
    let mut letters = 0_usize;
    let short = |c: &char| {
        letters = if c.is_alphabetic() { letters + 1 } else { 0 };
        letters <= 3
    };
    text.chars().filter(short).collect()
}

/// The milliseconds of an instant in ISO 8601, rounded down. Its offset may have no colon.
pub fn instant_ms(text: &str) -> Option<i64> {
    let at: Timestamp = text.parse().ok()?;
    i64::try_from(at.as_nanosecond().div_euclid(1_000_000)).ok()
}

fn seconds(text: &str) -> Result<String, Fault> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !digits(whole) || fraction.len() > 9 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return Err(INSTANT);
    }
    let whole: i64 = whole.parse().map_err(|_| INSTANT)?;
    let nanos: i32 = format!("{fraction:0<9}").parse().map_err(|_| INSTANT)?;
    let at = Timestamp::from_second(whole).map_err(|_| INSTANT)?;
    let at = at.checked_add(SignedDuration::from_nanos(i64::from(nanos))).map_err(|_| INSTANT)?;
    print(at, fraction.len())
}

fn milliseconds(text: &str) -> Result<String, Fault> {
    let ms: i64 = Some(text).filter(|t| digits(t)).and_then(|t| t.parse().ok()).ok_or(INSTANT)?;
    print(Timestamp::from_millisecond(ms).map_err(|_| INSTANT)?, 3)
}

/// The offset behind the milliseconds is how the source displays the time; it does not change the point in time.
fn dotnet(text: &str) -> Result<String, Fault> {
    let inside = text.strip_prefix("/Date(").and_then(|rest| rest.strip_suffix(")/")).ok_or(INSTANT)?;
    let end = inside.char_indices().skip(1).find(|(_, c)| matches!(c, '+' | '-')).map_or(inside.len(), |(at, _)| at);
    milliseconds(&inside[..end])
}

fn iso(text: &str, zone: Option<&Zone>) -> Result<String, Fault> {
    if is_canonical(text.as_bytes()) && text.parse::<Timestamp>().is_ok_and(|_| !text.contains(":60")) {
        return Ok(text.to_owned());
    }
    let precision = text.find(['.', ',']).map_or(0, |dot| text[dot + 1..].bytes().take_while(u8::is_ascii_digit).count());
    if precision > 9 || text.len() <= 10 {
        return Err(Fault("a day or something else, where a point in time is expected"));
    }
    if let Ok(at) = text.parse::<Timestamp>() {
        return print(at, precision);
    }
    // `+0000` without a colon, as some APIs write it.
    if let Some((head, tail)) = text.len().checked_sub(5).and_then(|at| text.split_at_checked(at))
        && tail.starts_with(['+', '-'])
        && digits(&tail[1..])
        && let Ok(at) = format!("{head}{}:{}", &tail[..3], &tail[3..]).parse::<Timestamp>()
    {
        return print(at, precision);
    }
    let local: DateTime = text.parse().map_err(|_| INSTANT)?;
    let zone = zone.ok_or(Fault("a time without a zone, and no zone is declared"))?;
    let at = local.to_zoned(zone.clone()).map_err(|_| INSTANT)?.timestamp();
    print(at, precision)
}

/// `2026-01-31T09:30:00Z`, with or without a fraction.
fn is_canonical(text: &[u8]) -> bool {
    let digit = |range: std::ops::Range<usize>| text[range].iter().all(u8::is_ascii_digit);
    text.len() >= 20
        && text.len() <= 30
        && text[text.len() - 1] == b'Z'
        && text[10] == b'T'
        && (text[4], text[7], text[13], text[16]) == (b'-', b'-', b':', b':')
        && digit(0..4)
        && digit(17..19)
        && (text.len() == 20 || (text.len() > 21 && text[19] == b'.' && digit(20..text.len() - 1)))
}

fn print(at: Timestamp, precision: usize) -> Result<String, Fault> {
    let time = TimeZone::UTC.to_datetime(at);
    if !(1..=9999).contains(&time.year()) {
        return Err(INSTANT);
    }
    let mut text = String::with_capacity(30);
    let (year, month, day) = (time.year(), time.month(), time.day());
    let (hour, minute, second) = (time.hour(), time.minute(), time.second());
    let _ = write!(text, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
    if precision > 0 {
        let fraction = format!("{:09}", time.subsec_nanosecond());
        let _ = write!(text, ".{}", &fraction[..precision]);
    }
    text.push('Z');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precision_is_preserved() {
        for (text, unit, canonical) in [
            ("1234567890", TimeUnit::S, "2009-02-13T23:31:30Z"),
            ("1234567890.25", TimeUnit::S, "2009-02-13T23:31:30.25Z"),
            ("1462216307945", TimeUnit::Ms, "2016-05-02T19:11:47.945Z"),
            ("1462216307000", TimeUnit::Ms, "2016-05-02T19:11:47.000Z"),
            ("2022-11-03T20:26:10.344522Z", TimeUnit::Iso, "2022-11-03T20:26:10.344522Z"),
            ("2022-11-03T20:26:10+02:00", TimeUnit::Iso, "2022-11-03T18:26:10Z"),
            ("2024-09-03T09:56:05.000+0000", TimeUnit::Iso, "2024-09-03T09:56:05.000Z"),
            ("1462216307945", TimeUnit::IsoOrMs, "2016-05-02T19:11:47.945Z"),
            ("Tue, 15 Nov 1994 12:45:26 +0000", TimeUnit::Rfc1123, "1994-11-15T12:45:26Z"),
            ("Thurs, 20 July 1989 18:30:43 +0000", TimeUnit::Rfc1123, "1989-07-20T18:30:43Z"),
            ("/Date(1488391422280+0000)/", TimeUnit::Dotnet, "2017-03-01T18:03:42.280Z"),
            ("/Date(-62)/", TimeUnit::Dotnet, "1969-12-31T23:59:59.938Z"),
            ("2017-03-01T18:03:42.28Z", TimeUnit::Dotnet, "2017-03-01T18:03:42.28Z"),
            ("-1", TimeUnit::S, "1969-12-31T23:59:59Z"),
        ] {
            assert_eq!(instant(text, unit, None).as_deref(), Ok(canonical), "{text}");
        }
    }

    #[test]
    fn a_time_without_a_zone_needs_one() {
        assert!(instant("2026-07-01 10:00:00", TimeUnit::Iso, None).is_err());
        let berlin = zone("Europe/Berlin").unwrap();
        assert_eq!(instant("2026-07-01 10:00:00", TimeUnit::Iso, Some(&berlin)).as_deref(), Ok("2026-07-01T08:00:00Z"));
    }

    #[test]
    fn days_and_instants_are_two_things() {
        assert_eq!(date("2026-01-31").as_deref(), Ok("2026-01-31"));
        assert!(date("2026-01-31T00:00:00Z").is_err());
        assert!(date("2026-02-30").is_err());
        assert!(instant("2026-01-31", TimeUnit::Iso, Some(&TimeZone::UTC)).is_err());
        assert_eq!(day_of("2026-01-31T23:30:00Z", &zone("Europe/Berlin").unwrap()).as_deref(), Ok("2026-02-01"));
    }

    #[test]
    fn zones_have_names_of_many_kinds() {
        for (name, at) in [
            ("Europe/Berlin", "2026-07-01T08:00:00Z"),
            ("W. Europe Standard Time", "2026-07-01T08:00:00Z"),
            ("pacific standard time", "2026-07-01T17:00:00Z"),
            ("India Standard Time", "2026-07-01T04:30:00Z"),
            ("scheme://Vendor/Utc", "2026-07-01T10:00:00Z"),
            ("utc", "2026-07-01T10:00:00Z"),
            ("+05:30", "2026-07-01T04:30:00Z"),
            ("UTC-03:00", "2026-07-01T13:00:00Z"),
        ] {
            let zone = zone(name).unwrap();
            assert_eq!(instant("2026-07-01 10:00:00", TimeUnit::Iso, Some(&zone)).as_deref(), Ok(at), "{name}");
        }
        for name in ["", "Customized Time Zone", "Mars/Olympus", "+25:00", "+2", "scheme://Vendor/Custom"] {
            assert!(zone(name).is_err(), "{name}");
        }
        for line in WINDOWS_ZONES.lines().filter(|line| !line.starts_with('#')) {
            assert!(zone(line.split_once('\t').unwrap().0).is_ok(), "{line}");
        }
    }

    #[test]
    fn some_years_mean_none() {
        for none in ["0001-01-01T00:00:00Z", "1604-02-29", "4501-01-01T00:00:00Z", "0000-00-00 00:00:00", "9999-12-31"] {
            assert!(means_none(none), "{none}");
        }
        assert!(!means_none("1904-06-16") && !means_none("2026-01-01"));
    }

    #[test]
    fn what_is_not_a_time() {
        for (text, unit) in [
            ("", TimeUnit::S),
            ("x", TimeUnit::S),
            ("/Date()/", TimeUnit::Dotnet),
            ("/Date(1", TimeUnit::Dotnet),
            ("1e3", TimeUnit::S),
            ("9999999999999999", TimeUnit::Ms),
            ("12-34", TimeUnit::IsoOrMs),
        ] {
            assert!(instant(text, unit, None).is_err(), "{text}");
        }
    }
}
