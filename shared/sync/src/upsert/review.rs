//! Records that may be the same as another one, until a person has decided: the hub makes no second object of what may be one person,
//! and does not write a value that the other one's object holds.

use canonical::{FieldName, ObjectType};

use super::render::Rendering;
use super::{Job, Ports, Upsert};
use crate::failure::Failure;
use crate::record::{GoldenRecord, Object, golden_by_id, link::Push};

impl<P: Ports> Upsert<'_, P> {
    /// True when a record in review gets no object here: the other record has one, or may get one. Of two records without an object,
    /// the one with the smaller id gets it.
    pub(super) async fn waits_for_review(&self, job: &Job, native: &str, golden: &GoldenRecord) -> Result<bool, Failure> {
        let under_way = *job.link.object() != Object::None || job.link.push() != Push::Confirmed;
        if under_way || self.is_made_from_here(native, golden) {
            return Ok(false);
        }
        for id in golden.reviews.keys() {
            let Some(other) = golden_by_id(self.ports(), self.destination.vault, golden.object, id).await? else { continue };
            if other.id == golden.id || other.deleted {
                continue;
            }
            let link = self.read_link(golden.object, &other.id).await?;
            if other.id < golden.id || matches!(link.object(), Object::Live(_)) || self.is_made_from_here(native, &other) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// True when the record of a job that was looked up gets no object yet.
    pub(super) async fn is_in_review(&self, object: ObjectType, job: &Job) -> Result<bool, Failure> {
        let native = self.destination.native(object)?;
        match &job.work {
            Some(work) => self.waits_for_review(job, &native, &work.golden).await,
            None => Ok(false),
        }
    }

    fn is_made_from_here(&self, native: &str, golden: &GoldenRecord) -> bool {
        golden.members.iter().any(|member| member.connection == self.name() && member.object == native)
    }

    /// Leaves out the fields that would be refused as another object's: those of the strong keys that two records in review share.
    pub(super) fn withhold_disputed(&self, object: ObjectType, golden: &GoldenRecord, rendering: &mut Rendering) {
        let policy = self.destination.config.hub().object(object);
        let keys = golden.reviews.values().flatten().filter(|key| policy.strong.contains(*key));
        let disputed: Vec<FieldName> = keys.flat_map(|key| key.split('+')).map(FieldName::from).collect();
        for field in disputed {
            rendering.rendered.by_field.remove(&field);
        }
    }
}
