//! A request to `rotate` for a new access token. Whoever needs one writes down that it was requested, so that fifty workers send one
//! message. A message that is lost costs a short wait: the request is sent again, and `rotate` also looks by itself.

use canonical::RefreshRequest;

use crate::batch::write_if;
use crate::failure::{Code, Failure};
use crate::outbox::send_refresh_request;
use crate::ports::{Attr, Clock, Condition, Item, Key, Queue, Store, Table, Write};

/// How long after a request the next one for the same version is sent, in milliseconds.
const REPEAT_MS: i64 = 20_000;
/// The shortest wait for a new token, in milliseconds: longer than a process may go without reading the secret.
const SHORTEST_WAIT_MS: i64 = 6_000;
/// The longest one.
const LONGEST_WAIT_MS: i64 = 900_000;

/// The key of a connection's last request.
pub fn request_key(connection: &str) -> Key {
    Key::new(format!("refresh#{connection}"), "request")
}

/// Requests a new access token, unless somebody just did. Returns how long to wait for it, in milliseconds: the longer nothing has
/// come, the longer the wait.
pub async fn request_refresh<P: Store + Queue + Clock>(ports: &P, request: &RefreshRequest) -> Result<u64, Failure> {
    let (key, now_ms) = (request_key(&request.connection), ports.now_ms());
    let stored = ports.get(Table::Control, &key).await?;
    let same = stored.as_ref().filter(|item| item.s("version") == Some(request.version.as_str()));
    let since_ms = same.and_then(|item| item.n("since")).unwrap_or(now_ms);
    let due = same.and_then(|item| item.n("at")).is_none_or(|at| now_ms - at >= REPEAT_MS || at > now_ms + REPEAT_MS);
    if due {
        let condition = match stored.as_ref().and_then(|item| item.n("at")) {
            Some(at) => Condition::Equals("at", Attr::N(at)),
            None => Condition::Absent,
        };
        let item = Item::new(key)
            .with("version", Attr::S(request.version.clone()))
            .with("since", Attr::N(since_ms))
            .with("at", Attr::N(now_ms));
        if write_if(ports, Write::Put { table: Table::Control, item, condition }).await? {
            // Without this message the next worker that needs the token requests it, or the schedule finds it.
            if let Err(error) = send_refresh_request(ports, request).await {
                tracing::warn!(connection = %request.connection, detail = %error.chain(), "a new access token could not be requested");
            }
        }
    }
    let wait_ms = ((now_ms - since_ms) / 4).clamp(SHORTEST_WAIT_MS, LONGEST_WAIT_MS);
    Ok(u64::try_from(wait_ms).unwrap_or_default())
}

/// The failure of work that waits for a new access token. It counts as no attempt.
pub fn token_pending(connection: &str, wait_ms: u64) -> Failure {
    Failure::throttled(Code::TokenPending, wait_ms, format!("`{connection}` waits for a new access token"))
}
