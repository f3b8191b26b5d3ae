//! The local stack host: runs `template.yaml` on this machine, with the real function binaries.
//!
//! One endpoint offers DynamoDB, SQS, Secrets Manager, EventBridge `PutEvents`, Lambda `Invoke` and a part of S3. Function URLs,
//! event source mappings, schedules and rotations work as the template says. Everything binds to 127.0.0.1 only.
//!
//! It never uses the network and needs no container. It is not a security boundary: requests are not authenticated, and roles are
//! not enforced. It makes no decision about records and does not know the providers. Each module lists where it differs from AWS.
//! The host as a whole has no IAM, KMS or CloudWatch, and evaluates alarms only for its user ([`Alarms`]); schedules begin anew when
//! the stack starts; the configuration layer is not mounted (set `HUB_CONFIG` in [`Options::environment`]); a function URL never
//! requires a signature.

mod alarms;
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
mod start_error;
mod template;

pub use alarms::{Alarm, AlarmState, Alarms};
pub use dynamodb::Conflicts;
pub use lambda::{Event, FunctionStats, InvokeError, Observer};
pub use options::{Options, Schedules};
pub use secrets::SecretsError;
pub use sqs::{Counts, Message, MessageAttribute, NewMessage, Received, SqsError};
pub use stack::{Stack, StackError};
pub use start_error::StartError;
pub use template::TemplateError;
