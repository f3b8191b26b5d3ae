//! `hub pause` and `hub resume`.

use canonical::{Dispatch, QueueName};
use sync::config::Hub;
use sync::failure::{Code, Failure};
use sync::pause::{held_partition, pause_key};
use sync::ports::{Attr, Condition, Item, Outgoing, Table, Write, WriteError};

use super::Ports;

fn known(hub: &Hub, connection: &str) -> Result<(), Failure> {
    if hub.connections.contains_key(connection) {
        return Ok(());
    }
    let names: Vec<&str> = hub.connections.keys().map(|name| name.as_str()).collect();
    let help = crate::config::finding::suggestion(connection, names);
    Err(Failure::new(Code::UnknownConnection, format!("`{connection}` is not in the configuration; {help}")))
}

/// Pauses a connection: nothing is written to it or read from it until it is resumed. What comes in is still taken.
pub async fn pause<P: Ports>(ports: &P, hub: &Hub, connection: &str, reason: &str) -> Result<(), Failure> {
    known(hub, connection)?;
    let item = Item::new(pause_key(connection)).with("reason", Attr::S(reason.to_owned())).with("at", Attr::N(ports.now_ms()));
    ports.write(vec![Write::Put { table: Table::Control, item, condition: Condition::Always }], None).await?;
    Ok(())
}

/// Ends a pause and sends what was held. Returns how many messages that were.
pub async fn resume<P: Ports>(ports: &P, hub: &Hub, connection: &str) -> Result<usize, Failure> {
    known(hub, connection)?;
    let end = Write::Delete { table: Table::Control, key: pause_key(connection), condition: Condition::Always };
    ports.write(vec![end], None).await?;
    let queue = QueueName::upsert(connection);
    let mut sent = 0;
    loop {
        // Each page is deleted once it is sent, so the first page is always the next one.
        let page = ports.query(Table::Control, &held_partition(connection), "", 100, None).await?;
        if page.items.is_empty() {
            return Ok(sent);
        }
        let messages = page.items.iter().map(message).collect::<Result<Vec<_>, _>>()?;
        for answer in ports.send(&queue, messages).await {
            answer?;
        }
        for item in page.items {
            let condition = Condition::Equals("dispatch", Attr::S(item.s("dispatch").unwrap_or_default().to_owned()));
            let delete = Write::Delete { table: Table::Control, key: item.key, condition };
            match ports.write(vec![delete], None).await {
                Ok(()) => sent += 1,
                // Held anew meanwhile: the next page has it.
                Err(WriteError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn message(item: &Item) -> Result<Outgoing, Failure> {
    let body = item.s("dispatch").ok_or_else(|| Failure::new(Code::CorruptItem, "a held message"))?;
    serde_json::from_str::<Dispatch>(body).map_err(|_| Failure::new(Code::CorruptItem, "a held message"))?;
    Ok(Outgoing::new(body))
}
