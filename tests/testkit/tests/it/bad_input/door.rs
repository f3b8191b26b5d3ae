//! At the front door: a request that is not proven gets 401 without a hint, and changes nothing.

use sync::ports::SecretVersions;
use sync::receive::Request;
use testkit::twin::finish;
use webhook::{Handshake, Scheme};

use super::bodies::padded;
use crate::fixtures::NOW_MS;
use crate::fixtures::hub::Hub;
use crate::fixtures::sender::{Sender, keys};
use crate::fixtures::senders::ALL;
use crate::table::Table;

const REFUSED: &str = "401 text/plain \"unauthorized\\n\", 0 queued";
/// Text that follows a signature by mistake or by malice.
const JUNK: [&str; 8] = ["!", "A", "AAAA", "=", "0", "00", "%00", "\u{e9}"];

/// The hub's answer, and how many envelopes it then has.
fn answer(hub: &Hub<'_>, request: &Request) -> String {
    let answer = hub.receive(request);
    let kind = answer.content_type.map(|kind| format!(" {kind}")).unwrap_or_default();
    let status = answer.status;
    format!("{status}{kind} {:?}, {} queued", String::from_utf8_lossy(&answer.body), hub.waiting())
}

fn accepted(sender: &Sender) -> String {
    let answer = sender.provider.manifest().accepted();
    let kind = answer.content_type.map(|kind| format!(" {kind}")).unwrap_or_default();
    format!("{}{kind} {:?}, 1 queued", answer.status, String::from_utf8_lossy(&answer.body))
}

fn with_body(request: &Request, body: impl Into<Vec<u8>>) -> Request {
    Request { body: body.into(), ..request.clone() }
}

/// The request with other values of one header: none of them if there are none.
fn with_header(request: &Request, name: &str, values: &[String]) -> Request {
    let others = request.headers.iter().filter(|(known, _)| *known != name);
    let mut headers: webhook::Headers = others.collect();
    values.iter().for_each(|value| headers.append(name, value.clone()));
    Request { headers, ..request.clone() }
}

/// The best fixture, signed now.
fn good(sender: &Sender) -> Request {
    sender.request(sender.best()).unwrap()
}

#[test]
fn a_valid_request_is_queued_once() {
    let mut table = Table::default();
    for sender in ALL.iter() {
        for fixture in &sender.fixtures {
            table.check(&sender.title, &fixture.name, || {
                (accepted(sender), answer(&Hub::new(sender), &sender.request(fixture).unwrap()))
            });
        }
    }
    table.judge(20 * 3);
}

/// The same event, changed after it was signed, and whether the proof covers the change.
fn tampered(sender: &Sender) -> (Request, bool) {
    let request = good(sender);
    match &sender.scheme {
        Scheme::Sns(_) => {
            let mut body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
            body["Message"] = serde_json::json!(format!("{} ", body["Message"].as_str().unwrap()));
            (with_body(&request, body.to_string()), true)
        }
        scheme => {
            let covered = matches!(scheme, Scheme::UrlForm(_)) || sender.signs("{body}");
            let changed = padded(&request.body, request.body.len() + 9).unwrap_or_else(|| b" ".to_vec());
            (with_body(&request, changed), covered)
        }
    }
}

#[test]
fn a_request_that_was_changed_is_refused() {
    let mut table = Table::default();
    for sender in ALL.iter() {
        let (request, covered) = tampered(sender);
        let want = if covered { REFUSED.to_owned() } else { accepted(sender) };
        table.check(&sender.title, "another body", || (want, answer(&Hub::new(sender), &request)));
        if matches!(sender.scheme, Scheme::UrlForm(_)) || sender.signs("{url}") {
            let sign = if request.url.contains('?') { '&' } else { '?' };
            let url = format!("{}{sign}more=1", request.url);
            let other = Request { url, ..good(sender) };
            table.check(&sender.title, "another URL", || (REFUSED, answer(&Hub::new(sender), &other)));
        }
    }
    table.judge(20);
}

#[test]
fn another_secret_is_refused() {
    let mut table = Table::default();
    for sender in ALL.iter() {
        let hub = Hub::new(sender);
        if let Scheme::Sns(_) = sender.scheme {
            hub.twin.pages.borrow_mut().values_mut().for_each(|page| *page = b"not a certificate of Amazon".to_vec());
            table.check(&sender.title, "no certificate", || (REFUSED, answer(&hub, &good(sender))));
            for (case, from, to) in [
                ("a certificate from elsewhere", "https://sns.", "https://sns.example.com/sns."),
                ("a topic of another account", "\"TopicArn\":\"arn:aws:sns:", "\"TopicArn\":\"arn:aws:sns:x"),
            ] {
                let request = good(sender);
                let body = String::from_utf8_lossy(&request.body).replace(from, to);
                table.check(&sender.title, case, || (REFUSED, answer(&Hub::new(sender), &with_body(&request, body))));
            }
            continue;
        }
        let forged = sender.prove(sender.best(), &keys(&sender.scheme, 1).0, NOW_MS).unwrap();
        let request = sender.carrying(sender.best(), forged);
        table.check(&sender.title, "another secret", || (REFUSED, answer(&hub, &request)));
        hub.twin.set_secret(&sender.secret(), "");
        table.check(&sender.title, "an empty secret", || (REFUSED, answer(&hub, &good(sender))));
    }
    table.judge(40);
}

#[test]
fn another_time_is_refused() {
    let mut table = Table::default();
    for sender in ALL.iter() {
        let Some((signed, tolerance_s)) = sender.signed().and_then(|signed| Some((signed, signed.tolerance_s?))) else {
            continue;
        };
        let tolerance_ms = i64::from(tolerance_s) * 1000;
        // A sender whose retries repeat the first signature is accepted as long as it retries.
        let past_ms = tolerance_ms + i64::from(signed.repeats_s) * 1000;
        for (case, at_ms, fits) in [
            ("stale", NOW_MS - past_ms - 1000, false),
            ("future", NOW_MS + tolerance_ms + 1000, false),
            ("a day older", NOW_MS - past_ms - 86_400_000, false),
            ("just in time", NOW_MS - past_ms, true),
            ("a clock that is ahead", NOW_MS + tolerance_ms, true),
        ] {
            let request = sender.carrying(sender.best(), sender.prove(sender.best(), &sender.keys.0, at_ms).unwrap());
            let want = if fits { accepted(sender) } else { REFUSED.to_owned() };
            table.check(&sender.title, case, || (want, answer(&Hub::new(sender), &request)));
        }
    }
    table.judge(5 * 5);
}

/// Each header of the proof, damaged in every way.
fn spoiled_headers(sender: &Sender) -> Vec<(String, Request)> {
    let proven = sender.prove(sender.best(), &sender.keys.0, NOW_MS).unwrap();
    let request = good(sender);
    let mut all = Vec::new();
    for (name, value) in &proven.headers {
        let mut add = |case: &str, values: &[String]| {
            all.push((format!("{name} {case}"), with_header(&request, name, values)));
        };
        add("missing", &[]);
        add("empty", &[String::new()]);
        add("blank", &["  ".to_owned()]);
        add("doubled", &[value.clone(), value.clone()]);
        add("with an empty one before it", &[String::new(), value.clone()]);
        add("with another behind it", &[value.clone(), "x".to_owned()]);
        add("joined with itself", &[format!("{value},{value}")]);
        add("joined with itself and a space", &[format!("{value}, {value}")]);
        JUNK.iter().for_each(|junk| add(&format!("with junk {junk:?}"), &[format!("{value}{junk}")]));
        add("cut", &[value[..value.len() - 1].to_owned()]);
        add("in capitals", &[value.to_ascii_uppercase()].map(|v| if v == *value { format!("{v}X") } else { v }));
    }
    all
}

/// The proof inside the body, damaged in every way.
fn spoiled_bodies(sender: &Sender) -> Vec<(String, Request)> {
    let request = good(sender);
    let Some((name, value)) = sender.body_proof(&request) else { return Vec::new() };
    let text = String::from_utf8(request.body.clone()).unwrap();
    let mut all = Vec::new();
    let mut add = |case: String, body: String| {
        assert_ne!(body, text, "{}: {case} changes nothing", sender.title);
        all.push((case, with_body(&request, body)));
    };
    add("missing".to_owned(), text.replace(&name, "other"));
    add("empty".to_owned(), text.replace(&value, ""));
    for junk in JUNK {
        add(format!("with junk {junk:?}"), text.replace(&value, &format!("{value}{junk}")));
    }
    add("cut".to_owned(), text.replace(&value, &value[..value.len() - 1]));
    let twice = [
        (format!("\"{name}\":\"{value}\""), format!("\"{name}\":\"{value}\",\"{name}\":\"x\"")),
        (format!("<{name}>{value}</{name}>"), format!("<{name}>{value}</{name}><{name}>{value}</{name}>")),
        (format!("{name}={value}"), format!("{name}={value}&{name}={value}")),
    ];
    if let Some((once, twice)) = twice.iter().find(|(once, _)| text.contains(once)) {
        add("doubled".to_owned(), text.replace(once, twice));
    }
    all
}

#[test]
fn a_damaged_proof_is_refused() {
    let mut table = Table::default();
    for sender in ALL.iter() {
        let cases: Vec<_> = spoiled_headers(sender).into_iter().chain(spoiled_bodies(sender)).collect();
        assert!(cases.len() >= 11, "{}: its proof was not found", sender.title);
        for (case, request) in cases {
            table.check(&sender.title, &case, || (REFUSED, answer(&Hub::new(sender), &request)));
        }
    }
    table.judge(20 * 11);
}

#[test]
fn both_secrets_are_valid_while_they_rotate() {
    let mut table = Table::default();
    for sender in ALL.iter().filter(|sender| !matches!(sender.scheme, Scheme::Sns(_))) {
        let (name, fixture) = (sender.secret(), sender.best());
        let pairs = [0, 1, 2].map(|n| keys(&sender.scheme, n));
        let twin_of = |steps: usize| {
            let hub = Hub::new(sender);
            hub.twin.set_secret(&name, &pairs[0].1);
            for (step, version) in ["second", "third"].iter().enumerate().take(steps) {
                finish(hub.twin.put_pending(&name, version, &pairs[step + 1].1)).unwrap();
                if step + 1 < steps {
                    let current = finish(hub.twin.current_version(&name)).unwrap();
                    finish(hub.twin.promote(&name, version, current.as_deref())).unwrap();
                }
            }
            hub
        };
        for (case, steps, key, fits) in [
            ("the current one, another pending", 1, 0, true),
            ("the pending one", 1, 1, true),
            ("the previous one", 2, 0, true),
            ("the new current one", 2, 1, true),
            ("one that the hub does not know", 1, 2, false),
        ] {
            let request = sender.carrying(fixture, sender.prove(fixture, &pairs[key].0, NOW_MS).unwrap());
            let want = if fits { accepted(sender) } else { REFUSED.to_owned() };
            table.check(&sender.title, case, || (want, answer(&twin_of(steps), &request)));
        }
    }
    table.judge(20 * 5);
}

#[test]
fn only_posts_to_known_paths_are_accepted() {
    let mut table = Table::default();
    for sender in ALL.iter() {
        let request = good(sender);
        for path in ["/", "/hooks/", "/hooks/nobody", &format!("{}/x", request.path), &format!("/x{}", request.path)] {
            let other = Request { path: path.to_owned(), ..request.clone() };
            let want = "404 text/plain \"not found\\n\", 0 queued";
            table.check(&sender.title, path, || (want, answer(&Hub::new(sender), &other)));
        }
        let handshakes = &sender.provider.manifest().webhook.handshakes;
        for method in ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "post"] {
            let probes = |h: &Handshake| matches!(h, Handshake::Probe { methods } if methods.iter().any(|m| m == method));
            let want = if handshakes.iter().any(probes) {
                "200 \"\", 0 queued"
            } else {
                "405 text/plain \"method not allowed\\n\", 0 queued"
            };
            let other = Request { method: method.to_owned(), ..request.clone() };
            table.check(&sender.title, method, || (want, answer(&Hub::new(sender), &other)));
        }
    }
    table.judge(20 * 12);
}

#[test]
fn a_body_may_be_as_large_as_the_limit_and_no_larger() {
    let mut table = Table::default();
    for sender in ALL.iter() {
        let limit = sender.config.hub().limits.body_bytes;
        let sized = |size: usize| {
            let pad = |body: &[u8]| padded(body, size).unwrap_or_else(|| vec![b' '; size]);
            match sender.proof_in_body() {
                true => with_body(&good(sender), pad(&good(sender).body)),
                false => sender.request(&sender.best().with(pad(&sender.best().body))).unwrap(),
            }
        };
        table.check(&sender.title, "the largest", || {
            let request = sized(limit);
            assert_eq!(request.body.len(), limit);
            (accepted(sender), answer(&Hub::new(sender), &request))
        });
        let want = "413 text/plain \"body too large\\n\", 0 queued";
        table.check(&sender.title, "one byte more", || (want, answer(&Hub::new(sender), &sized(limit + 1))));
    }
    table.judge(40);
}
