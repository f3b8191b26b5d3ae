use std::collections::BTreeMap;

use canonical::{FieldName, Fields, ObjectType, Problem, Value, find_field};
use serde_json::{Map as JsonMap, Value as Json};

use crate::normal::{self, Fault};
use crate::plan::{Kind, Map, Plan, Rule, Unit};

/// Canonical values as native properties.
#[derive(Clone, Default, PartialEq)]
pub struct Output {
    /// Native properties as they are to be sent.
    pub properties: JsonMap<String, Json>,
    /// Which native properties a field fills.
    pub by_field: BTreeMap<FieldName, Vec<String>>,
    /// Required native properties without a value.
    pub missing: Vec<String>,
    /// Fields that have no native form.
    pub problems: Vec<Problem>,
    /// References: the canonical object and the value.
    pub refs: BTreeMap<FieldName, (ObjectType, String)>,
}

impl Map {
    /// Renders canonical values by the writing side of the rules.
    pub fn render(&self, fields: &Fields) -> Output {
        let mut output = Output::default();
        for plan in &self.plans {
            for rule in plan.rules.iter().filter(|r| r.direction.writes()) {
                if let Some(to) = &rule.to {
                    self.property(plan, rule, to, fields, &mut output);
                }
            }
        }
        output
    }

    fn property(&self, plan: &Plan, rule: &Rule, to: &str, fields: &Fields, output: &mut Output) {
        let empty = |value: &&Value| !value.is_null() && value.as_text() != Some("");
        let own = fields.get(&rule.field);
        let filled = own.filter(empty).or_else(|| rule.fallback.iter().find_map(|f| fields.get(f).filter(empty)));
        let rendered = match filled.or(own) {
            Some(value) => write(plan, rule, value),
            None => Ok(None),
        };
        match rendered {
            Ok(Some(native)) if !(rule.required && is_empty(&native)) => {
                output.by_field.entry(rule.field.clone()).or_default().push(to.to_owned());
                if let (Some(Value::Money(money)), Some(currency)) = (filled, &rule.currency_to) {
                    output.properties.insert(currency.clone(), Json::from(money.currency.as_str()));
                    output.by_field.entry(rule.field.clone()).or_default().push(currency.clone());
                }
                if let (Kind::Ref, Some(def), Json::String(id)) = (rule.kind, find_field(plan.object, &rule.field), &native)
                    && let canonical::FieldKind::Ref(target) = def.kind
                {
                    output.refs.insert(rule.field.clone(), (target, id.clone()));
                }
                output.properties.insert(to.to_owned(), native);
                return;
            }
            Ok(_) => {}
            Err(fault) => output.problems.push(Problem {
                field: rule.field.to_string(),
                path: to.to_owned(),
                reason: format!("{fault} ({})", self.position(rule)),
            }),
        }
        match rule.default_out.as_ref().or(rule.placeholder.as_ref()) {
            Some(text) => {
                output.properties.entry(to.to_owned()).or_insert_with(|| Json::from(text.as_str()));
            }
            None if rule.required && !output.properties.contains_key(to) => output.missing.push(to.to_owned()),
            None => {}
        }
    }
}

fn is_empty(native: &Json) -> bool {
    native.is_null() || native.as_str() == Some("")
}

fn write(plan: &Plan, rule: &Rule, value: &Value) -> Result<Option<Json>, Fault> {
    let text = match value {
        Value::Null => return Ok(Some(if plan.typed { Json::Null } else { Json::from("") })),
        Value::Bool(b) if plan.typed => return Ok(Some(Json::Bool(*b))),
        Value::Bool(b) => b.to_string(),
        Value::Int(i) if plan.typed => return Ok(Some(Json::from(*i))),
        Value::Int(i) => i.to_string(),
        Value::Money(money) => {
            let code = rule.currency_default.as_deref();
            if rule.currency_to.is_none() && code.is_some_and(|code| code != money.currency) {
                return Err(Fault("the destination counts in another currency"));
            }
            return Ok(Some(number(plan, &amount(rule, money))));
        }
        Value::List(values) => {
            let parts: Vec<&str> = values.iter().filter_map(Value::as_text).collect();
            parts.join(rule.separator.as_deref().unwrap_or(";"))
        }
        Value::Text(text) => text.clone(),
    };
    Ok(match rule.kind {
        Kind::Enum => member(rule, &text)?.map(|native| boolean_or_text(plan, native)),
        Kind::Decimal => Some(number(plan, &text)),
        Kind::Date => Some(Json::from(day(rule, &text)?)),
        Kind::Instant => Some(instant(plan, rule, &text)?),
        Kind::Ref => {
            let prefix = format!("{}:", rule.remote.as_deref().unwrap_or_default());
            Some(Json::from(text.strip_prefix(&prefix).unwrap_or(&text)))
        }
        _ => Some(Json::from(cut(&text, rule.limit))),
    })
}

/// At most `limit` characters (Unicode scalar values), never half a character, no white space left at the cut.
fn cut(text: &str, limit: Option<usize>) -> &str {
    match limit.and_then(|limit| text.char_indices().nth(limit)) {
        Some((at, _)) => text[..at].trim_end(),
        None => text,
    }
}

fn amount(rule: &Rule, money: &canonical::Money) -> String {
    match rule.unit {
        Some(Unit::Minor) => money.minor.to_string(),
        _ => normal::major(money),
    }
}

/// A number where the destination wants numbers and JSON readers agree on it; else its text.
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

fn member<'r>(rule: &'r Rule, canonical: &'r str) -> Result<Option<&'r str>, Fault> {
    if canonical.is_empty() {
        return Ok(Some(""));
    }
    let listed = rule.out.iter().find(|(name, _)| name == canonical).map(|(_, native)| native);
    if rule.out_only_listed {
        return Ok(listed.map(String::as_str));
    }
    let listed = listed.or_else(|| rule.values.iter().find(|(_, name)| name == canonical).map(|(native, _)| native));
    match listed {
        Some(native) => Ok(Some(native)),
        None if rule.values.is_empty() && rule.out.is_empty() => Ok(Some(canonical)),
        None => Err(Fault("the destination has no name for this member of the list")),
    }
}

/// A day; where the property is a point in time at the destination, midnight UTC.
fn day(rule: &Rule, text: &str) -> Result<String, Fault> {
    if text.is_empty() {
        return Ok(String::new());
    }
    let day = match normal::date(text) {
        Ok(day) => day,
        // A fallback from an instant.
        Err(_) => normal::day_of(text, &normal::Zone::UTC)?,
    };
    match rule.unit {
        None => Ok(day),
        Some(Unit::Ms) => normal::instant_ms(&format!("{day}T00:00:00Z")).map(|ms| ms.to_string()).ok_or(Fault("not a day")),
        Some(_) => Ok(format!("{day}T00:00:00Z")),
    }
}

fn instant(plan: &Plan, rule: &Rule, text: &str) -> Result<Json, Fault> {
    if text.is_empty() {
        return Ok(Json::from(""));
    }
    let ms = normal::instant_ms(text).ok_or(Fault("not a point in time"))?;
    Ok(match rule.unit {
        Some(Unit::Ms) => number(plan, &ms.to_string()),
        Some(Unit::S) => number(plan, &ms.div_euclid(1000).to_string()),
        _ => Json::from(text),
    })
}
