//! Secrets with versions and staging labels: a state machine without clock, randomness or I/O.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// The version that readers get.
pub(super) const CURRENT: &str = "AWSCURRENT";
/// The version that a rotation prepares.
pub(super) const PENDING: &str = "AWSPENDING";
/// The version that was current before.
pub(super) const PREVIOUS: &str = "AWSPREVIOUS";

/// What Secrets Manager refuses. Texts hold names and version ids, never a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretsError {
    /// No such secret, version or label.
    #[error("Secrets Manager can't find the specified {0}.")]
    ResourceNotFound(String),
    /// The name, or the version with other contents, exists.
    #[error("The operation failed because {0} already exists.")]
    ResourceExists(String),
    /// The secret's state does not allow it.
    #[error("{0}")]
    InvalidRequest(String),
    /// A parameter is invalid.
    #[error("{0}")]
    InvalidParameter(String),
    /// The rotation function cannot be called.
    #[error("Secrets Manager cannot invoke the specified Lambda function.")]
    AccessDenied,
    /// The engine does not know the operation.
    #[error("The operation {0} is not known.")]
    UnknownOperation(String),
    /// The request body cannot be read.
    #[error("The request body is not what the operation expects: {0}")]
    Malformed(String),
}

impl SecretsError {
    /// The shape's name on the wire.
    #[must_use]
    pub fn shape(&self) -> &'static str {
        match self {
            Self::ResourceNotFound(_) => "ResourceNotFoundException",
            Self::ResourceExists(_) => "ResourceExistsException",
            Self::InvalidRequest(_) => "InvalidRequestException",
            Self::InvalidParameter(_) => "InvalidParameterException",
            Self::AccessDenied => "AccessDeniedException",
            Self::UnknownOperation(_) => "UnknownOperationException",
            Self::Malformed(_) => "SerializationException",
        }
    }
}

/// The content of a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Content {
    Text(String),
    /// Base64.
    Binary(String),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Version {
    /// Absent while a rotation has only announced the version.
    pub content: Option<Content>,
    pub stages: BTreeSet<String>,
    pub created: i64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Rotation {
    pub lambda: String,
    pub rules: serde_json::Value,
    pub enabled: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Secret {
    pub arn: String,
    pub description: Option<String>,
    pub kms: Option<String>,
    pub tags: BTreeMap<String, String>,
    pub created: i64,
    pub changed: i64,
    pub rotated: Option<i64>,
    pub deleted: Option<i64>,
    pub rotation: Option<Rotation>,
    pub versions: BTreeMap<String, Version>,
}

impl Secret {
    fn holder(&self, stage: &str) -> Option<String> {
        self.versions.iter().find(|(_, v)| v.stages.contains(stage)).map(|(id, _)| id.clone())
    }

    /// Moves a label to a version. When `AWSCURRENT` moves, `AWSPREVIOUS` follows to where it was.
    fn attach(&mut self, stage: &str, to: &str) {
        let from = self.holder(stage);
        for version in self.versions.values_mut() {
            version.stages.remove(stage);
        }
        if let Some(version) = self.versions.get_mut(to) {
            version.stages.insert(stage.to_owned());
        }
        if let (CURRENT, Some(from)) = (stage, from)
            && from != to
        {
            self.attach(PREVIOUS, &from);
        }
    }

    pub(super) fn stages(&self) -> BTreeMap<&str, &BTreeSet<String>> {
        self.versions.iter().filter(|(_, v)| !v.stages.is_empty()).map(|(id, v)| (id.as_str(), &v.stages)).collect()
    }
}

/// All secrets of the account, by name.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct SecretEngine {
    pub secrets: BTreeMap<String, Secret>,
}

/// A new secret.
pub(super) struct NewSecret {
    pub name: String,
    pub arn: String,
    pub token: String,
    pub content: Option<Content>,
    pub description: Option<String>,
    pub kms: Option<String>,
    pub tags: BTreeMap<String, String>,
}

impl SecretEngine {
    /// The name that `id` means: a name, an ARN, or an ARN without its random end.
    pub(super) fn find(&self, id: &str) -> Result<String, SecretsError> {
        let matches = |name: &str, secret: &Secret| {
            name == id || secret.arn == id || secret.arn.rsplit_once('-').is_some_and(|(front, _)| front == id)
        };
        let found = self.secrets.iter().find(|(name, secret)| matches(name, secret));
        found.map(|(name, _)| name.clone()).ok_or_else(|| SecretsError::ResourceNotFound("secret".into()))
    }

    fn live(&mut self, id: &str) -> Result<(String, &mut Secret), SecretsError> {
        let name = self.find(id)?;
        let secret = self.secrets.get_mut(&name).ok_or_else(|| SecretsError::ResourceNotFound("secret".into()))?;
        if secret.deleted.is_some() {
            return Err(SecretsError::InvalidRequest(
                "You can't perform this operation on the secret because it was marked for deletion.".into(),
            ));
        }
        Ok((name, secret))
    }

    pub(super) fn live_mut(&mut self, id: &str) -> Result<&mut Secret, SecretsError> {
        self.live(id).map(|(_, secret)| secret)
    }

    pub(super) fn create(&mut self, new: NewSecret, now: i64) -> Result<(), SecretsError> {
        let valid = |c: char| c.is_ascii_alphanumeric() || "/_+=.@-".contains(c);
        if new.name.is_empty() || new.name.len() > 512 || !new.name.chars().all(valid) {
            return Err(SecretsError::InvalidParameter(
                "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!".into(),
            ));
        }
        if let Some(existing) = self.secrets.get(&new.name) {
            if existing.deleted.is_some() {
                return Err(SecretsError::InvalidRequest(
                    "You can't create this secret because a secret with this name is already scheduled for deletion.".into(),
                ));
            }
            let same = existing.versions.get(&new.token).is_some_and(|v| v.content == new.content);
            return if same { Ok(()) } else { Err(SecretsError::ResourceExists(format!("the secret {}", new.name))) };
        }
        let mut secret = Secret {
            arn: new.arn,
            description: new.description,
            kms: new.kms,
            tags: new.tags,
            created: now,
            changed: now,
            rotated: None,
            deleted: None,
            rotation: None,
            versions: BTreeMap::new(),
        };
        if new.content.is_some() {
            let stages = BTreeSet::from([CURRENT.to_owned()]);
            secret.versions.insert(new.token, Version { content: new.content, stages, created: now });
        }
        self.secrets.insert(new.name, secret);
        Ok(())
    }

    /// Stores a version under `token` and attaches `stages` to it. The same token with the same contents changes nothing.
    pub(super) fn put(
        &mut self,
        id: &str,
        token: &str,
        content: Content,
        stages: &[String],
        now: i64,
    ) -> Result<BTreeSet<String>, SecretsError> {
        let secret = self.live_mut(id)?;
        match secret.versions.get(token).map(|v| v.content.as_ref()) {
            Some(Some(existing)) if *existing != content => {
                return Err(SecretsError::ResourceExists(format!("version {token}")));
            }
            Some(Some(_)) => {}
            _ => {
                let version = Version { content: None, stages: BTreeSet::new(), created: now };
                secret.versions.entry(token.to_owned()).or_insert(version).content = Some(content);
                for stage in stages {
                    secret.attach(stage, token);
                }
                if secret.holder(CURRENT).is_none() {
                    secret.attach(CURRENT, token);
                }
                secret.changed = now;
            }
        }
        Ok(secret.versions[token].stages.clone())
    }

    /// Finds a version by id, by label, or by both when they agree; the current one by default.
    pub(super) fn version(
        &mut self,
        id: &str,
        version: Option<&str>,
        stage: Option<&str>,
    ) -> Result<(String, &Secret, String, &Version), SecretsError> {
        let (name, secret) = self.live(id)?;
        let stage = stage.or(if version.is_none() { Some(CURRENT) } else { None });
        let missing = || match stage {
            Some(stage) => SecretsError::ResourceNotFound(format!("secret value for staging label: {stage}")),
            None => SecretsError::ResourceNotFound(format!("secret value for VersionId: {}", version.unwrap_or_default())),
        };
        let held = match stage {
            Some(stage) => Some(secret.holder(stage).ok_or_else(missing)?),
            None => None,
        };
        let chosen = match (held, version) {
            (Some(held), Some(requested)) if held != requested => return Err(missing()),
            (Some(held), _) => held,
            (None, requested) => requested.unwrap_or_default().to_owned(),
        };
        let version = secret.versions.get(&chosen).filter(|v| v.content.is_some()).ok_or_else(missing)?;
        Ok((name, secret, chosen, version))
    }

    /// Moves or removes a label.
    pub(super) fn move_stage(
        &mut self,
        id: &str,
        stage: &str,
        to: Option<&str>,
        from: Option<&str>,
        now: i64,
    ) -> Result<(), SecretsError> {
        let secret = self.live_mut(id)?;
        let held = secret.holder(stage);
        let invalid = |text: String| Err(SecretsError::InvalidParameter(text));
        if let Some(from) = from
            && held.as_deref() != Some(from)
        {
            return invalid(format!("The staging label {stage} isn't attached to version {from}."));
        }
        if let Some(to) = to {
            if !secret.versions.contains_key(to) {
                return Err(SecretsError::ResourceNotFound(format!("secret value for VersionId: {to}")));
            }
            if from.is_none() && held.as_deref().is_some_and(|holder| holder != to) {
                return invalid(format!(
                    "The parameter RemoveFromVersionId can't be empty. Staging label {stage} is currently attached to version {}, so you must explicitly reference that version in RemoveFromVersionId.",
                    held.unwrap_or_default()
                ));
            }
            secret.attach(stage, to);
        } else if stage == CURRENT {
            return invalid("You can't remove the staging label AWSCURRENT, only move it.".into());
        } else if let Some(version) = from.and_then(|from| secret.versions.get_mut(from)) {
            version.stages.remove(stage);
        }
        secret.changed = now;
        Ok(())
    }

    /// Starts a rotation: announces version `token` as pending. While an earlier one is not finished, gives that one's
    /// version instead, to be tried again.
    pub(super) fn begin_rotation(&mut self, id: &str, token: &str, now: i64) -> Result<String, SecretsError> {
        let secret = self.live_mut(id)?;
        if let Some(pending) = secret.holder(PENDING)
            && !secret.versions[&pending].stages.contains(CURRENT)
        {
            return Ok(pending);
        }
        let version = Version { content: None, stages: BTreeSet::new(), created: now };
        secret.versions.entry(token.to_owned()).or_insert(version);
        secret.attach(PENDING, token);
        Ok(token.to_owned())
    }
}
