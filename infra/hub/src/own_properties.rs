//! The properties of the stand-ins that hold fields of one's own: an account has them because somebody created them there.

use std::collections::BTreeMap;

use canonical::FieldKind;
use mapping::{Conversion, FieldRule, Map};
use sandbox::{Kind, ObjectSchema, Property};

use crate::config::Loaded;

/// Adds the properties to the objects of a connection's stand-in, as the connection's mapping files name them.
pub fn add(loaded: &Loaded, connection: &str, objects: &mut BTreeMap<String, ObjectSchema>) {
    let (Some(provider), Some(compiled)) = (loaded.providers.get(connection), &loaded.compiled) else { return };
    let own = compiled.hub.fields.own();
    for (native, map) in provider.maps() {
        let Some(schema) = objects.get_mut(native) else { continue };
        for plan in &map.plans {
            for rule in &plan.rules {
                let field = own.iter().find(|field| field.object == plan.object && *field.name == *rule.field);
                if let (Some(field), Some(name)) = (field, property(map, rule)) {
                    schema.properties.entry(name).or_insert_with(|| Property::of(kind(field.kind, rule)));
                }
            }
        }
    }
}

/// The native property of a rule: the one that it writes, else the one that it reads.
fn property(map: &Map, rule: &FieldRule) -> Option<String> {
    let read = || rule.from.first().and_then(|input| map.input_name(input).rsplit('.').next().map(str::to_owned));
    rule.to.clone().or_else(read)
}

fn kind(kind: FieldKind, rule: &FieldRule) -> Kind {
    match (kind, &rule.conversion) {
        (FieldKind::Enum(members), Conversion::Enum(names)) => {
            Kind::Enum(members.iter().map(|member| names.native(member).unwrap_or(member).to_owned()).collect())
        }
        (FieldKind::Int | FieldKind::Decimal | FieldKind::Money, _) => Kind::Number,
        (FieldKind::Bool, _) => Kind::Bool,
        (FieldKind::Date, _) => Kind::Date,
        (FieldKind::Instant, _) => Kind::Datetime,
        (FieldKind::Email, _) => Kind::Email,
        _ => Kind::Text,
    }
}
