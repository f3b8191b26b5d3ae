//! What AWS would count and charge: calls by function and operation, units of DynamoDB, requests of the queues.

use std::collections::BTreeMap;

use sync::ports::{Item, Outgoing, Write};

use crate::memory::{Tables, size};

/// Bytes in a unit of writing.
const WRITE_UNIT: usize = 1_024;
/// Bytes in a unit of strongly consistent reading.
const READ_UNIT: usize = 4_096;
/// Most messages in one call.
const MESSAGES: usize = 10;

/// DynamoDB's request units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Units {
    /// Of reads; all reads but scans are strongly consistent.
    pub read: u64,
    /// Of writes; those of a transaction count double.
    pub write: u64,
}

/// Counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Calls of AWS by function and operation.
    pub calls: BTreeMap<(&'static str, &'static str), u64>,
    /// Units of DynamoDB by function.
    pub units: BTreeMap<&'static str, Units>,
    /// Invocations by function.
    pub invocations: BTreeMap<&'static str, u64>,
    /// Requests by which Lambda's pollers receive and delete messages, by function.
    pub polls: BTreeMap<&'static str, u64>,
    /// Calls of providers by function.
    pub provider_calls: BTreeMap<&'static str, u64>,
}

impl Tally {
    /// Calls of AWS that functions made.
    pub fn aws_calls(&self) -> u64 {
        self.calls.values().sum()
    }

    /// Calls of AWS that one function made.
    pub fn calls_of(&self, function: &str) -> u64 {
        self.calls.iter().filter(|((caller, _), _)| *caller == function).map(|(_, count)| count).sum()
    }

    /// Calls of an operation, by whichever function; every operation whose name begins so.
    pub fn calls_to(&self, operation: &str) -> u64 {
        self.calls.iter().filter(|((_, name), _)| name.starts_with(operation)).map(|(_, count)| count).sum()
    }

    /// Units of all functions.
    pub fn all_units(&self) -> Units {
        self.units
            .values()
            .fold(Units::default(), |sum, units| Units { read: sum.read + units.read, write: sum.write + units.write })
    }

    pub(super) fn add(&mut self, other: &Tally) {
        let parts = [
            (&mut self.invocations, &other.invocations),
            (&mut self.polls, &other.polls),
            (&mut self.provider_calls, &other.provider_calls),
        ];
        for (mine, theirs) in parts {
            theirs.iter().for_each(|(function, count)| *mine.entry(function).or_default() += count);
        }
        other.calls.iter().for_each(|(call, count)| *self.calls.entry(*call).or_default() += count);
        for (function, units) in &other.units {
            let mine = self.units.entry(function).or_default();
            *mine = Units { read: mine.read + units.read, write: mine.write + units.write };
        }
    }

    pub(super) fn call(&mut self, function: &'static str, operation: &'static str) {
        *self.calls.entry((function, operation)).or_default() += 1;
    }

    pub(super) fn invoked(&mut self, function: &'static str) {
        *self.invocations.entry(function).or_default() += 1;
    }

    pub(super) fn provider_call(&mut self, function: &'static str) {
        *self.provider_calls.entry(function).or_default() += 1;
    }

    /// One request that received a batch, and those that delete these messages of it.
    pub(super) fn polled(&mut self, function: &'static str, deleted: usize) {
        *self.polls.entry(function).or_default() += 1 + deleted.div_ceil(MESSAGES) as u64;
    }

    pub(super) fn sent(&mut self, function: &'static str, messages: &[Outgoing]) {
        for _ in messages.chunks(MESSAGES) {
            self.call(function, "SendMessage");
        }
    }

    /// A read of single items; one that does not exist costs a unit as well.
    pub(super) fn read<'i>(
        &mut self,
        function: &'static str,
        operation: &'static str,
        items: impl IntoIterator<Item = Option<&'i Item>>,
    ) {
        self.call(function, operation);
        let units = items.into_iter().map(|item| units(item.map_or(0, size), READ_UNIT)).sum::<u64>();
        self.units.entry(function).or_default().read += units;
    }

    /// A read of a page; its bytes are counted together.
    pub(super) fn list(&mut self, function: &'static str, operation: &'static str, items: &[Item]) {
        self.call(function, operation);
        let units = units(items.iter().map(size).sum(), READ_UNIT);
        self.units.entry(function).or_default().read += units;
    }

    /// A write, whether or not its conditions hold. `tables` are those before the write.
    pub(super) fn written(&mut self, function: &'static str, writes: &[Write], with_token: bool, tables: &Tables) {
        let (operation, factor) = match writes {
            [Write::Put { .. }] if !with_token => ("PutItem", 1),
            [Write::Delete { .. }] if !with_token => ("DeleteItem", 1),
            _ => ("TransactWriteItems", 2),
        };
        self.call(function, operation);
        let bytes = |write: &Write| match write {
            Write::Put { table, item, .. } => size(item).max(tables.get(*table, &item.key).as_ref().map_or(0, size)),
            Write::Delete { table, key, .. } | Write::Check { table, key, .. } => {
                tables.get(*table, key).as_ref().map_or(0, size)
            }
        };
        let units = writes.iter().map(|write| units(bytes(write), WRITE_UNIT)).sum::<u64>();
        self.units.entry(function).or_default().write += units * factor;
    }
}

fn units(bytes: usize, unit: usize) -> u64 {
    bytes.div_ceil(unit).max(1) as u64
}
