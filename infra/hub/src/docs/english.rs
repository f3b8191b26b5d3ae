//! Mapping rules in plain English. Native names, paths and values stand in backticks.

use canonical::{FieldDef, FieldKind};
use mapping::{Guard, Input, Kind, Map, Plan, Rule, Unit};

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

/// What a rule says where.
#[derive(Clone, Copy)]
pub struct Told<'a> {
    /// The mapping file.
    pub map: &'a Map,
    /// The object's table in it.
    pub plan: &'a Plan,
    /// The rule.
    pub rule: &'a Rule,
    /// The canonical field.
    pub def: &'static FieldDef,
}

/// Where an input is: a path, or a variable with its `$`.
pub fn place(map: &Map, input: &Input) -> String {
    match input {
        Input::Slot(slot) => map.paths.get(usize::from(*slot)).map(ToString::to_string).unwrap_or_default(),
        Input::Var(name) => format!("${name}"),
    }
}

/// Where inputs are, as a list in backticks.
pub fn places(map: &Map, inputs: &[Input], word: &str) -> String {
    let all: Vec<String> = inputs.iter().map(|input| place(map, input)).collect();
    codes(&all, word)
}

/// Conditions, all of which hold (`and`) or one of which does (`or`).
pub fn conditions(map: &Map, guards: &[Guard], word: &str) -> String {
    let one = |guard: &Guard| {
        let (plain, special): (Vec<&String>, Vec<&String>) = guard.any.iter().partition(|value| is_plain(value));
        let mut told: Vec<String> = special.iter().map(|value| condition(value)).collect();
        if !plain.is_empty() {
            told.push(format!("is {}", codes(&plain, "or")));
        }
        format!("`{}` {}", place(map, &guard.input), listing(&told, "or"))
    };
    let all: Vec<String> = guards.iter().map(one).collect();
    listing(&all, word)
}

/// Whether a condition is a value that is meant as it stands.
fn is_plain(value: &str) -> bool {
    !(value.is_empty() || value == "null" || value.starts_with('!') || value.ends_with('*'))
}

fn condition(value: &str) -> String {
    match (value, value.strip_prefix('!'), value.strip_suffix('*')) {
        ("*", ..) => "has a value".to_owned(),
        ("null", ..) => "is null".to_owned(),
        (_, Some(""), _) => "is not empty".to_owned(),
        (_, Some(other), _) => format!("is not `{other}`"),
        (_, _, Some(start)) => format!("begins with `{start}`"),
        _ => "is empty".to_owned(),
    }
}

/// How a time or an amount is written.
pub const fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::S => "seconds since 1970",
        Unit::Ms => "milliseconds since 1970",
        Unit::Iso => "ISO 8601",
        Unit::IsoOrMs => "ISO 8601, or milliseconds since 1970",
        Unit::IsoOrS => "ISO 8601, or seconds since 1970",
        Unit::Dotnet => "`/Date(ms)/` of .NET, or ISO 8601",
        Unit::Rfc1123 => "RFC 1123 (Tue, 15 Nov 1994 12:45:26 GMT)",
        Unit::Minor => "minor units (cents)",
        Unit::Major => "whole units with decimals",
        Unit::Fraction => "a fraction of one, here percent",
    }
}

/// What a value of a field must be, whoever says it.
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
        FieldKind::Id => "an identifier, byte for byte".to_owned(),
        FieldKind::Verbatim => "text, byte for byte".to_owned(),
        FieldKind::Ref(object) => format!("a reference to a {object}"),
        FieldKind::Set => "a sorted list of texts without duplicates".to_owned(),
    }
}

impl Told<'_> {
    /// What is done with the native value on the way in, a step each.
    pub fn incoming(&self) -> Vec<String> {
        let rule = self.rule;
        let mut steps = self.gathering();
        if rule.constant.is_none() && rule.collect.is_empty() && rule.pairs.is_none() {
            steps.push(self.normalising());
        }
        let none: Vec<&String> = rule.values.iter().filter(|(_, to)| to.is_empty()).map(|(native, _)| native).collect();
        if !none.is_empty() {
            steps.push(format!("{} means that there is no value", codes(&none, "or")));
        }
        if let Some(default) = &rule.default {
            steps.push(format!("`{default}` when there is none"));
        }
        if let Some(placeholder) = &rule.placeholder {
            steps.push(format!("`{placeholder}` counts as no value"));
        }
        if self.plan.empty_is_null && rule.constant.is_none() {
            steps.push("an empty text clears the field".to_owned());
        }
        if !rule.when.is_empty() {
            steps.push(format!("only where {}", conditions(self.map, &rule.when, "and")));
        }
        if !rule.unless.is_empty() {
            steps.push(format!("not where {}", conditions(self.map, &rule.unless, "or")));
        }
        if self.is_alternative() {
            steps.push("only where the rule before gives nothing".to_owned());
        }
        if !self.plan.when.is_empty() {
            steps.push(format!("of records where {}", conditions(self.map, &self.plan.when, "and")));
        }
        steps
    }

    /// Whether another rule of the field is asked first.
    fn is_alternative(&self) -> bool {
        let before = self.plan.rules.iter().take_while(|rule| !std::ptr::eq(*rule, self.rule));
        before.filter(|rule| rule.direction.reads()).any(|rule| rule.field == self.rule.field)
    }

    /// How one value comes out of what is there.
    fn gathering(&self) -> Vec<String> {
        let (rule, map) = (self.rule, self.map);
        let mut steps = Vec::new();
        if let Some(constant) = &rule.constant {
            return vec![format!("always `{constant}`")];
        }
        if let Some(pairs) = &rule.pairs {
            let list = place(map, &pairs.list);
            if pairs.name.is_empty() {
                return vec![format!("each member of the object `{list}` becomes `name=value`")];
            }
            let paths = |paths: &[mapping::Path]| codes(&paths.iter().map(ToString::to_string).collect::<Vec<_>>(), "else");
            let (name, value) = (paths(&pairs.name), paths(&pairs.value));
            let bare = if pairs.bare { ", or `name` where there is no value" } else { "" };
            return vec![format!(
                "each element of `{list}` becomes `name=value`: the name from {name}, the value from {value}{bare}"
            )];
        }
        if !rule.collect.is_empty() {
            return vec![format!("collected as `name=value`, with the names {}", codes(&rule.collect, "and"))];
        }
        match (&rule.join, rule.sum, rule.from.len()) {
            (Some(separator), ..) if separator.trim().is_empty() => steps.push("joined by a space".to_owned()),
            (Some(separator), ..) => steps.push(format!("joined by `{separator}`")),
            (None, true, _) => steps.push("all amounts found are added up".to_owned()),
            (None, false, 0 | 1) => {}
            (None, false, _) => steps.push("the first of these that has a value".to_owned()),
        }
        if let Some(parameter) = &rule.query {
            steps.push(format!("the parameter `{parameter}` of the URL"));
        }
        if rule.first_word {
            steps.push("only the first word".to_owned());
        }
        if rule.angled {
            steps.push("put in angle brackets".to_owned());
        }
        if !rule.times.is_empty() {
            steps.push(format!("multiplied by {}", places(map, &rule.times, "else")));
        }
        steps
    }

    /// What the kind of the rule makes of a text.
    fn normalising(&self) -> String {
        let rule = self.rule;
        match rule.kind {
            Kind::Text => "trimmed".to_owned(),
            Kind::Name => "trimmed, white space folded".to_owned(),
            Kind::Email => "the bare address, lower case, domain in ASCII".to_owned(),
            Kind::Phone => self.phone(),
            Kind::Country => "country name or code to its two-letter ISO 3166-1 code".to_owned(),
            Kind::Currency => "to an ISO 4217 code".to_owned(),
            Kind::Money => self.money(),
            Kind::Date => self.date(),
            Kind::Instant => self.instant(),
            Kind::Enum => self.members(),
            Kind::Bool => "yes/no, on/off, 1/0 to true or false".to_owned(),
            Kind::Int => "to a whole number".to_owned(),
            Kind::Decimal => "to a decimal number, no digit lost".to_owned(),
            Kind::Url => "must be an absolute URL".to_owned(),
            Kind::Domain => "the host name alone, lower case, without `www.`".to_owned(),
            Kind::Industry => "to a lower-case name".to_owned(),
            Kind::Id | Kind::Verbatim => "as it is, byte for byte".to_owned(),
            Kind::Ref => match self.def.kind {
                FieldKind::Ref(object) => {
                    format!("the id of a `{}` becomes a reference to a {object}", rule.remote.as_deref().unwrap_or_default())
                }
                _ => "the id becomes a reference".to_owned(),
            },
            Kind::Set => match &rule.separator {
                Some(separator) => format!("a set, of a list or of one text with `{separator}` between"),
                None => "a set: sorted, each value once".to_owned(),
            },
        }
    }

    fn phone(&self) -> String {
        let rule = self.rule;
        let mut text = "phone number to E.164".to_owned();
        if !rule.calling_code.is_empty() {
            text += &format!(", with the calling code from {}", places(self.map, &rule.calling_code, "else"));
        }
        let region = places(self.map, &rule.region, "else");
        text += &match (region.is_empty(), &rule.region_default) {
            (false, Some(default)) => format!(", with the country from {region}, else `{default}`"),
            (false, None) => format!(", with the country from {region}"),
            (true, Some(default)) => format!(", a national number as one of `{default}`"),
            (true, None) if rule.calling_code.is_empty() => "; a number without its country is set aside".to_owned(),
            (true, None) => String::new(),
        };
        text
    }

    fn money(&self) -> String {
        let rule = self.rule;
        let written = unit(rule.unit.unwrap_or(Unit::Major));
        let mut currencies: Vec<String> =
            rule.currency.iter().map(|input| format!("from `{}`", place(self.map, input))).collect();
        currencies.extend(rule.currency_default.iter().map(|code| format!("`{code}`")));
        let mut text = format!("amount in {written}, currency {}", listing(&currencies, "else"));
        if rule.unit == Some(Unit::Minor) && !self.plan.exponents.is_empty() {
            let odd: Vec<String> = self.plan.exponents.iter().map(|(code, n)| format!("{code} {n}")).collect();
            text += &format!(" (decimals of this provider: {})", odd.join(", "));
        }
        if rule.currency_optional {
            text += "; left out without a currency";
        }
        text
    }

    fn zone(&self) -> Option<String> {
        let told = (!self.rule.zone_from.is_empty()).then(|| format!("from {}", places(self.map, &self.rule.zone_from, "else")));
        let all: Vec<String> = told.into_iter().chain(self.rule.zone.as_ref().map(|zone| code(zone))).collect();
        (!all.is_empty()).then(|| listing(&all, "else"))
    }

    fn date(&self) -> String {
        let mut text = match self.zone() {
            Some(zone) => {
                let written = unit(self.rule.unit.unwrap_or_default());
                format!("to a day; of a point in time ({written}) the day in the zone {zone}")
            }
            None => "to a day".to_owned(),
        };
        if self.rule.exclusive {
            text += ", less one: the source names the day after the last";
        }
        text
    }

    fn instant(&self) -> String {
        let text = format!("{} to UTC", unit(self.rule.unit.unwrap_or_default()));
        self.zone().map_or(text.clone(), |zone| format!("{text}; without an offset it is meant in the zone {zone}"))
    }

    /// The table of a list's members.
    fn members(&self) -> String {
        let table: Vec<String> = self
            .rule
            .values
            .iter()
            .filter(|(_, canonical)| !canonical.is_empty())
            .map(|(native, canonical)| format!("`{native}` → `{canonical}`"))
            .collect();
        if table.is_empty() { "the same names".to_owned() } else { table.join(", ") }
    }

    /// What is done with the canonical value on the way out, a step each.
    pub fn outgoing(&self) -> Vec<String> {
        let rule = self.rule;
        let mut steps = vec![match rule.kind {
            Kind::Enum => self.members_out(),
            Kind::Money => self.money_out(),
            Kind::Date => match rule.unit {
                None => "as a day".to_owned(),
                Some(Unit::Ms) => "as midnight UTC, in milliseconds since 1970".to_owned(),
                Some(_) => "as midnight UTC".to_owned(),
            },
            Kind::Instant => format!("as {}", unit(rule.unit.unwrap_or_default())),
            Kind::Ref => "as the id there".to_owned(),
            Kind::Set => format!("joined by `{}`", rule.separator.as_deref().unwrap_or(";")),
            _ => "as it is".to_owned(),
        }];
        if !rule.fallback.is_empty() {
            let fields: Vec<&str> = rule.fallback.iter().map(AsRef::as_ref).collect();
            steps.push(format!("when empty, the field {} instead", codes(&fields, "else")));
        }
        if let Some(text) = rule.default_out.as_ref().or(rule.placeholder.as_ref()) {
            steps.push(format!("`{text}` when there is no value at all"));
        }
        steps
    }

    fn members_out(&self) -> String {
        let rule = self.rule;
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
            let listed = rule.out.iter().find(|(name, _)| name == member).map(|(_, native)| native);
            let reversed = || rule.values.iter().find(|(_, name)| name == member).map(|(native, _)| native);
            let native = listed.or_else(|| if rule.out_only_listed { None } else { reversed() });
            let pair = native.map(|native| format!("`{member}` → `{native}`"));
            table.extend(pair.filter(|pair| !table.contains(pair)));
        }
        let rest = if table.len() == members.len() { "" } else { "; no other is written" };
        format!("{}{rest}", table.join(", "))
    }

    fn money_out(&self) -> String {
        let rule = self.rule;
        let mut text = format!("in {}", unit(rule.unit.unwrap_or(Unit::Major)));
        match (&rule.currency_to, &rule.currency_default) {
            (Some(to), _) => text += &format!(", the currency to `{to}`"),
            (None, Some(default)) => text += &format!("; only amounts in `{default}`"),
            (None, None) => {}
        }
        text
    }

    /// What the destination asks of the value, and what else counts about it.
    pub fn checks(&self, writes: bool) -> Vec<String> {
        let rule = self.rule;
        let mut checks = Vec::new();
        if rule.key {
            checks.push("identifies the record".to_owned());
        }
        if writes && rule.required {
            checks.push("required there".to_owned());
        }
        if let Some(limit) = rule.limit.filter(|_| writes) {
            checks.push(format!("at most {limit} characters there; longer text is cut"));
        }
        checks
    }
}
