//! Watching: states that last, and so must be looked at on a schedule. What pauses a connection does not matter here: an operator,
//! `upsert`, `reconcile` or `rotate`.

use super::{JobReport, Ports, Reconcile};
use crate::config::Connection;
use crate::failure::Failure;
use crate::pause::{Pauses, end_pauses_of_credentials, send_held};
use crate::quarantine::RefusedProperties;

impl<P: Ports> Reconcile<'_, P> {
    /// Reads which connections are paused, wholly or for an object, and how many properties they refuse, of those whose API the hub
    /// calls. Those that new credentials let go on are resumed.
    pub(super) async fn watch(&self, report: &mut JobReport) -> Result<(), Failure> {
        for (name, connection) in self.config.hub().connections.iter().filter(|(_, connection)| connection.api_secret.is_some()) {
            let paused = self.watch_connection(name, connection).await?;
            report.paused.insert(name.to_string(), paused);
            let refused = RefusedProperties::load(self.ports, name, self.config.hub().generation).await?;
            report.properties_refused.insert(name.to_string(), refused.iter().count() as u64);
        }
        Ok(())
    }

    async fn watch_connection(&self, name: &str, connection: &Connection) -> Result<bool, Failure> {
        let mut pauses = Pauses::load(self.ports, name).await?;
        if pauses.is_any()
            && let Some(secret) = &connection.api_secret
            && let Some(version) = self.ports.secret(secret, true).await?.version
            && end_pauses_of_credentials(self.ports, name, &version).await?
        {
            tracing::info!(connection = name, "resumed: the secret holds new credentials");
            pauses = Pauses::load(self.ports, name).await?;
        }
        if pauses.is_any() {
            return Ok(true);
        }
        // Also what a worker held that had read the pause just before it was over.
        if connection.destination {
            let sent = send_held(self.ports, name).await?;
            if sent > 0 {
                tracing::info!(connection = name, sent, "what was held is sent");
            }
        }
        Ok(false)
    }
}
