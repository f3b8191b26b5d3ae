//! How many calls an import costs: many records that are new or changed at once, batches as full as the queues give them.

use std::collections::BTreeMap;

use super::script::{Author, Form, START_MS, Script};
use super::{Options, Sim, Violation};

/// What a wave of changed records cost at one CRM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wave {
    /// What happened to the records.
    pub what: &'static str,
    /// The CRM.
    pub crm: String,
    /// Records created or updated there.
    pub records: u64,
    /// API calls made for it, reads included.
    pub calls: u64,
}

impl Wave {
    /// Calls per 1,000 changed records.
    pub fn per_thousand(&self) -> u64 {
        (self.calls * 1_000).div_ceil(self.records.max(1))
    }
}

/// Messages per batch of the upsert queues, as in `template.yaml`.
pub(super) const BATCHES: &[(&str, usize)] =
    &[("ingest-urgent", 10), ("ingest-bulk", 100), ("fetch", 100), ("upsert-hubspot", 100), ("upsert-salesforce", 200)];

/// When the second wave begins, in milliseconds. The first one is finished by then.
const SECOND_WAVE_MS: i64 = 3_600_000;

/// Sends this many people, then changes the first name of each. Nothing goes wrong.
///
/// # Errors
/// The hub never comes to rest.
pub fn bulk(people: usize) -> Result<Vec<Wave>, Violation> {
    let options = Options { calm: true, ..Options::default() };
    let mut sim = Sim::new(0, script(people), options);
    sim.batches = BATCHES;
    let (later, first) = std::mem::take(&mut sim.trips).into_iter().partition(|(at, _)| *at >= START_MS + SECOND_WAVE_MS);
    let mut waves = Vec::new();
    let mut before = counts(&sim);
    for (what, trips) in [("new", first), ("changed", later)] {
        sim.trips = trips;
        // All of them are waiting before the first is written.
        sim.hold_upserts = true;
        sim.until_quiet()?;
        sim.hold_upserts = false;
        sim.until_quiet()?;
        let after = counts(&sim);
        for (crm, (records, calls)) in &after {
            let (records_before, calls_before) = before[crm];
            waves.push(Wave { what, crm: crm.clone(), records: records - records_before, calls: calls - calls_before });
        }
        before = after;
    }
    Ok(waves)
}

fn script(people: usize) -> Script {
    let mut author = Author::new(0);
    for (wave, first_name) in [(0, "Ada"), (SECOND_WAVE_MS, "Augusta")] {
        for n in 0..people {
            let at = START_MS + wave + i64::try_from(n).unwrap_or(0) * 10;
            let email = format!("person{n}@example.com");
            author.form(&Form { email: &email, first_name: Some(first_name.to_owned()), ..Form::default() }, at, at);
        }
    }
    author.script
}

/// Records written and calls taken by each CRM.
fn counts(sim: &Sim) -> BTreeMap<String, (u64, u64)> {
    let crms = sim.shared.crms.borrow();
    let count = |stats: &BTreeMap<String, u64>, names: &[&str]| names.iter().filter_map(|n| stats.get(*n)).sum();
    crms.iter()
        .map(|(host, crm)| {
            let stats = crm.stats();
            (host.clone(), (count(&stats, &["rows.created", "rows.updated"]), count(&stats, &["calls"])))
        })
        .collect()
}
