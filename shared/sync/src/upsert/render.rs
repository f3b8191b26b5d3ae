//! A golden record as one destination should hold it.

use canonical::{FieldKind, Fields, ObjectType, RemoteId, Value};
use providers::Rendered;

use super::Ports;
use super::calls::Destination;
use crate::failure::{Code, Failure};
use crate::ports::Table;
use crate::quarantine::quarantine_reason;
use crate::record::{GoldenRecord, Link, Object, golden_by_id, identity_key, read_link, remote_hash};

/// How long a record waits for one that it refers to, in milliseconds.
const REFERENCE_WAIT_MS: u64 = 2_000;

/// A golden record as a destination should hold it.
#[derive(Debug, Clone)]
pub struct Rendering {
    /// Native properties and which canonical fields they come from.
    pub rendered: Rendered,
    /// The canonical values as the destination would return them: truncated, enum-mapped.
    pub wanted: Fields,
}

impl<P: Ports> Destination<'_, P> {
    /// Renders a golden record for this destination. A reference becomes the id of its object here. The record waits for a
    /// referenced object that is still to be created, and omits a reference that leads nowhere. A value that has no native form is
    /// logged, counted and left out. The rest of the record is pushed.
    pub async fn render(&self, object: ObjectType, native: &str, golden: &GoldenRecord) -> Result<Rendering, Failure> {
        let mut values = golden.values();
        let catalogue = self.config.hub().fields;
        let refs: Vec<_> = values
            .iter()
            .filter_map(|(name, value)| match catalogue.find(object, name)?.kind {
                FieldKind::Ref(target) => Some((name.clone(), target, value.as_text()?.to_owned())),
                _ => None,
            })
            .collect();
        for (name, target, text) in refs {
            match self.reference(target, &text).await? {
                Some(id) => values.insert(name, Value::Text(id)),
                None => values.remove(&name),
            };
        }
        let rendered = self.provider.render(native, &values);
        if let Some(reason) = quarantine_reason(&rendered.problems) {
            self.set_aside.set(self.set_aside.get() + rendered.problems.len());
            tracing::warn!(code = %Code::BadField, reason, destination = self.name, %object, record = %golden.id, "fields are not written");
        }
        if let Some(missing) = rendered.missing.first() {
            let detail = format!("{}: {native} needs `{missing}`, and no source has a value for it", self.name);
            return Err(Failure::new(Code::ProviderRejected, detail));
        }
        let mut wanted = self.provider.canonical(native, &rendered.properties);
        // A field that the inbound side of the mapping cannot read is expected to come back as it is.
        for field in rendered.by_field.keys() {
            if let (false, Some(value)) = (wanted.contains_key(field), values.get(field)) {
                wanted.insert(field.clone(), value.clone());
            }
        }
        Ok(Rendering { rendered, wanted })
    }

    /// The id here of the object that a reference names.
    async fn reference(&self, target: ObjectType, text: &str) -> Result<Option<String>, Failure> {
        let Some(native) = self.config.hub().object(target).destinations.get(self.name) else { return Ok(None) };
        let mut parts = text.splitn(3, '/');
        let (Some(connection), Some(object), Some(id)) = (parts.next(), parts.next(), parts.next()) else { return Ok(None) };
        if connection == self.name && object == native {
            return Ok(Some(id.to_owned()));
        }
        let remote = RemoteId { connection: connection.into(), object: object.into(), id: id.into() };
        let key = identity_key(target, &remote_hash(self.vault, &remote));
        let Some(item) = self.ports.get(Table::Links, &key).await? else { return Ok(None) };
        let Some(golden) = golden_by_id(self.ports, self.vault, target, item.s("golden").unwrap_or_default()).await? else {
            return Ok(None);
        };
        let link = match self.ports.get(Table::Links, &Link::key(self.name, target, &golden.id)).await? {
            Some(item) => read_link(self.ports, self.vault, &item).await?,
            None => Link::default(),
        };
        match link.object() {
            Object::Live(object) => Ok(Some(object.id.clone())),
            Object::Gone(_) => Ok(None),
            Object::None | Object::MovedTo(_) if link.refused_at().is_some() || !golden.is_pushed() => Ok(None),
            Object::None | Object::MovedTo(_) => {
                let detail = format!("waits for {target} {} to exist at {}", golden.id, self.name);
                Err(Failure::throttled(Code::ReferencePending, REFERENCE_WAIT_MS, detail))
            }
        }
    }
}
