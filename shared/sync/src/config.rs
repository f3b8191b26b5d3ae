//! The configuration as functions read it: a packed file with an index, opened in microseconds.
//!
//! `hub check --pack` writes it from `infra/config/hub.toml` and the providers' folders. The file starts with the magic line,
//! then the length of the index as ten decimal digits and a newline, then the index (JSON: name → offset and length), then the
//! sections. Each section is parsed when it is first needed, once per process.

mod limits;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use canonical::{Catalogue, ConnectionName, Lane, ObjectType};
use providers::{AuthVariables, Provider};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::failure::{Code, Failure};

pub use limits::{FuseLimit, Fuses, Limits, Retry};

const MAGIC: &[u8] = b"crm-hub pack 1\n";
const LENGTH_DIGITS: usize = 10;

/// How the value of a field is chosen among the candidates of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Survivorship {
    /// The newest observation, by the sources' stamps.
    Latest,
    /// The oldest observation.
    First,
    /// This connection's observation; until it has one, the newest of the others.
    Owner(ConnectionName),
    /// The first connection of the list that has a value; then the newest of the others.
    Prefer(Vec<ConnectionName>),
    /// All values of all sources, as a sorted set.
    Union,
    /// The most restrictive value, unless the person's own newer consent loosens it.
    MostRestrictive,
}

impl Survivorship {
    /// The rule as `explain` prints it.
    pub fn describe(&self) -> String {
        match self {
            Survivorship::Latest => "latest".into(),
            Survivorship::First => "first".into(),
            Survivorship::Owner(owner) => format!("owner = {owner}"),
            Survivorship::Prefer(list) => format!("prefer {}", list.join(", ")),
            Survivorship::Union => "union".into(),
            Survivorship::MostRestrictive => "most_restrictive".into(),
        }
    }
}

/// What a cleared value (present, and null or empty) of a source does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cleared {
    /// The source is not a candidate: another source's value stays.
    #[default]
    Keep,
    /// The empty value takes part like any other value, so that a cleared field can win.
    Clear,
}

/// The policy of one field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldPolicy {
    /// How the winner is chosen.
    pub rule: Survivorship,
    /// What a cleared value does.
    #[serde(default)]
    pub cleared: Cleared,
    /// The business reason, which the data dictionary shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// The policy of one canonical object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectPolicy {
    /// Destinations: connection → the native object there.
    #[serde(default)]
    pub destinations: BTreeMap<ConnectionName, String>,
    /// Identity keys: a field, or several fields joined by `+`. Records with equal values join one cluster.
    #[serde(default)]
    pub strong: Vec<String>,
    /// Identity keys that join only records without different values of the same strong key.
    #[serde(default)]
    pub weak: Vec<String>,
    /// A value that more different records hold than this joins no further ones.
    #[serde(default = "one_holder")]
    pub people_per_value: usize,
    /// Values that are not identity keys: exact values, or a prefix that ends in `*` (`info@*`).
    #[serde(default)]
    pub blocked: Vec<String>,
    /// The rule of fields that have none of their own.
    #[serde(default)]
    pub default: Option<Survivorship>,
    /// Rules by field.
    #[serde(default)]
    pub fields: BTreeMap<String, FieldPolicy>,
}

/// Where a field that an effect sets takes its value from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EffectValue {
    /// The value of this field.
    Field(String),
    /// The calendar day (UTC) of this instant field.
    DayOf(String),
    /// This text, with `{field}` replaced by the field's value.
    Text(String),
}

/// A rule by which a change of one object also changes another one: a paid invoice its deal, a consent its contact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effect {
    /// The object that changed.
    pub from: ObjectType,
    /// Conditions, all of which must hold: a field, and the values of which it must have one.
    #[serde(default)]
    pub when: BTreeMap<String, Vec<String>>,
    /// The object that is affected.
    pub to: ObjectType,
    /// The affected record: the first of these reference fields that has a value, else the changed object itself.
    #[serde(default)]
    pub about: Vec<String>,
    /// The fields that it sets.
    pub set: BTreeMap<String, EffectValue>,
    /// The business reason.
    #[serde(default)]
    pub why: String,
}

/// A connection: one account at one provider.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Connection {
    /// The provider's folder.
    pub provider: String,
    /// True when it sends webhooks or is read.
    #[serde(default)]
    pub source: bool,
    /// True when golden records are written there.
    #[serde(default)]
    pub destination: bool,
    /// The ingest lane.
    pub lane: Lane,
    /// Base URL of its API, without a trailing slash.
    #[serde(default)]
    pub base_url: String,
    /// Further hosts that are called for it: those on which Amazon serves the certificates and confirmations of its topics.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// The account within the provider (tenant, company, mailbox), where its API requires one.
    #[serde(default)]
    pub account: String,
    /// The directory (tenant) that signs people and apps in, where the provider has such.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tenant: String,
    /// Scheme and host that replace those at which the provider gives tokens: those of a national cloud, a sandbox or a stand-in.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub auth_url: String,
    /// The name of the API's version, where requests carry one.
    #[serde(default)]
    pub api_version: String,
    /// The logical name of the secret that signs its webhooks.
    #[serde(default)]
    pub signing_secret: Option<String>,
    /// The logical name of the secret with its API token.
    #[serde(default)]
    pub api_secret: Option<String>,
    /// Token buckets, all of which a call must pass.
    #[serde(default)]
    pub buckets: Vec<Bucket>,
    /// Further headers of every call that writes records, with lower-case names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub write_headers: BTreeMap<String, String>,
    /// Who is responsible for it.
    #[serde(default)]
    pub owner: String,
    /// The native objects that the scheduled sweep reads.
    #[serde(default)]
    pub sweep: Vec<String>,
    /// True when events about test records (a billing system's test mode, a trial submission of a form) are applied as well.
    #[serde(default)]
    pub test_records: bool,
}

impl Connection {
    /// What stands for the placeholders in the URLs of its provider's `[[api.auth]]`.
    pub fn auth_variables(&self) -> AuthVariables<'_> {
        AuthVariables { base_url: &self.base_url, account: &self.account, tenant: &self.tenant, auth_url: &self.auth_url }
    }
}

/// A token bucket that all workers share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bucket {
    /// What it counts.
    pub name: String,
    /// Calls that may be made at once.
    pub burst: u32,
    /// Refill rate, calls per second.
    pub per_second: f64,
    /// Counts only calls whose path ends with this; empty for all calls.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
}

impl Bucket {
    /// A bucket that never passes more than `calls` in any window of that length: half of them at once, the other half as the bucket
    /// is refilled over the window.
    pub fn of(name: &str, calls: u64, window_ms: u64) -> Bucket {
        let burst = u32::try_from(calls / 2).unwrap_or(u32::MAX).max(1);
        let rest = calls.saturating_sub(u64::from(burst)).max(1);
        Bucket { name: name.to_owned(), burst, per_second: rest as f64 * 1000.0 / window_ms.max(1) as f64, path: String::new() }
    }
}

/// The user's choices: the section `hub` of the pack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hub {
    /// Rises with every change of the configuration. A golden record names the generation that resolved it.
    pub generation: u64,
    /// The connections by name.
    pub connections: BTreeMap<ConnectionName, Connection>,
    /// The canonical fields: those of the hub, and those that the configuration adds.
    #[serde(default)]
    pub fields: Catalogue,
    /// Policies by canonical object.
    #[serde(default)]
    pub objects: BTreeMap<ObjectType, ObjectPolicy>,
    /// Rules by which a change of one object also changes another one.
    #[serde(default)]
    pub effects: Vec<Effect>,
    /// Limits.
    #[serde(default)]
    pub limits: Limits,
    /// The retry schedule.
    #[serde(default)]
    pub retry: Retry,
    /// The fuses of every connection.
    #[serde(default)]
    pub fuses: Fuses,
    /// How many days the journal is stored: at least the retention of a queue and of its dead-letter queue, and the longest redelivery
    /// window of a provider.
    #[serde(default = "default_journal_days")]
    pub journal_days: u32,
}

fn default_journal_days() -> u32 {
    45
}

static LATEST: Survivorship = Survivorship::Latest;

impl Hub {
    /// The hosts that may be called: those of the connections' APIs, and the further ones that connections name.
    pub fn hosts(&self) -> Vec<String> {
        let own = |connection: &Connection| {
            let (_, rest) = connection.base_url.split_once("://")?;
            rest.split('/').next().filter(|host| !host.is_empty()).map(str::to_owned)
        };
        self.connections.values().flat_map(|connection| own(connection).into_iter().chain(connection.hosts.clone())).collect()
    }

    /// The policy of an object; an object without one has no destination and no keys.
    pub fn object(&self, object: ObjectType) -> &ObjectPolicy {
        static NONE: ObjectPolicy = ObjectPolicy::EMPTY;
        self.objects.get(&object).unwrap_or(&NONE)
    }
}

/// Of two people with one value, nobody knows which of them a third record means.
const fn one_holder() -> usize {
    1
}

impl Default for ObjectPolicy {
    fn default() -> ObjectPolicy {
        ObjectPolicy::EMPTY
    }
}

impl ObjectPolicy {
    /// The policy of an object that the configuration does not name.
    const EMPTY: ObjectPolicy = ObjectPolicy {
        destinations: BTreeMap::new(),
        strong: Vec::new(),
        weak: Vec::new(),
        people_per_value: one_holder(),
        blocked: Vec::new(),
        default: None,
        fields: BTreeMap::new(),
    };

    /// The identity keys, the strong ones first.
    pub fn keys(&self) -> impl Iterator<Item = &String> {
        self.strong.iter().chain(&self.weak)
    }

    /// True for a key that joins only records which no strong key tells apart.
    pub fn is_weak(&self, key: &str) -> bool {
        self.weak.iter().any(|weak| weak == key)
    }

    /// The rule of a field and what a cleared value does to it.
    pub fn rule(&self, field: &str) -> (&Survivorship, Cleared) {
        match self.fields.get(field) {
            Some(policy) => (&policy.rule, policy.cleared),
            None => (self.default.as_ref().unwrap_or(&LATEST), Cleared::default()),
        }
    }
}

/// Why a pack cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PackError {
    /// The file is not a pack, or it is truncated.
    #[error("not a configuration pack: {0}; run `hub check --pack`")]
    Format(&'static str),
    /// A section cannot be read.
    #[error("section `{section}` of the configuration pack cannot be read: {reason}")]
    Section {
        /// The section's name.
        section: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// An opened pack.
pub struct Config {
    bytes: Vec<u8>,
    index: BTreeMap<String, (usize, usize)>,
    hub: Hub,
    providers: BTreeMap<ConnectionName, OnceLock<Arc<Provider>>>,
}

impl Config {
    /// Opens a pack: reads the index and the user's choices. A provider is read when it is first needed.
    pub fn open(bytes: Vec<u8>) -> Result<Config, PackError> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(PackError::Format("the first line differs"))?;
        let digits = rest.get(..LENGTH_DIGITS).ok_or(PackError::Format("it ends in the index length"))?;
        let length: usize = std::str::from_utf8(digits)
            .ok()
            .and_then(|d| d.parse().ok())
            .ok_or(PackError::Format("the index length is not a number"))?;
        let start = MAGIC.len() + LENGTH_DIGITS + 1;
        let index_bytes = bytes.get(start..start + length).ok_or(PackError::Format("it ends in the index"))?;
        let relative: BTreeMap<String, (usize, usize)> =
            serde_json::from_slice(index_bytes).map_err(|_| PackError::Format("the index is not JSON"))?;
        let base = start + length;
        let index: BTreeMap<_, _> = relative.into_iter().map(|(name, (offset, len))| (name, (base + offset, len))).collect();
        if index.values().any(|(offset, len)| offset.saturating_add(*len) > bytes.len()) {
            return Err(PackError::Format("it ends in a section"));
        }
        let hub = read_section(&bytes, &index, "hub")?;
        let hub: Hub =
            serde_json::from_str(hub).map_err(|e| PackError::Section { section: "hub".into(), reason: e.to_string() })?;
        let providers = hub.connections.keys().map(|name| (name.clone(), OnceLock::new())).collect();
        Ok(Config { bytes, index, hub, providers })
    }

    /// The user's choices.
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// A connection and its provider.
    pub fn connection(&self, name: &str) -> Result<(&Connection, Arc<Provider>), Failure> {
        let unknown = || Failure::new(Code::UnknownConnection, format!("`{name}` is not in the configuration"));
        let connection = self.hub.connections.get(name).ok_or_else(unknown)?;
        let cell = self.providers.get(name).ok_or_else(unknown)?;
        if let Some(provider) = cell.get() {
            return Ok((connection, Arc::clone(provider)));
        }
        let packed = read_section(&self.bytes, &self.index, &format!("connection/{name}"))
            .map_err(|e| Failure::new(Code::Bug, e.to_string()))?;
        let provider = Provider::from_packed(packed).map_err(|e| Failure::new(Code::Bug, e.to_string()))?;
        Ok((connection, Arc::clone(cell.get_or_init(|| Arc::new(provider)))))
    }

    /// Builds a pack.
    pub fn pack(hub: &Hub, providers: &BTreeMap<String, String>) -> Result<Vec<u8>, PackError> {
        let hub = serde_json::to_string(hub).map_err(|e| PackError::Section { section: "hub".into(), reason: e.to_string() })?;
        let mut sections: BTreeMap<String, &str> =
            providers.iter().map(|(name, packed)| (format!("connection/{name}"), packed.as_str())).collect();
        sections.insert("hub".to_owned(), &hub);
        let mut index = BTreeMap::new();
        let mut body = Vec::new();
        for (name, text) in sections {
            index.insert(name, (body.len(), text.len()));
            body.extend_from_slice(text.as_bytes());
        }
        let index =
            serde_json::to_vec(&index).map_err(|e| PackError::Section { section: "index".into(), reason: e.to_string() })?;
        let mut pack = MAGIC.to_vec();
        pack.extend_from_slice(format!("{:0width$}\n", index.len(), width = LENGTH_DIGITS).as_bytes());
        pack.extend_from_slice(&index);
        pack.extend_from_slice(&body);
        Ok(pack)
    }
}

fn read_section<'a>(bytes: &'a [u8], index: &BTreeMap<String, (usize, usize)>, name: &str) -> Result<&'a str, PackError> {
    let missing = |reason: &str| PackError::Section { section: name.to_owned(), reason: reason.to_owned() };
    let (offset, len) = index.get(name).ok_or_else(|| missing("it is not there"))?;
    std::str::from_utf8(&bytes[*offset..offset + len]).map_err(|_| missing("it is not UTF-8"))
}
