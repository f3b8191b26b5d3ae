//! Mapping rules in plain English. Native names, paths and values are in backticks.

use canonical::{FieldDef, FieldKind, ValueKind};
use mapping::compile::keys::RULE;
use mapping::{
    Condition, Conversion, DateRule, DecimalUnit, EnumRule, FieldRule, Input, InstantRule, Map, MoneyRule, MoneyUnit, Pairs,
    PhoneRule, Plan, SetMember, SetRule, TimeUnit, ZoneRule,
};

/// A text in backticks.
pub fn code(text: &str) -> String {
    format!("`{text}`")
}

/// `a`, `b` or `c`; with `else`, in that order: `a`, else `b`, else `c`.
pub fn listing<T: AsRef<str>>(items: &[T], word: &str) -> String {
    let all: Vec<&str> = items.iter().map(AsRef::as_ref).collect();
    match all.as_slice() {
        _ if word == "else" => all.join(", else "),
        [first @ .., before, last] => {
            let first: String = first.iter().map(|item| format!("{item}, ")).collect();
            format!("{first}{before} {word} {last}")
        }
        _ => all.concat(),
    }
}

/// Texts in backticks, as a list.
pub fn codes<T: AsRef<str>>(items: &[T], word: &str) -> String {
    let items: Vec<String> = items.iter().map(|item| code(item.as_ref())).collect();
    listing(&items, word)
}

/// A rule with what it belongs to.
#[derive(Clone, Copy)]
pub struct RuleContext<'a> {
    /// The mapping file.
    pub map: &'a Map,
    /// The object's table in it.
    pub plan: &'a Plan,
    /// The rule.
    pub rule: &'a FieldRule,
    /// The canonical field.
    pub def: &'static FieldDef,
}

/// What a key of a rule does to a value, in the words that the key is declared with.
fn step(key: &str, value: &str) -> String {
    RULE.find(key).map(|key| key.step.replace("{}", value)).unwrap_or_default()
}

/// Where inputs are, as a list in backticks.
pub fn inputs(map: &Map, inputs: &[Input], word: &str) -> String {
    let all: Vec<String> = inputs.iter().map(|input| map.input_name(input)).collect();
    codes(&all, word)
}

/// Conditions, of which all hold (`and`) or one holds (`or`).
pub fn conditions(map: &Map, conditions: &[Condition], word: &str) -> String {
    let one = |condition: &Condition| {
        let (plain, special): (Vec<&String>, Vec<&String>) = condition.any.iter().partition(|value| is_plain(value));
        let mut alternatives: Vec<String> = special.iter().map(|value| special_value(value)).collect();
        if !plain.is_empty() {
            alternatives.push(format!("is {}", codes(&plain, "or")));
        }
        let others = |inputs: &[Input], word| inputs.iter().map(|input| format!("{word} `{}`", map.input_name(input))).collect();
        let (same, different): (Vec<String>, Vec<String>) =
            (others(&condition.same_as, "is the same as"), others(&condition.other_than, "differs from"));
        alternatives.extend(same.into_iter().chain(different));
        format!("`{}` {}", map.input_name(&condition.input), listing(&alternatives, "or"))
    };
    let all: Vec<String> = conditions.iter().map(one).collect();
    listing(&all, word)
}

/// What becomes of a set.
fn set_of(set: &SetRule) -> String {
    let members = match set.member {
        SetMember::Verbatim => "",
        SetMember::Name => " of names",
        SetMember::Email => " of e-mail addresses",
    };
    let mut text = match (&set.separator, set.escape) {
        (Some(separator), None) => format!("a set{members}, of a list or of one text with `{separator}` between"),
        (Some(separator), Some(escape)) => {
            format!("a set{members}, of a list or of one text with `{separator}` between, unless `{escape}` is before it")
        }
        (None, _) => format!("a set{members}: sorted, each value once"),
    };
    if let Some(field) = &set.without {
        text += &format!(", without the value of `{field}`");
    }
    text
}

/// Whether a condition's value is meant literally.
fn is_plain(value: &str) -> bool {
    !(value.is_empty() || value == "null" || value.starts_with('!') || value.ends_with('*'))
}

fn special_value(value: &str) -> String {
    match (value, value.strip_prefix('!'), value.strip_suffix('*')) {
        ("*", ..) => "has a value".to_owned(),
        ("null", ..) => "is null".to_owned(),
        (_, Some(""), _) => "is not empty".to_owned(),
        (_, Some(other), _) => format!("is not `{other}`"),
        (_, _, Some(start)) => format!("begins with `{start}`"),
        _ => "is empty".to_owned(),
    }
}

/// How a time is written.
pub const fn time_unit(unit: TimeUnit) -> &'static str {
    match unit {
        TimeUnit::S => "seconds since 1970",
        TimeUnit::Ms => "milliseconds since 1970",
        TimeUnit::Iso => "ISO 8601",
        TimeUnit::IsoOrMs => "ISO 8601, or milliseconds since 1970",
        TimeUnit::IsoOrS => "ISO 8601, or seconds since 1970",
        TimeUnit::Dotnet => "`/Date(ms)/` of .NET, or ISO 8601",
        TimeUnit::Rfc1123 => "RFC 1123 (Tue, 15 Nov 1994 12:45:26 GMT)",
    }
}

/// How an amount is written.
const fn money_unit(unit: MoneyUnit) -> &'static str {
    match unit {
        MoneyUnit::Minor => "minor units (cents)",
        MoneyUnit::Major => "whole units with decimals",
    }
}

/// What a value of a field must be, whatever its source.
pub fn validation(kind: FieldKind) -> String {
    match kind {
        FieldKind::Text => "text, trimmed".to_owned(),
        FieldKind::Name => "text, white space folded".to_owned(),
        FieldKind::Email => "a valid e-mail address".to_owned(),
        FieldKind::Phone => "a telephone number in E.164".to_owned(),
        FieldKind::Country => "an ISO 3166-1 alpha-2 code".to_owned(),
        FieldKind::Currency => "an ISO 4217 code".to_owned(),
        FieldKind::Money => "an exact amount with an ISO 4217 currency; no more decimals than the currency has".to_owned(),
        FieldKind::Date => "a calendar day (`2026-01-31`)".to_owned(),
        FieldKind::Instant => "a point in time in UTC".to_owned(),
        FieldKind::Enum(members) => format!("one of {}; another value is kept and flagged", codes(members, "or")),
        FieldKind::Bool => "true or false".to_owned(),
        FieldKind::Int => "a whole number of 64 bits".to_owned(),
        FieldKind::Decimal => "a decimal number, every digit kept".to_owned(),
        FieldKind::Url => "an absolute http(s) URL".to_owned(),
        FieldKind::Domain => "a host name".to_owned(),
        FieldKind::Industry => "an industry as a lower-case name".to_owned(),
        FieldKind::Id => "an identifier, byte for byte".to_owned(),
        FieldKind::Verbatim => "text, byte for byte".to_owned(),
        FieldKind::Ref(object) => format!("a reference to a {object}"),
        FieldKind::Set(ValueKind::Email) => "a sorted list of e-mail addresses without duplicates".to_owned(),
        FieldKind::Set(_) => "a sorted list of texts without duplicates".to_owned(),
    }
}

impl RuleContext<'_> {
    /// What is done with the native value on the way in, a step each.
    pub fn incoming(&self) -> Vec<String> {
        let (map, rule) = (self.map, self.rule);
        let mut steps = self.gathering();
        if rule.constant.is_none() && rule.collect.is_empty() && rule.pairs.is_none() {
            steps.push(self.normalising());
        }
        if !rule.none_values.is_empty() {
            steps.push(format!("{} means that there is no value", codes(&rule.none_values, "or")));
        }
        steps.extend(rule.default.iter().map(|default| step("default", default)));
        steps.extend(rule.placeholder.iter().map(|placeholder| step("placeholder", placeholder)));
        if self.plan.empty_is_null && rule.constant.is_none() {
            steps.push("an empty text clears the field".to_owned());
        }
        if !rule.when.is_empty() {
            steps.push(step("when", &conditions(map, &rule.when, "and")));
        }
        if !rule.unless.is_empty() {
            steps.push(step("unless", &conditions(map, &rule.unless, "or")));
        }
        if self.is_alternative() {
            steps.push("only where the rule before gives nothing".to_owned());
        }
        if !self.plan.when.is_empty() {
            steps.push(format!("of records where {}", conditions(map, &self.plan.when, "and")));
        }
        steps
    }

    /// Whether another rule of the field goes before this one.
    fn is_alternative(&self) -> bool {
        let before = self.plan.rules.iter().take_while(|rule| !std::ptr::eq(*rule, self.rule));
        before.filter(|rule| rule.direction.reads()).any(|rule| rule.field == self.rule.field)
    }

    /// How one value is made of what the inputs hold.
    fn gathering(&self) -> Vec<String> {
        let rule = self.rule;
        if let Some(constant) = &rule.constant {
            return vec![step("const", constant)];
        }
        if let Some(pairs) = &rule.pairs {
            return vec![self.pairs(pairs)];
        }
        if !rule.collect.is_empty() {
            return vec![format!("collected as `name=value`, with the names {}", codes(&rule.collect, "and"))];
        }
        let money = match &rule.conversion {
            Conversion::Money(money) => Some(money),
            _ => None,
        };
        let mut steps = Vec::new();
        match (&rule.join, rule.from.len()) {
            (Some(separator), _) if separator.trim().is_empty() => steps.push("joined by a space".to_owned()),
            (Some(separator), _) => steps.push(step("join", separator)),
            (None, _) if money.is_some_and(|money| money.sum) => steps.push(step("sum", "")),
            (None, 0 | 1) => {}
            (None, _) => steps.push("the first of these that has a value".to_owned()),
        }
        steps.extend(rule.query.iter().map(|parameter| step("query", parameter)));
        if rule.first_word {
            steps.push(step("first_word", ""));
        }
        if rule.angled {
            steps.push(step("angled", ""));
        }
        if let Some(money) = money.filter(|money| !money.times.is_empty()) {
            steps.push(step("times", &inputs(self.map, &money.times, "else")));
        }
        steps
    }

    fn pairs(&self, pairs: &Pairs) -> String {
        let list = self.map.input_name(&pairs.list);
        if pairs.name.is_empty() {
            return format!("each member of the object `{list}` becomes `name=value`");
        }
        let paths = |paths: &[mapping::Path]| codes(&paths.iter().map(ToString::to_string).collect::<Vec<_>>(), "else");
        let (name, value) = (paths(&pairs.name), paths(&pairs.value));
        let bare = if pairs.bare { ", or `name` where there is no value" } else { "" };
        let all = if pairs.all { ", all of them" } else { "" };
        format!("each element of `{list}` becomes `name=value`: the name from {name}, the value from {value}{all}{bare}")
    }

    /// What the kind of the rule makes of a text.
    fn normalising(&self) -> String {
        match &self.rule.conversion {
            Conversion::Text => "trimmed".to_owned(),
            Conversion::Name => "trimmed, white space folded".to_owned(),
            Conversion::Email => "the bare address, lower case, domain in ASCII; the first that is one".to_owned(),
            Conversion::Phone(phone) => self.phone(phone),
            Conversion::Country => "country name or code to its two-letter ISO 3166-1 code".to_owned(),
            Conversion::Currency => "to an ISO 4217 code".to_owned(),
            Conversion::Money(money) => self.money(money),
            Conversion::Date(date) => self.date(date),
            Conversion::Instant(instant) => self.instant(instant),
            Conversion::Enum(members) => self.members(members),
            Conversion::Bool => "yes/no, on/off, 1/0 to true or false".to_owned(),
            Conversion::Int => "to a whole number".to_owned(),
            Conversion::Decimal(DecimalUnit::Plain) => "to a decimal number, no digit lost".to_owned(),
            Conversion::Decimal(DecimalUnit::Fraction) => "a fraction of one to percent".to_owned(),
            Conversion::Url => "must be an absolute URL".to_owned(),
            Conversion::Domain => "the host name alone, lower case, without `www.`".to_owned(),
            Conversion::Industry => "to a lower-case name".to_owned(),
            Conversion::Id | Conversion::Verbatim => "as it is, byte for byte".to_owned(),
            Conversion::Ref(target) => match self.def.kind {
                FieldKind::Ref(object) => format!("the id of a `{}` becomes a reference to a {object}", target.remote),
                _ => "the id becomes a reference".to_owned(),
            },
            Conversion::Set(set) => set_of(set),
        }
    }

    fn phone(&self, rule: &PhoneRule) -> String {
        let mut text = "phone number to E.164".to_owned();
        if !rule.calling_code.is_empty() {
            text += &format!(", with the calling code from {}", inputs(self.map, &rule.calling_code, "else"));
        }
        let region = inputs(self.map, &rule.region, "else");
        text += &match (region.is_empty(), &rule.region_default) {
            (false, Some(default)) => format!(", with the country from {region}, else `{default}`"),
            (false, None) => format!(", with the country from {region}"),
            (true, Some(default)) => format!(", a national number as one of `{default}`"),
            (true, None) if rule.calling_code.is_empty() => "; a number without its country is set aside".to_owned(),
            (true, None) => String::new(),
        };
        text
    }

    fn money(&self, rule: &MoneyRule) -> String {
        let mut currencies: Vec<String> =
            rule.currency.iter().map(|input| format!("from `{}`", self.map.input_name(input))).collect();
        currencies.extend(rule.currency_default.iter().map(|code| format!("`{code}`")));
        let mut text = format!("amount in {}, currency {}", money_unit(rule.unit), listing(&currencies, "else"));
        if rule.unit == MoneyUnit::Minor && !self.plan.exponents.is_empty() {
            let odd: Vec<String> = self.plan.exponents.iter().map(|(code, n)| format!("{code} {n}")).collect();
            text += &format!(" (decimals of this provider: {})", odd.join(", "));
        }
        if rule.currency_optional {
            text += &format!("; {}", step("currency_optional", ""));
        }
        text
    }

    fn zone(&self, rule: &ZoneRule) -> Option<String> {
        let named = (!rule.from.is_empty()).then(|| format!("from {}", inputs(self.map, &rule.from, "else")));
        let all: Vec<String> = named.into_iter().chain(rule.fixed.as_ref().map(|zone| code(zone))).collect();
        (!all.is_empty()).then(|| listing(&all, "else"))
    }

    fn date(&self, rule: &DateRule) -> String {
        let mut text = match self.zone(&rule.zone) {
            Some(zone) => {
                let written = time_unit(rule.unit.unwrap_or_default());
                format!("to a day; of a point in time ({written}) the day in the zone {zone}")
            }
            None => "to a day".to_owned(),
        };
        if rule.exclusive {
            text += &format!(", {}", step("exclusive", ""));
        }
        text
    }

    fn instant(&self, rule: &InstantRule) -> String {
        let text = format!("{} to UTC", time_unit(rule.unit));
        match self.zone(&rule.zone) {
            Some(zone) => format!("{text}; without an offset it is meant in the zone {zone}"),
            None => text,
        }
    }

    /// The table of a list's members.
    fn members(&self, rule: &EnumRule) -> String {
        let table: Vec<String> = rule.values.iter().map(|(native, canonical)| format!("`{native}` → `{canonical}`")).collect();
        if table.is_empty() { "the same names".to_owned() } else { table.join(", ") }
    }

    /// What is done with the canonical value on the way out, a step each.
    pub fn outgoing(&self) -> Vec<String> {
        let rule = self.rule;
        let mut steps = vec![match &rule.conversion {
            Conversion::Enum(members) => self.members_out(members),
            Conversion::Money(money) => money_out(money),
            Conversion::Date(date) => match date.unit {
                None => "as a day".to_owned(),
                Some(TimeUnit::Ms) => "as midnight UTC, in milliseconds since 1970".to_owned(),
                Some(_) => "as midnight UTC".to_owned(),
            },
            Conversion::Instant(instant) => format!("as {}", time_unit(instant.unit)),
            Conversion::Ref(_) => "as the id there".to_owned(),
            Conversion::Set(set) => format!("joined by `{}`", set.separator.as_deref().unwrap_or(";")),
            _ => "as it is".to_owned(),
        }];
        if !rule.fallback.is_empty() {
            let fields: Vec<&str> = rule.fallback.iter().map(AsRef::as_ref).collect();
            steps.push(step("fallback", &codes(&fields, "else")));
        }
        steps.extend(rule.default_out.as_ref().or(rule.placeholder.as_ref()).map(|text| step("default_out", text)));
        steps
    }

    fn members_out(&self, rule: &EnumRule) -> String {
        if rule.values.is_empty() && rule.out.is_empty() {
            return "the same names".to_owned();
        }
        let named: Vec<&str> =
            rule.out.iter().map(|(name, _)| name).chain(rule.values.iter().map(|(_, name)| name)).map(String::as_str).collect();
        let members = match self.def.kind {
            FieldKind::Enum(members) => members,
            _ => named.as_slice(),
        };
        let mut table: Vec<String> = Vec::new();
        for member in members {
            let pair = rule.native(member).map(|native| format!("`{member}` → `{native}`"));
            table.extend(pair.filter(|pair| !table.contains(pair)));
        }
        let rest = if table.len() == members.len() { "" } else { "; no other is written" };
        format!("{}{rest}", table.join(", "))
    }

    /// What the destination needs of the value, and what else matters about it.
    pub fn checks(&self, writes: bool) -> Vec<String> {
        let rule = self.rule;
        let mut checks = Vec::new();
        if rule.key {
            checks.push(step("key", ""));
        }
        if writes && rule.required {
            checks.push(step("required", ""));
        }
        checks.extend(rule.limit.filter(|_| writes).map(|limit| step("limit", &limit.to_string())));
        checks
    }
}

fn money_out(rule: &MoneyRule) -> String {
    let mut text = format!("in {}", money_unit(rule.unit));
    match (&rule.currency_to, &rule.currency_default) {
        (Some(to), _) => text += &format!(", the currency to `{to}`"),
        (None, Some(default)) => text += &format!("; only amounts in `{default}`"),
        (None, None) => {}
    }
    text
}
