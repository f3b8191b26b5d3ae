//! The table that puts the properties of the CRMs beside the canonical fields.

use canonical::ObjectType;

use super::dictionary::{Field, Object, Row, Way};
use super::english::{code, codes};
use super::facts::{Facts, Folder};
use super::markdown::{GENERATED, Table};

/// The page.
pub fn page(facts: &Facts<'_>, dictionary: &[Object]) -> String {
    let crms: Vec<&Folder> = facts.folders.iter().filter(|f| !f.provider.manifest().destinations.is_empty()).collect();
    let mut text = format!("# CRM properties and canonical fields\n\n{GENERATED}{INTRODUCTION}");
    for object in dictionary {
        let natives: Vec<Option<String>> = crms.iter().map(|crm| native(crm, object.object)).collect();
        if natives.iter().all(Option::is_none) {
            continue;
        }
        let heading = |(crm, native): (&&Folder, &Option<String>)| match native {
            Some(native) => format!("{} {}", crm.title(), code(native)),
            None => crm.title().to_owned(),
        };
        let mut columns = vec!["canonical field".to_owned()];
        columns.extend(crms.iter().zip(&natives).map(heading));
        let mut table = Table::new(&columns.iter().map(String::as_str).collect::<Vec<_>>());
        for field in &object.fields {
            let cells: Vec<String> = crms.iter().map(|crm| cell(field, crm.name)).collect();
            if cells.iter().any(|cell| !cell.is_empty()) {
                table.row(&[vec![code(field.def.name)], cells].concat());
            }
        }
        text += &format!("## {}\n\n{}", object.object, table.end());
    }
    text.trim_end().to_owned() + "\n"
}

const INTRODUCTION: &str = "\
Which property of a CRM holds which canonical field. *Read*: the hub only reads it there. *Written*: the hub only writes it. Without a word, \
it does both. A dash means that the hub does not map the field there; your own mapping files can (`docs/mapping.md`, overrides). What the \
fields mean, and which value wins, is in the [data dictionary](data-dictionary.md).

";

/// The object of a CRM that holds a canonical object.
fn native(crm: &Folder, object: ObjectType) -> Option<String> {
    let destinations = crm.provider.manifest().destinations.iter();
    destinations.map(|d| &d.native).find(|native| crm.provider.object_of(native) == Some(object)).cloned()
}

/// The properties of a field at a provider.
fn cell(field: &Field, provider: &str) -> String {
    let rows = field.rows.iter().filter(|row| row.provider == provider);
    let mut cells: Vec<String> = rows.map(describe).filter(|cell| !cell.is_empty()).collect();
    cells.dedup();
    cells.join("; ")
}

fn describe(row: &Row) -> String {
    match (row.way, &row.property) {
        (Way::Both, Some(property)) => code(property),
        (_, Some(property)) => format!("{} (written)", code(property)),
        (_, None) if row.paths.is_empty() => String::new(),
        (_, None) => {
            let names: Vec<&str> = row.paths.iter().map(|path| path.trim_start_matches("properties.")).collect();
            format!("{} (read)", codes(&names, "else"))
        }
    }
}
