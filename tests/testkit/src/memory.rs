//! Tables and queues in memory: pure state machines to which the caller gives the time. They behave as DynamoDB and SQS document,
//! as far as the ports expose it; the conformance suite compares them with real engines.

use std::collections::{BTreeMap, VecDeque};

use sync::ports::{
    Attr, Condition, Delivery, Item, Key, MESSAGE_BYTES, Outgoing, Page, PortError, Table, Write, WriteError, is_sendable,
};

/// Longest time for which a transaction's token is remembered, in milliseconds.
const TOKEN_MS: i64 = 600_000;
/// Most writes in a transaction.
const MOST_WRITES: usize = 100;
/// Most keys of a batch read.
const MOST_KEYS: usize = 100;
/// Largest item in bytes: 400 KiB.
const MOST_ITEM_BYTES: usize = 409_600;
/// Largest transaction in bytes.
const MOST_TRANSACTION_BYTES: usize = 4_194_304;
/// A page ends with the item that goes beyond this many bytes.
const PAGE_BYTES: usize = 1_048_576;
/// Most attributes of a message.
const MOST_ATTRIBUTES: usize = 10;

/// Tables with conditional writes and transactions.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Tables {
    items: BTreeMap<Table, BTreeMap<Key, Item>>,
    tokens: BTreeMap<String, (i64, Vec<Write>)>,
    /// The items that were written since [`Tables::mark`], as they were then; `None` before the first mark.
    replaced: Option<BTreeMap<(Table, Key), Option<Item>>>,
}

fn holds(condition: &Condition, item: Option<&Item>) -> bool {
    match (condition, item) {
        (Condition::Always, _) | (Condition::Absent, None) => true,
        (Condition::Absent, Some(_)) | (Condition::Equals(..), None) => false,
        (Condition::Equals(name, value), Some(item)) => item.attrs.get(*name) == Some(value),
    }
}

fn size(item: &Item) -> usize {
    let attr = |value: &Attr| match value {
        Attr::S(text) => text.len(),
        // One byte for two digits, and one more.
        Attr::N(number) => number.unsigned_abs().checked_ilog10().unwrap_or_default() as usize / 2 + 2,
        Attr::B(bytes) => bytes.len(),
        Attr::Bool(_) => 1,
    };
    item.key.pk.len() + item.key.sk.len() + 4 + item.attrs.iter().map(|(name, value)| name.len() + attr(value)).sum::<usize>()
}

fn parts(write: &Write) -> (Table, &Key, &Condition) {
    match write {
        Write::Put { table, item, condition } => (*table, &item.key, condition),
        Write::Delete { table, key, condition } | Write::Check { table, key, condition } => (*table, key, condition),
    }
}

fn valid(key: &Key) -> bool {
    (1..=2048).contains(&key.pk.len()) && (1..=1024).contains(&key.sk.len())
}

impl Tables {
    /// One item.
    pub fn get(&self, table: Table, key: &Key) -> Option<Item> {
        self.items.get(&table)?.get(key).cloned()
    }

    /// Several items, at most 100, in the order of the keys.
    ///
    /// # Errors
    /// More keys than that.
    pub fn get_many(&self, table: Table, keys: &[Key]) -> Result<Vec<Option<Item>>, PortError> {
        if keys.len() > MOST_KEYS {
            return Err(PortError::rejected(format!("a batch read of {} keys", keys.len())));
        }
        Ok(keys.iter().map(|key| self.get(table, key)).collect())
    }

    /// Every item of a table, in key order.
    pub fn all(&self, table: Table) -> impl Iterator<Item = &Item> {
        self.items.get(&table).into_iter().flat_map(BTreeMap::values)
    }

    /// The items of a partition whose sort key starts with a prefix.
    pub fn query(&self, table: Table, pk: &str, prefix: &str, limit: u32, after: Option<&Key>) -> Page {
        let matching = self.all(table).filter(|i| i.key.pk == pk && i.key.sk.starts_with(prefix));
        page(matching, limit, after)
    }

    /// Any items of a table.
    pub fn scan(&self, table: Table, limit: u32, after: Option<&Key>) -> Page {
        page(self.all(table), limit, after)
    }

    /// All of these writes, or none.
    pub fn write(&mut self, writes: Vec<Write>, token: Option<&str>, now_ms: i64) -> Result<(), WriteError> {
        if writes.is_empty() || writes.len() > MOST_WRITES {
            return Err(PortError::rejected(format!("a transaction of {} writes", writes.len())).into());
        }
        let mut bytes = 0;
        for (i, write) in writes.iter().enumerate() {
            let (table, key, _) = parts(write);
            if !valid(key) {
                return Err(PortError::rejected("a key part is empty or too long").into());
            }
            if writes[..i].iter().map(parts).any(|(t, k, _)| t == table && k == key) {
                return Err(PortError::rejected(format!("two writes of one item: {} {}", table.name(), key.pk)).into());
            }
            if let Write::Put { item, .. } = write {
                bytes += size(item);
                if size(item) > MOST_ITEM_BYTES {
                    return Err(PortError::rejected("an item of more than 400 KiB").into());
                }
            }
        }
        if bytes > MOST_TRANSACTION_BYTES {
            return Err(PortError::rejected("a transaction of more than 4 MiB").into());
        }
        self.tokens.retain(|_, (at, _)| *at + TOKEN_MS > now_ms);
        if let Some((_, before)) = token.and_then(|t| self.tokens.get(t)) {
            let same = *before == writes;
            return if same { Ok(()) } else { Err(PortError::rejected("a token with other writes").into()) };
        }
        let failed: Vec<usize> = writes
            .iter()
            .enumerate()
            .filter(|(_, write)| {
                let (table, key, condition) = parts(write);
                !holds(condition, self.items.get(&table).and_then(|t| t.get(key)))
            })
            .map(|(i, _)| i)
            .collect();
        if !failed.is_empty() {
            return Err(WriteError::Conflict { failed });
        }
        if let Some(token) = token {
            self.tokens.insert(token.to_owned(), (now_ms, writes.clone()));
        }
        for write in writes {
            match write {
                Write::Put { table, item, .. } => self.set(table, item.key.clone(), Some(item)),
                Write::Delete { table, key, .. } => self.set(table, key, None),
                Write::Check { .. } => {}
            }
        }
        Ok(())
    }

    fn set(&mut self, table: Table, key: Key, item: Option<Item>) {
        let items = self.items.entry(table).or_default();
        let before = match item {
            Some(item) => items.insert(key.clone(), item),
            None => items.remove(&key),
        };
        if let Some(replaced) = &mut self.replaced {
            replaced.entry((table, key)).or_insert(before);
        }
    }

    /// From now on, [`Tables::replaced`] and [`Tables::undo`] are about the writes after this call.
    pub fn mark(&mut self) {
        self.replaced = Some(BTreeMap::new());
    }

    /// The items that were written since the mark, as they were then.
    pub fn replaced(&self) -> BTreeMap<(Table, Key), Option<Item>> {
        self.replaced.clone().unwrap_or_default()
    }

    /// Undoes every write since the mark.
    pub fn undo(&mut self) {
        for ((table, key), item) in std::mem::take(&mut self.replaced).into_iter().flatten() {
            let items = self.items.entry(table).or_default();
            match item {
                Some(item) => items.insert(key, item),
                None => items.remove(&key),
            };
        }
    }

    /// Deletes the items whose time to live is over.
    pub fn sweep_ttl(&mut self, now_ms: i64) {
        for table in self.items.values_mut() {
            table.retain(|_, item| item.n("ttl").is_none_or(|ttl| ttl * 1000 > now_ms));
        }
    }
}

fn page<'a>(items: impl Iterator<Item = &'a Item>, limit: u32, after: Option<&Key>) -> Page {
    let limit = usize::try_from(limit.max(1)).unwrap_or(usize::MAX);
    let mut items = items.filter(|i| after.is_none_or(|a| i.key > *a)).peekable();
    let (mut page, mut bytes) = (Vec::new(), 0);
    while page.len() < limit
        && bytes <= PAGE_BYTES
        && let Some(item) = items.next()
    {
        bytes += size(item);
        page.push(item.clone());
    }
    let next = items.peek().and(page.last()).map(|i| i.key.clone());
    Page { items: page, next }
}

/// A message in a queue.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Its id; kept when it moves to a dead-letter queue.
    pub id: String,
    /// Its body.
    pub body: String,
    /// Its attributes.
    pub attributes: BTreeMap<String, String>,
    /// When it was sent.
    pub sent_ms: i64,
    /// When it can be received.
    pub visible_ms: i64,
    /// How often it was received.
    pub receives: u32,
    /// When it was received last.
    pub received_ms: i64,
}

/// The longest time from a receive until a message comes back, in milliseconds.
const LONGEST_HIDDEN_MS: i64 = 43_200_000;

/// How a queue behaves.
#[derive(Debug, Clone, PartialEq)]
pub struct QueueSettings {
    /// How long a received message stays hidden, in milliseconds.
    pub visibility_ms: i64,
    /// The dead-letter queue, and after how many receptions a message moves there.
    pub redrive: Option<(String, u32)>,
    /// How long a message is kept, in milliseconds.
    pub retention_ms: i64,
}

impl Default for QueueSettings {
    fn default() -> QueueSettings {
        QueueSettings { visibility_ms: 30_000, redrive: None, retention_ms: 4 * 86_400_000 }
    }
}

#[derive(Debug, Clone, Default, PartialEq)]
struct OneQueue {
    settings: QueueSettings,
    messages: VecDeque<Message>,
}

fn sendable(message: &Outgoing) -> Result<(), PortError> {
    let attributes = &message.attributes;
    let refused = if message.body.is_empty() || attributes.values().any(String::is_empty) {
        "an empty body or attribute"
    } else if !message.body.chars().chain(attributes.values().flat_map(|value| value.chars())).all(is_sendable) {
        "a character that SQS does not carry"
    } else if attributes.len() > MOST_ATTRIBUTES {
        "more than ten attributes"
    } else if message.bytes() > MESSAGE_BYTES {
        "a message of more than 1 MiB"
    } else {
        return Ok(());
    };
    Err(PortError::rejected(refused))
}

/// Queues by name.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Queues {
    queues: BTreeMap<String, OneQueue>,
    next: u64,
}

impl Queues {
    /// Creates a queue, or changes its settings.
    pub fn create(&mut self, name: &str, settings: QueueSettings) {
        self.queues.entry(name.to_owned()).or_default().settings = settings;
    }

    /// The messages of a queue, whether or not they can be received.
    pub fn peek(&self, name: &str) -> Vec<&Message> {
        self.queues.get(name).map(|q| q.messages.iter().collect()).unwrap_or_default()
    }

    /// The names of all queues.
    pub fn names(&self) -> Vec<String> {
        self.queues.keys().cloned().collect()
    }

    /// Stores a message.
    ///
    /// # Errors
    /// There is no such queue, or SQS would not take the message.
    pub fn send(&mut self, name: &str, message: Outgoing, now_ms: i64) -> Result<(), PortError> {
        let queue = self.queues.get_mut(name).ok_or_else(|| PortError::rejected(format!("no queue `{name}`")))?;
        sendable(&message)?;
        self.next += 1;
        let id = format!("m{:08}", self.next);
        queue.messages.push_back(Message {
            id,
            body: message.body,
            attributes: message.attributes,
            sent_ms: now_ms,
            visible_ms: now_ms + i64::from(message.delay_s) * 1000,
            receives: 0,
            received_ms: 0,
        });
        Ok(())
    }

    /// Receives up to `most` messages that are visible, hiding them. Messages that were received too often move on instead.
    pub fn receive(&mut self, name: &str, most: usize, now_ms: i64) -> Vec<Delivery> {
        let Some(queue) = self.queues.get_mut(name) else { return Vec::new() };
        let settings = queue.settings.clone();
        queue.messages.retain(|m| m.sent_ms + settings.retention_ms > now_ms);
        let mut dead = Vec::new();
        let mut received = Vec::new();
        let mut rest = VecDeque::new();
        for mut message in queue.messages.drain(..) {
            let ready = message.visible_ms <= now_ms && received.len() < most;
            match &settings.redrive {
                Some((target, most_receives)) if ready && message.receives >= *most_receives => {
                    dead.push((target.clone(), message));
                    continue;
                }
                _ => {}
            }
            if ready {
                message.receives += 1;
                message.visible_ms = now_ms + settings.visibility_ms;
                message.received_ms = now_ms;
                received.push(Delivery {
                    id: message.id.clone(),
                    receipt: format!("{}/{}", message.id, message.receives),
                    body: message.body.clone(),
                    receive_count: message.receives,
                    attributes: message.attributes.clone(),
                });
            }
            rest.push_back(message);
        }
        queue.messages = rest;
        for (target, mut message) in dead {
            message.receives = 0;
            message.visible_ms = now_ms;
            if let Some(queue) = self.queues.get_mut(&target) {
                queue.messages.push_back(message);
            }
        }
        received
    }

    /// When the next message of a queue can be received.
    pub fn next_visible(&self, name: &str) -> Option<i64> {
        self.queues.get(name)?.messages.iter().map(|m| m.visible_ms).min()
    }

    /// Deletes a message by its receipt; an old receipt deletes nothing.
    pub fn delete(&mut self, name: &str, receipt: &str) -> bool {
        let Some(queue) = self.queues.get_mut(name) else { return false };
        let before = queue.messages.len();
        queue.messages.retain(|m| format!("{}/{}", m.id, m.receives) != receipt);
        queue.messages.len() < before
    }

    /// Makes a received message visible after that time.
    pub fn delay(&mut self, name: &str, receipt: &str, seconds: u32, now_ms: i64) -> Result<(), PortError> {
        let queue = self.queues.get_mut(name).ok_or_else(|| PortError::rejected(format!("no queue `{name}`")))?;
        match queue.messages.iter_mut().find(|m| format!("{}/{}", m.id, m.receives) == receipt) {
            Some(message) if now_ms - message.received_ms + i64::from(seconds) * 1000 > LONGEST_HIDDEN_MS => {
                Err(PortError::rejected("a message can be hidden for 12 hours from its receive"))
            }
            Some(message) => {
                message.visible_ms = now_ms + i64::from(seconds) * 1000;
                Ok(())
            }
            None => Err(PortError::rejected("the receipt is not that of the last reception")),
        }
    }
}
