//! What the demo shows: a line while it runs, and the account at its end.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{IsTerminal, Write};

use canonical::Outcome;
use serde_json::Value;

use super::providers::Part;
use super::send::Seen;
use crate::operate::status::{Account, render_with};
use crate::operate::text::table;

/// Width of the bar.
const BAR: usize = 24;

/// The line that tells how far it is. Without a terminal it tells phases only.
pub struct Progress {
    terminal: bool,
    phase: String,
}

impl Progress {
    /// Nothing shown yet.
    pub fn new() -> Progress {
        Progress { terminal: std::io::stderr().is_terminal(), phase: String::new() }
    }

    /// Shows a phase, what is done of it and what is on its way.
    pub fn show(&mut self, phase: &str, done: usize, total: usize, open: &[(String, usize)]) {
        if !self.terminal {
            if self.phase != phase {
                eprintln!("{phase} …");
                phase.clone_into(&mut self.phase);
            }
            return;
        }
        let filled = (done * BAR).checked_div(total).unwrap_or(BAR).min(BAR);
        let bar: String = (0..BAR).map(|at| if at < filled { '█' } else { '░' }).collect();
        let waiting: usize = open.iter().map(|(_, count)| count).sum();
        eprint!("\r\u{1b}[K{bar} {done}/{total}  {phase}, {waiting} messages in queues");
        let _ = std::io::stderr().flush();
    }

    /// Takes the line away.
    pub fn clear(&self) {
        if self.terminal {
            eprint!("\r\u{1b}[K");
        }
    }
}

/// The account of a day.
pub struct Report {
    /// What the journal says, by connection.
    pub accounts: Vec<Account>,
    /// Parked messages by reason.
    pub parked: BTreeMap<String, usize>,
    /// What the senders saw.
    pub seen: BTreeMap<String, Seen>,
    /// What the providers' own files expect.
    pub parts: Vec<Part>,
    /// Answers that were not what they had to be.
    pub wrong: Vec<String>,
    /// What the CRMs counted.
    pub crms: BTreeMap<String, BTreeMap<String, u64>>,
    /// Milliseconds from webhook to CRM write.
    pub latencies: BTreeMap<String, Vec<f64>>,
    /// What is not in the CRMs as it must be.
    pub differences: Vec<String>,
    /// Bodies that cannot be read and so have to be parked.
    pub broken: usize,
    /// How long the day took.
    pub seconds: f64,
    /// What the reconciling jobs said.
    pub jobs: Vec<(&'static str, Value)>,
    /// What the last one said, after which nothing should be left to do.
    pub last: Value,
    /// Rows that it led to, although nothing had changed.
    pub needless: u64,
    /// Killed processes by function.
    pub kills: BTreeMap<String, usize>,
    /// Failed invocations by function.
    pub restarts: BTreeMap<String, u64>,
}

impl Report {
    /// Everything that is not as it must be.
    fn faults(&self) -> Vec<String> {
        let mut faults = self.differences.clone();
        faults.extend(self.wrong.iter().cloned());
        let killed = self.kills.values().any(|count| *count > 0);
        for account in &self.accounts {
            let count = |wanted: Outcome| account.outcomes.iter().find(|(o, _)| *o == wanted).map_or(0, |(_, n)| *n);
            let name = &account.connection;
            if count(Outcome::InFlight) > 0 {
                faults.push(format!("{name}: {} events never came to an end", count(Outcome::InFlight)));
            }
            // A function that dies after it enqueued and before it answered has the sender send again.
            if let Some(part) = self.parts.iter().find(|part| part.connection == *name) {
                faults.extend(part_faults(part, account, killed));
                continue;
            }
            let Some(seen) = self.seen.get(name).filter(|_| name != "hubspot") else { continue };
            let received = account.received();
            if received < seen.accepted || (!killed && received > seen.accepted) {
                faults.push(format!("{name}: {} deliveries were answered 2xx, {received} are accounted for", seen.accepted));
            }
            if seen.refused > 0 && !killed {
                faults.push(format!("{name}: {} valid webhooks were refused", seen.refused));
            }
        }
        let mut parked = BTreeMap::from([("malformed-body".to_owned(), self.broken)]);
        self.parts.iter().flat_map(|p| &p.parked).for_each(|(code, count)| *parked.entry(code.clone()).or_default() += count);
        for code in parked.keys().chain(self.parked.keys()).collect::<BTreeSet<_>>() {
            let count = |codes: &BTreeMap<String, usize>| codes.get(code).copied().unwrap_or(0);
            let (found, wanted) = (count(&self.parked), count(&parked));
            if found < wanted || (found > wanted && !(killed && wanted > 0)) {
                faults.push(format!("{found} messages are parked as {code}, not {wanted}"));
            }
        }
        if self.needless > 0 {
            faults.push(format!("the last reconciliation wrote {} rows although nothing had changed", self.needless));
        }
        for what in ["missing", "dispatched"] {
            if self.last[what] != 0 {
                faults.push(format!("the last reconciliation still found {} {what}", self.last[what]));
            }
        }
        faults
    }

    /// True when everything is as it must be.
    pub fn sound(&self) -> bool {
        self.faults().is_empty()
    }

    /// The account in words and tables.
    pub fn render(&self) -> String {
        let rejected = self.seen.iter().map(|(name, seen)| (name.clone(), seen.rejected)).collect();
        let mut text = format!("\nevents per connection\n{}\n", render_with(&self.accounts, Some(("rejected", &rejected))));
        text += &format!("CRM objects\n{}\n", self.crm_table());
        text += &format!("webhook to CRM write, the outage included\n{}\n", self.latency_table());
        for (job, said) in &self.jobs {
            let _ = writeln!(
                text,
                "{job}: {} records read, {} objects missing, {} records dispatched again",
                said["read"], said["missing"], said["dispatched"]
            );
        }
        for (code, count) in &self.parked {
            let _ = writeln!(text, "parked: {count} × {code} (docs/errors/{code}.md)");
        }
        let again: u64 = self.seen.values().map(|seen| seen.again).sum();
        let _ = writeln!(text, "the day took {:.1} s; senders tried again {again} times", self.seconds);
        if self.kills.values().any(|count| *count > 0) {
            let one = |(name, count): (&String, &usize)| format!("{name} {count}");
            let kills: Vec<String> = self.kills.iter().map(one).collect();
            let failed: Vec<String> = self.restarts.iter().map(|(name, count)| format!("{name} {count}")).collect();
            let _ = writeln!(text, "killed processes: {}\nfailed invocations: {}", kills.join(", "), failed.join(", "));
        }
        let faults = self.faults();
        if faults.is_empty() {
            text += "\nboth CRMs hold exactly what they must (infra/hub/demo/expected.toml, shared/providers/*/demo.toml)\n";
        } else {
            let _ = writeln!(text, "\n{} things are not as they must be:", faults.len());
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

    fn latency_table(&self) -> String {
        let mut rows = vec![["CRM", "writes", "p50 ms", "p99 ms"].map(str::to_owned).to_vec()];
        for (name, values) in &self.latencies {
            let mut sorted = values.clone();
            sorted.sort_by(f64::total_cmp);
            let at = |percent: usize| sorted.get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1)));
            let show = |percent| at(percent).map_or_else(String::new, |ms| format!("{ms:.0}"));
            rows.push(vec![name.clone(), sorted.len().to_string(), show(50), show(99)]);
        }
        table(&rows)
    }
}

/// Outcomes that are not those of the provider's file. Senders that send again, because a function was killed before it answered,
/// add repetitions, which never end as dead.
fn part_faults(part: &Part, account: &Account, killed: bool) -> Vec<String> {
    let wanted = |outcome: Outcome| part.outcomes.get(outcome.name()).copied().unwrap_or(0);
    let differs = |(outcome, found): &&(Outcome, u64)| {
        if killed { *outcome == Outcome::Dead && *found != wanted(*outcome) } else { *found != wanted(*outcome) }
    };
    let wrong = account.outcomes.iter().filter(differs);
    wrong.map(|(o, found)| format!("{}: {found} events ended as {}, not {}", part.connection, o.name(), wanted(*o))).collect()
}
