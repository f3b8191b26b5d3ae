//! Which objects of a destination belong to golden records.

use canonical::{FieldName, ObjectType};
use providers::api::RemoteRecord;

use super::Ports;
use super::calls::Destination;
use super::render::Rendering;
use crate::client::CallError;
use crate::failure::{AtStage, Code, Failure, Stage};
use crate::transform::shared_values::is_shared;

/// What to look for at the destination.
pub struct Wanted<'a> {
    /// The golden record's id.
    pub hub_id: &'a str,
    /// The linked object's id.
    pub remote: Option<&'a str>,
    /// Objects of this destination that the golden record was made from.
    pub members: Vec<&'a str>,
    /// The rendering, for natural keys.
    pub rendering: &'a Rendering,
    /// True when nobody has tried to write the record before: then no object carries its id.
    pub first: bool,
    /// Objects of this destination that a person has kept apart from the golden record.
    pub strangers: Vec<&'a str>,
    /// Records merged into this one whose objects may have been created late.
    pub pending_creates: Vec<&'a str>,
}

/// What was found for one record.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// Its object.
    pub object: Option<RemoteRecord>,
    /// Objects that were created for records merged into it.
    pub late_creates: Vec<RemoteRecord>,
}

type FoundObject = Result<Option<RemoteRecord>, Failure>;

impl<P: Ports> Destination<'_, P> {
    /// For each record that is wanted: the object at the destination, by its id, because the record was made from it, by our id,
    /// or by its natural key; and the objects of records that were merged into it.
    pub async fn look_up(&self, object: ObjectType, wanted: &[Wanted<'_>]) -> Result<Vec<Result<Found, Failure>>, Failure> {
        let objects = self.look_up_objects(object, wanted).await?;
        let native = self.native(object)?;
        let id_property = self.provider.destination(&native).map(|d| d.id_property.clone()).unwrap_or_default();
        let pending: Vec<String> = wanted.iter().flat_map(|w| w.pending_creates.iter().map(|id| (*id).to_owned())).collect();
        let created = if pending.is_empty() { Vec::new() } else { self.find(object, &id_property, &pending).await? };
        let created_for = |want: &Wanted<'_>| {
            let mine =
                |r: &&RemoteRecord| !r.archived && r.hub_id.as_deref().is_some_and(|id| want.pending_creates.contains(&id));
            created.iter().filter(mine).cloned().collect()
        };
        let found = objects.into_iter().zip(wanted);
        Ok(found.map(|(object, want)| object.map(|object| Found { object, late_creates: created_for(want) })).collect())
    }

    async fn look_up_objects(&self, object: ObjectType, wanted: &[Wanted<'_>]) -> Result<Vec<FoundObject>, Failure> {
        let native = self.native(object)?;
        let mut found = self.read_known(object, wanted).await?;
        let Some(destination) = self.provider.destination(&native) else { return Ok(found) };
        for property in std::iter::once(&destination.id_property).chain(&destination.natural_keys) {
            let value = |want: &Wanted<'_>| match *property == destination.id_property {
                true => self.searched_id(object, want, &destination.natural_keys),
                false => self.natural_key(object, want, property),
            };
            let values: Vec<Option<String>> = wanted
                .iter()
                .zip(&found)
                .map(|(want, found)| value(want).filter(|_| want.remote.is_none() && matches!(found, Ok(None))))
                .collect();
            let mut distinct: Vec<String> = values.iter().flatten().cloned().collect();
            distinct.sort();
            distinct.dedup();
            if distinct.is_empty() {
                continue;
            }
            let records = self.find(object, property, &distinct).await?;
            for ((found, value), want) in found.iter_mut().zip(values).zip(wanted) {
                if let Some(value) = value {
                    *found = the_one(&records, want, property, &value, self.name);
                }
            }
        }
        Ok(found)
    }

    /// Reads the objects whose ids are known: those of links, and those that records were made from.
    async fn read_known(&self, object: ObjectType, wanted: &[Wanted<'_>]) -> Result<Vec<FoundObject>, Failure> {
        let mut ids: Vec<String> = Vec::new();
        for want in wanted {
            match want.remote {
                Some(id) => ids.push(id.to_owned()),
                None => ids.extend(want.members.iter().map(|id| (*id).to_owned())),
            }
        }
        if ids.is_empty() {
            return Ok(wanted.iter().map(|_| Ok(None)).collect());
        }
        let records = self.read(object, &ids).await.map_err(CallError::into_failure).at(Stage::Find)?;
        let found = |want: &Wanted<'_>| match want.remote {
            Some(remote) => {
                let by_id = |r: &&RemoteRecord| r.id == remote || r.hub_id.as_deref() == Some(want.hub_id);
                records.iter().find(by_id).filter(|r| !r.archived).cloned()
            }
            None => made_from(&records, want),
        };
        Ok(wanted.iter().map(|want| Ok(found(want))).collect())
    }

    /// Our id, if an object can carry it that is not found by its natural key. Should the tables have been lost, an object with our
    /// id is found by its natural key as well, or the write reports that it existed.
    fn searched_id(&self, object: ObjectType, want: &Wanted<'_>, natural_keys: &[String]) -> Option<String> {
        let found_otherwise = want.first && natural_keys.iter().any(|key| self.natural_key(object, want, key).is_some());
        (!found_otherwise).then(|| want.hub_id.to_owned())
    }

    /// The record's value of a natural key, unless many people share it: that would find somebody else's object.
    fn natural_key(&self, object: ObjectType, want: &Wanted<'_>, property: &str) -> Option<String> {
        let value = want.rendering.rendered.properties.get(property)?.as_str().filter(|v| !v.is_empty())?;
        let policy = self.config.hub().object(object);
        let is_of = |(_, names): &(&FieldName, &Vec<String>)| names.iter().any(|name| name == property);
        let field = want.rendering.rendered.by_field.iter().find(is_of).map(|(field, _)| &**field).unwrap_or_default();
        (!is_shared(policy, object, field, &value.to_lowercase())).then(|| value.to_owned())
    }
}

/// The object that a record without a link was made from: the one that carries our id, or the only one. Several are told apart by
/// their natural key.
fn made_from(records: &[RemoteRecord], want: &Wanted<'_>) -> Option<RemoteRecord> {
    let mut live = records.iter().filter(|r| !r.archived && want.members.contains(&r.id.as_str()));
    if let Some(ours) = live.clone().find(|r| r.hub_id.as_deref() == Some(want.hub_id)) {
        return Some(ours.clone());
    }
    live.next().filter(|_| live.next().is_none()).cloned()
}

/// The one live object with this value; several are an ambiguity that a person must resolve.
fn the_one(records: &[RemoteRecord], want: &Wanted<'_>, property: &str, value: &str, destination: &str) -> FoundObject {
    let holds = |r: &&RemoteRecord| {
        !r.archived && r.properties.get(property).and_then(|v| v.as_str()).is_some_and(|v| v.eq_ignore_ascii_case(value))
            || r.hub_id.as_deref() == Some(value)
    };
    let mut matching = records.iter().filter(|r| !want.strangers.contains(&r.id.as_str())).filter(holds);
    match (matching.next(), matching.next()) {
        (first, None) => Ok(first.cloned()),
        (Some(a), Some(b)) if a.id == b.id => Ok(Some(a.clone())),
        _ => Err(Failure::new(Code::ProviderAmbiguous, format!("{destination} has several objects with the same `{property}`"))),
    }
}
