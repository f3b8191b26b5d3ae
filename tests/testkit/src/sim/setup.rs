//! The ports at the start of a run: secrets, queues, CRMs.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use sandbox::hubspot::Webhooks;
use sandbox::{Fault, FaultKind, HubSpot, Salesforce, Sandbox, hubspot, salesforce};
use serde_json::json;
use sync::config::Config;
use sync::ports::SecretSet;
use sync::receive::Request;
use sync::seal::{MASTER_SECRET, Vault};

use super::policy::{HUBSPOT_HOST, HUBSPOT_ID, SALESFORCE_HOST, SALESFORCE_ID, Source, builtin, config};
use super::ports::Shared;
use super::script::{Outage, START_MS, Script, Sending, Signature};
use crate::memory::{QueueSettings, Queues};

/// What a run starts with.
pub struct Setup {
    /// The shared ports.
    pub shared: Rc<Shared>,
    /// The configuration.
    pub config: Rc<Config>,
    /// The vault.
    pub vault: Rc<Vault>,
}

const FORM_SECRET: &str = "whsec_c2ltdWxhdG9yLWZvcm0tc2VjcmV0LTAxMjM0NTY3ODk=";
const STRIPE_SECRET: &str = "whsec_simulator_stripe";
const HUBSPOT_SECRET: &str = "11111111-2222-3333-4444-555555555555";
const TOKEN: &str = "simulator-token";

fn secret_of(connection: &str) -> &'static str {
    match connection {
        "form" => FORM_SECRET,
        "stripe" => STRIPE_SECRET,
        _ => HUBSPOT_SECRET,
    }
}

/// Builds the ports of a run.
pub fn build(seed: u64, script: &Script, trace: bool) -> Setup {
    let set = |value: &str| SecretSet { current: Some(value.to_owned()), ..SecretSet::default() };
    let master = "c2ltdWxhdG9yIG1hc3RlciBzZWNyZXQgb2YgMzIgYnl0ZXMgb3IgbW9yZQ==";
    let mut secrets = BTreeMap::from([(MASTER_SECRET.to_owned(), set(master))]);
    for connection in ["form", "stripe", "hubspot"] {
        secrets.insert(format!("{connection}/signing"), set(secret_of(connection)));
    }
    for connection in ["hubspot", "salesforce"] {
        secrets.insert(format!("{connection}/api"), set(&json!({ "access_token": TOKEN }).to_string()));
    }
    let shared = Rc::new(Shared {
        queues: RefCell::new(queues()),
        secrets: RefCell::new(secrets),
        crms: RefCell::new(crms(seed, script)),
        trace: trace.then(RefCell::default),
        ..Shared::new(seed, START_MS - 60_000)
    });
    let vault = Vault::with_master(master).unwrap_or_else(|e| panic!("the simulator's master secret: {e}"));
    let config = config(&sources());
    Setup { shared, config: Rc::new(config), vault: Rc::new(vault) }
}

/// The connections that only send.
pub fn sources() -> [Source; 2] {
    [Source::of("stripe", "stripe"), Source::of("form", "generic-form")]
}

fn queues() -> Queues {
    let mut queues = Queues::default();
    for (name, _) in super::QUEUES {
        let dead = format!("{name}-dlq");
        queues.create(&dead, QueueSettings { retention_ms: 14 * 86_400_000, ..QueueSettings::default() });
        queues.create(name, QueueSettings { visibility_ms: 180_000, redrive: Some((dead, 1_000)), ..QueueSettings::default() });
    }
    queues
}

fn crms(seed: u64, script: &Script) -> BTreeMap<String, Box<dyn Sandbox>> {
    let subscriptions = ["contact.creation", "contact.propertyChange:*", "contact.deletion", "contact.merge"];
    let mut hubspot = HubSpot::new(hubspot::Options {
        seed,
        tokens: vec![TOKEN.to_owned()],
        webhooks: Some(Webhooks {
            portal_id: 62_515,
            app_id: 54_321,
            subscriptions: subscriptions.map(str::to_owned).to_vec(),
            delay_ms: (200, 30_000),
        }),
        ..hubspot::Options::with_hub_id(HUBSPOT_ID)
    });
    let options = salesforce::Options { seed, tokens: vec![TOKEN.to_owned()], ..salesforce::Options::with_hub_id(SALESFORCE_ID) };
    let mut salesforce = Salesforce::new(options.truncating());
    for properties in &script.seeded {
        let seeded = hubspot.seed("contacts", properties, START_MS - 86_400_000);
        assert!(seeded.is_ok(), "the script seeds what HubSpot refuses: {seeded:?}");
    }
    for outage in &script.outages {
        let fault = match outage.firewall {
            true => Fault::always(page()).one_in(2),
            false => Fault::always(FaultKind::Status { status: 503, retry_after_s: None }),
        };
        let fault = fault.between(outage.from_ms, outage.until_ms);
        match outage.crm {
            HUBSPOT_HOST => hubspot.fault(fault),
            _ => salesforce.fault(fault),
        }
    }
    if script.refuse_merges {
        hubspot.fault(Fault::always(FaultKind::Status { status: 400, retry_after_s: None }).on("contacts/merge"));
    }
    for Outage { from_ms, until_ms, .. } in &script.blind {
        hubspot.fault(Fault::always(FaultKind::Blind).on("batch/read").between(*from_ms, *until_ms));
    }
    BTreeMap::from([
        (HUBSPOT_HOST.to_owned(), Box::new(hubspot) as Box<dyn Sandbox>),
        (SALESFORCE_HOST.to_owned(), Box::new(salesforce) as Box<dyn Sandbox>),
    ])
}

/// The page of a firewall.
fn page() -> FaultKind {
    let body = "<html><body>Request blocked</body></html>".to_owned();
    FaultKind::Answer { status: 403, body, media: Some("text/html".to_owned()) }
}

/// The request that carries a webhook.
pub fn request(sending: &Sending, now_ms: i64) -> Request {
    thread_local! {
        static SCHEMES: BTreeMap<&'static str, webhook::Scheme> = ["form", "stripe", "hubspot"]
            .into_iter()
            .map(|c| (c, builtin(if c == "form" { "generic-form" } else { c }).manifest().webhook.scheme.clone()))
            .collect();
    }
    let url = format!("https://hub.example.com/hooks/{}", sending.connection);
    let secret = match sending.signature {
        Signature::Good => secret_of(sending.connection),
        Signature::Forged if sending.connection == "form" => "whsec_Zm9yZ2VkLWZvcmdlZC1mb3JnZWQtZm9yZ2VkLWZvcmdlZA==",
        Signature::Forged => "whsec_forged",
    };
    let draft = webhook::Draft { method: "POST", url: &url, body: &sending.body, at_ms: now_ms, id: &sending.id };
    let signed = SCHEMES.with(|schemes| webhook::sign(&schemes[sending.connection], &draft, secret));
    let mut headers = webhook::Headers::new();
    let signed = signed.unwrap_or_else(|e| panic!("signing for {}: {e}", sending.connection));
    for (name, value) in signed.headers {
        headers.append(&name, value);
    }
    headers.append("content-type", "application/json");
    Request { method: "POST".into(), path: format!("/hooks/{}", sending.connection), url, headers, body: signed.body }
}

/// The id of the live record with that e-mail address.
pub fn find_by_email(crm: &dyn Sandbox, object: &str, email: &str) -> Option<String> {
    records(crm, object).into_iter().find(|r| text(&r.properties, "email") == email).map(|r| r.id)
}

/// A live record of a CRM.
#[derive(Debug, Clone)]
pub struct Remote {
    /// Its id.
    pub id: String,
    /// Its properties.
    pub properties: serde_json::Map<String, serde_json::Value>,
}

/// A property as text; empty where it is missing or null.
pub fn text(properties: &serde_json::Map<String, serde_json::Value>, name: &str) -> String {
    match properties.get(name) {
        Some(serde_json::Value::String(text)) => text.clone(),
        None | Some(serde_json::Value::Null) => String::new(),
        Some(other) => other.to_string(),
    }
}

/// The live records of an object.
pub fn records(crm: &dyn Sandbox, object: &str) -> Vec<Remote> {
    let dump = crm.dump();
    let list = dump["objects"][object].as_array().cloned().unwrap_or_default();
    list.iter()
        .filter(|r| r["archived"].is_null())
        .filter_map(|r| Some(Remote { id: r["id"].as_str()?.to_owned(), properties: r["properties"].as_object()?.clone() }))
        .collect()
}
