//! The simulator as a test: a number of seeds, every named scenario, and every planted bug found.

use sync::mutant::Mutant;
use testkit::sim::{Options, bulk, run, run_named, scenarios};

#[test]
fn no_seed_violates_an_invariant() {
    let violation = |seed| Some(format!("seed {seed}: {}", run(seed, Options::default()).err()?));
    let found: Vec<String> = (0..300).filter_map(violation).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// The first violation of each named scenario.
fn violations(seeds: u64, options: Options) -> Vec<String> {
    let first = |name: &str| {
        (0..seeds).find_map(|seed| {
            let violation = run_named(name, seed, options)?.err()?;
            Some(format!("{name}, seed {seed}: {violation}"))
        })
    };
    scenarios().into_iter().filter_map(first).collect()
}

#[test]
fn every_named_scenario_holds() {
    let found = violations(40, Options::default());
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn every_named_scenario_holds_when_nothing_else_goes_wrong() {
    let found = violations(6, Options { calm: true, ..Options::default() });
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn each_repair_is_in_the_audit_log() {
    let calm = Options { calm: true, ..Options::default() };
    let stats = run_named("repairs-in-the-audit-log", 1, calm).unwrap().unwrap();
    assert_eq!(stats.audited_pushes, 5, "two creations and three repairs");
}

#[test]
fn a_seed_replays_exactly() {
    for seed in [3, 17, 42] {
        assert_eq!(run(seed, Options::default()), run(seed, Options::default()));
    }
}

#[test]
fn every_planted_bug_is_found() {
    let names = scenarios();
    for (name, mutant) in Mutant::ALL {
        let options = Options { mutant: Some(*mutant), ..Options::default() };
        // Each scenario in turn, with its first seeds.
        let found = (0..500).any(|turn: usize| {
            let (scenario, seed) = (names[turn % names.len()], (turn / names.len()) as u64);
            run(turn as u64, options).is_err() || run_named(scenario, seed, options).is_some_and(|r| r.is_err())
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
