//! Mapping files as serde reads them, after their keys were checked.

use canonical::ValueKind;
use serde::Deserialize;

use crate::file::{Entries, OneOrMore, Scalar, Spanned, TextOr};
use crate::map::Coverage;
use crate::rule::{Direction, TimeUnit};

/// A mapping file: its own keys are texts, its tables make objects.
pub(super) type MappingFile = Entries<TextOr<PlanTable>>;

/// Paths or variables → values.
pub(super) type Conditions = Entries<OneOrMore<Scalar>>;

/// A table of a mapping file, which makes one canonical object.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct PlanTable {
    pub object: Option<Spanned<String>>,
    pub remote: Option<String>,
    #[serde(rename = "kind")]
    pub coverage: Coverage,
    pub id: OneOrMore<String>,
    pub id_join: Option<String>,
    pub id_suffix: String,
    pub id_of_event: bool,
    pub stamp: Option<StampTable>,
    pub field_stamp: Option<FieldStampTable>,
    pub when: Conditions,
    pub test: Conditions,
    pub deleted: Option<DeletedTable>,
    pub external: Entries<String>,
    pub exponents: Entries<Spanned<u32>>,
    pub empty: EmptyText,
    pub typed: bool,
    pub direction: Direction,
    pub fields: Entries<OneOrMore<RuleTable>>,
}

/// What an empty text means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum EmptyText {
    /// An empty text.
    #[default]
    #[serde(rename = "kept")]
    Literal,
    /// The source cleared the field.
    Null,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct StampTable {
    pub from: OneOrMore<String>,
    pub unit: TimeUnit,
    pub sequence: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct FieldStampTable {
    pub from: String,
    pub unit: TimeUnit,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct DeletedTable {
    pub when: Conditions,
    pub merged_into: Option<String>,
}

/// The rule of a field.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RuleTable {
    pub from: Option<OneOrMore<String>>,
    #[serde(rename = "const")]
    pub constant: Option<Scalar>,
    pub default: Option<Scalar>,
    pub join: Option<String>,
    pub collect: Option<OneOrMore<String>>,
    pub pairs: Option<Spanned<PairsTable>>,
    pub first_word: bool,
    pub angled: bool,
    pub query: Option<String>,
    #[serde(rename = "as")]
    pub kind: Option<Spanned<ValueKind>>,
    /// A word that the rule's kind must know.
    pub unit: Option<Spanned<String>>,
    pub region: OneOrMore<String>,
    pub region_default: Option<Spanned<String>>,
    pub calling_code: OneOrMore<String>,
    pub currency: OneOrMore<String>,
    pub currency_default: Option<Spanned<String>>,
    pub currency_optional: bool,
    pub currency_to: Option<String>,
    pub times: OneOrMore<String>,
    pub sum: bool,
    pub zone: Option<Spanned<String>>,
    pub zone_from: OneOrMore<String>,
    pub exclusive: bool,
    pub values: Entries<Spanned<Scalar>>,
    pub out: Entries<Scalar>,
    pub out_only_listed: bool,
    pub remote: Option<String>,
    pub separator: Option<String>,
    pub escape: Option<Spanned<String>>,
    pub without: Option<Spanned<String>>,
    pub when: Conditions,
    pub unless: Conditions,
    pub key: bool,
    pub why: Option<String>,
    pub direction: Option<Direction>,
    pub read_only: bool,
    pub to: Option<String>,
    pub limit: Option<usize>,
    pub required: bool,
    pub fallback: OneOrMore<String>,
    pub default_out: Option<String>,
    pub placeholder: Option<String>,
}

impl RuleTable {
    /// The native values that mean that there is no value.
    pub fn none_values(&self) -> impl Iterator<Item = &str> {
        self.values.0.iter().filter(|(_, to)| to.get_ref().0.is_empty()).map(|(native, _)| native.get_ref().as_str())
    }

    /// Native value → canonical member, with the member's position.
    pub fn members(&self) -> impl Iterator<Item = (&str, &Spanned<Scalar>)> {
        self.values.0.iter().filter(|(_, to)| !to.get_ref().0.is_empty()).map(|(native, to)| (native.get_ref().as_str(), to))
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct PairsTable {
    pub list: Option<String>,
    pub name: OneOrMore<String>,
    pub value: OneOrMore<String>,
    pub bare: bool,
    pub all: bool,
    pub object: Option<String>,
}
