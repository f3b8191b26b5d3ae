//! `hub docs`: writes the pages that follow from data. The data dictionary, the inventory of integrations, the matrix of API
//! capabilities and the table of deadlines are written from the providers' folders, the configuration and `template.yaml`, so that
//! they cannot differ from these. So are the tables of keys inside the pages on mapping files, manifests and the configuration, and the
//! sections of `hub.toml` inside the READMEs of the providers.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use crate::configuration::ConfigArgs;
use crate::files::{read_text, root, shown, write};
use crate::out::{CommandError, counted, print_line};

mod capabilities;
mod comments;
mod crm_fields;
mod dictionary;
mod dictionary_csv;
mod dictionary_html;
mod dictionary_md;
mod english;
mod facts;
mod integrations;
mod key_tables;
mod markdown;
mod outcomes;
mod phrases;
mod readmes;
mod signing;
mod sla;

pub use facts::{Facts, Folder};
pub use key_tables::{KeyPage, key_pages};
pub use readmes::readmes;

/// The folder of the pages, from the repository's root.
pub const FOLDER: &str = "docs/generated";

/// The folder of the pages that people write, from the repository's root.
pub const WRITTEN_FOLDER: &str = "docs";

/// A generated file.
pub struct Page {
    /// Its name.
    pub name: &'static str,
    /// Its text.
    pub text: String,
}

/// Arguments of `hub docs`.
#[derive(Debug, Args)]
pub struct DocsArgs {
    /// The configuration.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Change nothing; fail and list the pages that are stale, missing or left over
    #[arg(long)]
    pub check: bool,
    /// The folder of the pages [default: docs/generated]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// Runs the command.
pub fn run(args: &DocsArgs) -> Result<ExitCode, CommandError> {
    let loaded = args.config.load()?;
    let template = read_text(&root().join("template.yaml"))?;
    let pages = pages(&Facts::new(&loaded, args.config.providers.registry()?.names(), &template)?);
    let folder = args.out.clone().unwrap_or_else(|| root().join(FOLDER));
    if !args.check {
        for page in &pages {
            write(&folder.join(page.name), page.text.as_bytes())?;
        }
        print_line(format_args!("{}: {} written", shown(&folder), counted(pages.len(), "page")))?;
        for page in written_pages()?.iter().filter(|page| page.text != page.fresh) {
            write(&page.path, page.fresh.as_bytes())?;
            print_line(format_args!("{}: its generated parts are written", shown(&page.path)))?;
        }
    }
    let mut faults = faults(&folder, &pages)?;
    let stale = written_pages()?.into_iter().filter(|page| page.text != page.fresh);
    faults.extend(stale.map(|page| format!("{} is stale; run `cargo hub docs`", shown(&page.path))));
    faults.iter().try_for_each(print_line)?;
    if faults.is_empty() && args.check {
        print_line(format_args!("{} is fresh", shown(&folder)))?;
    }
    Ok(if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The pages that people write and that have generated parts.
///
/// # Errors
/// A page cannot be read, or lacks a part.
pub fn written_pages() -> Result<Vec<KeyPage>, CommandError> {
    let mut pages = key_pages(&root().join(WRITTEN_FOLDER))?;
    pages.extend(readmes(&root().join("shared/providers"))?);
    Ok(pages)
}

/// All pages. The same facts give the same bytes.
pub fn pages(facts: &Facts<'_>) -> Vec<Page> {
    let dictionary = dictionary::dictionary(facts);
    vec![
        Page { name: "data-dictionary.md", text: dictionary_md::page(&dictionary) },
        Page { name: "data-dictionary.csv", text: dictionary_csv::page(&dictionary) },
        Page { name: "data-dictionary.html", text: dictionary_html::page(&dictionary) },
        Page { name: "integrations.md", text: integrations::page(facts) },
        Page { name: "api-capabilities.md", text: capabilities::page(facts) },
        Page { name: "event-sla.md", text: sla::page(facts) },
        Page { name: "crm-fields.md", text: crm_fields::page(facts, &dictionary) },
        Page { name: "outcomes.md", text: outcomes::page() },
    ]
}

/// The pages that are stale, missing or left over in a folder, each with the command that repairs it.
pub fn faults(folder: &Path, pages: &[Page]) -> Result<Vec<String>, CommandError> {
    let mut faults = Vec::new();
    for page in pages {
        let path = folder.join(page.name);
        match std::fs::read(&path) {
            Ok(bytes) if bytes == page.text.as_bytes() => {}
            Ok(_) => faults.push(format!("{} is stale; run `cargo hub docs`", shown(&path))),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                faults.push(format!("{} is missing; run `cargo hub docs`", shown(&path)));
            }
            Err(e) => return Err(CommandError::Read(shown(&path), e)),
        }
    }
    let mut there = BTreeSet::new();
    if folder.is_dir() {
        for entry in std::fs::read_dir(folder).map_err(|e| CommandError::Read(shown(folder), e))? {
            let entry = entry.map_err(|e| CommandError::Read(shown(folder), e))?;
            there.insert(entry.path());
        }
    }
    let left = there.iter().filter(|path| !pages.iter().any(|page| path.file_name() == Some(page.name.as_ref())));
    faults.extend(left.map(|path| format!("{0} is left over; run `rm -r {0}`", shown(path))));
    Ok(faults)
}
