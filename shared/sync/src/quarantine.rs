//! Fields that are set aside because their value cannot be normalised, or cannot be written to a destination. The rest of the
//! record goes on.
//!
//! A property that an account refuses in every record is remembered, so that one cause costs one refused call and one alarm. It
//! is tried again after [`TRY_AGAIN_MS`], after a change of the configuration, and when an operator resumes the connection.

use std::collections::BTreeMap;

use canonical::Problem;
use providers::api::Fault;

use crate::failure::{Code, Failure};
use crate::outbox::bounded;
use crate::ports::{Attr, Clock, Condition, Item, Key, Store, Table, Write};

/// How long a refused property is left out, in milliseconds.
pub const TRY_AGAIN_MS: i64 = 6 * 3_600_000;

/// The reason that names each field that was set aside, with its path and what is wrong, and never its value. `None` when no
/// field was set aside.
pub fn quarantine_reason<'a>(problems: impl IntoIterator<Item = &'a Problem>) -> Option<String> {
    let fields: Vec<String> = problems.into_iter().map(|p| format!("`{}` at `{}`: {}", p.field, p.path, p.reason)).collect();
    (!fields.is_empty()).then(|| bounded(&format!("{}: {}", Code::BadField, fields.join("; "))))
}

/// What the hub does with a property.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PropertyUse {
    /// It reads the property.
    Read,
    /// It writes the property.
    Write,
}

impl PropertyUse {
    /// The name in keys and log lines.
    pub const fn name(self) -> &'static str {
        match self {
            PropertyUse::Read => "read",
            PropertyUse::Write => "write",
        }
    }
}

/// The properties that a connection refuses in every record.
#[derive(Debug, Clone, Default)]
pub struct RefusedProperties {
    by_name: BTreeMap<(PropertyUse, String, String), RefusedProperty>,
}

/// A property that a connection refuses in every record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedProperty {
    /// The provider's code for it.
    pub code: String,
    /// Until when it is left out, in milliseconds.
    pub until_ms: i64,
}

impl RefusedProperties {
    /// The entry of a property of a native object.
    pub fn get(&self, property_use: PropertyUse, native: &str, property: &str) -> Option<&RefusedProperty> {
        self.by_name.get(&(property_use, native.to_owned(), property.to_owned()))
    }

    /// Every entry: use, native object, property.
    pub fn iter(&self) -> impl Iterator<Item = (PropertyUse, &str, &str, &RefusedProperty)> {
        self.by_name
            .iter()
            .map(|((property_use, native, property), refused)| (*property_use, native.as_str(), property.as_str(), refused))
    }

    /// Reads what a connection refuses under this generation of the configuration.
    pub async fn load<P: Store + Clock>(ports: &P, connection: &str, generation: u64) -> Result<RefusedProperties, Failure> {
        let (mut refused, mut after) = (RefusedProperties::default(), None);
        loop {
            let page = ports.query(Table::Control, &refused_partition(connection), "", 500, after.as_ref()).await?;
            for item in &page.items {
                let Some((name, until_ms)) = name_of(&item.key).zip(item.n("until")) else { continue };
                if until_ms > ports.now_ms() && item.n("generation") == i64::try_from(generation).ok() {
                    let code = item.s("code").unwrap_or_default().to_owned();
                    refused.by_name.insert(name, RefusedProperty { code, until_ms });
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok(refused);
            }
        }
    }

    /// Remembers that a connection refuses a property, and raises the alarm if that was not known.
    pub async fn note<P: Store + Clock>(&mut self, ports: &P, about: &PropertyOf<'_>, fault: &Fault) -> Result<(), Failure> {
        let PropertyOf { connection, native, property_use, generation } = *about;
        let name = (property_use, native.to_owned(), fault.property.clone());
        if self.by_name.contains_key(&name) {
            return Ok(());
        }
        let (property, code) = (fault.property.as_str(), fault.code.as_str());
        tracing::error!(
            connection,
            object = native,
            property,
            code,
            property_use = property_use.name(),
            alert = true,
            "the account refuses a property: it is left out"
        );
        let until_ms = ports.now_ms() + TRY_AGAIN_MS;
        let key = Key::new(refused_partition(connection), format!("{}#{native}#{property}", property_use.name()));
        let item = Item::new(key)
            .with("code", Attr::S(code.to_owned()))
            .with("until", Attr::N(until_ms))
            .with("generation", Attr::N(i64::try_from(generation).unwrap_or(i64::MAX)))
            .with("ttl", Attr::N(until_ms / 1000));
        ports.write(vec![Write::Put { table: Table::Control, item, condition: Condition::Always }], None).await?;
        self.by_name.insert(name, RefusedProperty { code: code.to_owned(), until_ms });
        Ok(())
    }
}

/// Whose property is refused, for which use, under which generation of the configuration.
#[derive(Debug, Clone, Copy)]
pub struct PropertyOf<'a> {
    /// The connection.
    pub connection: &'a str,
    /// The native object.
    pub native: &'a str,
    /// The use.
    pub property_use: PropertyUse,
    /// The generation of the configuration.
    pub generation: u64,
}

/// The partition of the properties that a connection refuses.
pub fn refused_partition(connection: &str) -> String {
    format!("refused#{connection}")
}

fn name_of(key: &Key) -> Option<(PropertyUse, String, String)> {
    let mut parts = key.sk.splitn(3, '#');
    let property_use = match parts.next()? {
        "read" => PropertyUse::Read,
        "write" => PropertyUse::Write,
        _ => return None,
    };
    Some((property_use, parts.next()?.to_owned(), parts.next()?.to_owned()))
}
