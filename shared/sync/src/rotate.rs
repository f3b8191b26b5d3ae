//! `rotate`: new signing secrets, by the four steps of a Secrets Manager rotation. While a rotation is under way `receive`
//! accepts the current, the pending and the previous value, so no valid webhook is refused; nothing else is ever accepted.
//!
//! A receiver reads a secret again when a signature does not fit, but not more often than every [`REFRESH_MS`]: forgers must not
//! cause load. So a new value is current only when every receiver that looked lately has seen it pending; from then on senders
//! may use it.
//!
//! Every step may run twice.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::failure::{Code, Failure};
use crate::ports::{Clock, SecretVersions};

/// Bytes of a new secret (Standard Webhooks asks for 24 to 64).
const SECRET_BYTES: usize = 32;

/// How often, at most, a receiver reads a secret again after a signature that does not fit, in milliseconds.
pub const REFRESH_MS: u64 = 5_000;
/// How long a new value is pending at least, in milliseconds: longer than any receiver may go without looking.
const PENDING_MS: u64 = REFRESH_MS + 3_000;

/// The step, as Secrets Manager names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// Make the new value.
    #[serde(rename = "createSecret")]
    Create,
    /// Tell the other side. A sender that the hub issues secrets to reads the pending value itself.
    #[serde(rename = "setSecret")]
    Set,
    /// See that it works, and give receivers the time to learn of it.
    #[serde(rename = "testSecret")]
    Test,
    /// Make it the current one.
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

/// Does one step.
pub async fn step<P: SecretVersions + Clock>(ports: &P, rotation: &Rotation) -> Result<(), Failure> {
    let Rotation { secret, version, .. } = rotation;
    match rotation.step {
        Step::Create => {
            if ports.version_value(secret, Some(version), "AWSPENDING").await?.is_some() {
                return Ok(());
            }
            let mut bytes = [0; SECRET_BYTES];
            ports.fill_secret(&mut bytes);
            let value = format!("whsec_{}", STANDARD.encode(bytes));
            Ok(ports.put_pending(secret, version, &value).await?)
        }
        Step::Set => Ok(()),
        Step::Test => {
            let value = ports.version_value(secret, Some(version), "AWSPENDING").await?;
            let key = value.as_deref().and_then(|v| v.strip_prefix("whsec_")).and_then(|v| STANDARD.decode(v).ok());
            match key {
                Some(key) if key.len() >= 24 => {
                    ports.sleep(PENDING_MS).await;
                    Ok(())
                }
                _ => Err(Failure::new(Code::Bug, "the pending value is no Standard Webhooks secret")),
            }
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
