use std::sync::OnceLock;

use mapping::compile::{Diagnostic, Diagnostics, Source, compile};
use serde_json::value::RawValue;

use crate::events::EventReader;
use crate::manifest::Manifest;
use crate::provider::{LoadError, Overrides, Packed, Provider};

/// A provider's folder, embedded.
pub(crate) struct Folder {
    pub name: &'static str,
    pub manifest: &'static str,
    pub maps: &'static [(&'static str, &'static str)],
}

include!(concat!(env!("OUT_DIR"), "/folders.rs"));

impl Provider {
    /// The names of the embedded folders.
    pub fn builtin_names() -> &'static [&'static str] {
        NAMES
    }

    /// The text of an embedded folder's `manifest.toml` or `<map>.map.toml`, for what its comments say.
    pub fn builtin_file(name: &str, file: &str) -> Option<&'static str> {
        let folder = FOLDERS.iter().find(|f| f.name == name)?;
        match file.strip_suffix(".map.toml") {
            Some(stem) => folder.maps.iter().find(|(name, _)| *name == stem).map(|(_, text)| *text),
            None => (file == "manifest.toml").then_some(folder.manifest),
        }
    }

    /// Compiles an embedded folder with a user's overrides.
    ///
    /// # Errors
    /// The folder does not exist, or a file of it or an override has mistakes; all of them are told.
    pub fn builtin(name: &str, overrides: &Overrides) -> Result<Provider, LoadError> {
        let folder = FOLDERS.iter().find(|f| f.name == name).ok_or_else(|| LoadError::Unknown(name.to_owned()))?;
        let manifest = manifest(folder)?;
        let mut found = Vec::new();
        let mut maps = Vec::new();
        for (stem, text) in folder.maps {
            let source = Source { file: format!("{name}/{stem}.map.toml"), text: (*text).to_owned() };
            let own = overrides.maps.iter().filter(|o| o.map == *stem);
            let own: Vec<Source> = own.map(|o| Source { file: o.file.clone(), text: o.text.clone() }).collect();
            match compile(&source, stem, &own) {
                Ok(map) => {
                    let objects = map.plans.iter().map(|p| (p.remote.clone(), p.object)).collect();
                    let map = serde_json::to_string(&map).and_then(RawValue::from_string);
                    let map = map.map_err(|e| LoadError::Packed(e.to_string()))?;
                    maps.push(Packed { name: (*stem).to_owned(), objects, map, compiled: OnceLock::new() });
                }
                Err(diagnostics) => found.extend(diagnostics.0),
            }
        }
        for unknown in overrides.maps.iter().filter(|o| !folder.maps.iter().any(|(stem, _)| *stem == o.map)) {
            let known: Vec<&str> = folder.maps.iter().map(|(stem, _)| *stem).collect();
            let source = Source { file: unknown.file.clone(), text: unknown.text.clone() };
            let message = format!("{name} has no mapping file `{}`", unknown.map);
            found.push(Diagnostic::new(&source, 0..0, message, Some(format!("it has {}", known.join(", ")))));
        }
        if found.is_empty() {
            Ok(Provider { manifest, maps, reader: OnceLock::new() })
        } else {
            Err(LoadError::Files(Diagnostics(found)))
        }
    }
}

fn manifest(folder: &Folder) -> Result<Manifest, LoadError> {
    let source = Source { file: format!("{}/manifest.toml", folder.name), text: folder.manifest.to_owned() };
    let wrong = |span, message: String| LoadError::Files(Diagnostics(vec![Diagnostic::new(&source, span, message, None)]));
    let manifest: Manifest =
        toml::from_str(folder.manifest).map_err(|e| wrong(e.span().unwrap_or(0..0), e.message().to_owned()))?;
    manifest.webhook.check().map_err(|e| wrong(0..0, e.to_string()))?;
    if let Some(events) = &manifest.events {
        EventReader::new(events).map_err(|e| wrong(0..0, e.to_string()))?;
    }
    if manifest.provider.name != folder.name {
        return Err(wrong(0..0, format!("the provider is called `{}`, its folder `{}`", manifest.provider.name, folder.name)));
    }
    Ok(manifest)
}
