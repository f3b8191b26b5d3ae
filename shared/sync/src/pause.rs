//! Pauses of a connection or of one of its object types, and the dispatches that are held until it is resumed.

use std::collections::BTreeMap;

use canonical::Dispatch;
use providers::api::{FailureKind, RowFailure};

use crate::batch::write_if;
use crate::failure::{Code, Failure};
use crate::outbox::{send_dispatches, serialize};
use crate::ports::{Attr, Clock, Condition, Item, Key, Queue, Store, Table, Write};

/// From how long a requested wait on the hub makes no calls to the connection until it is over, in milliseconds.
const LONG_WAIT_MS: u64 = 60_000;

/// Why a connection, or one of its object types, is paused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// The reason that an operator or the hub itself has given.
    pub reason: String,
    /// When it ends by itself, in milliseconds; `None` where somebody must end it.
    pub until_ms: Option<i64>,
    /// The key of its item.
    pub key: Key,
}

impl Pause {
    fn of(item: &Item, now_ms: i64) -> Option<Pause> {
        let until_ms = item.n("until");
        let reason = item.s("reason").unwrap_or_default().to_owned();
        until_ms.is_none_or(|until| until > now_ms).then_some(Pause { reason, until_ms, key: item.key.clone() })
    }

    /// The failure of work that must wait for the end of the pause.
    pub fn failure<P: Clock>(&self, ports: &P, connection: &str) -> Failure {
        match self.until_ms {
            Some(until_ms) => {
                let wait_ms = u64::try_from(until_ms - ports.now_ms()).unwrap_or(0);
                Failure::throttled(Code::RateLimited, wait_ms, format!("`{connection}` requested a wait: {}", self.reason))
            }
            None => Failure::new(Code::Paused, format!("`{connection}` is paused: {}", self.reason)),
        }
    }
}

/// The pauses of a connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pauses {
    connection: Option<Pause>,
    objects: BTreeMap<String, Pause>,
}

impl Pauses {
    /// Reads the pauses of a connection.
    pub async fn load<P: Store + Clock>(ports: &P, connection: &str) -> Result<Pauses, Failure> {
        let mut pauses = Pauses::default();
        let partition = pause_key(connection).pk;
        for item in ports.query(Table::Control, &partition, "", 100, None).await?.items {
            let Some(pause) = Pause::of(&item, ports.now_ms()) else { continue };
            match item.key.sk.strip_prefix(OBJECT) {
                Some(native) => {
                    pauses.objects.insert(native.to_owned(), pause);
                }
                None => pauses.connection = Some(pause),
            }
        }
        Ok(pauses)
    }

    /// The pause that concerns a native object: its own, or that of the connection.
    pub fn of(&self, native: &str) -> Option<&Pause> {
        self.connection.as_ref().or_else(|| self.objects.get(native))
    }

    /// True when the connection or one of its object types is paused.
    pub fn is_any(&self) -> bool {
        self.connection.is_some() || !self.objects.is_empty()
    }

    /// The pause of the whole connection.
    pub fn of_connection(&self) -> Option<&Pause> {
        self.connection.as_ref()
    }

    /// The pauses of single native objects.
    pub fn of_objects(&self) -> &BTreeMap<String, Pause> {
        &self.objects
    }
}

const OBJECT: &str = "object#";

/// The key of a connection's pause.
pub fn pause_key(connection: &str) -> Key {
    Key::new(format!("pause#{connection}"), "pause")
}

/// The key of the pause of one of its native objects.
pub fn object_pause_key(connection: &str, native: &str) -> Key {
    Key::new(pause_key(connection).pk, format!("{OBJECT}{native}"))
}

/// The pause of a connection, if there is one.
pub async fn paused<P: Store + Clock>(ports: &P, connection: &str) -> Result<Option<Pause>, Failure> {
    let item = ports.get(Table::Control, &pause_key(connection)).await?;
    Ok(item.and_then(|item| Pause::of(&item, ports.now_ms())))
}

/// Fails when a connection, or this native object of it, is paused.
pub async fn require_running<P: Store + Clock>(ports: &P, connection: &str, native: &str) -> Result<(), Failure> {
    match Pauses::load(ports, connection).await?.of(native) {
        Some(pause) => Err(pause.failure(ports, connection)),
        None => Ok(()),
    }
}

/// Pauses what a refusal concerns, where going on would only repeat the refusal: the connection until an operator resumes it
/// (credentials, a limit of the account), the connection for the time that the provider requests, or one object type (a permission
/// that the token lacks). One cause raises one alarm.
///
/// With the refusal comes the version of the secret whose credentials were refused, if that is known: a new one ends the pause.
/// `speed` divides the time that the provider requests (1 in production).
pub async fn pause_for<P: Store + Clock>(
    ports: &P,
    (connection, native): (&str, &str),
    (refusal, version): (&RowFailure, Option<&str>),
    speed: u32,
) -> Result<(), Failure> {
    let (key, wait_ms) = match refusal.kind {
        FailureKind::Auth | FailureKind::LimitReached => (pause_key(connection), None),
        FailureKind::Denied => (object_pause_key(connection, native), None),
        FailureKind::Throttled { after_ms } if after_ms >= LONG_WAIT_MS => {
            (pause_key(connection), Some(after_ms / u64::from(speed.max(1))))
        }
        _ => return Ok(()),
    };
    let (reason, now_ms) = (refusal.to_string(), ports.now_ms());
    let reason = if refusal.kind == FailureKind::Denied { format!("{native}: {reason}") } else { reason };
    let mut item = Item::new(key).with("reason", Attr::S(reason.clone())).with("at", Attr::N(now_ms));
    if let Some(wait_ms) = wait_ms {
        item = item.with("until", Attr::N(now_ms.saturating_add(i64::try_from(wait_ms).unwrap_or(i64::MAX))));
    }
    if let (FailureKind::Auth | FailureKind::Denied, Some(version)) = (refusal.kind, version) {
        item = item.with(VERSION, Attr::S(version.to_owned()));
    }
    if begin_pause(ports, item).await? {
        tracing::error!(
            connection,
            object = native,
            detail = reason,
            wait_ms,
            alert = true,
            "the provider refuses more than one record: what is concerned is paused"
        );
    }
    Ok(())
}

/// The attribute that names the version of the secret whose credentials were refused.
const VERSION: &str = "version";

/// Writes a pause, unless there is one already. Returns whether it did.
async fn begin_pause<P: Store + Clock>(ports: &P, item: Item) -> Result<bool, Failure> {
    let condition = match ports.get(Table::Control, &item.key).await? {
        None => Condition::Absent,
        Some(before) if Pause::of(&before, ports.now_ms()).is_some() => return Ok(false),
        Some(before) => Condition::Equals("at", Attr::N(before.n("at").unwrap_or_default())),
    };
    write_if(ports, Write::Put { table: Table::Control, item, condition }).await
}

/// Pauses a connection whose credentials only a person can renew. A new version of the secret ends the pause. Returns whether the
/// pause is new.
pub async fn pause_until_connected<P: Store + Clock>(
    ports: &P,
    connection: &str,
    reason: &str,
    version: &str,
) -> Result<bool, Failure> {
    let item = Item::new(pause_key(connection))
        .with("reason", Attr::S(reason.to_owned()))
        .with("at", Attr::N(ports.now_ms()))
        .with(VERSION, Attr::S(version.to_owned()));
    begin_pause(ports, item).await
}

/// True when a connection is paused because of the credentials in this version of its secret.
pub async fn is_paused_for<P: Store + Clock>(ports: &P, connection: &str, version: &str) -> Result<bool, Failure> {
    let item = ports.get(Table::Control, &pause_key(connection)).await?;
    Ok(item.is_some_and(|item| item.s(VERSION) == Some(version)))
}

/// Ends the pauses of a connection that began because of its credentials, if the secret has another version by now. Returns whether
/// it ended one.
pub async fn end_pauses_of_credentials<P: Store + Clock>(ports: &P, connection: &str, version: &str) -> Result<bool, Failure> {
    let mut any = false;
    for item in ports.query(Table::Control, &pause_key(connection).pk, "", 100, None).await?.items {
        if item.s(VERSION).is_none_or(|before| before == version) {
            continue;
        }
        let condition = Condition::Equals("at", Attr::N(item.n("at").unwrap_or_default()));
        any |= write_if(ports, Write::Delete { table: Table::Control, key: item.key, condition }).await?;
    }
    Ok(any)
}

/// Sends the dispatches that are held for a destination, and returns how many.
pub async fn send_held<P: Store + Queue>(ports: &P, destination: &str) -> Result<usize, Failure> {
    let mut sent = 0;
    loop {
        // Each page is deleted once it is sent, so the first page is always the next one.
        let page = ports.query(Table::Control, &held_partition(destination), "", PAGE, None).await?;
        if page.items.is_empty() {
            return Ok(sent);
        }
        let dispatches = page.items.iter().map(held_dispatch).collect::<Result<Vec<_>, _>>()?;
        send_dispatches(ports, destination, &dispatches).await?;
        for item in page.items {
            // An item that was replaced by a newer dispatch after it was read stays for the next page.
            let condition = Condition::Equals("dispatch", Attr::S(item.s("dispatch").unwrap_or_default().to_owned()));
            sent += usize::from(write_if(ports, Write::Delete { table: Table::Control, key: item.key, condition }).await?);
        }
    }
}

fn held_dispatch(item: &Item) -> Result<Dispatch, Failure> {
    let held = item.s("dispatch").and_then(|body| serde_json::from_str(body).ok());
    held.ok_or_else(|| Failure::new(Code::CorruptItem, "a held message cannot be read"))
}

/// Held messages that are read and sent at once.
const PAGE: u32 = 100;

/// The partition of the messages that are held for a paused destination.
pub fn held_partition(destination: &str) -> String {
    format!("held#{destination}")
}

/// Stores a dispatch until its destination is resumed, if it is still paused for the same reason. A queue would keep it for 14
/// days only. A resume first ends the pause and then sends what is held, so that nothing is held after
/// that.
pub async fn hold_dispatch<P: Store + Clock>(
    ports: &P,
    destination: &str,
    pause: &Pause,
    dispatch: &Dispatch,
) -> Result<(), Failure> {
    let body = serialize(dispatch)?;
    let item = Item::new(Key::new(held_partition(destination), format!("{}#{}", dispatch.object, dispatch.record)))
        .with("dispatch", Attr::S(body))
        .with("at", Attr::N(ports.now_ms()));
    let paused = Condition::Equals("reason", Attr::S(pause.reason.clone()));
    let writes = vec![
        Write::Check { table: Table::Control, key: pause.key.clone(), condition: paused },
        Write::Put { table: Table::Control, item, condition: Condition::Always },
    ];
    ports.write(writes, None).await?;
    Ok(())
}
