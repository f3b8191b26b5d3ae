use std::collections::{BTreeMap, BTreeSet};

use canonical::ObjectType;
use serde::{Deserialize, Serialize};

use crate::pairs::Pairs;
use crate::path::{Path, Segment};

/// A compiled mapping file: what it reads, once, and the plans that share it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Map {
    /// The file's name, for messages.
    pub file: String,
    /// The provider's name of the object that it maps.
    pub remote: String,
    /// The container of native properties, empty when they are at the top.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub properties: Option<Path>,
    /// Every path that some rule reads; a slot is an index into it.
    pub paths: Vec<Path>,
    /// One plan per canonical object, in the order of the file.
    pub plans: Vec<Plan>,
}

/// How a plan's changes speak about their object.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Speak {
    /// The body holds the whole object.
    #[default]
    Snapshot,
    /// The body holds some of its fields.
    Partial,
}

/// How one canonical object is made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The canonical object.
    pub object: ObjectType,
    /// The provider's name of the object, as part of remote ids.
    pub remote: String,
    /// Whole object or some fields.
    #[serde(default)]
    pub kind: Speak,
    /// Where the object's id is: the first that has a value.
    pub id: Vec<Input>,
    /// Joins all of `id` with this between them; those without a value are left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id_join: Option<String>,
    /// Put behind the id, for objects that a body only implies.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub id_suffix: String,
    /// When the object last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stamp: Option<StampRule>,
    /// All must hold, or the plan gives nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub when: Vec<Guard>,
    /// All hold: the record is a test.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub test: Vec<Guard>,
    /// What says that the record is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted: Option<Deletion>,
    /// Other ids of the same thing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub external: Vec<External>,
    /// Currencies whose amounts this provider does not count in ISO 4217 minor units: decimals it uses.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub exponents: BTreeMap<String, u32>,
    /// An empty text means that the source cleared the field.
    #[serde(default, skip_serializing_if = "is_false")]
    pub empty_is_null: bool,
    /// Numbers and booleans are written as such, not as texts.
    #[serde(default, skip_serializing_if = "is_false")]
    pub typed: bool,
    /// The fields.
    pub rules: Vec<Rule>,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Input {
    /// A path of the body, by slot.
    Slot(u16),
    /// A value that the caller knows: `$id`, `$header.webhook-id`.
    Var(String),
}

/// How a number or text tells a time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Seconds since 1970.
    S,
    /// Milliseconds since 1970.
    Ms,
    /// ISO 8601 / RFC 3339.
    #[default]
    Iso,
    /// ISO 8601, or milliseconds since 1970 when it is all digits.
    IsoOrMs,
    /// ISO 8601, or seconds since 1970 when it is a number.
    IsoOrS,
    /// `/Date(1488391422280+0000)/`: milliseconds since 1970 as .NET writes them, or ISO 8601.
    Dotnet,
    /// RFC 1123 / 2822: `Tue, 15 Nov 1994 12:45:26 GMT`.
    Rfc1123,
    /// Money only: minor units.
    Minor,
    /// Money only: whole units with decimals.
    Major,
    /// Decimals only: a fraction of one, where the canonical value is in percent.
    Fraction,
}

/// When the object last changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StampRule {
    /// Where.
    pub from: Vec<Input>,
    /// How it is written.
    pub unit: Unit,
    /// The provider's sequence number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<Input>,
}

/// The stamp of a single field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldStamp {
    /// The slot.
    pub slot: u16,
    /// How it is written.
    pub unit: Unit,
}

/// A condition: the input has one of these values. `*` is any value but null, `x*` any text that begins with `x`, `!x` any but null
/// and `x`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guard {
    /// What is looked at.
    pub input: Input,
    /// The values.
    pub any: Vec<String>,
}

/// What says that a record is deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deletion {
    /// All must hold.
    pub when: Vec<Guard>,
    /// The id of the record that it was merged into, where the provider says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merged_into: Option<Input>,
}

/// Another id of the same thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct External {
    /// The namespace: a provider's name, or `hub`.
    pub namespace: String,
    /// Where the id is.
    pub from: Input,
}

/// Which ways a rule works.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From the provider only.
    In,
    /// To the provider only.
    Out,
    /// Both.
    #[default]
    Both,
}

impl Direction {
    /// True when the rule reads.
    pub const fn reads(self) -> bool {
        !matches!(self, Direction::Out)
    }

    /// True when the rule writes.
    pub const fn writes(self) -> bool {
        !matches!(self, Direction::In)
    }
}

/// What a rule makes of a value (`as`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Kind {
    Text,
    Name,
    Email,
    Phone,
    Country,
    Currency,
    Money,
    Date,
    Instant,
    Enum,
    Bool,
    Int,
    Decimal,
    Url,
    Domain,
    Industry,
    Id,
    Verbatim,
    Ref,
    Set,
}

impl Kind {
    /// Every kind with its name in mapping files.
    pub const ALL: &'static [(&'static str, Kind)] = &[
        ("text", Kind::Text),
        ("name", Kind::Name),
        ("email", Kind::Email),
        ("phone", Kind::Phone),
        ("country", Kind::Country),
        ("currency", Kind::Currency),
        ("money", Kind::Money),
        ("date", Kind::Date),
        ("instant", Kind::Instant),
        ("enum", Kind::Enum),
        ("bool", Kind::Bool),
        ("int", Kind::Int),
        ("decimal", Kind::Decimal),
        ("url", Kind::Url),
        ("domain", Kind::Domain),
        ("industry", Kind::Industry),
        ("id", Kind::Id),
        ("verbatim", Kind::Verbatim),
        ("ref", Kind::Ref),
        ("set", Kind::Set),
    ];

    /// The name in mapping files.
    pub fn name(self) -> &'static str {
        Kind::ALL.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }
}

/// One field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// The canonical field.
    pub field: canonical::FieldName,
    /// The file that it stands in, where that is not the map's own: an override.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The line of the mapping file, from 1.
    pub line: u32,
    /// The column, from 1.
    pub column: u32,
    /// What is made of the value.
    #[serde(rename = "as")]
    pub kind: Kind,
    /// Where it comes from: the first that has a value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<Input>,
    /// The native property that the field fills.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Which ways.
    #[serde(default)]
    pub direction: Direction,
    /// The field identifies the record.
    #[serde(default, skip_serializing_if = "is_false")]
    pub key: bool,
    /// All must hold, or the field is absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub when: Vec<Guard>,
    /// If one holds, the field is absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unless: Vec<Guard>,
    /// A fixed value instead of `from`.
    #[serde(default, rename = "const", skip_serializing_if = "Option::is_none")]
    pub constant: Option<String>,
    /// The value when there is none, or null.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// Joins all of `from` with this between them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub join: Option<String>,
    /// Makes a set of `name=value`: the names, one for each of `from`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub collect: Vec<String>,
    /// Takes this parameter out of the URL that `from` finds, percent-decoded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// Takes only the first word of the text.
    #[serde(default, skip_serializing_if = "is_false")]
    pub first_word: bool,
    /// Puts angle brackets around the text, unless it has them.
    #[serde(default, skip_serializing_if = "is_false")]
    pub angled: bool,
    /// Adds up every amount that `from` finds.
    #[serde(default, skip_serializing_if = "is_false")]
    pub sum: bool,
    /// Makes a set of `name=value` out of a list of objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pairs: Option<Pairs>,
    /// Country (phone): where it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub region: Vec<Input>,
    /// Calling code (phone) that the payload keeps apart from the number.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calling_code: Vec<Input>,
    /// Country (phone): when nothing else tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region_default: Option<String>,
    /// Currency (money): where it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub currency: Vec<Input>,
    /// Currency (money): when nothing else tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency_default: Option<String>,
    /// The native property that gets the currency when an amount is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency_to: Option<String>,
    /// An amount without any currency is left out instead of set aside.
    #[serde(default, skip_serializing_if = "is_false")]
    pub currency_optional: bool,
    /// Multiplies an amount (quantity × unit price).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub times: Vec<Input>,
    /// How times and amounts are written at the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Unit>,
    /// The time zone of times without one, and of days taken from instants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Where the payload names the time zone, before `zone`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub zone_from: Vec<Input>,
    /// The day is the one after the last: the day before it is meant.
    #[serde(default, skip_serializing_if = "is_false")]
    pub exclusive: bool,
    /// Native value → canonical value, in the order of the file. An empty canonical value: the native one means that there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<(String, String)>,
    /// Canonical value → native value, where it is not the reverse of `values`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub out: Vec<(String, String)>,
    /// Only what `out` names is written.
    #[serde(default, skip_serializing_if = "is_false")]
    pub out_only_listed: bool,
    /// The provider's name of the object that is referred to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<String>,
    /// Separates the values of a set in one text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub separator: Option<String>,
    /// The most characters (Unicode scalar values) that the destination takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// The destination needs it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub required: bool,
    /// Canonical fields that fill the property when this one has no value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fallback: Vec<canonical::FieldName>,
    /// Written when there is no value at all, and read as absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placeholder: Option<String>,
    /// Written when there is no value at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_out: Option<String>,
    /// The field's own stamp.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stamp: Option<FieldStamp>,
    /// Why the rule is as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl Map {
    /// Where a rule stands: `file:line:column`.
    pub fn position(&self, rule: &Rule) -> String {
        format!("{}:{}:{}", rule.file.as_ref().unwrap_or(&self.file), rule.line, rule.column)
    }

    /// The names of all variables that something asks for.
    pub fn vars(&self) -> BTreeSet<&str> {
        let plans = || self.plans.iter();
        let rules = || plans().flat_map(|p| &p.rules);
        let guards = plans().flat_map(|p| p.when.iter().chain(&p.test).chain(p.deleted.iter().flat_map(|d| &d.when)));
        let guards = guards.chain(rules().flat_map(|r| r.when.iter().chain(&r.unless))).map(|guard| &guard.input);
        let values = rules().flat_map(|r| {
            let lists = [&r.from, &r.region, &r.calling_code, &r.currency, &r.times, &r.zone_from];
            lists.into_iter().flatten().chain(r.pairs.as_ref().map(|pairs| &pairs.list))
        });
        let stamps = plans().filter_map(|p| p.stamp.as_ref()).flat_map(|s| s.from.iter().chain(&s.sequence));
        let others = plans().flat_map(|p| {
            let merged = p.deleted.iter().filter_map(|d| d.merged_into.as_ref());
            p.id.iter().chain(merged).chain(p.external.iter().map(|e| &e.from))
        });
        let all = guards.chain(values).chain(stamps).chain(others);
        all.filter_map(|input| match input {
            Input::Var(name) => Some(name.as_str()),
            Input::Slot(_) => None,
        })
        .collect()
    }

    /// Every path that some rule reads, also those inside the elements of a list.
    pub fn read_paths(&self) -> Vec<Path> {
        let each = Path::from_iter([Segment::Each]);
        let pairs = self.plans.iter().flat_map(|p| &p.rules).filter_map(|rule| rule.pairs.as_ref());
        let inside = pairs.filter_map(|pairs| match pairs.list {
            Input::Slot(slot) => Some((self.paths.get(usize::from(slot))?.join(&each), pairs)),
            Input::Var(_) => None,
        });
        let inside = inside.flat_map(|(list, pairs)| pairs.name.iter().chain(&pairs.value).map(move |path| list.join(path)));
        self.paths.iter().cloned().chain(inside).collect()
    }
}

fn is_false(b: &bool) -> bool {
    !*b
}
