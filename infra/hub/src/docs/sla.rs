//! How fast webhooks must be answered and events handled, and which alarms watch it.

use canonical::Lane;

use super::english::code;
use super::facts::{Facts, Folder};
use super::markdown::{GENERATED, Table};
use super::phrases::{duration, lane, roles, with_comment};
use crate::config::resource_word;

/// The page.
pub fn page(facts: &Facts<'_>) -> String {
    let mut text = format!("# Event deadlines\n\n{GENERATED}{INTRODUCTION}");
    text += &connections(facts);
    text += &retries(facts);
    text += &providers(facts);
    text.truncate(text.trim_end().len());
    text + "\n"
}

const INTRODUCTION: &str = "\
This page shows how fast a provider wants an answer, which service level (SLA) the owner of a connection was promised, and which alarms \
report that it is missed. The alarms are defined in `template.yaml`; [error codes](../errors/README.md) says what to do about them.

";

fn connections(facts: &Facts<'_>) -> String {
    let columns =
        ["connection", "roles", "owner", "SLA", "lane", "answer", "provider wants it within", "provider retries for", "alarms"];
    let mut table = Table::new(&columns);
    for (name, connection) in &facts.compiled.hub.connections {
        let answer = connection.source.then(|| facts.folder(&connection.provider)).flatten().map(answer);
        let [status, deadline, again] = answer.unwrap_or_default();
        let mut alarms = Vec::new();
        if connection.source {
            let queue = match connection.lane {
                Lane::Urgent => "IngestUrgent",
                Lane::Bulk => "IngestBulk",
            };
            alarms.extend(alarms_of(facts.template, queue));
        }
        alarms.extend(alarms_on(facts.template, &resource_word(name)));
        if connection.destination {
            alarms.extend(alarms_of(facts.template, &format!("Upsert{}", resource_word(name))));
        }
        table.row(&[
            code(name),
            roles(connection),
            connection.owner.clone(),
            facts
                .compiled
                .slas
                .get(name.as_str())
                .map(|ms| format!("{} for the oldest message", duration(*ms)))
                .unwrap_or_default(),
            lane(connection.lane).to_owned(),
            status,
            deadline,
            again,
            alarms.join("; "),
        ]);
    }
    format!("## Connections\n\n{}", table.end())
}

fn retries(facts: &Facts<'_>) -> String {
    let hub = &facts.compiled.hub;
    let waits: Vec<String> = hub.retry.schedule_s.iter().map(|s| duration(u64::from(*s) * 1_000)).collect();
    format!(
        "A message that fails is retried after {} (plus up to {} % of jitter) and then parked with its reason. The hub recognises a repeated \
         event for {} days.\n\n",
        super::english::listing(&waits, "and"),
        hub.retry.jitter_percent,
        hub.journal_days
    )
}

fn providers(facts: &Facts<'_>) -> String {
    let mut table = Table::new(&["provider", "lane", "answer", "wants it within", "retries for"]);
    for folder in &facts.folders {
        let [status, deadline, again] = answer(folder);
        let lane = lane(folder.provider.manifest().provider.lane);
        table.row(&[folder.title(), lane, &status, &deadline, &again]);
    }
    format!("## Providers\n\n{}", table.end())
}

/// The status of the answer, its deadline, and how long the provider retries.
fn answer(folder: &Folder) -> [String; 3] {
    let answer = &folder.provider.manifest().answer;
    let comments = folder.comments("manifest.toml");
    let body = if answer.body.is_empty() { String::new() } else { format!(" with {}", answer.media.name()) };
    [
        with_comment(format!("{}{body}", answer.status), &comments.of_key("status")),
        with_comment(answer.deadline_ms.map_or_else(|| "not known".to_owned(), duration), &comments.of_key("deadline_ms")),
        with_comment(
            answer.retries_hours.map_or_else(|| "not known".to_owned(), |hours| format!("{hours} h")),
            &comments.of_key("retries_hours"),
        ),
    ]
}

/// The alarms of a queue with their thresholds. `queue` is the queue's name in the ids of the template.
fn alarms_of(template: &str, queue: &str) -> Vec<String> {
    let age =
        threshold(template, &format!("{queue}AgeAlarm")).map(|t| format!("`{queue}AgeAlarm`: a message waits longer than {t}"));
    let dlq = threshold(template, &format!("{queue}DlqAlarm")).map(|_| format!("`{queue}DlqAlarm`: a message is parked"));
    age.into_iter().chain(dlq).collect()
}

/// The alarms on a connection itself. `id` is the connection's name in the ids of the template.
fn alarms_on(template: &str, id: &str) -> Vec<String> {
    let alarms = [
        ("Refused", "webhooks are refused"),
        ("Silent", "it sends no webhooks"),
        ("Paused", "it is paused"),
        ("ErrorRate", "more than 0.5 % of the work fails"),
    ];
    let there = |kind: &str| property(template, &format!("{id}{kind}Alarm"), "AlarmDescription").is_some();
    alarms.iter().filter(|(kind, _)| there(kind)).map(|(kind, what)| format!("`{id}{kind}Alarm`: {what}")).collect()
}

/// The threshold of an alarm in the template, as a duration if it is a number or a parameter.
fn threshold(template: &str, alarm: &str) -> Option<String> {
    let value = property(template, alarm, "Threshold")?;
    match value.strip_prefix("!Ref ") {
        None => Some(value.parse::<u64>().map_or_else(|_| value.to_owned(), |s| duration(s * 1_000))),
        Some(parameter) => {
            let default = property(template, parameter, "Default")?.parse::<u64>().ok()?;
            Some(format!("`{parameter}` ({} by default)", duration(default * 1_000)))
        }
    }
}

/// A property of a resource or parameter, read from the lines of the template.
fn property<'t>(template: &'t str, resource: &str, name: &str) -> Option<&'t str> {
    let mut lines = template.lines().skip_while(|line| line.trim_end() != format!("  {resource}:")).skip(1);
    let inside = lines.by_ref().take_while(|line| line.is_empty() || line.starts_with("    "));
    let mut values = inside.filter_map(|line| line.trim().strip_prefix(name)?.strip_prefix(": "));
    values.next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_read_from_the_template() {
        let text = "Parameters:\n  Oldest:\n    Default: 300\n  Other:\n    Default: 1\nResources:\n  AAgeAlarm:\n    Properties:\n      \
                    Threshold: !Ref Oldest\n  BAgeAlarm:\n    Properties:\n      Threshold: 600\n";
        assert_eq!(threshold(text, "AAgeAlarm").as_deref(), Some("`Oldest` (5 min by default)"));
        assert_eq!(alarms_of(text, "B"), ["`BAgeAlarm`: a message waits longer than 10 min"]);
        assert_eq!(threshold(text, "C"), None);
    }
}
