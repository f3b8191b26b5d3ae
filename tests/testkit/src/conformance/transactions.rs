//! Several writes: all or none, which condition failed, tokens, limits.

use sync::join::join;
use sync::ports::{Attr, Condition, Item, Key, Store, Table, Write, WriteError};

use super::tables::{conflict, put, read, refusal, store};
use super::{Area, Check, Deviation, Outcome, Subject, expect, list, rejected};

pub(super) fn checks<S: Subject>() -> Vec<Check<S>> {
    list![Area::Tables, S:
        "a transaction writes all, in every table" => all,
        "a transaction with one failed condition writes none" => none,
        "each failed condition of a transaction is named" => reasons,
        "a check alone holds a transaction back" => check_only,
        "a transaction of 100 writes is done, one of 101 is not" => limits,
        "a transaction above 4 MiB is rejected" => too_large,
        "a transaction without writes is rejected" => empty,
        "two writes of one item are rejected" => same_item_twice,
        "a token makes a repeat harmless" => token,
        "a token with other writes is rejected" => token_reused,
        "transactions that meet leave nothing half done" => meeting,
        "another transaction in the way is not a failed condition" => contention,
    ]
}

fn item(pk: &str, n: i64) -> Item {
    Item::new(Key::new(pk, "1")).with("n", Attr::N(n))
}

fn check(table: Table, pk: &str, condition: Condition) -> Write {
    Write::Check { table, key: Key::new(pk, "1"), condition }
}

fn is(n: i64) -> Condition {
    Condition::Equals("n", Attr::N(n))
}

async fn number<S: Subject>(subject: &S, table: Table, pk: &str) -> Result<Option<i64>, Deviation> {
    Ok(read(subject, table, &Key::new(pk, "1")).await?.and_then(|item| item.n("n")))
}

async fn all<S: Subject>(subject: &S) -> Outcome {
    store(subject, Table::Links, item("all-gone", 1)).await?;
    store(subject, Table::Golden, item("all-held", 1)).await?;
    let mut writes: Vec<Write> = Table::ALL.iter().map(|table| put(*table, item("all", 7), Condition::Absent)).collect();
    writes.push(Write::Delete { table: Table::Links, key: Key::new("all-gone", "1"), condition: is(1) });
    writes.push(check(Table::Golden, "all-held", is(1)));
    expect("the transaction", subject.ports().write(writes, None).await, Ok(()))?;
    for table in Table::ALL {
        expect(table.name(), number(subject, *table, "all").await?, Some(7))?;
    }
    expect("the deleted item", number(subject, Table::Links, "all-gone").await?, None)?;
    expect("the checked item", number(subject, Table::Golden, "all-held").await?, Some(1))
}

async fn none<S: Subject>(subject: &S) -> Outcome {
    store(subject, Table::Links, item("none-old", 1)).await?;
    let writes = vec![
        put(Table::Golden, item("none-new", 2), Condition::Absent),
        Write::Delete { table: Table::Links, key: Key::new("none-old", "1"), condition: Condition::Always },
        put(Table::Journal, item("none-last", 2), is(5)),
    ];
    expect("the transaction", subject.ports().write(writes, None).await, conflict(&[2]))?;
    expect("the put", number(subject, Table::Golden, "none-new").await?, None)?;
    expect("the delete", number(subject, Table::Links, "none-old").await?, Some(1))
}

async fn reasons<S: Subject>(subject: &S) -> Outcome {
    store(subject, Table::Links, item("reasons", 3)).await?;
    let writes = vec![
        put(Table::Golden, item("reasons-a", 1), is(1)),
        put(Table::Golden, item("reasons-b", 1), Condition::Absent),
        check(Table::Links, "reasons", is(4)),
        Write::Delete { table: Table::Keys, key: Key::new("reasons-c", "1"), condition: Condition::Absent },
        Write::Delete { table: Table::Keys, key: Key::new("reasons-d", "1"), condition: is(0) },
    ];
    expect("the transaction", subject.ports().write(writes, None).await, conflict(&[0, 2, 4]))
}

async fn check_only<S: Subject>(subject: &S) -> Outcome {
    let writes = |condition| vec![check(Table::Links, "check-only", condition), put(Table::Audit, item("check-only", 1), is(1))];
    let both = subject.ports().write(writes(is(1)), None).await;
    expect("both conditions fail", both, conflict(&[0, 1]))?;
    let lone = |condition| vec![check(Table::Links, "check-only", condition)];
    expect("a lone check that holds", subject.ports().write(lone(Condition::Absent), None).await, Ok(()))?;
    expect("a lone check that fails", subject.ports().write(lone(is(1)), None).await, conflict(&[0]))?;
    expect("an item that was only checked", number(subject, Table::Links, "check-only").await?, None)
}

async fn limits<S: Subject>(subject: &S) -> Outcome {
    let writes = |count: i64| {
        (0..count)
            .map(|n| put(Table::Journal, Item::new(Key::new(format!("limits-{count}"), n.to_string())), Condition::Absent))
            .collect()
    };
    expect("100 writes", subject.ports().write(writes(100), None).await, Ok(()))?;
    let last = Key::new("limits-100", "99");
    expect("the last write", read(subject, Table::Journal, &last).await?.map(|item| item.key), Some(last))?;
    rejected("101 writes", refusal(subject.ports().write(writes(101), None).await))?;
    expect("a write of the rejected ones", read(subject, Table::Journal, &Key::new("limits-101", "0")).await?, None)
}

async fn too_large<S: Subject>(subject: &S) -> Outcome {
    let part = |n: usize| {
        let item = Item::new(Key::new("four-mebibytes", n.to_string())).with("body", Attr::S("x".repeat(390_000)));
        put(Table::Golden, item, Condition::Always)
    };
    expect("ten large items", subject.ports().write((0..10).map(part).collect(), None).await, Ok(()))?;
    rejected("twelve large items", refusal(subject.ports().write((10..22).map(part).collect(), None).await))?;
    expect("one of the twelve", read(subject, Table::Golden, &Key::new("four-mebibytes", "10")).await?, None)
}

async fn empty<S: Subject>(subject: &S) -> Outcome {
    rejected("no writes", refusal(subject.ports().write(Vec::new(), None).await))
}

async fn same_item_twice<S: Subject>(subject: &S) -> Outcome {
    let writes = vec![
        put(Table::Links, item("twice", 1), Condition::Always),
        Write::Delete { table: Table::Links, key: Key::new("twice", "1"), condition: Condition::Always },
    ];
    rejected("a put and a delete of one item", refusal(subject.ports().write(writes, None).await))?;
    expect("the item", number(subject, Table::Links, "twice").await?, None)?;
    let writes = [Table::Links, Table::Golden].map(|table| put(table, item("twice", 1), Condition::Always));
    expect("one key in two tables", subject.ports().write(writes.to_vec(), None).await, Ok(()))
}

async fn token<S: Subject>(subject: &S) -> Outcome {
    let ports = subject.ports();
    let writes =
        || vec![put(Table::Golden, item("token", 1), Condition::Absent), put(Table::Links, item("token", 1), Condition::Absent)];
    expect("the first time", ports.write(writes(), Some("conformance-token-1")).await, Ok(()))?;
    store(subject, Table::Golden, item("token", 2)).await?;
    expect("the repeat", ports.write(writes(), Some("conformance-token-1")).await, Ok(()))?;
    expect("what was written in between", number(subject, Table::Golden, "token").await?, Some(2))?;
    expect("the same with another token", ports.write(writes(), Some("conformance-token-2")).await, conflict(&[0, 1]))
}

async fn token_reused<S: Subject>(subject: &S) -> Outcome {
    let ports = subject.ports();
    let writes = |n| vec![put(Table::Golden, item("token-reused", n), Condition::Always)];
    expect("the first time", ports.write(writes(1), Some("conformance-token-3")).await, Ok(()))?;
    rejected("other writes", refusal(ports.write(writes(2), Some("conformance-token-3")).await))?;
    expect("the item", number(subject, Table::Golden, "token-reused").await?, Some(1))
}

/// Twelve workers add one to the same two items, in transactions that read both before.
async fn meeting<S: Subject>(subject: &S) -> Outcome {
    let tables = [Table::Golden, Table::Links];
    for table in tables {
        store(subject, table, item("meeting", 0)).await?;
    }
    let worker = async |_: usize| -> Outcome {
        for _ in 0..300 {
            let mut writes = Vec::new();
            for table in tables {
                let before = number(subject, table, "meeting").await?.unwrap_or(-1);
                writes.push(put(table, item("meeting", before + 1), is(before)));
            }
            match subject.ports().write(writes, None).await {
                Ok(()) => return Ok(()),
                Err(WriteError::Conflict { .. }) => {}
                Err(error) => return Err(Deviation::new(format!("a transaction failed: {error:?}"))),
            }
        }
        Err(Deviation::new("a worker lost 300 times"))
    };
    join((0..12).map(worker)).await.into_iter().collect::<Outcome>()?;
    for table in tables {
        expect(table.name(), number(subject, table, "meeting").await?, Some(12))?;
    }
    Ok(())
}

async fn contention<S: Subject>(subject: &S) -> Outcome {
    if !subject.contend(true) {
        return Err(Deviation::new("two transactions cannot be made to meet"));
    }
    let writes = || {
        vec![
            put(Table::Golden, item("contention", 1), Condition::Absent),
            put(Table::Links, item("contention", 1), Condition::Absent),
        ]
    };
    let met = subject.ports().write(writes(), None).await;
    subject.contend(false);
    expect("a transaction that meets another", met, conflict(&[]))?;
    expect("the item", number(subject, Table::Golden, "contention").await?, None)?;
    expect("the same once it is over", subject.ports().write(writes(), None).await, Ok(()))
}
