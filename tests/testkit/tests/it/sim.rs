//! The simulator as a test: a number of seeds, every named scenario, and every planted bug found.

use sync::mutant::Mutant;
use testkit::sim::{NAMED, Options, bulk, run, run_named};

#[test]
fn no_seed_violates_an_invariant() {
    for seed in 0..300 {
        if let Err(violation) = run(seed, Options::default()) {
            panic!("seed {seed}: {violation}");
        }
    }
}

#[test]
fn every_named_scenario_holds() {
    for (name, _) in NAMED {
        for seed in 0..40 {
            if let Some(Err(violation)) = run_named(name, seed, Options::default()) {
                panic!("{name}, seed {seed}: {violation}");
            }
        }
    }
}

#[test]
fn a_seed_replays_exactly() {
    for seed in [3, 17, 42] {
        assert_eq!(run(seed, Options::default()), run(seed, Options::default()));
    }
}

#[test]
fn every_planted_bug_is_found() {
    for (name, mutant) in Mutant::ALL {
        let options = Options { mutant: Some(*mutant), ..Options::default() };
        let found = (0..500).any(|seed| {
            let scenario = NAMED[usize::try_from(seed).unwrap_or(0) % NAMED.len()].0;
            run(seed, options).is_err() || run_named(scenario, seed, options).is_some_and(|r| r.is_err())
        });
        assert!(found, "{name} was not found within 500 seeds");
    }
}

#[test]
fn an_import_costs_few_calls() {
    for wave in bulk(1_000).unwrap_or_else(|violation| panic!("{violation}")) {
        assert_eq!(wave.records, 1_000, "{wave:?}");
        assert!(wave.per_thousand() <= 20, "{wave:?}: {} calls per 1,000 records", wave.per_thousand());
    }
}
