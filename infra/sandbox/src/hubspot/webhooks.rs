//! Webhook events for changes of records.

use serde_json::{Value, json};

use super::HubSpot;
use crate::Refused;
use crate::engine::mix;
use crate::state::{Origin, Pending, Written};

impl HubSpot {
    /// Webhook events for a write: a creation, and a change of each property.
    pub(super) fn announce(&mut self, object: &str, written: &Written, origin: Origin, now_ms: i64) {
        if written.created {
            self.event(object, "creation", &written.id, json!({"changeFlag": "NEW"}), origin, now_ms);
        }
        for (name, value) in &written.changed {
            let text = value.as_str().unwrap_or_default();
            self.event(
                object,
                "propertyChange",
                &written.id,
                json!({"propertyName": name, "propertyValue": text}),
                origin,
                now_ms,
            );
        }
    }

    /// A webhook event for a new association, as the subscribers of one of its ends get it.
    pub(super) fn announce_tie(&mut self, (a, a_id): (&str, &str), (b, b_id): (&str, &str), primary: bool, now_ms: i64) {
        let number = |id: &str| id.parse::<u64>().unwrap_or_default();
        let kind = format!("{}_TO_{}", singular(a).to_uppercase(), singular(b).to_uppercase());
        let details = json!({"associationType": kind, "fromObjectId": number(a_id), "toObjectId": number(b_id),
            "associationRemoved": false, "isPrimaryAssociation": primary});
        self.event(a, "associationChange", a_id, details, Origin::Api, now_ms);
    }

    /// Sets a property that HubSpot derives itself, with its event.
    pub(super) fn set_by_system(&mut self, object: &str, id: &str, name: &str, value: Value, now_ms: i64) {
        let Some(record) = self.engine.state.objects.get_mut(object).and_then(|records| records.get_mut(id)) else { return };
        if record.set(name, value.clone(), Origin::Api, now_ms) {
            record.updated_ms = now_ms;
            let written = Written { id: id.to_owned(), created: false, changed: vec![(name.to_owned(), value)] };
            self.announce(object, &written, Origin::Api, now_ms);
        }
    }

    pub(super) fn archive_with_event(&mut self, object: &str, id: &str, origin: Origin, now_ms: i64) -> bool {
        let done = self.engine.archive(object, id, now_ms);
        if done {
            self.event(object, "deletion", id, json!({"changeFlag": "DELETED"}), origin, now_ms);
        }
        done
    }

    /// HubSpot reports a privacy deletion by two events, in any order.
    pub(super) fn forget_with_events(&mut self, object: &str, id: &str, now_ms: i64) {
        if self.archive_with_event(object, id, Origin::Api, now_ms) {
            self.event(object, "privacyDeletion", id, json!({"changeFlag": "DELETED"}), Origin::Api, now_ms);
        }
    }

    pub(super) fn merge_with_events(
        &mut self,
        object: &'static str,
        primary: &str,
        other: &str,
        origin: Origin,
        now_ms: i64,
    ) -> Result<String, Refused> {
        let loser = self.engine.resolve(object, other).map(|r| r.id.clone()).unwrap_or_default();
        let written = self.engine.merge(object, primary, other, now_ms)?;
        let number = |id: &str| id.parse::<u64>().unwrap_or_default();
        let details = json!({"changeFlag": "MERGED", "primaryObjectId": number(&written.id), "mergedObjectIds": [number(&loser)],
            "newObjectId": number(&written.id), "numberOfPropertiesMoved": written.changed.len()});
        self.event(object, "merge", &written.id, details, origin, now_ms);
        self.announce(object, &written, origin, now_ms);
        Ok(written.id)
    }

    fn event(&mut self, object: &str, what: &str, id: &str, details: Value, origin: Origin, now_ms: i64) {
        let Some(webhooks) = self.options.webhooks.clone().filter(|_| origin != Origin::Import) else { return };
        let kind = format!("{}.{what}", singular(object));
        let property = details.get("propertyName").and_then(Value::as_str);
        let subscribed = |s: &str| match (s.split_once(':'), property) {
            (Some((k, wanted)), Some(name)) => k == kind && (wanted == "*" || wanted == name),
            (None, None) => s == kind,
            _ => false,
        };
        let Some(position) = webhooks.subscriptions.iter().position(|s| subscribed(s)) else { return };
        let number = self.engine.issue();
        let (source, source_id) = match origin {
            Origin::Api => ("INTEGRATION", webhooks.app_id.to_string()),
            _ => ("CRM_UI", "userId:1".to_owned()),
        };
        let mut event = json!({
            "eventId": mix(self.engine.seed, number) >> 24, "subscriptionId": 1_000 + position, "portalId": webhooks.portal_id,
            "appId": webhooks.app_id, "occurredAt": now_ms, "subscriptionType": kind, "attemptNumber": 0,
            "objectId": id.parse::<u64>().unwrap_or_default(), "changeSource": source, "sourceId": source_id,
        });
        if let (Some(members), Value::Object(more)) = (event.as_object_mut(), details) {
            members.extend(more);
            // An association has two objects, and names both.
            if what == "associationChange" {
                members.remove("objectId");
            }
        }
        let (least, most) = webhooks.delay_ms;
        let spread = u64::try_from(most - least).unwrap_or_default() + 1;
        let delay = least + i64::try_from(mix(self.engine.seed ^ 0xDE1A, number) % spread).unwrap_or_default();
        self.engine.state.outbox.push(Pending { due_ms: now_ms + delay, attempt: 0, event });
    }
}

fn singular(object: &str) -> &str {
    match object {
        "companies" => "company",
        other => other.trim_end_matches('s'),
    }
}
