//! The environment variables of the hub, each declared once: functions read them, `hub` writes and reads them.

use std::collections::BTreeMap;
use std::fmt;

use aws_credential_types::Credentials;
use sync::ports::{QueueName, Table};

/// The path of the packed configuration.
pub const CONFIG: &str = "HUB_CONFIG";
/// The name of the environment, such as `prod`.
pub const ENVIRONMENT: &str = "HUB_ENVIRONMENT";
/// The log level: `error`, `warn`, `info`, `debug`.
pub const LOG: &str = "HUB_LOG";
/// The claim-check bucket.
pub const BUCKET: &str = "HUB_BUCKET";
/// The prefix of the physical names of secrets.
pub const SECRET_PREFIX: &str = "HUB_SECRET_PREFIX";
/// Scheme and host as providers call them, where it is not the function URL.
pub const PUBLIC_URL: &str = "HUB_PUBLIC_URL";
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
    ("refresh", "HUB_QUEUE_REFRESH"),
    ("refresh-dlq", "HUB_QUEUE_REFRESH_DLQ"),
];
/// Queue URLs of the destinations: this prefix and the connection's name in capitals.
const DESTINATION_QUEUES: &str = "HUB_QUEUE_UPSERT_";

/// The variable with the physical name of a table.
pub fn table_variable(table: Table) -> &'static str {
    TABLES.iter().find(|(known, _)| *known == table).map_or("", |(_, variable)| variable)
}

/// The variable with the URL of a queue: `upsert-hubspot-dlq` → `HUB_QUEUE_UPSERT_HUBSPOT_DLQ`.
pub fn queue_variable(queue: &str) -> String {
    format!("HUB_QUEUE_{}", queue.to_ascii_uppercase().replace('-', "_"))
}

/// The queue whose URL is in a variable. The names of destinations have hyphens and no underscores.
fn queue_of(variable: &str) -> Option<QueueName> {
    if let Some(destination) = variable.strip_prefix(DESTINATION_QUEUES) {
        return Some(QueueName::upsert(&destination.to_ascii_lowercase().replace('_', "-")));
    }
    QUEUES.iter().find(|(_, known)| *known == variable).map(|(queue, _)| (*queue).into())
}

/// The physical names of the AWS resources that a process may use, and the hosts that it may call.
#[derive(Debug, Clone, Default)]
pub struct ResourceNames {
    /// Physical table names.
    pub tables: BTreeMap<Table, String>,
    /// Queue URLs by logical name.
    pub queues: BTreeMap<QueueName, String>,
    /// The claim-check bucket.
    pub bucket: Option<String>,
    /// The prefix of the physical names of secrets.
    pub secret_prefix: String,
    /// Hosts (with port, where not the scheme's own) that outbound calls may go to.
    pub hosts: Vec<String>,
}

/// The identity of the caller and the endpoint that is called.
#[derive(Clone)]
pub struct Access {
    /// The region.
    pub region: String,
    /// An endpoint with the protocols of AWS; `None` means AWS itself.
    pub endpoint: Option<String>,
    /// The caller's credentials.
    pub credentials: Credentials,
}

/// A required environment variable is not set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingEnvironment(pub &'static str);

impl fmt::Display for MissingEnvironment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the environment variable {} is not set", self.0)
    }
}

impl std::error::Error for MissingEnvironment {}

/// Environment variables with their values: those of this process, or of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The variables of this process, except those that are not UTF-8.
    pub fn of_process() -> Environment {
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))).collect()
    }

    /// The value of a variable. An empty value counts as none.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// All variables, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl FromIterator<(String, String)> for Environment {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(variables: I) -> Environment {
        Environment(variables.into_iter().collect())
    }
}

impl Extend<(String, String)> for Environment {
    fn extend<I: IntoIterator<Item = (String, String)>>(&mut self, variables: I) {
        self.0.extend(variables);
    }
}

impl ResourceNames {
    /// The tables, queues, bucket and secrets that the variables name; no hosts.
    pub fn from_environment(environment: &Environment) -> ResourceNames {
        let tables = TABLES.iter().filter_map(|(table, variable)| Some((*table, environment.get(variable)?.to_owned())));
        let queues = environment.iter().filter_map(|(variable, url)| Some((queue_of(variable)?, url.to_owned())));
        ResourceNames {
            tables: tables.collect(),
            queues: queues.collect(),
            bucket: environment.get(BUCKET).map(str::to_owned),
            secret_prefix: environment.get(SECRET_PREFIX).unwrap_or_default().to_owned(),
            hosts: Vec::new(),
        }
    }
}

impl Access {
    /// The access that `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, `AWS_REGION` and `AWS_ENDPOINT_URL` give.
    ///
    /// # Errors
    /// A variable is missing. The session token and the endpoint are optional.
    pub fn from_environment(environment: &Environment) -> Result<Access, MissingEnvironment> {
        let required = |name: &'static str| environment.get(name).ok_or(MissingEnvironment(name));
        let region = environment.get("AWS_REGION").or_else(|| environment.get("AWS_DEFAULT_REGION"));
        let token = environment.get("AWS_SESSION_TOKEN").map(str::to_owned);
        let (key, secret) = (required("AWS_ACCESS_KEY_ID")?, required("AWS_SECRET_ACCESS_KEY")?);
        Ok(Access {
            region: region.ok_or(MissingEnvironment("AWS_REGION"))?.to_owned(),
            endpoint: environment.get("AWS_ENDPOINT_URL").map(str::to_owned),
            credentials: Credentials::new(key, secret, token, None, "environment"),
        })
    }

    /// The local stack at this endpoint. It does not authenticate callers.
    pub fn local(endpoint: &str) -> Access {
        Access {
            region: "us-east-1".to_owned(),
            endpoint: Some(endpoint.to_owned()),
            credentials: Credentials::new("local", "local", None, None, "local stack"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_has_a_variable_of_its_own() {
        let variables: std::collections::BTreeSet<&str> = Table::ALL.iter().map(|table| table_variable(*table)).collect();
        assert_eq!(variables.len(), Table::ALL.len());
        assert!(variables.iter().all(|variable| variable.starts_with("HUB_TABLE_")), "{variables:?}");
    }

    #[test]
    fn resources_are_those_of_the_variables() {
        let variables = [
            ("HUB_TABLE_KEYS", "hub-keys"),
            ("HUB_TABLE_AUDIT", ""),
            ("HUB_QUEUE_FETCH", "https://sqs/fetch"),
            ("HUB_QUEUE_UPSERT_HUBSPOT_EU_DLQ", "https://sqs/dead"),
            ("HUB_BUCKET", "bodies"),
            ("PATH", "/bin"),
        ];
        let environment: Environment = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect();
        let resources = ResourceNames::from_environment(&environment);
        assert_eq!(resources.tables, [(Table::Keys, "hub-keys".to_owned())].into(), "an empty value names nothing");
        let queues = [("fetch", "https://sqs/fetch"), ("upsert-hubspot-eu-dlq", "https://sqs/dead")];
        assert_eq!(resources.queues, queues.map(|(name, url)| (name.into(), url.to_owned())).into());
        assert!(resources.queues.keys().all(|queue| environment.get(&queue_variable(queue)).is_some()));
        assert_eq!((resources.bucket.as_deref(), resources.secret_prefix.as_str()), (Some("bodies"), ""));
    }

    #[test]
    fn access_names_the_variable_that_is_missing() {
        let mut environment = Environment::default();
        let mut missing = Vec::new();
        while let Err(MissingEnvironment(name)) = Access::from_environment(&environment) {
            missing.push(name);
            environment.extend([(name.to_owned(), "x".to_owned())]);
        }
        assert_eq!(missing, ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"]);
    }
}
