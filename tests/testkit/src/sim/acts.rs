//! What people do in CRMs during a run besides editing: delete, create and merge records.

use std::collections::BTreeMap;

use sandbox::{Fault, FaultKind};
use serde_json::Map;

use super::policy::HUBSPOT_HOST;
use super::script::{Act, Fact, START_MS, Task};
use super::{Sim, setup};

impl Sim {
    /// A person deletes, creates or merges contacts in HubSpot.
    pub(super) fn act(&mut self, act: Act) {
        let now = self.shared.now.get();
        let Act { email, task, .. } = act;
        let mut crms = self.shared.crms.borrow_mut();
        let Some(crm) = crms.get_mut(HUBSPOT_HOST) else { return };
        let id = setup::find_by_email(crm.as_ref(), "contacts", &email);
        match (task, id) {
            (Task::Create(properties), _) => {
                let mut given = Map::from_iter([("email".to_owned(), email.clone().into())]);
                given.extend(properties);
                let created = crm.create("contacts", &given, now);
                self.shared.trace(|| format!("a person creates {email}: {created:?}"));
            }
            (Task::Delete, Some(id)) => {
                let deleted = crm.delete("contacts", &id, now);
                self.shared.trace(|| format!("a person deletes {id}: {deleted:?}"));
                self.removed.insert(id);
            }
            (Task::MergeInto(other), Some(id)) => {
                let Some(into) = setup::find_by_email(crm.as_ref(), "contacts", &other) else { return };
                let title = |crm: &dyn sandbox::Sandbox| {
                    let survivor = setup::records(crm, "contacts").into_iter().find(|r| r.id == into);
                    survivor.map(|r| setup::text(&r.properties, "jobtitle")).unwrap_or_default()
                };
                let before = title(crm.as_ref());
                let merged = crm.merge("contacts", &into, &id, now);
                self.shared.trace(|| format!("a person merges {id} into {into}: {merged:?}"));
                let after = title(crm.as_ref());
                let source = ("hubspot", "contacts", into.clone());
                // The address only ties the two people together.
                let tie = BTreeMap::from([("email", email)]);
                let stamp_ms = START_MS - 2 * 86_400_000;
                self.lived.push(Fact {
                    source: source.clone(),
                    stamp_ms,
                    stated: false,
                    fields: tie,
                    consent: None,
                    person: None,
                });
                if before != after {
                    let fields = BTreeMap::from([("job_title", after)]);
                    self.lived.push(Fact { source, stamp_ms: now, stated: false, fields, consent: None, person: None });
                }
                self.removed.insert(id);
            }
            (Task::Delete | Task::MergeInto(_), None) => {}
        }
    }

    /// Lets HubSpot find nothing, or find what is there again.
    pub(super) fn blind(&mut self, blind: bool) {
        let mut crms = self.shared.crms.borrow_mut();
        let Some(crm) = crms.get_mut(HUBSPOT_HOST) else { return };
        crm.clear_faults();
        if blind {
            crm.fault(Fault::always(FaultKind::Blind));
        }
    }
}
