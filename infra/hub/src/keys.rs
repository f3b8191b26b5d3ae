//! Signing secrets of the local stack: what its senders hold, and what the hub is told.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use sync::config::Hub;
use webhook::{Scheme, key_pair};

use crate::operate::open::parse;
use crate::out::{CommandError, root, write};

/// Key and certificate of what stands for Amazon SNS on this machine.
const SNS: [&str; 2] = ["shared/webhook/tests/it/sns_key.txt", "shared/webhook/tests/it/sns_certificate.pem"];

/// Values by logical name.
pub struct Keys {
    /// What the hub is told.
    pub hub: BTreeMap<String, String>,
    /// What senders hold, where it is something else.
    senders: BTreeMap<String, String>,
}

impl Keys {
    /// What the sender of a connection with that signing secret holds.
    pub fn sender(&self, secret: &str) -> Option<&String> {
        self.senders.get(secret).or_else(|| self.hub.get(secret))
    }

    /// The secrets of a configuration, and API tokens for the stand-ins: made once, kept in a file.
    ///
    /// # Errors
    /// There is no randomness, or the file cannot be written.
    pub fn open(path: &Path, hub: &Hub, schemes: &BTreeMap<String, Scheme>, fresh: bool) -> Result<Keys, CommandError> {
        let kept = if fresh { String::new() } else { std::fs::read_to_string(path).unwrap_or_default() };
        let mut keys = Keys { hub: BTreeMap::new(), senders: BTreeMap::new() };
        for (name, value) in parse(&kept) {
            let value = value.replace("\\n", "\n");
            match name.strip_suffix(SENDER) {
                Some(name) => _ = keys.senders.insert(name.to_owned(), value),
                None => _ = keys.hub.insert(name, value),
            }
        }
        for (name, connection) in &hub.connections {
            let Some(secret) = connection.signing_secret.as_ref().filter(|secret| !keys.hub.contains_key(*secret)) else {
                continue;
            };
            let (sender, told) = pair(schemes.get(name.as_str()))?;
            if sender != told {
                keys.senders.insert(secret.clone(), sender);
            }
            keys.hub.insert(secret.clone(), told);
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

    fn write(&self, path: &Path) -> Result<(), CommandError> {
        let line = |name: &str, tail: &str, value: &str| format!("{name}{tail}={}\n", value.replace('\n', "\\n"));
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

/// What follows the name of a sender's own key in the file.
const SENDER: &str = " (sender)";

/// What the sender holds and what the hub is told, in the form that the scheme wants.
fn pair(scheme: Option<&Scheme>) -> Result<(String, String), CommandError> {
    match scheme {
        Some(Scheme::Sns(_)) => {
            let read = |file: &str| {
                let path = root().join(file);
                std::fs::read_to_string(&path).map_err(|e| CommandError::Read(path.display().to_string(), e))
            };
            Ok((read(SNS[0])?.trim().to_owned(), read(SNS[1])?))
        }
        Some(scheme) => key_pair(scheme, &random()?).map_err(|e| CommandError::Backend(format!("no keys: {e}"))),
        None => random().map(|value| (value.clone(), value)),
    }
}

/// 48 hexadecimal digits: valid as text and as base64 of 36 bytes.
fn random() -> Result<String, CommandError> {
    let mut bytes = [0; 24];
    let read = std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    read.map_err(|e| CommandError::Backend(format!("no random bytes: {e}")))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
