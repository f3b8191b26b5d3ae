//! The page that explains every outcome of an event, and every column of the tables that the commands print.

use canonical::Outcome;

use super::markdown::{GENERATED, Table};

/// The page.
pub fn page() -> String {
    let mut outcomes = Table::new(&["outcome", "what happened", "what to do"]);
    for outcome in Outcome::ALL {
        let (meaning, action) = explain(*outcome);
        outcomes.marked(&[outcome.name().replace('_', " "), meaning.to_owned(), action.to_owned()]);
    }
    let mut text = format!("# Outcomes and columns\n\n{GENERATED}{INTRODUCTION}{}", outcomes.end());
    for (title, columns) in TABLES {
        let mut table = Table::new(&["column", "meaning"]);
        columns.iter().for_each(|(name, meaning)| table.marked(&[(*name).to_owned(), (*meaning).to_owned()]));
        text += &format!("## {title}\n\n{}", table.end());
    }
    text.trim_end().to_owned() + "\n"
}

const INTRODUCTION: &str = "\
An event that the hub answered with 2xx ends with exactly one outcome, and `cargo hub status` counts them for each connection. One webhook \
may hold several events. So `received` is the sum of all outcomes.

## Outcomes

";

/// What an outcome means, and what a person does about it.
const fn explain(outcome: Outcome) -> (&'static str, &'static str) {
    match outcome {
        Outcome::Applied => ("A golden record changed. The hub dispatches it to the destinations.", "nothing"),
        Outcome::Unchanged => ("The event was new, and the hub knew its values already.", "nothing"),
        Outcome::Duplicate => ("The provider sent an event again that the hub had handled before.", "nothing"),
        Outcome::Superseded => ("The hub already had a newer value of every field that the event holds.", "nothing"),
        Outcome::Echo => ("The event only reports what the hub itself wrote there.", "nothing"),
        Outcome::Ignored => (
            "Nothing is mapped for this event, or it is a test. Events that wait for a later use, such as Slack's, are ignored as well, and \
             retained as they came.",
            "If you need it: add a mapping. `cargo hub map --provider P FILE` shows what the hub reads.",
        ),
        Outcome::Quarantined => (
            "The event was applied, except for a field whose value has no canonical form. The hub keeps the event, sealed.",
            "`cargo hub quarantine list` shows field, path and reason. Correct the value at its source, or the mapping, and then `drain`.",
        ),
        Outcome::Held => (
            "The event was stored, and nothing identifies its person or company yet. No destination hears of it before a key arrives.",
            "nothing; or send an e-mail address, a telephone number or a domain with it ([identity](../configuration.md#identityobject))",
        ),
        Outcome::Dead => (
            "The hub could not handle the event, and parked it in a dead-letter queue with its reason.",
            "`cargo hub dlq list` shows the reason and its page in docs/errors. Solve the cause, then `cargo hub dlq redrive`.",
        ),
        Outcome::InFlight => (
            "The event waits for a read that it requested: it is thin, and the hub reads the record at the provider.",
            "Wait. If it stays, look for a pause of the connection and at `cargo hub dlq list`.",
        ),
    }
}

/// A column's heading and its meaning.
type Column = (&'static str, &'static str);

/// Every table of the commands with its columns, the outcomes aside.
const TABLES: &[(&str, &[Column])] = &[
    (
        "`hub status`, and the events of `hub demo`",
        &[
            ("connection", "The connection, as `hub.toml` names it."),
            (
                "received",
                "Events that the hub answered with 2xx: the sum of the outcomes. A destination that sends no webhooks has none.",
            ),
            ("waiting", "Messages of a queue that a function can take now."),
            ("in work or retried later", "Messages that a function works on, or that wait for their next attempt."),
            ("parked", "Messages in the dead-letter queue of a queue."),
            ("rejected", "Only in the demo: forged or broken requests that the hub refused, as it must. They are not events."),
        ],
    ),
    (
        "The CRM objects of `hub demo`",
        &[
            ("CRM", "The connection that is written to."),
            ("created", "Objects that the hub created there."),
            ("updated", "Writes that changed an object."),
            ("unchanged", "Writes that changed nothing. There should be none: the hub writes differences only."),
            ("failed rows", "Rows of a batch that the CRM refused."),
            ("API calls", "All calls, reads and searches included."),
            (
                "calls per 1,000 changes",
                "API calls for 1,000 created or updated objects. Changes that arrive together share calls.",
            ),
        ],
    ),
    (
        "The times of `hub demo`",
        &[
            ("writes", "Writes whose webhook is known."),
            ("p50 ms", "Half of the writes came sooner after their webhook than this, in milliseconds."),
            ("p99 ms", "All but one in a hundred came sooner than this. It includes the outage."),
        ],
    ),
    (
        "The reconciliations of `hub demo`",
        &[
            ("records read", "Records that the job read at the CRMs."),
            ("objects missing", "Linked objects that no longer exist there."),
            ("records dispatched again", "Golden records that differed from their object, and were dispatched again."),
        ],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operate::status::wide_table;

    #[test]
    fn the_page_explains_every_column_of_status() {
        let table = wide_table(&[], ("rejected", &std::collections::BTreeMap::new()));
        let page = page();
        let headings = table.lines().next().unwrap_or_default().split("  ").map(str::trim).filter(|heading| !heading.is_empty());
        for heading in headings {
            assert!(page.contains(&format!("| {heading} |")), "`{heading}` is not explained");
        }
    }
}
