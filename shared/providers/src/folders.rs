//! The providers' folders, embedded at build time, and how one becomes a [`Provider`].

use std::sync::OnceLock;

use mapping::compile::compile;
use mapping::file::{Diagnostic, Diagnostics, Report, Source, read};
use serde_json::value::RawValue;

use crate::keys;
use crate::manifest::{Manifest, WebhooksApi};
use crate::provider::{LoadError, Overrides, PackedMap, Provider};
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
            let source = Source::new(format!("{name}/{stem}.map.toml"), *text);
            let overriding = overrides.maps.iter().filter(|o| o.map == *stem);
            let overriding: Vec<Source> = overriding.map(|o| Source::new(o.file.as_str(), o.text.as_str())).collect();
            match compile(&source, stem, &overriding, overrides.catalogue) {
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
    let mistakes = unknown.flat_map(|file| {
        let mut report = Report::new(Source::new(file.file.as_str(), file.text.as_str()));
        let message = format!("{} has no mapping file `{}`", folder.name, file.map);
        report.error(0..0, message).help(format!("it has {}", known.join(", ")));
        report.into_sorted()
    });
    mistakes.collect()
}

fn manifest(folder: &Folder) -> Result<Manifest, LoadError> {
    let mut report = Report::new(Source::new(format!("{}/manifest.toml", folder.name), folder.manifest));
    let manifest: Option<Manifest> = read(&keys::MANIFEST, &mut report);
    if let Some(manifest) = &manifest {
        check(manifest, folder.name, &mut report);
    }
    match manifest.filter(|_| report.is_empty()) {
        Some(manifest) => Ok(manifest),
        None => Err(LoadError::Files(Diagnostics(report.into_sorted()))),
    }
}

/// What no single key of a manifest can be blamed for.
fn check(manifest: &Manifest, folder: &str, report: &mut Report) {
    if let Err(error) = manifest.webhook.check() {
        report.error(0..0, error.to_string());
    }
    if let Some(Err(error)) = manifest.events.as_ref().map(EventReader::new) {
        report.error(0..0, error.to_string());
    }
    for (nth, auth) in manifest.api.auth.iter().enumerate() {
        if let Err(error) = auth.check() {
            report.error(0..0, error);
        }
        if manifest.api.auth[..nth].iter().any(|other| other.overlaps(auth)) {
            report.error(0..0, format!("a form of `[[api.auth]]` stands twice: `{}`", auth.title));
        }
    }
    if let Some(Err(error)) = manifest.api.webhooks.as_ref().map(WebhooksApi::check) {
        report.error(0..0, error);
    }
    if manifest.provider.name != folder {
        report.error(0..0, format!("the provider is called `{}`, but its folder `{folder}`", manifest.provider.name));
    }
}
