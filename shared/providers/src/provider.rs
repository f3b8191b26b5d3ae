use std::sync::OnceLock;

use canonical::{Change, FieldName, Fields, ObjectType};
use mapping::{Captured, Context, Map, Path, Reader, Segment};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map as JsonMap, Value};
use thiserror::Error;

use crate::decode::{self, Part};
use crate::each;
use crate::events::EventReader;
use crate::manifest::{Destination, Manifest};
use crate::model::{Inbound, InboundEvent, Malformed, Rendered, Sequence};

/// A user's own choices on top of a provider's folder.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// Mapping files that change the provider's own.
    pub maps: Vec<Override>,
}

/// One overriding mapping file.
#[derive(Debug, Clone)]
pub struct Override {
    /// The provider's mapping file that it changes, without `.map.toml`.
    pub map: String,
    /// Its path, for messages.
    pub file: String,
    /// Its text.
    pub text: String,
}

/// Why a provider cannot be loaded.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LoadError {
    /// No folder has this name.
    #[error("no provider is called `{0}`")]
    Unknown(String),
    /// The packed form cannot be read.
    #[error("the packed provider cannot be read: {0}")]
    Packed(String),
    /// Files of the folder, or overrides of them, have mistakes.
    #[cfg(feature = "compile")]
    #[error(transparent)]
    Files(#[from] mapping::compile::Diagnostics),
}

/// A map that is ready to run.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub map: Map,
    pub reader: Reader,
    /// The `header.<name>` and `query.<name>` variables that its rules read.
    pub vars: Vec<String>,
}

impl Compiled {
    pub(crate) fn new(map: Map) -> Compiled {
        let reader = Reader::new(&map.paths);
        let asked = map.vars().into_iter().filter(|name| name.starts_with("header.") || name.starts_with("query."));
        let vars = asked.map(str::to_owned).collect();
        Compiled { map, reader, vars }
    }
}

/// A map in the pack: read when it is first needed.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Packed {
    /// The file's name without `.map.toml`.
    pub name: String,
    /// The provider's names of the objects that it makes, with the canonical objects.
    pub objects: Vec<(String, ObjectType)>,
    /// The compiled map.
    pub map: Box<RawValue>,
    #[serde(skip)]
    pub compiled: OnceLock<Option<Compiled>>,
}

/// One provider's manifest and compiled maps.
#[derive(Debug, Serialize, Deserialize)]
pub struct Provider {
    pub(crate) manifest: Manifest,
    pub(crate) maps: Vec<Packed>,
    #[serde(skip)]
    pub(crate) reader: OnceLock<Option<EventReader>>,
}

impl Provider {
    /// The form that functions read.
    pub fn to_packed(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Opens what [`Provider::to_packed`] wrote. Maps are read when they are first needed.
    ///
    /// # Errors
    /// It is not such a form.
    pub fn from_packed(json: &str) -> Result<Provider, LoadError> {
        serde_json::from_str(json).map_err(|e| LoadError::Packed(e.to_string()))
    }

    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The mapping files by name (without `.map.toml`), in the order of their names. One that the pack garbled is left out.
    pub fn maps(&self) -> impl Iterator<Item = (&str, &Map)> {
        self.maps.iter().filter_map(|packed| Some((packed.name.as_str(), &self.map(&packed.name)?.map)))
    }

    pub(crate) fn event_reader(&self) -> Option<&EventReader> {
        self.reader.get_or_init(|| self.manifest.events.as_ref().and_then(|e| EventReader::new(e).ok())).as_ref()
    }

    /// The map of that name, or the one that makes this object.
    pub(crate) fn map(&self, name: &str) -> Option<&Compiled> {
        let packed = self
            .maps
            .iter()
            .find(|m| m.name == name)
            .or_else(|| self.maps.iter().find(|m| m.objects.iter().any(|(remote, _)| remote == name)))?;
        packed.compiled.get_or_init(|| serde_json::from_str(packed.map.get()).ok().map(Compiled::new)).as_ref()
    }

    /// Splits a verified body into events and maps them.
    ///
    /// # Errors
    /// The body as a whole is malformed.
    pub fn events(&self, inbound: &Inbound<'_>) -> Result<Vec<InboundEvent>, Malformed> {
        let events = self.manifest.events.as_ref();
        let text = decode::json_text(inbound.body, events)?;
        let first = self.sequence_in(&text).map(|sequence| sequence.first);
        let parts = decode::parts(&text, events)?;
        let found = (0..).zip(&parts).flat_map(|(index, part)| self.event(index, part, first, inbound));
        Ok((0..).zip(found).map(|(index, event)| InboundEvent { index, ..event }).collect())
    }

    /// The numbers of a body's events, where the provider gives them: a gap between two bodies tells of lost events.
    pub fn sequence(&self, body: &[u8]) -> Option<Sequence> {
        self.sequence_in(&decode::json_text(body, self.manifest.events.as_ref()).ok()?)
    }

    fn sequence_in(&self, text: &str) -> Option<Sequence> {
        let places = self.manifest.events.as_ref()?.sequence.as_ref()?;
        let paths = [places.first.parse().ok()?, places.last.parse().ok()?];
        let slots = Reader::new(&paths).json(text.as_bytes()).ok()?;
        let number = |slot: &Captured<'_>| mapping::text_of(slot)?.parse().ok();
        Some(Sequence { first: number(&slots[0])?, last: number(&slots[1])? })
    }

    /// Maps a record read from the provider's API (`object` = the provider's name of its type). An object that nothing is
    /// mapped for gives no change.
    ///
    /// # Errors
    /// It is no such record.
    pub fn record(&self, connection: &str, object: &str, body: &[u8]) -> Result<Vec<Change>, Malformed> {
        let Some(compiled) = self.map(object) else { return Ok(Vec::new()) };
        let context = Context { connection, ..Context::default() };
        let malformed = |e: mapping::Unreadable| Malformed { reason: e.reason.to_owned(), at: e.at };
        let mut changes = Vec::new();
        match self.within(object, body).map_err(malformed)? {
            None => changes = compiled.map.run(&compiled.reader, body, &context).map_err(malformed)?,
            Some(records) => {
                for raw in records {
                    changes.extend(compiled.map.run(&compiled.reader, raw.as_bytes(), &context).map_err(malformed)?);
                }
            }
        }
        Ok(changes)
    }

    /// The records that an answer of the API holds, where the manifest says that it wraps them.
    fn within<'b>(&self, object: &str, body: &'b [u8]) -> Result<Option<Vec<&'b str>>, mapping::Unreadable> {
        let places = &self.manifest.records.within;
        let paths: Vec<Path> = places.iter().filter_map(|place| place.replace("{}", object).parse().ok()).collect();
        if paths.is_empty() {
            return Ok(None);
        }
        Ok(Reader::new(&paths).json(body)?.into_iter().find_map(|found| match found {
            Captured::Object(record) => Some(vec![record]),
            Captured::List(list) => {
                let records: Vec<&RawValue> = serde_json::from_str(list).ok()?;
                Some(records.into_iter().map(RawValue::get).collect())
            }
            _ => None,
        }))
    }

    /// The provider's name of the object that a record belongs to, where records say so.
    pub fn object_in(&self, body: &[u8]) -> Option<String> {
        let path: Path = self.manifest.records.object.as_ref()?.parse().ok()?;
        let slots = Reader::new(&[path]).json(body).ok()?;
        mapping::text_of(slots.first()?).map(str::to_owned)
    }

    /// The canonical object that a provider's object stands for.
    pub fn object_of(&self, remote_object: &str) -> Option<ObjectType> {
        self.maps.iter().flat_map(|m| &m.objects).find(|(remote, _)| remote == remote_object).map(|(_, object)| *object)
    }

    /// The destination object of that native name.
    pub fn destination(&self, native: &str) -> Option<&Destination> {
        self.manifest.destinations.iter().find(|d| d.native == native)
    }

    /// The native properties to ask for when an object is read, so that every mapped field comes back.
    pub fn read_properties(&self, object: &str) -> Vec<String> {
        let Some(Compiled { map, .. }) = self.map(object) else { return Vec::new() };
        let container = map.properties.as_ref().map_or(&[][..], Path::segments);
        let mut names: Vec<String> = map
            .paths
            .iter()
            .filter_map(|path| match path.segments().strip_prefix(container)? {
                [Segment::Key(name)] => Some(name.clone()),
                _ => None,
            })
            .chain(self.destination(object).map(|d| d.id_property.clone()))
            .collect();
        names.sort();
        names.dedup();
        names
    }

    /// True when this field has a native property that is written.
    pub fn writes(&self, object: &str, field: &FieldName) -> bool {
        let rules = self.map(object).into_iter().flat_map(|c| &c.map.plans).flat_map(|plan| &plan.rules);
        rules.filter(|rule| rule.direction.writes() && rule.to.is_some()).any(|rule| rule.field == *field)
    }

    /// Canonical values → native properties of a destination object. Applies directions, limits, names of lists, required fields.
    pub fn render(&self, remote_object: &str, fields: &Fields) -> Rendered {
        let Some(compiled) = self.map(remote_object) else { return Rendered::default() };
        let output = compiled.map.render(fields);
        Rendered {
            properties: output.properties,
            by_field: output.by_field,
            missing: output.missing,
            problems: output.problems,
            refs: output.refs,
        }
    }

    /// Native properties (as rendered, or as an API answer gives them) → canonical values, by the reading side of the same rules.
    pub fn canonical(&self, remote_object: &str, properties: &JsonMap<String, Value>) -> Fields {
        self.map(remote_object).map_or_else(Fields::new, |c| c.map.canonical(&c.reader, properties))
    }

    /// The paths of a body that hold something and that nothing reads: neither the manifest nor a rule. Each once, list elements
    /// as `[*]`. For a thin event only the manifest reads.
    ///
    /// # Errors
    /// The body is malformed.
    pub fn unmapped(&self, body: &[u8]) -> Result<Vec<String>, Malformed> {
        let mut left = Vec::new();
        let events = self.manifest.events.as_ref();
        let text = decode::json_text(body, events)?;
        let parts = decode::parts(&text, events)?;
        left.extend(decode::place(&text, events).map(|at| self.unread_around(&text, at)).unwrap_or_default());
        for Part { event: raw, .. } in &parts {
            let mut read: Vec<Path> = self.event_reader().map(|r| r.paths.clone()).unwrap_or_default();
            let object = self.object_in(raw.as_bytes());
            let (name, root) = match self.map_of_event(raw) {
                Some(found) => found,
                None => (object.unwrap_or_default(), None),
            };
            if let Some(compiled) = self.map(&name) {
                // The record itself is not read as a whole.
                read.retain(|path| root.as_ref() != Some(path));
                read.extend(
                    compiled.map.read_paths().iter().map(|path| root.as_ref().map_or(path.clone(), |root| root.join(path))),
                );
            }
            let vars = self.map(&name).map(|compiled| compiled.map.vars()).unwrap_or_default();
            read.extend(events.map(|events| each::read(events, vars.into_iter())).unwrap_or_default());
            let value: Value =
                serde_json::from_str(raw).map_err(|e| Malformed { reason: "not JSON".into(), at: Some(e.column()) })?;
            left.extend(mapping::unmapped(&read, &value));
        }
        left.sort();
        left.dedup();
        Ok(left)
    }

    /// What of a body that holds a list of events nothing reads, the events aside.
    fn unread_around(&self, text: &str, at: Path) -> Vec<String> {
        let Ok(value) = serde_json::from_str::<Value>(text) else { return Vec::new() };
        let outer = decode::outer_path(&at);
        let around = self.event_reader().map_or(&[][..], |reader| &reader.outer_paths).iter().map(|path| outer.join(path));
        let numbers = self.manifest.events.iter().filter_map(|e| e.sequence.as_ref()).flat_map(|s| [&s.first, &s.last]);
        let numbers = numbers.filter_map(|path| path.parse().ok());
        let read: Vec<Path> = around.chain(numbers).chain([at]).collect();
        mapping::unmapped(&read, &value)
    }
}
