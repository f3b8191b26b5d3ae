//! `hub sim`: searches for violated invariants with the simulator.

use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use sync::mutant::Mutant;
use testkit::sim::{self, Options, Stats, Violation, run_named, scenarios};

use crate::out::{CommandError, ProgressLine, print, print_line};

/// Arguments of `hub sim`.
#[derive(Debug, Args)]
pub struct SimArgs {
    /// The number of seeds to run
    #[arg(long, default_value_t = 200, value_name = "N")]
    pub seeds: u64,
    /// Run only this seed, and print every step
    #[arg(long, value_name = "S")]
    pub seed: Option<u64>,
    /// Plant this bug, to see that it is found
    #[arg(long, value_name = "NAME")]
    pub mutant: Option<String>,
    /// Run only this named scenario
    #[arg(long, value_name = "NAME")]
    pub named: Option<String>,
    /// List the named scenarios and the bugs that can be planted
    #[arg(long)]
    pub list: bool,
}

/// Runs the command.
pub fn run(args: &SimArgs) -> Result<ExitCode, CommandError> {
    if args.list {
        print(list())?;
        return Ok(ExitCode::SUCCESS);
    }
    let options =
        Options { mutant: args.mutant.as_deref().map(find_mutant).transpose()?, calm: false, trace: args.seed.is_some() };
    let scenario = args.named.as_deref().map(find_scenario).transpose()?;
    let seeds = match args.seed {
        Some(seed) => seed..seed + 1,
        None => 0..args.seeds,
    };
    let total = seeds.end - seeds.start;
    let started = Instant::now();
    let line = ProgressLine::new();
    let mut sum = Sum::default();
    for seed in seeds {
        if seed.is_multiple_of(10) {
            line.show(format_args!("seed {seed} of {total}, {} violations ", sum.violations));
        }
        for (name, result) in run_seed(seed, scenario, options) {
            if let Some(violation) = sum.add(result) {
                line.clear();
                let replay = name.map_or_else(String::new, |name| format!(" --named {name}"));
                print_line(format_args!("seed {seed}: {violation}\n  replay: cargo hub sim --seed {seed}{replay}"))?;
            }
        }
        if args.mutant.is_some() && sum.violations > 0 {
            line.clear();
            print_line(format_args!("the planted bug is found at seed {seed}"))?;
            return Ok(ExitCode::SUCCESS);
        }
    }
    line.clear();
    print_line(sum.summary(total, started.elapsed().as_secs_f64()))?;
    if args.mutant.is_some() {
        print_line("the planted bug was not found")?;
        return Ok(ExitCode::FAILURE);
    }
    print_line(format_args!("{} violations", sum.violations))?;
    Ok(if sum.violations == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The results of a seed: of one scenario, or of a random run and one of the named scenarios, which take turns.
fn run_seed(
    seed: u64,
    scenario: Option<&'static str>,
    options: Options,
) -> Vec<(Option<&'static str>, Result<Stats, Violation>)> {
    let mut results = Vec::new();
    let name = scenario.unwrap_or_else(|| {
        results.push((None, sim::run(seed, options)));
        let names = scenarios();
        names[usize::try_from(seed).unwrap_or(0) % names.len()]
    });
    results.extend(run_named(name, seed, options).map(|result| (Some(name), result)));
    results
}

fn list() -> String {
    let mut text = "named scenarios:\n".to_owned();
    scenarios().iter().for_each(|name| text += &format!("  {name}\n"));
    text += "planted bugs (--mutant):\n";
    Mutant::ALL.iter().for_each(|(name, _)| text += &format!("  {name}\n"));
    text
}

#[derive(Default)]
struct Sum {
    runs: u64,
    violations: u64,
    stats: Stats,
}

impl Sum {
    /// Adds the result of a run, and gives back its violation.
    fn add(&mut self, result: Result<Stats, Violation>) -> Option<Violation> {
        self.runs += 1;
        match result {
            Ok(stats) => {
                self.stats.steps += stats.steps;
                self.stats.handlers += stats.handlers;
                self.stats.kills += stats.kills;
                self.stats.webhooks += stats.webhooks;
                self.stats.crm_rows += stats.crm_rows;
                None
            }
            Err(violation) => {
                self.violations += 1;
                Some(violation)
            }
        }
    }

    fn summary(&self, seeds: u64, seconds: f64) -> String {
        let Stats { steps, handlers, kills, webhooks, crm_rows, .. } = &self.stats;
        let per_second = *steps as f64 / seconds.max(0.001);
        format!(
            "{} runs of {seeds} seeds: {handlers} handlers, {kills} of them killed, {webhooks} webhooks, {crm_rows} CRM rows, {steps} await points in {seconds:.1} s ({per_second:.0} per second)",
            self.runs
        )
    }
}

fn find_mutant(name: &str) -> Result<Mutant, CommandError> {
    let known = Mutant::ALL.iter().find(|(n, _)| *n == name).map(|(_, mutant)| *mutant);
    known.ok_or_else(|| CommandError::Usage(format!("there is no planted bug `{name}`; `hub sim --list` lists them")))
}

fn find_scenario(name: &str) -> Result<&'static str, CommandError> {
    let known = scenarios().into_iter().find(|known| *known == name);
    known.ok_or_else(|| CommandError::Usage(format!("there is no scenario `{name}`; `hub sim --list` lists them")))
}
