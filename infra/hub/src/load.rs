//! `hub load`: how long it takes from a form to both CRMs, when forms come seldom and when many come.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use local::Schedules;
use sandbox::server::now_ms;
use tokio::task::JoinSet;

use crate::configuration::ConfigArgs;
use crate::files::root;
use crate::http::post;
use crate::latencies::{Latencies, percentile};
use crate::out::{CommandError, block_on, print};
use crate::sandboxes::Route;
use crate::stack::{Running, Setup, build, start};
use crate::text::{instant, narrow_table, wrapped};

/// How long the command waits for the last write after the last form.
const TIMEOUT: Duration = Duration::from_secs(120);
/// How often it looks.
const POLL: Duration = Duration::from_millis(100);
/// The provider of the forms.
const FORMS: &str = "generic-form";

/// Arguments of `hub load`.
#[derive(Debug, Args)]
pub struct LoadArgs {
    /// The configuration.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// How many forms a second; each rate is a run of its own
    #[arg(long, value_delimiter = ',', default_value = "0.5,5,20", value_name = "RATES")]
    pub rates: Vec<f64>,
    /// How long each run lasts, in seconds
    #[arg(long, default_value_t = 30, value_name = "S", value_parser = clap::value_parser!(u32).range(1..=3_600))]
    pub seconds: u32,
    /// Build the functions with optimisation
    #[arg(long)]
    pub release: bool,
}

/// What a run measured.
struct Run {
    rate: f64,
    forms: u64,
    refused: u64,
    latencies: BTreeMap<String, Vec<f64>>,
    /// From the last form to the last write, in seconds; `None` when writes were missing at the end.
    behind_s: Option<f64>,
}

/// Runs the command.
pub fn run(args: &LoadArgs) -> Result<ExitCode, CommandError> {
    if args.rates.iter().any(|rate| !(0.01..=1_000.0).contains(rate)) {
        return Err(CommandError::Usage("a rate is between 0.01 and 1000 forms a second".to_owned()));
    }
    let loaded = args.config.load_sound()?;
    eprintln!("building the functions …");
    let binaries = build(args.release)?;
    block_on(async {
        let latencies = Latencies::default();
        let mut setup = Setup::new(&loaded);
        (setup.folder, setup.fresh, setup.schedules) = (root().join(".hub/load"), true, Schedules::Off);
        setup.observer = Some(latencies.observer());
        let running = start(setup, &loaded, &binaries).await?;
        let mut runs = Vec::new();
        for rate in &args.rates {
            eprintln!("{rate} forms a second for {} s …", args.seconds);
            runs.push(measure(&running, &latencies, *rate, args.seconds).await?);
        }
        running.stop().await;
        print(render(&runs, args.seconds))?;
        let complete = runs.iter().all(|run| run.behind_s.is_some() && run.refused == 0);
        Ok(if complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    })
}

async fn measure(running: &Running, latencies: &Latencies, rate: f64, seconds: u32) -> Result<Run, CommandError> {
    let form = running.hub.connections.iter().find(|(_, connection)| connection.source && connection.provider == FORMS);
    let route = form.and_then(|(name, _)| running.route(name));
    let route = route.ok_or_else(|| CommandError::Usage(format!("the configuration has no source of `{FORMS}`")))?;
    let forms = ((rate * f64::from(seconds)).round() as u64).max(1);
    let created = rows_created(running);
    latencies.take();
    let (started, mut tasks) = (Instant::now(), JoinSet::new());
    for n in 0..forms {
        tokio::time::sleep(Duration::from_secs_f64(n as f64 / rate).saturating_sub(started.elapsed())).await;
        let route = route.clone();
        tasks.spawn(async move { send(&route, &format!("{}-{n}", now_ms())).await });
    }
    let mut refused = 0;
    while let Some(accepted) = tasks.join_next().await {
        refused += u64::from(!accepted.unwrap_or(false));
    }
    let sent = Instant::now();
    let complete = || rows_created(running).iter().all(|(crm, now)| now - created[crm] >= forms - refused);
    while !complete() && sent.elapsed() < TIMEOUT {
        tokio::time::sleep(POLL).await;
    }
    let behind_s = complete().then(|| sent.elapsed().as_secs_f64());
    // The line with the measurement comes after the write.
    tokio::time::sleep(POLL * 10).await;
    Ok(Run { rate, forms, refused, latencies: latencies.take(), behind_s })
}

/// Records that the hub created, by CRM.
fn rows_created(running: &Running) -> BTreeMap<String, u64> {
    let created = |stats: BTreeMap<String, u64>| stats.get("rows.created").copied().unwrap_or(0);
    running.sandboxes.servers.iter().map(|(name, crm)| (name.clone(), created(crm.lock().stats()))).collect()
}

/// Sends the form of a new person. True when the hub accepted it.
async fn send(route: &Route, id: &str) -> bool {
    let body = serde_json::json!({
        "form_id": "load", "submission_id": id, "submitted_at": instant(now_ms()),
        "fields": {"email": format!("person.{id}@example.org"), "first_name": "Ada", "last_name": "Example", "message": "Please call"},
    });
    let Ok(signed) = route.sign(body.to_string().as_bytes(), &format!("msg_{id}")) else { return false };
    post(&route.url, &signed.headers, signed.body).await.is_ok_and(|(status, _)| (200..300).contains(&status))
}

fn render(runs: &[Run], seconds: u32) -> String {
    let heading = ["forms a second", "forms", "refused", "CRM", "writes", "p50 ms", "p99 ms", "behind s"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    for run in runs {
        for (crm, values) in &run.latencies {
            let show = |percent| percentile(values, percent).map_or_else(String::new, |ms| format!("{ms:.0}"));
            let behind = run.behind_s.map_or_else(|| "not done".to_owned(), |s| format!("{s:.1}"));
            let counts = [run.forms, run.refused].map(|count| count.to_string());
            let mut row = vec![run.rate.to_string()];
            row.extend(counts);
            row.extend([crm.clone(), values.len().to_string(), show(50), show(99), behind]);
            rows.push(row);
        }
    }
    let notes = format!(
        "From the webhook's receipt to the answer of the CRM's stand-in, for forms of new people, {seconds} s for each rate. \
         Everything runs on this machine; on AWS, add the way to the CRM and its own time. `behind`: how long the last write came \
         after the last form."
    );
    narrow_table(&rows) + "\n" + &wrapped(&notes, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_falls_behind_is_shown_as_such() {
        let latencies = BTreeMap::from([("hubspot".to_owned(), vec![1_000.0, 1_100.0, 9_000.0])]);
        let run = |behind_s| Run { rate: 5.0, forms: 3, refused: 0, latencies: latencies.clone(), behind_s };
        let text = render(&[run(Some(1.25)), run(None)], 30);
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines[1].contains("hubspot") && lines[1].contains("1100") && lines[1].contains("9000") && lines[1].ends_with("1.2"),
            "{text}"
        );
        assert!(lines[2].ends_with("not done"), "{text}");
    }
}
