//! Effects: changes of one object that follow from a change of another one, by the rules in `hub.toml`.

use std::collections::BTreeMap;

use canonical::{Change, ChangeKind, FieldName, FieldValue, RemoteId, Value};

use crate::config::{Effect, EffectValue, Hub};

/// Derives the changes that follow from a change.
pub fn derive_changes(hub: &Hub, change: &Change) -> Vec<Change> {
    if !matches!(change.kind, ChangeKind::Snapshot | ChangeKind::Partial) {
        return Vec::new();
    }
    hub.effects
        .iter()
        .filter(|effect| effect.from == change.object && applies(effect, change))
        .map(|effect| derive_change(hub, effect, change))
        .collect()
}

fn value_of<'a>(change: &'a Change, field: &str) -> Option<&'a Value> {
    change.fields.get(field).map(|f| &f.value).filter(|v| !v.is_null())
}

fn applies(effect: &Effect, change: &Change) -> bool {
    effect.when.iter().all(|(field, wanted)| value_of(change, field).is_some_and(|v| wanted.contains(&v.to_string())))
}

fn derive_change(hub: &Hub, effect: &Effect, change: &Change) -> Change {
    let mut fields = BTreeMap::new();
    for (name, from) in &effect.set {
        if let Some(value) = compute_value(from, change) {
            fields.insert(FieldName::from(name.as_str()), FieldValue { value, stamp: None, flagged: false });
        }
    }
    let (source, referred) = affected_object(hub, effect, change);
    Change {
        object: effect.to,
        source,
        kind: ChangeKind::Partial,
        stamp: change.stamp,
        fields,
        external_ids: Vec::new(),
        problems: Vec::new(),
        test: change.test,
        id_of_event: !referred || change.id_of_event,
    }
}

/// The object that an effect changes: the first of the configured references that has a value. A reference to a record of the
/// affected type is that record. Any other reference only gives its id to a record of the affected type, so that all changes that
/// belong to one subscription change one deal. The second value is true for a reference to the affected record itself.
fn affected_object(hub: &Hub, effect: &Effect, change: &Change) -> (RemoteId, bool) {
    for field in &effect.about {
        let Some((object, id)) = value_of(change, field).and_then(Value::as_text).and_then(|text| text.split_once(':')) else {
            continue;
        };
        let same_type = hub
            .fields
            .find(change.object, field)
            .is_some_and(|def| matches!(def.kind, canonical::FieldKind::Ref(target) if target == effect.to));
        let object = if same_type { object.to_owned() } else { format!("{}-of-{object}", effect.to) };
        return (RemoteId { connection: change.source.connection.clone(), object, id: id.to_owned() }, same_type);
    }
    (RemoteId { object: format!("{}-of-{}", effect.to, change.source.object), ..change.source.clone() }, false)
}

fn compute_value(from: &EffectValue, change: &Change) -> Option<Value> {
    match from {
        EffectValue::Field(field) => value_of(change, field).cloned(),
        EffectValue::DayOf(field) => value_of(change, field)?.as_text()?.get(..10).map(Value::text),
        EffectValue::Text(template) => {
            let mut text = String::new();
            let mut rest = template.as_str();
            while let Some((before, after)) = rest.split_once('{') {
                let (field, tail) = after.split_once('}')?;
                text.push_str(before);
                if field == "id" {
                    text.push_str(&change.source.id);
                } else {
                    text.push_str(&value_of(change, field)?.to_string());
                }
                rest = tail;
            }
            text.push_str(rest);
            Some(Value::Text(text))
        }
    }
}
