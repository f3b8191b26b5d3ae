//! Pauses of a connection, and the dispatches that are held until it is resumed.

use canonical::Dispatch;

use crate::batch::write_if;
use crate::failure::{Code, Failure};
use crate::outbox::serialize;
use crate::ports::{Attr, Clock, Condition, Item, Key, Store, Table, Write};

/// Why a connection is paused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// The reason that an operator or the hub itself has given.
    pub reason: String,
}

/// The key of a connection's pause.
pub fn pause_key(connection: &str) -> Key {
    Key::new(format!("pause#{connection}"), "pause")
}

/// The pause of a connection, if there is one.
pub async fn paused<P: Store>(ports: &P, connection: &str) -> Result<Option<Pause>, Failure> {
    let item = ports.get(Table::Control, &pause_key(connection)).await?;
    Ok(item.map(|i| Pause { reason: i.s("reason").unwrap_or_default().to_owned() }))
}

/// Fails when a connection is paused.
pub async fn require_running<P: Store>(ports: &P, connection: &str) -> Result<(), Failure> {
    match paused(ports, connection).await? {
        Some(_) => Err(Failure::new(Code::Paused, format!("`{connection}` is paused"))),
        None => Ok(()),
    }
}

/// Pauses a connection whose credentials the provider refuses, until an operator resumes it.
pub async fn pause_for_auth<P: Store + Clock>(ports: &P, connection: &str, detail: &str) -> Result<(), Failure> {
    tracing::error!(connection, detail, alert = true, "the provider refuses the credentials: the connection is paused");
    let item = Item::new(pause_key(connection)).with("reason", Attr::S(detail.to_owned())).with("at", Attr::N(ports.now_ms()));
    write_if(ports, Write::Put { table: Table::Control, item, condition: Condition::Absent }).await?;
    Ok(())
}

/// The partition of the messages that are held for a paused destination.
pub fn held_partition(destination: &str) -> String {
    format!("held#{destination}")
}

/// Stores a dispatch until its destination is resumed. A queue would keep it for 14 days only.
pub async fn hold_dispatch<P: Store + Clock>(ports: &P, destination: &str, dispatch: &Dispatch) -> Result<(), Failure> {
    let body = serialize(dispatch)?;
    let item = Item::new(Key::new(held_partition(destination), format!("{}#{}", dispatch.object, dispatch.record)))
        .with("dispatch", Attr::S(body))
        .with("at", Attr::N(ports.now_ms()));
    ports.write(vec![Write::Put { table: Table::Control, item, condition: Condition::Always }], None).await?;
    Ok(())
}
