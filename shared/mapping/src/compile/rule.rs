//! Compiles the rules of a field.

use canonical::{Catalogue, FieldDef, FieldName, ObjectType, ValueKind};

use crate::file::{OneOrMore, Report, Span, Spanned, suggestion};
use crate::input::Input;
use crate::pairs::Pairs;
use crate::path::{Path, Segment};
use crate::rule::{Conversion, DecimalUnit, Direction, FieldRule, FieldStamp};

use super::conversion::{check_keys, conversion, other_kinds};
use super::file::{FieldStampTable, PairsTable, RuleTable};
use super::slots::Slots;

/// What the rules of a table have in common.
#[derive(Clone, Copy)]
pub(super) struct RuleScope<'m> {
    /// The canonical object.
    pub object: ObjectType,
    /// The fields that its rules may name.
    pub catalogue: Catalogue,
    /// The container of native properties.
    pub properties: Option<&'m Path>,
    /// The direction of rules that name none.
    pub direction: Direction,
    /// Where single fields have their stamps.
    pub field_stamp: Option<&'m FieldStampTable>,
    /// True in a user's file, where every rule gives its reason.
    pub overriding: bool,
}

/// The rules of a field: a table, or several in a list.
pub(super) fn compile_rules(
    field: &Spanned<String>,
    rules: OneOrMore<RuleTable>,
    scope: RuleScope<'_>,
    slots: &mut Slots,
    report: &mut Report,
) -> Vec<FieldRule> {
    let name = field.get_ref();
    let Some(def) = scope.catalogue.find(scope.object, name) else {
        let known = scope.catalogue.fields_of(scope.object).map(|f| f.name);
        report.error(field.span(), format!("a {} has no field `{name}`", scope.object)).help(suggestion(name, known));
        return Vec::new();
    };
    let mut compiled = Vec::new();
    for rule in rules.0 {
        let compiler = RuleCompiler { def, field: field.span(), at: rule.span(), scope, slots, report };
        compiled.extend(compiler.compile(rule.into_inner()));
    }
    compiled
}

struct RuleCompiler<'c> {
    def: &'static FieldDef,
    /// The field's name in the file.
    field: Span,
    /// The rule.
    at: Span,
    scope: RuleScope<'c>,
    slots: &'c mut Slots,
    report: &'c mut Report,
}

impl RuleCompiler<'_> {
    fn compile(mut self, table: RuleTable) -> Option<FieldRule> {
        let kind = self.kind(&table)?;
        check_keys(kind, &table, &self.at, self.report);
        let conversion = conversion(kind, self.def, &table, self.slots, self.report);
        let direction = self.direction(&table);
        self.check(&table, &conversion, direction);
        let first_path = first_path(&table);
        let (line, column) = self.report.source().position(self.field.start);
        Some(FieldRule {
            field: self.def.name.into(),
            file: None,
            line: u32::try_from(line).unwrap_or(0),
            column: u32::try_from(column).unwrap_or(0),
            stamp: first_path.as_ref().and_then(|path| self.field_stamp(path)),
            to: if direction.writes() { self.target(&table, first_path.as_ref()) } else { None },
            from: self.from(&table),
            collect: collected_names(&table),
            pairs: table.pairs.as_ref().and_then(|pairs| self.pairs(pairs)),
            none_values: table.none_values().map(str::to_owned).collect(),
            fallback: self.fallback(&table.fallback),
            when: self.slots.conditions(table.when),
            unless: self.slots.conditions(table.unless),
            conversion,
            direction,
            key: table.key,
            constant: table.constant.map(|value| value.0),
            default: table.default.map(|value| value.0),
            join: table.join,
            query: table.query,
            first_word: table.first_word,
            angled: table.angled,
            limit: table.limit,
            required: table.required,
            placeholder: table.placeholder,
            default_out: table.default_out,
            why: table.why,
        })
    }

    fn error(&mut self, message: &str, help: &str) {
        self.report.error(self.at.clone(), message).help(help);
    }

    /// The kind that the rule names, else the field's own.
    fn kind(&mut self, table: &RuleTable) -> Option<ValueKind> {
        let own = self.def.kind.value_kind();
        let Some(named) = &table.kind else { return Some(own) };
        let kind = *named.get_ref();
        if kind != own && !other_kinds(own).contains(&kind) {
            let FieldDef { name, object, .. } = self.def;
            let message = format!("`{name}` of a {object} holds {}, not {}", own.name(), kind.name());
            let names: Vec<&str> = std::iter::once(&own).chain(other_kinds(own)).map(|k| k.name()).collect();
            self.report.error(named.span(), message).help(format!("`as` may be {}", names.join(", ")));
            return None;
        }
        Some(kind)
    }

    fn direction(&mut self, table: &RuleTable) -> Direction {
        if !table.read_only {
            return table.direction.unwrap_or(self.scope.direction);
        }
        if table.direction.is_some_and(Direction::writes) {
            self.error("a read-only property cannot be written", "remove `read_only` or `direction`");
        }
        Direction::In
    }

    fn from(&mut self, table: &RuleTable) -> Vec<Input> {
        table.from.as_ref().or(table.collect.as_ref()).map(|paths| self.slots.inputs(paths)).unwrap_or_default()
    }

    /// The native property: `to`, or what `from` names below the properties.
    fn target(&mut self, table: &RuleTable, from: Option<&Path>) -> Option<String> {
        let derived = || match below(from?, self.scope.properties)? {
            [Segment::Key(key)] => Some(key.clone()),
            _ => None,
        };
        let to = table.to.clone().or_else(derived);
        if to.is_none() {
            self.error("nothing says which native property is written", "add `to`, or direction = \"in\"");
        }
        to
    }

    fn pairs(&mut self, pairs: &Spanned<PairsTable>) -> Option<Pairs> {
        let PairsTable { list, name, value, bare, all, object } = pairs.get_ref();
        let paths =
            |texts: &OneOrMore<String>| texts.0.iter().filter_map(|text| text.get_ref().parse().ok()).collect::<Vec<Path>>();
        let (name, value) = (paths(name), paths(value));
        let input = object.as_ref().or(list.as_ref()).and_then(|text| self.slots.input(text));
        if object.is_none() && (input.is_none() || name.is_empty() || value.is_empty()) {
            let message = "`pairs` says where `list`, `name` and `value` are, or where the `object` is";
            self.report.error(pairs.span(), message);
        }
        Some(Pairs { list: input?, name, value, bare: *bare, all: *all })
    }

    fn fallback(&mut self, names: &OneOrMore<String>) -> Vec<FieldName> {
        let object = self.scope.object;
        let mut fields = Vec::new();
        for name in &names.0 {
            match self.scope.catalogue.find(object, name.get_ref()) {
                Some(def) => fields.push(def.name.into()),
                None => {
                    let known = self.scope.catalogue.fields_of(object).map(|f| f.name);
                    let message = format!("a {object} has no field `{}`", name.get_ref());
                    self.report.error(name.span(), message).help(suggestion(name.get_ref(), known));
                }
            }
        }
        fields
    }

    fn field_stamp(&mut self, path: &Path) -> Option<FieldStamp> {
        let stamp = self.scope.field_stamp?;
        let [Segment::Key(key)] = below(path, self.scope.properties)? else { return None };
        let path = stamp.from.replace("{}", key).parse().ok()?;
        Some(FieldStamp { slot: self.slots.slot(path), unit: stamp.unit })
    }

    /// What no single key can be blamed for.
    fn check(&mut self, table: &RuleTable, conversion: &Conversion, direction: Direction) {
        if self.report.has_error_within(&self.at) {
            return;
        }
        let has_source = table.from.is_some() || table.collect.is_some() || table.pairs.is_some();
        if direction.reads() && !has_source && table.constant.is_none() && table.default.is_none() {
            self.error("nothing says where the value comes from", "add `from` or `const`");
        }
        match conversion {
            Conversion::Money(money) if money.currency.is_empty() && table.currency_default.is_none() => {
                self.error("an amount needs a currency", "add `currency` (a path) or `currency_default`");
            }
            Conversion::Ref(_) if table.remote.is_none() => {
                self.error("a reference says what it refers to", "add `remote`, the provider's name of that object");
            }
            Conversion::Decimal(DecimalUnit::Fraction) if direction.writes() => {
                self.error("a fraction is only read", "add `read_only = true` or `direction = \"in\"`");
            }
            _ => {}
        }
        let reasoned = table.why.as_deref().is_some_and(|why| !why.trim().is_empty());
        if self.scope.overriding && !reasoned {
            self.error("an override says `why`", "add why = \"the business reason\"");
        }
    }
}

/// The first path that the rule reads.
fn first_path(table: &RuleTable) -> Option<Path> {
    let first = table.from.as_ref().or(table.collect.as_ref())?.0.first()?;
    first.get_ref().parse().ok().filter(|_| !first.get_ref().starts_with('$'))
}

/// The names of a collected set: those that `collect` lists beside `from`, else the last names of its paths.
fn collected_names(table: &RuleTable) -> Vec<String> {
    let Some(collect) = &table.collect else { return Vec::new() };
    let texts = collect.0.iter().map(|text| text.get_ref());
    if table.from.is_some() {
        return texts.cloned().collect();
    }
    texts.filter_map(|text| text.parse::<Path>().ok()?.last_key().map(str::to_owned)).collect()
}

/// The steps of a path below the container of native properties.
fn below<'p>(path: &'p Path, properties: Option<&Path>) -> Option<&'p [Segment]> {
    path.segments().strip_prefix(properties.map_or(&[][..], Path::segments))
}
