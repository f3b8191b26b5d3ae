//! A CRM that allows hardly more calls than are needed, or far fewer: nothing falls behind.

use testkit::sim::{Load, Served};

/// As many as AWS begins with.
const POLLERS: usize = 5;
/// Calls of Salesforce for ten contacts that come one by one within a second: a look-up, a write, a read of what was written.
const NEED: f64 = 30.0;

fn serve(phases: &'static [(u32, u32)], calls_per_second: f64, bulk: usize) -> Vec<Served> {
    let load = Load { phases, calls_per_second, pollers: POLLERS, bulk };
    let served = testkit::sim::load(&load).unwrap_or_else(|violation| panic!("{violation}"));
    for phase in &served {
        println!("{calls_per_second} calls a second: {phase:?}");
    }
    for phase in at(&served, "salesforce") {
        let (per_second, seconds) = phases[phase.phase];
        // Some of the first and the last ones count in the phase beside.
        assert!(phase.written * 100 >= (per_second * seconds) as usize * 99, "{phase:?}");
    }
    served
}

fn at<'s>(served: &'s [Served], destination: &str) -> Vec<&'s Served> {
    served.iter().filter(|phase| phase.destination == destination).collect()
}

#[test]
fn ten_contacts_a_second_take_a_second_at_a_limit_just_above_the_need() {
    let served = serve(&[(10, 60)], NEED * 1.05, 0);
    for phase in at(&served, "salesforce") {
        assert!(phase.p99_ms <= 1_000, "{phase:?}");
    }
}

#[test]
fn a_limit_far_below_the_need_of_single_contacts_makes_batches_and_no_backlog() {
    let served = serve(&[(10, 60), (10, 60)], NEED / 6.0, 0);
    let salesforce = at(&served, "salesforce");
    for phase in &salesforce {
        assert!(phase.p99_ms <= 5_000, "{phase:?}");
    }
    let calls = salesforce[0].calls as f64 / 1_200.0;
    assert!(calls <= 1.0, "no look-up is made in vain: {calls} calls for each contact");
}

#[test]
fn what_a_person_waits_for_does_not_stand_behind_a_load() {
    // The load alone takes the calls of a minute; contacts come one by one, and leave it hardly any.
    let served = serve(&[(1, 30)], 4.0, 2_000);
    for phase in at(&served, "salesforce") {
        assert!(phase.p99_ms <= 3_000, "{phase:?}");
    }
}
