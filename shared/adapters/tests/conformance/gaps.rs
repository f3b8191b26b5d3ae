//! What each stand-in is known not to do. A gap that is none any more fails the run.

use testkit::conformance::{Area, Gap};

const fn gap(check: &'static str, reason: &'static str) -> Gap {
    Gap { check, reason }
}

/// The check that needs two transactions to meet.
const CONTENTION: &str = "another transaction in the way is not a failed condition";
const NEVER_MEET: &str = "it runs one transaction at a time, and nothing can make it report a conflict";

/// The memory twins.
pub const TWINS: &[Gap] = &[gap(CONTENTION, "the twins do one thing at a time; the simulator around them raises conflicts")];

/// The engines of the local stack.
pub const LOCAL_STACK: &[Gap] = &[];

/// Ministack, an AWS stand-in of another project.
const MINISTACK: &[Gap] = &[
    gap(CONTENTION, NEVER_MEET),
    gap("more than ten attributes are rejected", "it takes any number; the hub sends four at most"),
    gap("attributes count towards the mebibyte", "it counts the body only; the hub leaves room for what it adds"),
    gap("an empty attribute is rejected", "it takes it; the hub has something to say in each"),
    gap(
        "a version is found only in a stage that it has",
        "it uses the version and ignores the stage; a rotation requests a version in the stage that it is in",
    ),
    gap("a version is written once", "it overwrites; a rotation reads before it writes"),
];

/// DynamoDB Local, Amazon's own.
const DYNAMODB_LOCAL: &[Gap] = &[gap(CONTENTION, NEVER_MEET)];

/// What an engine offers, and its gaps. One that is not known has to offer everything.
pub fn of(engine: &str) -> (&'static [Area], &'static [Gap]) {
    match engine {
        "ministack" => (Area::ALL, MINISTACK),
        "dynamodb-local" => (&[Area::Tables], DYNAMODB_LOCAL),
        _ => (Area::ALL, &[]),
    }
}
