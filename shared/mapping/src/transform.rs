use std::borrow::Cow;

use canonical::{FieldKind, Value, find_field};

use crate::capture::{Captured, decode, elements, text_of};
use crate::normal::{self, Fault};
use crate::plan::{Guard, Input, Kind, Plan, Rule, Speak, Unit};
use crate::run::Context;

/// What a rule found.
#[derive(Debug, PartialEq)]
pub(crate) enum Found {
    /// The source does not mention the field.
    Absent,
    /// A value, and whether it is only kept and not understood.
    Value(Value, bool),
}

/// What the rules of one plan look at.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'p, 'a> {
    pub plan: &'p Plan,
    pub slots: &'p [Captured<'a>],
    pub context: &'p Context<'a>,
}

/// What stands at the first of several places that has a value; else what the first place that is not absent has.
enum Picked<'p, 'a> {
    Absent,
    Null,
    Empty,
    Scalar(&'p str),
    Container(&'p Captured<'a>),
}

impl<'p, 'a> Scope<'p, 'a> {
    pub fn look(&self, input: &Input) -> &'p Captured<'a> {
        const ABSENT: &Captured<'_> = &Captured::Absent;
        match input {
            Input::Slot(slot) => self.slots.get(usize::from(*slot)).unwrap_or(ABSENT),
            Input::Var(name) => self.context.get(name).unwrap_or(ABSENT),
        }
    }

    fn pick(&self, inputs: &[Input]) -> Picked<'p, 'a> {
        let mut found = Picked::Absent;
        for input in inputs {
            let captured = self.look(input);
            match (text_of(captured), captured, &found) {
                (Some(text), ..) if !text.is_empty() => return Picked::Scalar(text),
                (Some(_), _, Picked::Absent | Picked::Null) => found = Picked::Empty,
                (None, Captured::Null, Picked::Absent) => found = Picked::Null,
                (None, Captured::Unmatched, Picked::Absent) if self.plan.kind == Speak::Snapshot => found = Picked::Null,
                (None, Captured::Object(_) | Captured::List(_) | Captured::Many(_), Picked::Absent) => {
                    found = Picked::Container(captured);
                }
                _ => {}
            }
        }
        found
    }

    /// The first text, number or boolean that is there and not empty.
    pub fn first(&self, inputs: &[Input]) -> Option<&'p str> {
        match self.pick(inputs) {
            Picked::Scalar(text) => Some(text),
            _ => None,
        }
    }

    pub fn holds(&self, guards: &[Guard]) -> bool {
        guards.iter().all(|guard| {
            let captured = self.look(&guard.input);
            let present = !matches!(captured, Captured::Absent | Captured::Null | Captured::Unmatched);
            guard.any.iter().any(|want| match want.as_str() {
                "*" => present,
                "null" if *captured == Captured::Null => true,
                want if want.starts_with('!') => present && text_of(captured) != want.get(1..),
                want => match want.strip_suffix('*') {
                    Some(start) => text_of(captured).is_some_and(|text| text.starts_with(start)),
                    None => text_of(captured) == Some(want),
                },
            })
        })
    }

    /// The class of what a rule found, for messages.
    pub fn class(&self, rule: &Rule) -> &'static str {
        let met =
            || rule.from.iter().map(|input| self.look(input)).filter(|c| !matches!(c, Captured::Absent | Captured::Unmatched));
        met().find(|c| **c != Captured::Null).or_else(|| met().next()).map_or("nothing", Captured::class)
    }

    pub fn apply(&self, rule: &Rule) -> Result<Found, Fault> {
        let barred = rule.unless.iter().any(|guard| self.holds(std::slice::from_ref(guard)));
        if barred || !self.holds(&rule.when) {
            return Ok(Found::Absent);
        }
        if let Some(constant) = &rule.constant {
            return self.scalar(rule, constant);
        }
        if !rule.collect.is_empty() {
            return Ok(self.collected(rule));
        }
        if let Some(pairs) = &rule.pairs {
            return Ok(pairs.set(self.look(&pairs.list)).map_or(Found::Absent, |set| Found::Value(set, false)));
        }
        if let Some(separator) = &rule.join {
            let parts: Vec<&str> = rule.from.iter().filter_map(|input| self.first(std::slice::from_ref(input))).collect();
            return if parts.is_empty() { self.nothing(rule) } else { self.scalar(rule, &parts.join(separator)) };
        }
        if rule.sum {
            return self.sum(rule);
        }
        if let Some(name) = &rule.query {
            let value = self.first(&rule.from).and_then(|url| parameter(url, name));
            return value.map_or(Ok(Found::Absent), |value| self.scalar(rule, &value));
        }
        match self.pick(&rule.from) {
            Picked::Scalar(text) if means_none(rule, text) => Ok(Found::Value(Value::Null, false)),
            Picked::Scalar(text) if rule.placeholder.as_deref() == Some(text) => Ok(Found::Absent),
            Picked::Scalar(text) if rule.first_word || rule.angled => {
                let between = |c: char| c.is_whitespace() || matches!(c, ',' | ';');
                let first = || text.split(between).find(|word| !word.is_empty()).unwrap_or(text);
                let text = if rule.first_word { first() } else { text };
                let bare = rule.angled && !text.starts_with('<');
                self.scalar(rule, &if bare { Cow::Owned(format!("<{text}>")) } else { Cow::Borrowed(text) })
            }
            Picked::Scalar(text) => self.scalar(rule, text),
            Picked::Container(captured) if rule.kind == Kind::Set => Ok(Found::Value(list(captured), false)),
            // With alternatives, one of them is often a member of the object.
            Picked::Container(_) if rule.from.len() > 1 => Ok(Found::Absent),
            Picked::Container(_) => Err(Fault("a single value is expected")),
            Picked::Absent | Picked::Null | Picked::Empty => self.nothing(rule),
        }
    }

    fn nothing(&self, rule: &Rule) -> Result<Found, Fault> {
        if let Some(default) = &rule.default {
            return self.scalar(rule, default);
        }
        Ok(match self.pick(&rule.from) {
            Picked::Null => Found::Value(Value::Null, false),
            Picked::Empty if self.plan.empty_is_null => Found::Value(Value::Null, false),
            Picked::Empty => Found::Value(empty(rule.kind), false),
            _ => Found::Absent,
        })
    }

    fn scalar(&self, rule: &Rule, text: &str) -> Result<Found, Fault> {
        let mut flagged = false;
        let value = match rule.kind {
            Kind::Text => Value::text(normal::tidy(text)),
            Kind::Name => Value::text(normal::name(text)),
            Kind::Id | Kind::Verbatim => Value::text(text),
            Kind::Industry => Value::Text(normal::industry(text)),
            Kind::Email => Value::Text(normal::email(text)?),
            Kind::Url => Value::Text(normal::url(text)?),
            Kind::Domain => Value::Text(normal::domain(text)?),
            Kind::Country => Value::text(normal::country(text)?),
            Kind::Currency => Value::text(normal::currency(text)?),
            Kind::Decimal if rule.unit == Some(Unit::Fraction) => Value::Text(normal::percent(text)?),
            Kind::Decimal => Value::Text(normal::decimal(text)?),
            Kind::Int => integer(text)?,
            Kind::Bool => boolean(text)?,
            Kind::Ref => Value::Text(format!("{}:{text}", rule.remote.as_deref().unwrap_or_default())),
            Kind::Phone => {
                let region = match self.first(&rule.calling_code) {
                    Some(code) => Some(normal::region_of_code(code)?),
                    None => self.region(rule),
                };
                let phone = normal::phone(text, region)?;
                flagged = phone.extension;
                Value::Text(phone.e164)
            }
            Kind::Money => return self.money(rule, text),
            Kind::Instant => Value::Text(normal::instant(text, rule.unit.unwrap_or_default(), self.zone(rule)?.as_ref())?),
            Kind::Date => Value::Text(self.day(rule, text)?),
            Kind::Enum => {
                let (name, known) = self.member(rule, text);
                flagged = !known;
                Value::text(name)
            }
            Kind::Set => split(text, rule.separator.as_deref()),
        };
        Ok(Found::Value(value, flagged))
    }

    /// The zone that the payload names, else the rule's.
    fn zone(&self, rule: &Rule) -> Result<Option<normal::Zone>, Fault> {
        self.first(&rule.zone_from).or(rule.zone.as_deref()).map(normal::zone).transpose()
    }

    /// A day; an instant becomes one only where the zone is known.
    fn day(&self, rule: &Rule, text: &str) -> Result<String, Fault> {
        let zone = self.zone(rule)?;
        let day = match (normal::date(text), zone) {
            (Err(_), Some(zone)) => normal::day_of(&normal::instant(text, rule.unit.unwrap_or_default(), Some(&zone))?, &zone)?,
            (day, _) => day?,
        };
        if rule.exclusive { normal::day_before(&day) } else { Ok(day) }
    }

    fn region<'r>(&self, rule: &'r Rule) -> Option<&'r str> {
        let told = rule.region.iter().filter_map(|input| text_of(self.look(input))).find_map(normal::country_in);
        told.or(rule.region_default.as_deref())
    }

    fn money(&self, rule: &Rule, amount: &str) -> Result<Found, Fault> {
        let told = match self.first(&rule.currency) {
            Some(code) => Some(normal::currency(code)?),
            None => None,
        };
        let code = match (told, rule.currency_default.as_deref()) {
            (Some(code), _) => code,
            (None, Some(default)) => normal::currency(default)?,
            (None, None) if rule.currency_optional => return Ok(Found::Absent),
            (None, None) => return Err(Fault("an amount without a currency")),
        };
        let scale = match rule.unit {
            Some(Unit::Minor) => self.plan.exponents.get(code).copied().unwrap_or_else(|| normal::exponent(code)),
            _ => 0,
        };
        let times = self.first(&rule.times);
        if times.is_none() && !rule.times.is_empty() {
            return Ok(Found::Absent);
        }
        Ok(Found::Value(Value::Money(normal::minor(amount, scale, code, times)?), false))
    }

    /// All amounts that `from` finds, in one currency.
    fn sum(&self, rule: &Rule) -> Result<Found, Fault> {
        let mut total: Option<canonical::Money> = None;
        let all = rule.from.iter().flat_map(|input| match self.look(input) {
            Captured::Many(list) => list.as_slice(),
            one => std::slice::from_ref(one),
        });
        for amount in all.filter_map(text_of) {
            let Found::Value(Value::Money(money), _) = self.money(rule, amount)? else { return Ok(Found::Absent) };
            let sum = total.as_ref().map_or(Some(money.minor), |t| t.minor.checked_add(money.minor));
            total = Some(canonical::Money { minor: sum.ok_or(Fault("an amount beyond 64 bits"))?, ..money });
        }
        total.map_or_else(|| self.nothing(rule), |total| Ok(Found::Value(Value::Money(total), false)))
    }

    /// The canonical name of a member, and whether it is known.
    fn member<'v>(&self, rule: &'v Rule, text: &'v str) -> (&'v str, bool) {
        let listed = rule.values.iter().find(|(native, _)| native == text);
        let listed = listed.or_else(|| rule.values.iter().find(|(native, _)| native.eq_ignore_ascii_case(text)));
        if let Some((_, canonical)) = listed {
            return (canonical, true);
        }
        let known = matches!(find_field(self.plan.object, &rule.field).map(|f| f.kind), Some(FieldKind::Enum(members)) if members.contains(&text));
        (text, known && (rule.values.is_empty() || rule.constant.is_some() || rule.default.as_deref() == Some(text)))
    }

    /// A sorted set of `name=value`.
    fn collected(&self, rule: &Rule) -> Found {
        let named = rule.from.iter().zip(&rule.collect);
        let mut set: Vec<Value> = named
            .filter_map(|(input, name)| Some(Value::Text(format!("{name}={}", self.first(std::slice::from_ref(input))?))))
            .collect();
        set.sort();
        set.dedup();
        if set.is_empty() { Found::Absent } else { Found::Value(Value::List(set), false) }
    }
}

/// The first parameter of that name in the query of a URL.
pub fn parameter<'u>(url: &'u str, name: &str) -> Option<Cow<'u, str>> {
    let query = url.split_once('?')?.1.split('#').next()?;
    let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let (_, value) = pairs.into_iter().find(|(given, _)| decode(given).is_some_and(|given| given == name))?;
    decode(value)
}

/// The native value says that there is no value.
fn means_none(rule: &Rule, text: &str) -> bool {
    rule.values.iter().any(|(native, canonical)| canonical.is_empty() && native == text)
}

fn empty(kind: Kind) -> Value {
    match kind {
        Kind::Set => Value::List(Vec::new()),
        Kind::Money | Kind::Bool | Kind::Int | Kind::Decimal | Kind::Ref => Value::Null,
        Kind::Enum | Kind::Country | Kind::Currency | Kind::Date | Kind::Instant => Value::Null,
        _ => Value::text(""),
    }
}

fn integer(text: &str) -> Result<Value, Fault> {
    let digits = normal::decimal(text)?;
    digits.parse().map(Value::Int).map_err(|_| Fault("not a whole number of 64 bits"))
}

fn boolean(text: &str) -> Result<Value, Fault> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(Value::Bool(true)),
        "false" | "0" | "no" | "off" => Ok(Value::Bool(false)),
        _ => Err(Fault("neither true nor false")),
    }
}

fn split(text: &str, separator: Option<&str>) -> Value {
    let parts: Vec<Cow<'_, str>> = match separator {
        Some(separator) if !separator.is_empty() => text.split(separator).map(normal::name).collect(),
        _ => vec![normal::name(text)],
    };
    set(parts.into_iter())
}

fn list(captured: &Captured<'_>) -> Value {
    let texts = |list: &[Captured<'_>]| -> Vec<String> { list.iter().filter_map(|c| text_of(c).map(str::to_owned)).collect() };
    let parts = match captured {
        Captured::Many(list) => texts(list),
        Captured::List(raw) => texts(&elements(raw)),
        _ => Vec::new(),
    };
    set(parts.into_iter().map(Cow::Owned))
}

fn set<'v>(parts: impl Iterator<Item = Cow<'v, str>>) -> Value {
    let mut values: Vec<Value> = parts.filter(|p| !p.is_empty()).map(Value::text).collect();
    values.sort();
    values.dedup();
    Value::List(values)
}
