//! What the demo prints: a progress line while it runs, and the report at its end.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use canonical::{Outcome, QueueName};
use serde_json::Value;

use super::providers::Script;
use super::send::Sent;
use crate::latencies::latency_table;
use crate::operate::status::{Account, wide_table};
use crate::out::ProgressLine;
use crate::text::table;

/// Width of the progress bar.
const BAR: usize = 24;

/// The progress of the demo: a bar on a terminal, else a line for each phase.
pub struct Progress {
    line: ProgressLine,
    phase: String,
}

impl Progress {
    /// Nothing is shown yet.
    pub fn new() -> Progress {
        Progress { line: ProgressLine::new(), phase: String::new() }
    }

    /// Shows a phase, the share of the day that is done, and the messages in queues.
    pub fn show(&mut self, phase: &str, done: usize, total: usize, queued: &[(QueueName, usize)]) {
        if !self.line.is_visible() {
            if self.phase != phase {
                eprintln!("{phase} …");
                phase.clone_into(&mut self.phase);
            }
            return;
        }
        let filled = (done * BAR).checked_div(total).unwrap_or(BAR).min(BAR);
        let bar: String = (0..BAR).map(|at| if at < filled { '█' } else { '░' }).collect();
        let waiting: usize = queued.iter().map(|(_, count)| count).sum();
        self.line.show(format_args!("{bar} {done}/{total}  {phase}, {waiting} messages in queues"));
    }

    /// Removes the bar.
    pub fn clear(&self) {
        self.line.clear();
    }
}

/// The result of a day.
pub struct Report {
    /// The events by connection, from the journal.
    pub accounts: Vec<Account>,
    /// Parked messages by code.
    pub parked: BTreeMap<String, usize>,
    /// The senders' counts by connection.
    pub sent: BTreeMap<String, Sent>,
    /// The providers' scripts, which have the expected results.
    pub scripts: Vec<Script>,
    /// Faults that were noticed during the day.
    pub faults: Vec<String>,
    /// The counters of the CRMs.
    pub crms: BTreeMap<String, BTreeMap<String, u64>>,
    /// Milliseconds from webhook to CRM write, by CRM.
    pub latencies: BTreeMap<String, Vec<f64>>,
    /// Differences between the records in the CRMs and the expected ones.
    pub differences: Vec<String>,
    /// The number of bodies that cannot be read and therefore must be parked.
    pub broken: usize,
    /// How long the day took, in seconds.
    pub seconds: f64,
    /// The reports of the reconciliations by job.
    pub jobs: Vec<(&'static str, Value)>,
    /// The report of the last reconciliation, which must find nothing to do.
    pub last: Value,
    /// The number of rows that the last reconciliation wrote. Nothing had changed, so it must be 0.
    pub needless: u64,
    /// What the import at the end did: records by result.
    pub imported: BTreeMap<String, u64>,
    /// Killed processes by function.
    pub kills: BTreeMap<String, usize>,
    /// Failed invocations by function.
    pub failed_invocations: BTreeMap<String, u64>,
}

impl Report {
    /// Whether a process was killed while it ran. A killed function may have enqueued a webhook without answering it, so that the
    /// sender repeats it.
    fn killed(&self) -> bool {
        self.kills.values().any(|count| *count > 0)
    }

    /// Everything that differs from the expected result.
    fn all_faults(&self) -> Vec<String> {
        let mut faults = self.differences.clone();
        faults.extend(self.faults.iter().cloned());
        self.accounts.iter().for_each(|account| faults.extend(self.account_faults(account)));
        faults.extend(self.parked_faults());
        if self.needless > 0 {
            faults.push(format!("the last reconciliation wrote {} rows although nothing had changed", self.needless));
        }
        for count in ["missing", "dispatched"] {
            if self.last[count] != 0 {
                faults.push(format!("the last reconciliation still found {} {count}", self.last[count]));
            }
        }
        faults
    }

    fn account_faults(&self, account: &Account) -> Vec<String> {
        let mut faults = Vec::new();
        let name = &account.connection;
        let in_flight = account.count(Outcome::InFlight);
        if in_flight > 0 {
            faults.push(format!("{name}: {in_flight} events never reached an outcome"));
        }
        if let Some(script) = self.scripts.iter().find(|script| script.connection == *name) {
            faults.extend(outcome_faults(script, account, self.killed()));
            return faults;
        }
        // HubSpot's stand-in delivers its own webhooks, which the senders do not count.
        let Some(sent) = self.sent.get(name).filter(|_| name != "hubspot") else { return faults };
        let received = account.received();
        if received < sent.accepted || (!self.killed() && received > sent.accepted) {
            faults
                .push(format!("{name}: {} deliveries were answered with 2xx, but {received} are in the journal", sent.accepted));
        }
        if sent.refused > 0 && !self.killed() {
            faults.push(format!("{name}: {} valid webhooks were refused", sent.refused));
        }
        faults
    }

    fn parked_faults(&self) -> Vec<String> {
        let mut expected = BTreeMap::from([("malformed-body".to_owned(), self.broken)]);
        for (code, count) in self.scripts.iter().flat_map(|script| &script.parked) {
            *expected.entry(code.clone()).or_default() += count;
        }
        let mut faults = Vec::new();
        for code in expected.keys().chain(self.parked.keys()).collect::<BTreeSet<_>>() {
            let count = |codes: &BTreeMap<String, usize>| codes.get(code).copied().unwrap_or(0);
            let (found, wanted) = (count(&self.parked), count(&expected));
            if found < wanted || (found > wanted && !(self.killed() && wanted > 0)) {
                faults.push(format!("{found} messages are parked as {code}, expected {wanted}"));
            }
        }
        faults
    }

    /// Whether the result is the expected one.
    pub fn is_as_expected(&self) -> bool {
        self.all_faults().is_empty()
    }

    /// The report as text.
    pub fn render(&self) -> String {
        let rejected = self.sent.iter().map(|(name, sent)| (name.clone(), sent.rejected)).collect();
        let mut text = format!("\nevents per connection\n{}\n", wide_table(&self.accounts, ("rejected", &rejected)));
        text += &format!("CRM objects\n{}\n", self.crm_table());
        text += &format!("webhook to CRM write, including the outage\n{}\n", latency_table(&self.latencies));
        for (job, report) in &self.jobs {
            let _ = writeln!(
                text,
                "{job}: {} records read, {} objects missing, {} records dispatched again",
                report["read"], report["missing"], report["dispatched"]
            );
        }
        let _ = writeln!(text, "import of what Salesforce held before, as planned: {}", counts(&self.imported));
        for (code, count) in &self.parked {
            let _ = writeln!(text, "parked: {count} × {code} (docs/errors/{code}.md)");
        }
        let repeated: u64 = self.sent.values().map(|sent| sent.repeated).sum();
        let _ = writeln!(text, "the day took {:.1} s; senders repeated {repeated} deliveries", self.seconds);
        if self.killed() {
            let _ = writeln!(text, "killed processes: {}", counts(&self.kills));
            let _ = writeln!(text, "failed invocations: {}", counts(&self.failed_invocations));
        }
        let faults = self.all_faults();
        if faults.is_empty() {
            text +=
                "\nboth CRMs hold exactly the expected records (infra/hub/demo/expected.toml, shared/providers/*/demo.toml)\n";
        } else {
            let _ = writeln!(text, "\nfaults: {}", faults.len());
            faults.iter().for_each(|fault| _ = writeln!(text, "  {fault}"));
        }
        text
    }

    fn crm_table(&self) -> String {
        let heading = ["CRM", "created", "updated", "unchanged", "failed rows", "API calls", "calls per 1,000 changes"];
        let mut rows = vec![heading.map(str::to_owned).to_vec()];
        for (name, stats) in &self.crms {
            let count = |name: &str| stats.get(name).copied().unwrap_or(0);
            let changes = count("rows.created") + count("rows.updated");
            let per_thousand = (count("calls") * 1_000).checked_div(changes).unwrap_or(0);
            let mut row = vec![name.clone()];
            let counts = ["rows.created", "rows.updated", "rows.unchanged", "rows.failed", "calls"].map(count);
            row.extend(counts.iter().chain([&per_thousand]).map(u64::to_string));
            rows.push(row);
        }
        table(&rows)
    }
}

fn counts<N: ToString>(counts: &BTreeMap<String, N>) -> String {
    let all: Vec<String> = counts.iter().map(|(name, count)| format!("{name} {}", count.to_string())).collect();
    all.join(", ")
}

/// Outcomes that differ from the script's. Senders repeat what a killed function did not answer; the repetitions have further
/// outcomes, but none of them is `dead`.
fn outcome_faults(script: &Script, account: &Account, killed: bool) -> Vec<String> {
    let expected = |outcome: Outcome| script.outcomes.get(outcome.name()).copied().unwrap_or(0);
    let differs = |(outcome, found): &&(Outcome, u64)| (!killed || *outcome == Outcome::Dead) && *found != expected(*outcome);
    let line = |(outcome, found): &(Outcome, u64)| {
        let (name, outcome, expected) = (&script.connection, outcome.name(), expected(*outcome));
        format!("{name}: {found} events have the outcome {outcome}, expected {expected}")
    };
    account.outcomes.iter().filter(differs).map(line).collect()
}
