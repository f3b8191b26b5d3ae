//! What a source reports about one of its objects: the change, its fields and its stamp.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{ConnectionName, ObjectType, Value};

/// The name of a canonical field. Cheap to clone.
pub type FieldName = Arc<str>;

/// Canonical values by field.
pub type Fields = BTreeMap<FieldName, Value>;

/// Names one object at one connection: `stripe-eu/customer/cus_123`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RemoteId {
    /// The connection's name in `hub.toml`.
    pub connection: ConnectionName,
    /// The provider's own name of the object's type, as its manifest writes it: `customer`, `contacts`, `Account`.
    pub object: String,
    /// The provider's id, always as text.
    pub id: String,
}

impl fmt::Display for RemoteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.connection, self.object, self.id)
    }
}

/// When something was true at the source, by the source's own clock.
///
/// Ordered by time, then by sequence; a stamp without a sequence sorts before one with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Stamp {
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub at_ms: i64,
    /// The provider's sequence number, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
}

impl Stamp {
    /// A stamp without a sequence number.
    pub fn at(at_ms: i64) -> Stamp {
        Stamp { at_ms, sequence: None }
    }
}

/// What a source reports about one field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldValue {
    /// The normalised value; `Null` when the source cleared the field.
    pub value: Value,
    /// The field's own stamp, where the source gives one that is more exact than the change's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stamp: Option<Stamp>,
    /// True when the value is stored although the hub does not understand it, such as an unknown member of an enum.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub flagged: bool,
}

/// A field whose value could not be normalised. Only this field is quarantined; the other fields are applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The canonical field.
    pub field: String,
    /// The path in the provider's payload.
    pub path: String,
    /// What is wrong, with the class of the value and never the value itself.
    pub reason: String,
}

/// What kind of statement a [`Change`] makes about its source object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum ChangeKind {
    /// Everything that the source holds in the mapped fields. Only a field whose value differs gets a new stamp.
    Snapshot,
    /// Only the fields that changed.
    Partial,
    /// The object no longer exists at the source.
    Delete {
        /// True when the source asks that the person be forgotten, not only deleted.
        privacy: bool,
    },
    /// The object was merged into another one at the source.
    MergedInto {
        /// The id of the surviving object, same connection and object type.
        id: String,
    },
    /// A deleted object exists again. Its fields must be fetched.
    Restored,
    /// A read did not find the object. The change's stamp is the time of the first such read, by our clock.
    Absent {
        /// True when a second look, after the provider's declared lag, did not find it either.
        confirmed: bool,
    },
}

/// What one event reports about one source object, in canonical terms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The canonical object.
    pub object: ObjectType,
    /// The source object.
    pub source: RemoteId,
    /// What kind of statement it is.
    #[serde(flatten)]
    pub kind: ChangeKind,
    /// When it was true, by the provider's clock. `None` where the provider gives no time: then the receive time is used.
    pub stamp: Option<Stamp>,
    /// The mapped fields.
    #[serde(default)]
    pub fields: BTreeMap<FieldName, FieldValue>,
    /// Ids of the same thing in other systems, as `(namespace, id)`: for example `("stripe", "cus_123")`, or
    /// `("hub", "<golden id>")` when a destination returns the id that the hub wrote there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub external_ids: Vec<(String, String)>,
    /// Fields whose values could not be normalised.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
    /// True for a record that the source itself marks as a test.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub test: bool,
    /// True when the id of `source` was made from the event that mentions the object (a form's submission), so that no other event
    /// names the same object by it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub id_of_event: bool,
}

impl Change {
    /// The plain values of the mapped fields.
    pub fn values(&self) -> Fields {
        self.fields.iter().map(|(name, f)| (name.clone(), f.value.clone())).collect()
    }
}
