//! The local stack host: runs `template.yaml` on this machine, with the real function binaries.
//!
//! One endpoint speaks DynamoDB, SQS, Secrets Manager, EventBridge `PutEvents`, Lambda `Invoke` and a little S3; function
//! URLs, event source mappings, schedules and rotations work as the template says. Everything binds to 127.0.0.1 only.
//!
//! It never reaches the network, needs no container, and is no security boundary: requests are not authenticated and roles
//! are not enforced. It decides nothing about records and knows no provider. Each module names its gaps against AWS; those
//! of the host as a whole: no IAM, no KMS, no alarms, no CloudWatch; schedules start anew with the stack; the configuration
//! layer is not mounted (give `HUB_CONFIG` in [`Options::environment`]); a function URL never asks for a signature.

mod dynamodb;
mod event_source;
mod events;
mod function_url;
mod gateway;
mod ids;
mod lambda;
mod options;
mod password;
mod s3;
mod schedule;
mod secrets;
mod sqs;
mod stack;
mod start;
mod template;

pub use dynamodb::Conflicts;
pub use lambda::{Event, FunctionStats, InvokeError, Observer};
pub use options::{Options, Schedules, StartError};
pub use secrets::SecretsError;
pub use sqs::{Counts, Message, MessageAttribute, NewMessage, Received, SqsError};
pub use stack::{Stack, StackError};
pub use template::TemplateError;

/// The account of every ARN.
pub(crate) const ACCOUNT: &str = "000000000000";
