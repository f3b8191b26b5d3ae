//! Checks the configuration against the providers' folders: do the objects exist, does what is written come back the same, and is
//! there a purpose for the personal data that leaves?

use std::collections::{BTreeMap, BTreeSet};

use canonical::{Catalogue, ConnectionName, FieldDef, FieldKind, FieldName, Fields, Money, ObjectType, Value, ValueKind};
use mapping::file::{Report, Span, suggestion};
use providers::Provider;
use sync::config::Connection;
use webhook::Scheme;

use super::compile::Compiled;

/// Adds what is wrong. Returns what is narrowed: values that a destination has no word for and gives back as another one. That is
/// not a mistake as long as writing the other one again changes nothing, because the hub knows its own value by what came back.
pub(super) fn check(compiled: &Compiled, providers: &BTreeMap<String, Provider>, report: &mut Report) -> Vec<String> {
    check_sweeps(compiled, providers, report);
    check_signing_secrets(compiled, providers, report);
    check_base_urls(compiled, report);
    check_own_fields(compiled, providers, report);
    let mut narrowed = Vec::new();
    let mut without_purpose = BTreeSet::new();
    for ((object, name), at) in &compiled.positions.destinations {
        let (Some(provider), Some(connection)) = (providers.get(name.as_str()), compiled.hub.connections.get(name)) else {
            continue;
        };
        let target = Target { object: *object, name, provider, connection, at };
        let Some(native) = target.native(compiled, report) else { continue };
        let written = written(compiled.hub.fields, provider, *object, native);
        if written.is_empty() {
            let message = format!("no field of a {object} is mapped to `{native}` of {}", target.title());
            report.error(at.clone(), message);
        }
        if connection.source || connection.sweep.contains(native) {
            narrowed.extend(target.check_round_trips(compiled.hub.fields, native, report));
        }
        let personal: Vec<&str> = written.iter().filter(|f| f.personal).map(|f| f.name).collect();
        if !personal.is_empty() && !compiled.purposes.contains_key(object) && without_purpose.insert(*object) {
            let message = format!("personal data of a {object} goes to `{name}` without a purpose");
            let label = format!("{} fields: {}", personal.len(), personal.join(", "));
            report.warning(at.clone(), message).label(label).help(format!("add {object} = \"…\" to [purposes]"));
        }
    }
    narrowed
}

/// A sweep lists what changed, so it needs a protocol that lists the object, and a mapping for what it finds. A connection whose
/// provider cannot be swept at all is reported once.
fn check_sweeps(compiled: &Compiled, providers: &BTreeMap<String, Provider>, report: &mut Report) {
    let mut refused: BTreeSet<&ConnectionName> = BTreeSet::new();
    for (name, object) in &compiled.positions.sweeps {
        let Some(provider) = providers.get(name.as_str()) else { continue };
        let title = &provider.manifest().provider.title;
        let provider_name = compiled.hub.connections.get(name).map_or("", |connection| connection.provider.as_str());
        let listable = providers::api_of(provider_name).map_or(&[][..], |api| api.listable());
        if listable.is_empty() {
            if refused.insert(name) {
                let help = "remove `sweep`: docs/generated/api-capabilities.md says which providers can be swept";
                let message = format!("the hub cannot list the records of {title}, so it cannot sweep them");
                report.error(object.span(), message).label("cannot be swept").help(help);
            }
        } else if !listable.contains(&object.get_ref().as_str()) {
            let help =
                format!("{}; what can be swept: {}", suggestion(object.get_ref(), listable.iter().copied()), listable.join(", "));
            let message = format!("the hub cannot list `{}` of {title}", object.get_ref());
            report.error(object.span(), message).label("cannot be swept").help(help);
        } else if provider.object_of(object.get_ref()).is_none() {
            let message = format!("nothing is mapped for `{}` of {title}", object.get_ref());
            report.error(object.span(), message).label("what is swept must be mapped");
        }
    }
}

/// Names of hosts and parts of names that nobody has: they stand in examples until somebody writes the own host.
const PLACEHOLDERS: &[&str] = &["example", "your-domain", "yourdomain", "mydomain", "my-domain", "your-company", "localhost"];

/// Warns of a base URL that nobody has replaced yet. It is not an error, because the local stack replaces every base URL.
fn check_base_urls(compiled: &Compiled, report: &mut Report) {
    for (name, at) in &compiled.positions.base_urls {
        let Some(connection) = compiled.hub.connections.get(name.as_str()) else { continue };
        let host = connection.base_url.split("://").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default();
        let placeholder = |label: &str| PLACEHOLDERS.contains(&label.to_lowercase().as_str());
        if host.contains(['<', '>']) || host.split('.').any(placeholder) {
            let message = format!("`{host}` is a placeholder: on AWS the connection `{name}` would call nobody");
            let help = "write the host of your own account before you deploy";
            report.warning(at.clone(), message).label("stands for your own host").help(help);
        }
    }
}

fn check_signing_secrets(compiled: &Compiled, providers: &BTreeMap<String, Provider>, report: &mut Report) {
    for (name, _) in compiled.hub.connections.iter().filter(|(_, c)| c.source && c.signing_secret.is_none()) {
        let Some(provider) = providers.get(name.as_str()) else { continue };
        // Amazon SNS signs with certificates that it publishes.
        if !matches!(provider.manifest().webhook.scheme, Scheme::Sns(_)) {
            let at = compiled.positions.providers.get(name.as_str()).cloned().unwrap_or(0..0);
            let help = format!("add signing_secret = \"{name}/signing\": its webhooks are verified with it");
            report.error(at, format!("connection `{name}` has no `signing_secret`")).help(help);
        }
    }
}

/// Warns of a field of one's own that nothing fills.
fn check_own_fields(compiled: &Compiled, providers: &BTreeMap<String, Provider>, report: &mut Report) {
    for field in compiled.hub.fields.own() {
        let rules = |provider: &Provider| {
            let maps: Vec<_> = provider.maps().collect();
            let plans = maps.iter().flat_map(|(_, map)| &map.plans).filter(|plan| plan.object == field.object);
            plans.flat_map(|plan| &plan.rules).any(|rule| *rule.field == *field.name && rule.direction.reads())
        };
        let by_effect = compiled.hub.effects.iter().any(|e| e.to == field.object && e.set.contains_key(field.name));
        if by_effect || providers.values().any(rules) {
            continue;
        }
        let at = compiled.positions.fields.get(&(field.object, field.name.to_owned())).cloned().unwrap_or(0..0);
        let help = "map it in a mapping file of your own (`mappings` of a connection), or set it by an effect";
        report.warning(at, format!("nothing fills `{}` of a {}", field.name, field.object)).help(help);
    }
}

/// A canonical object at a destination.
struct Target<'c> {
    object: ObjectType,
    name: &'c ConnectionName,
    provider: &'c Provider,
    connection: &'c Connection,
    /// Where the configuration names it.
    at: &'c Span,
}

impl Target<'_> {
    fn title(&self) -> &str {
        &self.provider.manifest().provider.title
    }

    /// The native object, if the provider can be written to and has it.
    fn native<'c>(&self, compiled: &'c Compiled, report: &mut Report) -> Option<&'c String> {
        if providers::api_of(&self.connection.provider).is_none() {
            report.error(self.at.clone(), format!("{} cannot be a destination yet", self.title()));
            return None;
        }
        let native = compiled.hub.object(self.object).destinations.get(self.name)?;
        if self.provider.destination(native).is_none() {
            let known = self.provider.manifest().destinations.iter().map(|d| d.native.as_str());
            let message = format!("{} has no object `{native}` to write to", self.title());
            report.error(self.at.clone(), message).label("unknown object").help(suggestion(native, known));
            return None;
        }
        Some(native)
    }

    /// Reports the values that never settle. Returns those that become another value, once.
    fn check_round_trips(&self, catalogue: Catalogue, native: &str, report: &mut Report) -> Vec<String> {
        let mut narrowed = Vec::new();
        for trip in round_trips(catalogue, self.provider, self.object, native) {
            if trip.stable {
                narrowed.push(format!("{}: {}", self.name, trip.what));
            } else {
                let help =
                    "the two systems would overwrite each other for ever: make the rule reversible, or give it one direction";
                report.error(self.at.clone(), trip.what).label("does not round-trip").help(help);
            }
        }
        narrowed
    }
}

fn single(field: &FieldDef, value: &Value) -> Fields {
    Fields::from([(FieldName::from(field.name), value.clone())])
}

/// The fields of an object that are written to a native object.
pub fn written(catalogue: Catalogue, provider: &Provider, object: ObjectType, native: &str) -> Vec<&'static FieldDef> {
    catalogue
        .fields_of(object)
        .filter(|field| {
            let samples = samples(field.kind);
            samples.iter().any(|value| provider.render(native, &single(field, value)).by_field.contains_key(field.name))
        })
        .collect()
}

/// A value that comes back as another one.
struct Trip {
    what: String,
    /// True when writing the value that came back changes nothing, or when nothing is written for it.
    stable: bool,
}

/// What comes back changed after it was written.
fn round_trips(catalogue: Catalogue, provider: &Provider, object: ObjectType, native: &str) -> Vec<Trip> {
    let mut trips = Vec::new();
    for field in catalogue.fields_of(object).filter(|f| !matches!(f.kind, FieldKind::Ref(_))) {
        for value in samples(field.kind) {
            let rendered = provider.render(native, &single(field, &value));
            let Some(properties) = rendered.by_field.get(field.name) else { continue };
            let back = provider.canonical(native, &rendered.properties);
            let Some(other) = back.get(field.name).filter(|other| **other != value) else { continue };
            let again = provider.render(native, &single(field, other));
            let same =
                |name: &String| again.properties.get(name).is_none_or(|value| Some(value) == rendered.properties.get(name));
            let stable = properties.iter().all(same);
            let what = format!("`{object}.{}` by `{}`: {value} comes back as {other}", field.name, properties.join(", "));
            trips.push(Trip { what, stable });
        }
    }
    trips
}

/// Made-up values of a kind; every member of an enumeration.
pub fn samples(kind: FieldKind) -> Vec<Value> {
    let text = |t: &str| vec![Value::text(t)];
    match kind {
        FieldKind::Text | FieldKind::Name => text("Ada Example"),
        FieldKind::Email => text("ada@example.org"),
        FieldKind::Phone => text("+4930123456"),
        FieldKind::Country => text("DE"),
        FieldKind::Currency => text("EUR"),
        FieldKind::Money => vec![Value::Money(Money { minor: 12_345, currency: "EUR".to_owned() })],
        FieldKind::Date => text("2026-01-31"),
        FieldKind::Instant => text("2026-01-31T09:30:00Z"),
        FieldKind::Enum(members) => members.iter().map(|m| Value::text(*m)).collect(),
        FieldKind::Bool => vec![Value::Bool(true), Value::Bool(false)],
        FieldKind::Int => vec![Value::Int(42)],
        FieldKind::Decimal => text("12.5"),
        FieldKind::Url => text("https://example.org/a"),
        FieldKind::Domain => text("example.org"),
        FieldKind::Industry => text("computer software"),
        FieldKind::Id | FieldKind::Verbatim | FieldKind::Ref(_) => text("1001"),
        FieldKind::Set(ValueKind::Email) => vec![Value::List(vec![Value::text("a@a.example"), Value::text("b@b.example")])],
        FieldKind::Set(_) => vec![Value::List(vec![Value::text("a"), Value::text("b")])],
    }
}
