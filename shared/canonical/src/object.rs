//! The object types of the hub's own model.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

macro_rules! object_types {
    ($(#[doc = $doc:literal] $variant:ident = $name:literal,)+) => {
        /// A kind of canonical record. Every provider's objects map to one of these.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum ObjectType {
            $(#[doc = $doc] #[serde(rename = $name)] $variant,)+
        }

        impl ObjectType {
            /// Every object type, in declaration order.
            pub const ALL: &'static [ObjectType] = &[$(ObjectType::$variant,)+];

            /// The name used in configuration, messages and keys: lower case, words joined by `_`.
            pub const fn name(self) -> &'static str {
                match self { $(ObjectType::$variant => $name,)+ }
            }

            /// One sentence for the data dictionary.
            pub const fn doc(self) -> &'static str {
                match self { $(ObjectType::$variant => $doc.trim_ascii(),)+ }
            }
        }
    };
}

object_types! {
    /// A person.
    Contact = "contact",
    /// An organisation.
    Company = "company",
    /// An inquiry by a person who may become a customer.
    Lead = "lead",
    /// A sales opportunity.
    Deal = "deal",
    /// A support case.
    Ticket = "ticket",
    /// A bill.
    Invoice = "invoice",
    /// Money received, refused, disputed or given back.
    Payment = "payment",
    /// A recurring agreement.
    Subscription = "subscription",
    /// Something that is sold.
    Product = "product",
    /// A purchase.
    Order = "order",
    /// A telephone call.
    Call = "call",
    /// A calendar entry.
    Meeting = "meeting",
    /// Something that happened to one e-mail: sent, opened, bounced, received, …
    EmailEvent = "email_event",
    /// One contact with marketing, with its attribution (UTM parameters and click ids).
    Touchpoint = "touchpoint",
    /// A person's permission, or its withdrawal, for one purpose and channel.
    Consent = "consent",
}

impl fmt::Display for ObjectType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is not the name of an [`ObjectType`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownObject(pub String);

impl fmt::Display for UnknownObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not a canonical object; known are ", self.0)?;
        for (i, object) in ObjectType::ALL.iter().enumerate() {
            write!(f, "{}{object}", if i == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

impl std::error::Error for UnknownObject {}

impl FromStr for ObjectType {
    type Err = UnknownObject;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        ObjectType::ALL.iter().copied().find(|o| o.name() == name).ok_or_else(|| UnknownObject(name.to_owned()))
    }
}
