//! Items: what is kept of them, conditions on one of them, reads and their pages.

use std::collections::BTreeMap;

use sync::join::join;
use sync::ports::{Attr, Condition, Item, Key, Page, PortError, Store, Table, Write, WriteError};

use super::{Area, Check, Deviation, During, Outcome, Subject, expect, list, rejected};

/// Greatest size of an item: 400 KiB.
const MOST_BYTES: usize = 409_600;
/// A size that is below the limit with the overhead of any engine.
const LARGE: usize = 390_000;

pub(super) fn checks<S: Subject>() -> Vec<Check<S>> {
    list![Area::Tables, S:
        "an item comes back as it was written" => round_trip,
        "numbers of 64 bits keep every digit" => numbers,
        "empty and odd texts and bytes are kept" => texts_and_bytes,
        "a put replaces the whole item" => replaces,
        "an attribute ttl in the future is kept" => ttl,
        "an item just below 400 KiB is kept" => large_item,
        "an item above 400 KiB is rejected" => too_large_item,
        "an empty or overlong key part is rejected" => bad_keys,
        "absent lets only the first in" => absent,
        "equals compares value and type" => equals,
        "a delete removes, with its condition" => deletes,
        "of sixteen at once one creates" => one_creates,
        "compare-and-set loses no count" => no_lost_count,
        "a batch read answers in order" => get_many,
        "a batch read goes on beyond one answer" => get_many_large,
        "a batch read of 101 keys is rejected" => get_many_too_many,
        "a query is in the order of bytes" => query_order,
        "a query keeps to its partition and prefix" => query_prefix,
        "pages of a query join without gap" => query_pages,
        "a page of a query ends at a mebibyte" => query_large,
        "a query goes on after an item that is gone" => query_after_gone,
        "a scan meets every item" => scan,
    ]
}

pub(super) fn put(table: Table, item: Item, condition: Condition) -> Write {
    Write::Put { table, item, condition }
}

/// One unconditional put.
pub(super) async fn store<S: Subject>(subject: &S, table: Table, item: Item) -> Outcome {
    Ok(subject.ports().write(vec![put(table, item, Condition::Always)], None).await.during("an unconditional put")?)
}

pub(super) async fn read<S: Subject>(subject: &S, table: Table, key: &Key) -> Result<Option<Item>, Deviation> {
    Ok(subject.ports().get(table, key).await.during("a read")?)
}

pub(super) fn conflict(failed: &[usize]) -> Result<(), WriteError> {
    Err(WriteError::Conflict { failed: failed.to_vec() })
}

/// A write's own rejection, without the conflicts.
pub(super) fn refusal(result: Result<(), WriteError>) -> Result<Result<(), WriteError>, PortError> {
    match result {
        Err(WriteError::Port(error)) => Err(error),
        other => Ok(other),
    }
}

async fn round_trip<S: Subject>(subject: &S) -> Outcome {
    let item = Item::new(Key::new("round-trip", "a#1"))
        .with("text", Attr::S("plain".into()))
        .with("number", Attr::N(-42))
        .with("bytes", Attr::B(vec![0, 1, 254, 255]))
        .with("yes", Attr::Bool(true))
        .with("no", Attr::Bool(false))
        // Words that expressions reserve, and a character that they do not allow.
        .with("status", Attr::S("x".into()))
        .with("a.b-c", Attr::N(1));
    expect("an item that was not written", read(subject, Table::Golden, &item.key).await?, None)?;
    store(subject, Table::Golden, item.clone()).await?;
    expect("the item", read(subject, Table::Golden, &item.key).await?, Some(item.clone()))?;
    expect("the same key in another table", read(subject, Table::Links, &item.key).await?, None)
}

async fn numbers<S: Subject>(subject: &S) -> Outcome {
    let values = [0, 1, -1, i64::MAX, i64::MIN, 9_007_199_254_740_993, -1_000_000_000_000_000_000];
    let item = values
        .iter()
        .enumerate()
        .fold(Item::new(Key::new("numbers", "1")), |item, (i, value)| item.with(&format!("n{i}"), Attr::N(*value)));
    store(subject, Table::Golden, item.clone()).await?;
    expect("the numbers", read(subject, Table::Golden, &item.key).await?, Some(item))
}

async fn texts_and_bytes<S: Subject>(subject: &S) -> Outcome {
    let item = Item::new(Key::new("texts", "Ünïcode 🙂 / # %"))
        .with("empty", Attr::S(String::new()))
        .with("none", Attr::B(Vec::new()))
        .with("control", Attr::S("a\0b\r\n\t\u{7f}".into()))
        .with("wide", Attr::S("né 東京 🙂 e\u{301}".into()))
        .with("quoted", Attr::S(r#"{"a":"\"\\"}"#.into()))
        .with("every byte", Attr::B((0..=255).collect()));
    store(subject, Table::Golden, item.clone()).await?;
    expect("the item", read(subject, Table::Golden, &item.key).await?, Some(item))
}

async fn replaces<S: Subject>(subject: &S) -> Outcome {
    let key = Key::new("replaces", "1");
    store(subject, Table::Golden, Item::new(key.clone()).with("old", Attr::N(1)).with("both", Attr::N(1))).await?;
    let second = Item::new(key.clone()).with("both", Attr::S("2".into()));
    store(subject, Table::Golden, second.clone()).await?;
    expect("the item", read(subject, Table::Golden, &key).await?, Some(second.clone()))?;
    let bare = Item::new(key.clone());
    store(subject, Table::Golden, bare.clone()).await?;
    expect("the item without attributes", read(subject, Table::Golden, &key).await?, Some(bare))
}

async fn ttl<S: Subject>(subject: &S) -> Outcome {
    // The year 2100: nothing may delete it.
    let item = Item::new(Key::new("ttl", "1")).with("ttl", Attr::N(4_102_444_800));
    store(subject, Table::Journal, item.clone()).await?;
    subject.pass(1_000).await;
    expect("the item", read(subject, Table::Journal, &item.key).await?, Some(item))
}

fn sized(pk: &str, sk: &str, bytes: usize) -> Item {
    let overhead = "pk".len() + pk.len() + "sk".len() + sk.len() + "body".len();
    Item::new(Key::new(pk, sk)).with("body", Attr::B(vec![7; bytes.saturating_sub(overhead)]))
}

async fn large_item<S: Subject>(subject: &S) -> Outcome {
    let item = sized("large", "1", MOST_BYTES - 100);
    store(subject, Table::Golden, item.clone()).await?;
    expect("the item", read(subject, Table::Golden, &item.key).await?, Some(item))
}

async fn too_large_item<S: Subject>(subject: &S) -> Outcome {
    let item = sized("too-large", "1", MOST_BYTES + 200);
    let key = item.key.clone();
    let single = subject.ports().write(vec![put(Table::Golden, item.clone(), Condition::Always)], None).await;
    rejected("a single put", refusal(single))?;
    let other = Item::new(Key::new("too-large", "2"));
    let writes = vec![put(Table::Golden, other.clone(), Condition::Always), put(Table::Golden, item, Condition::Always)];
    rejected("a transaction", refusal(subject.ports().write(writes, None).await))?;
    expect("the item", read(subject, Table::Golden, &key).await?, None)?;
    expect("the other write of the transaction", read(subject, Table::Golden, &other.key).await?, None)
}

async fn bad_keys<S: Subject>(subject: &S) -> Outcome {
    let long = "k".repeat(2_049);
    for (what, key) in [
        ("an empty partition key", Key::new("", "1")),
        ("an empty sort key", Key::new("bad-keys", "")),
        ("a partition key of 2,049 bytes", Key::new(long.clone(), "1")),
        ("a sort key of 1,025 bytes", Key::new("bad-keys", &long[..1_025])),
    ] {
        let single = put(Table::Golden, Item::new(key.clone()), Condition::Always);
        rejected(what, refusal(subject.ports().write(vec![single], None).await))?;
    }
    let longest = Item::new(Key::new("p".repeat(1_024), "s".repeat(1_024)));
    store(subject, Table::Golden, longest.clone()).await?;
    expect("the longest key of the ports", read(subject, Table::Golden, &longest.key).await?, Some(longest))
}

async fn absent<S: Subject>(subject: &S) -> Outcome {
    let key = Key::new("absent", "1");
    let first = Item::new(key.clone()).with("v", Attr::N(1));
    let second = Item::new(key.clone()).with("v", Attr::N(2));
    let ports = subject.ports();
    expect("the first put", ports.write(vec![put(Table::Links, first.clone(), Condition::Absent)], None).await, Ok(()))?;
    expect("the second put", ports.write(vec![put(Table::Links, second, Condition::Absent)], None).await, conflict(&[0]))?;
    expect("the item", read(subject, Table::Links, &key).await?, Some(first))
}

async fn equals<S: Subject>(subject: &S) -> Outcome {
    let ports = subject.ports();
    let key = Key::new("equals", "1");
    let version = |n: i64| Item::new(key.clone()).with("version", Attr::N(n)).with("owner", Attr::S("a".into()));
    let write = |item: Item, name: &'static str, wanted: Attr| vec![put(Table::Links, item, Condition::Equals(name, wanted))];
    let missing = ports.write(write(version(1), "version", Attr::N(1)), None).await;
    expect("an item that is not there", missing, conflict(&[0]))?;
    store(subject, Table::Links, version(1)).await?;
    expect("the version", ports.write(write(version(2), "version", Attr::N(1)), None).await, Ok(()))?;
    expect("an old version", ports.write(write(version(9), "version", Attr::N(1)), None).await, conflict(&[0]))?;
    let text = ports.write(write(version(9), "version", Attr::S("2".into())), None).await;
    expect("a text for a number", text, conflict(&[0]))?;
    expect("no such attribute", ports.write(write(version(9), "none", Attr::N(2)), None).await, conflict(&[0]))?;
    expect("a text", ports.write(write(version(3), "owner", Attr::S("a".into())), None).await, Ok(()))?;
    expect("the item", read(subject, Table::Links, &key).await?, Some(version(3)))
}

async fn deletes<S: Subject>(subject: &S) -> Outcome {
    let ports = subject.ports();
    let key = Key::new("deletes", "1");
    let item = Item::new(key.clone()).with("token", Attr::N(1));
    let delete = |condition| vec![Write::Delete { table: Table::Links, key: key.clone(), condition }];
    expect("an item that is not there", ports.write(delete(Condition::Always), None).await, Ok(()))?;
    let held = ports.write(delete(Condition::Equals("token", Attr::N(1))), None).await;
    expect("a condition on what is not there", held, conflict(&[0]))?;
    store(subject, Table::Links, item.clone()).await?;
    let other = ports.write(delete(Condition::Equals("token", Attr::N(2))), None).await;
    expect("another token", other, conflict(&[0]))?;
    expect("the item", read(subject, Table::Links, &key).await?, Some(item))?;
    expect("the token", ports.write(delete(Condition::Equals("token", Attr::N(1))), None).await, Ok(()))?;
    expect("the item", read(subject, Table::Links, &key).await?, None)
}

async fn one_creates<S: Subject>(subject: &S) -> Outcome {
    for round in 0..5 {
        let key = Key::new("one-creates", round.to_string());
        let worker = |n: i64| {
            let item = Item::new(key.clone()).with("by", Attr::N(n));
            subject.ports().write(vec![put(Table::Links, item, Condition::Absent)], None)
        };
        let results = join((0..16).map(worker)).await;
        let winners: Vec<usize> = results.iter().enumerate().filter(|(_, r)| r.is_ok()).map(|(i, _)| i).collect();
        expect("how many created it", winners.len(), 1)?;
        if let Some(odd) = results.iter().find(|r| !matches!(r, Ok(()) | Err(WriteError::Conflict { .. }))) {
            return Err(Deviation::new(format!("a loser got {odd:?}")));
        }
        let by = read(subject, Table::Links, &key).await?.and_then(|item| item.n("by"));
        expect("who created it", by, winners.first().and_then(|w| i64::try_from(*w).ok()))?;
    }
    Ok(())
}

async fn no_lost_count<S: Subject>(subject: &S) -> Outcome {
    let key = Key::new("count", "1");
    store(subject, Table::Control, Item::new(key.clone()).with("n", Attr::N(0))).await?;
    let worker = async |_: usize| -> Outcome {
        for _ in 0..200 {
            let before = read(subject, Table::Control, &key).await?.and_then(|item| item.n("n")).unwrap_or(-1);
            let item = Item::new(key.clone()).with("n", Attr::N(before + 1));
            match subject.ports().write(vec![put(Table::Control, item, Condition::Equals("n", Attr::N(before)))], None).await {
                Ok(()) => return Ok(()),
                Err(WriteError::Conflict { .. }) => {}
                Err(error) => return Err(Deviation::new(format!("a write failed: {error:?}"))),
            }
        }
        Err(Deviation::new("a worker lost 200 times"))
    };
    join((0..12).map(worker)).await.into_iter().collect::<Outcome>()?;
    expect("the count", read(subject, Table::Control, &key).await?.and_then(|item| item.n("n")), Some(12))
}

async fn get_many<S: Subject>(subject: &S) -> Outcome {
    let key = |i: usize| Key::new(format!("many#{}", i % 7), format!("{i:03}"));
    for i in (0..100).filter(|i| i % 3 != 0) {
        store(subject, Table::Keys, Item::new(key(i)).with("i", Attr::N(i64::try_from(i).unwrap_or_default()))).await?;
    }
    let keys: Vec<Key> = (0..100).rev().map(key).collect();
    let found = subject.ports().get_many(Table::Keys, &keys).await.during("100 keys")?;
    let wanted: Vec<Option<i64>> = (0..100).rev().map(|i| (i % 3 != 0).then_some(i)).collect();
    expect("100 keys", found.iter().map(|item| item.as_ref()?.n("i")).collect::<Vec<_>>(), wanted)?;
    let twice = [key(1), key(0), key(1)];
    let found = subject.ports().get_many(Table::Keys, &twice).await.during("a key twice")?;
    expect("a key twice", found.iter().map(|item| item.as_ref()?.n("i")).collect(), vec![Some(1), None, Some(1)])?;
    expect("no keys", subject.ports().get_many(Table::Keys, &[]).await, Ok(Vec::new()))
}

async fn get_many_large<S: Subject>(subject: &S) -> Outcome {
    // Sixteen mebibytes are the most that one answer holds.
    let count = 45;
    let key = |i: usize| Key::new(format!("many-large#{i}"), "1");
    for i in 0..count {
        store(subject, Table::Golden, sized(&key(i).pk, "1", LARGE)).await?;
    }
    let keys: Vec<Key> = (0..count).map(key).collect();
    let found = subject.ports().get_many(Table::Golden, &keys).await.during("a large batch read")?;
    let right = found.iter().zip(&keys).filter(|(item, key)| item.as_ref().is_some_and(|i| i.key == **key)).count();
    expect("items of a large batch read", right, count)
}

async fn get_many_too_many<S: Subject>(subject: &S) -> Outcome {
    let keys: Vec<Key> = (0..101).map(|i| Key::new("too-many", i.to_string())).collect();
    rejected("101 keys", subject.ports().get_many(Table::Keys, &keys).await)
}

/// All pages of a query, and how many items the first has.
async fn pages<S: Subject>(
    subject: &S,
    table: Table,
    pk: &str,
    prefix: &str,
    limit: u32,
) -> Result<(Vec<Item>, usize), Deviation> {
    let (mut items, mut first, mut after) = (Vec::new(), None, None);
    for _ in 0..1_000 {
        let page: Page = subject.ports().query(table, pk, prefix, limit, after.as_ref()).await.during("a query")?;
        if page.items.len() > usize::try_from(limit).unwrap_or(usize::MAX) {
            return Err(Deviation::new(format!("a page of {} items, {limit} were requested", page.items.len())));
        }
        first = first.or(Some(page.items.len()));
        items.extend(page.items);
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok((items, first.unwrap_or_default())),
        }
    }
    Err(Deviation::new("the pages of a query have no end"))
}

fn sort_keys(items: &[Item]) -> Vec<&str> {
    items.iter().map(|item| item.key.sk.as_str()).collect()
}

async fn query_order<S: Subject>(subject: &S) -> Outcome {
    let mut keys = ["b", "B", "a", "a#1", "a#10", "a#2", "Z", "0", "10", "9", "é", "z", "\u{ffff}", "🙂", "a-", "a_"];
    for key in keys {
        store(subject, Table::Audit, Item::new(Key::new("order", key))).await?;
    }
    keys.sort_unstable_by_key(|key| key.as_bytes().to_vec());
    let (items, _) = pages(subject, Table::Audit, "order", "", 100).await?;
    expect("the order", sort_keys(&items), keys.to_vec())
}

async fn query_prefix<S: Subject>(subject: &S) -> Outcome {
    for (pk, sk) in [("prefix", "a#1"), ("prefix", "a#2"), ("prefix", "a"), ("prefix", "b#1"), ("prefix2", "a#3"), ("pre", "a#4")]
    {
        store(subject, Table::Audit, Item::new(Key::new(pk, sk)).with("in", Attr::S(pk.into()))).await?;
    }
    for (prefix, wanted) in
        [("a#", vec!["a#1", "a#2"]), ("a", vec!["a", "a#1", "a#2"]), ("", vec!["a", "a#1", "a#2", "b#1"]), ("c", vec![])]
    {
        let (items, _) = pages(subject, Table::Audit, "prefix", prefix, 100).await?;
        expect(prefix, sort_keys(&items), wanted)?;
        expect("the partition", items.iter().all(|item| item.s("in") == Some("prefix")), true)?;
    }
    expect("an empty partition", pages(subject, Table::Audit, "no-such", "", 10).await?.0, Vec::new())
}

async fn query_pages<S: Subject>(subject: &S) -> Outcome {
    let keys: Vec<String> = (0..10).map(|i| format!("e#{i}")).collect();
    for key in keys.iter().map(String::as_str).chain(["d#9", "f#0"]) {
        store(subject, Table::Audit, Item::new(Key::new("pages", key))).await?;
    }
    for limit in [1, 3, 5, 10, 11] {
        let (items, first) = pages(subject, Table::Audit, "pages", "e#", limit).await?;
        expect("the items of all pages", sort_keys(&items), keys.iter().map(String::as_str).collect())?;
        expect("the items of the first page", first, usize::try_from(limit).unwrap_or_default().min(10))?;
    }
    Ok(())
}

async fn query_large<S: Subject>(subject: &S) -> Outcome {
    for i in 0..6 {
        store(subject, Table::Golden, sized("mebibyte", &i.to_string(), LARGE)).await?;
    }
    let (items, first) = pages(subject, Table::Golden, "mebibyte", "", 100).await?;
    expect("the items of all pages", sort_keys(&items), vec!["0", "1", "2", "3", "4", "5"])?;
    // AWS counts the item that goes beyond; two or three fit, however it is counted.
    expect("whether two or three items make the first page", (2..=3).contains(&first), true)
}

async fn query_after_gone<S: Subject>(subject: &S) -> Outcome {
    for sk in ["1", "2", "4"] {
        store(subject, Table::Audit, Item::new(Key::new("gone", sk))).await?;
    }
    let after = Key::new("gone", "3");
    let page = subject.ports().query(Table::Audit, "gone", "", 10, Some(&after)).await.during("a query")?;
    expect("the rest", sort_keys(&page.items), vec!["4"])
}

async fn scan<S: Subject>(subject: &S) -> Outcome {
    let key = |i: usize| Key::new(format!("scan#{i}"), "1");
    for i in 0..25 {
        store(subject, Table::Journal, Item::new(key(i))).await?;
    }
    let (mut met, mut after) = (BTreeMap::new(), None);
    for _ in 0..1_000 {
        let page = subject.ports().scan(Table::Journal, 4, after.as_ref()).await.during("a scan")?;
        for item in page.items.into_iter().filter(|item| item.key.pk.starts_with("scan#")) {
            *met.entry(item.key).or_insert(0) += 1;
        }
        after = page.next;
        if after.is_none() {
            return expect("how often each item was met", met, (0..25).map(|i| (key(i), 1)).collect());
        }
    }
    Err(Deviation::new("a scan has no end"))
}
