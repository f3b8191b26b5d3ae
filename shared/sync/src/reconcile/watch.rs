//! Watching: states that last, and so must be measured on a schedule. What pauses a connection does not matter here: an operator,
//! `upsert` or `reconcile`.

use super::{JobReport, Ports, Reconcile};
use crate::failure::Failure;
use crate::pause::Pauses;

impl<P: Ports> Reconcile<'_, P> {
    /// Reads which connections are paused, wholly or for an object, of those whose API the hub calls.
    pub(super) async fn watch(&self, report: &mut JobReport) -> Result<(), Failure> {
        for (name, _) in self.config.hub().connections.iter().filter(|(_, connection)| connection.api_secret.is_some()) {
            let pauses = Pauses::load(self.ports, name).await?;
            report.paused.insert(name.to_string(), pauses.of_connection().is_some() || !pauses.of_objects().is_empty());
        }
        Ok(())
    }
}
