//! The configuration compiler: `hub.toml` in, findings or a pack out.

mod against;
pub mod compile;
mod effects;
pub mod finding;
mod policy;
pub mod read;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mapping::compile::Diagnostic;
use providers::{LoadError, Override, Overrides, Provider, Rate, Registry};
use sync::config::{Bucket, Config, PackError};
use thiserror::Error;
use webhook::Scheme;

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
        let source = Source { path: path.to_owned(), text };
        let (compiled, mut findings) = compile(&source, registry.names());
        let mut providers = BTreeMap::new();
        let mut narrowed = Vec::new();
        if let Some(compiled) = &compiled {
            let more = Findings::default();
            for (name, connection) in &compiled.hub.connections {
                match provider(registry, compiled, name, &connection.provider, folder) {
                    Ok(provider) => {
                        providers.insert(name.to_string(), provider);
                    }
                    Err(_) if !registry.names().contains(&connection.provider.as_str()) => {}
                    Err(findings) => findings.into_iter().for_each(|finding| more.add(finding)),
                }
            }
            narrowed = against::check(compiled, &providers, &more);
            findings.extend(more.into_sorted());
            findings.sort_by_key(|f| (f.severity, f.span.as_ref().map_or(0, |s| s.start)));
        }
        Loaded { source, compiled, providers, findings, narrowed }
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
        for (name, provider) in &self.providers {
            if let Some(connection) = hub.connections.get_mut(name.as_str()).filter(|c| c.buckets.is_empty()) {
                let rates = provider.manifest().api.rates.iter();
                let bucket =
                    |rate: &Rate| Bucket { path: rate.path.clone(), ..Bucket::of(&rate.name, rate.capacity, rate.window_ms) };
                connection.buckets = rates.map(bucket).collect();
            }
            if let (Some(connection), Scheme::Sns(sns)) =
                (hub.connections.get_mut(name.as_str()), &provider.manifest().webhook.scheme)
            {
                connection.hosts = sns.hosts();
            }
            if let Some(connection) =
                hub.connections.get_mut(name.as_str()).filter(|c| c.api_secret.is_some() && c.base_url.is_empty())
            {
                connection.base_url.clone_from(&provider.manifest().api.base_url);
            }
        }
        for (name, url) in &changes.base_urls {
            if let Some(connection) = hub.connections.get_mut(name.as_str()) {
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

fn provider(
    registry: &Registry,
    compiled: &Compiled,
    name: &str,
    provider: &str,
    folder: Option<&Path>,
) -> Result<Provider, Vec<Finding>> {
    let mut overrides = Overrides::default();
    for (map, file) in compiled.differences.get(name).map(|d| d.mappings.iter()).into_iter().flatten() {
        let path: PathBuf = folder.unwrap_or(Path::new("")).join(&file.value);
        match std::fs::read_to_string(&path) {
            Ok(text) => overrides.maps.push(Override { map: map.clone(), file: path.display().to_string(), text }),
            Err(error) => {
                let finding = Finding::error(file.span.clone(), format!("the mapping file `{}` cannot be read", file.value));
                return Err(vec![finding.label(error.to_string())]);
            }
        }
    }
    let span = compiled.places.providers.get(name).cloned().unwrap_or(0..0);
    let finding = |what: String| vec![Finding::error(span.clone(), what)];
    let built = registry.open(provider, &overrides).map_err(|error| match error {
        LoadError::Files(diagnostics) => diagnostics.0.into_iter().map(|d| in_mapping(d, &overrides)).collect(),
        other => finding(other.to_string()),
    })?;
    match compiled.differences.get(name).filter(|d| d.accept.is_some() || d.tolerance_s.is_some() || d.topics.is_some()) {
        Some(difference) => {
            with_signature(&built, difference).map_err(|what| finding(format!("`signature` of `{name}`: {what}")))
        }
        None => Ok(built),
    }
}

/// A mistake in a mapping file, shown in that file.
fn in_mapping(diagnostic: Diagnostic, overrides: &Overrides) -> Finding {
    let own = overrides.maps.iter().find(|o| o.file == diagnostic.file).map(|o| o.text.clone());
    let builtin = || std::fs::read_to_string(Path::new("shared/providers").join(&diagnostic.file)).ok();
    let message = format!("{}:{}:{}: {}", diagnostic.file, diagnostic.line, diagnostic.column, diagnostic.message);
    let finding = match own.or_else(builtin).filter(|text| text.len() >= diagnostic.span.end) {
        Some(text) => Finding::error(diagnostic.span.clone(), diagnostic.message.clone())
            .elsewhere(Source { path: diagnostic.file.clone(), text }),
        None => Finding { span: None, ..Finding::error(0..0, message) },
    };
    match &diagnostic.help {
        Some(help) => finding.help(help.clone()),
        None => finding,
    }
}

/// The provider with the connection's own signature versions, tolerance and topics.
fn with_signature(provider: &Provider, difference: &Difference) -> Result<Provider, String> {
    let mut webhook = provider.manifest().webhook.clone();
    if let Some(accept) = &difference.accept {
        if !matches!(webhook.scheme, Scheme::Versions(_)) {
            return Err("this provider has one signature version, nothing to accept".to_owned());
        }
        webhook.scheme = webhook.scheme.with_versions(accept.clone());
    }
    if let Some(tolerance_s) = difference.tolerance_s {
        webhook.scheme = webhook.scheme.with_tolerance(Some(tolerance_s));
    }
    if let Some(topics) = &difference.topics {
        if !matches!(webhook.scheme, Scheme::Sns(_)) {
            return Err("this provider does not send by topics of Amazon SNS".to_owned());
        }
        webhook.scheme = webhook.scheme.with_topics(topics.clone());
    }
    webhook.check().map_err(|e| e.to_string())?;
    let mut packed: serde_json::Value = serde_json::from_str(&provider.to_packed()).map_err(|e| e.to_string())?;
    let new = serde_json::to_value(&webhook).map_err(|e| e.to_string())?;
    let place = if packed.get("webhook").is_some() { packed.get_mut("webhook") } else { packed.pointer_mut("/manifest/webhook") };
    *place.ok_or("its packed form has no webhook")? = new;
    Provider::from_packed(&packed.to_string()).map_err(|e| e.to_string())
}
