//! Token buckets, when the clocks of the workers differ.

use sync::config::Bucket;
use sync::failure::Code;
use sync::rate_limit::take_tokens;
use testkit::sim::Stepper;

#[test]
fn a_clock_that_is_behind_does_not_fill_a_bucket() {
    let stepper = Stepper::new(1, 1_000_000);
    let buckets = [Bucket { name: "all".into(), burst: 2, per_second: 1.0, path: String::new() }];
    let take = || {
        let taken = stepper.run(take_tokens(stepper.ports(), "hubspot", &buckets, "https://hubspot.test/crm"), None);
        taken.unwrap().map_err(|failure| failure.code)
    };
    assert_eq!(take(), Ok(()));
    // A worker whose clock is five seconds behind takes the last token; then the first worker comes again.
    stepper.pass(-5_000);
    assert_eq!(take(), Ok(()));
    stepper.pass(5_000);
    assert_eq!(take(), Err(Code::RateLimited));
}
