//! The sections `[records]`, `[api]` and `[[destinations]]` of a manifest: what the provider's API returns, how the hub calls it,
//! and which objects the hub writes there.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::auth::{Auth, ObjectScopes, Probe};
use super::webhooks::WebhooksApi;

/// The shape of the records that the API returns.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Records {
    /// The path at which a record names its own object type, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// The paths at which an answer holds the record or a list of records; `{}` stands for the object's name. The first path that
    /// has an object or a list counts. If none has, the whole answer is the record.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub within: Vec<String>,
}

/// A provider's API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiInfo {
    /// Scheme and host.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub base_url: String,
    /// The version as the API's paths write it, or the version of the payloads that the mapping files were written for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// Milliseconds after which the hub gives up a call.
    #[serde(default = "ApiInfo::default_timeout_ms")]
    pub timeout_ms: u64,
    /// How long after a change a read may still not show it, in milliseconds (at most 900,000). An object that a read does not
    /// find counts as gone only if a second read, at least this much later, does not find it either.
    #[serde(default = "ApiInfo::default_lag_ms", skip_serializing_if = "ApiInfo::is_default_lag_ms")]
    pub lag_ms: u64,
    /// The forms of credentials that it takes, the recommended one first; none where the hub makes no calls.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub auth: Vec<Auth>,
    /// The scopes that the use of each native object needs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub scopes: BTreeMap<String, ObjectScopes>,
    /// A cheap read by which the hub tries credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<Probe>,
    /// How webhooks are registered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhooks: Option<WebhooksApi>,
    /// Token buckets. A call takes a token from each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rates: Vec<Rate>,
    /// The path that reads one record, by object type, for providers without an `api.rs`. It may contain `{id}`, `{account}`,
    /// `{path}` (the path of an id that is a URL) and `{since}` (one hour before the event arrived).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fetch: BTreeMap<String, String>,
    /// Further headers of these calls; they may contain `{account}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// How late changes may become visible in lists.
    #[serde(default)]
    pub sweep: SweepWindow,
}

/// How late changes may become visible in lists, after the time that stamps them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SweepWindow {
    /// How far each sweep reads back before the newest change that it knows, in seconds: indexes lag, and clocks differ.
    pub overlap_s: u32,
    /// How far a sweep reads back from time to time, in seconds: long transactions become visible all at once.
    pub second_look_s: u32,
}

impl Default for SweepWindow {
    fn default() -> SweepWindow {
        SweepWindow { overlap_s: 120, second_look_s: 6 * 3_600 }
    }
}

impl Default for ApiInfo {
    fn default() -> ApiInfo {
        ApiInfo {
            base_url: String::new(),
            version: String::new(),
            timeout_ms: ApiInfo::default_timeout_ms(),
            lag_ms: ApiInfo::default_lag_ms(),
            auth: Vec::new(),
            scopes: BTreeMap::new(),
            probe: None,
            webhooks: None,
            rates: Vec::new(),
            fetch: BTreeMap::new(),
            headers: BTreeMap::new(),
            sweep: SweepWindow::default(),
        }
    }
}

impl ApiInfo {
    const fn default_timeout_ms() -> u64 {
        10_000
    }

    const fn default_lag_ms() -> u64 {
        60_000
    }

    const fn is_default_lag_ms(lag_ms: &u64) -> bool {
        *lag_ms == ApiInfo::default_lag_ms()
    }
}

/// A token bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// What it counts.
    pub name: String,
    /// How many tokens it holds at most.
    pub capacity: u64,
    /// Milliseconds in which an empty bucket fills up.
    pub window_ms: u64,
    /// The bucket counts only calls whose path ends with this; empty: all calls.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
}

/// An object type that the hub can write at a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Destination {
    /// The provider's own name of it.
    pub native: String,
    /// The unique property that holds the hub's id.
    pub id_property: String,
    /// The properties by which the hub finds and adopts an existing object, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub natural_keys: Vec<String>,
    /// Those natural keys that hold web addresses as somebody has entered them: with or without scheme, `www.` and a slash at the
    /// end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub web_addresses: Vec<String>,
    /// References that the provider keeps as associations, apart from the object's properties.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub associations: Vec<Association>,
}

/// A reference to another object that the provider keeps apart from the object's properties. The hub writes it by a call of its own,
/// after the object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Association {
    /// The name that mapping files use for it, as if it were a property. The provider has no property of this name.
    pub property: String,
    /// The provider's own name of the object type that is referred to.
    pub to: String,
    /// The provider's id of the type of association, in the direction from the object to what it refers to.
    pub type_id: u32,
}
