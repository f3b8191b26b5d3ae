//! What a function reads from its environment. The variables are declared in [`adapters::environment`].

use std::fmt;
use std::path::PathBuf;

use adapters::ResourceNames;
use adapters::environment::{CONFIG, ENVIRONMENT, Environment, LOG, PUBLIC_URL, SECRET_PREFIX};
use sync::config::Config;

/// The settings of a function.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The packed configuration's path.
    pub config: Option<PathBuf>,
    /// The environment's name.
    pub environment: String,
    /// The log level.
    pub log: String,
    /// The public base URL, without a trailing slash.
    pub public_url: Option<String>,
    names: ResourceNames,
}

/// Why a function cannot start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettingsError {
    /// A required variable is not set.
    Missing(&'static str),
    /// The configuration cannot be read.
    Config {
        /// The path of the configuration.
        path: String,
        /// Why it cannot be read.
        reason: String,
    },
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SettingsError::Missing(name) => write!(f, "the environment variable {name} is not set"),
            SettingsError::Config { path, reason } => write!(f, "the configuration {path} cannot be read: {reason}"),
        }
    }
}

impl std::error::Error for SettingsError {}

impl Settings {
    /// Reads the environment of this process.
    pub fn read() -> Result<Settings, SettingsError> {
        let environment = Environment::of_process();
        let value = |name: &str| environment.get(name).map(str::to_owned);
        environment.get(SECRET_PREFIX).ok_or(SettingsError::Missing(SECRET_PREFIX))?;
        Ok(Settings {
            config: value(CONFIG).map(PathBuf::from),
            environment: value(ENVIRONMENT).unwrap_or_default(),
            log: value(LOG).unwrap_or_else(|| "info".to_owned()),
            public_url: value(PUBLIC_URL).map(|url| url.trim_end_matches('/').to_owned()),
            names: ResourceNames::from_environment(&environment),
        })
    }

    /// Opens the packed configuration.
    pub fn config(&self) -> Result<Config, SettingsError> {
        let path = self.config.as_ref().ok_or(SettingsError::Missing(CONFIG))?;
        let broken = |reason: String| SettingsError::Config { path: path.display().to_string(), reason };
        let bytes = std::fs::read(path).map_err(|e| broken(e.to_string()))?;
        Config::open(bytes).map_err(|e| broken(e.to_string()))
    }

    /// The resources of this function. Outbound calls may go to the hosts of the configuration's connections, and nowhere else.
    pub fn names(&self, config: &Config) -> ResourceNames {
        ResourceNames { hosts: config.hub().hosts(), ..self.names.clone() }
    }
}
