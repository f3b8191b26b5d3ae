//! Answers computed with other libraries (Python's hmac and cryptography): good requests of every form, and what is wrong
//! with each of the bad ones.

use serde_json::Value;
use webhook::vectors::{self, Verdict};

use crate::support::{NOW_MS, declared};

#[test]
fn every_known_answer_agrees_for_the_stated_reason() {
    let mut count = 0;
    for line in include_str!("known.jsonl").lines() {
        let stated: Value = serde_json::from_str(line).expect("JSON");
        let outcome = vectors::run(line, &|provider, _, _| declared(provider), NOW_MS).expect("a vector");
        let reason = match &outcome.got {
            Verdict::Rejected(rejection) => Some(rejection.code()),
            Verdict::Accepted => None,
            Verdict::OtherReply(what) => Some(*what),
            Verdict::Unsupported => Some("unsupported"),
        };
        if outcome.id == "unknown-provider" {
            assert!(!outcome.agrees());
        } else {
            assert_eq!(reason, stated.get("code").and_then(Value::as_str), "{}: {:?}", outcome.id, outcome.got);
            assert!(outcome.agrees(), "{}", outcome.id);
        }
        count += 1;
    }
    assert!(count > 150, "{count} lines");
}

#[test]
fn a_wrong_expectation_is_noticed() {
    let line = r#"{"id":"x","provider":"sha1-hex","kind":"k","valid":true,"method":"HEAD","headers":{},"body":"","expect_body":"hello"}"#;
    let find = |provider: &str, _: &str, _: &webhook::Headers| declared(provider);
    assert!(!vectors::run(line, &find, NOW_MS).expect("a vector").agrees());
    let refused = line.replace("true", "false").replace("hello", "");
    assert!(!vectors::run(&refused, &find, NOW_MS).expect("a vector").agrees());
    assert!(vectors::run("{}", &find, NOW_MS).is_err());
}
