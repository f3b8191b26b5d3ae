//! The ports on AWS: the only crate that names an `aws_sdk_*` crate. It carries, and never decides.
//!
//! One SDK configuration and one HTTP client per process, made in init and cloned; the credentials of the execution environment;
//! time-outs on every call; few retries, since the queue is the retry loop.
#![forbid(unsafe_code)]

mod blob;
mod clock;
mod dynamodb;
mod error;
mod http;
mod operator;
mod secrets;
mod sqs;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use aws_smithy_async::time::SystemTimeSource;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::region::Region;
use aws_types::sdk_config::{SdkConfig, SharedTimeSource};
use sync::ports::{PortError, Table};

use secrets::SecretCache;

/// Retries of a single SDK call.
const SDK_ATTEMPTS: u32 = 3;
const CONNECT: Duration = Duration::from_secs(2);
const ATTEMPT: Duration = Duration::from_secs(4);
const OPERATION: Duration = Duration::from_secs(5);

/// The physical names of the resources that a process may use, as the environment variables of a function give them.
#[derive(Debug, Clone, Default)]
pub struct ResourceNames {
    /// Physical table names.
    pub tables: BTreeMap<Table, String>,
    /// Queue URLs by logical name.
    pub queues: BTreeMap<String, String>,
    /// The claim-check bucket.
    pub bucket: Option<String>,
    /// What precedes a secret's logical name.
    pub secret_prefix: String,
    /// Hosts (with port, where not the scheme's own) that outbound calls may go to.
    pub hosts: Vec<String>,
}

/// Who calls, and where.
#[derive(Clone)]
pub struct Access {
    /// The region.
    pub region: String,
    /// Anything that speaks the protocols of AWS; AWS itself, if not given.
    pub endpoint: Option<String>,
    /// What proves who calls.
    pub credentials: Credentials,
}

impl Access {
    /// What the environment says: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, `AWS_REGION`,
    /// `AWS_ENDPOINT_URL`.
    ///
    /// # Errors
    /// One of them is missing; token and endpoint may be.
    pub fn environment() -> Result<Access, MissingEnvironment> {
        let var = |name: &'static str| std::env::var(name).ok().filter(|v| !v.is_empty());
        let need = |name: &'static str| var(name).ok_or(MissingEnvironment(name));
        let (key, secret) = (need("AWS_ACCESS_KEY_ID")?, need("AWS_SECRET_ACCESS_KEY")?);
        Ok(Access {
            region: var("AWS_REGION").or(var("AWS_DEFAULT_REGION")).ok_or(MissingEnvironment("AWS_REGION"))?,
            endpoint: var("AWS_ENDPOINT_URL"),
            credentials: Credentials::new(key, secret, var("AWS_SESSION_TOKEN"), None, "environment"),
        })
    }

    /// The local stack at this endpoint, which asks nobody who he is.
    pub fn local(endpoint: &str) -> Access {
        Access {
            region: "us-east-1".to_owned(),
            endpoint: Some(endpoint.to_owned()),
            credentials: Credentials::new("local", "local", None, None, "local stack"),
        }
    }
}

/// Why the ports cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingEnvironment(pub &'static str);

impl fmt::Display for MissingEnvironment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the environment variable {} is not set", self.0)
    }
}

impl std::error::Error for MissingEnvironment {}

/// The ports on AWS, or on anything that speaks its protocols at `AWS_ENDPOINT_URL`.
pub struct Aws {
    names: ResourceNames,
    dynamodb: aws_sdk_dynamodb::Client,
    sqs: aws_sdk_sqs::Client,
    secrets_manager: aws_sdk_secretsmanager::Client,
    secrets: SecretCache,
    blob: blob::Bucket,
    http: http::Outbound,
}

impl Aws {
    /// Opens the ports with what the environment says, see [`Access::environment`]. Connects when first used.
    ///
    /// # Errors
    /// The environment does not say enough.
    pub fn open(names: ResourceNames) -> Result<Aws, MissingEnvironment> {
        Ok(Aws::with(Access::environment()?, names))
    }

    /// Opens the ports with this access. Connects when first used.
    pub fn with(access: Access, names: ResourceNames) -> Aws {
        let Access { region, endpoint, credentials } = access;
        let client = aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
        let mut config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(region.clone()))
            .credentials_provider(SharedCredentialsProvider::new(credentials.clone()))
            .http_client(client)
            .sleep_impl(SharedAsyncSleep::new(TokioSleep::new()))
            .time_source(SharedTimeSource::new(SystemTimeSource::new()))
            .retry_config(RetryConfig::standard().with_max_attempts(SDK_ATTEMPTS))
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(CONNECT)
                    .operation_attempt_timeout(ATTEMPT)
                    .operation_timeout(OPERATION)
                    .build(),
            );
        config.set_endpoint_url(endpoint.clone());
        let config = config.build();
        let http = http::Outbound::new(&names.hosts);
        Aws {
            dynamodb: aws_sdk_dynamodb::Client::new(&config),
            sqs: aws_sdk_sqs::Client::new(&config),
            secrets_manager: aws_sdk_secretsmanager::Client::new(&config),
            secrets: SecretCache::default(),
            blob: blob::Bucket::new(names.bucket.clone(), region, endpoint, credentials),
            http,
            names,
        }
    }

    fn table(&self, table: Table) -> Result<&str, PortError> {
        self.names
            .tables
            .get(&table)
            .map(String::as_str)
            .ok_or_else(|| PortError::rejected(format!("this function may not use the table `{}`", table.name())))
    }

    fn queue(&self, queue: &str) -> Result<&str, PortError> {
        self.names
            .queues
            .get(queue)
            .map(String::as_str)
            .ok_or_else(|| PortError::rejected(format!("this function may not use the queue `{queue}`")))
    }
}
