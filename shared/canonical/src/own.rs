//! Fields of one's own: those that a configuration adds to the catalogue.

use serde::de::Deserializer;
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

use crate::catalogue::{FieldDef, FieldKind, ValueKind, fields_of, find_field};
use crate::object::ObjectType;

/// A field that a configuration adds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnField {
    /// The object that gets it.
    pub object: ObjectType,
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: ValueKind,
    /// The members, if it is of the kind `enum`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<String>,
    /// The object that it refers to, if it is of the kind `ref`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refers_to: Option<ObjectType>,
    /// True when it is personal data.
    pub personal: bool,
    /// One sentence for the data dictionary.
    pub label: String,
}

/// The fields of every object: those of the hub and those that a configuration adds. Copies are cheap.
///
/// The added fields stay in memory until the process ends, because a process reads its configuration once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Catalogue {
    own: &'static [FieldDef],
}

impl Catalogue {
    /// The catalogue with these fields besides those of the hub.
    pub fn with(own: &[OwnField]) -> Catalogue {
        if own.is_empty() {
            return Catalogue::default();
        }
        Catalogue { own: own.iter().map(OwnField::definition).collect::<Vec<_>>().leak() }
    }

    /// The added fields.
    pub const fn own(self) -> &'static [FieldDef] {
        self.own
    }

    /// A field of an object by name.
    pub fn find(self, object: ObjectType, name: &str) -> Option<&'static FieldDef> {
        find_field(object, name).or_else(|| self.own.iter().find(|field| field.object == object && field.name == name))
    }

    /// The fields of an object: those of the hub, sorted by name, and then the added ones.
    pub fn fields_of(self, object: ObjectType) -> impl Iterator<Item = &'static FieldDef> {
        fields_of(object).chain(self.own.iter().filter(move |field| field.object == object))
    }
}

impl OwnField {
    fn definition(&self) -> FieldDef {
        let text = |text: &str| -> &'static str { text.to_owned().leak() };
        let members = || -> &'static [&'static str] { self.members.iter().map(|member| text(member)).collect::<Vec<_>>().leak() };
        FieldDef {
            object: self.object,
            name: text(&self.name),
            kind: FieldKind::of(self.kind, members, self.refers_to.unwrap_or(self.object)),
            personal: self.personal,
            doc: text(&self.label),
        }
    }

    fn of(field: &FieldDef) -> OwnField {
        let (members, refers_to) = match field.kind {
            FieldKind::Enum(members) => (members.iter().map(|member| (*member).to_owned()).collect(), None),
            FieldKind::Ref(object) => (Vec::new(), Some(object)),
            _ => (Vec::new(), None),
        };
        OwnField {
            object: field.object,
            name: field.name.to_owned(),
            kind: field.kind.value_kind(),
            members,
            refers_to,
            personal: field.personal,
            label: field.doc.to_owned(),
        }
    }
}

impl Serialize for Catalogue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.own.iter().map(OwnField::of))
    }
}

impl<'de> Deserialize<'de> for Catalogue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Catalogue, D::Error> {
        Vec::<OwnField>::deserialize(deserializer).map(|own| Catalogue::with(&own))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_fields_are_found_beside_those_of_the_hub() {
        let field = |name: &str, kind: ValueKind| OwnField {
            object: ObjectType::Contact,
            name: name.to_owned(),
            kind,
            members: Vec::new(),
            refers_to: None,
            personal: false,
            label: "A label.".to_owned(),
        };
        let tier = OwnField { members: vec!["gold".to_owned()], ..field("tier", ValueKind::Enum) };
        let catalogue = Catalogue::with(&[field("lead_score", ValueKind::Int), tier]);
        let kind = |name: &str| catalogue.find(ObjectType::Contact, name).map(|field| field.kind);
        assert_eq!(kind("lead_score"), Some(FieldKind::Int));
        assert_eq!(kind("tier"), Some(FieldKind::Enum(&["gold"])));
        assert_eq!(kind("email"), Some(FieldKind::Email));
        assert!(catalogue.find(ObjectType::Deal, "lead_score").is_none());
        assert_eq!(catalogue.fields_of(ObjectType::Contact).count(), fields_of(ObjectType::Contact).count() + 2);
    }
}
