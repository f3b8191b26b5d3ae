//! The sections of `hub.toml` in the providers' READMEs: between `<!-- section of hub.toml -->` and `<!-- end -->`.

use std::path::Path;

use providers::Provider;

use super::key_tables::KeyPage;
use crate::configuration::provider;
use crate::files::{read_text, shown};
use crate::out::CommandError;
use crate::section::section;

const BEGIN: &str = "<!-- section of hub.toml -->\n";
const END: &str = "<!-- end -->";

/// The READMEs in the folders of the providers, each with a fresh section.
///
/// # Errors
/// A README cannot be read, or has no place for the section.
pub fn readmes(folder: &Path) -> Result<Vec<KeyPage>, CommandError> {
    let mut pages = Vec::new();
    for name in Provider::builtin_names() {
        let path = folder.join(name).join("README.md");
        let text = read_text(&path)?;
        let lacks = || CommandError::Usage(format!("{}: add `{}` and, below it, `{END}`", shown(&path), BEGIN.trim()));
        let (before, rest) = text.split_once(BEGIN).ok_or_else(lacks)?;
        let (_, after) = rest.split_once(END).ok_or_else(lacks)?;
        // The README of the form uses the name that the shipped configuration gives it.
        let connection = if *name == "generic-form" { "form" } else { name };
        let section = section(&provider(name)?, connection);
        let named = if connection == *name { String::new() } else { format!(" --name {connection}") };
        let fresh = format!(
            "{before}{BEGIN}\n`cargo hub add {name}{named}` writes this section into `infra/config/hub.toml`:\n\n```toml\n{}```\n\n{END}{after}",
            section.text
        );
        pages.push(KeyPage { path, text, fresh });
    }
    Ok(pages)
}
