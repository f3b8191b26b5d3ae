//! `hub.toml` as serde reads it, after its keys were checked.

use canonical::{Lane, ValueKind};
use mapping::file::{Entries, Milliseconds, Spanned, TextOr};
use serde::Deserialize;
use sync::config::{Cleared, Survivorship};

/// The file as a whole.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ConfigurationFile {
    pub generation: Option<u64>,
    pub connections: Entries<Spanned<ConnectionTable>>,
    pub destinations: Entries<Entries<Spanned<String>>>,
    pub purposes: Entries<String>,
    pub fields: Entries<Entries<Spanned<OwnFieldTable>>>,
    pub identity: Entries<IdentityTable>,
    pub survivorship: Entries<TextOr<Entries<Spanned<FieldPolicyTable>>>>,
    pub effects: Vec<Spanned<EffectTable>>,
    pub retry: RetryTable,
    pub fuses: FusesTable,
    pub limits: LimitsTable,
    pub journal: JournalTable,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ConnectionTable {
    pub provider: Option<Spanned<String>>,
    pub roles: Vec<Role>,
    pub account: String,
    pub time_zone: Option<Spanned<String>>,
    pub test_records: bool,
    pub lane: Option<Lane>,
    pub signing_secret: Option<Spanned<String>>,
    pub signature: SignatureTable,
    pub rotate_signing_secret: bool,
    pub base_url: Option<Spanned<String>>,
    pub tenant: String,
    pub auth_url: Option<Spanned<String>>,
    pub api_version: String,
    pub api_secret: Option<Spanned<String>>,
    pub rate: RateTable,
    pub write_headers: Entries<Spanned<String>>,
    pub sweep: Vec<Spanned<String>>,
    pub mappings: Entries<Spanned<String>>,
    pub owner: String,
    pub sla: Option<Spanned<Milliseconds>>,
    pub quiet: Option<Spanned<Milliseconds>>,
}

/// What a connection does for the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Role {
    Source,
    Destination,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct SignatureTable {
    pub accept: Option<Vec<String>>,
    pub tolerance: Option<Milliseconds>,
    pub topics: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RateTable {
    pub requests: Option<u64>,
    pub per: Option<Spanned<Milliseconds>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct OwnFieldTable {
    pub kind: Option<ValueKind>,
    pub label: Option<String>,
    pub personal: Option<bool>,
    pub members: Vec<String>,
    pub refers_to: Option<Spanned<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct IdentityTable {
    pub strong: Vec<Spanned<String>>,
    pub weak: Vec<Spanned<String>>,
    pub people_per_value: Option<usize>,
    pub blocked: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct FieldPolicyTable {
    /// One of the rules that need no connection.
    pub rule: Option<Survivorship>,
    pub owner: Option<Spanned<String>>,
    pub prefer: Option<Vec<Spanned<String>>>,
    pub cleared: Cleared,
    pub why: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct EffectTable {
    pub from: Option<Spanned<String>>,
    pub when: Entries<Vec<Spanned<String>>>,
    pub to: Option<Spanned<String>>,
    pub about: Vec<Spanned<String>>,
    pub set: Entries<Spanned<TextOr<AssignmentTable>>>,
    pub why: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct AssignmentTable {
    pub day_of: Option<Spanned<String>>,
    pub text: Option<Spanned<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RetryTable {
    pub schedule: Option<Spanned<Vec<Spanned<Milliseconds>>>>,
    pub jitter_percent: Option<Spanned<u32>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct LimitsTable {
    pub members: Option<usize>,
    pub union_entries: Option<usize>,
    pub field_bytes: Option<Spanned<usize>>,
    pub item_bytes: Option<Spanned<usize>>,
    pub body_bytes: Option<Spanned<usize>>,
    pub claim_check_bytes: Option<usize>,
    pub absent_percent: Option<u32>,
    pub absent_objects: Option<usize>,
    pub future: Option<Milliseconds>,
    pub echo: Option<Milliseconds>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct JournalTable {
    pub days: Option<Spanned<u32>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct FusesTable {
    pub new: Option<FuseTable>,
    pub changed: Option<FuseTable>,
    pub deleted: Option<FuseTable>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct FuseTable {
    pub most: u64,
    pub percent: u32,
    pub per: Option<Milliseconds>,
}
