//! Every environment variable that a function reads, declared once.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use adapters::ResourceNames;
use sync::config::Config;
use sync::ports::Table;

/// The path of the packed configuration.
const CONFIG: &str = "HUB_CONFIG";
/// The name of the environment, such as `prod`.
const ENVIRONMENT: &str = "HUB_ENVIRONMENT";
/// The log level: `error`, `warn`, `info`, `debug`.
const LOG: &str = "HUB_LOG";
/// The claim-check bucket.
const BUCKET: &str = "HUB_BUCKET";
/// What precedes the logical names of secrets.
const SECRET_PREFIX: &str = "HUB_SECRET_PREFIX";
/// Scheme and host as providers call them, where it is not the function URL.
const PUBLIC_URL: &str = "HUB_PUBLIC_URL";
/// Physical table names.
const TABLES: &[(Table, &str)] = &[
    (Table::Golden, "HUB_TABLE_GOLDEN"),
    (Table::Links, "HUB_TABLE_LINKS"),
    (Table::Journal, "HUB_TABLE_JOURNAL"),
    (Table::Audit, "HUB_TABLE_AUDIT"),
    (Table::Control, "HUB_TABLE_CONTROL"),
    (Table::Keys, "HUB_TABLE_KEYS"),
];
/// Queue URLs that every hub has. A dead-letter queue has the suffix `_DLQ`.
const QUEUES: &[(&str, &str)] = &[
    ("ingest-urgent", "HUB_QUEUE_INGEST_URGENT"),
    ("ingest-urgent-dlq", "HUB_QUEUE_INGEST_URGENT_DLQ"),
    ("ingest-bulk", "HUB_QUEUE_INGEST_BULK"),
    ("ingest-bulk-dlq", "HUB_QUEUE_INGEST_BULK_DLQ"),
    ("fetch", "HUB_QUEUE_FETCH"),
    ("fetch-dlq", "HUB_QUEUE_FETCH_DLQ"),
];
/// Queue URLs of the destinations: this prefix and the connection's name in capitals.
const DESTINATION_QUEUES: &str = "HUB_QUEUE_UPSERT_";

/// What the environment says.
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
    bucket: Option<String>,
    secret_prefix: String,
    tables: BTreeMap<Table, String>,
    queues: BTreeMap<String, String>,
}

/// Why a function cannot start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettingsError {
    /// A variable that must be there is not.
    Missing(&'static str),
    /// The configuration cannot be read.
    Config {
        /// Where.
        path: String,
        /// Why.
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

fn var(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

impl Settings {
    /// Reads the environment of this process.
    pub fn read() -> Result<Settings, SettingsError> {
        let mut queues: BTreeMap<String, String> =
            QUEUES.iter().filter_map(|(queue, name)| Some(((*queue).to_owned(), var(name)?))).collect();
        for (name, url) in std::env::vars() {
            if let Some(destination) = name.strip_prefix(DESTINATION_QUEUES) {
                queues.insert(format!("upsert-{}", destination.to_lowercase().replace('_', "-")), url);
            }
        }
        Ok(Settings {
            config: var(CONFIG).map(PathBuf::from),
            environment: var(ENVIRONMENT).unwrap_or_default(),
            log: var(LOG).unwrap_or_else(|| "info".to_owned()),
            public_url: var(PUBLIC_URL).map(|url| url.trim_end_matches('/').to_owned()),
            bucket: var(BUCKET),
            secret_prefix: var(SECRET_PREFIX).ok_or(SettingsError::Missing(SECRET_PREFIX))?,
            tables: TABLES.iter().filter_map(|(table, name)| Some((*table, var(name)?))).collect(),
            queues,
        })
    }

    /// Opens the packed configuration.
    pub fn config(&self) -> Result<Config, SettingsError> {
        let path = self.config.as_ref().ok_or(SettingsError::Missing(CONFIG))?;
        let broken = |reason: String| SettingsError::Config { path: path.display().to_string(), reason };
        let bytes = std::fs::read(path).map_err(|e| broken(e.to_string()))?;
        Config::open(bytes).map_err(|e| broken(e.to_string()))
    }

    /// Where things are. Outbound calls may go to the hosts of the configuration's connections, and nowhere else.
    pub fn names(&self, config: &Config) -> ResourceNames {
        ResourceNames {
            hosts: config
                .hub()
                .connections
                .values()
                .flat_map(|c| host_of(&c.base_url).into_iter().chain(c.hosts.clone()))
                .collect(),
            ..self.names_without_config()
        }
    }

    /// Where things are, for a function that calls no provider.
    pub fn names_without_config(&self) -> ResourceNames {
        ResourceNames {
            tables: self.tables.clone(),
            queues: self.queues.clone(),
            bucket: self.bucket.clone(),
            secret_prefix: self.secret_prefix.clone(),
            hosts: Vec::new(),
        }
    }
}

fn host_of(base_url: &str) -> Option<String> {
    let (_, rest) = base_url.split_once("://")?;
    rest.split('/').next().filter(|host| !host.is_empty()).map(str::to_owned)
}
