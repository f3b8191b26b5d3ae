//! A provider: its manifest, its compiled mapping files, and what they do with records and fields.

use std::sync::OnceLock;

use canonical::{Catalogue, Change, FieldName, Fields, ObjectType};
use mapping::{Captured, Context, FieldRule, Map, Path, Reader, Rendered, Segment};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map as JsonMap, Value};
use thiserror::Error;
use webhook::Webhook;
use webhook::json::whole_characters;

use crate::manifest::{Destination, Manifest};
use crate::model::Malformed;
use crate::rules::EventReader;

/// A user's changes to a provider's folder.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// Mapping files that change the provider's own.
    pub maps: Vec<Override>,
    /// The fields that these files may name.
    pub catalogue: Catalogue,
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
    Files(#[from] mapping::file::Diagnostics),
}

/// A mapping file that is ready to run.
#[derive(Debug)]
pub(crate) struct CompiledMap {
    pub map: Map,
    pub reader: Reader,
    /// The variables `header.<name>` and `query.<name>` that its rules read.
    pub request_vars: Vec<String>,
}

impl CompiledMap {
    fn new(map: Map) -> CompiledMap {
        let reader = Reader::new(&map.paths);
        let of_request = |name: &&str| name.starts_with("header.") || name.starts_with("query.");
        let request_vars = map.vars().into_iter().filter(of_request).map(str::to_owned).collect();
        CompiledMap { map, reader, request_vars }
    }
}

/// A mapping file in the pack. It is read when it is first needed.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PackedMap {
    /// The file's name without `.map.toml`.
    pub name: String,
    /// The provider's names of the object types that it makes, with the canonical object types.
    pub objects: Vec<(String, ObjectType)>,
    /// The compiled map.
    pub map: Box<RawValue>,
    #[serde(skip)]
    pub compiled: OnceLock<Option<CompiledMap>>,
}

/// One provider's manifest and compiled mapping files.
#[derive(Debug, Serialize, Deserialize)]
pub struct Provider {
    pub(crate) manifest: Manifest,
    pub(crate) maps: Vec<PackedMap>,
    #[serde(skip)]
    pub(crate) reader: OnceLock<Option<EventReader>>,
}

impl Provider {
    /// The packed form, which the functions read.
    pub fn to_packed(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Opens the packed form.
    ///
    /// # Errors
    /// The text is not a packed provider.
    pub fn from_packed(json: &str) -> Result<Provider, LoadError> {
        serde_json::from_str(json).map_err(|e| LoadError::Packed(e.to_string()))
    }

    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The same provider with other rules for its webhooks.
    #[must_use]
    pub fn with_webhook(mut self, webhook: Webhook) -> Provider {
        self.manifest.webhook = webhook;
        self
    }

    /// The same provider for an account in this time zone (an IANA name), which rules name as `account`.
    ///
    /// # Errors
    /// A mapping file cannot be packed again.
    pub fn in_time_zone(mut self, zone: &str) -> Result<Provider, LoadError> {
        let broken = |error: serde_json::Error| LoadError::Packed(error.to_string());
        for packed in &mut self.maps {
            let mut map: Map = serde_json::from_str(packed.map.get()).map_err(broken)?;
            map.set_account_zone(zone);
            packed.map = serde_json::value::to_raw_value(&map).map_err(broken)?;
            packed.compiled = OnceLock::new();
        }
        Ok(self)
    }

    /// The mapping files by name (without `.map.toml`), in the order of their names. One that cannot be read is left out.
    pub fn maps(&self) -> impl Iterator<Item = (&str, &Map)> {
        self.maps.iter().filter_map(|packed| Some((packed.name.as_str(), &self.map(&packed.name)?.map)))
    }

    pub(crate) fn event_reader(&self) -> Option<&EventReader> {
        self.reader.get_or_init(|| self.manifest.events.as_ref().and_then(|e| EventReader::new(e).ok())).as_ref()
    }

    /// The mapping file of that name, or the one that makes this object type.
    pub(crate) fn map(&self, name: &str) -> Option<&CompiledMap> {
        let packed = self
            .maps
            .iter()
            .find(|m| m.name == name)
            .or_else(|| self.maps.iter().find(|m| m.objects.iter().any(|(remote, _)| remote == name)))?;
        packed.compiled.get_or_init(|| serde_json::from_str(packed.map.get()).ok().map(CompiledMap::new)).as_ref()
    }

    /// Maps a record of the provider's API; `object` is the provider's name of its type. A type without a mapping file gives no
    /// change.
    ///
    /// # Errors
    /// The body is not such a record.
    pub fn record(&self, connection: &str, object: &str, body: &[u8]) -> Result<Vec<Change>, Malformed> {
        let Some(compiled) = self.map(object) else { return Ok(Vec::new()) };
        let body = whole_characters(body);
        let context = Context { connection, ..Context::default() };
        let mut changes = Vec::new();
        for record in self.records(object, &body)? {
            changes.extend(compiled.map.run(&compiled.reader, record, &context)?);
        }
        Ok(changes)
    }

    /// The records inside an answer of the API, or the whole answer where it is the record.
    pub(crate) fn records<'b>(&self, object: &str, body: &'b [u8]) -> Result<Vec<&'b [u8]>, Malformed> {
        let within = &self.manifest.records.within;
        let paths: Vec<Path> = within.iter().filter_map(|path| path.replace("{}", object).parse().ok()).collect();
        if paths.is_empty() {
            return Ok(vec![body]);
        }
        let wrapped = Reader::new(&paths).json(body)?.into_iter().find_map(|found| match found {
            Captured::Object(record) => Some(vec![record.as_bytes()]),
            Captured::List(list) => {
                let records: Vec<&RawValue> = serde_json::from_str(list).ok()?;
                Some(records.into_iter().map(|record| record.get().as_bytes()).collect())
            }
            _ => None,
        });
        Ok(wrapped.unwrap_or_else(|| vec![body]))
    }

    /// The provider's name of a record's object type, where records name it.
    pub fn object_in(&self, body: &[u8]) -> Option<String> {
        let path: Path = self.manifest.records.object.as_ref()?.parse().ok()?;
        let body = whole_characters(body);
        let values = Reader::new(&[path]).json(&body).ok()?;
        mapping::text_of(values.first()?).map(str::to_owned)
    }

    /// The canonical object type of a provider's object type.
    pub fn object_of(&self, remote_object: &str) -> Option<ObjectType> {
        self.maps.iter().flat_map(|m| &m.objects).find(|(remote, _)| remote == remote_object).map(|(_, object)| *object)
    }

    /// The destination object of that native name.
    pub fn destination(&self, native: &str) -> Option<&Destination> {
        self.manifest.destinations.iter().find(|d| d.native == native)
    }

    /// The native properties that a read must request, so that the answer holds every mapped field.
    pub fn read_properties(&self, object: &str) -> Vec<String> {
        let Some(CompiledMap { map, .. }) = self.map(object) else { return Vec::new() };
        let container = map.properties.as_ref().map_or(&[][..], Path::segments);
        let mut names: Vec<String> = map
            .paths
            .iter()
            .filter_map(|path| match path.segments().strip_prefix(container)? {
                [Segment::Key(name)] => Some(name.clone()),
                _ => None,
            })
            .filter(|name| !self.is_association(object, name))
            .chain(self.destination(object).map(|d| d.id_property.clone()))
            .collect();
        names.sort();
        names.dedup();
        names
    }

    /// True when this property of a destination object stands for an association, so that the provider has no such property.
    pub fn is_association(&self, object: &str, property: &str) -> bool {
        self.destination(object).is_some_and(|d| d.associations.iter().any(|association| association.property == property))
    }

    /// True when the hub writes this field to a native property.
    pub fn writes(&self, object: &str, field: &FieldName) -> bool {
        self.rules(object).filter(|rule| rule.direction.writes() && rule.to.is_some()).any(|rule| rule.field == *field)
    }

    /// True when the destination object needs a value in this native property.
    pub fn requires(&self, object: &str, property: &str) -> bool {
        self.rules(object).any(|rule| rule.required && rule.to.as_deref() == Some(property))
    }

    fn rules(&self, object: &str) -> impl Iterator<Item = &FieldRule> {
        self.map(object).into_iter().flat_map(|c| &c.map.plans).flat_map(|plan| &plan.rules)
    }

    /// The canonical form of a native text that identifies an object: two objects with the same form stand for the same thing.
    /// `None` where the property identifies nothing, or the text cannot be understood.
    pub fn key_form(&self, object: &str, property: &str, text: &str) -> Option<String> {
        let fields = self.canonical(object, &JsonMap::from_iter([(property.to_owned(), Value::from(text))]));
        let value = self.rules(object).filter(|rule| rule.key).find_map(|rule| fields.get(&rule.field)?.as_text())?;
        (!value.is_empty()).then(|| value.to_owned())
    }

    /// The spellings of a natural key under which an object may hold it. Case makes no difference to the provider.
    pub fn spellings(&self, object: &str, property: &str, value: &str) -> Vec<String> {
        let is_address = self.destination(object).is_some_and(|d| d.web_addresses.iter().any(|name| name == property));
        let mut spellings = vec![value.to_owned()];
        if let (true, Some(host)) = (is_address, self.key_form(object, property, value)) {
            for scheme in ["", "http://", "https://"] {
                for host in [host.clone(), format!("www.{host}")] {
                    spellings.extend([format!("{scheme}{host}"), format!("{scheme}{host}/")]);
                }
            }
        }
        spellings.sort();
        spellings.dedup();
        spellings
    }

    /// Renders canonical values as native properties of a destination object: applies directions, limits, enum names and required
    /// fields.
    pub fn render(&self, remote_object: &str, fields: &Fields) -> Rendered {
        self.map(remote_object).map_or_else(Rendered::default, |compiled| compiled.map.render(fields))
    }

    /// Reads native properties, as rendered or as an API answers them, as canonical values, by the reading side of the same rules.
    pub fn canonical(&self, remote_object: &str, properties: &JsonMap<String, Value>) -> Fields {
        self.map(remote_object).map_or_else(Fields::new, |c| c.map.canonical(&c.reader, properties))
    }
}
