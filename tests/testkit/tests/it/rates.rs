//! Token buckets: when the clocks of the workers differ, and when several workers want tokens at once.

use sync::config::Bucket;
use sync::failure::{Class, Code, Failure};
use sync::rate_limit::Buckets;
use testkit::sim::Stepper;

const URL: &str = "https://hubspot.test/crm";

fn bucket(name: &str, path: &str) -> Bucket {
    Bucket { name: name.into(), burst: 2, per_second: 1.0, path: path.into() }
}

/// A worker that comes anew takes one token.
fn take(stepper: &Stepper, buckets: &[Bucket], longest_wait_ms: u64) -> Result<u64, Failure> {
    let worker = Buckets::of("hubspot", buckets);
    stepper.run(worker.take(stepper.ports(), URL, false, longest_wait_ms), None).unwrap()
}

#[test]
fn a_clock_that_is_behind_does_not_fill_a_bucket() {
    let stepper = Stepper::new(1, 1_000_000);
    let buckets = [bucket("all", "")];
    let take = || take(&stepper, &buckets, 0).map_err(|failure| failure.code);
    assert_eq!(take(), Ok(0));
    // A worker whose clock is five seconds behind takes the last token; then the first worker comes again.
    stepper.pass(-5_000);
    assert_eq!(take(), Ok(0));
    stepper.pass(5_000);
    assert_eq!(take(), Err(Code::RateLimited));
}

#[test]
fn workers_that_wait_are_served_in_the_order_in_which_they_came() {
    let stepper = Stepper::new(1, 1_000_000);
    let buckets = [bucket("all", "")];
    let began_ms = stepper.now_ms();
    let mut due: Vec<i64> = Vec::new();
    for _ in 0..6 {
        let wait_ms = take(&stepper, &buckets, 10_000).unwrap();
        due.push(stepper.now_ms() - began_ms + i64::try_from(wait_ms).unwrap());
    }
    // Two at once, then one each second, although nobody has waited yet.
    let seconds: Vec<i64> = due.iter().map(|ms| (ms + 500) / 1_000).collect();
    assert_eq!(seconds, [0, 0, 1, 2, 3, 4], "{due:?}");
    // Who cannot wait for so long takes no token, and learns how long it would be.
    let refused = take(&stepper, &buckets, 2_000).unwrap_err();
    let Class::Throttled { after_ms } = refused.class else { panic!("{refused:?}") };
    assert!((4_000..=5_000).contains(&after_ms), "{after_ms}");
    let wait_ms = take(&stepper, &buckets, 10_000).unwrap();
    assert!(wait_ms <= after_ms, "{wait_ms} after {after_ms}");
}

#[test]
fn a_reservation_takes_the_tokens_of_several_calls_by_one_read_and_one_write() {
    let stepper = Stepper::new(1, 1_000_000);
    let buckets = [bucket("all", ""), bucket("search", "/search")];
    let worker = Buckets::of("hubspot", &buckets);
    let run = |reserved: bool| stepper.run(worker.take(stepper.ports(), URL, reserved, 0), None).unwrap().map_err(|f| f.code);
    assert_eq!(stepper.run(worker.reserve(stepper.ports(), 2, 0), None).unwrap().unwrap(), 0);
    assert_eq!(stepper.calls(), 2);
    assert_eq!((run(true), run(true)), (Ok(0), Ok(0)));
    assert_eq!(stepper.calls(), 2, "what is reserved costs nothing more");
    assert_eq!(run(false), Err(Code::RateLimited));
    stepper.pass(2_000);
    let before = stepper.calls();
    assert_eq!((run(false), run(false)), (Ok(0), Ok(0)));
    // The first one reads what other workers may have stored; the second one knows it.
    assert_eq!(stepper.calls() - before, 3);
}
