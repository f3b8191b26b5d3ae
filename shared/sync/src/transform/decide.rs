//! Carries out a person's decision about who is who. It is repeated until it is stored, and a repetition changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use canonical::{Dispatch, GoldenId, KeyHash, ObjectType, RemoteId};
use serde::Serialize;

use super::identity::current_keys;
use super::plan::{FieldDifferences, for_audit};
use super::regroup::{Regrouped, Stored, join, keep_apart, split_off};
use super::{MAX_PLANS, Ports, Transform};
use crate::decision::{Decision, Verdict};
use crate::failure::{Code, Failure};
use crate::outbox::send_dispatches;
use crate::ports::{Table, Write, WriteError};
use crate::record::audit::{AuditSubject, build_audit_put};
use crate::record::{
    Claim, GoldenRecord, Link, Review, ReviewState, SourceRecord, build_put, build_put_as, golden_by_id, identity_key, read_link,
    read_source,
};

/// The store writes at most this many items at once.
const MAX_ITEMS: usize = 100;

/// What a decision comes to: what changes, and the records that are to be dispatched.
struct Plan {
    regrouped: Regrouped,
    review: Option<Review>,
    dispatch: Vec<GoldenRecord>,
}

impl<P: Ports> Transform<'_, P> {
    /// Carries out a decision.
    pub(super) async fn handle_decision(&self, decision: &Decision) -> Result<(), Failure> {
        for _ in 0..MAX_PLANS {
            let plan = self.plan_decision(decision).await?;
            let writes = self.build_decision(decision, &plan).await?;
            if !writes.is_empty() {
                match self.ports.write(writes, None).await {
                    Ok(()) => {}
                    Err(WriteError::Conflict { .. }) => continue,
                    Err(WriteError::Port(error)) => return Err(error.into()),
                }
            }
            tracing::info!(object = %decision.object, what = decision.decision.name(), "a person's decision");
            return self.dispatch_decided(decision.object, &plan).await;
        }
        Err(Failure::new(Code::Contention, format!("{MAX_PLANS} plans in a row lost against other workers")))
    }

    async fn plan_decision(&self, decision: &Decision) -> Result<Plan, Failure> {
        match &decision.decision {
            Verdict::Join { records, review } => {
                self.plan_pair(decision, records, review.as_deref(), ReviewState::Accepted).await
            }
            Verdict::KeepApart { records, review } => {
                self.plan_pair(decision, records, review.as_deref(), ReviewState::Rejected).await
            }
            Verdict::Split { record, sources } => self.plan_split(decision.object, record, sources).await,
        }
    }

    async fn plan_pair(
        &self,
        decision: &Decision,
        ids: &[GoldenId; 2],
        review: Option<&str>,
        state: ReviewState,
    ) -> Result<Plan, Failure> {
        let hub = self.config.hub();
        let one = self.decided_record(decision.object, &ids[0]).await?;
        let other = self.decided_record(decision.object, &ids[1]).await?;
        let review = self.decided_review(decision, review, state).await?;
        let (is_join, same) = (state == ReviewState::Accepted, one.id == other.id);
        if same || !is_join && one.must_stay_apart_from(&other) && !one.reviews.contains_key(&other.id) {
            if same && !is_join {
                tracing::warn!(record = %one.id, "the records are one already: `hub unmerge` takes that back");
            }
            let dispatch = if same { vec![one] } else { vec![one, other] };
            return Ok(Plan { regrouped: Regrouped::default(), review, dispatch });
        }
        let pair = [one, other];
        let stored = self.read_stored(&pair, |hash| pair.iter().all(|record| record.keys.contains_key(hash))).await?;
        let regrouped = if is_join { join(hub, &stored, pair)? } else { keep_apart(hub, &stored, pair)? };
        let dispatch = regrouped.live.iter().map(|(record, ..)| record.clone()).collect();
        Ok(Plan { regrouped, review, dispatch })
    }

    async fn plan_split(&self, object: ObjectType, id: &GoldenId, sources: &[RemoteId]) -> Result<Plan, Failure> {
        let record = self.decided_record(object, id).await?;
        let named = sources;
        let sources: BTreeSet<RemoteId> = named.iter().filter(|source| record.members.contains(source)).cloned().collect();
        if sources.is_empty() {
            // It was done before: only its messages may be missing.
            let mut dispatch = vec![record];
            dispatch.extend(self.records_of(object, named).await?);
            return Ok(Plan { regrouped: Regrouped::default(), review: None, dispatch });
        }
        if sources.len() == record.members.len() {
            return Err(Failure::new(Code::BadMessage, "a split leaves at least one source record on each side"));
        }
        let stored = self.read_stored(std::slice::from_ref(&record), |_| true).await?;
        let version = record.version.to_string();
        let id = GoldenId::from(self.vault.hash(&["golden", object.name(), "split", &record.id, &version]));
        let regrouped = split_off(self.config.hub(), &stored, record, &sources, id)?;
        let dispatch = regrouped.live.iter().map(|(record, ..)| record.clone()).collect();
        Ok(Plan { regrouped, review: None, dispatch })
    }

    /// The records that source records belong to.
    async fn records_of(&self, object: ObjectType, sources: &[RemoteId]) -> Result<Vec<GoldenRecord>, Failure> {
        let mut records = BTreeMap::new();
        for source in sources {
            let Some(item) = self.ports.get(Table::Golden, &SourceRecord::key(self.vault, source)).await? else { continue };
            let golden = read_source(self.ports, self.vault, &item).await?.golden;
            records
                .extend(golden_by_id(self.ports, self.vault, object, &golden).await?.map(|record| (record.id.clone(), record)));
        }
        Ok(records.into_values().collect())
    }

    /// A record that a decision names, with its reviews under the ids that the other records have today.
    async fn decided_record(&self, object: ObjectType, id: &GoldenId) -> Result<GoldenRecord, Failure> {
        let missing = || Failure::new(Code::BadMessage, format!("there is no {object} {id}"));
        let mut record = golden_by_id(self.ports, self.vault, object, id).await?.ok_or_else(missing)?;
        for (id, keys) in std::mem::take(&mut record.reviews) {
            if let Some(other) = golden_by_id(self.ports, self.vault, object, &id).await?.filter(|other| other.id != record.id) {
                record.reviews.entry(other.id).or_default().extend(keys);
            }
        }
        Ok(record)
    }

    async fn decided_review(&self, decision: &Decision, id: Option<&str>, state: ReviewState) -> Result<Option<Review>, Failure> {
        let Some(id) = id else { return Ok(None) };
        let item = self.ports.get(Table::Links, &Review::key(decision.object, id)).await?;
        let review = item.as_ref().and_then(Review::read).filter(|review| review.state == ReviewState::Open);
        Ok(review.map(|review| Review { state, at_ms: self.ports.now_ms(), by: decision.by.clone(), ..review }))
    }

    /// Reads the source records, the links, and those of the claims that matter.
    async fn read_stored(&self, records: &[GoldenRecord], matters: impl Fn(&KeyHash) -> bool) -> Result<Stored, Failure> {
        let mut stored = Stored::default();
        for record in records {
            let policy = self.config.hub().object(record.object);
            self.read_members_of(record, &mut stored).await?;
            for destination in policy.destinations.keys() {
                let key = Link::key(destination, record.object, &record.id);
                if let Some(item) = self.ports.get(Table::Links, &key).await? {
                    let link = read_link(self.ports, self.vault, &item).await?;
                    if link.moved_to().is_some() {
                        return Err(Failure::new(Code::WriteConflict, "a record was merged since it was read"));
                    }
                    stored.links.insert((record.id.clone(), destination.clone()), link);
                }
            }
            for (hash, _) in record.keys.iter().filter(|(hash, key)| key.joins && matters(hash)) {
                let item = self.ports.get(Table::Links, &identity_key(record.object, hash)).await?;
                let Some(mut claim) = item.as_ref().and_then(Claim::read) else { continue };
                if let Some(live) = golden_by_id(self.ports, self.vault, record.object, &claim.golden).await? {
                    claim.golden = live.id;
                }
                stored.claims.insert(hash.clone(), claim);
            }
        }
        Ok(stored)
    }

    async fn read_members_of(&self, record: &GoldenRecord, stored: &mut Stored) -> Result<(), Failure> {
        for member in &record.members {
            let Some(item) = self.ports.get(Table::Golden, &SourceRecord::key(self.vault, member)).await? else { continue };
            let source = read_source(self.ports, self.vault, &item).await?;
            let current =
                if source.is_deleted() { BTreeMap::new() } else { current_keys(self.vault, self.config.hub(), &source) };
            stored.current.insert(member.clone(), current);
            stored.members.insert(member.clone(), source);
        }
        Ok(())
    }

    async fn build_decision(&self, decision: &Decision, plan: &Plan) -> Result<Vec<Write>, Failure> {
        let Plan { regrouped, review, .. } = plan;
        let (ports, vault, object) = (self.ports, self.vault, decision.object);
        let mut writes: Vec<Write> = review.iter().map(Review::build_put).collect();
        for (record, next_version, differences) in &regrouped.live {
            let key_id = self.ensure_record_key(object, &record.id).await?;
            writes.push(build_put_as(ports, vault, GoldenRecord::key(object, &record.id), &key_id, record, *next_version)?);
            let subject = AuditSubject { object, record: &record.id, version: *next_version, writer: "transform" };
            writes.push(build_audit_put(ports, vault, subject, &Decided::new(decision, regrouped, differences))?);
        }
        for record in &regrouped.retired {
            let key_id = self.ensure_record_key(object, &record.id).await?;
            writes.push(build_put(ports, vault, GoldenRecord::key(object, &record.id), &key_id, record)?);
        }
        for source in &regrouped.sources {
            let key_id = self.ensure_record_key(object, &source.golden).await?;
            writes.push(build_put(ports, vault, SourceRecord::key(vault, &source.source), &key_id, source)?);
        }
        for ((record, destination), link) in &regrouped.links {
            let key_id = self.ensure_record_key(object, record).await?;
            writes.push(build_put(ports, vault, Link::key(destination, object, record), &key_id, link)?);
        }
        writes.extend(regrouped.claims.iter().map(|(hash, claim)| claim.build_put(object, hash)));
        if writes.len() > MAX_ITEMS {
            let detail = format!("a decision of {} items does not fit one transaction", writes.len());
            return Err(Failure::new(Code::CapExceeded, detail));
        }
        Ok(writes)
    }

    async fn ensure_record_key(&self, object: ObjectType, record: &str) -> Result<String, Failure> {
        let key_id = GoldenRecord::key_id(object, record);
        self.vault.ensure_key(self.ports, &key_id).await?;
        Ok(key_id)
    }

    /// Each side goes to every destination: what was held back may be created now.
    async fn dispatch_decided(&self, object: ObjectType, plan: &Plan) -> Result<(), Failure> {
        for destination in self.config.hub().object(object).destinations.keys() {
            for record in &plan.dispatch {
                let received_at_ms = self.ports.now_ms();
                let dispatch = Dispatch { object, record: record.id.clone(), version: 0, trace: String::new(), received_at_ms };
                send_dispatches(self.ports, destination, [&dispatch]).await?;
            }
        }
        Ok(())
    }
}

/// An audit entry: what a person decided, and the golden values that it changed.
#[derive(Serialize)]
struct Decided<'a> {
    what: &'static str,
    by: &'a str,
    records: Vec<&'a str>,
    fields: FieldDifferences,
}

impl<'a> Decided<'a> {
    fn new(decision: &'a Decision, regrouped: &'a Regrouped, fields: &'a FieldDifferences) -> Decided<'a> {
        let records = regrouped.live.iter().map(|(record, ..)| record).chain(&regrouped.retired);
        let records = records.map(|record| record.id.as_str()).collect();
        Decided { what: decision.decision.name(), by: &decision.by, records, fields: for_audit(fields) }
    }
}
