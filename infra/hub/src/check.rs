//! `hub check`: is the configuration sound? With `--pack`, writes what the functions read.

use std::path::Path;
use std::process::ExitCode;

use providers::Registry;
use sync::config::Config;

use crate::cli::{CheckArgs, ConfigArgs};
use crate::config::{Changes, DEFAULT_PATH, Loaded, Severity};
use crate::out::{CommandError, root, shown, styled, write};

/// Where `--pack` writes, from the repository's root.
pub const PACK_PATH: &str = "infra/config/layer/hub.pack";

/// The configuration that the arguments name.
pub fn load(args: &ConfigArgs) -> Result<Loaded, CommandError> {
    let path = args.config.clone().unwrap_or_else(|| root().join(DEFAULT_PATH));
    let text = std::fs::read_to_string(&path).map_err(|e| CommandError::Read(shown(&path), e))?;
    Ok(Loaded::with(&registry(&args.without)?, &shown(&path), text, path.parent()))
}

/// All providers but those that the command line leaves out.
pub fn registry(without: &[String]) -> Result<Registry, CommandError> {
    Registry::default().without(without).map_err(|e| CommandError::Usage(format!("--without: {e}")))
}

/// Runs the command.
pub fn run(args: &CheckArgs) -> Result<ExitCode, CommandError> {
    let loaded = load(&args.config)?;
    if !loaded.findings.is_empty() {
        eprintln!("{}\n", loaded.report(styled()));
    }
    let errors = loaded.errors();
    let warnings = loaded.findings.iter().filter(|f| f.severity == Severity::Warning).count();
    if errors > 0 || (args.strict && warnings > 0) {
        eprintln!("{}: {}", loaded.source.path, counted(errors, warnings));
        return Ok(ExitCode::FAILURE);
    }
    let compiled = loaded.sound()?;
    let connections = compiled.hub.connections.len();
    let destinations: usize = compiled.hub.objects.values().map(|o| o.destinations.len()).sum();
    println!(
        "{}: {connections} connections, {destinations} destination objects, {} effects, generation {}: {}",
        loaded.source.path,
        compiled.hub.effects.len(),
        compiled.hub.generation,
        counted(errors, warnings)
    );
    if args.narrowed {
        loaded.narrowed.iter().for_each(|what| println!("  {what}"));
    } else if !loaded.narrowed.is_empty() {
        println!("{} are narrowed by a destination; --narrowed lists them", plural(loaded.narrowed.len(), "value"));
    }
    if let Some(file) = &args.pack {
        let path = args.out.clone().or_else(|| file.clone()).unwrap_or_else(|| root().join(PACK_PATH));
        pack(&loaded, &path)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn counted(errors: usize, warnings: usize) -> String {
    match (errors, warnings) {
        (0, 0) => "no findings".to_owned(),
        _ => format!("{}, {}", plural(errors, "error"), plural(warnings, "warning")),
    }
}

fn plural(n: usize, word: &str) -> String {
    format!("{n} {word}{}", if n == 1 { "" } else { "s" })
}

fn pack(loaded: &Loaded, path: &Path) -> Result<(), CommandError> {
    let bytes = loaded.pack(&Changes::default())?;
    if let Some(generation) = stale_generation(path, &bytes) {
        eprintln!("warning: this configuration differs from the one packed before, and both are generation {generation}");
        eprintln!(
            "  help: raise `generation`, so that records resolved by the old one are resolved again and a function that still runs it does not overwrite them"
        );
    }
    write(path, &bytes)?;
    println!("{}: {} bytes", shown(path), bytes.len());
    Ok(())
}

/// The generation that two different packs share.
fn stale_generation(path: &Path, new: &[u8]) -> Option<u64> {
    let old = std::fs::read(path).ok().filter(|old| old != new)?;
    let (old, new) = (Config::open(old).ok()?, Config::open(new.to_vec()).ok()?);
    (old.hub().generation >= new.hub().generation).then_some(new.hub().generation)
}
