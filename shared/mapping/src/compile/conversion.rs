//! Compiles what a rule makes of a value: its kind, with the keys that this kind knows.

use canonical::{FieldDef, FieldKind, ValueKind, fields_of, find_field};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::Error as WordError;

use crate::file::{OneOrMore, Report, Span, Spanned, accepted_names, suggestion};
use crate::normal::{self, Fault};
use crate::rule::{Conversion, DateRule, EnumRule, InstantRule, MoneyRule, PhoneRule, RefRule, SetMember, SetRule, ZoneRule};

use super::file::RuleTable;
use super::slots::Slots;

/// The kinds that may make a field besides its own.
pub(super) const fn other_kinds(field: ValueKind) -> &'static [ValueKind] {
    use ValueKind::{Country, Enum, Id, Name, Text, Verbatim};
    match field {
        Text => &[Name, Enum, Id, Verbatim, Country],
        Name => &[Text],
        Id => &[Verbatim],
        _ => &[],
    }
}

/// Reports the keys of a rule that its kind does not know.
pub(super) fn check_keys(kind: ValueKind, table: &RuleTable, at: &Span, report: &mut Report) {
    use ValueKind::{Date, Decimal, Enum, Instant, Money, Phone, Ref, Set};
    let given = |paths: &OneOrMore<String>| !paths.0.is_empty();
    let keys: [(&str, bool, &[ValueKind]); 22] = [
        ("unit", table.unit.is_some(), &[Money, Decimal, Date, Instant]),
        ("region", given(&table.region), &[Phone]),
        ("region_default", table.region_default.is_some(), &[Phone]),
        ("calling_code", given(&table.calling_code), &[Phone]),
        ("currency", given(&table.currency), &[Money]),
        ("currency_default", table.currency_default.is_some(), &[Money]),
        ("currency_optional", table.currency_optional, &[Money]),
        ("currency_to", table.currency_to.is_some(), &[Money]),
        ("times", given(&table.times), &[Money]),
        ("sum", table.sum, &[Money]),
        ("zone", table.zone.is_some(), &[Date, Instant]),
        ("zone_from", given(&table.zone_from), &[Date, Instant]),
        ("exclusive", table.exclusive, &[Date]),
        ("values", table.members().next().is_some(), &[Enum]),
        ("out", !table.out.0.is_empty(), &[Enum]),
        ("out_only_listed", table.out_only_listed, &[Enum]),
        ("remote", table.remote.is_some(), &[Ref]),
        ("separator", table.separator.is_some(), &[Set]),
        ("escape", table.escape.is_some(), &[Set]),
        ("without", table.without.is_some(), &[Set]),
        ("collect", table.collect.is_some(), &[Set]),
        ("pairs", table.pairs.is_some(), &[Set]),
    ];
    for (key, _, kinds) in keys.into_iter().filter(|(_, is_given, kinds)| *is_given && !kinds.contains(&kind)) {
        let names: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
        let message = format!("`{key}` does not go with the kind {}", kind.name());
        report.error(at.clone(), message).help(format!("it goes with {}", names.join(", ")));
    }
}

/// What a rule of this kind makes of a value.
pub(super) fn conversion(
    kind: ValueKind,
    def: &FieldDef,
    table: &RuleTable,
    slots: &mut Slots,
    report: &mut Report,
) -> Conversion {
    match kind {
        ValueKind::Text => Conversion::Text,
        ValueKind::Name => Conversion::Name,
        ValueKind::Email => Conversion::Email,
        ValueKind::Country => Conversion::Country,
        ValueKind::Currency => Conversion::Currency,
        ValueKind::Bool => Conversion::Bool,
        ValueKind::Int => Conversion::Int,
        ValueKind::Url => Conversion::Url,
        ValueKind::Domain => Conversion::Domain,
        ValueKind::Industry => Conversion::Industry,
        ValueKind::Id => Conversion::Id,
        ValueKind::Verbatim => Conversion::Verbatim,
        ValueKind::Decimal => Conversion::Decimal(unit(table, report).unwrap_or_default()),
        ValueKind::Ref => Conversion::Ref(RefRule { remote: table.remote.clone().unwrap_or_default() }),
        ValueKind::Set => Conversion::Set(set(def, table, report)),
        ValueKind::Phone => Conversion::Phone(PhoneRule {
            region: slots.inputs(&table.region),
            region_default: known(table.region_default.as_ref(), normal::country, report),
            calling_code: slots.inputs(&table.calling_code),
        }),
        ValueKind::Money => Conversion::Money(MoneyRule {
            unit: unit(table, report).unwrap_or_default(),
            currency: slots.inputs(&table.currency),
            currency_default: known(table.currency_default.as_ref(), normal::currency, report),
            currency_optional: table.currency_optional,
            currency_to: table.currency_to.clone(),
            times: slots.inputs(&table.times),
            sum: table.sum,
        }),
        ValueKind::Date => {
            Conversion::Date(DateRule { unit: unit(table, report), zone: zone(table, slots, report), exclusive: table.exclusive })
        }
        ValueKind::Instant => {
            Conversion::Instant(InstantRule { unit: unit(table, report).unwrap_or_default(), zone: zone(table, slots, report) })
        }
        ValueKind::Enum => Conversion::Enum(members(def, table, report)),
    }
}

/// The unit that a rule names, in the words of its kind.
fn unit<T: for<'de> Deserialize<'de>>(table: &RuleTable, report: &mut Report) -> Option<T> {
    let word = table.unit.as_ref()?;
    let deserializer: serde::de::value::StrDeserializer<'_, WordError> = word.get_ref().as_str().into_deserializer();
    let unit = T::deserialize(deserializer).ok();
    if unit.is_none() {
        let message = format!("the unit `{}` does not go with this kind", word.get_ref());
        report.error(word.span(), message).help(suggestion(word.get_ref(), accepted_names::<T>()));
    }
    unit
}

/// A text that a normaliser knows, as the normaliser writes it.
fn known(
    text: Option<&Spanned<String>>,
    normalise: impl Fn(&str) -> Result<&'static str, Fault>,
    report: &mut Report,
) -> Option<String> {
    let text = text?;
    match normalise(text.get_ref()) {
        Ok(name) => Some(name.to_owned()),
        Err(fault) => {
            report.error(text.span(), format!("`{}`: {fault}", text.get_ref()));
            None
        }
    }
}

/// A set, whose members have the kind that the catalogue names.
fn set(def: &FieldDef, table: &RuleTable, report: &mut Report) -> SetRule {
    let member = match def.kind {
        FieldKind::Set(ValueKind::Email) => SetMember::Email,
        FieldKind::Set(ValueKind::Name) => SetMember::Name,
        _ => SetMember::Verbatim,
    };
    let mut escape = None;
    if let Some(text) = &table.escape {
        let mut characters = text.get_ref().chars();
        escape = characters.next().filter(|_| characters.next().is_none());
        if escape.is_none() {
            report.error(text.span(), "`escape` is one character");
        }
    }
    let without = table.without.as_ref().and_then(|name| {
        let field = find_field(def.object, name.get_ref());
        if field.is_none() {
            let message = format!("a {} has no field `{}`", def.object, name.get_ref());
            report.error(name.span(), message).help(suggestion(name.get_ref(), fields_of(def.object).map(|f| f.name)));
        }
        field.map(|field| field.name.into())
    });
    SetRule { member, separator: table.separator.clone(), escape, without }
}

fn zone(table: &RuleTable, slots: &mut Slots, report: &mut Report) -> ZoneRule {
    if let Some(name) = &table.zone
        && let Err(fault) = normal::zone(name.get_ref())
    {
        report.error(name.span(), format!("`{}`: {fault}", name.get_ref()));
    }
    ZoneRule { from: slots.inputs(&table.zone_from), fixed: table.zone.as_ref().map(|name| name.get_ref().clone()) }
}

/// The members of a field that the hub's own catalogue does not have, because the reader of the map knows that catalogue only.
fn own_members(def: &FieldDef) -> Vec<String> {
    match def.kind {
        FieldKind::Enum(members) if find_field(def.object, def.name).is_none() => {
            members.iter().map(|member| (*member).to_owned()).collect()
        }
        _ => Vec::new(),
    }
}

/// The members of a list. Where the catalogue lists them, no others may be named.
fn members(def: &FieldDef, table: &RuleTable, report: &mut Report) -> EnumRule {
    if let FieldKind::Enum(known) = def.kind {
        for (_, member) in table.members().filter(|(_, member)| !known.contains(&member.get_ref().0.as_str())) {
            let name = &member.get_ref().0;
            let message = format!("`{name}` is not a member of `{}`", def.name);
            report.error(member.span(), message).help(suggestion(name, known.iter().copied()));
        }
    }
    EnumRule {
        values: table.members().map(|(native, member)| (native.to_owned(), member.get_ref().0.clone())).collect(),
        out: table.out.0.iter().map(|(name, native)| (name.get_ref().clone(), native.0.clone())).collect(),
        out_only_listed: table.out_only_listed,
        members: own_members(def),
    }
}
