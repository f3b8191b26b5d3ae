//! `hub demo`: the main job on this machine, end to end. It plays a day of webhooks and of people who work in their CRMs, with
//! duplicates, disorder, forgeries, a burst and an outage, and compares the records in the CRMs with the expected ones.

mod apis;
mod day;
mod expect;
mod import;
mod play;
mod providers;
mod report;
mod send;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use local::Schedules;

use crate::config::{DEFAULT_PATH, Loaded};
use crate::configuration::{ConfigArgs, ProviderArgs};
use crate::files::root;
use crate::latencies::Latencies;
use crate::out::{CommandError, block_on, interrupted, print_line};
use crate::stack::{Setup, build, start};
use play::{Options, play};
use providers::{Script, scripts};

/// Arguments of `hub demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Which providers there are.
    #[command(flatten)]
    pub providers: ProviderArgs,
    /// The seed of the day: in which order and how often webhooks arrive
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Divide the hub's waiting times by this number
    #[arg(long, value_name = "N", default_value_t = 60)]
    pub speed: u32,
    /// Kill each function this many times (kill -9) while it works
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub kill: u32,
    /// Leave the stack running after the report
    #[arg(long)]
    pub keep: bool,
    /// Build the functions with optimisation
    #[arg(long)]
    pub release: bool,
}

/// Runs the command.
pub fn run(args: &DemoArgs) -> Result<ExitCode, CommandError> {
    let registry = args.providers.registry()?;
    let default = ConfigArgs { config: None, providers: args.providers.clone() }.load_sound()?;
    let scripts = scripts(&registry, &default.sound()?.hub)?;
    let sections: String = scripts.iter().map(|script| format!("\n{}", script.section)).collect();
    let folder = root().join(DEFAULT_PATH);
    let text = format!("{}{sections}", default.source.text);
    let loaded = Loaded::with(&registry, &default.source.file, text, folder.parent());
    loaded.sound()?;
    eprintln!("building the functions …");
    let binaries = build(args.release)?;
    block_on(async {
        let latencies = Latencies::default();
        let mut setup = Setup::new(&loaded);
        setup.folder = root().join(".hub/demo");
        (setup.fresh, setup.speed, setup.schedules) = (true, args.speed, Schedules::Off);
        setup.observer = Some(latencies.observer());
        (setup.hubspot.seed, setup.salesforce.seed) = (args.seed, args.seed);
        let base_urls = serve_apis(&scripts).await;
        setup.base_urls = base_urls.map_err(|e| CommandError::backend("a stand-in does not start", e))?;
        let running = Arc::new(start(setup, &loaded, &binaries).await?);
        let options = Options { seed: args.seed, kills: args.kill };
        let as_expected = play(&running, scripts, latencies, options).await?;
        if args.keep {
            print_line("the stack runs until Ctrl-C; look inside: cargo hub status --env .hub/demo/env")?;
            interrupted().await?;
        }
        running.stop_shared().await;
        Ok(if as_expected { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    })
}

/// Starts stand-ins for the APIs of sources. Gives their base URLs by connection.
async fn serve_apis(scripts: &[Script]) -> std::io::Result<BTreeMap<String, String>> {
    let with_api: Vec<&Script> = scripts.iter().filter(|script| script.section.contains("api_secret")).collect();
    let records = with_api
        .iter()
        .flat_map(|script| script.records.iter().map(|(path, record)| (format!("/{}{path}", script.connection), record.clone())));
    let url = apis::serve(records.collect()).await?;
    Ok(with_api.iter().map(|script| (script.connection.clone(), format!("{url}/{}", script.connection))).collect())
}
