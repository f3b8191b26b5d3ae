//! Pauses, held messages and token buckets: what operators and rates say about a connection.

use canonical::Dispatch;

use crate::batch::write_if;
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

/// Takes tokens from a connection's bucket, shared by all workers, or says how long to wait. Tokens are kept in thousandths.
pub async fn take_tokens<W: Store + Clock>(
    world: &W,
    connection: &str,
    burst: u32,
    per_second: f64,
    tokens: u32,
) -> Result<(), Failure> {
    let place = Key::new(format!("bucket#{connection}"), "bucket");
    let full = i64::from(burst) * 1000;
    let need = i64::from(tokens) * 1000;
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
            return Err(Failure::throttled(Code::RateLimited, wait.max(100), format!("the bucket of `{connection}` is empty")));
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
    Err(Failure::throttled(Code::RateLimited, 250, format!("the bucket of `{connection}` is contended")))
}
