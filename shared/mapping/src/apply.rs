//! Applies a rule to what a reader found: native values become canonical values.

use std::borrow::Cow;

use canonical::{FieldDef, FieldKind, Money, Value, find_field};

use crate::captured::{Captured, text_of};
use crate::context::Context;
use crate::input::{Condition, Input};
use crate::map::{Coverage, Plan};
use crate::normal::{self, Fault};
use crate::pairs::sorted_set;
use crate::query::query_parameter;
use crate::rule::{
    Conversion, DateRule, DecimalUnit, EnumRule, FieldRule, InstantRule, MoneyRule, MoneyUnit, PhoneRule, ZoneRule,
};
use crate::sets::Members;

/// What a rule found.
#[derive(Debug, PartialEq)]
pub(crate) enum Found {
    /// The source does not mention the field.
    Absent,
    /// A value.
    Value {
        /// The canonical value.
        value: Value,
        /// True when the value is stored as it came, because the rule does not know it.
        flagged: bool,
        /// What is wrong with a part that was set aside.
        fault: Option<Fault>,
    },
}

impl From<Value> for Found {
    fn from(value: Value) -> Found {
        Found::Value { value, flagged: false, fault: None }
    }
}

impl From<Members> for Found {
    fn from(Members { value, fault }: Members) -> Found {
        Found::Value { value, flagged: false, fault }
    }
}

/// What the rules of one plan look at.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'p, 'a> {
    pub plan: &'p Plan,
    pub slots: &'p [Captured<'a>],
    pub context: &'p Context<'a>,
}

/// The first of several inputs that has a value; when none has one, what the first input that is not absent has.
enum Picked<'p, 'a> {
    Absent,
    Null,
    Empty,
    Scalar(&'p str),
    Container(&'p Captured<'a>),
}

impl<'p, 'a> Scope<'p, 'a> {
    pub fn captured(&self, input: &Input) -> &'p Captured<'a> {
        const ABSENT: &Captured<'_> = &Captured::Absent;
        match input {
            Input::Slot(slot) => self.slots.get(usize::from(*slot)).unwrap_or(ABSENT),
            Input::Var(name) => self.context.get(name).unwrap_or(ABSENT),
        }
    }

    fn pick(&self, inputs: &[Input]) -> Picked<'p, 'a> {
        let mut found = Picked::Absent;
        for input in inputs {
            let captured = self.captured(input);
            match (text_of(captured), captured, &found) {
                (Some(text), ..) if !normal::is_blank(text) => return Picked::Scalar(text),
                (Some(_), _, Picked::Absent | Picked::Null) => found = Picked::Empty,
                (None, Captured::Null, Picked::Absent) => found = Picked::Null,
                (None, Captured::Unmatched, Picked::Absent) if self.plan.coverage == Coverage::Snapshot => found = Picked::Null,
                (None, Captured::Object(_) | Captured::List(_) | Captured::Many(_), Picked::Absent) => {
                    found = Picked::Container(captured);
                }
                _ => {}
            }
        }
        found
    }

    /// The first text, number or boolean that is not absent and not empty.
    pub fn first(&self, inputs: &[Input]) -> Option<&'p str> {
        match self.pick(inputs) {
            Picked::Scalar(text) => Some(text),
            _ => None,
        }
    }

    /// The texts of all inputs that have one.
    pub fn all(&self, inputs: &[Input]) -> Vec<&'p str> {
        inputs.iter().filter_map(|input| self.first(std::slice::from_ref(input))).collect()
    }

    /// True when all conditions hold.
    pub fn holds(&self, conditions: &[Condition]) -> bool {
        conditions.iter().all(|condition| self.holds_one(condition))
    }

    fn holds_one(&self, condition: &Condition) -> bool {
        let captured = self.captured(&condition.input);
        let present = !matches!(captured, Captured::Absent | Captured::Null | Captured::Unmatched);
        let same = |other: &Input| present && text_of(self.captured(other)) == text_of(captured);
        if condition.same_as.iter().any(same) || condition.other_than.iter().any(|other| present && !same(other)) {
            return true;
        }
        condition.any.iter().any(|want| match want.as_str() {
            "*" => present,
            "null" if *captured == Captured::Null => true,
            want if want.starts_with('!') => present && text_of(captured) != want.get(1..),
            want => match want.strip_suffix('*') {
                Some(start) => text_of(captured).is_some_and(|text| text.starts_with(start)),
                None => text_of(captured) == Some(want),
            },
        })
    }

    /// The class of what a rule reads, for messages.
    pub fn class(&self, rule: &FieldRule) -> &'static str {
        let all = || rule.from.iter().map(|input| self.captured(input));
        let present = || all().filter(|c| !matches!(c, Captured::Absent | Captured::Unmatched));
        present().find(|c| **c != Captured::Null).or_else(|| present().next()).map_or("nothing", Captured::class)
    }

    /// Applies a rule.
    pub fn apply(&self, rule: &FieldRule) -> Result<Found, Fault> {
        let barred = rule.unless.iter().any(|condition| self.holds_one(condition));
        if barred || !self.holds(&rule.when) {
            return Ok(Found::Absent);
        }
        if let Some(constant) = &rule.constant {
            return self.convert(rule, constant);
        }
        if !rule.collect.is_empty() {
            return Ok(self.collect(rule));
        }
        if let Some(pairs) = &rule.pairs {
            return Ok(pairs.set(self.captured(&pairs.list)).map_or(Found::Absent, Found::from));
        }
        if let Some(separator) = &rule.join {
            let parts = self.all(&rule.from);
            return if parts.is_empty() { self.without_value(rule) } else { self.convert(rule, &parts.join(separator)) };
        }
        if let Conversion::Money(money @ MoneyRule { sum: true, .. }) = &rule.conversion {
            return self.sum(rule, money);
        }
        if let Some(name) = &rule.query {
            let value = self.first(&rule.from).and_then(|url| query_parameter(url, name));
            return value.map_or(Ok(Found::Absent), |value| self.convert(rule, &value));
        }
        self.apply_to_first(rule)
    }

    /// Applies a rule to the first of its inputs that has a value.
    fn apply_to_first(&self, rule: &FieldRule) -> Result<Found, Fault> {
        if let Conversion::Email | Conversion::Phone(_) | Conversion::Url | Conversion::Domain = rule.conversion {
            return self.apply_to_usable(rule);
        }
        match self.pick(&rule.from) {
            Picked::Scalar(text) if rule.none_values.iter().any(|none| none == text) => Ok(Value::Null.into()),
            Picked::Scalar(text) if rule.placeholder.as_deref() == Some(text) => Ok(Found::Absent),
            Picked::Scalar(text) => self.convert(rule, &cut_and_bracket(rule, text)),
            Picked::Container(captured) => match &rule.conversion {
                Conversion::Set(set) => set.of_list(captured).map(Found::from),
                // With alternatives, one of them is often a member of the object.
                _ if rule.from.len() > 1 => Ok(Found::Absent),
                _ => Err(Fault("a single value is expected")),
            },
            Picked::Absent | Picked::Null | Picked::Empty => self.without_value(rule),
        }
    }

    /// Applies a rule to the first text of its inputs, and of the lists among them, that has a canonical form.
    fn apply_to_usable(&self, rule: &FieldRule) -> Result<Found, Fault> {
        let captured = rule.from.iter().map(|input| self.captured(input));
        let texts = captured.flat_map(|found| match found {
            Captured::Many(list) => list.as_slice(),
            one => std::slice::from_ref(one),
        });
        let mut first = None;
        for text in texts.filter_map(text_of).filter(|text| !normal::is_blank(text)) {
            let found = match text {
                none if rule.none_values.iter().any(|value| value == none) => Ok(Value::Null.into()),
                placeholder if rule.placeholder.as_deref() == Some(placeholder) => Ok(Found::Absent),
                text => self.convert(rule, &cut_and_bracket(rule, text)),
            };
            match found {
                Ok(Found::Value { value, flagged, fault }) if !value.is_null() => {
                    return Ok(Found::Value { value, flagged, fault });
                }
                found => first = first.or(Some(found)),
            }
        }
        first.unwrap_or_else(|| match self.pick(&rule.from) {
            Picked::Container(Captured::Many(_)) if self.plan.coverage == Coverage::Snapshot => Ok(Value::Null.into()),
            Picked::Container(Captured::Many(_)) => Ok(Found::Absent),
            Picked::Container(_) if rule.from.len() == 1 => Err(Fault("a single value is expected")),
            _ => self.without_value(rule),
        })
    }

    /// What a rule gives when none of its inputs has a value.
    fn without_value(&self, rule: &FieldRule) -> Result<Found, Fault> {
        if let Some(default) = &rule.default {
            return self.convert(rule, default);
        }
        Ok(match self.pick(&rule.from) {
            Picked::Null => Value::Null.into(),
            Picked::Empty if self.plan.empty_is_null => Value::Null.into(),
            Picked::Empty => empty(&rule.conversion).into(),
            _ => Found::Absent,
        })
    }

    /// Makes a canonical value of a text.
    fn convert(&self, rule: &FieldRule, text: &str) -> Result<Found, Fault> {
        let value = match &rule.conversion {
            Conversion::Text => Value::text(normal::tidy(text)),
            Conversion::Name => Value::text(normal::name(text)),
            Conversion::Id | Conversion::Verbatim => Value::text(text),
            Conversion::Industry => Value::Text(normal::industry(text)),
            Conversion::Email => Value::Text(normal::email(text)?),
            Conversion::Url => Value::Text(normal::url(text)?),
            Conversion::Domain => Value::Text(normal::domain(text)?),
            Conversion::Country => Value::text(normal::country(text)?),
            Conversion::Currency => Value::text(normal::currency(text)?),
            Conversion::Decimal(DecimalUnit::Plain) => Value::Text(normal::decimal(&normal::visible(text))?),
            Conversion::Decimal(DecimalUnit::Fraction) => Value::Text(normal::percent(&normal::visible(text))?),
            Conversion::Int => integer(&normal::visible(text))?,
            Conversion::Bool => boolean(&normal::visible(text))?,
            Conversion::Ref(target) => Value::Text(format!("{}:{text}", target.remote)),
            Conversion::Set(set) => return set.of_text(text).map(Found::from),
            Conversion::Instant(instant) => timed(rule, text, |text| self.instant(instant, text))?,
            Conversion::Date(date) => timed(rule, text, |text| self.day(date, text))?,
            Conversion::Money(money) => {
                return Ok(self.money(money, &normal::visible(text))?.map_or(Found::Absent, |m| Value::Money(m).into()));
            }
            Conversion::Phone(phone) => return self.phone(phone, text),
            Conversion::Enum(members) => return Ok(self.member(rule, members, text)),
        };
        Ok(value.into())
    }

    /// A point in time. The zone matters only where the text has no offset of its own.
    fn instant(&self, rule: &InstantRule, text: &str) -> Result<String, Fault> {
        match normal::instant(text, rule.unit, None) {
            Ok(at) => Ok(at),
            Err(fault) => match self.zone(&rule.zone)? {
                Some(zone) => normal::instant(text, rule.unit, Some(&zone)),
                None => Err(fault),
            },
        }
    }

    /// The zone that the payload names, else the rule's.
    fn zone(&self, rule: &ZoneRule) -> Result<Option<normal::Zone>, Fault> {
        self.first(&rule.from).or(rule.fixed.as_deref()).map(normal::zone).transpose()
    }

    /// A day; an instant becomes one only where the zone is known.
    fn day(&self, rule: &DateRule, text: &str) -> Result<String, Fault> {
        let zone = self.zone(&rule.zone)?;
        let day = match (normal::date(text), zone) {
            (Err(_), Some(zone)) => normal::day_of(&normal::instant(text, rule.unit.unwrap_or_default(), Some(&zone))?, &zone)?,
            (day, _) => day?,
        };
        if rule.exclusive { normal::day_before(&day) } else { Ok(day) }
    }

    fn phone(&self, rule: &PhoneRule, text: &str) -> Result<Found, Fault> {
        let region = match self.first(&rule.calling_code) {
            Some(code) => Some(normal::region_of_code(code)?),
            None => self.region(rule),
        };
        let phone = normal::phone(text, region)?;
        Ok(Found::Value { value: Value::Text(phone.e164), flagged: phone.extension, fault: None })
    }

    fn region<'r>(&self, rule: &'r PhoneRule) -> Option<&'r str> {
        let named = rule.region.iter().filter_map(|input| text_of(self.captured(input))).find_map(normal::country_in);
        named.or(rule.region_default.as_deref())
    }

    /// An amount; `None` when it has no currency, or no quantity to multiply by, and may be left out for that.
    fn money(&self, rule: &MoneyRule, amount: &str) -> Result<Option<Money>, Fault> {
        let Some(code) = self.first(&rule.currency).or(rule.currency_default.as_deref()) else {
            return if rule.currency_optional { Ok(None) } else { Err(Fault("an amount without a currency")) };
        };
        let code = normal::currency(code)?;
        let scale = match rule.unit {
            MoneyUnit::Minor => self.plan.exponents.get(code).copied().unwrap_or_else(|| normal::exponent(code)),
            MoneyUnit::Major => 0,
        };
        let times = self.first(&rule.times);
        if times.is_none() && !rule.times.is_empty() {
            return Ok(None);
        }
        normal::minor(amount, scale, code, times).map(Some)
    }

    /// All amounts that `from` finds, in one currency.
    fn sum(&self, rule: &FieldRule, money: &MoneyRule) -> Result<Found, Fault> {
        let mut total: Option<Money> = None;
        let amounts = rule.from.iter().flat_map(|input| match self.captured(input) {
            Captured::Many(list) => list.as_slice(),
            one => std::slice::from_ref(one),
        });
        for amount in amounts.filter_map(text_of) {
            let Some(amount) = self.money(money, amount)? else { return Ok(Found::Absent) };
            let sum = total.as_ref().map_or(Some(amount.minor), |t| t.minor.checked_add(amount.minor));
            total = Some(Money { minor: sum.ok_or(Fault("an amount beyond 64 bits"))?, ..amount });
        }
        total.map_or_else(|| self.without_value(rule), |total| Ok(Value::Money(total).into()))
    }

    /// The canonical name of a member; an unknown one is stored as it came and flagged.
    fn member(&self, rule: &FieldRule, members: &EnumRule, text: &str) -> Found {
        let visible = normal::visible(text);
        let text = visible.trim();
        let listed = members.values.iter().find(|(native, _)| native == text);
        let listed = listed.or_else(|| members.values.iter().find(|(native, _)| native.eq_ignore_ascii_case(text)));
        if let Some((_, canonical)) = listed {
            return Value::text(canonical.as_str()).into();
        }
        let canonical = members.members.iter().any(|member| member == text)
            || matches!(find_field(self.plan.object, &rule.field), Some(FieldDef { kind: FieldKind::Enum(names), .. }) if names.contains(&text));
        // A native value that only looks like a canonical name counts where the rule translates nothing.
        let meant = members.values.is_empty() || rule.constant.is_some() || rule.default.as_deref() == Some(text);
        Found::Value { value: Value::text(text), flagged: !(canonical && meant), fault: None }
    }

    /// A sorted set of `name=value`.
    fn collect(&self, rule: &FieldRule) -> Found {
        let named = rule.from.iter().zip(&rule.collect);
        let pairs = named.filter_map(|(input, name)| Some(format!("{name}={}", self.first(std::slice::from_ref(input))?)));
        let set = sorted_set(pairs);
        if set.is_empty() { Found::Absent } else { Value::List(set).into() }
    }
}

/// A day or a time, or null where it, or its day, means that there is none.
fn timed(rule: &FieldRule, text: &str, read: impl Fn(&str) -> Result<String, Fault>) -> Result<Value, Fault> {
    let text = normal::visible(text);
    if normal::means_none(&text) {
        return Ok(Value::Null);
    }
    let time = read(&text)?;
    let none = normal::means_none(&time) || rule.none_values.iter().any(|day| day.len() == 10 && time.starts_with(day.as_str()));
    Ok(if none { Value::Null } else { Value::Text(time) })
}

/// The text that a rule takes: all of it or its first word, in angle brackets where the rule wants them.
fn cut_and_bracket<'t>(rule: &FieldRule, text: &'t str) -> Cow<'t, str> {
    let between = |c: char| c.is_whitespace() || matches!(c, ',' | ';');
    let first = || text.split(between).find(|word| !word.is_empty()).unwrap_or(text);
    let text = if rule.first_word { first() } else { text };
    if rule.angled && !text.starts_with('<') { Cow::Owned(format!("<{text}>")) } else { Cow::Borrowed(text) }
}

/// What an empty text means for a kind.
fn empty(conversion: &Conversion) -> Value {
    match conversion {
        Conversion::Set(_) => Value::List(Vec::new()),
        Conversion::Money(_) | Conversion::Bool | Conversion::Int | Conversion::Decimal(_) | Conversion::Ref(_) => Value::Null,
        Conversion::Enum(_) | Conversion::Country | Conversion::Currency | Conversion::Date(_) | Conversion::Instant(_) => {
            Value::Null
        }
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
