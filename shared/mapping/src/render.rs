//! Renders canonical values as the native properties of a destination.

use std::collections::BTreeMap;
use std::fmt;

use canonical::{FieldName, Fields, Money, Problem, Value};
use serde_json::{Map as JsonMap, Value as Json};

use crate::map::{Map, Plan};
use crate::normal::{self, Fault};
use crate::rule::{Conversion, DateRule, EnumRule, FieldRule, InstantRule, MoneyRule, MoneyUnit, SetRule, TimeUnit};

/// Canonical values as a destination's native properties. `Debug` shows names, no values.
#[derive(Clone, Default, PartialEq)]
pub struct Rendered {
    /// Native properties as they are sent: cut to length, members of lists translated, money in the destination's unit.
    pub properties: JsonMap<String, Json>,
    /// The native properties that a field fills.
    pub by_field: BTreeMap<FieldName, Vec<String>>,
    /// Required native properties without a value.
    pub missing: Vec<String>,
    /// Fields that could not be rendered.
    pub problems: Vec<Problem>,
}

impl fmt::Debug for Rendered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.properties.keys().collect();
        f.debug_struct("Rendered")
            .field("properties", &names)
            .field("missing", &self.missing)
            .field("problems", &self.problems)
            .finish()
    }
}

impl Map {
    /// Renders canonical values by the writing side of the rules.
    pub fn render(&self, fields: &Fields) -> Rendered {
        let mut rendered = Rendered::default();
        for plan in &self.plans {
            for rule in plan.rules.iter().filter(|r| r.direction.writes()) {
                if let Some(to) = &rule.to {
                    self.add_property(plan, rule, to, fields, &mut rendered);
                }
            }
        }
        rendered
    }

    fn add_property(&self, plan: &Plan, rule: &FieldRule, to: &str, fields: &Fields, rendered: &mut Rendered) {
        let has_content = |value: &&Value| !value.is_null() && value.as_text() != Some("");
        let own = fields.get(&rule.field);
        let filled = own.filter(has_content).or_else(|| rule.fallback.iter().find_map(|f| fields.get(f).filter(has_content)));
        match filled.or(own).map(|value| native(plan, rule, value)) {
            Some(Ok(Some(native))) if !(rule.required && is_empty(&native)) => {
                let filled_properties = rendered.by_field.entry(rule.field.clone()).or_default();
                filled_properties.push(to.to_owned());
                if let (Some(Value::Money(money)), Some(currency_to)) = (filled, currency_to(rule)) {
                    filled_properties.push(currency_to.to_owned());
                    rendered.properties.insert(currency_to.to_owned(), Json::from(money.currency.as_str()));
                }
                rendered.properties.insert(to.to_owned(), native);
                return;
            }
            None | Some(Ok(_)) => {}
            Some(Err(fault)) => rendered.problems.push(Problem {
                field: rule.field.to_string(),
                path: to.to_owned(),
                reason: format!("{fault} ({})", self.position(rule)),
            }),
        }
        match rule.default_out.as_ref().or(rule.placeholder.as_ref()) {
            Some(text) => {
                rendered.properties.entry(to.to_owned()).or_insert_with(|| Json::from(text.as_str()));
            }
            None if rule.required && !rendered.properties.contains_key(to) => rendered.missing.push(to.to_owned()),
            None => {}
        }
    }
}

fn is_empty(native: &Json) -> bool {
    native.is_null() || native.as_str() == Some("")
}

fn currency_to(rule: &FieldRule) -> Option<&str> {
    match &rule.conversion {
        Conversion::Money(money) => money.currency_to.as_deref(),
        _ => None,
    }
}

/// The native form of a value; `None` when nothing is to be written for it.
fn native(plan: &Plan, rule: &FieldRule, value: &Value) -> Result<Option<Json>, Fault> {
    Ok(Some(match (value, &rule.conversion) {
        (Value::Null, _) => typed_or_text(plan, Json::Null),
        (Value::Bool(flag), _) => typed_or_text(plan, Json::from(*flag)),
        (Value::Int(number), _) => typed_or_text(plan, Json::from(*number)),
        (Value::Money(money), conversion) => number(plan, &amount(conversion, money)?),
        (Value::List(values), Conversion::Set(set)) => Json::from(cut(&set.joined(values), rule.limit)),
        (Value::List(values), _) => Json::from(cut(&SetRule::default().joined(values), rule.limit)),
        (Value::Text(text), Conversion::Enum(members)) => {
            return Ok(member(members, text)?.map(|native| boolean_or_text(plan, native)));
        }
        (Value::Text(text), Conversion::Decimal(_)) => number(plan, text),
        (Value::Text(text), Conversion::Date(date)) => Json::from(day(date, text)?),
        (Value::Text(text), Conversion::Instant(at)) => instant(plan, at, text)?,
        (Value::Text(text), Conversion::Ref(target)) => {
            let id = text.strip_prefix(target.remote.as_str()).and_then(|rest| rest.strip_prefix(':'));
            Json::from(id.unwrap_or(text))
        }
        (Value::Text(text), _) => Json::from(cut(text, rule.limit)),
    }))
}

/// A value as such where the destination wants typed values; else its text.
fn typed_or_text(plan: &Plan, value: Json) -> Json {
    match value {
        value if plan.typed => value,
        Json::Null => Json::from(""),
        value => Json::from(value.to_string()),
    }
}

/// At most `limit` characters (Unicode scalar values), without white space at the cut.
fn cut(text: &str, limit: Option<usize>) -> &str {
    match limit.and_then(|limit| text.char_indices().nth(limit)) {
        Some((at, _)) => text[..at].trim_end(),
        None => text,
    }
}

fn amount(conversion: &Conversion, money: &Money) -> Result<String, Fault> {
    let Conversion::Money(MoneyRule { unit, currency_to, currency_default, .. }) = conversion else {
        return Ok(normal::major(money));
    };
    if currency_to.is_none() && currency_default.as_ref().is_some_and(|code| *code != money.currency) {
        return Err(Fault("the destination counts in another currency"));
    }
    Ok(match unit {
        MoneyUnit::Minor => money.minor.to_string(),
        MoneyUnit::Major => normal::major(money),
    })
}

/// A number where the destination wants numbers and every JSON reader reads this one without loss; else its text.
fn number(plan: &Plan, text: &str) -> Json {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    if plan.typed && digits <= 15 { serde_json::from_str(text).unwrap_or_else(|_| Json::from(text)) } else { Json::from(text) }
}

fn boolean_or_text(plan: &Plan, native: &str) -> Json {
    match native {
        "true" if plan.typed => Json::Bool(true),
        "false" if plan.typed => Json::Bool(false),
        text => Json::from(text),
    }
}

/// The native value of a member; `None` when the rule writes only some members and not this one.
fn member<'r>(rule: &'r EnumRule, canonical: &'r str) -> Result<Option<&'r str>, Fault> {
    if canonical.is_empty() {
        return Ok(Some(""));
    }
    match rule.native(canonical) {
        Some(native) => Ok(Some(native)),
        None if rule.out_only_listed => Ok(None),
        None if rule.values.is_empty() && rule.out.is_empty() => Ok(Some(canonical)),
        None => Err(Fault("the destination has no name for this member of the list")),
    }
}

/// A day; a point in time of it where the property is one at the destination.
fn day(rule: &DateRule, text: &str) -> Result<String, Fault> {
    if text.is_empty() {
        return Ok(String::new());
    }
    let zone = rule.zone.fixed.as_deref().map_or(Ok(normal::Zone::UTC), normal::zone)?;
    // A fallback may be an instant.
    let day = normal::date(text).or_else(|_| normal::day_of(text, &zone))?;
    let at = || normal::instant_of_day(&day, &zone);
    match rule.unit {
        None => Ok(day),
        Some(TimeUnit::Ms) => normal::instant_ms(&at()?).map(|ms| ms.to_string()).ok_or(Fault("not a calendar day")),
        Some(_) => at(),
    }
}

fn instant(plan: &Plan, rule: &InstantRule, text: &str) -> Result<Json, Fault> {
    if text.is_empty() {
        return Ok(Json::from(""));
    }
    let ms = normal::instant_ms(text).ok_or(Fault("not a point in time"))?;
    Ok(match rule.unit {
        TimeUnit::Ms => number(plan, &ms.to_string()),
        TimeUnit::S => number(plan, &ms.div_euclid(1000).to_string()),
        _ => Json::from(text),
    })
}
