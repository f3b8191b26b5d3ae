//! The ports on AWS: the only crate that names an `aws_sdk_*` crate. It carries, and never decides.
//!
//! One SDK configuration and one HTTP client per process, made in init and cloned; the credentials of the execution environment;
//! time-outs on every call; few retries, since the queue is the retry loop.
#![forbid(unsafe_code)]

mod blob;
mod clock;
mod dynamodb;
pub mod environment;
mod error;
mod http;
mod operator;
mod secrets;
mod sqs;

use std::time::Duration;

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

pub use environment::{Access, MissingEnvironment, ResourceNames};

use environment::Environment;
use secrets::SecretCache;

/// Retries of a single SDK call.
const SDK_ATTEMPTS: u32 = 3;
const CONNECT: Duration = Duration::from_secs(2);
const ATTEMPT: Duration = Duration::from_secs(4);
const OPERATION: Duration = Duration::from_secs(5);

/// The ports on AWS, or on another service with its protocols at `AWS_ENDPOINT_URL`.
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
    /// Opens the ports with the access that the environment of this process gives. Connects when first used.
    ///
    /// # Errors
    /// A variable is missing, see [`Access::from_environment`].
    pub fn open(names: ResourceNames) -> Result<Aws, MissingEnvironment> {
        Ok(Aws::with(Access::from_environment(&Environment::of_process())?, names))
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
