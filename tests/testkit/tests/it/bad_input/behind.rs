//! Behind the front door: a body with a valid proof that means nothing changes nothing, or becomes a dead letter with its reason.
//! Good events beside it are handled.

use providers::{EventBody, InboundEvent};
use serde_json::{Value, json};
use sync::ports::Table as Stored;
use sync::receive::Request;
use webhook::{Handshake, Location, SharedLocation};

use super::bodies::{Kind, empty_at, kind, list_at, padded, with_a_name_twice, with_bytes, with_member};
use crate::fixtures::Fixture;
use crate::fixtures::hub::{Hub, Ran};
use crate::fixtures::sender::Sender;
use crate::fixtures::senders::ALL;
use crate::table::Table;

/// Part of every bad body, and of no reason.
const CANARY: &str = "Kanarienvogel";
const DEEP: usize = 100_000;

fn run(sender: &Sender, request: &Request) -> Ran {
    Hub::new(sender).run(request)
}

fn status(sender: &Sender) -> u16 {
    sender.provider.manifest().accepted().status
}

/// The fixture, changed, and the status that it must get: 401 where the change cannot be signed.
fn attack(sender: &Sender, fixture: &Fixture, change: &dyn Fn(&[u8]) -> Vec<u8>) -> (Request, u16) {
    let changed = sender.with_content(fixture, change(&sender.content(fixture)));
    if let Some(request) = changed.and_then(|changed| sender.request(&changed).ok()) {
        return (request, status(sender));
    }
    let good = sender.request(fixture).unwrap();
    (Request { body: change(&good.body), ..good }, 401)
}

/// Refused without a trace, or accepted and accounted for, each dead letter with its reason.
fn is_accounted_for(ran: &Ran, want: u16) -> bool {
    let reasons = ran.dead.iter().all(|d| !d.code.is_empty() && !d.detail.is_empty() && !d.detail.contains(CANARY));
    let account = ran.account.iter().all(|line| !line.contains(CANARY) && !line.starts_with("in_flight "));
    let queued = if want == 401 { ran.queued == 0 && ran.account.is_empty() } else { ran.queued == 1 && !ran.account.is_empty() };
    ran.status == want && ran.stuck == 0 && reasons && account && queued
}

/// As [`is_accounted_for`], and without effect: every event is dead, or ignored for a reason.
fn is_harmless(ran: &Ran, want: u16) -> bool {
    let idle =
        |line: &String| ["dead ", "ignored "].iter().any(|outcome| line.strip_prefix(outcome).is_some_and(|why| !why.is_empty()));
    is_accounted_for(ran, want) && ran.effects == 0 && ran.account.iter().all(idle)
}

/// An event that is not mapped is retained once, however often it arrives, sealed, and can be read again.
#[test]
fn an_event_is_retained_once_and_sealed() {
    for sender in ALL.iter() {
        for fixture in &sender.fixtures {
            let events = sender.events(fixture).unwrap_or_default();
            let wanted: Vec<Value> = events
                .iter()
                .filter_map(|event| match &event.body {
                    EventBody::Retained { event, .. } => serde_json::from_str(event).ok(),
                    _ => None,
                })
                .collect();
            let Some(request) = sender.request(fixture).ok().filter(|_| !wanted.is_empty()) else { continue };
            let hub = Hub::new(sender);
            assert!(hub.run(&request).account.iter().all(|line| line.starts_with("ignored ")), "{}", fixture.name);
            assert!(hub.run(&request).account.contains(&"duplicate".to_owned()), "{}", fixture.name);
            let retained: Vec<Value> =
                hub.retained().iter().filter_map(|retained| serde_json::from_str(&retained.event).ok()).collect();
            assert_eq!(retained, wanted, "{}", fixture.name);
            let tables = hub.twin.tables.borrow();
            let sealed = tables.all(Stored::Journal).filter(|item| item.key.pk.starts_with("k#"));
            assert!(sealed.into_iter().all(|item| item.attrs.keys().all(|name| name != "event" && name != "event_type")));
        }
    }
}

/// As [`is_harmless`], and where the body was accepted there is one dead letter, about the whole body.
fn is_malformed(ran: &Ran, want: u16) -> bool {
    let whole = ran.dead.len() == 1 && ran.dead.iter().all(|d| d.code == "malformed-body" && d.event.is_none());
    is_harmless(ran, want) && (whole || want == 401)
}

/// The verdict for the table: as wanted, or what happened instead.
fn verdict(as_wanted: bool, ran: &Ran) -> String {
    if as_wanted { "as wanted".to_owned() } else { ran.to_string() }
}

fn check(table: &mut Table, sender: &Sender, case: &str, judge: fn(&Ran, u16) -> bool, change: &dyn Fn(&[u8]) -> Vec<u8>) {
    table.check(&sender.title, case, || {
        let (request, want) = attack(sender, sender.best(), change);
        let ran = run(sender, &request);
        (verdict(true, &ran), verdict(judge(&ran, want), &ran))
    });
}

fn manifest(sender: &Sender) -> Value {
    let packed: Value = serde_json::from_str(&sender.provider.to_packed()).unwrap();
    packed["manifest"].clone()
}

#[test]
fn a_body_of_another_type_is_harmless() {
    let mut table = Table::default();
    for sender in ALL.iter() {
        let lists = manifest(sender)["events"]["list"] == json!(true);
        for (case, body) in [
            ("a number", "7".to_owned()),
            ("null", "null".to_owned()),
            ("true", "true".to_owned()),
            ("a JSON text", format!("\"{CANARY}\"")),
            ("an empty list", "[]".to_owned()),
            ("a list of other things than events", format!("[7, null, \"{CANARY}\", [], {{}}]")),
            ("an object of something else", format!("{{\"unknown\":\"{CANARY}\"}}")),
            ("a text", format!("hello {CANARY}")),
            ("a form of something else", format!("unknown={CANARY}")),
            ("XML of something else", format!("<unknown>{CANARY}</unknown>")),
            ("a form in parts", format!("--b\r\nContent-Disposition: form-data; name=\"unknown\"\r\n\r\n{CANARY}\r\n--b--\r\n")),
            ("bytes", "\u{1}\u{2}\u{fffe}".to_owned()),
            ("a byte order mark alone", "\u{feff}".to_owned()),
        ] {
            // The headers hold everything, or an empty list is an empty batch.
            if kind(&sender.best().body) == Kind::Nothing && body.contains(['{', '\u{feff}']) || lists && body == "[]" {
                continue;
            }
            check(&mut table, sender, case, is_harmless, &|_| body.clone().into_bytes());
        }
    }
    table.judge(20 * 12);
}

#[test]
fn a_body_that_is_cut_off_is_a_dead_letter() {
    let mut table = Table::default();
    for sender in ALL.iter() {
        for (case, share) in [("a third", 3), ("half", 2), ("all but the end", 1)] {
            let cut = |body: &[u8]| match kind(body) {
                Kind::Nothing => b"{".to_vec(),
                _ => body[..(body.trim_ascii_end().len() / share).min(body.trim_ascii_end().len() - 3)].to_vec(),
            };
            // A form that was cut is still a form; its proof covers it.
            let judge = if kind(&sender.best().body) == Kind::Form { continue } else { is_malformed };
            check(&mut table, sender, case, judge, &cut);
        }
    }
    table.judge(15 * 3);
}

#[test]
fn nesting_is_harmless() {
    let mut table = Table::default();
    let deep = format!("{}{}", "[".repeat(DEEP), "]".repeat(DEEP));
    for sender in ALL.iter() {
        for (case, body) in [
            ("lists", deep.clone()),
            ("lists without an end", "[".repeat(DEEP)),
            ("objects", format!("{}1{}", "{\"a\":".repeat(DEEP), "}".repeat(DEEP))),
            ("a form's brackets", format!("a{}=1", "[b]".repeat(DEEP))),
            ("XML", format!("{}{}", "<a>".repeat(DEEP), "</a>".repeat(DEEP))),
        ] {
            if kind(&sender.best().body) == Kind::Nothing && body.starts_with('{') {
                continue;
            }
            check(&mut table, sender, case, is_harmless, &|_| body.clone().into_bytes());
        }
        check(&mut table, sender, "a member", is_accounted_for, &|body| match std::str::from_utf8(body) {
            Ok(text) if kind(body) == Kind::Json => with_member(text, "more", &deep).unwrap().into_bytes(),
            _ => body.to_vec(),
        });
    }
    table.judge(20 * 5);
}

/// An event as it is read: the text of a retained event holds the name twice.
fn read(mut event: InboundEvent) -> InboundEvent {
    if let EventBody::Retained { event: text, .. } = &mut event.body {
        *text = serde_json::from_str::<Value>(text).unwrap().to_string();
    }
    event
}

#[test]
fn the_last_of_two_equal_names_counts() {
    let mut table = Table::default();
    for sender in ALL.iter() {
        let fixture = sender.best();
        let Some(content) = with_a_name_twice(&sender.content(fixture), CANARY) else { continue };
        let twice = sender.with_content(fixture, content).unwrap();
        let events =
            |fixture: &Fixture| format!("{:?}", sender.events(fixture).map(|all| all.into_iter().map(read).collect::<Vec<_>>()));
        table.check(&sender.title, "events", || (events(fixture), events(&twice)));
        table.check(&sender.title, "outcomes", || {
            let good = sender.request(fixture).unwrap();
            let request = match sender.proof_in_body() && !sender.wraps() {
                true => Request { body: with_a_name_twice(&good.body, CANARY).unwrap(), ..good.clone() },
                false => sender.request(&twice).unwrap(),
            };
            (run(sender, &good).to_string(), run(sender, &request).to_string())
        });
    }
    table.judge(20 * 2);
}

#[test]
fn bytes_that_are_not_text_are_reported() {
    let mut table = Table::default();
    for sender in ALL.iter() {
        let strict = matches!(kind(&sender.best().body), Kind::Json | Kind::Nothing);
        let judge = if strict { is_malformed } else { is_accounted_for };
        for (case, bytes) in [("a stray byte", &b"\xff"[..]), ("half a character", b"\xc3"), ("a surrogate", b"\xed\xa0\x80")] {
            check(&mut table, sender, case, judge, &|body| with_bytes(body, bytes));
        }
        check(&mut table, sender, "NUL", judge, &|body| with_bytes(body, b"\0"));
        if strict && kind(&sender.best().body) == Kind::Json {
            for escape in ["\\u0000", "\\ud800", "\\ufffe\\u001f"] {
                check(&mut table, sender, escape, is_accounted_for, &|body| with_bytes(body, escape.as_bytes()));
            }
        }
    }
    table.judge(20 * 4);
}

/// The fixture and its content with another type of event wherever its own is; else content without a type.
fn of_unknown_type(sender: &Sender) -> (Fixture, String) {
    const UNKNOWN: &str = "no.such_event";
    let fixture = sender.best();
    let own = sender.events(fixture).unwrap()[0].event_type.clone();
    let mut other = fixture.clone();
    other.headers.iter_mut().filter(|(_, value)| *value == own).for_each(|(_, value)| *value = UNKNOWN.to_owned());
    let text = String::from_utf8(sender.content(fixture)).unwrap();
    let replaced = match kind(text.as_bytes()) {
        Kind::Json => text.replace(&json!(own).to_string(), &json!(UNKNOWN).to_string()),
        Kind::Form => text.replace(&format!("={own}&"), &format!("={UNKNOWN}&")),
        _ => text.clone(),
    };
    if replaced != text || other.headers != fixture.headers {
        return (other, replaced);
    }
    let nothing = match kind(text.as_bytes()) {
        Kind::Form => format!("unknown={CANARY}"),
        Kind::Xml => format!("<unknown>{CANARY}</unknown>"),
        _ => format!("{{\"unknown\":\"{CANARY}\"}}"),
    };
    (other, nothing)
}

#[test]
fn an_unknown_event_is_harmless() {
    let mut table = Table::default();
    for sender in ALL.iter() {
        table.check(&sender.title, "an unknown event", || {
            let (fixture, content) = of_unknown_type(sender);
            let (request, want) = attack(sender, &fixture, &|_| content.clone().into_bytes());
            let ran = run(sender, &request);
            (verdict(true, &ran), verdict(is_harmless(&ran, want), &ran))
        });
    }
    table.judge(20);
}

/// The paths of lists of events, in bodies that are objects.
fn list_paths(sender: &Sender) -> Vec<String> {
    let at = manifest(sender)["events"]["at"].clone();
    let all = at.as_array().cloned().unwrap_or_else(|| vec![at]);
    all.iter().filter_map(|path| path.as_str()).filter(|path| path.contains("[*]")).map(str::to_owned).collect()
}

/// True where an empty list is a handshake, false where it cannot hold the proof.
fn empty_list_proves(sender: &Sender) -> Option<bool> {
    let handshakes = &sender.provider.manifest().webhook.handshakes;
    if matches!(sender.shared().map(|shared| &shared.at), Some(SharedLocation::JsonEach { .. })) {
        return Some(false);
    }
    handshakes.iter().any(|h| matches!(h, Handshake::EmptyList { .. })).then_some(true)
}

#[test]
fn an_empty_batch_is_nothing() {
    let mut table = Table::default();
    for sender in ALL.iter().filter(|sender| !sender.wraps()) {
        let mut bodies: Vec<String> =
            list_paths(sender).iter().filter_map(|path| empty_at(path)).map(|v| v.to_string()).collect();
        bodies.extend((manifest(sender)["events"]["list"] == json!(true)).then(|| "[]".to_owned()));
        for body in bodies {
            let Ok(request) = sender.request(&sender.best().with(body.clone())) else { continue };
            table.check(&sender.title, &body, || {
                let (status, queued) = match empty_list_proves(sender) {
                    Some(false) => (401, 0),
                    Some(true) => (200, 0),
                    None => (status(sender), 1),
                };
                let quiet = Ran { status, queued, account: vec![], dead: vec![], effects: 0, stuck: 0 };
                (quiet.to_string(), run(sender, &request).to_string())
            });
        }
    }
    table.judge(4);
}

/// The list of events in a body.
fn events_in<'v>(sender: &Sender, body: &'v mut Value) -> Option<&'v mut Vec<Value>> {
    if manifest(sender)["events"]["list"] == json!(true) && body.is_array() {
        return body.as_array_mut();
    }
    let path = list_paths(sender).into_iter().find(|path| list_at(&mut body.clone(), path).is_some())?;
    list_at(body, &path)
}

/// A batch of at least two events, and the same with an unreadable one after the first.
fn batches(sender: &Sender) -> Option<(Fixture, Fixture)> {
    let xml = manifest(sender)["events"]["xml"]["lists"][0].as_str().map(|tag| format!("</{tag}>"));
    let parsed = |fixture: &Fixture| serde_json::from_slice::<Value>(&fixture.body).ok();
    let size = |fixture: &Fixture| match (&xml, parsed(fixture)) {
        (Some(end), None) => String::from_utf8_lossy(&fixture.body).matches(end).count(),
        (_, body) => body.and_then(|mut body| Some(events_in(sender, &mut body)?.len())).unwrap_or(0),
    };
    let idle = |event: &InboundEvent| matches!(event.body, EventBody::Retained { .. } | EventBody::Ignored { .. });
    let rank = |fixture: &&Fixture| (!sender.events(fixture).unwrap().iter().any(idle), size(fixture));
    let batches = sender.fixtures.iter().rev().filter(|fixture| size(fixture) > 0);
    let largest = batches.max_by_key(rank)?;
    let Some(mut good) = parsed(largest) else {
        let (end, text) = (xml?, String::from_utf8_lossy(&largest.body).into_owned());
        let bad = text.replacen(&end, &format!("{end}{}<unknown>{CANARY}</unknown>{end}", end.replace('/', "")), 1);
        return Some((largest.clone(), largest.with(bad)));
    };
    let others = sender.fixtures.iter().filter(|other| other.name != largest.name);
    for mut other in others.filter_map(parsed) {
        match (events_in(sender, &mut good)?, events_in(sender, &mut other)) {
            (events, _) if events.len() > 1 => break,
            (events, more) => events.extend(more.into_iter().flatten().map(|event| event.take())),
        }
    }
    let mut bad = good.clone();
    events_in(sender, &mut bad)?.insert(1, json!({ "unknown": CANARY }));
    Some((largest.with(good.to_string()), largest.with(bad.to_string())))
}

#[test]
fn one_bad_event_of_a_batch_is_parked_alone() {
    let mut table = Table::default();
    for sender in ALL.iter() {
        let Some((good, bad)) = batches(sender) else { continue };
        table.check(&sender.title, &good.name, || {
            let mut alone = run(sender, &sender.request(&good).unwrap());
            let position =
                sender.events(&bad).unwrap().iter().find(|e| matches!(e.body, EventBody::Malformed { .. })).unwrap().index;
            let mut ran = run(sender, &sender.request(&bad).unwrap());
            let parked = ran.dead.pop().map(|dead| (dead.code, dead.event, dead.detail.is_empty(), dead.detail.contains(CANARY)));
            let line = ran.account.remove(position as usize);
            alone.account.push(format!(
                "then {:?} as {:?}",
                "dead malformed-event",
                ("malformed-event", Some(position), false, false)
            ));
            ran.account.push(format!("then {line:?} as {:?}", parked.unwrap_or_default()));
            (alone.to_string(), ran.to_string())
        });
    }
    table.judge(5);
}

#[test]
fn the_largest_body_is_read_like_a_small_one() {
    let mut table = Table::default();
    for sender in ALL.iter() {
        let fixture = sender.best();
        let content = sender.content(fixture);
        let room = sender.config.hub().limits.body_bytes - fixture.body.len() - 4096;
        let large = match (kind(&content), std::str::from_utf8(&content)) {
            (Kind::Json, Ok(text)) => with_member(text, "padding", &json!("x".repeat(room)).to_string()).map(String::into_bytes),
            _ => padded(&content, room),
        };
        let Some(large) = large.and_then(|large| sender.with_content(fixture, large)) else { continue };
        table.check(&sender.title, "the largest", || {
            let ran = run(sender, &sender.request(&large).unwrap());
            // A retained event must fit into one item.
            let retains = sender.events(fixture).unwrap().iter().any(|event| matches!(event.body, EventBody::Retained { .. }));
            if retains && ran.dead.iter().all(|dead| dead.code == "cap-exceeded") && is_harmless(&ran, status(sender)) {
                return (String::new(), String::new());
            }
            (run(sender, &sender.request(fixture).unwrap()).to_string(), ran.to_string())
        });
    }
    table.judge(20);
}

#[test]
fn a_proof_that_does_not_cover_the_event_counts_for_one_event() {
    let mut table = Table::default();
    let root = |sender: &Sender| match &sender.signed()?.signature.at {
        Location::Json(pointer) if !sender.signs("{body}") => pointer.split('/').nth(1).map(str::to_owned),
        _ => None,
    };
    for (sender, root) in ALL.iter().filter_map(|sender| Some((sender, root(sender)?))) {
        table.check(&sender.title, "an event under the proof of another", || {
            let first = sender.request(sender.best()).unwrap();
            let other =
                sender.fixtures.iter().find(|f| sender.events(f).unwrap()[0].key != sender.events(sender.best()).unwrap()[0].key);
            let mut body: Value = serde_json::from_slice(&other.unwrap().body).unwrap();
            body[&root] = serde_json::from_slice::<Value>(&first.body).unwrap()[&root].clone();
            let hub = Hub::new(sender);
            let before = hub.run(&first);
            let after = hub.run(&Request { body: body.to_string().into_bytes(), ..first });
            let counts = |ran: &Ran, dead: usize| format!("{} effects, {dead} dead", ran.effects);
            let reused = after.dead.iter().filter(|dead| dead.code == "proof-reused").count();
            (counts(&before, 1), counts(&after, reused))
        });
    }
    // Few providers have such a proof, and any of them may be left out.
    table.judge(0);
}
