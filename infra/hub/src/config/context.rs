//! Looks up the names that a configuration uses, and reports those that do not exist.

use std::collections::BTreeMap;

use canonical::{Catalogue, ConnectionName, FieldDef, ObjectType};
use mapping::file::{Report, Span, Spanned, suggestion};
use sync::config::Connection;

/// The connections that were read, and where mistakes go.
pub(super) struct Context<'c> {
    pub report: &'c mut Report,
    pub connections: &'c BTreeMap<ConnectionName, Connection>,
    /// The canonical fields, those of the configuration included.
    pub catalogue: Catalogue,
}

impl<'c> Context<'c> {
    /// The connection of a name.
    pub fn connection(&mut self, name: &Spanned<String>) -> Option<&'c Connection> {
        let text = name.get_ref();
        let connection = self.connections.get(text.as_str());
        if connection.is_none() {
            let known = self.connections.keys().map(|name| name.as_str());
            let help = suggestion(text, known);
            self.report.error(name.span(), format!("there is no connection `{text}`")).label("unknown connection").help(help);
        }
        connection
    }

    /// The canonical object of a name.
    pub fn object(&mut self, name: &Spanned<String>) -> Option<ObjectType> {
        let text = name.get_ref();
        let object = text.parse().ok();
        if object.is_none() {
            let help = suggestion(text, ObjectType::ALL.iter().map(|object| object.name()));
            self.report.error(name.span(), format!("`{text}` is not a canonical object")).label("unknown object").help(help);
        }
        object
    }

    /// The canonical field of a name.
    pub fn field(&mut self, object: ObjectType, name: &Spanned<String>) -> Option<&'static FieldDef> {
        self.field_at(object, name.get_ref(), name.span())
    }

    /// The canonical field of a name that is a part of a text.
    pub fn field_at(&mut self, object: ObjectType, name: &str, span: Span) -> Option<&'static FieldDef> {
        let field = self.catalogue.find(object, name);
        if field.is_none() {
            let help = suggestion(name, self.catalogue.fields_of(object).map(|field| field.name));
            self.report.error(span, format!("`{object}` has no field `{name}`")).label("unknown field").help(help);
        }
        field
    }
}
