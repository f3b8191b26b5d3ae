//! Which objects of a destination belong to golden records.

use std::collections::BTreeMap;

use canonical::{FieldName, ObjectType};
use providers::Provider;
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
    /// True when no worker has tried to write the record before: then no object carries its id.
    pub first: bool,
    /// Objects of this destination that a person has kept apart from the golden record.
    pub strangers: Vec<&'a str>,
    /// Objects that hold a unique value of the record, as the destination reported, and whether that is certain.
    pub key_holders: &'a BTreeMap<String, bool>,
    /// Records merged into this one whose objects may have been created late.
    pub pending_creates: Vec<&'a str>,
}

impl Wanted<'_> {
    /// The ids of the objects that may be the record's: the linked one, or those that it may adopt.
    fn known_ids(&self) -> impl Iterator<Item = &str> {
        let to_adopt = self.members.iter().copied().chain(self.key_holders.keys().map(String::as_str));
        self.remote.into_iter().chain(to_adopt.filter(|_| self.remote.is_none()))
    }
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
        let (mut found, holders) = self.read_known(object, wanted).await?;
        let Some(destination) = self.provider.destination(&native) else { return Ok(found) };
        for property in std::iter::once(&destination.id_property).chain(&destination.natural_keys) {
            let key = NaturalKey { provider: &self.provider, native: &native, property, lists: self.lists(&native, property) };
            let value = |want: &Wanted<'_>| match *property == destination.id_property {
                true => self.searched_id(object, want, &destination.natural_keys),
                false => self.natural_key(object, want, property),
            };
            let values: Vec<Option<String>> = wanted
                .iter()
                .zip(&found)
                .map(|(want, found)| value(want).filter(|_| want.remote.is_none() && matches!(found, Ok(None))))
                .collect();
            let mut distinct: Vec<String> = values.iter().flatten().flat_map(|value| key.spellings(value)).collect();
            distinct.sort();
            distinct.dedup();
            if distinct.is_empty() {
                continue;
            }
            let records = self.find(object, property, &distinct).await?;
            for ((found, value), want) in found.iter_mut().zip(values).zip(wanted) {
                if let Some(value) = value {
                    *found = key.the_one(&records, want, &value, self.name);
                }
            }
        }
        for (found, want) in
            found.iter_mut().zip(wanted).filter(|(found, want)| want.remote.is_none() && matches!(found, Ok(None)))
        {
            *found = self.holder(&native, &holders, want);
        }
        Ok(found)
    }

    fn lists(&self, native: &str, property: &str) -> &'static [&'static str] {
        self.api.further_properties(native, property)
    }

    /// Reads the objects whose ids are known: those of links, those that records were made from, and those that hold a unique
    /// value.
    async fn read_known(
        &self,
        object: ObjectType,
        wanted: &[Wanted<'_>],
    ) -> Result<(Vec<FoundObject>, Vec<RemoteRecord>), Failure> {
        let mut ids: Vec<String> =
            wanted.iter().flat_map(|want| want.known_ids().map(str::to_owned).collect::<Vec<_>>()).collect();
        ids.sort();
        ids.dedup();
        if ids.is_empty() {
            return Ok((wanted.iter().map(|_| Ok(None)).collect(), Vec::new()));
        }
        let read = self.read(object, &ids).await.map_err(CallError::into_failure).at(Stage::Find)?;
        let found = |want: &Wanted<'_>| match want.remote {
            // An answer under another id, without the record's id, is what the object was merged into. `transform` decides what
            // that means.
            Some(remote) => {
                let by_id = |r: &&RemoteRecord| r.id == remote || r.hub_id.as_deref() == Some(want.hub_id);
                read.records.iter().find(by_id).filter(|r| !r.archived).cloned()
            }
            None => made_from(&read.records, want),
        };
        // An object that cannot be read may exist.
        let found = |want: &Wanted<'_>| match want.known_ids().find_map(|id| read.refused.get(id)) {
            Some(failure) => Err(failure.clone().at(Stage::Find)),
            None => Ok(found(want)),
        };
        Ok((wanted.iter().map(found).collect(), read.records.clone()))
    }

    /// The object that holds a unique value of a record, as the destination reported. Objects that are only similar are adopted if
    /// their natural key is the record's.
    fn holder(&self, native: &str, records: &[RemoteRecord], want: &Wanted<'_>) -> FoundObject {
        let may_be_held =
            |r: &&RemoteRecord| !r.archived && want.key_holders.contains_key(&r.id) && !want.strangers.contains(&r.id.as_str());
        let live: Vec<&RemoteRecord> = records.iter().filter(may_be_held).collect();
        let has_key_of = |record: &RemoteRecord| {
            let keys = self.provider.destination(native).map_or(&[][..], |destination| &destination.natural_keys);
            keys.iter().any(|property| {
                let form = |value: Option<&serde_json::Value>| self.provider.key_form(native, property, value?.as_str()?);
                let own = form(want.rendering.rendered.properties.get(property));
                own.is_some() && own == form(record.properties.get(property))
            })
        };
        let fits = |record: &&&RemoteRecord| want.key_holders.get(&record.id) == Some(&true) || has_key_of(record);
        let mut fitting = live.iter().filter(fits);
        match (fitting.next(), fitting.next()) {
            (Some(one), None) => Ok(Some((*one).clone())),
            (None, _) => Ok(None),
            (Some(_), Some(_)) => {
                let ids: Vec<&str> = live.iter().map(|record| record.id.as_str()).collect();
                let detail = format!("{}: objects {} hold unique values of one record", self.name, ids.join(", "));
                Err(Failure::new(Code::ProviderAmbiguous, detail))
            }
        }
    }

    /// Our id, if an object can carry it that is not found by its natural key. Should the tables have been lost, an object with our
    /// id is found by its natural key as well, or the write reports that it existed.
    fn searched_id(&self, object: ObjectType, want: &Wanted<'_>, natural_keys: &[String]) -> Option<String> {
        let found_otherwise = want.first && natural_keys.iter().any(|key| self.natural_key(object, want, key).is_some());
        (!found_otherwise).then(|| want.hub_id.to_owned())
    }

    /// The record's value of a natural key, unless many people share it, or a record in review has it as well: that would find
    /// somebody else's object.
    fn natural_key(&self, object: ObjectType, want: &Wanted<'_>, property: &str) -> Option<String> {
        let value = want.rendering.rendered.properties.get(property)?.as_str().filter(|v| !v.is_empty())?;
        let policy = self.config.hub().object(object);
        let is_of = |(_, names): &(&FieldName, &Vec<String>)| names.iter().any(|name| name == property);
        let (field, _) = want.rendering.rendered.by_field.iter().find(is_of)?;
        let kind = self.config.hub().fields.find(object, field).map(|field| field.kind);
        (!is_shared(policy, kind, &value.to_lowercase())).then(|| value.to_owned())
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

/// A property by which objects are found, with all spellings and lists in which the destination may hold its values.
struct NaturalKey<'a> {
    provider: &'a Provider,
    native: &'a str,
    property: &'a str,
    lists: &'static [&'static str],
}

impl NaturalKey<'_> {
    /// The spellings of a value that an object may hold.
    fn spellings(&self, value: &str) -> Vec<String> {
        self.provider.spellings(self.native, self.property, value)
    }

    /// True when both texts stand for the same value.
    fn same(&self, one: &str, other: &str) -> bool {
        let form = |text: &str| self.provider.key_form(self.native, self.property, text);
        one.eq_ignore_ascii_case(other) || form(one).is_some_and(|one| Some(one) == form(other))
    }

    fn is_held(&self, record: &RemoteRecord, value: &str) -> bool {
        let text = |property: &str| record.properties.get(property).and_then(serde_json::Value::as_str);
        let in_list = |list: &&str| text(list).is_some_and(|values| values.split(';').any(|held| self.same(held.trim(), value)));
        text(self.property).is_some_and(|held| self.same(held, value)) || self.lists.iter().any(in_list)
    }

    /// The one live object with this value; several are an ambiguity that a person must resolve.
    fn the_one(&self, records: &[RemoteRecord], want: &Wanted<'_>, value: &str, destination: &str) -> FoundObject {
        let is_stranger = |r: &RemoteRecord| want.strangers.contains(&r.id.as_str());
        let holds =
            |r: &&RemoteRecord| !r.archived && !is_stranger(r) && (self.is_held(r, value) || r.hub_id.as_deref() == Some(value));
        let matching: BTreeMap<&str, &RemoteRecord> = records.iter().filter(holds).map(|r| (r.id.as_str(), r)).collect();
        if matching.len() < 2 {
            return Ok(matching.into_values().next().cloned());
        }
        let ids: Vec<&str> = matching.into_keys().collect();
        let detail = format!("{destination} has several objects with the same `{}`: {}", self.property, ids.join(", "));
        Err(Failure::new(Code::ProviderAmbiguous, detail))
    }
}
