//! The secrets of the local stack: what the senders of webhooks sign with, and what the hub verifies with.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use sync::config::Hub;
use webhook::{Scheme, key_pair};

use crate::env::parse;
use crate::files::write;
use crate::out::CommandError;

/// The private key with which this machine signs as Amazon SNS. It protects nothing: no real topic trusts its certificate.
const SNS_KEY: &str = include_str!("../demo/sns/key.txt");
/// The certificate of [`SNS_KEY`].
const SNS_CERTIFICATE: &str = include_str!("../demo/sns/certificate.pem");
/// The suffix, in the file, of the name of a secret that only the sender holds.
const SENDER: &str = " (sender)";

/// Secrets by logical name.
pub struct Keys {
    /// The secrets of the hub.
    pub hub: BTreeMap<String, String>,
    /// The secrets of senders that differ from the hub's: private keys.
    senders: BTreeMap<String, String>,
}

impl Keys {
    /// The secret with which senders sign when the hub verifies with this one.
    pub fn sender(&self, secret: &str) -> Option<&String> {
        self.senders.get(secret).or_else(|| self.hub.get(secret))
    }

    /// The private key of the sender, where the hub's secret is only its public part.
    pub fn private(&self, secret: &str) -> Option<&String> {
        self.senders.get(secret)
    }

    /// The secrets in a file; none if it does not exist.
    pub fn stored(path: &Path) -> Keys {
        Keys::read(&std::fs::read_to_string(path).unwrap_or_default())
    }

    /// The secrets of a configuration, and API tokens for the stand-ins. They are read from a file; missing ones are made and
    /// stored there.
    ///
    /// # Errors
    /// There is no randomness, or the file cannot be written.
    pub fn open(path: &Path, hub: &Hub, schemes: &BTreeMap<String, Scheme>, fresh: bool) -> Result<Keys, CommandError> {
        let mut keys = if fresh { Keys::read("") } else { Keys::stored(path) };
        for (name, connection) in &hub.connections {
            let Some(secret) = connection.signing_secret.as_ref().filter(|secret| !keys.hub.contains_key(*secret)) else {
                continue;
            };
            let (sender, receiver) = new_pair(schemes.get(name.as_str()))?;
            if sender != receiver {
                keys.senders.insert(secret.clone(), sender);
            }
            keys.hub.insert(secret.clone(), receiver);
        }
        let tokens = hub.connections.values().filter_map(|c| c.api_secret.as_deref());
        for name in tokens.chain(["hubspot/api", "salesforce/api"]) {
            if !keys.hub.contains_key(name) {
                keys.hub.insert(name.to_owned(), random()?);
            }
        }
        keys.write(path)?;
        Ok(keys)
    }

    fn read(text: &str) -> Keys {
        let mut keys = Keys { hub: BTreeMap::new(), senders: BTreeMap::new() };
        for (name, value) in parse(text) {
            let value = value.replace("\\n", "\n");
            match name.strip_suffix(SENDER) {
                Some(name) => keys.senders.insert(name.to_owned(), value),
                None => keys.hub.insert(name, value),
            };
        }
        keys
    }

    fn write(&self, path: &Path) -> Result<(), CommandError> {
        let line = |name: &str, suffix: &str, value: &str| format!("{name}{suffix}={}\n", value.replace('\n', "\\n"));
        let mut lines: Vec<String> = self.hub.iter().map(|(name, value)| line(name, "", value)).collect();
        lines.extend(self.senders.iter().map(|(name, value)| line(name, SENDER, value)));
        write(path, lines.concat().as_bytes())?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
                .map_err(|e| CommandError::Write(path.display().to_string(), e))?;
        }
        Ok(())
    }
}

/// New secrets of the sender and of the hub, in the form that the scheme needs.
fn new_pair(scheme: Option<&Scheme>) -> Result<(String, String), CommandError> {
    match scheme {
        Some(Scheme::Sns(_)) => Ok((SNS_KEY.trim().to_owned(), SNS_CERTIFICATE.to_owned())),
        Some(scheme) => key_pair(scheme, &random()?).map_err(|e| CommandError::backend("no keys can be made", e)),
        None => random().map(|value| (value.clone(), value)),
    }
}

/// 48 hexadecimal digits: valid as text and as base64 of 36 bytes.
fn random() -> Result<String, CommandError> {
    let mut bytes = [0; 24];
    let read = std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    read.map_err(|e| CommandError::backend("no random bytes can be read", e))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
