//! Token buckets that all workers of a connection share.

use providers::api::Usage;

use crate::config::Bucket;
use crate::failure::{Code, Failure};
use crate::ports::{Attr, Clock, Condition, Item, Key, Store, Table, Write, WriteError};

/// How often a bucket is tried against other workers before the caller must wait.
const BUCKET_TRIES: usize = 6;

/// Takes a token from each bucket of a connection that counts a call of this URL, or says how long to wait.
pub async fn take_tokens<P: Store + Clock>(ports: &P, connection: &str, buckets: &[Bucket], url: &str) -> Result<(), Failure> {
    let path = url.split('?').next().unwrap_or_default();
    let counts = |bucket: &&Bucket| path.ends_with(&bucket.path);
    // The narrow ones first: who has to wait there takes nothing from the others.
    let (narrow, wide): (Vec<&Bucket>, Vec<&Bucket>) = buckets.iter().filter(counts).partition(|b| !b.path.is_empty());
    for bucket in narrow.into_iter().chain(wide) {
        take_token(ports, connection, bucket).await?;
    }
    Ok(())
}

/// Tokens are kept in thousandths.
async fn take_token<P: Store + Clock>(ports: &P, connection: &str, bucket: &Bucket) -> Result<(), Failure> {
    let Bucket { name, burst, per_second, .. } = bucket;
    let place = Key::new(format!("bucket#{connection}"), name.clone());
    let full = i64::from(*burst) * 1000;
    let need = 1000;
    for _ in 0..BUCKET_TRIES {
        let now = ports.now_ms();
        let stored = ports.get(Table::Control, &place).await?;
        let version = stored.as_ref().and_then(|i| i.n("ver")).unwrap_or(0);
        let level = match &stored {
            Some(item) => {
                let elapsed = (now - item.n("at").unwrap_or(now)).max(0) as f64;
                (item.n("level").unwrap_or(full) + (elapsed * per_second) as i64).min(full)
            }
            None => full,
        };
        if level < need {
            let wait = ((need - level) as f64 / per_second.max(0.001)).ceil() as u64;
            return Err(Failure::throttled(
                Code::RateLimited,
                wait.max(100),
                format!("the bucket `{name}` of `{connection}` is empty"),
            ));
        }
        let item = Item::new(place.clone())
            .with("level", Attr::N(level - need))
            .with("at", Attr::N(now))
            .with("ver", Attr::N(version + 1));
        let condition = if stored.is_none() { Condition::Absent } else { Condition::Equals("ver", Attr::N(version)) };
        match ports.write(vec![Write::Put { table: Table::Control, item, condition }], None).await {
            Ok(()) => return Ok(()),
            Err(WriteError::Conflict { .. }) => {}
            Err(WriteError::Port(error)) => return Err(error.into()),
        }
    }
    Err(Failure::throttled(Code::RateLimited, 250, format!("the bucket `{name}` of `{connection}` is contended")))
}

/// Tells people when a provider says that less than a tenth of its calls are left.
pub fn note_usage(connection: &str, usage: Option<Usage>) {
    if let Some(Usage { remaining, max, window_ms }) = usage
        && remaining.saturating_mul(10) < max
    {
        tracing::warn!(connection, remaining, max, window_ms, "less than a tenth of the provider's calls are left");
    }
}
