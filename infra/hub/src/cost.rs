//! `hub cost`: what an event of each class costs, by calls that are counted in the simulator and by a file of prices.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde::Deserialize;
use testkit::sim::{Cost, Tally, costs};

use crate::files::{invalid, read_text, root};
use crate::out::{CommandError, print};

/// Arguments of `hub cost`.
#[derive(Debug, Args)]
pub struct CostArgs {
    /// The prices and assumptions [default: infra/config/prices.toml]
    #[arg(long, value_name = "FILE")]
    pub prices: Option<PathBuf>,
    /// Print the calls of each function and operation as well
    #[arg(long)]
    pub calls: bool,
}

/// How many events the sums are for.
const EVENTS: f64 = 100_000.0;
const MILLION: f64 = 1_000_000.0;
const GIGABYTE: f64 = 1_073_741_824.0;

/// A file of prices in US dollars.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Prices {
    as_of: String,
    region: String,
    per_million: PerMillion,
    per_gigabyte: PerGigabyte,
    per_gigabyte_second: PerGigabyteSecond,
    assumed: Assumed,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PerMillion {
    dynamodb_write_units: f64,
    dynamodb_read_units: f64,
    sqs_requests: f64,
    lambda_requests: f64,
    s3_puts: f64,
    s3_gets: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PerGigabyte {
    logs: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PerGigabyteSecond {
    lambda: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Assumed {
    memory_mb: f64,
    aws_call_ms: f64,
    provider_call_ms: f64,
    own_ms: f64,
    log_bytes: f64,
}

impl Prices {
    fn read(path: &Path) -> Result<Prices, CommandError> {
        toml::from_str(&read_text(path)?).map_err(|error| invalid(path, error))
    }

    /// What these calls cost, in dollars.
    fn of(&self, tally: &Tally) -> f64 {
        let (units, each, assumed) = (tally.all_units(), &self.per_million, &self.assumed);
        let count = |counts: &std::collections::BTreeMap<&'static str, u64>| counts.values().sum::<u64>() as f64;
        let invocations = count(&tally.invocations);
        let to_queues = tally.calls_to("SendMessage") + tally.calls_to("ChangeMessageVisibility");
        let requests = [
            (units.write as f64, each.dynamodb_write_units),
            (units.read as f64, each.dynamodb_read_units),
            (to_queues as f64 + count(&tally.polls), each.sqs_requests),
            (invocations, each.lambda_requests),
            (tally.calls_to("PutObject") as f64, each.s3_puts),
            (tally.calls_to("GetObject") as f64, each.s3_gets),
        ];
        let ms = invocations * assumed.own_ms
            + tally.aws_calls() as f64 * assumed.aws_call_ms
            + count(&tally.provider_calls) * assumed.provider_call_ms;
        let gigabyte_seconds = ms / 1_000.0 * assumed.memory_mb / 1_024.0;
        let logs = invocations * assumed.log_bytes / GIGABYTE;
        requests.iter().map(|(count, price)| count * price / MILLION).sum::<f64>()
            + gigabyte_seconds * self.per_gigabyte_second.lambda
            + logs * self.per_gigabyte.logs
    }
}

/// Runs the command.
pub fn run(args: &CostArgs) -> Result<ExitCode, CommandError> {
    let path = args.prices.clone().unwrap_or_else(|| root().join("infra/config/prices.toml"));
    let prices = Prices::read(&path)?;
    let costs = costs().map_err(|violation| CommandError::Backend(violation.to_string()))?;
    let mut text = table(&costs, &prices);
    if args.calls {
        costs.iter().for_each(|cost| text += &calls(cost));
    }
    print(text)?;
    Ok(ExitCode::SUCCESS)
}

/// The table, in Markdown.
fn table(costs: &[Cost], prices: &Prices) -> String {
    let mut text = format!(
        "Calls for each event, and dollars for {EVENTS} events, by the list prices of {} as of {}.\n\n",
        prices.region, prices.as_of
    );
    text += "| event | AWS calls | receive | transform | upsert | reconcile | write units | read units | calls of CRMs | $ |\n";
    text += "|---|---|---|---|---|---|---|---|---|---|\n";
    for Cost { class, events, tally } in costs {
        let each = |count: u64| rounded(count as f64 / *events as f64);
        let of = |function: &str| each(tally.calls_of(function));
        let units = tally.all_units();
        let dollars = prices.of(tally) / *events as f64 * EVENTS;
        let _ = writeln!(
            text,
            "| {class} | {} | {} | {} | {} | {} | {} | {} | {} | {dollars:.2} |",
            each(tally.aws_calls()),
            of("receive"),
            of("transform"),
            of("upsert"),
            of("reconcile"),
            each(units.write),
            each(units.read),
            each(tally.provider_calls.values().sum()),
        );
    }
    text
}

/// The calls of one class, by function and operation.
fn calls(Cost { class, events, tally }: &Cost) -> String {
    let mut text = format!("\n{class}\n");
    for ((function, operation), count) in &tally.calls {
        let _ = writeln!(text, "  {:>7}  {function} {operation}", rounded(*count as f64 / *events as f64));
    }
    text
}

/// A whole number, or one digit after the point.
fn rounded(number: f64) -> String {
    if number.fract() == 0.0 { format!("{number:.0}") } else { format!("{number:.1}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_prices_are_read_and_every_class_has_a_row() {
        let prices = Prices::read(&root().join("infra/config/prices.toml")).unwrap();
        let costs = costs().unwrap();
        let table = table(&costs, &prices);
        for cost in &costs {
            assert!(table.contains(&format!("| {} |", cost.class)), "{table}");
            assert!(prices.of(&cost.tally) > 0.0, "{}", cost.class);
        }
        assert_eq!(prices.of(&Tally::default()), 0.0);
    }
}
