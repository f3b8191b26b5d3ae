//! `hub check`: checks the configuration, and with `--pack` writes what the functions read.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use sync::config::Config;

use crate::config::{Changes, Loaded, Severity};
use crate::configuration::ConfigArgs;
use crate::files::{root, shown, write};
use crate::out::{CommandError, counted, print_line};

/// The file that `--pack` writes, from the repository's root.
const PACK_PATH: &str = "infra/config/layer/hub.pack";

/// Arguments of `hub check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The configuration.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Write the packed configuration, if there are no errors [default: infra/config/layer/hub.pack]
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    pub pack: Option<Option<PathBuf>>,
    /// The file that --pack writes
    #[arg(long, value_name = "FILE", requires = "pack")]
    pub out: Option<PathBuf>,
    /// List the values that a destination cannot express, and how they come back from it
    #[arg(long)]
    pub narrowed: bool,
    /// Treat warnings as errors
    #[arg(long)]
    pub strict: bool,
}

/// Runs the command.
pub fn run(args: &CheckArgs) -> Result<ExitCode, CommandError> {
    let loaded = args.config.load()?;
    if !loaded.diagnostics.is_empty() {
        anstream::eprintln!("{}\n", loaded.report(true));
    }
    let errors = loaded.errors();
    let warnings = loaded.diagnostics.iter().filter(|d| d.severity == Severity::Warning).count();
    if errors > 0 || (args.strict && warnings > 0) {
        eprintln!("{}: {}", loaded.source.file, summary(errors, warnings));
        return Ok(ExitCode::FAILURE);
    }
    let hub = &loaded.sound()?.hub;
    let destinations: usize = hub.objects.values().map(|o| o.destinations.len()).sum();
    print_line(format_args!(
        "{}: {}, {}, {}, generation {}: {}",
        loaded.source.file,
        counted(hub.connections.len(), "connection"),
        counted(destinations, "destination object"),
        counted(hub.effects.len(), "effect"),
        hub.generation,
        summary(errors, warnings)
    ))?;
    if args.narrowed {
        loaded.narrowed.iter().try_for_each(|value| print_line(format_args!("  {value}")))?;
    } else if !loaded.narrowed.is_empty() {
        let values = counted(loaded.narrowed.len(), "value");
        print_line(format_args!("{values} cannot be expressed at a destination; --narrowed lists them"))?;
    }
    if let Some(file) = &args.pack {
        let path = args.out.clone().or_else(|| file.clone()).unwrap_or_else(|| root().join(PACK_PATH));
        pack(&loaded, &path)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn summary(errors: usize, warnings: usize) -> String {
    match (errors, warnings) {
        (0, 0) => "no findings".to_owned(),
        _ => format!("{}, {}", counted(errors, "error"), counted(warnings, "warning")),
    }
}

fn pack(loaded: &Loaded, path: &Path) -> Result<(), CommandError> {
    let bytes = loaded.pack(&Changes::default())?;
    if let Some(generation) = reused_generation(path, &bytes) {
        eprintln!("warning: this configuration differs from the one packed before, but both have generation {generation}");
        eprintln!(
            "  help: raise `generation`: then records that the old configuration resolved are resolved again, and functions that still run the old one cannot overwrite them"
        );
    }
    write(path, &bytes)?;
    print_line(format_args!("{}: {} bytes", shown(path), bytes.len()))
}

/// The generation of the new pack, if the file holds a different pack whose generation is not lower.
fn reused_generation(path: &Path, new: &[u8]) -> Option<u64> {
    let old = std::fs::read(path).ok().filter(|old| old != new)?;
    let (old, new) = (Config::open(old).ok()?, Config::open(new.to_vec()).ok()?);
    (old.hub().generation >= new.hub().generation).then_some(new.hub().generation)
}
