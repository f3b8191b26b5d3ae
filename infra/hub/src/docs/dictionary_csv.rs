//! The data dictionary for spreadsheets and programs: RFC 4180, with a line for each field at each object of a provider.

use canonical::FieldKind;

use super::dictionary::{Field, Object, Row, Way};

const HEADER: &[&str] = &[
    "object",
    "field",
    "type",
    "personal",
    "meaning",
    "field_direction",
    "field_validation",
    "whose_value_counts",
    "source",
    "provider",
    "provider_object",
    "native_path",
    "native_property",
    "direction",
    "validation",
    "transformation_in",
    "transformation_out",
    "reason",
    "file",
];

/// The page. A field without a mapping has one line as well.
pub fn page(objects: &[Object]) -> String {
    let mut text = String::new();
    record(&mut text, HEADER);
    for object in objects {
        for field in &object.fields {
            field.rows.iter().for_each(|row| line(&mut text, field, Some(row)));
            if field.rows.is_empty() {
                line(&mut text, field, None);
            }
        }
    }
    text
}

/// The type of a field in one word; a reference names its object.
pub fn type_of(kind: FieldKind) -> String {
    match kind {
        FieldKind::Ref(object) => format!("ref to {object}"),
        kind => kind.name().to_owned(),
    }
}

fn line(text: &mut String, field: &Field, row: Option<&Row>) {
    let def = field.def;
    let joined = |list: fn(&Row) -> &Vec<String>| row.map(|row| list(row).join("; ")).unwrap_or_default();
    let cell = |get: fn(&Row) -> &str| row.map(get).unwrap_or_default();
    record(
        text,
        &[
            def.object.name(),
            def.name,
            &type_of(def.kind),
            if def.personal { "yes" } else { "no" },
            def.doc,
            field.way.map_or("none", Way::word),
            &field.validation,
            &field.winner,
            cell(|row| &row.source),
            cell(|row| &row.provider),
            cell(|row| &row.object),
            &joined(|row| &row.paths),
            cell(|row| row.property.as_deref().unwrap_or_default()),
            row.map_or("none", |row| row.way.word()),
            &joined(|row| &row.checks),
            &joined(|row| &row.incoming),
            &joined(|row| &row.outgoing),
            cell(|row| &row.reason),
            cell(|row| &row.file),
        ],
    );
}

fn record(text: &mut String, cells: &[&str]) {
    for (i, cell) in cells.iter().enumerate() {
        if i > 0 {
            text.push(',');
        }
        if cell.contains([',', '"', '\r', '\n']) {
            text.push('"');
            text.push_str(&cell.replace('"', "\"\""));
            text.push('"');
        } else {
            text.push_str(cell);
        }
    }
    text.push_str("\r\n");
}
