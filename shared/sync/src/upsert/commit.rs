//! How a worker reads and stores links: under its lease, with a fencing token, and never over what others have stored.

use canonical::{ObjectType, RemoteId};
use serde_json::{Map, Value};

use super::{Job, Note, Ports, Upsert};
use crate::batch::write_if;
use crate::failure::{Class, Code, Failure};
use crate::mutant::{Mutant, mutant};
use crate::ports::{Table, Write, WriteError};
use crate::record::audit::{AUDIT_BYTES, AuditSubject, build_audit_put};
use crate::record::shortened::shorten_native;
use crate::record::{Claim, GoldenRecord, Link, build_put, golden_by_id, read_golden, read_link, remote_hash};

/// How long a lease is kept after a call whose outcome is unknown, in milliseconds: the call may still take effect, and would undo
/// whatever is written before that.
const UNKNOWN_OUTCOME_MS: i64 = 30_000;

/// How often a commit is tried against other writers of the link.
const COMMITS: usize = 8;

/// How often a worker tries to give its lease back while the store fails.
const RELEASES: usize = 4;

impl<P: Ports> Upsert<'_, P> {
    pub(super) async fn read_link(&self, object: ObjectType, record: &str) -> Result<Link, Failure> {
        match self.ports().get(Table::Links, &Link::key(self.name(), object, record)).await? {
            Some(item) => read_link(self.ports(), self.destination.vault, &item).await,
            None => Ok(Link::default()),
        }
    }

    pub(super) async fn read_golden(&self, object: ObjectType, record: &str) -> Result<Option<GoldenRecord>, Failure> {
        match self.ports().get(Table::Golden, &GoldenRecord::key(object, record)).await? {
            Some(item) => read_golden(self.ports(), self.destination.vault, &item).await.map(Some),
            None => Ok(None),
        }
    }

    /// Stores a link as its next version, if nobody else has written it.
    pub(super) async fn store(&self, object: ObjectType, record: &str, link: &mut Link) -> Result<(), Failure> {
        let write = self.build_link_put(object, record, link).await?;
        match self.ports().write(vec![write], None).await {
            Ok(()) => {
                link.version += 1;
                Ok(())
            }
            Err(WriteError::Conflict { .. }) => Err(Failure::new(Code::WriteConflict, "another worker has written the link")),
            Err(WriteError::Port(error)) => Err(error.into()),
        }
    }

    /// Stores the link of a job as its next version, if nobody else has written it. The id of an object that it stands for since the
    /// last time leads to the record from now on.
    pub(super) async fn store_job(&self, object: ObjectType, record: &str, job: &mut Job) -> Result<(), Failure> {
        let mut writes = vec![self.build_link_put(object, record, &job.link).await?];
        if let Some(id) = job.link.remote_id().filter(|id| job.stored.remote_id() != Some(*id)) {
            writes.push(self.build_pointer_put(object, record, id));
        }
        match self.ports().write(writes, None).await {
            Ok(()) => {
                job.link.version += 1;
                job.stored = job.link.clone();
                Ok(())
            }
            Err(WriteError::Conflict { .. }) => Err(Failure::new(Code::WriteConflict, "another worker has written the link")),
            Err(WriteError::Port(error)) => Err(error.into()),
        }
    }

    /// Makes the id of an object lead to the record whose link stands for it.
    pub(super) async fn store_pointer(&self, object: ObjectType, record: &str, remote: &str) -> Result<(), Failure> {
        self.ports().write(vec![self.build_pointer_put(object, record, remote)], None).await?;
        Ok(())
    }

    /// Gives the lease back and stores everything that was learnt, unless another worker has taken the lease over.
    pub(super) async fn release(&self, job: &mut Job, result: Result<(), Failure>) {
        if let (Err(failure), Some(work)) = (&result, &job.work)
            && failure.class == Class::Permanent
        {
            job.link.refuse(work.golden.version);
            job.note.get_or_insert(Note::Refused);
        }
        let mut committed = self.commit(job).await;
        for _ in 1..RELEASES {
            // Only this worker knows what it has written. If it gave up here, no other worker would look.
            if !committed.as_ref().is_err_and(|failure| failure.class == Class::Transient) {
                break;
            }
            committed = self.commit(job).await;
        }
        job.end(committed.and(result));
    }

    async fn commit(&self, job: &mut Job) -> Result<(), Failure> {
        let Some(work) = &job.work else { return Ok(()) };
        let (object, record) = (work.golden.object, work.golden.id.clone());
        let record = record.as_str();
        self.build_audit(job).await?;
        for _ in 0..COMMITS {
            let stored = self.read_link(object, record).await?;
            if stored.moved_to().is_some() {
                self.write_audit(job).await?;
                return self.hand_over(object, &stored, &job.link).await;
            }
            if stored.lease().fencing_token != job.link.lease().fencing_token && !mutant(Mutant::NoFence) {
                self.write_audit(job).await?;
                return self.report_fenced_out(object, record, stored).await;
            }
            let mut next = job.link.with_changes_of_others(&job.stored, &stored);
            next.release(self.ports().now_ms() + UNKNOWN_OUTCOME_MS / i64::from(self.destination.speed()));
            let mut writes = vec![self.build_link_put(object, record, &next).await?];
            if let Some(id) = next.remote_id().filter(|id| stored.remote_id() != Some(*id)) {
                writes.push(self.build_pointer_put(object, record, id));
            }
            let audit_index = writes.len();
            writes.extend(job.audit.clone());
            match self.ports().write(writes, None).await {
                Ok(()) => {
                    job.link = next;
                    return Ok(());
                }
                // The answer to an earlier try was lost: its entry is in the log.
                Err(WriteError::Conflict { failed }) if failed.contains(&audit_index) => job.audit = None,
                Err(WriteError::Conflict { .. }) => {}
                Err(WriteError::Port(error)) => return Err(error.into()),
            }
        }
        Err(Failure::new(Code::Contention, "a link kept changing"))
    }

    async fn build_link_put(&self, object: ObjectType, record: &str, link: &Link) -> Result<Write, Failure> {
        let (ports, vault, key_id) = (self.ports(), self.destination.vault, GoldenRecord::key_id(object, record));
        vault.ensure_key(ports, &key_id).await?;
        build_put(ports, vault, Link::key(self.name(), object, record), &key_id, link)
    }

    /// The identity key of the object itself, so that its webhooks find the golden record.
    fn build_pointer_put(&self, object: ObjectType, record: &str, remote: &str) -> Write {
        let native = self.destination.native(object).unwrap_or_default();
        let remote = RemoteId { connection: self.name().into(), object: native, id: remote.to_owned() };
        // A key that exists leads to this record, or to one that joins it with the next event of either.
        Claim::build_overwrite(object, &remote_hash(self.destination.vault, &remote), &record.into(), self.ports().now_ms())
    }

    /// Builds the audit entry of what the destination has said, if it has said anything.
    async fn build_audit(&self, job: &mut Job) -> Result<(), Failure> {
        let (Some(note), Some(work), None) = (job.note, &job.work, &job.audit) else { return Ok(()) };
        let (object, record) = (work.golden.object, work.golden.id.as_str());
        let short = |(name, value): (&String, &Value)| (name.clone(), shorten_native(value, AUDIT_BYTES));
        let properties: Map<_, _> = work.intent.changed.iter().map(short).collect();
        let entry = serde_json::json!({
            "what": note.name(), "destination": self.name(), "trace": job.dispatch.trace, "remote": job.link.remote_id(),
            "properties": properties,
        });
        self.destination.vault.ensure_key(self.ports(), &GoldenRecord::key_id(object, record)).await?;
        let subject = AuditSubject { object, record, version: work.golden.version, writer: self.name() };
        job.audit = Some(build_audit_put(self.ports(), self.destination.vault, subject, &entry)?);
        Ok(())
    }

    /// Writes the audit entry of a worker that can no longer commit: what the destination has taken stays true.
    async fn write_audit(&self, job: &mut Job) -> Result<(), Failure> {
        if let Some(write) = job.audit.clone() {
            write_if(self.ports(), write).await?;
            job.audit = None;
        }
        Ok(())
    }

    /// Another worker took the lease over while this one was writing, so nobody knows what the destination holds: the link says
    /// so, and the record is dispatched again.
    async fn report_fenced_out(&self, object: ObjectType, record: &str, mut stored: Link) -> Result<(), Failure> {
        tracing::warn!(destination = self.name(), record, "fenced out: another worker has the lease");
        if !stored.push().needs_look_up() {
            stored.mark_unverified();
            self.store(object, record, &mut stored).await?;
        }
        self.send_dispatch(object, record, 0, "").await
    }

    /// The golden record was merged into another one while its object was being written: the survivor's link takes the object
    /// over.
    async fn hand_over(&self, object: ObjectType, retired: &Link, mine: &Link) -> Result<(), Failure> {
        let (Some(survivor), Some(remote)) = (retired.moved_to(), mine.remote_id()) else { return Ok(()) };
        let Some(survivor) = golden_by_id(self.ports(), self.destination.vault, object, survivor).await? else { return Ok(()) };
        let mut link = self.read_link(object, &survivor.id).await?;
        if link.moved_to().is_some() {
            return Err(Failure::new(Code::Contention, "a link moved twice"));
        }
        link.absorb_late_create(remote);
        self.store(object, &survivor.id, &mut link).await?;
        self.store_pointer(object, &survivor.id, remote).await?;
        self.send_dispatch(object, &survivor.id, 0, "").await
    }
}
