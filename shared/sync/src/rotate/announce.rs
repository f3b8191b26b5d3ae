//! What a person should learn about a connection's credentials before they stop working.

use providers::Auth;

use super::Ports;
use crate::batch::{Metric, write_if};
use crate::config::Connection;
use crate::credential::Credential;
use crate::failure::Failure;
use crate::ports::{Attr, Condition, Item, Key, Table, Write};

const DAY_MS: i64 = 86_400_000;
/// How many days before its end a grant is announced.
const DAYS: [i64; 2] = [30, 7];

/// Announces the end of a grant once 30 and once 7 days ahead, by a log line. The measurement is 1 on the first of these days, and
/// for the whole last week.
pub(super) async fn grant_end<P: Ports>(
    ports: &P,
    (name, connection): (&str, &Connection),
    credential: &Credential,
    auth: &Auth,
) -> Result<Option<Metric>, Failure> {
    let Some(end_ms) = credential.grant_end_ms(auth) else { return Ok(None) };
    let left_days = (end_ms - ports.now_ms()).div_euclid(DAY_MS);
    let metric = |is_near: bool| Some(Metric::of_connection("grant_ending", f64::from(u8::from(is_near)), name));
    let Some(day) = DAYS.into_iter().filter(|day| left_days <= *day).min() else { return Ok(metric(false)) };
    let item = Item::new(Key::new(format!("refresh#{name}"), format!("announced#{day}"))).with("end", Attr::N(end_ms / DAY_MS));
    let stored = ports.get(Table::Control, &item.key).await?;
    let condition = match stored.as_ref().map(|item| item.n("end").unwrap_or_default()) {
        Some(end) if end == end_ms / DAY_MS => return Ok(metric(left_days == DAYS[0] || day == DAYS[1])),
        Some(end) => Condition::Equals("end", Attr::N(end)),
        None => Condition::Absent,
    };
    if write_if(ports, Write::Put { table: Table::Control, item, condition }).await? {
        let owner = connection.owner.as_str();
        tracing::warn!(connection = name, owner, left_days, alert = true, "the grant ends: run `hub connect` for the connection");
    }
    Ok(metric(true))
}

/// Warns when the provider names another base URL for the account than the one that is configured.
pub(super) fn instance(name: &str, connection: &Connection, pair: &Credential) {
    let Some(url) = pair.instance_url.as_deref().map(|url| url.trim_end_matches('/')) else { return };
    if !url.eq_ignore_ascii_case(&connection.base_url) {
        tracing::warn!(
            connection = name,
            url,
            configured = connection.base_url,
            "the provider names another base URL for the account"
        );
    }
}
