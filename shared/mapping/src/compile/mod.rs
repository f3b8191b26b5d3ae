//! Mapping files (TOML) into compiled maps. Every mistake is told with file, line and column; all of them at once.
//!
//! The grammar is in `docs/mapping.md`.

mod diagnostic;
mod node;
mod rule;

use std::collections::BTreeMap;

use canonical::ObjectType;

pub use diagnostic::{Diagnostic, Diagnostics, Source};

use crate::normal;
use crate::path::Path;
use crate::plan::{Deletion, Direction, External, Guard, Input, Map, Plan, Speak, StampRule, Unit};
use node::{Item, Table, Trouble};

/// Compiles a provider's mapping file, then the user's overrides of it. `remote` is the provider's name of the object, for
/// plans that name none.
///
/// # Errors
/// Everything that is wrong with any of the files.
pub fn compile(source: &Source, remote: &str, overrides: &[Source]) -> Result<Map, Diagnostics> {
    let mut builder = Builder::default();
    let mut found = Vec::new();
    let mut map =
        Map { file: source.file.clone(), remote: remote.to_owned(), properties: None, paths: Vec::new(), plans: Vec::new() };
    let mut trouble = Trouble::default();
    builder.file(source, &mut map, &mut trouble);
    found.extend(trouble.told(source));
    for source in overrides {
        let mut trouble = Trouble::default();
        builder.over(source, &mut map, &mut trouble);
        found.extend(trouble.told(source));
    }
    map.paths = builder.paths;
    if found.is_empty() { Ok(map) } else { Err(Diagnostics(found)) }
}

/// Gives every path a slot.
#[derive(Default)]
struct Builder {
    /// The file that is being read.
    text: String,
    paths: Vec<Path>,
}

/// What the rules of a plan inherit from it.
struct PlanScope {
    object: ObjectType,
    properties: Option<Path>,
    direction: Direction,
    field_stamp: Option<(String, Unit)>,
}

const PLAN_KEYS: &[&str] = &[
    "object",
    "remote",
    "kind",
    "id",
    "id_join",
    "id_suffix",
    "stamp",
    "field_stamp",
    "when",
    "test",
    "deleted",
    "external",
    "exponents",
    "empty",
    "typed",
    "direction",
    "fields",
];

impl Builder {
    fn slot(&mut self, path: Path) -> u16 {
        let at = self.paths.iter().position(|p| *p == path).unwrap_or_else(|| {
            self.paths.push(path);
            self.paths.len() - 1
        });
        u16::try_from(at).unwrap_or(u16::MAX)
    }

    fn input(&mut self, item: &Item<'_>, trouble: &mut Trouble) -> Option<Input> {
        let text = item.text(trouble)?;
        match text.strip_prefix('$') {
            Some(name) => Some(Input::Var(name.to_owned())),
            None => item.path(trouble).map(|path| Input::Slot(self.slot(path))),
        }
    }

    fn inputs(&mut self, item: Option<Item<'_>>, trouble: &mut Trouble) -> Vec<Input> {
        item.into_iter().flat_map(|item| item.each()).filter_map(|item| self.input(&item, trouble)).collect()
    }

    fn file(&mut self, source: &Source, map: &mut Map, trouble: &mut Trouble) {
        self.text.clone_from(&source.text);
        let Some(document) = node::parse(&source.text, trouble) else { return };
        let root = Table::of(&document);
        map.properties = root.get("properties").and_then(|item| item.path(trouble));
        for (name, item) in root.entries() {
            if name.text == "properties" {
                continue;
            }
            if let Some(table) = item.table(trouble)
                && let Some(plan) = self.plan(&name, &table, map, trouble)
            {
                map.plans.push(plan);
            }
        }
        if map.plans.is_empty() && trouble.is_empty() {
            trouble.tell(0..0, "the file maps nothing: it has no table such as `[contact]`", None);
        }
    }

    fn object(name: &node::Name<'_>, table: &Table<'_>, trouble: &mut Trouble) -> Option<ObjectType> {
        let (text, span) = match table.get("object") {
            Some(item) => (item.text(trouble)?.to_owned(), item.span()),
            None => (name.text.to_owned(), name.span.clone()),
        };
        let known = ObjectType::ALL.iter().map(|o| o.name());
        let help = node::suggestion(&text, known);
        text.parse().map_err(|_| trouble.tell(span, format!("`{text}` is not a canonical object"), help)).ok()
    }

    fn plan(&mut self, name: &node::Name<'_>, table: &Table<'_>, map: &Map, trouble: &mut Trouble) -> Option<Plan> {
        table.only(PLAN_KEYS, trouble);
        let object = Self::object(name, table, trouble)?;
        let unit_iso = Unit::Iso;
        let id = self.inputs(table.get("id"), trouble);
        if id.is_empty() {
            trouble.tell(name.span.clone(), format!("`[{}]` needs `id`: where the object's id is", name.text), None);
        }
        let scope = PlanScope {
            object,
            properties: map.properties.clone(),
            direction: table.get("direction").and_then(|i| rule::direction(&i, trouble)).unwrap_or_default(),
            field_stamp: table.get("field_stamp").and_then(|item| {
                let stamp = item.table(trouble)?;
                stamp.only(&["from", "unit"], trouble);
                let from = stamp.get("from")?.text(trouble)?.to_owned();
                Some((from, stamp.get("unit").and_then(|u| rule::unit(&u, trouble)).unwrap_or(unit_iso)))
            }),
        };
        let mut plan = Plan {
            object,
            remote: table.text("remote", trouble).unwrap_or_else(|| map.remote.clone()),
            kind: table
                .get("kind")
                .and_then(|i| i.one_of(&[("snapshot", Speak::Snapshot), ("partial", Speak::Partial)], trouble))
                .unwrap_or_default(),
            id,
            id_join: table.text("id_join", trouble),
            id_suffix: table.text("id_suffix", trouble).unwrap_or_default(),
            stamp: table.get("stamp").and_then(|item| self.stamp(&item, trouble)),
            when: self.guards(table.get("when"), trouble),
            test: self.guards(table.get("test"), trouble),
            deleted: table.get("deleted").and_then(|item| self.deletion(&item, trouble)),
            external: self.external(table.get("external"), trouble),
            exponents: exponents(table.get("exponents"), trouble),
            empty_is_null: table
                .get("empty")
                .and_then(|i| i.one_of(&[("null", true), ("kept", false)], trouble))
                .unwrap_or(false),
            typed: table.get("typed").and_then(|i| i.boolean(trouble)).unwrap_or(false),
            rules: Vec::new(),
        };
        let Some(fields) = table.get("fields").and_then(|i| i.table(trouble)) else {
            trouble.tell(name.span.clone(), format!("`[{0}]` needs `[{0}.fields]`", name.text), None);
            return Some(plan);
        };
        for (field, item) in fields.entries() {
            plan.rules.extend(self.rules(&field, &item, &scope, false, trouble));
        }
        Some(plan)
    }

    fn stamp(&mut self, item: &Item<'_>, trouble: &mut Trouble) -> Option<StampRule> {
        let table = item.table(trouble)?;
        table.only(&["from", "unit", "sequence"], trouble);
        let from = self.inputs(table.get("from"), trouble);
        if from.is_empty() {
            trouble.tell(item.span(), "a stamp needs `from`", None);
        }
        let unit = table.get("unit").and_then(|u| rule::unit(&u, trouble)).unwrap_or_default();
        Some(StampRule { from, unit, sequence: table.get("sequence").and_then(|i| self.input(&i, trouble)) })
    }

    fn guards(&mut self, item: Option<Item<'_>>, trouble: &mut Trouble) -> Vec<Guard> {
        let Some(table) = item.and_then(|i| i.table(trouble)) else { return Vec::new() };
        let mut guards = Vec::new();
        for (name, item) in table.entries() {
            let input = match name.text.strip_prefix('$') {
                Some(var) => Some(Input::Var(var.to_owned())),
                None => name.path(trouble).map(|path| Input::Slot(self.slot(path))),
            };
            let any: Vec<String> = item.each().iter().filter_map(|i| i.scalar(trouble)).collect();
            guards.extend(input.map(|input| Guard { input, any }));
        }
        guards
    }

    fn deletion(&mut self, item: &Item<'_>, trouble: &mut Trouble) -> Option<Deletion> {
        let table = item.table(trouble)?;
        table.only(&["when", "merged_into"], trouble);
        let when = self.guards(table.get("when"), trouble);
        if when.is_empty() {
            trouble.tell(item.span(), "`deleted` needs `when`", None);
        }
        Some(Deletion { when, merged_into: table.get("merged_into").and_then(|i| self.input(&i, trouble)) })
    }

    fn external(&mut self, item: Option<Item<'_>>, trouble: &mut Trouble) -> Vec<External> {
        let Some(table) = item.and_then(|i| i.table(trouble)) else { return Vec::new() };
        let mut external = Vec::new();
        for (name, item) in table.entries() {
            external.extend(self.input(&item, trouble).map(|from| External { namespace: name.text.to_owned(), from }));
        }
        external
    }

    fn over(&mut self, source: &Source, map: &mut Map, trouble: &mut Trouble) {
        self.text.clone_from(&source.text);
        let Some(document) = node::parse(&source.text, trouble) else { return };
        for (name, item) in Table::of(&document).entries() {
            let Some(table) = item.table(trouble) else { continue };
            table.only(&["object", "fields"], trouble);
            let Some(object) = Self::object(&name, &table, trouble) else { continue };
            let Some(at) = map.plans.iter().position(|plan| plan.object == object) else {
                trouble.tell(name.span.clone(), format!("`{}` maps no {object}, so nothing can be overridden", map.file), None);
                continue;
            };
            let reads_only = map.plans[at].rules.iter().all(|r| r.direction == Direction::In);
            let direction = if reads_only { Direction::In } else { Direction::Both };
            let scope = PlanScope { object, properties: map.properties.clone(), direction, field_stamp: None };
            let Some(fields) = table.get("fields").and_then(|i| i.table(trouble)) else { continue };
            for (field, item) in fields.entries() {
                let mut rules = self.rules(&field, &item, &scope, true, trouble);
                for rule in &mut rules {
                    rule.file = Some(source.file.clone());
                    // The field's own stamps go on.
                    let old = map.plans[at].rules.iter().find(|r| r.field == rule.field && r.from == rule.from);
                    rule.stamp = old.and_then(|r| r.stamp.clone());
                }
                map.plans[at].rules.retain(|r| *r.field != *field.text);
                map.plans[at].rules.extend(rules);
            }
        }
    }
}

fn exponents(item: Option<Item<'_>>, trouble: &mut Trouble) -> BTreeMap<String, u32> {
    let Some(table) = item.and_then(|i| i.table(trouble)) else { return BTreeMap::new() };
    let mut exponents = BTreeMap::new();
    for (name, item) in table.entries() {
        match (normal::currency(name.text), item.integer(trouble).and_then(|n| u32::try_from(n).ok()).filter(|n| *n <= 6)) {
            (Ok(code), Some(decimals)) => {
                exponents.insert(code.to_owned(), decimals);
            }
            (Err(fault), _) => trouble.tell(name.span.clone(), fault.to_string(), None),
            (_, None) => trouble.tell(item.span(), "decimals are a number from 0 to 6", None),
        }
    }
    exponents
}
