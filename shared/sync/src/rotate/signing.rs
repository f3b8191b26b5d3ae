//! New signing secrets, by the four steps of a Secrets Manager rotation.
//!
//! During a rotation `receive` accepts the current, the pending and the previous value, so that no valid webhook is refused. It
//! accepts nothing else.
//!
//! A receiver reads a secret again when a signature does not match, but at most once per [`REFRESH_MS`], so that forged requests
//! cause no load. A new value therefore stays pending until every running receiver has had the chance to read it. Only after that
//! does it become the current value, which senders use.
//!
//! Every step may run twice.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::failure::{Code, Failure};
use crate::ports::{Clock, SecretVersions};

/// Bytes of a new secret. Standard Webhooks allows 24 to 64.
const SECRET_BYTES: usize = 32;
/// The fewest bytes of a Standard Webhooks secret.
const MIN_SECRET_BYTES: usize = 24;

/// A receiver reads a secret again at most once in this time after a signature that does not match, in milliseconds.
pub const REFRESH_MS: u64 = 5_000;
/// How long a new value stays pending at least, in milliseconds: longer than a receiver may go without reading the secret.
const PENDING_MS: u64 = REFRESH_MS + 3_000;

/// The stage of a value that is not in use yet.
const PENDING: &str = "AWSPENDING";
/// What a Standard Webhooks secret starts with.
const PREFIX: &str = "whsec_";

/// The step, as Secrets Manager names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// Make the new value.
    #[serde(rename = "createSecret")]
    Create,
    /// Give the value to the other side. There is nothing to do: senders that use the hub's secrets read the value themselves.
    #[serde(rename = "setSecret")]
    Set,
    /// Check the value, and give receivers the time to read it.
    #[serde(rename = "testSecret")]
    Test,
    /// Make it the current value.
    #[serde(rename = "finishSecret")]
    Finish,
}

/// The event that Secrets Manager sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotation {
    /// What to do.
    #[serde(rename = "Step")]
    pub step: Step,
    /// The secret's ARN.
    #[serde(rename = "SecretId")]
    pub secret: String,
    /// The id of the new version.
    #[serde(rename = "ClientRequestToken")]
    pub version: String,
}

/// Runs one step of a rotation.
pub async fn run_step<P: SecretVersions + Clock>(ports: &P, rotation: &Rotation) -> Result<(), Failure> {
    let Rotation { secret, version, .. } = rotation;
    match rotation.step {
        Step::Create => {
            if ports.version_value(secret, Some(version), PENDING).await?.is_some() {
                return Ok(());
            }
            let mut bytes = [0; SECRET_BYTES];
            ports.fill_secret(&mut bytes);
            Ok(ports.put_pending(secret, version, &format!("{PREFIX}{}", STANDARD.encode(bytes))).await?)
        }
        Step::Set => Ok(()),
        Step::Test => {
            let value = ports.version_value(secret, Some(version), PENDING).await?;
            let key = value.as_deref().and_then(|v| v.strip_prefix(PREFIX)).and_then(|v| STANDARD.decode(v).ok());
            if key.is_none_or(|key| key.len() < MIN_SECRET_BYTES) {
                return Err(Failure::new(Code::Bug, "the pending value is not a Standard Webhooks secret"));
            }
            ports.sleep(PENDING_MS).await;
            Ok(())
        }
        Step::Finish => {
            let current = ports.current_version(secret).await?;
            if current.as_deref() == Some(version.as_str()) {
                return Ok(());
            }
            Ok(ports.promote(secret, version, current.as_deref()).await?)
        }
    }
}
