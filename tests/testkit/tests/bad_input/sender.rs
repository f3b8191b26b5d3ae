//! A provider as the hub meets it: its fixtures, signed with its own proof; made of the folder alone.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use canonical::Lane;
use providers::{EventBody, Inbound, InboundEvent, Overrides, Provider};
use serde_json::{Value, json};
use sync::config::Config;
use sync::receive::Request;
use testkit::twin::Twin;
use webhook::{
    Draft, Headers, Location, Scheme, Shared, SharedLocation, SignError, Signed, SignedRequest, Version, key_pair, sign,
};

use crate::hub::{Hub, NOW_MS};

const HOST: &str = "https://hub.example.com";

/// A body that the provider could have sent.
#[derive(Clone, Debug)]
pub struct Fixture {
    pub name: String,
    pub headers: Vec<(String, String)>,
    pub query: Option<String>,
    pub body: Vec<u8>,
}

impl Fixture {
    /// The same with another body.
    pub fn with(&self, body: impl Into<Vec<u8>>) -> Fixture {
        Fixture { body: body.into(), ..self.clone() }
    }
}

/// One version of one provider's proof.
pub struct Sender {
    /// The provider, and the version where it has several.
    pub title: String,
    pub name: String,
    pub scheme: Scheme,
    pub provider: Provider,
    pub config: Config,
    /// What the sender holds, and what the hub is told.
    pub keys: (String, String),
    /// The fixtures that are signed and taken as events, those that say most first.
    pub fixtures: Vec<Fixture>,
}

/// Everybody who may send: each accepted version of each folder's proof.
pub static ALL: LazyLock<Vec<Sender>> =
    LazyLock::new(|| Provider::builtin_names().iter().flat_map(|name| senders(name)).collect());

fn senders(name: &str) -> Vec<Sender> {
    let provider = Provider::builtin(name, &Overrides::default()).unwrap();
    let fixtures = fixtures(name);
    let packed = with_topics(&provider, &fixtures);
    let versions: Vec<Option<String>> = match &provider.manifest().webhook.scheme {
        Scheme::Versions(versions) => versions.accept.iter().cloned().map(Some).collect(),
        _ => vec![None],
    };
    versions.into_iter().map(|version| Sender::new(name, version, &packed, fixtures.clone())).collect()
}

fn fixtures(name: &str) -> Vec<Fixture> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/providers").join(name).join("fixtures");
    let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| !file.to_string_lossy().ends_with(".golden.json"));
    files.sort();
    files.iter().filter_map(|file| fixture(file)).collect()
}

/// A webhook's fixture; `None` for a record of the API.
fn fixture(file: &Path) -> Option<Fixture> {
    let value: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    if value.get("object").is_some() {
        return None;
    }
    let headers: BTreeMap<String, String> = serde_json::from_value(value["headers"].clone()).unwrap_or_default();
    let body = match (&value["text"], &value["body"]) {
        (Value::String(text), _) => text.clone(),
        (_, body) => body.to_string(),
    };
    let query = value["target"].as_str().and_then(|target| target.split_once('?')).map(|(_, query)| query.to_owned());
    let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Some(Fixture { name, headers: headers.into_iter().collect(), query, body: body.into_bytes() })
}

/// The packed provider; where its proof is bound to topics, those of its fixtures are configured.
fn with_topics(provider: &Provider, fixtures: &[Fixture]) -> String {
    let mut packed: Value = serde_json::from_str(&provider.to_packed()).unwrap();
    if let Scheme::Sns(_) = provider.manifest().webhook.scheme {
        let topic = |f: &Fixture| Some(serde_json::from_slice::<Value>(&f.body).ok()?.get("TopicArn")?.as_str()?.to_owned());
        let mut topics: Vec<String> = fixtures.iter().filter_map(topic).collect();
        topics.dedup();
        packed["manifest"]["webhook"]["scheme"]["topics"] = json!(topics);
    }
    packed.to_string()
}

fn test_file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/webhook/tests/it").join(name);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The keys of a sender: the `n`th pair.
pub fn keys(scheme: &Scheme, n: u8) -> (String, String) {
    match scheme {
        Scheme::Sns(_) => (test_file("sns_key.txt").trim().to_owned(), test_file("sns_certificate.pem")),
        scheme => key_pair(scheme, &format!("{n:02x}c0ffee{:040}", 7)).unwrap(),
    }
}

impl Sender {
    fn new(name: &str, version: Option<String>, packed: &str, fixtures: Vec<Fixture>) -> Sender {
        let provider = Provider::from_packed(packed).unwrap();
        let accept = version.iter().cloned().collect();
        let scheme = provider.manifest().webhook.scheme.clone().with_versions(accept);
        let lane = match provider.manifest().provider.lane {
            Lane::Urgent => "urgent",
            Lane::Bulk => "bulk",
        };
        let mut connection = json!({"provider": name, "source": true, "lane": lane, "test_records": true});
        if !matches!(scheme, Scheme::Sns(_)) {
            connection["signing_secret"] = json!(format!("{name}/signing"));
        }
        let hub = serde_json::from_value(json!({"generation": 1, "connections": {name: connection}})).unwrap();
        let pack = Config::pack(&hub, &BTreeMap::from([(name.to_owned(), packed.to_owned())])).unwrap();
        let title = version.map_or_else(|| name.to_owned(), |version| format!("{name} ({version})"));
        let keys = keys(&scheme, 0);
        let config = Config::open(pack).unwrap();
        let mut sender = Sender { title, name: name.to_owned(), scheme, provider, config, keys, fixtures: Vec::new() };
        let mut taken: Vec<(u8, Fixture)> = fixtures.into_iter().filter_map(|f| Some((sender.weight(&f)?, f))).collect();
        taken.sort_by_key(|(weight, _)| *weight);
        sender.fixtures = taken.into_iter().map(|(_, fixture)| fixture).collect();
        assert!(!sender.fixtures.is_empty(), "{}: no fixture is signed and taken as an event", sender.title);
        sender
    }

    /// What a fixture is good for: 0 is best, `None` if it is no event that the door takes.
    fn weight(&self, fixture: &Fixture) -> Option<u8> {
        let request = self.request(fixture).ok()?;
        let hub = Hub::new(self);
        self.publish(&hub.twin, fixture);
        hub.ask(&request);
        let events = (hub.waiting() == 1).then(|| self.events(fixture).ok()).flatten()?;
        events
            .iter()
            .map(|event| match event.body {
                EventBody::Changes(_) => 0,
                EventBody::Fetch(_) => 1,
                EventBody::Sweep { .. } => 2,
                EventBody::Retained { .. } | EventBody::Ignored { .. } => 3,
                EventBody::Malformed { .. } => 9,
            })
            .max()
            .filter(|weight| *weight < 9)
    }

    /// The fixture that most cases begin with.
    pub fn best(&self) -> &Fixture {
        &self.fixtures[0]
    }

    /// The events of a fixture.
    pub fn events(&self, fixture: &Fixture) -> Result<Vec<InboundEvent>, providers::Malformed> {
        let headers = fixture.headers.iter().cloned().collect();
        let target = format!("POST {}", self.url(fixture));
        self.provider.events(&Inbound { connection: &self.name, headers: &headers, target: &target, body: &fixture.body })
    }

    /// Tells a hub's ports about the sender.
    pub fn introduce(&self, twin: &Twin) {
        let Scheme::Sns(_) = self.scheme else { return twin.set_secret(&self.secret(), &self.keys.1) };
        for fixture in &self.fixtures {
            self.publish(twin, fixture);
        }
    }

    /// The certificate that a message names is at Amazon's.
    pub fn publish(&self, twin: &Twin, fixture: &Fixture) {
        let url = serde_json::from_slice::<Value>(&fixture.body)
            .ok()
            .and_then(|body| Some(body["SigningCertURL"].as_str()?.to_owned()));
        twin.pages.borrow_mut().extend(url.map(|url| (url, self.keys.1.clone().into_bytes())));
    }

    /// The name of the secret.
    pub fn secret(&self) -> String {
        format!("{}/signing", self.name)
    }

    pub fn url(&self, fixture: &Fixture) -> String {
        let query = fixture.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
        format!("{HOST}/hooks/{}{query}", self.name)
    }

    /// The fixture's proof by this key at this time.
    pub fn prove(&self, fixture: &Fixture, key: &str, at_ms: i64) -> Result<SignedRequest, SignError> {
        let url = self.url(fixture);
        sign(&self.scheme, &Draft { method: "POST", url: &url, body: &fixture.body, at_ms, id: "msg_1" }, key)
    }

    /// The fixture, signed now.
    pub fn request(&self, fixture: &Fixture) -> Result<Request, SignError> {
        self.prove(fixture, &self.keys.0, NOW_MS).map(|proven| self.carrying(fixture, proven))
    }

    /// A request that carries a proof.
    pub fn carrying(&self, fixture: &Fixture, proven: SignedRequest) -> Request {
        let mut headers = Headers::new();
        let own = fixture.headers.iter().filter(|(name, _)| !proven.headers.iter().any(|(proof, _)| proof == name));
        for (name, value) in own.chain(&proven.headers) {
            headers.append(name, value.clone());
        }
        let path = format!("/hooks/{}", self.name);
        Request { method: "POST".into(), path, url: self.url(fixture), headers, body: proven.body }
    }

    /// Whether the proof is in the body.
    pub fn proof_in_body(&self) -> bool {
        self.prove(self.best(), &self.keys.0, NOW_MS).is_ok_and(|proven| proven.headers.is_empty())
    }

    fn version(&self) -> Option<&Version> {
        let Scheme::Versions(versions) = &self.scheme else { return None };
        versions.versions.iter().find(|version| versions.accept.contains(&version.name))
    }

    /// The template, if it signs.
    pub fn signed(&self) -> Option<&Signed> {
        match &self.scheme {
            Scheme::Signed(signed) => Some(signed),
            _ => self.version()?.signed.as_ref(),
        }
    }

    /// The shared value, if it sends one.
    pub fn shared(&self) -> Option<&Shared> {
        match &self.scheme {
            Scheme::Shared(shared) => Some(shared),
            _ => self.version()?.shared.as_ref(),
        }
    }

    /// What its events are in: the body, or what a message of a topic carries.
    pub fn content(&self, fixture: &Fixture) -> Vec<u8> {
        if !self.carries() {
            return fixture.body.clone();
        }
        let body: Value = serde_json::from_slice(&fixture.body).unwrap();
        body["Message"].as_str().unwrap().as_bytes().to_vec()
    }

    /// The fixture with other content; `None` where nothing can carry it.
    pub fn with_content(&self, fixture: &Fixture, content: Vec<u8>) -> Option<Fixture> {
        if !self.carries() {
            return Some(fixture.with(content));
        }
        let mut body: Value = serde_json::from_slice(&fixture.body).unwrap();
        body["Message"] = json!(String::from_utf8(content).ok()?);
        Some(fixture.with(body.to_string()))
    }

    /// Whether its body is a message of a topic, which carries the provider's own.
    pub fn carries(&self) -> bool {
        matches!(self.scheme, Scheme::Sns(_))
    }

    /// Whether the template has this part.
    pub fn signs(&self, part: &str) -> bool {
        self.signed().is_some_and(|signed| serde_json::to_value(&signed.content).unwrap().as_str().unwrap().contains(part))
    }

    /// Where a proof inside the body is: the last name of its place, and its value in this request.
    pub fn place_in_body(&self, request: &Request) -> Option<(String, String)> {
        let last = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
        let json = || serde_json::from_slice::<Value>(&request.body).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        if let Scheme::Sns(_) = self.scheme {
            return Some(("Signature".to_owned(), text(&json()["Signature"])));
        }
        match (self.signed().map(|signed| &signed.signature.at), self.shared().map(|shared| &shared.at)) {
            (Some(Location::Json(pointer)), _) => Some((last(pointer), text(json().pointer(pointer).unwrap()))),
            (Some(Location::Form(name)), _) => {
                let fields = webhook::form::fields(&request.body).unwrap();
                let field = fields.iter().find(|field| *field.name == *name.as_bytes()).unwrap();
                Some((name.clone(), String::from_utf8_lossy(&field.value).into_owned()))
            }
            (_, Some(SharedLocation::Json(path) | SharedLocation::JsonEach { field: path, .. } | SharedLocation::Xml(path))) => {
                Some((last(path), self.keys.0.clone()))
            }
            _ => None,
        }
    }
}
