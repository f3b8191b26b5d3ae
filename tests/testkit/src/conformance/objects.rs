//! Large bodies, and secrets with their stages.

use sync::ports::{Blob, SecretSet, SecretVersions, Secrets};

use super::{Area, Check, Deviation, During, Outcome, Subject, expect, list, rejected};

/// Version ids as Secrets Manager gives them.
const SECOND: &str = "5f6e3f3a-1111-4b60-8d4a-0c1f3b5a7d21";
const THIRD: &str = "5f6e3f3a-2222-4b60-8d4a-0c1f3b5a7d21";

pub(super) fn checks<S: Subject>() -> Vec<Check<S>> {
    let mut all: Vec<Check<S>> = list![Area::Blobs, S:
        "bytes come back as they were put" => bytes,
        "a key that is not there has no bytes" => no_bytes,
    ];
    all.extend(list![Area::Secrets, S:
        "a secret is read by its logical name" => untouched,
        "a secret that is not there has no values" => no_secret,
        "a pending version is read beside the current one" => pending,
        "a version is found only in a stage that it has" => stages,
        "a promoted version leaves the previous one readable" => promoted,
        "a second rotation forgets the first value" => rotated_twice,
        "a version is written once" => same_version,
        "a secret is read with the id of its current version" => version_of_value,
    ]);
    all
}

async fn bytes<S: Subject>(subject: &S) -> Outcome {
    let large: Vec<u8> = (0..3_000_000_u32).map(|i| i.to_le_bytes()[0] ^ i.to_le_bytes()[1]).collect();
    let cases: [(&str, &[u8]); 4] =
        [("envelopes/2026/a-1.json", b"{}"), ("large", &large), ("empty", b""), ("envelopes/every_byte", &[0, 13, 10, 255])];
    for (key, body) in cases {
        subject.ports().put(key, body).await.during("a put")?;
    }
    for (key, body) in cases {
        expect(key, subject.ports().get_blob(key).await.during("a get")?.as_deref(), Some(body))?;
    }
    subject.ports().put("large", b"small").await.during("a put over another")?;
    expect("the last put", subject.ports().get_blob("large").await, Ok(Some(b"small".to_vec())))
}

async fn no_bytes<S: Subject>(subject: &S) -> Outcome {
    expect("a key that is not there", subject.ports().get_blob("envelopes/none").await, Ok(None))
}

fn set(current: &str, pending: Option<&str>, previous: Option<&str>) -> SecretSet {
    let text = |value: &str| Some(value.to_owned());
    SecretSet { current: text(current), pending: pending.and_then(text), previous: previous.and_then(text), version: None }
}

/// Compares the values, which `Debug` of the set does not show.
fn expect_set(got: &SecretSet, wanted: &SecretSet) -> Outcome {
    let parts = |set: &SecretSet| [set.current.clone(), set.pending.clone(), set.previous.clone()];
    expect("current, pending, previous", parts(got), parts(wanted))
}

async fn untouched<S: Subject>(subject: &S) -> Outcome {
    expect_set(&subject.ports().secret("untouched", false).await.during("a read")?, &set("first", None, None))
}

async fn no_secret<S: Subject>(subject: &S) -> Outcome {
    let none = subject.ports().secret("no-such-secret", false).await.during("a read")?;
    expect_set(&none, &SecretSet::default())?;
    expect("its current version", subject.ports().current_version(&subject.secret_id("no-such-secret")).await, Ok(None))
}

async fn pending<S: Subject>(subject: &S) -> Outcome {
    let id = subject.secret_id("pending");
    subject.ports().put_pending(&id, SECOND, "second").await.during("a put")?;
    for (stage, wanted) in [("AWSCURRENT", Some("first")), ("AWSPENDING", Some("second")), ("AWSPREVIOUS", None)] {
        let value = subject.ports().version_value(&id, None, stage).await.during("a read of a stage")?;
        expect(stage, value.as_deref(), wanted)?;
    }
    expect_set(&subject.ports().secret("pending", false).await.during("a read")?, &set("first", Some("second"), None))
}

async fn stages<S: Subject>(subject: &S) -> Outcome {
    let id = subject.secret_id("stages");
    subject.ports().put_pending(&id, SECOND, "second").await.during("a put")?;
    for (version, stage, wanted) in
        [(SECOND, "AWSPENDING", Some("second")), (THIRD, "AWSPENDING", None), (SECOND, "AWSCURRENT", None)]
    {
        let value = subject.ports().version_value(&id, Some(version), stage).await.during("a read of a version")?;
        expect(&format!("{stage} of {version}"), value.as_deref(), wanted)?;
    }
    Ok(())
}

/// Makes a version current, by the port's steps.
async fn rotate<S: Subject>(subject: &S, id: &str, version: &str, value: &str) -> Outcome {
    let from = subject.ports().current_version(id).await.during("a read of the current version")?;
    expect("whether there is a current version", from.is_some(), true)?;
    subject.ports().put_pending(id, version, value).await.during("a put")?;
    subject.ports().promote(id, version, from.as_deref()).await.during("a promotion")?;
    expect("the current version", subject.ports().current_version(id).await, Ok(Some(version.to_owned())))
}

async fn promoted<S: Subject>(subject: &S) -> Outcome {
    rotate(subject, &subject.secret_id("promoted"), SECOND, "second").await?;
    let found = subject.ports().secret("promoted", false).await.during("a read")?;
    // The label AWSPENDING may stay on the version that is current now.
    if found.pending.as_deref().is_some_and(|value| value != "second") {
        return Err(Deviation::new("another value is pending"));
    }
    expect_set(&SecretSet { pending: None, ..found }, &set("second", None, Some("first")))
}

async fn rotated_twice<S: Subject>(subject: &S) -> Outcome {
    let id = subject.secret_id("rotated-twice");
    rotate(subject, &id, SECOND, "second").await?;
    rotate(subject, &id, THIRD, "third").await?;
    let found = subject.ports().secret("rotated-twice", false).await.during("a read")?;
    let active: Vec<&str> = found.active().collect();
    expect("whether the first value is active", active.contains(&"first"), false)?;
    expect("current and previous", (found.current.as_deref(), found.previous.as_deref()), (Some("third"), Some("second")))
}

async fn version_of_value<S: Subject>(subject: &S) -> Outcome {
    let id = subject.ports().secret_name("version");
    expect("the name", &id, &subject.secret_id("version"))?;
    rotate(subject, &id, SECOND, "second").await?;
    let found = subject.ports().secret("version", false).await.during("a read")?;
    expect("value and version", (found.current.as_deref(), found.version.as_deref()), (Some("second"), Some(SECOND)))
}

async fn same_version<S: Subject>(subject: &S) -> Outcome {
    let id = subject.secret_id("same-version");
    subject.ports().put_pending(&id, SECOND, "second").await.during("a put")?;
    subject.ports().put_pending(&id, SECOND, "second").await.during("the same put again")?;
    rejected("another value", subject.ports().put_pending(&id, SECOND, "other").await)?;
    let value = subject.ports().version_value(&id, Some(SECOND), "AWSPENDING").await.during("a read")?;
    expect("the value", value.as_deref(), Some("second"))
}
