//! Token buckets that all workers of a connection share.

use std::cell::RefCell;
use std::collections::BTreeMap;

use providers::api::Usage;

use crate::config::Bucket;
use crate::failure::{Code, Failure};
use crate::ports::{Attr, Clock, Condition, Item, Key, Store, Table, Write, WriteError};

/// How often a bucket is tried against other workers before the caller must wait.
const MAX_BUCKET_WRITES: usize = 6;
/// Levels are stored in thousandths of a token.
const ONE_TOKEN: i64 = 1_000;

/// The token buckets of a connection, as one worker uses them.
///
/// Tokens are taken before they are there: the level falls below zero, and the worker waits until its tokens are refilled. So all
/// workers are served in the order in which they came, and none of them tries again and again.
pub struct Buckets<'a> {
    connection: &'a str,
    buckets: &'a [Bucket],
    /// What this worker stored last. As long as no other worker takes tokens, nothing has to be read.
    stored: RefCell<BTreeMap<&'a str, Item>>,
}

impl<'a> Buckets<'a> {
    /// The buckets of a connection. Reads nothing.
    pub fn of(connection: &'a str, buckets: &'a [Bucket]) -> Buckets<'a> {
        Buckets { connection, buckets, stored: RefCell::default() }
    }

    /// Takes a token from each bucket that counts calls of this URL, and returns how long to wait before the call, in
    /// milliseconds. `reserved` says that the token of the buckets that count all calls is [taken](Buckets::reserve) already.
    ///
    /// # Errors
    /// `RateLimited`, if that would be longer than `longest_wait_ms`; the failure holds how long. Then no token is taken.
    pub async fn take<P: Store + Clock>(
        &self,
        ports: &P,
        url: &str,
        reserved: bool,
        longest_wait_ms: u64,
    ) -> Result<u64, Failure> {
        let path = url.split('?').next().unwrap_or_default();
        let mut wait_ms = 0;
        // Narrow buckets first, so that a call that is refused takes no token from the wide ones.
        for bucket in self.narrow().filter(|bucket| path.ends_with(&bucket.path)) {
            wait_ms = wait_ms.max(self.take_from(ports, bucket, 1, longest_wait_ms).await?);
        }
        match reserved {
            true => Ok(wait_ms),
            false => Ok(wait_ms.max(self.reserve(ports, 1, longest_wait_ms).await?)),
        }
    }

    /// Takes the tokens of several calls that will follow one another from the buckets that count all calls, and returns how long
    /// to wait before the first one, in milliseconds.
    ///
    /// # Errors
    /// As of [`Buckets::take`].
    pub async fn reserve<P: Store + Clock>(&self, ports: &P, calls: u32, longest_wait_ms: u64) -> Result<u64, Failure> {
        let mut wait_ms = 0;
        for bucket in self.buckets.iter().filter(|bucket| bucket.path.is_empty()) {
            wait_ms = wait_ms.max(self.take_from(ports, bucket, calls, longest_wait_ms).await?);
        }
        Ok(wait_ms)
    }

    fn narrow(&self) -> impl Iterator<Item = &'a Bucket> {
        self.buckets.iter().filter(|bucket| !bucket.path.is_empty())
    }

    async fn take_from<P: Store + Clock>(
        &self,
        ports: &P,
        bucket: &'a Bucket,
        tokens: u32,
        longest_wait_ms: u64,
    ) -> Result<u64, Failure> {
        let (connection, name) = (self.connection, bucket.name.as_str());
        let key = Key::new(format!("bucket#{connection}"), name);
        for _ in 0..MAX_BUCKET_WRITES {
            let known = self.stored.borrow_mut().remove(name);
            let stored = if known.is_some() { known } else { ports.get(Table::Control, &key).await? };
            // A clock that is behind must not set the bucket back: the next clock that is ahead would fill it for the same time again.
            let now_ms = ports.now_ms().max(stored.as_ref().and_then(|item| item.n("at")).unwrap_or(0));
            let version = stored.as_ref().and_then(|item| item.n("ver"));
            let left = level(stored.as_ref(), bucket, now_ms) - i64::from(tokens) * ONE_TOKEN;
            let wait_ms = (-left.min(0) as f64 / bucket.per_second.max(0.001)).ceil() as u64;
            if wait_ms > longest_wait_ms {
                let detail = format!("the bucket `{name}` of `{connection}` is empty");
                return Err(Failure::throttled(Code::RateLimited, wait_ms.max(100), detail));
            }
            let item = Item::new(key.clone())
                .with("level", Attr::N(left))
                .with("at", Attr::N(now_ms))
                .with("ver", Attr::N(version.unwrap_or(0) + 1));
            let condition = version.map_or(Condition::Absent, |version| Condition::Equals("ver", Attr::N(version)));
            match ports.write(vec![Write::Put { table: Table::Control, item: item.clone(), condition }], None).await {
                Ok(()) => {
                    self.stored.borrow_mut().insert(name, item);
                    return Ok(wait_ms);
                }
                Err(WriteError::Conflict { .. }) => {}
                Err(WriteError::Port(error)) => return Err(error.into()),
            }
        }
        let detail = format!("other workers kept using the bucket `{name}` of `{connection}`");
        Err(Failure::throttled(Code::RateLimited, 250, detail))
    }
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
