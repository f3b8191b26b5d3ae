//! The providers' folders, embedded at build time, and how one becomes a [`Provider`].

use std::sync::OnceLock;

use mapping::compile::{Diagnostic, Diagnostics, Source, compile};
use serde_json::value::RawValue;

use crate::manifest::Manifest;
use crate::provider::{LoadError, Override, Overrides, PackedMap, Provider};
use crate::rules::EventReader;

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

    /// The text of an embedded folder's `manifest.toml` or `<map>.map.toml`, for its comments.
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
    /// No folder has this name, or its files or the overrides have mistakes. The error lists all of them.
    pub fn builtin(name: &str, overrides: &Overrides) -> Result<Provider, LoadError> {
        let folder = FOLDERS.iter().find(|f| f.name == name).ok_or_else(|| LoadError::Unknown(name.to_owned()))?;
        let manifest = manifest(folder)?;
        let mut mistakes = unknown_maps(folder, overrides);
        let mut maps = Vec::new();
        for (stem, text) in folder.maps {
            let source = Source { file: format!("{name}/{stem}.map.toml"), text: (*text).to_owned() };
            let overriding = overrides.maps.iter().filter(|o| o.map == *stem);
            let overriding: Vec<Source> = overriding.map(|o| Source { file: o.file.clone(), text: o.text.clone() }).collect();
            match compile(&source, stem, &overriding) {
                Ok(map) => {
                    let objects = map.plans.iter().map(|p| (p.remote.clone(), p.object)).collect();
                    let map = serde_json::to_string(&map).and_then(RawValue::from_string);
                    let map = map.map_err(|e| LoadError::Packed(e.to_string()))?;
                    maps.push(PackedMap { name: (*stem).to_owned(), objects, map, compiled: OnceLock::new() });
                }
                Err(diagnostics) => mistakes.extend(diagnostics.0),
            }
        }
        if mistakes.is_empty() {
            Ok(Provider { manifest, maps, reader: OnceLock::new() })
        } else {
            Err(LoadError::Files(Diagnostics(mistakes)))
        }
    }
}

/// A mistake for each override of a mapping file that the folder does not have.
fn unknown_maps(folder: &Folder, overrides: &Overrides) -> Vec<Diagnostic> {
    let known: Vec<&str> = folder.maps.iter().map(|(stem, _)| *stem).collect();
    let unknown = overrides.maps.iter().filter(|o| !known.contains(&o.map.as_str()));
    let mistake = |file: &Override| {
        let source = Source { file: file.file.clone(), text: file.text.clone() };
        let message = format!("{} has no mapping file `{}`", folder.name, file.map);
        Diagnostic::new(&source, 0..0, message, Some(format!("it has {}", known.join(", "))))
    };
    unknown.map(mistake).collect()
}

fn manifest(folder: &Folder) -> Result<Manifest, LoadError> {
    let source = Source { file: format!("{}/manifest.toml", folder.name), text: folder.manifest.to_owned() };
    let mistake = |span, message: String| LoadError::Files(Diagnostics(vec![Diagnostic::new(&source, span, message, None)]));
    let manifest: Manifest =
        toml::from_str(folder.manifest).map_err(|e| mistake(e.span().unwrap_or(0..0), e.message().to_owned()))?;
    manifest.webhook.check().map_err(|e| mistake(0..0, e.to_string()))?;
    if let Some(events) = &manifest.events {
        EventReader::new(events).map_err(|e| mistake(0..0, e.to_string()))?;
    }
    if manifest.provider.name != folder.name {
        let message = format!("the provider is called `{}`, but its folder `{}`", manifest.provider.name, folder.name);
        return Err(mistake(0..0, message));
    }
    Ok(manifest)
}
