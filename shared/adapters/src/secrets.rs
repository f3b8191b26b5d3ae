//! Secrets with their stages, cached; and the versions that a rotation moves.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use sync::ports::{PortError, SecretSet, SecretVersions, Secrets};
use sync::rotate::REFRESH_MS;

use crate::Aws;
use crate::error::port_error;

/// How long a secret is served from the cache.
const FRESH: Duration = Duration::from_secs(300);
/// How often, at most, a mismatch makes us read a secret again: a forger must not cause load or cost.
const REFRESH_AT_MOST: Duration = Duration::from_millis(REFRESH_MS);

/// What was read, and when.
#[derive(Default)]
pub struct SecretCache(Mutex<BTreeMap<String, (Instant, SecretSet)>>);

impl SecretCache {
    fn get(&self, name: &str, fresh: bool) -> Option<SecretSet> {
        let limit = if fresh { REFRESH_AT_MOST } else { FRESH };
        let cache = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        cache.get(name).filter(|(at, _)| at.elapsed() < limit).map(|(_, set)| set.clone())
    }

    fn put(&self, name: &str, set: SecretSet) {
        let mut cache = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        cache.insert(name.to_owned(), (Instant::now(), set));
    }
}

impl Secrets for Aws {
    async fn secret(&self, name: &str, fresh: bool) -> Result<SecretSet, PortError> {
        if let Some(set) = self.secrets.get(name, fresh) {
            return Ok(set);
        }
        let id = self.secret_name(name);
        let (current, version) = self.stage(&id, None, "AWSCURRENT").await?.unzip();
        let pending = self.stage(&id, None, "AWSPENDING").await?.map(|(value, _)| value);
        let previous = self.stage(&id, None, "AWSPREVIOUS").await?.map(|(value, _)| value);
        let set = SecretSet { current, pending, previous, version };
        self.secrets.put(name, set.clone());
        Ok(set)
    }
}

impl Aws {
    /// The value in a stage, and the id of its version.
    async fn stage(&self, id: &str, version: Option<&str>, stage: &str) -> Result<Option<(String, String)>, PortError> {
        let request = self.secrets_manager.get_secret_value().secret_id(id).version_stage(stage);
        match request.set_version_id(version.map(str::to_owned)).send().await {
            Ok(answer) => Ok(answer.secret_string.zip(answer.version_id)),
            Err(error) if error.as_service_error().is_some_and(|e| e.is_resource_not_found_exception()) => Ok(None),
            // AWS returns this for a version that has no value in this stage.
            Err(error) if error.as_service_error().is_some_and(|e| e.is_invalid_request_exception()) => Ok(None),
            Err(error) => Err(port_error(&error)),
        }
    }
}

impl SecretVersions for Aws {
    fn secret_name(&self, logical: &str) -> String {
        format!("{}{logical}", self.names.secret_prefix)
    }

    async fn version_value(&self, secret: &str, version: Option<&str>, stage: &str) -> Result<Option<String>, PortError> {
        Ok(self.stage(secret, version, stage).await?.map(|(value, _)| value))
    }

    async fn current_version(&self, secret: &str) -> Result<Option<String>, PortError> {
        let answer = match self.secrets_manager.describe_secret().secret_id(secret).send().await {
            Ok(answer) => answer,
            Err(error) if error.as_service_error().is_some_and(|e| e.is_resource_not_found_exception()) => return Ok(None),
            Err(error) => return Err(port_error(&error)),
        };
        let versions = answer.version_ids_to_stages.unwrap_or_default();
        Ok(versions.into_iter().find(|(_, stages)| stages.iter().any(|s| s == "AWSCURRENT")).map(|(version, _)| version))
    }

    async fn put_pending(&self, secret: &str, version: &str, value: &str) -> Result<(), PortError> {
        self.secrets_manager
            .put_secret_value()
            .secret_id(secret)
            .client_request_token(version)
            .secret_string(value)
            .version_stages("AWSPENDING")
            .send()
            .await
            .map(drop)
            .map_err(|e| port_error(&e))
    }

    async fn promote(&self, secret: &str, version: &str, from: Option<&str>) -> Result<(), PortError> {
        self.secrets_manager
            .update_secret_version_stage()
            .secret_id(secret)
            .version_stage("AWSCURRENT")
            .move_to_version_id(version)
            .set_remove_from_version_id(from.map(str::to_owned))
            .send()
            .await
            .map(drop)
            .map_err(|e| port_error(&e))
    }
}
