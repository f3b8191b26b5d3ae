//! The ports at the start of a run: configuration, secrets, queues, CRMs.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use providers::Provider;
use sandbox::hubspot::Webhooks;
use sandbox::{Fault, FaultKind, HubSpot, Salesforce, Sandbox, hubspot, salesforce};
use serde_json::json;
use sync::config::{Config, Hub};
use sync::ports::SecretSet;
use sync::receive::Request;
use sync::seal::{MASTER_SECRET, Vault};

use super::oracle::{RULES, Rule};
use super::ports::{Faults, Shared};
use super::rng::Rng;
use super::script::{START_MS, Script, Sending, Signature};
use crate::memory::{QueueSettings, Queues, Tables};

/// What a run starts with.
pub struct Setup {
    /// The shared ports.
    pub shared: Rc<Shared>,
    /// The configuration.
    pub config: Rc<Config>,
    /// The vault.
    pub vault: Rc<Vault>,
}

/// The property that holds the hub's id at HubSpot.
pub const HUBSPOT_ID: &str = "crm_hub_id";
/// The field that holds the hub's id at Salesforce.
pub const SALESFORCE_ID: &str = "CrmHubId__c";

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
pub fn build(seed: u64, script: &Script, tell: bool) -> Setup {
    let set = |value: &str| SecretSet { current: Some(value.to_owned()), pending: None, previous: None };
    let master = "c2ltdWxhdG9yIG1hc3RlciBzZWNyZXQgb2YgMzIgYnl0ZXMgb3IgbW9yZQ==";
    let mut secrets = BTreeMap::from([(MASTER_SECRET.to_owned(), set(master))]);
    for connection in ["form", "stripe", "hubspot"] {
        secrets.insert(format!("{connection}/signing"), set(secret_of(connection)));
    }
    for connection in ["hubspot", "salesforce"] {
        secrets.insert(format!("{connection}/api"), set(&json!({ "access_token": TOKEN }).to_string()));
    }
    let shared = Rc::new(Shared {
        now: Cell::new(START_MS - 60_000),
        rng: RefCell::new(Rng::new(seed)),
        tables: RefCell::new(Tables::default()),
        queues: RefCell::new(queues()),
        blobs: RefCell::new(BTreeMap::new()),
        secrets: RefCell::new(secrets),
        crms: RefCell::new(crms(seed, script)),
        late: RefCell::new(Vec::new()),
        faults: Cell::new(Faults::NONE),
        steps: Cell::new(0),
        story: tell.then(RefCell::default),
    });
    let vault = Vault::with_master(master).unwrap_or_else(|e| panic!("the simulator's master secret: {e}"));
    Setup { shared, config: Rc::new(config()), vault: Rc::new(vault) }
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
        let fault =
            Fault::always(FaultKind::Status { status: 503, retry_after_s: None }).between(outage.from_ms, outage.until_ms);
        match outage.crm {
            "hubspot.test" => hubspot.fault(fault),
            _ => salesforce.fault(fault),
        }
    }
    BTreeMap::from([
        ("hubspot.test".to_owned(), Box::new(hubspot) as Box<dyn Sandbox>),
        ("salesforce.test".to_owned(), Box::new(salesforce) as Box<dyn Sandbox>),
    ])
}

fn config() -> Config {
    let connection = |provider: &str, source: bool, destination: bool, host: &str| {
        json!({
            "provider": provider, "source": source, "destination": destination, "lane": "urgent",
            "base_url": format!("https://{host}"), "signing_secret": format!("{provider_name}/signing", provider_name = name_of(provider)),
            "api_secret": (!host.is_empty()).then(|| format!("{}/api", name_of(provider))), "buckets": [{"name": "all", "burst": 1000, "per_second": 1000.0}],
        })
    };
    let fields: BTreeMap<&str, serde_json::Value> = RULES
        .iter()
        .map(|(field, rule)| {
            let rule = match rule {
                Rule::Latest => json!("latest"),
                Rule::Owner(owner) => json!({ "owner": owner }),
                Rule::Prefer(order) => json!({ "prefer": order }),
            };
            (*field, json!({ "rule": rule, "why": "simulated" }))
        })
        .chain([("email_consent", json!({ "rule": "most_restrictive" }))])
        .collect();
    let hub = json!({
        "generation": 1,
        "connections": {
            "hubspot": connection("hubspot", true, true, "hubspot.test"),
            "salesforce": connection("salesforce", false, true, "salesforce.test"),
            "stripe": connection("stripe", true, false, ""),
            "form": connection("generic-form", true, false, ""),
        },
        "objects": { "contact": {
            "destinations": { "hubspot": "contacts", "salesforce": "Contact" },
            "keys": ["email", "phone"],
            "fields": fields,
        } },
        "effects": [{
            "from": "consent", "when": { "channel": ["email"] }, "to": "contact", "about": ["contact"],
            "set": { "email_consent": { "field": "status" }, "explicit": { "field": "explicit" } },
        }],
        "retry": { "schedule_s": [60, 300, 1800], "jitter_percent": 20, "speed": 1 },
    });
    let hub: Hub = serde_json::from_value(hub).unwrap_or_else(|e| panic!("the simulator's configuration: {e}"));
    let packed = hub
        .connections
        .iter()
        .map(|(name, c)| (name.to_string(), provider(&c.provider).to_packed()))
        .collect::<BTreeMap<String, String>>();
    let pack = Config::pack(&hub, &packed).unwrap_or_else(|e| panic!("the simulator's pack: {e}"));
    Config::open(pack).unwrap_or_else(|e| panic!("the simulator's pack: {e}"))
}

fn name_of(provider: &str) -> &str {
    if provider == "generic-form" { "form" } else { provider }
}

fn provider(name: &str) -> Provider {
    Provider::builtin(name, &providers::Overrides::default()).unwrap_or_else(|e| panic!("provider {name}: {e}"))
}

/// The request that carries a webhook.
pub fn request(sending: &Sending, now_ms: i64) -> Request {
    thread_local! {
        static SCHEMES: BTreeMap<&'static str, webhook::Scheme> = ["form", "stripe", "hubspot"]
            .into_iter()
            .map(|c| (c, provider(if c == "form" { "generic-form" } else { c }).manifest().webhook.scheme.clone()))
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
