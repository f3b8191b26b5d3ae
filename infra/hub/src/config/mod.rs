//! The configuration compiler: `hub.toml` in, findings or a pack out.

mod against;
pub mod compile;
mod effects;
pub mod finding;
mod policy;
pub mod read;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use providers::{Override, Overrides, Provider};
use sync::config::{Config, PackError};
use thiserror::Error;

pub use against::written;
pub use compile::{Compiled, Difference, compile};
pub use finding::{Finding, Severity, Source};
use read::Findings;

/// The configuration that comes with the hub.
pub const DEFAULT: &str = include_str!("../../../config/hub.toml");

/// Where [`DEFAULT`] lies in the repository.
pub const DEFAULT_PATH: &str = "infra/config/hub.toml";

/// Why there is no configuration.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("`{path}` cannot be read")]
    Read {
        /// Which.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// There are errors in it; the text shows them as a compiler would.
    #[error("the configuration has errors\n{0}")]
    Findings(String),
    /// It cannot be packed.
    #[error("the configuration cannot be packed")]
    Pack(#[from] PackError),
}

/// A configuration that was read, with everything that was found in it.
pub struct Loaded {
    /// The text.
    pub source: Source,
    /// What it says; `None` when it is not TOML.
    pub compiled: Option<Compiled>,
    /// The providers of its connections, with the user's own mappings.
    pub providers: BTreeMap<String, Provider>,
    /// What is wrong, the worst first.
    pub findings: Vec<Finding>,
}

impl Loaded {
    /// Reads a file, or the configuration that comes with the hub.
    pub fn read(path: Option<&Path>) -> Result<Loaded, ConfigError> {
        let Some(path) = path else { return Ok(Loaded::new(DEFAULT_PATH, DEFAULT.to_owned(), None)) };
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: shown.clone(), source })?;
        Ok(Loaded::new(&shown, text, path.parent()))
    }

    /// Checks a text. Mapping files are looked for in `folder`.
    pub fn new(path: &str, text: String, folder: Option<&Path>) -> Loaded {
        let source = Source { path: path.to_owned(), text };
        let (compiled, mut findings) = compile(&source, Provider::builtin_names());
        let mut providers = BTreeMap::new();
        if let Some(compiled) = &compiled {
            let more = Findings::default();
            for (name, connection) in &compiled.hub.connections {
                match provider(compiled, name, &connection.provider, folder) {
                    Ok(provider) => {
                        providers.insert(name.clone(), provider);
                    }
                    Err(_) if !Provider::builtin_names().contains(&connection.provider.as_str()) => {}
                    Err(finding) => more.add(*finding),
                }
            }
            against::check(compiled, &providers, &more);
            findings.extend(more.into_sorted());
            findings.sort_by_key(|f| (f.severity, f.span.as_ref().map_or(0, |s| s.start)));
        }
        Loaded { source, compiled, providers, findings }
    }

    /// The number of errors; warnings do not count.
    pub fn errors(&self) -> usize {
        self.findings.iter().filter(|f| f.severity == Severity::Error).count()
    }

    /// The findings as text.
    pub fn report(&self, styled: bool) -> String {
        let all: Vec<String> = self.findings.iter().map(|f| f.render(&self.source, styled)).collect();
        all.join("\n\n")
    }

    /// What was compiled, unless there are errors.
    pub fn sound(&self) -> Result<&Compiled, ConfigError> {
        match &self.compiled {
            Some(compiled) if self.errors() == 0 => Ok(compiled),
            _ => Err(ConfigError::Findings(self.report(false))),
        }
    }

    /// The packed form, with some things changed.
    pub fn pack(&self, changes: &Changes) -> Result<Vec<u8>, ConfigError> {
        let mut hub = self.sound()?.hub.clone();
        for (name, url) in &changes.base_urls {
            if let Some(connection) = hub.connections.get_mut(name) {
                connection.base_url.clone_from(url);
            }
        }
        hub.retry.speed = changes.speed.unwrap_or(hub.retry.speed).max(1);
        let packed: BTreeMap<String, String> = self.providers.iter().map(|(name, p)| (name.clone(), p.to_packed())).collect();
        Ok(Config::pack(&hub, &packed)?)
    }
}

/// What a local stack or a test changes in a configuration.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// Base URLs by connection: sandboxes instead of the real ones.
    pub base_urls: BTreeMap<String, String>,
    /// Divides every wait that the hub chooses.
    pub speed: Option<u32>,
}

/// The pack of the configuration that comes with the hub, with some things changed.
pub fn pack(changes: &Changes) -> Result<Vec<u8>, ConfigError> {
    Loaded::read(None)?.pack(changes)
}

fn provider(compiled: &Compiled, name: &str, provider: &str, folder: Option<&Path>) -> Result<Provider, Box<Finding>> {
    let mut overrides = Overrides::default();
    for (map, file) in compiled.differences.get(name).map(|d| d.mappings.iter()).into_iter().flatten() {
        let path: PathBuf = folder.unwrap_or(Path::new("")).join(&file.value);
        match std::fs::read_to_string(&path) {
            Ok(text) => overrides.maps.push(Override { map: map.clone(), file: file.value.clone(), text }),
            Err(error) => {
                let finding = Finding::error(file.span.clone(), format!("the mapping file `{}` cannot be read", file.value));
                return Err(Box::new(finding.label(error.to_string())));
            }
        }
    }
    Provider::builtin(provider, &overrides).map_err(|error| {
        let span = compiled.places.providers.get(name).cloned().unwrap_or(0..0);
        Box::new(Finding::error(span, error.to_string()))
    })
}
