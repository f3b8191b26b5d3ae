//! A configuration that was read, checked against the providers' folders, and what the functions get of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use mapping::file::{Diagnostic, Report, Severity, Source};
use providers::{AuthForm, Provider, Rate, Registry};
use sync::config::{Bucket, Config, Connection, Hub, PackError};
use thiserror::Error;
use webhook::Scheme;

use super::compile::{Compiled, NOT_NUMBERED, compile};
use super::render::render;
use super::{provider, provider_checks};

/// The configuration that comes with the hub.
pub const DEFAULT: &str = include_str!("../../../config/hub.toml");

/// The path of [`DEFAULT`] in the repository.
pub const DEFAULT_PATH: &str = "infra/config/hub.toml";

/// Why there is no configuration.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("`{path}` cannot be read")]
    Read {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It has errors; the text shows them as a compiler would.
    #[error("the configuration has errors\n{0}")]
    Invalid(String),
    /// It cannot be packed.
    #[error("the configuration cannot be packed")]
    Pack(#[from] PackError),
}

/// A configuration that was read, with everything that was found in it.
pub struct Loaded {
    /// The file.
    pub source: Source,
    /// Its content; `None` when it is not TOML.
    pub compiled: Option<Compiled>,
    /// The providers of its connections, with the user's own mappings, by connection.
    pub providers: BTreeMap<String, Provider>,
    /// What is wrong, errors first.
    pub diagnostics: Vec<Diagnostic>,
    /// Values that a destination has no word for, and what they become there.
    pub narrowed: Vec<String>,
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
        Loaded::with(&Registry::default(), path, text, folder)
    }

    /// The same, with the providers of a registry alone.
    pub fn with(registry: &Registry, path: &str, text: String, folder: Option<&Path>) -> Loaded {
        let source = Source::new(path, text);
        let (mut compiled, mut diagnostics) = compile(&source, registry.names());
        let mut providers = BTreeMap::new();
        let mut narrowed = Vec::new();
        if let Some(compiled) = &mut compiled {
            let mut report = Report::new(source.clone());
            for (name, connection) in &compiled.hub.connections {
                // A provider without a folder has been reported already.
                if registry.names().contains(&connection.provider.as_str()) {
                    let provider = provider::open(registry, compiled, name.as_str(), &connection.provider, folder, &mut report);
                    providers.extend(provider.map(|provider| (name.to_string(), provider)));
                }
            }
            compiled.refreshed = refreshed(&compiled.hub, &providers);
            narrowed = provider_checks::check(compiled, &providers, &mut report);
            diagnostics.extend(report.into_sorted());
            diagnostics.sort_by_key(|d| (d.severity, d.span.start));
        }
        Loaded { source, compiled, providers, diagnostics, narrowed }
    }

    /// The number of errors; warnings do not count.
    pub fn errors(&self) -> usize {
        self.diagnostics.iter().filter(|d| d.severity == Severity::Error).count()
    }

    /// The diagnostics as text.
    pub fn report(&self, styled: bool) -> String {
        let all: Vec<String> = self.diagnostics.iter().map(|diagnostic| render(diagnostic, styled)).collect();
        all.join("\n\n")
    }

    /// What was compiled, unless there are errors.
    pub fn sound(&self) -> Result<&Compiled, ConfigError> {
        match &self.compiled {
            Some(compiled) if self.errors() == 0 => Ok(compiled),
            _ => Err(ConfigError::Invalid(self.report(false))),
        }
    }

    /// The packed form, with some things changed.
    pub fn pack(&self, changes: &Changes) -> Result<Vec<u8>, ConfigError> {
        let mut hub = self.sound()?.hub.clone();
        for (name, provider) in &self.providers {
            if let Some(connection) = hub.connections.get_mut(name.as_str()) {
                complete(connection, provider);
            }
        }
        for (name, url) in &changes.base_urls {
            if let Some(connection) = hub.connections.get_mut(name.as_str()) {
                connection.base_url.clone_from(url);
            }
        }
        for (name, url) in &changes.auth_urls {
            if let Some(connection) = hub.connections.get_mut(name.as_str()) {
                connection.auth_url.clone_from(url);
            }
        }
        for (name, provider) in &self.providers {
            hub.connections.get_mut(name.as_str()).into_iter().for_each(|connection| add_hosts(connection, provider));
        }
        if hub.generation == NOT_NUMBERED {
            hub.generation = changes.generation.max(1);
        }
        hub.retry.speed = changes.speed.unwrap_or(hub.retry.speed).max(1);
        let packed: BTreeMap<String, String> = self.providers.iter().map(|(name, p)| (name.clone(), p.to_packed())).collect();
        Ok(Config::pack(&hub, &packed)?)
    }
}

/// The connections with an API secret whose provider has a token endpoint.
fn refreshed(hub: &Hub, providers: &BTreeMap<String, Provider>) -> BTreeSet<String> {
    let has_endpoint = |provider: &Provider| provider.manifest().api.auth.iter().any(|auth| auth.form == AuthForm::Oauth2);
    let with_secret = hub.connections.iter().filter(|(_, connection)| connection.api_secret.is_some());
    let names = with_secret.filter(|(name, _)| providers.get(name.as_str()).is_some_and(has_endpoint));
    names.map(|(name, _)| name.to_string()).collect()
}

/// Fills in from the provider's manifest what the configuration leaves to it.
fn complete(connection: &mut Connection, provider: &Provider) {
    let manifest = provider.manifest();
    let bucket = |rate: &Rate| Bucket { path: rate.path.clone(), ..Bucket::of(&rate.name, rate.capacity, rate.window_ms) };
    let has_own_rate = !connection.buckets.is_empty();
    let rates = manifest.api.rates.iter().filter(|rate| !has_own_rate || !rate.path.is_empty());
    connection.buckets.extend(rates.map(bucket));
    if connection.api_secret.is_some() && connection.base_url.is_empty() {
        connection.base_url.clone_from(&manifest.api.base_url);
    }
}

/// The further hosts that are called for a connection: those at which Amazon serves what its topics need, and those that give tokens.
fn add_hosts(connection: &mut Connection, provider: &Provider) {
    let manifest = provider.manifest();
    let mut hosts = match &manifest.webhook.scheme {
        Scheme::Sns(sns) => sns.hosts(),
        _ => Vec::new(),
    };
    if connection.api_secret.is_some() {
        let variables = connection.auth_variables();
        let urls = manifest.api.auth.iter().map(|auth| variables.fill(&auth.token_url));
        hosts.extend(urls.filter_map(|url| Some(url.split_once("://")?.1.split('/').next()?.to_owned())));
    }
    hosts.sort();
    hosts.dedup();
    connection.hosts = hosts;
}

/// What a local stack or a test changes in a configuration.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// Base URLs by connection: sandboxes instead of the real ones.
    pub base_urls: BTreeMap<String, String>,
    /// Scheme and host of the token endpoints, by connection: stand-ins instead of the real ones.
    pub auth_urls: BTreeMap<String, String>,
    /// Divides every wait that the hub chooses.
    pub speed: Option<u32>,
    /// The generation of a configuration that does not number itself.
    pub generation: u64,
}

/// The pack of the configuration that comes with the hub, with some things changed.
pub fn pack(changes: &Changes) -> Result<Vec<u8>, ConfigError> {
    Loaded::read(None)?.pack(changes)
}
