//! `hub check`: checks the configuration, and with `--pack` writes what the functions read.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use sync::config::Config;

use crate::config::{Changes, Loaded, Severity};
use crate::configuration::ConfigArgs;
use crate::files::{root, shown, write};
use crate::live;
use crate::operate::open::HubArgs;
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
    /// Ask the accounts of a running hub whether they fit: token, scopes, clock, properties with their types and options
    #[arg(long)]
    pub live: bool,
    /// The hub of --live.
    #[command(flatten)]
    pub hub: HubArgs,
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
    if args.live {
        return live::run(&args.hub);
    }
    let hub = &loaded.sound()?.hub;
    let destinations: usize = hub.objects.values().map(|o| o.destinations.len()).sum();
    print_line(format_args!(
        "{}: {}, {}, {}: {}",
        loaded.source.file,
        counted(hub.connections.len(), "connection"),
        counted(destinations, "destination object"),
        counted(hub.effects.len(), "effect"),
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
    let now_s = u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or(1);
    let (bytes, generation) = pack_after(loaded, std::fs::read(path).ok(), now_s)?;
    write(path, &bytes)?;
    print_line(format_args!("{}: {} bytes, generation {generation}", shown(path), bytes.len()))
}

/// Packs a configuration. Its generation is the time, and higher than that of the pack before it. If nothing but the generation
/// would change, that of the pack before it stays. Gives the pack and its generation.
fn pack_after(loaded: &Loaded, before: Option<Vec<u8>>, now_s: u64) -> Result<(Vec<u8>, u64), CommandError> {
    let packed = |generation| loaded.pack(&Changes { generation, ..Changes::default() });
    let old = before.as_ref().and_then(|bytes| Config::open(bytes.clone()).ok()).map_or(0, |config| config.hub().generation);
    let bytes = match packed(old)? {
        same if before.as_ref() == Some(&same) => same,
        _ => packed(now_s.max(old + 1))?,
    };
    let generation = Config::open(bytes.clone()).map_or(0, |config| config.hub().generation);
    if generation <= old && before.as_ref() != Some(&bytes) {
        return Err(CommandError::Usage(format!(
            "this configuration differs from the one packed before, and `generation = {generation}` does not tell them apart; raise it above {old}, or leave it out"
        )));
    }
    Ok((bytes, generation))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DEFAULT;

    #[test]
    fn a_pack_has_a_higher_generation_than_the_one_before_it_and_the_same_content_keeps_it() {
        let loaded = |text: String| Loaded::new("hub.toml", text, None);
        let (first, generation) = pack_after(&loaded(DEFAULT.to_owned()), None, 1_000).unwrap();
        assert_eq!(generation, 1_000);
        assert_eq!(pack_after(&loaded(DEFAULT.to_owned()), Some(first.clone()), 2_000).unwrap(), (first.clone(), 1_000));
        let changed = DEFAULT.replace("members = 40 ", "members = 41 ");
        let (second, generation) = pack_after(&loaded(changed.clone()), Some(first), 2_000).unwrap();
        assert_eq!(generation, 2_000);
        // Back to the first, by a clock that is wrong.
        assert_eq!(pack_after(&loaded(DEFAULT.to_owned()), Some(second.clone()), 500).unwrap().1, 2_001);
        let refused = pack_after(&loaded(format!("generation = 7\n{DEFAULT}")), Some(second), 3_000).unwrap_err();
        assert!(refused.to_string().contains("raise it above 2000"), "{refused}");
    }
}
