//! Properties that the destination refuses: one that is optional is set aside, and the rest of the record goes on.

use canonical::{FieldName, ObjectType};
use providers::api::{FailureKind, Fault, RowFailure};
use serde_json::Value;

use super::plan::leave_out_set_aside;
use super::render::Rendering;
use super::{Job, Ports, Upsert, Work};
use crate::failure::{Code, Failure};
use crate::quarantine::PropertyUse;
use crate::record::link::SetAside;

impl<P: Ports> Upsert<'_, P> {
    /// Brings the link's refused properties up to date with a rendering: what may be tried again is taken back, and what the
    /// destination refuses in every record is left out.
    pub(super) fn update_set_aside(&self, job: &mut Job, native: &str, rendering: &Rendering) {
        if job.link.moved_to().is_some() {
            return;
        }
        let refused = self.destination.client.refused();
        let of_every_row = |property: &str| refused.get(PropertyUse::Write, native, property);
        let properties = &rendering.rendered.properties;
        let generation = self.generation();
        job.link.take_back(|property, set_aside| {
            let same_value = properties.get(property).is_some_and(|value| set_aside.value == self.value_hash(property, value));
            let refused = set_aside.until_ms.is_none() || of_every_row(property).is_some();
            set_aside.generation == generation && same_value && refused
        });
        for (property, value) in properties.iter().filter(|(_, value)| !value.is_null()) {
            let Some(refused) = of_every_row(property) else { continue };
            if !job.link.set_aside().contains_key(property) {
                let set_aside = SetAside {
                    code: refused.code.clone(),
                    value: self.value_hash(property, value),
                    generation,
                    until_ms: Some(refused.until_ms),
                };
                job.link.leave_out(property.clone(), set_aside, &[]);
            }
        }
        self.destination.set_aside.set(self.destination.set_aside.get() + job.link.set_aside().len());
    }

    /// Leaves the properties that a refusal names out of a job's push, if the record can do without them. Returns false if the
    /// refusal is about the record.
    pub(super) async fn leave_out_refused(
        &self,
        object: ObjectType,
        job: &mut Job,
        refusal: &RowFailure,
    ) -> Result<bool, Failure> {
        let native = self.destination.native(object)?;
        let faults = self.faults_to_leave_out(job, &native, refusal);
        if faults.is_empty() || !faults.iter().all(|fault| self.can_do_without(job, &native, &fault.property)) {
            return Ok(false);
        }
        if refusal.kind == FailureKind::DuplicateKey {
            // What the holder of the value is, the golden record decides once it has been read.
            for holder in &refusal.objects {
                self.request_read(object, holder, &job.dispatch.trace).await?;
            }
        }
        for fault in &faults {
            if fault.in_every_row {
                self.destination.client.note_refused(&native, PropertyUse::Write, fault).await?;
            }
        }
        self.leave_out(object, job, &native, &faults);
        Ok(true)
    }

    pub(super) fn leave_out(&self, object: ObjectType, job: &mut Job, native: &str, faults: &[Fault]) {
        let generation = self.generation();
        let retries: Vec<Option<i64>> =
            faults.iter().map(|fault| self.retry_reference_ms(object, job, &fault.property)).collect();
        let Some(Work { golden, intent }) = &mut job.work else { return };
        for (fault, retry_ms) in faults.iter().zip(retries) {
            let Some(value) = intent.changed.remove(&fault.property) else { continue };
            let refused = self.destination.client.refused();
            let until_ms = refused.get(PropertyUse::Write, native, &fault.property).map(|refused| refused.until_ms).or(retry_ms);
            let set_aside =
                SetAside { code: fault.code.clone(), value: self.value_hash(&fault.property, &value), generation, until_ms };
            let by_field = intent.rendering.rendered.by_field.iter().filter(|(_, names)| names.contains(&fault.property));
            let fields: Vec<FieldName> = by_field.map(|(field, _)| field.clone()).collect();
            job.link.leave_out(fault.property.clone(), set_aside, &fields);
            leave_out_set_aside(&job.link, &intent.rendering, &mut intent.changed);
            let (property, code) = (fault.property.as_str(), fault.code.as_str());
            tracing::warn!(code = %Code::BadField, destination = self.name(), %object, record = %golden.id, property, provider_code = code, "a field is not written: the destination refuses it");
        }
        self.destination.set_aside.set(self.destination.set_aside.get() + faults.len());
    }

    /// The properties of a push that a refusal is about. An object that exists can do without a new natural key that another
    /// object holds.
    fn faults_to_leave_out(&self, job: &Job, native: &str, refusal: &RowFailure) -> Vec<Fault> {
        let Some(Work { intent, golden }) = &job.work else { return Vec::new() };
        let looked_again = job.link.refused_at() == Some(golden.version);
        let named = refusal.faults.iter().filter(|fault| intent.changed.contains_key(&fault.property)).cloned();
        match refusal.kind {
            FailureKind::DuplicateKey if job.link.remote_id().is_some() && looked_again => {
                let named: Vec<Fault> = named.collect();
                let keys = self.provider_keys(native).iter().filter(|key| named.is_empty() && intent.changed.contains_key(*key));
                let code = refusal.code.clone();
                let of_keys: Vec<Fault> =
                    keys.map(|key| Fault { property: key.clone(), code: code.clone(), in_every_row: false }).collect();
                named.into_iter().chain(of_keys).collect()
            }
            FailureKind::Rejected if refusal.concerns_properties() => {
                let with_code = |fault: Fault| match fault.code.as_str() {
                    "" => Fault { code: refusal.code.clone(), ..fault },
                    _ => fault,
                };
                named.map(with_code).collect()
            }
            _ => Vec::new(),
        }
    }

    fn provider_keys(&self, native: &str) -> &[String] {
        self.destination.provider.destination(native).map_or(&[], |destination| &destination.natural_keys)
    }

    /// True when the record goes on without a property: it is not what finds the object there, and the object does not need it.
    fn can_do_without(&self, job: &Job, native: &str, property: &str) -> bool {
        let is_key = self.provider_keys(native).iter().any(|key| key == property);
        job.link.remote_id().is_some() || !is_key && !self.destination.provider.requires(native, property)
    }

    fn generation(&self) -> u64 {
        self.destination.config.hub().generation
    }

    fn value_hash(&self, property: &str, value: &Value) -> String {
        self.destination.vault.hash(&["set-aside", property, &value.to_string()])
    }
}
