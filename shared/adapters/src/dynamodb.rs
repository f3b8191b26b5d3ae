//! Tables.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::primitives::Blob as Bytes;
use aws_sdk_dynamodb::types::{
    AttributeValue, ConditionCheck, Delete, KeysAndAttributes, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem,
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use sync::ports::{Attr, Condition, Item, Key, Page, PortError, Store, Table, Write, WriteError};

use crate::Aws;
use crate::error::{error_of, may_pass, port_error};

type Attributes = HashMap<String, AttributeValue>;

/// How often the unprocessed keys of a batch read are requested again.
const BATCH_TRIES: usize = 5;

fn value(attr: &Attr) -> AttributeValue {
    match attr {
        Attr::S(text) => AttributeValue::S(text.clone()),
        Attr::N(number) => AttributeValue::N(number.to_string()),
        Attr::B(bytes) => AttributeValue::B(Bytes::new(bytes.clone())),
        Attr::Bool(flag) => AttributeValue::Bool(*flag),
    }
}

fn attr(value: AttributeValue) -> Option<Attr> {
    match value {
        AttributeValue::S(text) => Some(Attr::S(text)),
        AttributeValue::N(number) => number.parse().ok().map(Attr::N),
        AttributeValue::B(bytes) => Some(Attr::B(bytes.into_inner())),
        AttributeValue::Bool(flag) => Some(Attr::Bool(flag)),
        _ => None,
    }
}

fn key_of(key: &Key) -> Attributes {
    HashMap::from([("pk".into(), AttributeValue::S(key.pk.clone())), ("sk".into(), AttributeValue::S(key.sk.clone()))])
}

fn attributes(item: &Item) -> Attributes {
    let mut all = key_of(&item.key);
    all.extend(item.attrs.iter().map(|(name, a)| (name.clone(), value(a))));
    all
}

fn item(mut stored: Attributes) -> Option<Item> {
    let mut part = |name: &str| match stored.remove(name) {
        Some(AttributeValue::S(text)) => Some(text),
        _ => None,
    };
    let key = Key { pk: part("pk")?, sk: part("sk")? };
    let attrs: BTreeMap<String, Attr> = stored.into_iter().filter_map(|(name, v)| Some((name, attr(v)?))).collect();
    Some(Item { key, attrs })
}

/// A condition as an expression with its names and values.
struct Expression {
    text: String,
    names: HashMap<String, String>,
    values: Attributes,
}

fn expression(condition: &Condition) -> Option<Expression> {
    let named = |name: &str| HashMap::from([("#c".to_owned(), name.to_owned())]);
    let valued = |v: AttributeValue| HashMap::from([(":c".to_owned(), v)]);
    let (text, names, values) = match condition {
        Condition::Always => return None,
        Condition::Absent => ("attribute_not_exists(#c)", named("pk"), HashMap::new()),
        Condition::Equals(name, wanted) => ("#c = :c", named(name), valued(value(wanted))),
    };
    Some(Expression { text: text.to_owned(), names, values })
}

fn optional<K, V>(map: HashMap<K, V>) -> Option<HashMap<K, V>> {
    (!map.is_empty()).then_some(map)
}

/// Fills the condition of a request builder.
macro_rules! conditioned {
    ($builder:expr, $condition:expr) => {
        match expression($condition) {
            None => $builder,
            Some(e) => $builder
                .condition_expression(e.text)
                .set_expression_attribute_names(optional(e.names))
                .set_expression_attribute_values(optional(e.values)),
        }
    };
}

impl Store for Aws {
    async fn get(&self, table: Table, key: &Key) -> Result<Option<Item>, PortError> {
        let answer = self
            .dynamodb
            .get_item()
            .table_name(self.table(table)?)
            .set_key(Some(key_of(key)))
            .consistent_read(true)
            .send()
            .await
            .map_err(|e| port_error(&e))?;
        Ok(answer.item.and_then(item))
    }

    async fn get_many(&self, table: Table, keys: &[Key]) -> Result<Vec<Option<Item>>, PortError> {
        let name = self.table(table)?;
        let mut found: BTreeMap<Key, Item> = BTreeMap::new();
        let mut unique: Vec<&Key> = keys.iter().collect();
        unique.sort();
        unique.dedup();
        let mut wanted: Vec<Attributes> = unique.into_iter().map(key_of).collect();
        for attempt in 0..BATCH_TRIES {
            if wanted.is_empty() {
                return Ok(keys.iter().map(|key| found.get(key).cloned()).collect());
            }
            if attempt > 0 {
                tokio::time::sleep(std::time::Duration::from_millis(20 << attempt)).await;
            }
            let request = KeysAndAttributes::builder().set_keys(Some(wanted)).consistent_read(true).build();
            let request = request.map_err(|_| PortError::rejected("a batch read cannot be built"))?;
            let answer = self.dynamodb.batch_get_item().request_items(name, request).send().await.map_err(|e| port_error(&e))?;
            let items = answer.responses.and_then(|mut tables| tables.remove(name)).unwrap_or_default();
            found.extend(items.into_iter().filter_map(item).map(|i| (i.key.clone(), i)));
            wanted = answer.unprocessed_keys.and_then(|mut tables| tables.remove(name)).map(|k| k.keys).unwrap_or_default();
        }
        if wanted.is_empty() {
            return Ok(keys.iter().map(|key| found.get(key).cloned()).collect());
        }
        Err(PortError::unavailable("a batch read stayed incomplete"))
    }

    async fn query(&self, table: Table, pk: &str, prefix: &str, limit: u32, after: Option<&Key>) -> Result<Page, PortError> {
        let text = if prefix.is_empty() { "#p = :p" } else { "#p = :p AND begins_with(#s, :s)" };
        let mut request = self
            .dynamodb
            .query()
            .table_name(self.table(table)?)
            .consistent_read(true)
            .key_condition_expression(text)
            .expression_attribute_names("#p", "pk")
            .expression_attribute_values(":p", AttributeValue::S(pk.to_owned()))
            .limit(i32::try_from(limit.max(1)).unwrap_or(i32::MAX))
            .set_exclusive_start_key(after.map(key_of));
        if !prefix.is_empty() {
            request = request
                .expression_attribute_names("#s", "sk")
                .expression_attribute_values(":s", AttributeValue::S(prefix.to_owned()));
        }
        let answer = request.send().await.map_err(|e| port_error(&e))?;
        Ok(page(answer.items, answer.last_evaluated_key))
    }

    async fn scan(&self, table: Table, limit: u32, after: Option<&Key>) -> Result<Page, PortError> {
        let answer = self
            .dynamodb
            .scan()
            .table_name(self.table(table)?)
            .limit(i32::try_from(limit.max(1)).unwrap_or(i32::MAX))
            .set_exclusive_start_key(after.map(key_of))
            .send()
            .await
            .map_err(|e| port_error(&e))?;
        Ok(page(answer.items, answer.last_evaluated_key))
    }

    async fn write(&self, writes: Vec<Write>, token: Option<&str>) -> Result<(), WriteError> {
        match (writes.as_slice(), token) {
            ([Write::Put { table, item, condition }], None) => self.put_one(*table, item, condition).await,
            ([Write::Delete { table, key, condition }], None) => self.delete_one(*table, key, condition).await,
            _ => self.transact(&writes, token).await,
        }
    }
}

fn page(items: Option<Vec<Attributes>>, last: Option<Attributes>) -> Page {
    let next = last.and_then(item).map(|i| i.key);
    Page { items: items.unwrap_or_default().into_iter().filter_map(item).collect(), next }
}

/// Sorts the error of a single write.
fn single<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> WriteError {
    match error.as_service_error().and_then(ProvideErrorMetadata::code) {
        Some("ConditionalCheckFailedException") => WriteError::Conflict { failed: vec![0] },
        Some("TransactionConflictException") => WriteError::Conflict { failed: Vec::new() },
        _ => WriteError::Port(port_error(error)),
    }
}

impl Aws {
    async fn put_one(&self, table: Table, item: &Item, condition: &Condition) -> Result<(), WriteError> {
        let request = self.dynamodb.put_item().table_name(self.table(table)?).set_item(Some(attributes(item)));
        conditioned!(request, condition).send().await.map(drop).map_err(|e| single(&e))
    }

    async fn delete_one(&self, table: Table, key: &Key, condition: &Condition) -> Result<(), WriteError> {
        let request = self.dynamodb.delete_item().table_name(self.table(table)?).set_key(Some(key_of(key)));
        conditioned!(request, condition).send().await.map(drop).map_err(|e| single(&e))
    }

    async fn transact(&self, writes: &[Write], token: Option<&str>) -> Result<(), WriteError> {
        let items: Result<Vec<TransactWriteItem>, PortError> = writes.iter().map(|w| self.transact_item(w)).collect();
        // A token of DynamoDB is at most 36 characters; ours are hashes, cut to fit.
        let token = token.map(|t| t.chars().take(36).collect::<String>());
        let sent =
            self.dynamodb.transact_write_items().set_transact_items(Some(items?)).set_client_request_token(token).send().await;
        let Err(error) = sent else { return Ok(()) };
        if let Some(TransactWriteItemsError::TransactionCanceledException(canceled)) = error.as_service_error() {
            let codes: Vec<&str> = canceled.cancellation_reasons().iter().map(|r| r.code().unwrap_or("None")).collect();
            let of = |wanted: &str| codes.iter().enumerate().filter(|(_, c)| **c == wanted).map(|(i, _)| i).collect::<Vec<_>>();
            let failed = of("ConditionalCheckFailed");
            if !failed.is_empty() || codes.contains(&"TransactionConflict") {
                return Err(WriteError::Conflict { failed });
            }
            // One reason that passes is enough: without it, the transaction might have succeeded.
            let reasons = || codes.iter().copied().filter(|code| *code != "None");
            let reason = reasons().find(|code| may_pass(code)).or_else(|| reasons().next());
            return Err(error_of(reason.unwrap_or("TransactionCanceled")).into());
        }
        Err(WriteError::Port(port_error(&error)))
    }

    fn transact_item(&self, write: &Write) -> Result<TransactWriteItem, PortError> {
        let broken = |_| PortError::rejected("a transaction cannot be built");
        let none = ReturnValuesOnConditionCheckFailure::None;
        Ok(match write {
            Write::Put { table, item, condition } => {
                let put = Put::builder().table_name(self.table(*table)?).set_item(Some(attributes(item)));
                let put = conditioned!(put, condition).return_values_on_condition_check_failure(none);
                TransactWriteItem::builder().put(put.build().map_err(broken)?).build()
            }
            Write::Delete { table, key, condition } => {
                let delete = Delete::builder().table_name(self.table(*table)?).set_key(Some(key_of(key)));
                TransactWriteItem::builder().delete(conditioned!(delete, condition).build().map_err(broken)?).build()
            }
            Write::Check { table, key, condition } => {
                let check = ConditionCheck::builder().table_name(self.table(*table)?).set_key(Some(key_of(key)));
                TransactWriteItem::builder().condition_check(conditioned!(check, condition).build().map_err(broken)?).build()
            }
        })
    }
}
