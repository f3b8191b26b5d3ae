//! Pauses of a connection or of one of its object types, and the dispatches that are held until it is resumed.

use std::collections::BTreeMap;

use canonical::Dispatch;
use providers::api::{FailureKind, RowFailure};

use crate::batch::write_if;
use crate::failure::{Code, Failure};
use crate::outbox::serialize;
use crate::ports::{Attr, Clock, Condition, Item, Key, Store, Table, Write};

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
/// `speed` divides the time that the provider requests (1 in production).
pub async fn pause_for<P: Store + Clock>(
    ports: &P,
    (connection, native): (&str, &str),
    refusal: &RowFailure,
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
    let mut item = Item::new(key.clone()).with("reason", Attr::S(reason.clone())).with("at", Attr::N(now_ms));
    let condition = match ports.get(Table::Control, &key).await? {
        None => Condition::Absent,
        Some(before) if Pause::of(&before, now_ms).is_some() => return Ok(()),
        Some(before) => Condition::Equals("at", Attr::N(before.n("at").unwrap_or_default())),
    };
    if let Some(wait_ms) = wait_ms {
        item = item.with("until", Attr::N(now_ms.saturating_add(i64::try_from(wait_ms).unwrap_or(i64::MAX))));
    }
    if write_if(ports, Write::Put { table: Table::Control, item, condition }).await? {
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
