//! Which object a link stands for.

use canonical::{GoldenId, Stamp};
use serde::{Deserialize, Serialize};

/// The object at the destination that a link stands for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Object {
    /// None is known yet: the next push looks for one, and creates one if there is none.
    #[default]
    None,
    /// It exists.
    Live(LinkedObject),
    /// There is evidence that it was deleted at the destination. The hub never creates it again. Proof of its life, or another
    /// object of the same golden record there, makes the link live.
    Gone(LinkedObject),
    /// The golden record was merged into this one, whose link has taken over all that this link knew.
    MovedTo(GoldenId),
}

/// An object that is known by its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkedObject {
    /// Its id at the destination.
    pub id: String,
    /// True once it carries the id of the golden record.
    pub marked: bool,
    /// When the hub created it, by the destination's clock; `None` where it did not, or where the time is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<Stamp>,
}

impl LinkedObject {
    pub(super) fn new(id: String) -> LinkedObject {
        LinkedObject { id, marked: false, created: None }
    }
}

impl Object {
    /// The object, live or gone.
    pub fn known(&self) -> Option<&LinkedObject> {
        match self {
            Object::Live(object) | Object::Gone(object) => Some(object),
            Object::None | Object::MovedTo(_) => None,
        }
    }

    /// The object's id, live or gone.
    pub fn id(&self) -> Option<&str> {
        self.known().map(|object| object.id.as_str())
    }

    pub(super) fn known_mut(&mut self) -> Option<&mut LinkedObject> {
        match self {
            Object::Live(object) | Object::Gone(object) => Some(object),
            Object::None | Object::MovedTo(_) => None,
        }
    }

    /// Makes the link stand for the object with this id. That the same object was deleted is not taken back; another object
    /// lives. Returns true if the link stood for another object.
    pub(super) fn point_to(&mut self, id: String) -> bool {
        match self {
            Object::None | Object::MovedTo(_) => {
                *self = Object::Live(LinkedObject::new(id));
                false
            }
            Object::Live(object) | Object::Gone(object) if object.id == id => false,
            Object::Live(_) | Object::Gone(_) => {
                *self = Object::Live(LinkedObject::new(id));
                true
            }
        }
    }

    /// Notes that the object with this id is gone. Returns true if it was the live one.
    pub(super) fn end(&mut self, id: &str) -> bool {
        let Object::Live(object) = self else { return false };
        if object.id != id {
            return false;
        }
        *self = Object::Gone(object.clone());
        true
    }

    /// Notes that the object with this id exists. Returns true if it was taken for gone.
    pub(super) fn revive(&mut self, id: &str) -> bool {
        let Object::Gone(object) = self else { return false };
        if object.id != id {
            return false;
        }
        *self = Object::Live(object.clone());
        true
    }
}
