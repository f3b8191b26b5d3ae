//! The tables of keys inside pages that people write: between `<!-- keys: NAME -->` and `<!-- end -->`, from the tables that the
//! readers of mapping files, manifests and `hub.toml` use.

use std::path::{Path, PathBuf};

use canonical::ValueKind;
use mapping::compile::keys::MAPPING;
use mapping::file::{Key, KeyTable, ValueType};
use providers::keys::MANIFEST;

use super::markdown::Table;
use crate::config::keys::CONFIGURATION;
use crate::files::{read_text, shown};
use crate::out::CommandError;

/// The pages, in the folder `docs`.
const PAGES: &[&str] = &["mapping.md", "providers.md", "configuration.md"];

const BEGIN: &str = "<!-- keys: ";
const END: &str = "<!-- end -->";

/// A section of a page.
struct Section {
    name: &'static str,
    text: String,
}

/// A page that people write, as it is and as it should be.
pub struct KeyPage {
    /// Its file.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
    /// The same with fresh sections.
    pub fresh: String,
}

/// The pages of a folder with fresh sections.
///
/// # Errors
/// A page cannot be read, asks for keys that do not exist, or leaves a section open; or no page asks for some keys.
pub fn key_pages(folder: &Path) -> Result<Vec<KeyPage>, CommandError> {
    let sections = sections();
    let mut pages = Vec::new();
    for name in PAGES {
        let path = folder.join(name);
        let text = read_text(&path)?;
        let fresh = fill(&text, &sections).map_err(|fault| CommandError::Usage(format!("{}: {fault}", shown(&path))))?;
        pages.push(KeyPage { path, text, fresh });
    }
    let shows = |section: &Section| pages.iter().any(|page| page.text.contains(&format!("{BEGIN}{} -->", section.name)));
    match sections.iter().find(|section| !shows(section)) {
        Some(section) => {
            Err(CommandError::Usage(format!("no page shows the keys `{}`: add `{BEGIN}{} -->`", section.name, section.name)))
        }
        None => Ok(pages),
    }
}

/// A page with fresh sections.
fn fill(page: &str, sections: &[Section]) -> Result<String, String> {
    let mut fresh = String::new();
    let mut rest = page;
    while let Some((before, after)) = rest.split_once(BEGIN) {
        let (name, after) = after.split_once(" -->\n").ok_or("a section does not say which keys it shows")?;
        let (_, after) = after.split_once(END).ok_or(format!("the section `{name}` has no `{END}`"))?;
        let section = sections.iter().find(|section| section.name == name).ok_or(format!("there are no keys `{name}`"))?;
        fresh += &format!("{before}{BEGIN}{name} -->\n\n{}{END}", section.text);
        rest = after;
    }
    Ok(fresh + rest)
}

/// Every section: the kinds, and the tables that the three kinds of files lead to.
fn sections() -> Vec<Section> {
    let mut sections = vec![Section { name: "kinds", text: kinds() }];
    for root in [&MAPPING, &MANIFEST, &CONFIGURATION] {
        collect(root, &mut sections);
    }
    sections
}

fn collect(table: &'static KeyTable, sections: &mut Vec<Section>) {
    if let Some(name) = table.section {
        if sections.iter().any(|section| section.name == name) {
            return;
        }
        sections.push(Section { name, text: text(table) });
    }
    let values = table.keys().map(|key| &key.value).chain(&table.others);
    values.filter_map(ValueType::table).for_each(|inner| collect(inner, sections));
}

fn kinds() -> String {
    let mut table = Table::new(&["`as`", "canonical form"]);
    for kind in ValueKind::ALL {
        table.marked(&[format!("`{}`", kind.name()), kind.form().to_owned()]);
    }
    table.end()
}

fn text(table: &KeyTable) -> String {
    let mut text = String::new();
    for group in table.groups {
        if !group.title.is_empty() {
            text += &format!("**{}**\n\n", group.title);
        }
        let mut rows = Table::new(&["key", "value", "default", "meaning"]);
        group.keys.iter().for_each(|key| add(&mut rows, "", key));
        text += &rows.end();
    }
    text
}

/// Adds the row of a key, and below it those of the small tables that are shown where they are used.
fn add(rows: &mut Table, prefix: &str, key: &Key) {
    let default = match key.value {
        _ if key.needed => "needed",
        ValueType::Flag => "`false`",
        _ => key.default,
    };
    rows.marked(&[format!("`{prefix}{}`", key.name), key.value.description(), default.to_owned(), key.meaning.to_owned()]);
    if let Some(inner) = key.value.table().filter(|inner| inner.section.is_none()) {
        let names = if matches!(key.value, ValueType::Named(_)) { "<name>." } else { "" };
        inner.keys().for_each(|inner| add(rows, &format!("{prefix}{}.{names}", key.name), inner));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_filled_and_the_rest_stays() {
        let sections = [Section { name: "x", text: "new\n\n".to_owned() }];
        let page = "before\n<!-- keys: x -->\nold\n<!-- end -->\nafter\n";
        let fresh = fill(page, &sections).unwrap();
        assert_eq!(fresh, "before\n<!-- keys: x -->\n\nnew\n\n<!-- end -->\nafter\n");
        assert_eq!(fill(&fresh, &sections).unwrap(), fresh);
        assert_eq!(fill("<!-- keys: y -->\n<!-- end -->", &sections).unwrap_err(), "there are no keys `y`");
        assert_eq!(fill("<!-- keys: x -->\n", &sections).unwrap_err(), "the section `x` has no `<!-- end -->`");
    }

    #[test]
    fn small_tables_are_shown_where_they_are_used() {
        let sections = sections();
        let plan = &sections.iter().find(|section| section.name == "plan").unwrap().text;
        assert!(plan.contains("| `stamp` | a table | the event's time |"), "{plan}");
        assert!(plan.contains("| `stamp.from` | a path, or a list of paths | needed |"), "{plan}");
        assert!(!plan.contains("`fields.from`"), "the keys of a rule are a section of their own: {plan}");
    }

    #[test]
    fn a_page_that_lacks_a_section_is_a_fault() {
        let folder = tempfile::tempdir().unwrap();
        PAGES.iter().for_each(|page| std::fs::write(folder.path().join(page), "").unwrap());
        let Err(error) = key_pages(folder.path()) else { panic!("the pages show no keys") };
        assert!(error.to_string().starts_with("no page shows the keys `kinds`"), "{error}");
    }
}
