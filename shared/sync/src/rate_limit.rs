//! Token buckets that all workers of a connection share.

use providers::api::Usage;

use crate::config::Bucket;
use crate::failure::{Code, Failure};
use crate::ports::{Attr, Clock, Condition, Item, Key, Store, Table, Write, WriteError};

/// How often a bucket is tried against other workers before the caller must wait.
const MAX_BUCKET_WRITES: usize = 6;
/// Levels are stored in thousandths of a token.
const ONE_TOKEN: i64 = 1_000;

/// Takes a token from each bucket of a connection that counts calls of this URL.
///
/// # Errors
/// A bucket is empty; the failure holds how long to wait.
pub async fn take_tokens<P: Store + Clock>(ports: &P, connection: &str, buckets: &[Bucket], url: &str) -> Result<(), Failure> {
    let path = url.split('?').next().unwrap_or_default();
    let counts = |bucket: &&Bucket| path.ends_with(&bucket.path);
    // Narrow buckets first, so that a call that must wait takes no token from the wide ones.
    let (narrow, wide): (Vec<&Bucket>, Vec<&Bucket>) = buckets.iter().filter(counts).partition(|b| !b.path.is_empty());
    for bucket in narrow.into_iter().chain(wide) {
        take_token(ports, connection, bucket).await?;
    }
    Ok(())
}

async fn take_token<P: Store + Clock>(ports: &P, connection: &str, bucket: &Bucket) -> Result<(), Failure> {
    let Bucket { name, per_second, .. } = bucket;
    let key = Key::new(format!("bucket#{connection}"), name.clone());
    for _ in 0..MAX_BUCKET_WRITES {
        let stored = ports.get(Table::Control, &key).await?;
        // A clock that is behind must not set the bucket back: the next clock that is ahead would fill it for the same time again.
        let now_ms = ports.now_ms().max(stored.as_ref().and_then(|item| item.n("at")).unwrap_or(0));
        let version = stored.as_ref().and_then(|item| item.n("ver"));
        let level = level(stored.as_ref(), bucket, now_ms);
        if level < ONE_TOKEN {
            let wait_ms = ((ONE_TOKEN - level) as f64 / per_second.max(0.001)).ceil() as u64;
            let detail = format!("the bucket `{name}` of `{connection}` is empty");
            return Err(Failure::throttled(Code::RateLimited, wait_ms.max(100), detail));
        }
        let item = Item::new(key.clone())
            .with("level", Attr::N(level - ONE_TOKEN))
            .with("at", Attr::N(now_ms))
            .with("ver", Attr::N(version.unwrap_or(0) + 1));
        let condition = version.map_or(Condition::Absent, |version| Condition::Equals("ver", Attr::N(version)));
        match ports.write(vec![Write::Put { table: Table::Control, item, condition }], None).await {
            Ok(()) => return Ok(()),
            Err(WriteError::Conflict { .. }) => {}
            Err(WriteError::Port(error)) => return Err(error.into()),
        }
    }
    let detail = format!("other workers kept using the bucket `{name}` of `{connection}`");
    Err(Failure::throttled(Code::RateLimited, 250, detail))
}

/// What a bucket holds now: what it held at the last call, and what was refilled since then.
fn level(stored: Option<&Item>, bucket: &Bucket, now_ms: i64) -> i64 {
    let full = i64::from(bucket.burst) * ONE_TOKEN;
    let Some(item) = stored else { return full };
    let elapsed_ms = (now_ms - item.n("at").unwrap_or(now_ms)).max(0);
    let refilled = (elapsed_ms as f64 * bucket.per_second) as i64;
    (item.n("level").unwrap_or(full) + refilled).min(full)
}

/// When the last call of a connection took a token, and what each of its buckets holds now: name, calls, and the most that it holds.
pub async fn calls_left<P: Store + Clock>(
    ports: &P,
    connection: &str,
    buckets: &[Bucket],
) -> Result<(Option<i64>, Vec<(String, u64, u64)>), Failure> {
    let (mut last_ms, mut left): (Option<i64>, Vec<_>) = (None, Vec::new());
    for bucket in buckets {
        let stored = ports.get(Table::Control, &Key::new(format!("bucket#{connection}"), bucket.name.clone())).await?;
        last_ms = last_ms.max(stored.as_ref().and_then(|item| item.n("at")));
        let calls = level(stored.as_ref(), bucket, ports.now_ms()).max(0) / ONE_TOKEN;
        left.push((bucket.name.clone(), u64::try_from(calls).unwrap_or(0), u64::from(bucket.burst)));
    }
    Ok((last_ms, left))
}

/// Warns when less than a tenth of the calls that a provider allows are left.
pub fn warn_if_nearly_used(connection: &str, usage: Option<Usage>) {
    if let Some(Usage { remaining, max, window_ms }) = usage
        && remaining.saturating_mul(10) < max
    {
        tracing::warn!(connection, remaining, max, window_ms, "less than a tenth of the provider's calls are left");
    }
}
