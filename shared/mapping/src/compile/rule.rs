use canonical::{FieldDef, FieldKind, fields_of, find_field};

use super::node::{Item, Name, Table, Trouble, suggestion};
use super::{Builder, PlanScope};
use crate::normal;
use crate::pairs::Pairs;
use crate::path::{Path, Segment};
use crate::plan::{Direction, FieldStamp, Kind, Rule, Unit};

const RULE_KEYS: &[&str] = &[
    "from",
    "to",
    "as",
    "direction",
    "read_only",
    "key",
    "when",
    "unless",
    "first_word",
    "angled",
    "const",
    "default",
    "join",
    "collect",
    "pairs",
    "query",
    "sum",
    "region",
    "calling_code",
    "region_default",
    "currency",
    "currency_default",
    "currency_to",
    "currency_optional",
    "times",
    "unit",
    "zone",
    "zone_from",
    "exclusive",
    "values",
    "out",
    "out_only_listed",
    "remote",
    "separator",
    "limit",
    "required",
    "fallback",
    "placeholder",
    "default_out",
    "why",
];

const UNITS: &[(&str, Unit)] = &[
    ("s", Unit::S),
    ("ms", Unit::Ms),
    ("iso", Unit::Iso),
    ("iso_or_ms", Unit::IsoOrMs),
    ("iso_or_s", Unit::IsoOrS),
    ("dotnet", Unit::Dotnet),
    ("rfc1123", Unit::Rfc1123),
    ("fraction", Unit::Fraction),
    ("minor", Unit::Minor),
    ("major", Unit::Major),
];

pub(super) fn unit(item: &Item<'_>, trouble: &mut Trouble) -> Option<Unit> {
    item.one_of(UNITS, trouble)
}

pub(super) fn direction(item: &Item<'_>, trouble: &mut Trouble) -> Option<Direction> {
    item.one_of(&[("in", Direction::In), ("out", Direction::Out), ("both", Direction::Both)], trouble)
}

/// What a field of the catalogue may be made by, its own kind first.
fn kinds_for(kind: FieldKind) -> &'static [Kind] {
    match kind {
        FieldKind::Text => &[Kind::Text, Kind::Name, Kind::Industry, Kind::Enum, Kind::Id, Kind::Verbatim, Kind::Country],
        FieldKind::Name => &[Kind::Name, Kind::Text],
        FieldKind::Email => &[Kind::Email],
        FieldKind::Phone => &[Kind::Phone],
        FieldKind::Country => &[Kind::Country],
        FieldKind::Currency => &[Kind::Currency],
        FieldKind::Money => &[Kind::Money],
        FieldKind::Date => &[Kind::Date],
        FieldKind::Instant => &[Kind::Instant],
        FieldKind::Enum(_) => &[Kind::Enum],
        FieldKind::Bool => &[Kind::Bool],
        FieldKind::Int => &[Kind::Int],
        FieldKind::Decimal => &[Kind::Decimal],
        FieldKind::Url => &[Kind::Url],
        FieldKind::Domain => &[Kind::Domain],
        FieldKind::Id => &[Kind::Id, Kind::Verbatim],
        FieldKind::Verbatim => &[Kind::Verbatim],
        FieldKind::Ref(_) => &[Kind::Ref],
        FieldKind::Set => &[Kind::Set],
    }
}

impl Builder {
    /// The rules of a field: a table, or several in a list.
    pub(super) fn rules(
        &mut self,
        name: &Name<'_>,
        item: &Item<'_>,
        scope: &PlanScope,
        is_override: bool,
        trouble: &mut Trouble,
    ) -> Vec<Rule> {
        let Some(def) = find_field(scope.object, name.text) else {
            let help = suggestion(name.text, fields_of(scope.object).map(|f| f.name));
            trouble.tell(name.span.clone(), format!("a {} has no field `{}`", scope.object, name.text), help);
            return Vec::new();
        };
        let mut rules = Vec::new();
        for item in item.each() {
            let Some(table) = item.table(trouble) else { continue };
            table.only(RULE_KEYS, trouble);
            if let Some(rule) = self.rule(def, name, &item, &table, scope, trouble) {
                if is_override && rule.why.as_deref().is_none_or(|why| why.trim().is_empty()) {
                    trouble.tell(item.span(), "an override says `why`", Some("add why = \"the business reason\"".into()));
                }
                rules.push(rule);
            }
        }
        rules
    }

    fn rule(
        &mut self,
        def: &'static FieldDef,
        name: &Name<'_>,
        item: &Item<'_>,
        table: &Table<'_>,
        scope: &PlanScope,
        trouble: &mut Trouble,
    ) -> Option<Rule> {
        let kind = match table.get("as") {
            Some(item) => item.one_of(Kind::ALL, trouble)?,
            None => kinds_for(def.kind)[0],
        };
        if !kinds_for(def.kind).contains(&kind) {
            let span = table.get("as").map_or(name.span.clone(), |i| i.span());
            let fitting: Vec<&str> = kinds_for(def.kind).iter().map(|k| k.name()).collect();
            let message = format!("`{}` of a {} holds {}, not {}", def.name, scope.object, def.kind.name(), kind.name());
            trouble.tell(span, message, Some(format!("`as` may be {}", fitting.join(", "))));
            return None;
        }
        let flag = |key: &str, trouble: &mut Trouble| table.get(key).and_then(|i| i.boolean(trouble)).unwrap_or(false);
        let mut way = table.get("direction").and_then(|i| direction(&i, trouble));
        if flag("read_only", trouble) {
            if matches!(way, Some(Direction::Out | Direction::Both)) {
                trouble.tell(item.span(), "a read-only property cannot be written", None);
            }
            way = Some(Direction::In);
        }
        let from_items = table.get("from").or_else(|| table.get("collect")).map(|i| i.each()).unwrap_or_default();
        let paths: Vec<Option<Path>> =
            from_items.iter().map(|i| i.text(trouble).filter(|t| !t.starts_with('$')).and_then(|t| t.parse().ok())).collect();
        let collect = match table.get("collect") {
            // Beside `from`, it gives the names only.
            Some(names) if table.get("from").is_some() => {
                names.each().iter().filter_map(|i| i.text(trouble).map(str::to_owned)).collect()
            }
            Some(_) => paths.iter().flatten().filter_map(|p| p.last_key().map(str::to_owned)).collect(),
            None => Vec::new(),
        };
        let (line, column) = super::diagnostic::position(&self.text, name.span.start);
        let mut rule = Rule {
            field: def.name.into(),
            file: None,
            line: u32::try_from(line).unwrap_or(0),
            column: u32::try_from(column).unwrap_or(0),
            kind,
            from: from_items.iter().filter_map(|i| self.input(i, trouble)).collect(),
            to: None,
            direction: way.unwrap_or(scope.direction),
            key: flag("key", trouble),
            when: self.guards(table.get("when"), trouble),
            unless: self.guards(table.get("unless"), trouble),
            constant: table.get("const").and_then(|i| i.scalar(trouble)),
            default: table.get("default").and_then(|i| i.scalar(trouble)),
            join: table.text("join", trouble),
            first_word: flag("first_word", trouble),
            angled: flag("angled", trouble),
            collect,
            query: table.text("query", trouble),
            sum: flag("sum", trouble),
            pairs: table.get("pairs").and_then(|i| self.pairs(&i, trouble)),
            region: self.inputs(table.get("region"), trouble),
            calling_code: self.inputs(table.get("calling_code"), trouble),
            region_default: table
                .get("region_default")
                .and_then(|i| checked(&i, |t| normal::country(t).map(str::to_owned), trouble)),
            currency: self.inputs(table.get("currency"), trouble),
            currency_default: table
                .get("currency_default")
                .and_then(|i| checked(&i, |t| normal::currency(t).map(str::to_owned), trouble)),
            currency_to: table.text("currency_to", trouble),
            currency_optional: flag("currency_optional", trouble),
            times: self.inputs(table.get("times"), trouble),
            unit: table.get("unit").and_then(|i| unit(&i, trouble)),
            zone: table.get("zone").and_then(|i| checked(&i, |t| normal::zone(t).map(|_| t.to_owned()), trouble)),
            zone_from: self.inputs(table.get("zone_from"), trouble),
            exclusive: flag("exclusive", trouble),
            values: pairs(table.get("values"), trouble),
            out: pairs(table.get("out"), trouble),
            out_only_listed: flag("out_only_listed", trouble),
            remote: table.text("remote", trouble),
            separator: table.text("separator", trouble),
            limit: table.get("limit").and_then(|i| i.integer(trouble)).and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0),
            required: flag("required", trouble),
            fallback: fallback(table, scope, trouble),
            placeholder: table.text("placeholder", trouble),
            default_out: table.text("default_out", trouble),
            stamp: None,
            why: table.text("why", trouble),
        };
        rule.to = self.target(table, &rule, paths.first().and_then(Option::as_ref), scope, item, trouble);
        rule.stamp = paths.first().and_then(Option::as_ref).and_then(|path| self.field_stamp(path, scope));
        check(&rule, def, item, table, trouble);
        Some(rule)
    }

    /// The native property: `to`, or what `from` names below the properties.
    fn target(
        &self,
        table: &Table<'_>,
        rule: &Rule,
        from: Option<&Path>,
        scope: &PlanScope,
        item: &Item<'_>,
        trouble: &mut Trouble,
    ) -> Option<String> {
        if !rule.direction.writes() {
            return None;
        }
        let told = table.text("to", trouble);
        let derived = from.and_then(|path| match below(path, scope.properties.as_ref())? {
            [Segment::Key(key)] => Some(key.clone()),
            _ => None,
        });
        let to = told.or(derived);
        if to.is_none() {
            trouble.tell(
                item.span(),
                "nothing says which native property is written",
                Some("add `to`, or direction = \"in\"".into()),
            );
        }
        to
    }

    fn pairs(&mut self, item: &Item<'_>, trouble: &mut Trouble) -> Option<Pairs> {
        let table = item.table(trouble)?;
        table.only(&["list", "object", "name", "value", "bare"], trouble);
        let paths = |key: &str, trouble: &mut Trouble| -> Vec<Path> {
            table.get(key).map(|i| i.each()).unwrap_or_default().iter().filter_map(|i| i.path(trouble)).collect()
        };
        let (name, value) = (paths("name", trouble), paths("value", trouble));
        let bare = table.get("bare").and_then(|i| i.boolean(trouble)).unwrap_or_default();
        if let Some(object) = table.get("object") {
            return Some(Pairs { list: self.input(&object, trouble)?, name, value, bare });
        }
        let list = table.get("list").and_then(|i| self.input(&i, trouble));
        if list.is_none() || name.is_empty() || value.is_empty() {
            trouble.tell(item.span(), "`pairs` says where `list`, `name` and `value` are, or where the `object` is", None);
        }
        Some(Pairs { list: list?, name, value, bare })
    }

    fn field_stamp(&mut self, path: &Path, scope: &PlanScope) -> Option<FieldStamp> {
        let (template, unit) = scope.field_stamp.as_ref()?;
        let [Segment::Key(key)] = below(path, scope.properties.as_ref())? else { return None };
        let path = template.replace("{}", key).parse().ok()?;
        Some(FieldStamp { slot: self.slot(path), unit: *unit })
    }
}

/// The steps of a path below the container of native properties.
fn below<'p>(path: &'p Path, properties: Option<&Path>) -> Option<&'p [Segment]> {
    path.segments().strip_prefix(properties.map_or(&[][..], Path::segments))
}

fn checked(item: &Item<'_>, check: impl Fn(&str) -> Result<String, normal::Fault>, trouble: &mut Trouble) -> Option<String> {
    let text = item.text(trouble)?;
    check(text).map_err(|fault| trouble.tell(item.span(), format!("`{text}`: {fault}"), None)).ok()
}

fn pairs(item: Option<Item<'_>>, trouble: &mut Trouble) -> Vec<(String, String)> {
    let Some(table) = item.and_then(|i| i.table(trouble)) else { return Vec::new() };
    table.entries().iter().filter_map(|(name, item)| Some((name.text.to_owned(), item.scalar(trouble)?))).collect()
}

fn fallback(table: &Table<'_>, scope: &PlanScope, trouble: &mut Trouble) -> Vec<canonical::FieldName> {
    let mut fields = Vec::new();
    for item in table.get("fallback").map(|i| i.each()).unwrap_or_default() {
        let Some(text) = item.text(trouble) else { continue };
        match find_field(scope.object, text) {
            Some(def) => fields.push(def.name.into()),
            None => {
                let help = suggestion(text, fields_of(scope.object).map(|f| f.name));
                trouble.tell(item.span(), format!("a {} has no field `{text}`", scope.object), help);
            }
        }
    }
    fields
}

fn check(rule: &Rule, def: &FieldDef, item: &Item<'_>, table: &Table<'_>, trouble: &mut Trouble) {
    let mut tell = |message: &str, help: &str| trouble.tell(item.span(), message, Some(help.to_owned()));
    if rule.direction.reads() && rule.from.is_empty() && rule.constant.is_none() && rule.default.is_none() && rule.pairs.is_none()
    {
        tell("nothing says where the value comes from", "add `from` or `const`");
    }
    let has_currency = !rule.currency.is_empty() || rule.currency_default.is_some();
    if rule.kind == Kind::Money && !has_currency {
        tell("an amount needs a currency", "add `currency` (a path) or `currency_default`");
    }
    if rule.kind == Kind::Ref && rule.remote.is_none() {
        tell("a reference says what it refers to", "add `remote`, the provider's name of that object");
    }
    let amount = matches!(rule.unit, Some(Unit::Minor | Unit::Major));
    let fraction = rule.unit == Some(Unit::Fraction);
    if rule.unit.is_some() && (amount != (rule.kind == Kind::Money) || fraction != (rule.kind == Kind::Decimal)) {
        tell(
            "this unit does not go with this kind",
            "`minor` and `major` are for money, `fraction` for decimals, the others for times",
        );
    }
    if fraction && rule.direction.writes() {
        tell("a fraction is read only", "add `read_only = true` or `direction = \"in\"`");
    }
    if rule.exclusive && rule.kind != Kind::Date {
        tell("only a day can be the one after the last", "remove `exclusive`");
    }
    if rule.sum && rule.kind != Kind::Money {
        tell("only amounts are summed", "remove `sum`");
    }
    if rule.pairs.is_some() && rule.kind != Kind::Set {
        tell("only a set is made of `pairs`", "use it for a field of kind set");
    }
    if rule.unit.is_some() && !matches!(rule.kind, Kind::Money | Kind::Decimal | Kind::Instant | Kind::Date) {
        tell("only money, decimals and times have a unit", "remove `unit`");
    }
    if let (FieldKind::Enum(members), Kind::Enum) = (def.kind, rule.kind) {
        let values = table.get("values").and_then(|i| i.table(trouble));
        for (_, item) in values.iter().flat_map(Table::entries) {
            if let Some(text) = item.scalar(trouble).filter(|t| !t.is_empty() && !members.contains(&t.as_str())) {
                let help =
                    suggestion(&text, members.iter().copied()).or_else(|| Some(format!("known are {}", members.join(", "))));
                trouble.tell(item.span(), format!("`{text}` is no member of `{}`", def.name), help);
            }
        }
    }
}
