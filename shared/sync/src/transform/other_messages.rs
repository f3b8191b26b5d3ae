//! What comes on an ingest queue and is no envelope: a person's decision, or the counts of refused webhooks.

use super::{Ports, Transform};
use crate::decision::Decision;
use crate::failure::Failure;
use crate::ports::Delivery;
use crate::record::journal::build_refused_put;
use crate::refused_webhooks::RefusedWebhooks;

impl<P: Ports> Transform<'_, P> {
    /// Handles such a message.
    ///
    /// # Errors
    /// It is neither: then the failure is the one that its reading as an envelope gave.
    pub(super) async fn handle_other_message(&self, delivery: &Delivery, failure: Failure) -> Result<(), Failure> {
        if let Some(refused) = RefusedWebhooks::parse(&delivery.body) {
            let put = build_refused_put(&refused, &delivery.id, self.config.hub().journal_days)?;
            return Ok(self.ports.write(vec![put], None).await?);
        }
        let decision = Decision::parse(&delivery.body).ok_or(failure)?;
        self.handle_decision(&decision).await
    }
}
