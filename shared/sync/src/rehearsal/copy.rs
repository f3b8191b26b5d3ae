//! A copy of the hub's tables and queues that takes every write and changes nothing that is real.

use std::cell::RefCell;
use std::collections::BTreeMap;

use canonical::QueueName;

use crate::ports::{
    Blob, Clock, Condition, Delivery, Http, HttpError, HttpRequest, HttpResponse, Item, Key, Outgoing, Page, PortError, Queue,
    SecretSet, Secrets, Store, Table, Write, WriteError,
};
use crate::write_log::WriteLog;

/// How the partitions of rate buckets begin. What a rehearsal reads counts against the account's rate like any other read.
const BUCKETS: &str = "bucket#";

/// A message in a queue of the copy.
#[derive(Debug, Clone)]
struct Message {
    delivery: Delivery,
    visible_ms: i64,
}

/// Ports that read what is real and keep every write to themselves. The levels of rate buckets are the one exception.
pub struct CopiedPorts<'a, P> {
    real: &'a P,
    /// Items as they were read, or as they were written since; `None` for one that does not exist.
    items: RefCell<BTreeMap<(Table, Key), Option<Item>>>,
    queues: RefCell<BTreeMap<QueueName, Vec<Message>>>,
    blobs: RefCell<BTreeMap<String, Vec<u8>>>,
    /// When messages that were received are visible again, by receipt.
    delays: RefCell<BTreeMap<String, i64>>,
    /// The writes to providers.
    pub log: WriteLog,
}

impl<'a, P: Store + Clock> CopiedPorts<'a, P> {
    /// A copy of these ports with empty queues.
    pub fn new(real: &'a P) -> CopiedPorts<'a, P> {
        let (items, queues, blobs, delays) = (RefCell::default(), RefCell::default(), RefCell::default(), RefCell::default());
        CopiedPorts { real, items, queues, blobs, delays, log: WriteLog::default() }
    }

    /// Receives up to `most` messages of a queue that are visible.
    pub fn receive(&self, queue: &QueueName, most: usize) -> Vec<Delivery> {
        let now_ms = self.real.now_ms();
        let mut queues = self.queues.borrow_mut();
        let Some(messages) = queues.get_mut(queue) else { return Vec::new() };
        let mut received = Vec::new();
        messages.retain(|message| {
            let ready = message.visible_ms <= now_ms && received.len() < most;
            if ready {
                received.push(message.delivery.clone());
            }
            !ready
        });
        received
    }

    /// Puts a message back that its handler did not finish.
    pub fn put_back(&self, queue: &QueueName, mut delivery: Delivery) {
        let visible_ms = self.delays.borrow_mut().remove(&delivery.receipt).unwrap_or_else(|| self.real.now_ms());
        delivery.receive_count += 1;
        delivery.receipt = format!("{}/{}", delivery.id, delivery.receive_count);
        self.queues.borrow_mut().entry(queue.clone()).or_default().push(Message { delivery, visible_ms });
    }

    /// When the next message of these queues is visible.
    pub fn next_visible_ms(&self, wanted: impl Fn(&QueueName) -> bool) -> Option<i64> {
        let queues = self.queues.borrow();
        queues.iter().filter(|(queue, _)| wanted(queue)).flat_map(|(_, messages)| messages).map(|m| m.visible_ms).min()
    }

    /// The attributes of the messages in a queue.
    pub fn attributes(&self, wanted: impl Fn(&QueueName) -> bool) -> Vec<BTreeMap<String, String>> {
        let queues = self.queues.borrow();
        let messages = queues.iter().filter(|(queue, _)| wanted(queue)).flat_map(|(_, messages)| messages);
        messages.map(|message| message.delivery.attributes.clone()).collect()
    }

    fn known(&self, table: Table, key: &Key) -> Option<Option<Item>> {
        self.items.borrow().get(&(table, key.clone())).cloned()
    }

    fn note(&self, table: Table, key: &Key, item: Option<Item>) -> Option<Item> {
        self.items.borrow_mut().entry((table, key.clone())).or_insert(item).clone()
    }

    /// Checks the conditions and writes, in one step.
    fn apply(&self, writes: Vec<Write>) -> Result<(), WriteError> {
        let mut items = self.items.borrow_mut();
        let failed: Vec<usize> = writes
            .iter()
            .enumerate()
            .filter(|(_, write)| {
                let (table, key, condition) = parts(write);
                !holds(condition, items.get(&(table, key.clone())).and_then(Option::as_ref))
            })
            .map(|(index, _)| index)
            .collect();
        if !failed.is_empty() {
            return Err(WriteError::Conflict { failed });
        }
        for write in writes {
            match write {
                Write::Put { table, item, .. } => items.insert((table, item.key.clone()), Some(item)),
                Write::Delete { table, key, .. } => items.insert((table, key), None),
                Write::Check { .. } => None,
            };
        }
        Ok(())
    }
}

fn parts(write: &Write) -> (Table, &Key, &Condition) {
    match write {
        Write::Put { table, item, condition } => (*table, &item.key, condition),
        Write::Delete { table, key, condition } | Write::Check { table, key, condition } => (*table, key, condition),
    }
}

fn holds(condition: &Condition, item: Option<&Item>) -> bool {
    match (condition, item) {
        (Condition::Always, _) | (Condition::Absent, None) => true,
        (Condition::Absent, Some(_)) | (Condition::Equals(..), None) => false,
        (Condition::Equals(name, value), Some(item)) => item.attrs.get(*name) == Some(value),
    }
}

impl<P: Store + Clock> Store for CopiedPorts<'_, P> {
    async fn get(&self, table: Table, key: &Key) -> Result<Option<Item>, PortError> {
        if key.pk.starts_with(BUCKETS) {
            return self.real.get(table, key).await;
        }
        match self.known(table, key) {
            Some(item) => Ok(item),
            None => {
                let item = self.real.get(table, key).await?;
                Ok(self.note(table, key, item))
            }
        }
    }

    async fn get_many(&self, table: Table, keys: &[Key]) -> Result<Vec<Option<Item>>, PortError> {
        let unknown: Vec<Key> = keys.iter().filter(|key| self.known(table, key).is_none()).cloned().collect();
        if !unknown.is_empty() {
            for (key, item) in unknown.iter().zip(self.real.get_many(table, &unknown).await?) {
                self.note(table, key, item);
            }
        }
        Ok(keys.iter().map(|key| self.known(table, key).flatten()).collect())
    }

    async fn query(&self, table: Table, pk: &str, prefix: &str, limit: u32, after: Option<&Key>) -> Result<Page, PortError> {
        if after.is_none() {
            // What is real is read once; from then on the copy knows the whole partition.
            let mut next = None;
            loop {
                let page = self.real.query(table, pk, prefix, limit, next.as_ref()).await?;
                page.items.into_iter().for_each(|item| _ = self.note(table, &item.key.clone(), Some(item)));
                next = page.next;
                if next.is_none() {
                    break;
                }
            }
        }
        let items = self.items.borrow();
        let first = (table, Key::new(pk, prefix));
        let matching = items.range(first..).take_while(|((t, key), _)| *t == table && key.pk == pk && key.sk.starts_with(prefix));
        let rest =
            matching.filter(|((_, key), _)| after.is_none_or(|after| key.sk > after.sk)).filter_map(|(_, item)| item.clone());
        let mut items: Vec<Item> = rest.take(limit as usize + 1).collect();
        let more = items.len() > limit as usize;
        items.truncate(limit as usize);
        let next = if more { items.last().map(|item| item.key.clone()) } else { None };
        Ok(Page { items, next })
    }

    async fn scan(&self, table: Table, limit: u32, after: Option<&Key>) -> Result<Page, PortError> {
        // Only jobs on a schedule scan, and a rehearsal runs none.
        self.real.scan(table, limit, after).await
    }

    async fn write(&self, writes: Vec<Write>, token: Option<&str>) -> Result<(), WriteError> {
        if writes.iter().all(|write| parts(write).1.pk.starts_with(BUCKETS)) {
            return self.real.write(writes, token).await;
        }
        for write in &writes {
            let (table, key, _) = parts(write);
            self.get(table, key).await?;
        }
        self.apply(writes)
    }
}

impl<P: Store + Clock> Queue for CopiedPorts<'_, P> {
    async fn send(&self, queue: &QueueName, messages: Vec<Outgoing>) -> Vec<Result<(), PortError>> {
        let mut results = Vec::new();
        for message in messages {
            let (id, receive_count) = (format!("{:016x}", self.real.random()), 1);
            let (receipt, body, attributes) = (format!("{id}/1"), message.body, message.attributes);
            let delivery = Delivery { id, receipt, body, receive_count, attributes };
            // A page of an import need not wait here for the sake of its rate.
            let visible_ms = self.real.now_ms();
            self.queues.borrow_mut().entry(queue.clone()).or_default().push(Message { delivery, visible_ms });
            results.push(Ok(()));
        }
        results
    }

    async fn delay(&self, _queue: &QueueName, receipt: &str, seconds: u32) -> Result<(), PortError> {
        let visible_ms = self.real.now_ms() + i64::from(seconds) * 1_000;
        self.delays.borrow_mut().insert(receipt.to_owned(), visible_ms);
        Ok(())
    }
}

impl<P: Blob> Blob for CopiedPorts<'_, P> {
    async fn put(&self, key: &str, bytes: &[u8]) -> Result<(), PortError> {
        self.blobs.borrow_mut().insert(key.to_owned(), bytes.to_vec());
        Ok(())
    }

    async fn get_blob(&self, key: &str) -> Result<Option<Vec<u8>>, PortError> {
        let own = self.blobs.borrow().get(key).cloned();
        if own.is_some() { Ok(own) } else { self.real.get_blob(key).await }
    }
}

impl<P: Secrets> Secrets for CopiedPorts<'_, P> {
    async fn secret(&self, name: &str, fresh: bool) -> Result<SecretSet, PortError> {
        self.real.secret(name, fresh).await
    }
}

impl<P: Clock> Clock for CopiedPorts<'_, P> {
    fn now_ms(&self) -> i64 {
        self.real.now_ms()
    }

    fn random(&self) -> u64 {
        self.real.random()
    }

    fn fill_secret(&self, buffer: &mut [u8]) {
        self.real.fill_secret(buffer);
    }

    async fn sleep(&self, ms: u64) {
        self.real.sleep(ms).await;
    }
}

impl<P: Http> Http for CopiedPorts<'_, P> {
    async fn http(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        self.real.http(request).await
    }

    fn write_log(&self) -> Option<&WriteLog> {
        Some(&self.log)
    }
}
