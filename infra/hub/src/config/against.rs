//! Holds the configuration against the providers' folders: do the objects exist, does what goes out come back the same, is
//! there a purpose for the personal data that leaves?

use std::collections::{BTreeMap, BTreeSet};

use canonical::{FieldDef, FieldKind, FieldName, Fields, Money, ObjectType, Value};
use providers::Provider;
use webhook::Scheme;

use super::compile::Compiled;
use super::finding::{Finding, suggestion};
use super::read::Findings;

/// Adds what is wrong. Returns what is narrowed: values that a destination has no word for and gives back as another one.
/// That is no mistake while writing the other one again changes nothing: the hub knows its own value by what came back.
pub fn check(compiled: &Compiled, providers: &BTreeMap<String, Provider>, findings: &Findings) -> Vec<String> {
    let mut narrowed = Vec::new();
    for (name, object) in &compiled.places.sweeps {
        let Some(provider) = providers.get(name.as_str()) else { continue };
        if provider.object_of(&object.value).is_none() {
            let message = format!("nothing is mapped for `{}` of {}", object.value, provider.manifest().provider.title);
            findings.add(Finding::error(object.span.clone(), message).label("what is swept must be mapped"));
        }
    }
    for (name, _) in compiled.hub.connections.iter().filter(|(_, c)| c.source && c.signing_secret.is_none()) {
        let Some(provider) = providers.get(name.as_str()) else { continue };
        // Amazon SNS signs with certificates that it publishes.
        if !matches!(provider.manifest().webhook.scheme, Scheme::Sns(_)) {
            let span = compiled.places.providers.get(name.as_str()).cloned().unwrap_or(0..0);
            let finding = Finding::error(span, format!("connection `{name}` has no `signing_secret`"));
            findings.add(finding.help(format!("add signing_secret = \"{name}/signing\": its webhooks are verified with it")));
        }
    }
    let mut personal = BTreeSet::new();
    for ((object, name), span) in &compiled.places.destinations {
        let (Some(provider), Some(connection)) = (providers.get(name.as_str()), compiled.hub.connections.get(name.as_str()))
        else {
            continue;
        };
        if providers::api_of(&connection.provider).is_none() {
            let message = format!("{} cannot be a destination yet", provider.manifest().provider.title);
            findings.add(Finding::error(span.clone(), message));
            continue;
        }
        let Some(native) = compiled.hub.object(*object).destinations.get(name.as_str()) else { continue };
        if provider.destination(native).is_none() {
            let known: Vec<&str> = provider.manifest().destinations.iter().map(|d| d.native.as_str()).collect();
            let message = format!("{} has no object `{native}` to write to", provider.manifest().provider.title);
            findings.add(Finding::error(span.clone(), message).label("unknown object").help(suggestion(native, known)));
            continue;
        }
        let two_way = connection.source || connection.sweep.contains(native);
        let written = written(provider, *object, native);
        if written.is_empty() {
            let message = format!("no field of a {object} is mapped to `{native}` of {}", provider.manifest().provider.title);
            findings.add(Finding::error(span.clone(), message));
        }
        if two_way {
            for trip in round_trips(provider, *object, native) {
                if trip.stable {
                    narrowed.push(format!("{name}: {}", trip.what));
                } else {
                    let help =
                        "the two systems would overwrite each other for ever: make the rule reversible, or give it one direction";
                    findings.add(Finding::error(span.clone(), trip.what).label("does not round-trip").help(help));
                }
            }
        }
        if written.iter().any(|field| field.personal) && !compiled.purposes.contains_key(object) && personal.insert(*object) {
            let names: Vec<&str> = written.iter().filter(|f| f.personal).map(|f| f.name).collect();
            let message = format!("personal data of a {object} goes to `{name}` without a purpose");
            let label = format!("{} fields: {}", names.len(), names.join(", "));
            let help = format!("add {object} = \"…\" to [purposes]");
            findings.add(Finding::warning(span.clone(), message).label(label).help(help));
        }
    }
    narrowed
}

fn single(field: &FieldDef, value: &Value) -> Fields {
    Fields::from([(FieldName::from(field.name), value.clone())])
}

/// The fields of an object that are written to a native object.
pub fn written(provider: &Provider, object: ObjectType, native: &str) -> Vec<&'static FieldDef> {
    canonical::fields_of(object)
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
fn round_trips(provider: &Provider, object: ObjectType, native: &str) -> Vec<Trip> {
    let mut trips = Vec::new();
    for field in canonical::fields_of(object).filter(|f| !matches!(f.kind, FieldKind::Ref(_))) {
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
fn samples(kind: FieldKind) -> Vec<Value> {
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
        FieldKind::Id | FieldKind::Verbatim | FieldKind::Ref(_) => text("1001"),
        FieldKind::Set => vec![Value::List(vec![Value::text("a"), Value::text("b")])],
    }
}
