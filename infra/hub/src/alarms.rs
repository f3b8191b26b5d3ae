//! The alarms of `template.yaml` that follow from the configuration. Each text names the connection, its owner and the page that
//! says what to do.

use canonical::Lane;
use sync::config::Connection;

use crate::config::{Compiled, resource_word};

/// An alarm on one metric of a connection.
struct Alarm<'a> {
    /// The end of its id: `Paused`.
    kind: &'a str,
    text: String,
    metric: &'a str,
    statistic: &'a str,
    period_s: u64,
    periods: u64,
    /// Comparison and threshold.
    breach: (&'a str, &'a str),
    /// What no measurement means.
    missing: &'a str,
}

const SECONDS_PER_HOUR: u64 = 3_600;
/// How long one period of an alarm may be, in seconds.
const LONGEST_PERIOD_S: u64 = 86_400;

const METRIC: &str = include_str!("alarms/metric.yaml");
const ERROR_RATE: &str = include_str!("alarms/error_rate.yaml");
const AGE: &str = include_str!("alarms/age.yaml");

/// The alarms of a connection. `refreshed` tells whether `rotate` renews its access tokens.
pub fn of_connection(name: &str, connection: &Connection, quiet_ms: Option<u64>, refreshed: bool) -> String {
    let who = named(name, connection);
    let mut alarms = Vec::new();
    if connection.source {
        alarms.push(refused(connection.signing_secret.as_deref().unwrap_or("its certificate"), &who));
        alarms.extend(quiet_ms.map(|ms| silent(&who, ms / 1_000)));
    }
    if connection.api_secret.is_some() {
        alarms.extend([paused(name, &who), properties_refused(&who), credentials(name, &who)]);
    }
    if refreshed {
        alarms.push(grant_ending(name, &who));
    }
    let mut text: String = alarms.iter().map(|alarm| render(name, alarm)).collect();
    let errors = format!("More than 0.5 % of the work for {who} failed within 15 minutes. Page: docs/alarms.md#error-rate");
    text += &ERROR_RATE.replace("<Id>", &resource_word(name)).replace("<name>", name).replace("<text>", &quoted(&errors));
    text
}

fn refused<'a>(secret: &str, who: &str) -> Alarm<'a> {
    Alarm {
        kind: "Refused",
        text: format!(
            "Webhooks to {who} are refused with 4xx. The sender signs with another secret than `{secret}`, or is a \
             stranger. Page: docs/alarms.md#refused"
        ),
        metric: "refused",
        statistic: "Sum",
        period_s: 300,
        periods: 1,
        breach: ("GreaterThanThreshold", "0"),
        missing: "notBreaching",
    }
}

fn silent<'a>(who: &str, quiet_s: u64) -> Alarm<'a> {
    // One period where it is short enough, else hours, of which CloudWatch looks back at those of seven days.
    let (period_s, periods) = match quiet_s {
        0..=LONGEST_PERIOD_S => (quiet_s.div_ceil(60) * 60, 1),
        _ => (SECONDS_PER_HOUR, quiet_s.div_ceil(SECONDS_PER_HOUR)),
    };
    let hours = quiet_s / SECONDS_PER_HOUR;
    let time = if hours == 0 { format!("{} minutes", quiet_s / 60) } else { format!("{hours} h") };
    Alarm {
        kind: "Silent",
        text: format!(
            "No webhook of {who} was accepted for {time}, which is longer than its `quiet`. Page: docs/alarms.md#silent"
        ),
        metric: "accepted",
        statistic: "Sum",
        period_s,
        periods,
        breach: ("LessThanThreshold", "1"),
        missing: "breaching",
    }
}

fn paused<'a>(name: &str, who: &str) -> Alarm<'a> {
    Alarm {
        kind: "Paused",
        text: format!(
            "Paused: {who}. The hub neither writes to it nor reads from it, and holds what is for it. `hub status` shows why, and \
             `hub resume {name}` ends the pause. Page: docs/errors/paused.md"
        ),
        metric: "paused",
        statistic: "Maximum",
        period_s: 900,
        periods: 1,
        breach: ("GreaterThanThreshold", "0"),
        missing: "notBreaching",
    }
}

fn properties_refused<'a>(who: &str) -> Alarm<'a> {
    Alarm {
        kind: "PropertiesRefused",
        text: format!(
            "The account refuses properties in every record: {who}. The hub leaves them out, and the rest of each record goes on. \
             `hub status` names them. Page: docs/alarms.md#properties-refused"
        ),
        metric: "properties_refused",
        statistic: "Maximum",
        period_s: 900,
        periods: 1,
        breach: ("GreaterThanThreshold", "0"),
        missing: "notBreaching",
    }
}

fn credentials<'a>(name: &str, who: &str) -> Alarm<'a> {
    Alarm {
        kind: "Credentials",
        text: format!(
            "The credentials of {who} are refused, or no new access token could be got before the old one was over. Run `hub connect \
             {name}`; the hub goes on by itself then. Page: docs/errors/provider-auth.md"
        ),
        metric: "credentials_refused",
        statistic: "Maximum",
        period_s: 900,
        periods: 1,
        breach: ("GreaterThanThreshold", "0"),
        missing: "notBreaching",
    }
}

fn grant_ending<'a>(name: &str, who: &str) -> Alarm<'a> {
    Alarm {
        kind: "GrantEnding",
        text: format!(
            "What a person has granted to {who} ends within 30 days. The alarm comes 30 and 7 days ahead. Run `hub connect {name}` \
             before. Page: docs/alarms.md#grant-ending"
        ),
        metric: "grant_ending",
        statistic: "Maximum",
        period_s: 900,
        periods: 1,
        breach: ("GreaterThanThreshold", "0"),
        missing: "notBreaching",
    }
}

fn render(name: &str, alarm: &Alarm<'_>) -> String {
    METRIC
        .replace("<id>", &format!("{}{}Alarm", resource_word(name), alarm.kind))
        .replace("<name>", name)
        .replace("<metric>", alarm.metric)
        .replace("<statistic>", alarm.statistic)
        .replace("<period>", &alarm.period_s.to_string())
        .replace("<periods>", &alarm.periods.to_string())
        .replace("<comparison>", alarm.breach.0)
        .replace("<threshold>", alarm.breach.1)
        .replace("<missing>", alarm.missing)
        .replace("<text>", &quoted(&alarm.text))
}

/// The alarm on the age of the oldest message of an ingest queue: the shortest `sla` of the sources of its lane counts.
pub fn age_of_ingest(lane: Lane, compiled: &Compiled) -> String {
    let sources: Vec<(&str, &Connection)> =
        compiled.hub.connections.iter().map(|(n, c)| (n.as_str(), c)).filter(|(_, c)| c.source && c.lane == lane).collect();
    let shortest = sources.iter().filter_map(|(name, _)| compiled.slas.get(*name)).min();
    let (queue, id) = match lane {
        Lane::Urgent => ("ingest-urgent", "IngestUrgent"),
        Lane::Bulk => ("ingest-bulk", "IngestBulk"),
    };
    let who: Vec<String> = sources.iter().map(|(name, connection)| named(name, connection)).collect();
    let who = if who.is_empty() { "no webhooks, but what sweeps read".to_owned() } else { who.join("; ") };
    let text = format!(
        "The oldest message of {queue} waits too long. Its consumer is slow, failing or throttled. It carries {who}. Page: \
         docs/alarms.md#age"
    );
    AGE.replace("<Id>", id)
        .replace("<threshold>", &shortest.map_or_else(|| "!Ref OldestMessageSeconds".to_owned(), |ms| (ms / 1_000).to_string()))
        .replace("<text>", &quoted(&bounded(&text)))
}

/// The text of the alarm on parked dispatches to a destination.
pub fn parked_text(name: &str, connection: &Connection) -> String {
    quoted(&format!(
        "Changes for {} are parked in upsert-{name}-dlq. `hub dlq list` names their errors, and `hub dlq redrive` sends them back. \
         Page: docs/errors/README.md",
        named(name, connection)
    ))
}

/// The text of the alarm on the age of the oldest dispatch to a destination.
pub fn late_text(name: &str, connection: &Connection) -> String {
    quoted(&format!(
        "The oldest change for {} waits too long in upsert-{name}. Its consumer is slow, failing or throttled. Page: \
         docs/alarms.md#age",
        named(name, connection)
    ))
}

/// A connection with its owner.
fn named(name: &str, connection: &Connection) -> String {
    match connection.owner.as_str() {
        "" => format!("connection {name} (nobody owns it)"),
        owner => format!("connection {name} (owner: {owner})"),
    }
}

/// The longest description of an alarm has 1,024 characters.
fn bounded(text: &str) -> String {
    match text.char_indices().nth(1_000) {
        Some((at, _)) => format!("{}… Page: docs/alarms.md#age", &text[..at - 30]),
        None => text.to_owned(),
    }
}

/// A text as a YAML scalar: on one line, in single quotes.
fn quoted(text: &str) -> String {
    let line: String = text.chars().filter(|c| !c.is_control()).collect();
    format!("'{}'", line.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_stays_one_yaml_scalar() {
        assert_eq!(quoted("the owner's: \"a\"\n#b"), "'the owner''s: \"a\"#b'");
        assert_eq!(bounded("short"), "short");
        assert!(bounded(&"é".repeat(2_000)).chars().count() < 1_024);
    }

    #[test]
    fn a_silence_fits_the_periods_of_an_alarm() {
        let periods = |quiet_s| {
            let alarm = silent("x", quiet_s);
            (alarm.period_s, alarm.periods)
        };
        assert_eq!(periods(300), (300, 1));
        assert_eq!(periods(86_400), (86_400, 1));
        assert_eq!(periods(3 * 86_400), (3_600, 72));
        assert_eq!(periods(7 * 86_400), (3_600, 168));
    }
}
