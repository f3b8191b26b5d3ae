//! The adapter on an endpoint, with the tables, queues, secrets and bucket that the checks need, under names of this run only.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use adapters::{Access, Aws, ResourceNames};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_dynamodb::types::{AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType};
use aws_sdk_sqs::types::QueueAttributeName;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_types::region::Region;
use aws_types::sdk_config::SdkConfig;
use local::{Conflicts, Options, Stack};
use sync::ports::{Blob, Delivery, PortError, QueueName, Table};
use testkit::conformance::{Area, QUEUES, SECRETS, Subject};

const REGION: &str = "eu-west-1";

/// A local stack of engines only.
pub async fn local_stack() -> Stack {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let mut options = Options::new(folder.join("template.yaml"), folder);
    options.region = REGION.into();
    Stack::start(options).await.expect("a stack without functions starts")
}

/// The adapter, and what is around it.
pub struct Endpoint<'a> {
    ports: Aws,
    prefix: String,
    stack: Option<&'a Stack>,
}

impl<'a> Endpoint<'a> {
    /// Makes what the checks of these areas need.
    pub async fn prepare(endpoint: String, areas: &[Area], stack: Option<&'a Stack>) -> Endpoint<'a> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
        let prefix = format!("conformance-{}-", since.as_millis());
        let makers = Makers::new(&endpoint);
        let mut names = ResourceNames { secret_prefix: prefix.clone(), ..ResourceNames::default() };
        if areas.contains(&Area::Tables) {
            names.tables = makers.tables(&prefix).await;
        }
        if areas.contains(&Area::Queues) {
            names.queues = makers.queues(&prefix).await;
        }
        if areas.contains(&Area::Secrets) {
            makers.secrets(&prefix).await;
        }
        if areas.contains(&Area::Blobs) {
            names.bucket = Some(format!("{prefix}bucket"));
        }
        let credentials = Credentials::new("test", "test", None, None, "conformance");
        let access = Access { region: REGION.into(), endpoint: Some(endpoint), credentials };
        let subject = Endpoint { ports: Aws::with(access, names), prefix, stack };
        if areas.contains(&Area::Blobs) {
            // A PUT of the bucket's own path makes the bucket.
            subject
                .ports
                .put(
                    "",
                    format!(
                        "<CreateBucketConfiguration><LocationConstraint>{REGION}</LocationConstraint></CreateBucketConfiguration>"
                    )
                    .as_bytes(),
                )
                .await
                .expect("a bucket can be made");
        }
        subject
    }
}

impl Subject for Endpoint<'_> {
    type Ports = Aws;

    fn ports(&self) -> &Aws {
        &self.ports
    }

    async fn receive(&self, queue: &str, visibility_s: u32) -> Result<Vec<Delivery>, PortError> {
        self.ports.receive(queue, visibility_s).await
    }

    async fn delete(&self, queue: &str, receipt: &str) -> Result<(), PortError> {
        self.ports.delete(queue, receipt).await
    }

    async fn pass(&self, ms: u64) {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }

    fn secret_id(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn contend(&self, on: bool) -> bool {
        let Some(stack) = self.stack else { return false };
        stack.set_conflicts(on.then_some(Conflicts { probability: 1.0, seed: 1 }));
        true
    }
}

/// Clients for what functions never do: making things.
struct Makers {
    dynamodb: aws_sdk_dynamodb::Client,
    sqs: aws_sdk_sqs::Client,
    secrets: aws_sdk_secretsmanager::Client,
}

impl Makers {
    fn new(endpoint: &str) -> Makers {
        let client = aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(REGION))
            .credentials_provider(SharedCredentialsProvider::new(Credentials::new("test", "test", None, None, "conformance")))
            .http_client(client)
            .endpoint_url(endpoint)
            .build();
        Makers {
            dynamodb: aws_sdk_dynamodb::Client::new(&config),
            sqs: aws_sdk_sqs::Client::new(&config),
            secrets: aws_sdk_secretsmanager::Client::new(&config),
        }
    }

    async fn tables(&self, prefix: &str) -> BTreeMap<Table, String> {
        let mut names = BTreeMap::new();
        for table in Table::ALL {
            let name = format!("{prefix}{}", table.name());
            let mut request = self.dynamodb.create_table().table_name(&name).billing_mode(BillingMode::PayPerRequest);
            for (part, kind) in [("pk", KeyType::Hash), ("sk", KeyType::Range)] {
                let attribute = AttributeDefinition::builder().attribute_name(part).attribute_type(ScalarAttributeType::S);
                let key = KeySchemaElement::builder().attribute_name(part).key_type(kind);
                request = request
                    .attribute_definitions(attribute.build().expect("an attribute is complete"))
                    .key_schema(key.build().expect("a key is complete"));
            }
            request.send().await.expect("a table can be made");
            names.insert(*table, name);
        }
        names
    }

    async fn queues(&self, prefix: &str) -> BTreeMap<QueueName, String> {
        let mut urls: BTreeMap<QueueName, String> = BTreeMap::new();
        for need in QUEUES {
            let mut request = self.sqs.create_queue().queue_name(format!("{prefix}{}", need.name));
            if let Some((dead, most)) = need.redrive {
                let arn = self.arn(&urls[dead]).await;
                let policy = format!(r#"{{"deadLetterTargetArn":"{arn}","maxReceiveCount":{most}}}"#);
                request = request.attributes(QueueAttributeName::RedrivePolicy, policy);
            }
            let answer = request.send().await.expect("a queue can be made");
            urls.insert(need.name.into(), answer.queue_url.expect("a queue has a URL"));
        }
        let (host, account) = urls["dead"].rsplit_once('/').expect("a queue's URL ends with its name");
        let unknown = format!("{host}/{account}-none");
        urls.insert("no-such-queue".into(), unknown);
        urls
    }

    async fn arn(&self, url: &str) -> String {
        let request = self.sqs.get_queue_attributes().queue_url(url).attribute_names(QueueAttributeName::QueueArn);
        let attributes = request.send().await.expect("a queue tells its attributes").attributes.unwrap_or_default();
        attributes[&QueueAttributeName::QueueArn].clone()
    }

    async fn secrets(&self, prefix: &str) {
        for (name, value) in SECRETS {
            let request = self.secrets.create_secret().name(format!("{prefix}{name}")).secret_string(*value);
            request.send().await.expect("a secret can be made");
        }
    }
}
