//! What a change of one object says about another, by the configuration's table of effects.

use std::collections::BTreeMap;

use canonical::{Change, ChangeKind, FieldName, FieldValue, RemoteId, Value, find_field};

use crate::config::{Effect, EffectValue, Hub};

/// The changes that follow from a change.
pub fn expand(hub: &Hub, change: &Change) -> Vec<Change> {
    if !matches!(change.kind, ChangeKind::Snapshot | ChangeKind::Partial) {
        return Vec::new();
    }
    hub.effects
        .iter()
        .filter(|effect| effect.from == change.object && applies(effect, change))
        .map(|e| derive(e, change))
        .collect()
}

fn value<'a>(change: &'a Change, field: &str) -> Option<&'a Value> {
    change.fields.get(field).map(|f| &f.value).filter(|v| !v.is_null())
}

fn applies(effect: &Effect, change: &Change) -> bool {
    effect.when.iter().all(|(field, wanted)| value(change, field).is_some_and(|v| wanted.contains(&v.to_string())))
}

fn derive(effect: &Effect, change: &Change) -> Change {
    let mut fields = BTreeMap::new();
    for (name, from) in &effect.set {
        if let Some(value) = compute(from, change) {
            fields.insert(FieldName::from(name.as_str()), FieldValue { value, stamp: None, flagged: false });
        }
    }
    Change {
        object: effect.to,
        source: subject(effect, change),
        kind: ChangeKind::Partial,
        stamp: change.stamp,
        fields,
        external_ids: Vec::new(),
        problems: Vec::new(),
        test: change.test,
    }
}

/// Whom an effect is about: the first reference that has a value. A reference to a record of the affected kind *is* that
/// record; any other only lends its id, so that everything that hangs on one subscription speaks of one deal.
fn subject(effect: &Effect, change: &Change) -> RemoteId {
    for field in &effect.about {
        let Some((object, id)) = value(change, field).and_then(Value::as_text).and_then(|text| text.split_once(':')) else {
            continue;
        };
        let same_kind = find_field(change.object, field)
            .is_some_and(|def| matches!(def.kind, canonical::FieldKind::Ref(target) if target == effect.to));
        let object = if same_kind { object.to_owned() } else { format!("{}-of-{object}", effect.to) };
        return RemoteId { connection: change.source.connection.clone(), object, id: id.to_owned() };
    }
    RemoteId { object: format!("{}-of-{}", effect.to, change.source.object), ..change.source.clone() }
}

fn compute(from: &EffectValue, change: &Change) -> Option<Value> {
    match from {
        EffectValue::Field(field) => value(change, field).cloned(),
        EffectValue::DayOf(field) => value(change, field)?.as_text()?.get(..10).map(Value::text),
        EffectValue::Text(template) => {
            let mut text = String::new();
            let mut rest = template.as_str();
            while let Some((before, after)) = rest.split_once('{') {
                let (field, tail) = after.split_once('}')?;
                text.push_str(before);
                if field == "id" {
                    text.push_str(&change.source.id);
                } else {
                    text.push_str(&value(change, field)?.to_string());
                }
                rest = tail;
            }
            text.push_str(rest);
            Some(Value::Text(text))
        }
    }
}
