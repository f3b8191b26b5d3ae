//! Every decoder with mangled requests: changed bytes, exchanged values of a JSON body (and of JSON inside texts), changed headers and a
//! changed query. Nothing panics, and no reason shows a value. `HUB_FUZZ_CASES=1000000 cargo test --release -p providers --features
//! compile mangled` runs for longer.

use std::collections::BTreeMap;
use std::fs;
use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::Index;
use providers::{EventBody, Inbound, Overrides, Provider};
use serde_json::{Value, json};
use webhook::{Headers, RawRequest, Scheme, answer_signed, answer_unsigned, certificate_url, key_pair, verify};

use crate::golden::{fixtures, folder, read};

/// A value that a person could have written. No reason may show it.
const CANARY: &str = "Kanarien vögel@example";

/// How many requests of each provider are mangled.
fn cases() -> u32 {
    std::env::var("HUB_FUZZ_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(250)
}

/// A webhook, or a record of the API.
#[derive(Debug, Clone)]
struct Case {
    object: Option<String>,
    headers: BTreeMap<String, String>,
    target: String,
    body: Vec<u8>,
}

struct Target {
    name: &'static str,
    provider: Provider,
    /// The secret with which the hub verifies it.
    secret: String,
    cases: Vec<Case>,
}

static ALL: LazyLock<Vec<Target>> = LazyLock::new(|| Provider::builtin_names().iter().map(|name| target(name)).collect());

fn target(name: &'static str) -> Target {
    let provider = Provider::builtin(name, &Overrides::default()).unwrap();
    let of_sns = |file: &str| fs::read_to_string(folder("../webhook/tests/it").join(file)).unwrap();
    let (sender, secret) = match &provider.manifest().webhook.scheme {
        Scheme::Sns(_) => (of_sns("sns_key.txt").trim().to_owned(), of_sns("sns_certificate.pem")),
        scheme => key_pair(scheme, "c0ffee00c0ffee00c0ffee00c0ffee00").unwrap(),
    };
    let cases = fixtures(name).iter().map(|file| case(&read(file), &provider, &sender)).collect();
    Target { name, provider, secret, cases }
}

/// The fixture, signed where that is possible, so that the code that verifies signatures runs as well.
fn case(fixture: &Value, provider: &Provider, key: &str) -> Case {
    let mut headers: BTreeMap<String, String> = serde_json::from_value(fixture["headers"].clone()).unwrap_or_default();
    let object = fixture["object"].as_str().map(str::to_owned);
    let target = fixture["target"].as_str().unwrap_or("POST /hooks/here").to_owned();
    let mut body = match (&object, fixture["text"].as_str()) {
        (Some(_), _) => fixture["record"].to_string(),
        (None, Some(text)) => text.to_owned(),
        (None, None) => fixture["body"].to_string(),
    }
    .into_bytes();
    let url = url_of(&target);
    let draft = webhook::Draft { method: "POST", url: &url, body: &body, at_ms: NOW_MS, id: "msg_1" };
    if let Ok(proven) = webhook::sign(&provider.manifest().webhook.scheme, &draft, key) {
        headers.extend(proven.headers);
        body = proven.body;
    }
    Case { object, headers, target, body }
}

const NOW_MS: i64 = 1_795_000_000_000;

fn url_of(target: &str) -> String {
    format!("https://hub.example.com{}", target.split_once(' ').map_or(target, |(_, path)| path))
}

/// One change of a request.
#[derive(Debug, Clone)]
enum Edit {
    Put(Index, u8),
    Insert(Index, u8),
    Remove(Index),
    Cut(Index),
    /// Copies some bytes to another position.
    Copy(Index, Index, u8),
    /// Exchanges a value of a JSON body.
    Value(Index, Value),
    Header(Index, Option<String>),
    Query(String),
}

fn edit() -> impl Strategy<Value = Edit> {
    let at = any::<Index>;
    prop_oneof![
        1 => (at(), any::<u8>()).prop_map(|(at, byte)| Edit::Put(at, byte)),
        1 => (at(), any::<u8>()).prop_map(|(at, byte)| Edit::Insert(at, byte)),
        1 => at().prop_map(Edit::Remove),
        1 => at().prop_map(Edit::Cut),
        1 => (at(), at(), any::<u8>()).prop_map(|(from, to, length)| Edit::Copy(from, to, length)),
        6 => (at(), prop::sample::select(odd_values())).prop_map(|(at, value)| Edit::Value(at, value)),
        2 => (at(), prop::option::of(prop::sample::select(odd_texts()))).prop_map(|(at, text)| Edit::Header(at, text)),
        1 => prop::sample::select(odd_texts()).prop_map(Edit::Query),
    ]
}

/// Texts that are special to some parser.
const ODD: [&str; 5] = [
    "| |-|0|-0|00|-1|0x1F|0x|1-0x3|99-0xFF|1e999|1e-7|18446744073709551616|9223372036854775808|+99999999999999999999|%|%zz|%C3",
    "2026-02-30|2026-03-02T09:00:60Z|0000-00-00|+262142-01-01T00:00:00Z|-9999-01-01|Mon, 02 Mar 2026 09:00:00 +9999|Date(-1)",
    "\u{0}|\u{feff}|\u{202e}|e\u{301}|a@|@|a@b@c|\"@\"@x|+|+0|tel:|JPY|BHD|xyz|a[b[c]|{|{}|[|[[\"a\"]]|<a>|&amp;|--|Message-ID: <",
    ":\r\n\r\n|https://|https://[::1|//|?&=|AAAA|=|null|/Date(99999999999999999999)/",
    CANARY,
];

fn odd_texts() -> Vec<String> {
    let texts = ODD.iter().flat_map(|line| line.split('|')).map(str::to_owned);
    texts.chain(["9".repeat(400), "é".repeat(5000)]).collect()
}

fn odd_values() -> Vec<Value> {
    let others = json!([null, true, 0, -1, u64::MAX, i64::MIN, 1e300, 0.1, {}, [], [[]], [null], {"": ""}, [CANARY, 7, {}], {"id": CANARY}]);
    let others = others.as_array().cloned().unwrap_or_default();
    others.into_iter().chain(odd_texts().into_iter().map(Value::String)).collect()
}

/// How many values a JSON value has, itself and those of JSON inside texts included.
fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(list) => list.iter().map(count).sum(),
        Value::Object(members) => members.values().map(count).sum(),
        Value::String(text) => json_in(text).map_or(0, |inner| count(&inner)),
        _ => 0,
    }
}

fn json_in(text: &str) -> Option<Value> {
    text.starts_with(['{', '[']).then(|| serde_json::from_str(text).ok()).flatten()
}

/// Exchanges the `nth` of those values.
fn exchange(value: &mut Value, nth: &mut usize, other: &Value) {
    if *nth == 0 {
        *value = other.clone();
    }
    *nth = nth.wrapping_sub(1);
    match value {
        _ if *nth == usize::MAX => {}
        Value::Array(list) => list.iter_mut().for_each(|v| exchange_within(v, nth, other)),
        Value::Object(members) => members.values_mut().for_each(|v| exchange_within(v, nth, other)),
        Value::String(text) => {
            if let Some(mut inner) = json_in(text) {
                exchange_within(&mut inner, nth, other);
                *text = inner.to_string();
            }
        }
        _ => {}
    }
}

fn exchange_within(value: &mut Value, nth: &mut usize, other: &Value) {
    if *nth != usize::MAX {
        exchange(value, nth, other);
    }
}

impl Case {
    fn mangle(&mut self, edit: &Edit) {
        let body = &mut self.body;
        let length = body.len();
        match edit {
            Edit::Query(text) => self.target = format!("{}?{text}", self.target),
            Edit::Header(at, text) if !self.headers.is_empty() => {
                let name = at.get(&self.headers.keys().cloned().collect::<Vec<_>>()).clone();
                match text {
                    Some(text) => self.headers.insert(name, text.clone()),
                    None => self.headers.remove(&name),
                };
            }
            Edit::Value(at, other) => {
                let Ok(mut value) = serde_json::from_slice::<Value>(body) else { return };
                let mut nth = at.index(count(&value));
                exchange(&mut value, &mut nth, other);
                *body = value.to_string().into_bytes();
            }
            Edit::Insert(at, byte) => body.insert(at.index(length + 1), *byte),
            Edit::Put(at, byte) if length > 0 => body[at.index(length)] = *byte,
            Edit::Remove(at) if length > 0 => drop(body.remove(at.index(length))),
            Edit::Cut(at) if length > 0 => body.truncate(at.index(length)),
            Edit::Copy(from, to, some) if length > 0 => {
                let (from, to) = (from.index(length), to.index(length));
                let piece = body[from..(from + usize::from(*some)).min(length)].to_vec();
                body.splice(to..to, piece);
            }
            Edit::Header(..) | Edit::Put(..) | Edit::Remove(_) | Edit::Cut(_) | Edit::Copy(..) => {}
        }
    }

    /// Runs everything that reads such a request, and returns the reasons that it gave.
    fn read(&self, target: &Target) -> Vec<String> {
        let provider = &target.provider;
        if let Some(object) = &self.object {
            let _ = provider.unmapped(&self.body);
            return provider.record("here", object, &self.body).err().map(|e| e.to_string()).into_iter().collect();
        }
        self.verify(target);
        let _ = (provider.sequence(&self.body), provider.unmapped(&self.body));
        let inbound = Inbound { connection: "here", headers: &self.headers, target: &self.target, body: &self.body };
        let reason = |body: EventBody| match body {
            EventBody::Malformed { reason }
            | EventBody::Ignored { reason }
            | EventBody::Retained { reason, .. }
            | EventBody::Sweep { reason, .. } => Some(reason),
            EventBody::Changes(_) | EventBody::Fetch(_) => None,
        };
        match provider.events(&inbound) {
            Ok(events) => events.into_iter().filter_map(|event| reason(event.body)).collect(),
            Err(whole) => vec![whole.to_string()],
        }
    }

    fn verify(&self, target: &Target) {
        let webhook = &target.provider.manifest().webhook;
        let headers: Headers = self.headers.iter().collect();
        let url = url_of(&self.target);
        let raw = RawRequest { method: "POST", url: &url, headers: &headers, body: &self.body };
        let _ = answer_unsigned(webhook, &raw);
        if let Scheme::Sns(sns) = &webhook.scheme {
            let _ = certificate_url(sns, &self.body);
        }
        if let Ok(verified) = verify(&webhook.scheme, raw, &[&target.secret], NOW_MS) {
            let _ = answer_signed(webhook, &verified);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn mangled_requests_never_panic(which in any::<Index>(), edits in prop::collection::vec(edit(), 1..8)) {
        for target in ALL.iter() {
            let mut case = which.get(target.cases.as_slice()).clone();
            edits.iter().for_each(|edit| case.mangle(edit));
            for reason in case.read(target) {
                prop_assert!(!reason.contains(CANARY), "{}: a reason shows a value: {reason}", target.name);
            }
        }
    }
}

#[test]
fn the_fixtures_hold_every_kind_of_body() {
    let bodies = || ALL.iter().flat_map(|target| &target.cases).filter(|case| case.object.is_none()).map(|case| &case.body);
    let begins = |start: &[u8]| bodies().any(|body| body.trim_ascii_start().starts_with(start));
    let form = bodies().any(|body| body.contains(&b'=') && body[0].is_ascii_alphabetic());
    let kinds = [begins(b"{"), begins(b"["), begins(b"<"), begins(b"--"), bodies().any(Vec::is_empty), form];
    // A build may leave out one provider, and that may be the only one of its kind.
    assert!(kinds.iter().filter(|found| **found).count() >= 5, "{kinds:?}");
}
