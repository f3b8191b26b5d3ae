//! `hub sim`: searches for violated invariants with the simulator.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Instant;

use sync::mutant::Mutant;
use testkit::sim::{self, NAMED, Options, Stats, Violation, run_named};

use crate::cli::SimArgs;
use crate::out::CommandError;

/// Runs the command.
pub fn run(args: &SimArgs) -> Result<ExitCode, CommandError> {
    if args.list {
        println!("named scenarios:");
        NAMED.iter().for_each(|(name, _)| println!("  {name}"));
        println!("planted bugs (--mutant):");
        Mutant::ALL.iter().for_each(|(name, _)| println!("  {name}"));
        return Ok(ExitCode::SUCCESS);
    }
    let options =
        Options { mutant: args.mutant.as_deref().map(find_mutant).transpose()?, calm: false, tell: args.seed.is_some() };
    let scenario = args.named.as_deref().map(find_named).transpose()?;
    let seeds = match args.seed {
        Some(seed) => seed..seed + 1,
        None => 0..args.seeds,
    };
    let total = seeds.end - seeds.start;
    let started = Instant::now();
    let mut sum = Sum::default();
    for seed in seeds {
        progress(seed, total, sum.found);
        let mut results = Vec::new();
        match scenario {
            Some(name) => results.extend(run_named(name, seed, options).map(|r| (Some(name), r))),
            None => {
                results.push((None, sim::run(seed, options)));
                // Every seed also runs one of the named scenarios, in turn.
                let (name, _) = NAMED[usize::try_from(seed).unwrap_or(0) % NAMED.len()];
                results.extend(run_named(name, seed, options).map(|r| (Some(name), r)));
            }
        }
        for (name, result) in results {
            sum.add(seed, name, result);
        }
        if args.mutant.is_some() && sum.found > 0 {
            clear();
            println!("the planted bug is caught at seed {seed}");
            return Ok(ExitCode::SUCCESS);
        }
    }
    clear();
    let seconds = started.elapsed().as_secs_f64();
    let per_second = sum.stats.steps as f64 / seconds.max(0.001);
    println!(
        "{} runs of {total} seeds: {} handlers, {} of them killed, {} webhooks, {} CRM rows, {} await points in {seconds:.1} s ({per_second:.0} per second)",
        sum.runs, sum.stats.handlers, sum.stats.kills, sum.stats.webhooks, sum.stats.crm_rows, sum.stats.steps
    );
    if args.mutant.is_some() {
        println!("the planted bug was not caught");
        return Ok(ExitCode::FAILURE);
    }
    println!("{} violations", sum.found);
    Ok(if sum.found == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[derive(Default)]
struct Sum {
    runs: u64,
    found: u64,
    stats: Stats,
}

impl Sum {
    fn add(&mut self, seed: u64, scenario: Option<&str>, result: Result<Stats, Violation>) {
        self.runs += 1;
        match result {
            Ok(stats) => {
                self.stats.steps += stats.steps;
                self.stats.handlers += stats.handlers;
                self.stats.kills += stats.kills;
                self.stats.webhooks += stats.webhooks;
                self.stats.crm_rows += stats.crm_rows;
            }
            Err(violation) => {
                self.found += 1;
                clear();
                let replay = scenario.map_or_else(String::new, |name| format!(" --named {name}"));
                println!("seed {seed}: {violation}\n  replay: cargo hub sim --seed {seed}{replay}");
            }
        }
    }
}

fn find_mutant(name: &str) -> Result<Mutant, CommandError> {
    let known = Mutant::ALL.iter().find(|(n, _)| *n == name).map(|(_, mutant)| *mutant);
    known.ok_or_else(|| CommandError::Usage(format!("no planted bug `{name}`; `hub sim --list` names them")))
}

fn find_named(name: &str) -> Result<&'static str, CommandError> {
    let known = NAMED.iter().find(|(n, _)| *n == name).map(|(name, _)| *name);
    known.ok_or_else(|| CommandError::Usage(format!("no scenario `{name}`; `hub sim --list` names them")))
}

fn progress(seed: u64, total: u64, found: u64) {
    if seed.is_multiple_of(10) && std::io::stderr().is_terminal() {
        eprint!("\rseed {seed} of {total}, {found} violations ");
        let _ = std::io::stderr().flush();
    }
}

fn clear() {
    if std::io::stderr().is_terminal() {
        eprint!("\r\u{1b}[K");
    }
}
