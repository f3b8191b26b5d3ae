//! The simulator's configuration: connections, and the same rules that the oracle resolves fields by.

use std::collections::BTreeMap;

use canonical::{FieldKind, ObjectType, fields_of};
use providers::{Overrides, Provider};
use serde_json::{Value, json};
use sync::config::{Config, Hub};

/// How a field is resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// The newest value.
    Latest,
    /// The oldest value.
    First,
    /// The value of this connection, else the newest.
    Owner(&'static str),
    /// The value of the first of these connections that has one, else the newest.
    Prefer(&'static [&'static str]),
    /// All values.
    Union,
    /// The strictest consent that the person has not loosened since.
    MostRestrictive,
}

/// The rule of a field.
pub fn rule(object: ObjectType, field: &str, kind: FieldKind) -> Rule {
    match (object, field) {
        (ObjectType::Contact, "job_title") => Rule::Owner("hubspot"),
        (ObjectType::Contact, "company_name") => Rule::Owner("form"),
        (ObjectType::Contact, "full_name") => Rule::Prefer(&["stripe", "form"]),
        (ObjectType::Contact, "email_consent") | (ObjectType::Consent, "status") => Rule::MostRestrictive,
        (ObjectType::Contact, _) if !matches!(kind, FieldKind::Set(_)) => Rule::Latest,
        (_, "created_at") => Rule::First,
        (_, "description" | "reason" | "subject") => Rule::Owner("erp"),
        (_, "name" | "total" | "status" | "title") => Rule::Prefer(&["shop", "erp"]),
        _ if matches!(kind, FieldKind::Set(_)) => Rule::Union,
        _ => Rule::Latest,
    }
}

/// The strong and the weak identity keys of an object.
pub fn keys(object: ObjectType) -> (&'static [&'static str], &'static [&'static str]) {
    match object {
        ObjectType::Contact => (&["email"], &["phone"]),
        ObjectType::Company => (&["domain"], &[]),
        ObjectType::Product => (&["sku"], &[]),
        ObjectType::Consent => (&["email+channel+purpose"], &["phone+channel+purpose"]),
        _ => (&[], &[]),
    }
}

/// Where an object is written: connection, the stand-in's host, and its own name of the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Destination {
    /// The connection.
    pub connection: &'static str,
    /// The stand-in's host.
    pub host: &'static str,
    /// The native object.
    pub native: &'static str,
    /// The property that holds the hub's id.
    pub id_property: &'static str,
}

/// The property that holds the hub's id at HubSpot.
pub const HUBSPOT_ID: &str = "crm_hub_id";
/// The field that holds the hub's id at Salesforce.
pub const SALESFORCE_ID: &str = "CrmHubId__c";
/// The host of the stand-in for HubSpot.
pub const HUBSPOT_HOST: &str = "hubspot.test";
/// The host of the stand-in for Salesforce.
pub const SALESFORCE_HOST: &str = "salesforce.test";

/// The destinations of an object.
pub fn destinations(object: ObjectType) -> Vec<Destination> {
    let (hubspot, salesforce) = match object {
        ObjectType::Contact => ("contacts", "Contact"),
        ObjectType::Company => ("companies", "Account"),
        ObjectType::Deal => ("deals", "Opportunity"),
        ObjectType::Ticket => ("tickets", "Case"),
        _ => return Vec::new(),
    };
    vec![
        Destination { connection: "hubspot", host: HUBSPOT_HOST, native: hubspot, id_property: HUBSPOT_ID },
        Destination { connection: "salesforce", host: SALESFORCE_HOST, native: salesforce, id_property: SALESFORCE_ID },
    ]
}

/// A connection that only sends.
pub struct Source {
    /// Its name.
    pub name: String,
    /// Its provider.
    pub provider: Provider,
}

impl Source {
    /// A connection of a provider's folder.
    pub fn of(name: &str, folder: &str) -> Source {
        Source { name: name.to_owned(), provider: builtin(folder) }
    }
}

/// The provider of a folder.
pub fn builtin(name: &str) -> Provider {
    Provider::builtin(name, &Overrides::default()).unwrap_or_else(|e| panic!("provider {name}: {e}"))
}

/// A configuration with these sources, and with HubSpot and Salesforce as destinations of what has a place there.
pub fn config(sources: &[Source]) -> Config {
    config_with(sources, |_| {})
}

/// The same with some things changed.
pub fn config_with(sources: &[Source], adjust: impl FnOnce(&mut Hub)) -> Config {
    let mut connections = BTreeMap::new();
    let mut packed = BTreeMap::new();
    for source in sources {
        let lane = source.provider.manifest().provider.lane;
        let secret = format!("{}/signing", source.name);
        let connection = json!({ "provider": source.provider.manifest().provider.name, "source": true, "lane": lane, "test_records": true, "signing_secret": secret });
        connections.insert(source.name.clone(), connection);
        packed.insert(source.name.clone(), source.provider.to_packed());
    }
    for (name, host, source) in [("hubspot", HUBSPOT_HOST, true), ("salesforce", SALESFORCE_HOST, false)] {
        let connection = json!({
            "provider": name, "source": source, "destination": true, "lane": "urgent", "test_records": true,
            "base_url": format!("https://{host}"), "signing_secret": format!("{name}/signing"), "api_secret": format!("{name}/api"),
            "buckets": [{ "name": "all", "burst": 1000, "per_second": 1000.0 }],
        });
        connections.insert(name.to_owned(), connection);
        packed.insert(name.to_owned(), builtin(name).to_packed());
    }
    let objects: BTreeMap<&str, Value> = ObjectType::ALL.iter().map(|object| (object.name(), policy(*object))).collect();
    let hub = json!({
        "generation": 1, "connections": connections, "objects": objects, "effects": effects(),
        "retry": { "schedule_s": [60, 300, 1800], "jitter_percent": 20, "speed": 1 },
    });
    let mut hub: Hub = serde_json::from_value(hub).unwrap_or_else(|e| panic!("the simulator's configuration: {e}"));
    adjust(&mut hub);
    let pack = Config::pack(&hub, &packed).unwrap_or_else(|e| panic!("the simulator's pack: {e}"));
    Config::open(pack).unwrap_or_else(|e| panic!("the simulator's pack: {e}"))
}

fn policy(object: ObjectType) -> Value {
    let fields: BTreeMap<&str, Value> = fields_of(object)
        .map(|field| {
            let rule = match rule(object, field.name, field.kind) {
                Rule::Latest => json!("latest"),
                Rule::First => json!("first"),
                Rule::Owner(owner) => json!({ "owner": owner }),
                Rule::Prefer(order) => json!({ "prefer": order }),
                Rule::Union => json!("union"),
                Rule::MostRestrictive => json!("most_restrictive"),
            };
            (field.name, json!({ "rule": rule, "why": "simulated" }))
        })
        .collect();
    let destinations: BTreeMap<&str, &str> = destinations(object).iter().map(|d| (d.connection, d.native)).collect();
    let (strong, weak) = keys(object);
    json!({ "destinations": destinations, "strong": strong, "weak": weak, "fields": fields })
}

/// What changes of one object say about another one.
fn effects() -> Value {
    json!([
        {
            "from": "consent", "when": { "channel": ["email"] }, "to": "contact", "about": ["contact"],
            "set": { "email_consent": { "field": "status" }, "explicit": { "field": "explicit" } },
        },
        {
            "from": "invoice", "when": { "kind": ["invoice"], "status": ["paid"] }, "to": "deal", "about": ["subscription"],
            "set": { "stage": { "text": "closed_won" }, "amount": { "field": "total" }, "name": { "text": "Invoice {number}" },
                     "close_date": { "day_of": "created_at" } },
        },
    ])
}
