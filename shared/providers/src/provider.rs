use canonical::{Change, Fields, ObjectType};
use serde_json::{Map, Value};
use thiserror::Error;

use crate::manifest::{Destination, Manifest};
use crate::model::{Inbound, InboundEvent, Malformed, Rendered};

/// A user's own choices on top of a provider's folder.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// Mapping files: name of the provider's mapping file (without `.map.toml`) → the user's file and its text.
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
}

/// One provider's manifest and compiled maps.
#[derive(Debug)]
pub struct Provider {
    manifest: Manifest,
}

impl Provider {
    /// The names of the embedded folders.
    pub fn builtin_names() -> &'static [&'static str] {
        &[]
    }

    /// Compiles an embedded folder.
    ///
    /// # Errors
    /// The folder does not exist or is not valid.
    pub fn builtin(name: &str, _overrides: &Overrides) -> Result<Provider, LoadError> {
        Err(LoadError::Unknown(name.to_owned()))
    }

    /// The form that functions read.
    pub fn to_packed(&self) -> String {
        serde_json::to_string(&self.manifest).unwrap_or_default()
    }

    /// Opens what [`Provider::to_packed`] wrote.
    ///
    /// # Errors
    /// It is not such a form.
    pub fn from_packed(json: &str) -> Result<Provider, LoadError> {
        let manifest = serde_json::from_str(json).map_err(|e| LoadError::Packed(e.to_string()))?;
        Ok(Provider { manifest })
    }

    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Splits a verified body into events and maps them.
    ///
    /// # Errors
    /// The body as a whole is malformed.
    pub fn events(&self, _inbound: &Inbound<'_>) -> Result<Vec<InboundEvent>, Malformed> {
        Ok(Vec::new())
    }

    /// Maps a record read from the provider's API (`object` = the provider's name of its type).
    ///
    /// # Errors
    /// It is no such record.
    pub fn record(&self, _connection: &str, _object: &str, _body: &[u8]) -> Result<Vec<Change>, Malformed> {
        Ok(Vec::new())
    }

    /// The canonical object that a provider's object stands for.
    pub fn object_of(&self, _remote_object: &str) -> Option<ObjectType> {
        None
    }

    /// The destination object of that native name.
    pub fn destination(&self, native: &str) -> Option<&Destination> {
        self.manifest.destinations.iter().find(|d| d.native == native)
    }

    /// The native properties to ask for when an object is read, so that every mapped field comes back.
    pub fn read_properties(&self, _object: &str) -> Vec<String> {
        Vec::new()
    }

    /// Canonical values → native properties of a destination object.
    pub fn render(&self, _remote_object: &str, _fields: &Fields) -> Rendered {
        Rendered::default()
    }

    /// Native properties → canonical values, by the inbound side of the same rules.
    pub fn canonical(&self, _remote_object: &str, _properties: &Map<String, Value>) -> Fields {
        Fields::new()
    }
}
