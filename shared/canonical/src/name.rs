//! Names and ids as types of their own, so that the compiler keeps them apart.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Serialize};

use crate::lane::Lane;

/// A newtype over text: reads like `&str`, is built by `from`, and is written to JSON as plain text.
macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Deref for $name {
            type Target = str;
            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> $name {
                $name(text)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> $name {
                $name(text.to_owned())
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                self.0 == other
            }
        }

        impl PartialEq<&str> for $name {
            fn eq(&self, other: &&str) -> bool {
                self.0 == *other
            }
        }

        impl PartialEq<String> for $name {
            fn eq(&self, other: &String) -> bool {
                self.0 == *other
            }
        }

        impl PartialEq<$name> for String {
            fn eq(&self, other: &$name) -> bool {
                *self == other.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_type! {
    /// The name of a connection (one account at one provider) in `hub.toml`. A destination is named by its connection.
    ConnectionName
}

text_type! {
    /// The id of a golden record.
    GoldenId
}

text_type! {
    /// The keyed hash of an identity key or of a remote id. It is safe in an item's key, where the value itself would be
    /// personal data.
    KeyHash
}

text_type! {
    /// The logical name of a queue. Adapters turn it into a URL.
    QueueName
}

/// How the names of the bulk lane's queues end.
const BULK: &str = "-bulk";
/// How the names of dead-letter queues end.
const DEAD_LETTERS: &str = "-dlq";

impl QueueName {
    /// The ingest queue of a lane.
    pub fn ingest(lane: Lane) -> QueueName {
        match lane {
            Lane::Urgent => "ingest-urgent".into(),
            Lane::Bulk => "ingest-bulk".into(),
        }
    }

    /// The queue of read requests of a lane, which `reconcile` works on.
    pub fn fetch(lane: Lane) -> QueueName {
        match lane {
            Lane::Urgent => "fetch".into(),
            Lane::Bulk => "fetch-bulk".into(),
        }
    }

    /// The queue of requests of new access tokens, which `rotate` works on.
    pub fn refresh() -> QueueName {
        "refresh".into()
    }

    /// The queue of a lane's dispatches to one destination.
    pub fn upsert(destination: &str, lane: Lane) -> QueueName {
        match lane {
            Lane::Urgent => format!("upsert-{destination}").into(),
            Lane::Bulk => format!("upsert-{destination}{BULK}").into(),
        }
    }

    /// The lane of a queue.
    pub fn lane(&self) -> Lane {
        if self.strip_suffix(DEAD_LETTERS).unwrap_or(self).ends_with(BULK) { Lane::Bulk } else { Lane::Urgent }
    }

    /// The dead-letter queue of this queue.
    pub fn dead_letter(&self) -> QueueName {
        format!("{self}{DEAD_LETTERS}").into()
    }

    /// The destination of a queue of dispatches; `None` for every other queue.
    pub fn destination(&self) -> Option<&str> {
        let name = self.strip_prefix("upsert-").filter(|name| !name.ends_with(DEAD_LETTERS))?;
        Some(name.strip_suffix(BULK).unwrap_or(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_knows_its_lane_and_its_destination() {
        for lane in Lane::ALL {
            for (queue, destination) in
                [(QueueName::ingest(lane), None), (QueueName::fetch(lane), None), (QueueName::upsert("a-b", lane), Some("a-b"))]
            {
                assert_eq!((queue.lane(), queue.destination()), (lane, destination), "{queue}");
                assert_eq!((queue.dead_letter().lane(), queue.dead_letter().destination()), (lane, None), "{queue}");
            }
        }
    }
}
