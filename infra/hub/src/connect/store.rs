//! Stores a value as the current version of a secret, unless somebody else stored one since it was read.

use sync::failure::Failure;
use sync::ports::{Clock, SecretVersions};

use crate::out::CommandError;

/// The version of a secret that was current when the command began, to be compared when it stores a new one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The secret as the other calls name it.
    id: String,
    version: Option<String>,
}

impl Seen {
    /// Reads which version is current.
    ///
    /// # Errors
    /// Secrets Manager has no such secret, or does not answer.
    pub async fn of<P: SecretVersions>(ports: &P, name: &str) -> Result<Seen, CommandError> {
        let id = ports.secret_name(name);
        let version = ports.current_version(&id).await.map_err(|error| {
            let help = "deploy the stack with this connection first (docs/deploy.md)";
            CommandError::Backend(format!("the secret `{id}` cannot be read: {error}; {help}"))
        })?;
        Ok(Seen { id, version })
    }

    /// Stores a value, and returns its version.
    ///
    /// # Errors
    /// The secret has another version by now: somebody else stored one. Nothing was replaced.
    pub async fn store<P: SecretVersions + Clock>(&self, ports: &P, value: &str) -> Result<String, CommandError> {
        let mut bytes = [0; 16];
        ports.fill_secret(&mut bytes);
        // Secrets Manager wants 32 to 64 characters.
        let version: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        ports.put_pending(&self.id, &version, value).await.map_err(Failure::from)?;
        let now = ports.current_version(&self.id).await.map_err(Failure::from)?;
        if now != self.version {
            return Err(self.replaced());
        }
        // Secrets Manager compares once more: it moves the label only away from the version that is named.
        ports.promote(&self.id, &version, self.version.as_deref()).await.map_err(|_| self.replaced())?;
        Ok(version)
    }

    fn replaced(&self) -> CommandError {
        let text = "somebody else, or the refresh of its token, stored another value in between, and it was not replaced";
        CommandError::Backend(format!("`{}`: {text}; run the command again", self.id))
    }
}
