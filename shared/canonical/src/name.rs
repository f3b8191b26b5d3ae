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

impl QueueName {
    /// The ingest queue of a lane.
    pub fn ingest(lane: Lane) -> QueueName {
        match lane {
            Lane::Urgent => "ingest-urgent".into(),
            Lane::Bulk => "ingest-bulk".into(),
        }
    }

    /// The queue of read requests, which `reconcile` works on.
    pub fn fetch() -> QueueName {
        "fetch".into()
    }

    /// The queue of requests of new access tokens, which `rotate` works on.
    pub fn refresh() -> QueueName {
        "refresh".into()
    }

    /// The queue of dispatches to one destination.
    pub fn upsert(destination: &str) -> QueueName {
        format!("upsert-{destination}").into()
    }

    /// The dead-letter queue of this queue.
    pub fn dead_letter(&self) -> QueueName {
        format!("{self}-dlq").into()
    }

    /// The destination of a queue of dispatches; `None` for every other queue.
    pub fn destination(&self) -> Option<&str> {
        self.strip_prefix("upsert-").filter(|name| !name.ends_with("-dlq"))
    }
}
