//! Compiles mapping files (TOML) into maps. Every mistake is reported with file, line and column, and all of them at once.
//!
//! The keys are in `docs/mapping.md`.

mod conversion;
mod file;
pub mod keys;
mod overriding;
mod plan;
mod rule;
mod slots;

#[cfg(test)]
mod tests;

use canonical::Catalogue;

use crate::file::{Diagnostics, Report, Source, TextOr, read};
use crate::map::Map;
use file::MappingFile;
use slots::Slots;

/// Compiles a provider's mapping file, and then the user's overrides of it, which may name the catalogue's own fields too. `remote`
/// is the provider's name of the object, for tables that name none.
///
/// # Errors
/// Everything that is wrong with any of the files.
pub fn compile(source: &Source, remote: &str, overrides: &[Source], catalogue: Catalogue) -> Result<Map, Diagnostics> {
    let mut slots = Slots::default();
    let mut report = Report::new(source.clone());
    let mut map = base(source, remote, &mut slots, &mut report);
    let mut found = report.into_sorted();
    for source in overrides {
        let mut report = Report::new(source.clone());
        overriding::apply(&mut map, catalogue, &mut slots, &mut report);
        found.extend(report.into_sorted());
    }
    map.paths = slots.into_paths();
    if found.is_empty() { Ok(map) } else { Err(Diagnostics(found)) }
}

/// The provider's own file, without its paths.
fn base(source: &Source, remote: &str, slots: &mut Slots, report: &mut Report) -> Map {
    let mut map =
        Map { file: source.file.to_string(), remote: remote.to_owned(), properties: None, paths: Vec::new(), plans: Vec::new() };
    let Some(file) = read::<MappingFile>(&keys::MAPPING, report) else { return map };
    let mut tables = Vec::new();
    for (name, value) in file.0 {
        match value {
            // The only key that is a text.
            TextOr::Text(properties) => map.properties = properties.parse().ok(),
            TextOr::Table(table) => tables.push((name, table)),
        }
    }
    for (name, table) in tables {
        map.plans.extend(plan::compile(name, table, &map, slots, report));
    }
    if map.plans.is_empty() && report.is_empty() {
        report.error(0..0, "the file maps nothing: it has no table such as `[contact]`");
    }
    map
}
