//! The data dictionary: for each canonical field what it is, where it comes from and where it goes.

use std::collections::BTreeMap;

use canonical::{Catalogue, FieldDef, ObjectType};
use providers::Provider;
use sync::config::{Cleared, Effect, EffectValue, FieldPolicy, ObjectPolicy, Survivorship};

use super::comments::Comments;
use super::english::{RuleContext, code, codes, listing, validation};
use super::facts::{Facts, reason};
use crate::config::DEFAULT_PATH;

/// The direction of a field. A field that no folder maps has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From sources only.
    In,
    /// To destinations only.
    Out,
    /// Both.
    Both,
}

impl Way {
    /// The name of the direction.
    pub const fn word(self) -> &'static str {
        match self {
            Way::In => "in",
            Way::Out => "out",
            Way::Both => "both",
        }
    }

    fn of(reads: bool, writes: bool) -> Option<Way> {
        match (reads, writes) {
            (true, true) => Some(Way::Both),
            (true, false) => Some(Way::In),
            (false, true) => Some(Way::Out),
            (false, false) => None,
        }
    }

    const fn reads(self) -> bool {
        matches!(self, Way::In | Way::Both)
    }

    const fn writes(self) -> bool {
        matches!(self, Way::Out | Way::Both)
    }
}

/// One canonical object.
pub struct Object {
    /// The object.
    pub object: ObjectType,
    /// Its destinations by the configuration: connection and native object.
    pub destinations: Vec<(String, String)>,
    /// Its identity keys by the configuration.
    pub keys: Vec<String>,
    /// Why its personal data may go to the destinations.
    pub purpose: Option<String>,
    /// Its fields.
    pub fields: Vec<Field>,
}

/// One canonical field.
pub struct Field {
    /// Its entry in the catalogue.
    pub def: &'static FieldDef,
    /// The direction of all its mappings together.
    pub way: Option<Way>,
    /// Which values are valid.
    pub validation: String,
    /// Which value wins if sources differ, and why.
    pub winner: String,
    /// Its mappings.
    pub rows: Vec<Row>,
}

/// One field at one object of one provider.
pub struct Row {
    /// The provider's title, and the connection if the mapping is an override.
    pub source: String,
    /// The provider's folder; empty for an effect of the hub.
    pub provider: String,
    /// The provider's object.
    pub object: String,
    /// The paths of the value in the provider's object.
    pub paths: Vec<String>,
    /// The native property that is written.
    pub property: Option<String>,
    /// The direction.
    pub way: Way,
    /// The provider's limits.
    pub checks: Vec<String>,
    /// The conversions on the way in.
    pub incoming: Vec<String>,
    /// The conversions on the way out.
    pub outgoing: Vec<String>,
    /// The reason.
    pub reason: String,
    /// The file with the rule.
    pub file: String,
}

/// Rows by field.
type Rows = BTreeMap<(ObjectType, &'static str), Vec<Row>>;

/// The dictionary of these facts.
pub fn dictionary(facts: &Facts<'_>) -> Vec<Object> {
    let hub = &facts.compiled.hub;
    let mut rows = rows(facts);
    let mut objects = Vec::new();
    for object in ObjectType::ALL {
        let policy = hub.object(*object);
        objects.push(Object {
            object: *object,
            destinations: policy.destinations.iter().map(|(c, native)| (c.to_string(), native.clone())).collect(),
            keys: policy.keys().map(|key| key.replace('+', " + ")).collect(),
            purpose: facts.compiled.purposes.get(object).cloned(),
            fields: hub.fields.fields_of(*object).map(|def| field(def, policy, &mut rows)).collect(),
        });
    }
    objects
}

fn field(def: &'static FieldDef, policy: &ObjectPolicy, rows: &mut Rows) -> Field {
    let rows = rows.remove(&(def.object, def.name)).unwrap_or_default();
    let way = Way::of(rows.iter().any(|r| r.way.reads()), rows.iter().any(|r| r.way.writes()));
    Field { def, way, validation: validation(def.kind), winner: winner(policy, def.name), rows }
}

/// Which value wins, in plain English.
fn winner(policy: &ObjectPolicy, field: &str) -> String {
    let (rule, cleared) = policy.rule(field);
    let mut text = match rule {
        Survivorship::Latest => "the newest".to_owned(),
        Survivorship::First => "the oldest".to_owned(),
        Survivorship::Owner(owner) => format!("that of {}; if it has none, the newest", code(owner)),
        Survivorship::Prefer(list) => format!("that of {}; else the newest", codes(list, "else")),
        Survivorship::Union => "all of them, as a set".to_owned(),
        Survivorship::MostRestrictive => "the most restrictive; only a newer consent of the person loosens it".to_owned(),
    };
    if cleared == Cleared::Clear {
        text += "; a cleared field is cleared everywhere";
    }
    match policy.fields.get(field) {
        Some(FieldPolicy { why: Some(why), .. }) => format!("{text} ({why})"),
        _ => text,
    }
}

fn rows(facts: &Facts<'_>) -> Rows {
    let mut rows = Rows::new();
    let catalogue = facts.compiled.hub.fields;
    for folder in &facts.folders {
        let origin = Origin { title: folder.title().to_owned(), name: folder.name, provider: &folder.provider, own: false };
        origin.rows(catalogue, &mut rows);
    }
    for (connection, provider) in &facts.overridden {
        let about = &provider.manifest().provider;
        let title = format!("{}, connection {connection}", about.title);
        Origin { title, name: &about.name, provider, own: true }.rows(catalogue, &mut rows);
    }
    for effect in &facts.compiled.hub.effects {
        effect_rows(catalogue, effect, &mut rows);
    }
    rows
}

/// The origin of rules: a folder, or a connection with mapping files of its own.
struct Origin<'a> {
    title: String,
    name: &'a str,
    provider: &'a Provider,
    /// Whether only the rules of the connection's own files count.
    own: bool,
}

impl Origin<'_> {
    fn rows(&self, catalogue: Catalogue, rows: &mut Rows) {
        for (name, map) in self.provider.maps() {
            let text = Provider::builtin_file(self.name, &format!("{name}.map.toml")).unwrap_or_default();
            let comments = Comments::new(text);
            let written = self.provider.destination(name).is_some();
            for plan in &map.plans {
                let rules = plan.rules.iter().filter(|rule| !self.own || rule.file.is_some());
                for rule in rules {
                    let Some(def) = catalogue.find(plan.object, &rule.field) else { continue };
                    let context = RuleContext { map, plan, rule, def };
                    let row = self.row(context, written, &comments);
                    rows.entry((plan.object, def.name)).or_default().extend(row);
                }
            }
        }
    }

    fn row(&self, context: RuleContext<'_>, written: bool, comments: &Comments<'_>) -> Option<Row> {
        let RuleContext { map, plan, rule, .. } = context;
        let property = rule.to.clone().filter(|_| written && rule.direction.writes());
        let way = Way::of(rule.direction.reads(), property.is_some())?;
        let mut paths: Vec<String> = rule.from.iter().map(|input| map.input_name(input)).collect();
        paths.extend(rule.pairs.iter().map(|pairs| map.input_name(&pairs.list)));
        Some(Row {
            source: self.title.clone(),
            provider: self.name.to_owned(),
            object: plan.remote.clone(),
            paths: if way.reads() { paths } else { Vec::new() },
            way,
            checks: context.checks(property.is_some()),
            incoming: if way.reads() { context.incoming() } else { Vec::new() },
            outgoing: if property.is_some() { context.outgoing() } else { Vec::new() },
            reason: reason(rule, comments),
            file: format!("shared/providers/{}", map.file),
            property,
        })
    }
}

/// The rows of an effect, by which one object sets fields of another.
fn effect_rows(catalogue: Catalogue, effect: &Effect, rows: &mut Rows) {
    for (name, value) in &effect.set {
        let Some(def) = catalogue.find(effect.to, name) else { continue };
        let (paths, step) = match value {
            EffectValue::Field(field) => (vec![format!("{}.{field}", effect.from)], "copied".to_owned()),
            EffectValue::DayOf(field) => (vec![format!("{}.{field}", effect.from)], "its day, in UTC".to_owned()),
            EffectValue::Text(text) if text.contains('{') => (Vec::new(), format!("the text `{text}`")),
            EffectValue::Text(text) => (Vec::new(), format!("always `{text}`")),
        };
        let conditions: Vec<String> =
            effect.when.iter().map(|(field, values)| format!("{} is {}", code(field), codes(values, "or"))).collect();
        let mut incoming = vec![step];
        if !conditions.is_empty() {
            incoming.push(format!("only where {}", listing(&conditions, "and")));
        }
        rows.entry((effect.to, def.name)).or_default().push(Row {
            source: "the hub, by an effect".to_owned(),
            provider: String::new(),
            object: effect.from.to_string(),
            paths,
            property: None,
            way: Way::In,
            checks: Vec::new(),
            incoming,
            outgoing: Vec::new(),
            reason: effect.why.clone(),
            file: DEFAULT_PATH.to_owned(),
        });
    }
}
