//! Fuses: when a source reports more new, changed or deleted records than declared, what comes after that is held, lossless, until
//! somebody releases or discards it. A mistake at a source (an import there, a clean-up, a wrong filter) then stays a mistake there.

use std::collections::BTreeMap;

use canonical::{ConnectionName, EventRef};
use serde::{Deserialize, Serialize};

use crate::config::{FuseLimit, Fuses};
use crate::failure::{Code, Failure};
use crate::outbox::serialize;
use crate::ports::{Attr, Clock, Condition, Item, Key, Store, Table, Write, WriteError};
use crate::record::journal::{day, retained_partition};
use crate::record::unchanged_since;
use crate::seal::Vault;

/// The attribute of a message that an operator has released: no fuse holds or counts it.
pub const RELEASED: &str = "released";

/// How often a count is stored against other workers. A count that is lost lets some more records through, and nothing else.
const MAX_STORES: usize = 8;

/// What a fuse counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FuseKind {
    /// Records that the hub did not know.
    New,
    /// Records whose values changed.
    Changed,
    /// Records that were deleted at the source.
    Deleted,
}

impl FuseKind {
    /// The name in `hub.toml` and in messages.
    pub const fn name(self) -> &'static str {
        match self {
            FuseKind::New => "new",
            FuseKind::Changed => "changed",
            FuseKind::Deleted => "deleted",
        }
    }

    fn limit(self, fuses: &Fuses) -> Option<&FuseLimit> {
        match self {
            FuseKind::New => fuses.new.as_ref(),
            FuseKind::Changed => fuses.changed.as_ref(),
            FuseKind::Deleted => fuses.deleted.as_ref(),
        }
    }
}

/// What a connection reported, by kind, since the last count was stored; and how many objects of it became known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reported {
    /// By kind.
    pub counts: BTreeMap<FuseKind, u64>,
    /// Objects that were new to the hub, in an import too.
    pub known: u64,
}

/// A count since a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Window {
    begin_ms: i64,
    count: u64,
}

/// A fuse that has blown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blown {
    /// What there was too much of.
    pub kind: FuseKind,
    /// How much of it.
    pub count: u64,
    /// When, by our clock, in milliseconds.
    pub at_ms: i64,
}

/// The fuses of a connection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct FuseState {
    windows: BTreeMap<FuseKind, Window>,
    known: u64,
    blown: Option<Blown>,
    #[serde(skip)]
    version: u64,
}

fn fuse_key(connection: &str) -> Key {
    Key::new(format!("fuse#{connection}"), "fuse")
}

async fn read_state<P: Store>(ports: &P, connection: &str) -> Result<FuseState, Failure> {
    let Some(item) = ports.get(Table::Control, &fuse_key(connection)).await? else { return Ok(FuseState::default()) };
    let corrupt = |_| Failure::new(Code::CorruptItem, format!("the fuses of `{connection}` cannot be read"));
    let mut state: FuseState = serde_json::from_str(item.s("fuses").unwrap_or_default()).map_err(corrupt)?;
    state.version = item.n("ver").and_then(|version| u64::try_from(version).ok()).unwrap_or(0);
    Ok(state)
}

async fn store_state<P: Store>(ports: &P, connection: &str, state: &FuseState) -> Result<bool, Failure> {
    let version = i64::try_from(state.version + 1).unwrap_or(i64::MAX);
    let item = Item::new(fuse_key(connection)).with("fuses", Attr::S(serialize(state)?)).with("ver", Attr::N(version));
    let write = Write::Put { table: Table::Control, item, condition: unchanged_since(state.version) };
    match ports.write(vec![write], None).await {
        Ok(()) => Ok(true),
        Err(WriteError::Conflict { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The fuse of a connection that has blown, if one has.
pub async fn blown<P: Store>(ports: &P, connection: &str) -> Result<Option<Blown>, Failure> {
    Ok(read_state(ports, connection).await?.blown)
}

/// Makes the fuses of a connection whole again, and begins to count anew. Returns the one that had blown.
///
/// # Errors
/// Other workers kept counting.
pub async fn replace<P: Store>(ports: &P, connection: &str) -> Result<Option<Blown>, Failure> {
    for _ in 0..MAX_STORES {
        let mut state = read_state(ports, connection).await?;
        state.windows.clear();
        let blown = state.blown.take();
        if store_state(ports, connection, &state).await? {
            return Ok(blown);
        }
    }
    Err(Failure::new(Code::Contention, format!("the fuses of `{connection}` kept counting")))
}

/// Adds what a connection reported to its counts, and blows the fuse that this is too much for.
pub async fn count<P: Store + Clock>(ports: &P, fuses: &Fuses, connection: &str, reported: &Reported) -> Result<(), Failure> {
    for _ in 0..MAX_STORES {
        let mut state = read_state(ports, connection).await?;
        state.known += reported.known;
        for (kind, count) in &reported.counts {
            let Some(limit) = kind.limit(fuses) else { continue };
            let now_ms = ports.now_ms();
            let window = state.windows.entry(*kind).or_insert(Window { begin_ms: now_ms, count: 0 });
            if window.begin_ms + limit.per_ms <= now_ms {
                *window = Window { begin_ms: now_ms, count: 0 };
            }
            window.count += count;
            if state.blown.is_none() && window.count > limit.allowed(state.known) {
                let count = window.count;
                tracing::error!(
                    connection,
                    kind = kind.name(),
                    count,
                    alert = true,
                    "a fuse has blown: what the connection reports is held"
                );
                state.blown = Some(Blown { kind: *kind, count, at_ms: now_ms });
            }
        }
        if store_state(ports, connection, &state).await? {
            return Ok(());
        }
    }
    tracing::warn!(connection, "a count of the fuses was lost against other workers");
    Ok(())
}

/// A message that a fuse holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldMessage {
    /// The queue that it came from.
    pub queue: String,
    /// Its body.
    pub body: String,
    /// Its attributes.
    pub attributes: BTreeMap<String, String>,
    /// The events that it holds.
    pub events: Vec<EventRef>,
}

/// The partition of the messages that the fuses of a connection hold.
pub fn fuse_partition(connection: &str) -> String {
    format!("fuse-held#{connection}")
}

/// Builds the write that holds a message, sealed, until somebody releases or discards it.
///
/// # Errors
/// The store failed.
pub async fn build_hold<P: Store + Clock>(
    ports: &P,
    vault: &Vault,
    connection: &ConnectionName,
    message_id: &str,
    message: &HeldMessage,
) -> Result<Write, Failure> {
    let key_id = retained_partition(connection, day(ports.now_ms()));
    vault.ensure_key(ports, &key_id).await?;
    let mut item = Item::new(Key::new(fuse_partition(connection), message_id)).with("at", Attr::N(ports.now_ms()));
    vault.seal_into(ports, &mut item, &key_id, message)?;
    Ok(Write::Put { table: Table::Control, item, condition: Condition::Always })
}
