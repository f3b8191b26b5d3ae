//! The compiled rule of one field: where its value comes from, what is made of it, and how it is written back.

use canonical::{FieldName, ValueKind};
use serde::{Deserialize, Serialize};

use crate::input::{Condition, Input, inputs, is_false};
use crate::pairs::Pairs;

/// The rule of one field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FieldRule {
    /// The canonical field.
    pub field: FieldName,
    /// The file that holds the rule, where that is not the map's own file: an override.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The line of that file, from 1.
    pub line: u32,
    /// The column, from 1.
    pub column: u32,
    /// What is made of the value.
    #[serde(rename = "as")]
    pub conversion: Conversion,
    /// Where the value comes from: the first that has a value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<Input>,
    /// The native property that the field fills.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Whether the rule reads, writes or does both.
    #[serde(default)]
    pub direction: Direction,
    /// True when the field identifies the record.
    #[serde(default, skip_serializing_if = "is_false")]
    pub key: bool,
    /// Conditions that must all hold; otherwise the field is absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub when: Vec<Condition>,
    /// Conditions of which none may hold; otherwise the field is absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unless: Vec<Condition>,
    /// A fixed value instead of `from`.
    #[serde(default, rename = "const", skip_serializing_if = "Option::is_none")]
    pub constant: Option<String>,
    /// The value when the body has none, or null.
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
    /// Makes a set of `name=value` out of a list of objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pairs: Option<Pairs>,
    /// Native values that mean that there is no value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub none_values: Vec<String>,
    /// The most characters (Unicode scalar values) that the destination takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// True when the destination needs a value.
    #[serde(default, skip_serializing_if = "is_false")]
    pub required: bool,
    /// Canonical fields that fill the property when this one has no value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fallback: Vec<FieldName>,
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

/// What a rule makes of a native value: a kind, with what this kind needs to know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // ValueKind documents them.
pub enum Conversion {
    Text,
    Name,
    Email,
    Phone(PhoneRule),
    Country,
    Currency,
    Money(MoneyRule),
    Date(DateRule),
    Instant(InstantRule),
    Enum(EnumRule),
    Bool,
    Int,
    Decimal(DecimalUnit),
    Url,
    Domain,
    Industry,
    Id,
    Verbatim,
    Ref(RefRule),
    Set(SetRule),
}

impl Conversion {
    /// The kind alone.
    pub const fn kind(&self) -> ValueKind {
        match self {
            Conversion::Text => ValueKind::Text,
            Conversion::Name => ValueKind::Name,
            Conversion::Email => ValueKind::Email,
            Conversion::Phone(_) => ValueKind::Phone,
            Conversion::Country => ValueKind::Country,
            Conversion::Currency => ValueKind::Currency,
            Conversion::Money(_) => ValueKind::Money,
            Conversion::Date(_) => ValueKind::Date,
            Conversion::Instant(_) => ValueKind::Instant,
            Conversion::Enum(_) => ValueKind::Enum,
            Conversion::Bool => ValueKind::Bool,
            Conversion::Int => ValueKind::Int,
            Conversion::Decimal(_) => ValueKind::Decimal,
            Conversion::Url => ValueKind::Url,
            Conversion::Domain => ValueKind::Domain,
            Conversion::Industry => ValueKind::Industry,
            Conversion::Id => ValueKind::Id,
            Conversion::Verbatim => ValueKind::Verbatim,
            Conversion::Ref(_) => ValueKind::Ref,
            Conversion::Set(_) => ValueKind::Set,
        }
    }
}

/// How a telephone number is read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhoneRule {
    /// Where the country is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub region: Vec<Input>,
    /// The country when the body holds none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region_default: Option<String>,
    /// Where the calling code is, when the body holds it apart from the number.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calling_code: Vec<Input>,
}

/// How an amount is read and written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoneyRule {
    /// The unit that the amount counts.
    #[serde(default)]
    pub unit: MoneyUnit,
    /// Where the currency is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub currency: Vec<Input>,
    /// The currency when the body holds none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency_default: Option<String>,
    /// True when an amount without any currency is left out instead of set aside.
    #[serde(default, skip_serializing_if = "is_false")]
    pub currency_optional: bool,
    /// The native property that gets the currency when an amount is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency_to: Option<String>,
    /// Multiplies the amount (quantity × unit price).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub times: Vec<Input>,
    /// True when every amount that `from` finds is added up.
    #[serde(default, skip_serializing_if = "is_false")]
    pub sum: bool,
}

/// How a calendar day is read and written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DateRule {
    /// How the source writes a point in time, whose day is taken; `None` when it writes days only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<TimeUnit>,
    /// The zone in which an instant's day is taken.
    #[serde(default, skip_serializing_if = "ZoneRule::is_empty")]
    pub zone: ZoneRule,
    /// True when the source gives the day after the last one.
    #[serde(default, skip_serializing_if = "is_false")]
    pub exclusive: bool,
}

/// How a point in time is read and written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstantRule {
    /// How it is written.
    #[serde(default)]
    pub unit: TimeUnit,
    /// The zone of a time without an offset.
    #[serde(default, skip_serializing_if = "ZoneRule::is_empty")]
    pub zone: ZoneRule,
}

/// A time zone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneRule {
    /// Where the body names it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<Input>,
    /// Its IANA name when the body names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fixed: Option<String>,
}

impl ZoneRule {
    fn is_empty(&self) -> bool {
        self.from.is_empty() && self.fixed.is_none()
    }
}

/// How a member of a list is read and written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnumRule {
    /// Native value → canonical value, in the order of the file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<(String, String)>,
    /// Canonical value → native value, where it is not the reverse of `values`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub out: Vec<(String, String)>,
    /// True when only what `out` names is written.
    #[serde(default, skip_serializing_if = "is_false")]
    pub out_only_listed: bool,
    /// The canonical members, where the configuration and not the hub's own catalogue has the field.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<String>,
}

impl EnumRule {
    /// The native value of a member; `None` when nothing names it.
    pub fn native(&self, member: &str) -> Option<&str> {
        let listed = self.out.iter().find(|(name, _)| name == member).map(|(_, native)| native);
        let reversed = || self.values.iter().find(|(_, name)| name == member).map(|(native, _)| native);
        listed.or_else(|| if self.out_only_listed { None } else { reversed() }).map(String::as_str)
    }
}

/// What a reference refers to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefRule {
    /// The provider's name of the object.
    pub remote: String,
}

/// How the values of a set are read and written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetRule {
    /// What each of them is.
    #[serde(default)]
    pub member: SetMember,
    /// Separates them in one text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub separator: Option<String>,
    /// Stands before a separator, or before itself, that belongs to a value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escape: Option<char>,
    /// The field of the same record whose value is left out of the set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub without: Option<FieldName>,
}

/// What the members of a set are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SetMember {
    /// Texts, byte for byte.
    #[default]
    Verbatim,
    /// Names.
    Name,
    /// E-mail addresses.
    Email,
}

/// How a number or a text gives a time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeUnit {
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
}

/// The unit that an amount counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MoneyUnit {
    /// Whole units with decimals.
    #[default]
    Major,
    /// Minor units.
    Minor,
}

/// What a decimal number counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecimalUnit {
    /// The number itself.
    #[default]
    Plain,
    /// A fraction of one; the canonical value is in percent.
    Fraction,
}

/// The stamp of a single field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldStamp {
    /// The slot of the time.
    pub slot: u16,
    /// How the time is written.
    pub unit: TimeUnit,
}

/// Which ways a rule works.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From the provider only.
    In,
    /// To the provider only.
    Out,
    /// Both ways.
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

impl FieldRule {
    /// What the rule reads.
    pub(crate) fn inputs(&self) -> impl Iterator<Item = &Input> {
        let pairs = self.pairs.iter().map(|pairs| &pairs.list);
        self.from.iter().chain(pairs).chain(inputs(&self.when)).chain(inputs(&self.unless)).chain(self.conversion.inputs())
    }
}

impl Conversion {
    /// What the conversion reads besides the value.
    fn inputs(&self) -> impl Iterator<Item = &Input> {
        let lists: [&[Input]; 2] = match self {
            Conversion::Phone(phone) => [&phone.region, &phone.calling_code],
            Conversion::Money(money) => [&money.currency, &money.times],
            Conversion::Date(date) => [&date.zone.from, &[]],
            Conversion::Instant(instant) => [&instant.zone.from, &[]],
            _ => [&[], &[]],
        };
        lists.into_iter().flatten()
    }
}
