//! Schedule expressions: `rate(..)`, `cron(..)` and `at(..)`.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};

/// Why an expression is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ScheduleError {
    #[error("it is neither rate, cron nor at")]
    Form,
    #[error("a rate is a positive number and minute(s), hour(s) or day(s), singular for 1")]
    Rate,
    #[error("the field {0} of cron")]
    Field(&'static str),
    #[error("the time zone is unknown")]
    Zone,
}

/// When something is due.
#[derive(Debug, Clone)]
pub(crate) enum Schedule {
    /// Every so often, from the start on.
    Rate(SignedDuration),
    /// At the minutes that match, in a time zone.
    Cron(Box<Cron>, TimeZone),
    /// Once.
    At(Timestamp),
}

/// The sets of a cron expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cron {
    minutes: BTreeSet<i16>,
    hours: BTreeSet<i16>,
    /// Days of the month; 0 is the last one. `None` for `?`.
    days: Option<BTreeSet<i16>>,
    months: BTreeSet<i16>,
    /// Days of the week, 1 is Sunday. `None` for `?`.
    weekdays: Option<BTreeSet<i16>>,
    years: BTreeSet<i16>,
}

impl Schedule {
    /// Reads an expression. `zone` is an IANA name; it matters to `cron` and `at`.
    pub(crate) fn parse(expression: &str, zone: &str) -> Result<Self, ScheduleError> {
        let (kind, rest) = expression.split_once('(').ok_or(ScheduleError::Form)?;
        let inner = rest.strip_suffix(')').ok_or(ScheduleError::Form)?;
        let zone = if zone == "UTC" { TimeZone::UTC } else { TimeZone::get(zone).map_err(|_| ScheduleError::Zone)? };
        match kind {
            "rate" => rate(inner).map(Self::Rate),
            "cron" => Ok(Self::Cron(Box::new(Cron::parse(inner)?), zone)),
            "at" => {
                let at: DateTime = inner.parse().map_err(|_| ScheduleError::Form)?;
                Ok(Self::At(at.to_zoned(zone).map_err(|_| ScheduleError::Form)?.timestamp()))
            }
            _ => Err(ScheduleError::Form),
        }
    }

    /// How long after `now` it is due when it comes `speed` times as often as its expression says. A moment that comes once stays.
    pub(crate) fn wait(&self, now: Timestamp, speed: u32) -> Option<Duration> {
        let due = self.next(now)?;
        let wait = due.duration_since(now);
        let wait = match self {
            Self::At(_) => return Duration::try_from(wait).ok(),
            Self::Cron(..) if speed > 1 => self.next(due)?.duration_since(due),
            _ => wait,
        };
        Some(Duration::try_from(wait).ok()? / speed.max(1))
    }

    /// The next due moment after `now`.
    pub(crate) fn next(&self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Rate(every) => now.checked_add(*every).ok(),
            Self::Cron(cron, zone) => cron.next(now.to_zoned(zone.clone()).datetime(), zone),
            Self::At(at) => (*at > now).then_some(*at),
        }
    }
}

fn rate(inner: &str) -> Result<SignedDuration, ScheduleError> {
    let (number, unit) = inner.split_once(' ').ok_or(ScheduleError::Rate)?;
    let number: i64 = number.parse().ok().filter(|n| *n > 0).ok_or(ScheduleError::Rate)?;
    let seconds = match unit.strip_suffix('s').filter(|_| number != 1).or_else(|| Some(unit).filter(|_| number == 1)) {
        Some("minute") => 60,
        Some("hour") => 3600,
        Some("day") => 86_400,
        _ => return Err(ScheduleError::Rate),
    };
    Ok(SignedDuration::from_secs(number * seconds))
}

const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

impl Cron {
    fn parse(inner: &str) -> Result<Self, ScheduleError> {
        let fields: Vec<&str> = inner.split_whitespace().collect();
        let [minutes, hours, days, months, weekdays, years] = fields.as_slice() else { return Err(ScheduleError::Form) };
        if (*days == "?") == (*weekdays == "?") {
            return Err(ScheduleError::Field("day: exactly one of the two must be ?"));
        }
        let optional = |text: &str, low, high, names: &[&str], field| match text {
            "?" => Ok(None),
            text => set(text, low, high, names, field).map(Some),
        };
        let days = if *days == "L" { Some(BTreeSet::from([0])) } else { optional(days, 1, 31, &[], "day of month")? };
        Ok(Self {
            minutes: set(minutes, 0, 59, &[], "minutes")?,
            hours: set(hours, 0, 23, &[], "hours")?,
            days,
            months: set(months, 1, 12, &MONTHS, "month")?,
            weekdays: optional(weekdays, 1, 7, &WEEKDAYS, "day of week")?,
            years: set(years, 1970, 2199, &[], "year")?,
        })
    }

    fn on(&self, date: Date) -> bool {
        let day =
            |days: &BTreeSet<i16>| days.contains(&date.day().into()) || (days.contains(&0) && date.day() == date.days_in_month());
        let weekday = |days: &BTreeSet<i16>| days.contains(&i16::from(date.weekday().to_sunday_one_offset()));
        self.years.contains(&date.year())
            && self.months.contains(&date.month().into())
            && self.days.as_ref().is_none_or(day)
            && self.weekdays.as_ref().is_none_or(weekday)
    }

    fn next(&self, after: DateTime, zone: &TimeZone) -> Option<Timestamp> {
        let mut date = after.date();
        // The rarest date, a 29th of February on a given weekday, comes within 40 years.
        for _ in 0..366 * 40 {
            if self.on(date) {
                let times = self.hours.iter().flat_map(|hour| self.minutes.iter().map(move |minute| (*hour, *minute)));
                let due = times
                    .filter_map(|(hour, minute)| Some(date.at(i8::try_from(hour).ok()?, i8::try_from(minute).ok()?, 0, 0)))
                    .find(|due| *due > after);
                if let Some(due) = due {
                    return due.to_zoned(zone.clone()).ok().map(|z| z.timestamp());
                }
            }
            date = date.checked_add(1.day()).ok()?;
        }
        None
    }
}

/// `*`, values, names, ranges and steps, separated by commas.
fn set(text: &str, low: i16, high: i16, names: &[&str], field: &'static str) -> Result<BTreeSet<i16>, ScheduleError> {
    let fail = || ScheduleError::Field(field);
    let number = |text: &str| {
        let named =
            names.iter().position(|name| name.eq_ignore_ascii_case(text)).and_then(|i| i16::try_from(i).ok()).map(|i| i + low);
        named.or_else(|| text.parse().ok()).filter(|n| (low..=high).contains(n)).ok_or_else(fail)
    };
    let mut all = BTreeSet::new();
    for part in text.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step.parse::<usize>().ok().filter(|s| *s > 0).ok_or_else(fail)?)),
            None => (part, None),
        };
        let (from, to) = match range.split_once('-') {
            Some((from, to)) => (number(from)?, number(to)?),
            None if range == "*" => (low, high),
            None => (number(range)?, if step.is_some() { high } else { number(range)? }),
        };
        if from > to {
            return Err(fail());
        }
        all.extend((from..=to).step_by(step.unwrap_or(1)));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(expression: &str, zone: &str, after: &str) -> String {
        let schedule = Schedule::parse(expression, zone).unwrap();
        schedule.next(after.parse().unwrap()).unwrap().to_string()
    }

    #[test]
    fn expressions_name_the_next_moment() {
        assert_eq!(next("rate(5 minutes)", "UTC", "2026-01-01T00:00:00Z"), "2026-01-01T00:05:00Z");
        assert_eq!(next("cron(17 3 * * ? *)", "UTC", "2026-01-01T03:17:00Z"), "2026-01-02T03:17:00Z");
        assert_eq!(next("cron(0/15 8-9 ? * MON-FRI *)", "UTC", "2026-01-02T09:50:00Z"), "2026-01-05T08:00:00Z");
        assert_eq!(next("cron(0 12 L * ? *)", "UTC", "2026-02-10T00:00:00Z"), "2026-02-28T12:00:00Z");
        assert_eq!(next("cron(0 12 ? * SUN 2027)", "UTC", "2026-02-10T00:00:00Z"), "2027-01-03T12:00:00Z");
        assert_eq!(next("cron(0 3 * * ? *)", "Europe/Berlin", "2026-07-01T00:00:00Z"), "2026-07-01T01:00:00Z");
        assert_eq!(next("at(2026-05-01T10:00:00)", "UTC", "2026-01-01T00:00:00Z"), "2026-05-01T10:00:00Z");
    }

    #[test]
    fn a_schedule_can_come_faster() {
        let now: Timestamp = "2026-01-01T03:16:00Z".parse().unwrap();
        let wait = |expression: &str, speed| Schedule::parse(expression, "UTC").unwrap().wait(now, speed).unwrap().as_secs();
        assert_eq!(wait("rate(1 hour)", 60), 60);
        assert_eq!((wait("cron(17 3 * * ? *)", 1), wait("cron(17 3 * * ? *)", 60)), (60, 1_440), "a day between two of them");
        assert_eq!(wait("at(2026-01-01T04:16:00)", 60), 3_600);
    }

    #[test]
    fn what_aws_refuses_is_refused() {
        for expression in [
            "rate(1 minutes)",
            "rate(5 minute)",
            "rate(0 minutes)",
            "cron(0 3 * * * *)",
            "cron(60 3 * * ? *)",
            "cron(0 3 * * ?)",
            "hourly",
        ] {
            assert!(Schedule::parse(expression, "UTC").is_err(), "{expression}");
        }
    }
}
