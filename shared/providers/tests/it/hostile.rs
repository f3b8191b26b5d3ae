//! Bodies that no provider sends. For every provider, each of them ends with a reason or without a change, and nothing panics.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use providers::{EventBody, Inbound, InboundEvent, Malformed, Overrides, Provider};
use serde_json::{Value, json};

use crate::golden::{fixtures, read};

fn all() -> impl Iterator<Item = (&'static str, Provider)> {
    Provider::builtin_names().iter().map(|name| (*name, Provider::builtin(name, &Overrides::default()).unwrap()))
}

fn events(provider: &Provider, body: &[u8]) -> Result<Vec<InboundEvent>, Malformed> {
    provider.events(&Inbound { connection: "here", headers: &BTreeMap::new(), target: "POST /hooks/here", body })
}

/// Events of a garbage body are ignored or malformed, and never acted on.
fn harmless(found: &Result<Vec<InboundEvent>, Malformed>) -> bool {
    let Ok(events) = found else { return true };
    events.iter().all(|e| matches!(e.body, EventBody::Ignored { .. } | EventBody::Malformed { .. }))
}

fn bodies(name: &str) -> Vec<String> {
    let webhooks =
        fixtures(name).iter().map(|file| read(file)).filter(|fixture| fixture.get("object").is_none()).collect::<Vec<_>>();
    webhooks.iter().map(|f| f["text"].as_str().map_or_else(|| f["body"].to_string(), str::to_owned)).collect()
}

#[test]
fn garbage_changes_nothing() {
    for (name, provider) in all() {
        for body in [
            &b"null"[..],
            b"true",
            b"7",
            b"\"x\"",
            b"[]",
            b"{}",
            b"[null, 7, \"x\", [], {}]",
            b"{\"id\":\"\xff\"}",
            b"{\"id\":\"\0\"}",
            b"\0",
            b"\xef\xbb\xbf",
            b"<a/>",
            b"a=b",
            b"%00=%00&a[b]=c&a=d",
            b"--x\r\n",
            b"{\"type\":\"a\",\"type\":\"b\",\"event\":1,\"event\":null}",
        ] {
            let found = events(&provider, body);
            assert!(harmless(&found), "{name}: {:?} gave {found:?}", String::from_utf8_lossy(body));
            let _ = provider.unmapped(body);
        }
    }
}

/// Languages with UTF-16 strings cut characters apart and escape the halves. That costs the text, nothing else.
#[test]
fn half_a_character_costs_no_event() {
    let readable = |found: &Result<Vec<InboundEvent>, Malformed>| {
        let events = found.as_ref().map(Vec::as_slice).unwrap_or_default();
        events.iter().map(|e| (e.key.clone(), matches!(e.body, EventBody::Malformed { .. }))).collect::<Vec<_>>()
    };
    for (name, provider) in all() {
        for body in bodies(name).iter().filter(|body| body.starts_with(['{', '[']) && body.contains("{\"")) {
            let cut = body.replacen("{\"", r#"{"half \udc00":"great \ud83d","whole":"\ud83d\ude00",""#, 1);
            let (whole, cut) = (events(&provider, body.as_bytes()), events(&provider, cut.as_bytes()));
            assert_eq!(readable(&whole), readable(&cut), "{name}: {body}");
        }
    }
}

#[test]
fn deep_nesting_does_no_harm() {
    const DEEP: usize = 100_000;
    let xml = format!("{}{}", "<a>".repeat(DEEP), "</a>".repeat(DEEP));
    let bodies = [
        format!("{}{}", "[".repeat(DEEP), "]".repeat(DEEP)),
        format!("{}1{}", "{\"a\":".repeat(DEEP), "}".repeat(DEEP)),
        format!("{{\"id\":1,\"type\":{}{}}}", "[".repeat(DEEP), "]".repeat(DEEP)),
        "[".repeat(DEEP),
        "{\"a\":[".repeat(DEEP),
        format!("a{}=1", "[b]".repeat(DEEP)),
        xml,
    ];
    for (name, provider) in all() {
        for body in &bodies {
            assert!(harmless(&events(&provider, body.as_bytes())), "{name}: {}…", &body[..9]);
            let _ = provider.unmapped(body.as_bytes());
        }
    }
}

#[test]
fn a_body_that_is_cut_off_gets_that_reason() {
    for (name, provider) in all() {
        let whole = |body: &&String| body.starts_with(['{', '[', '<']) && events(&provider, body.as_bytes()).is_ok();
        for body in bodies(name).iter().filter(|body| body.len() > 2).filter(whole) {
            for at in [1, body.len() / 3, body.len() / 2, body.trim_end().len() - 1] {
                let Some(cut) = body.get(..at) else { continue };
                let reason = events(&provider, cut.as_bytes()).unwrap_err().reason;
                assert!(reason.ends_with("ends too early") || reason.starts_with("the body is not"), "{name}: {reason}");
            }
        }
    }
}

/// `receive` accepts bodies of up to 6 MB.
#[test]
fn the_largest_body_is_read_in_time() {
    let long = "x".repeat(6_000_000);
    for (name, provider) in all() {
        let Some(mut body) = bodies(name).iter().find_map(|body| serde_json::from_str::<Value>(body).ok()) else { continue };
        match &mut body {
            Value::Array(list) => list.push(json!({ "extra": long })),
            body => body["extra"] = json!(long),
        }
        let body = body.to_string();
        let begun = Instant::now();
        let found = events(&provider, body.as_bytes());
        assert!(begun.elapsed() < Duration::from_secs(10), "{name} took {:?}", begun.elapsed());
        assert!(found.is_ok(), "{name}");
    }
    let many = format!("[{}]", vec!["{}"; 20_000].join(","));
    for (name, provider) in all() {
        assert!(harmless(&events(&provider, many.as_bytes())), "{name}");
    }
}
