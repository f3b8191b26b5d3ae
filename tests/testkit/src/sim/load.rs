//! How long a contact takes from its webhook to the CRM while many of them come: several pollers for each queue, small batches, and
//! a CRM that allows hardly more calls than are needed.

use std::rc::Rc;

use sync::config::Bucket;
use sync::ports::Lane;

use super::bulk::BATCHES;
use super::policy::config_with;
use super::script::{Author, Form, START_MS, Script};
use super::setup::sources;
use super::{Options, Sim, Violation};

/// New contacts that come in by a form, and what a CRM allows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Load {
    /// Contacts per second, and for how many seconds, one phase after the other.
    pub phases: &'static [(u32, u32)],
    /// Calls per second that Salesforce allows. HubSpot allows what its manifest says: 100 in ten seconds, 5 searches in one.
    pub calls_per_second: f64,
    /// How many pollers each queue has; 5 on AWS.
    pub pollers: usize,
    /// Customers that a source in the bulk lane reports half a minute before the first contact.
    pub bulk: usize,
}

/// How the contacts of one phase were served at one CRM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// The connection.
    pub destination: String,
    /// The phase, from 0.
    pub phase: usize,
    /// Contacts that were written.
    pub written: usize,
    /// Half of them took at most so many milliseconds from the webhook to the write.
    pub p50_ms: i64,
    /// 99 of 100 took at most so many.
    pub p99_ms: i64,
    /// API calls of the whole run.
    pub calls: u64,
}

/// Runs a load in virtual time. Nothing goes wrong.
///
/// # Errors
/// The hub never comes to rest.
pub fn load(load: &Load) -> Result<Vec<Served>, Violation> {
    let mut sim = Sim::new(0, script(load), Options { calm: true, ..Options::default() });
    sim.batches = BATCHES;
    sim.pollers = load.pollers;
    sim.config = Rc::new(config_with(&sources(), |hub| {
        for (name, connection) in &mut hub.connections {
            let search = Bucket { path: "/search".to_owned(), ..Bucket::of("search", 5, 1_000) };
            let burst = load.calls_per_second.max(1.0) as u32;
            let all = Bucket { burst, per_second: load.calls_per_second, ..Bucket::of("all", 1, 1) };
            match name.as_str() {
                "hubspot" => connection.buckets = vec![Bucket::of("account", 100, 10_000), search],
                "salesforce" => connection.buckets = vec![all],
                "stripe" => connection.lane = Lane::Bulk,
                _ => {}
            }
        }
    }));
    sim.until_quiet()?;
    Ok(served(&sim, load))
}

fn script(load: &Load) -> Script {
    let mut author = Author::new(0);
    for n in 0..load.bulk {
        let at_ms = START_MS - 30_000;
        author.customer(&format!("cus_{n}"), &format!("customer{n}@example.com"), "Ada Example", None, at_ms, at_ms);
    }
    let (mut at_ms, mut n) = (START_MS, 0);
    for (per_second, seconds) in load.phases {
        for _ in 0..per_second * seconds {
            let email = format!("person{n}@example.com");
            author.form(&Form { email: &email, first_name: Some("Ada".to_owned()), ..Form::default() }, at_ms, at_ms);
            at_ms += 1_000 / i64::from(*per_second);
            n += 1;
        }
    }
    author.script
}

fn served(sim: &Sim, load: &Load) -> Vec<Served> {
    let mut served = Vec::new();
    for destination in ["hubspot", "salesforce"] {
        let mut begin_ms = START_MS;
        let calls = sim.shared.crms.borrow()[&format!("{destination}.test")].stats().get("calls").copied().unwrap_or(0);
        for (phase, (_, seconds)) in load.phases.iter().enumerate() {
            let end_ms = begin_ms + i64::from(*seconds) * 1_000;
            let of_phase = |at: i64| (begin_ms..end_ms).contains(&at);
            let arrivals = sim.arrivals.iter().filter(|a| a.destination == destination && of_phase(a.received_ms));
            let mut took: Vec<i64> = arrivals.map(|arrival| arrival.took_ms).collect();
            took.sort_unstable();
            let share = |percent: usize| took.get((took.len() * percent).div_ceil(100).saturating_sub(1)).copied().unwrap_or(0);
            let (written, p50_ms, p99_ms) = (took.len(), share(50), share(99));
            served.push(Served { destination: destination.to_owned(), phase, written, p50_ms, p99_ms, calls });
            begin_ms = end_ms;
        }
    }
    served
}
