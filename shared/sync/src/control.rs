//! Pauses, held messages and token buckets: what operators and rates say about a connection.

use canonical::Dispatch;

use providers::api::Usage;

use crate::batch::write_if;
use crate::config::Bucket;
use crate::failure::{Code, Failure};
use crate::ports::{Attr, Clock, Condition, Item, Key, Store, Table, Write, WriteError};

/// Why a connection is paused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// What an operator, or the hub itself, gave as the reason.
    pub reason: String,
}

/// Where the pause of a connection lies.
pub fn pause_place(connection: &str) -> Key {
    Key::new(format!("pause#{connection}"), "pause")
}

/// The pause of a connection, if there is one.
pub async fn paused<W: Store>(world: &W, connection: &str) -> Result<Option<Pause>, Failure> {
    let item = world.get(Table::Control, &pause_place(connection)).await?;
    Ok(item.map(|i| Pause { reason: i.s("reason").unwrap_or_default().to_owned() }))
}

/// Pauses a connection whose credentials are not accepted. An operator's resume ends it.
pub async fn pause_for_auth<W: Store + Clock>(world: &W, connection: &str, detail: &str) -> Result<(), Failure> {
    tracing::error!(connection, detail, alert = true, "the provider does not accept our credentials: the connection is paused");
    let item = Item::new(pause_place(connection)).with("reason", Attr::S(detail.to_owned())).with("at", Attr::N(world.now_ms()));
    write_if(world, Write::Put { table: Table::Control, item, condition: Condition::Absent }).await?;
    Ok(())
}

/// The partition of the messages that are held for a paused destination.
pub fn held_partition(destination: &str) -> String {
    format!("held#{destination}")
}

/// Parks a dispatch durably until its destination is resumed; SQS would forget it.
pub async fn hold<W: Store + Clock>(world: &W, destination: &str, dispatch: &Dispatch) -> Result<(), Failure> {
    let body = serde_json::to_string(dispatch).map_err(|e| Failure::new(Code::Bug, e.to_string()))?;
    let item = Item::new(Key::new(held_partition(destination), format!("{}#{}", dispatch.object, dispatch.record)))
        .with("dispatch", Attr::S(body))
        .with("at", Attr::N(world.now_ms()));
    world.write(vec![Write::Put { table: Table::Control, item, condition: Condition::Always }], None).await?;
    Ok(())
}

/// How often a bucket is tried against other workers before the caller must wait.
const BUCKET_TRIES: usize = 6;

/// Takes a token from each bucket of a connection that counts a call of this URL, or says how long to wait.
pub async fn take_tokens<W: Store + Clock>(world: &W, connection: &str, buckets: &[Bucket], url: &str) -> Result<(), Failure> {
    let path = url.split('?').next().unwrap_or_default();
    let counts = |bucket: &&Bucket| path.ends_with(&bucket.path);
    // The narrow ones first: who has to wait there takes nothing from the others.
    let (narrow, wide): (Vec<&Bucket>, Vec<&Bucket>) = buckets.iter().filter(counts).partition(|b| !b.path.is_empty());
    for bucket in narrow.into_iter().chain(wide) {
        take_token(world, connection, bucket).await?;
    }
    Ok(())
}

/// Tokens are kept in thousandths.
async fn take_token<W: Store + Clock>(world: &W, connection: &str, bucket: &Bucket) -> Result<(), Failure> {
    let Bucket { name, burst, per_second, .. } = bucket;
    let place = Key::new(format!("bucket#{connection}"), name.clone());
    let full = i64::from(*burst) * 1000;
    let need = 1000;
    for _ in 0..BUCKET_TRIES {
        let now = world.now_ms();
        let stored = world.get(Table::Control, &place).await?;
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
        match world.write(vec![Write::Put { table: Table::Control, item, condition }], None).await {
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
