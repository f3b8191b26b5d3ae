//! What is known of the object at a destination.

use std::collections::BTreeMap;

use canonical::{FieldName, Fields, Stamp, Value};
use serde::{Deserialize, Serialize};
use serde_json::Map;

use crate::record::shortened::{head, is_shortened, same, shorten, shorten_pushed};

/// How many sent values a link remembers for each field.
const SENT_VALUES: usize = 6;

/// A value that was sent for a field, and what is known of its effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// The canonical value, as the destination would return it.
    #[serde(rename = "v")]
    pub value: Value,
    /// The destination's stamp of the write; `None` until its answer is known, and for ever where the answer was lost.
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    pub stamp: Option<Stamp>,
    /// When it was about to be sent, by our clock, in milliseconds.
    #[serde(rename = "i")]
    pub intended_ms: i64,
}

/// A value that a destination holds in a field, as far as we know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The canonical value.
    #[serde(rename = "v")]
    pub value: Value,
    /// Since when, by the destination's clock.
    #[serde(rename = "t")]
    pub stamp: Stamp,
}

/// A canonical field of a push, with the native properties that it fills.
#[derive(Debug, Clone, Copy)]
pub struct PushedField<'a> {
    /// The field.
    pub name: &'a FieldName,
    /// The value that is sent, as the destination would return it.
    pub value: Option<&'a Value>,
    /// The native properties.
    pub properties: &'a [String],
}

/// What a destination made of a push.
#[derive(Debug, Clone, Copy)]
pub struct ReadBack<'a> {
    /// The fields that were sent.
    pub fields: &'a [PushedField<'a>],
    /// The native properties that were sent.
    pub sent: &'a Map<String, serde_json::Value>,
    /// The canonical values that were read back.
    pub values: &'a Fields,
    /// The destination's stamp of the write.
    pub stamp: Stamp,
}

/// What is known of the object at a destination, field by field.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Knowledge {
    /// What it holds.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) seen: BTreeMap<FieldName, Seen>,
    /// Values found there that no source has reported. Pushes leave these fields alone until the value, or a newer one, arrives
    /// as an observation.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) unobserved: BTreeMap<FieldName, Seen>,
    /// What was sent lately, the oldest first.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) sent: BTreeMap<FieldName, Vec<Sent>>,
    /// The native values of the confirmed pushes, to compare renderings with.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(super) pushed: Map<String, serde_json::Value>,
    /// What the destination made of the confirmed pushes: a value that it truncates or rewrites is not pushed again and again.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) read_back: Fields,
}

fn forget_last_intended(values: &mut Vec<Sent>) {
    if values.last().is_some_and(|sent| sent.stamp.is_none()) {
        values.pop();
    }
}

/// True when a destination may have made one value of another: truncated it, or changed its case, spaces or punctuation.
pub fn may_be_made_of(made: &Value, sent: &Value) -> bool {
    let (Value::Text(made), Value::Text(sent)) = (made, sent) else { return made == sent };
    let plain = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect::<String>();
    if is_shortened(made) || is_shortened(sent) {
        // Of a long text only the beginning is known.
        let (made, sent) = (plain(head(made)), plain(head(sent)));
        return !made.is_empty() && !sent.is_empty() && (sent.starts_with(&made) || made.starts_with(&sent));
    }
    !made.is_empty() && (sent.starts_with(made.as_str()) || plain(made) == plain(sent))
}

impl Knowledge {
    /// What the object holds in a field; a long value is [shortened](crate::record::shortened).
    pub fn seen(&self, field: &str) -> Option<&Seen> {
        self.seen.get(field)
    }

    /// True if the object holds a value in this field that no source has reported.
    pub fn is_unobserved(&self, field: &str) -> bool {
        self.unobserved.contains_key(field)
    }

    /// Since when an object that was adopted holds this value, which no source has reported yet; `None` when it held another one.
    /// The stamp is from before the hub's first write.
    pub fn adopted_since(&self, field: &str, value: &Value) -> Option<Stamp> {
        self.unobserved.get(field).filter(|found| same(&found.value, value) && found.stamp.at_ms > 0).map(|found| found.stamp)
    }

    /// True if the object holds any value that no source has reported.
    pub fn has_unobserved(&self) -> bool {
        !self.unobserved.is_empty()
    }

    /// The native value of a property in the last confirmed push of it, [shortened](crate::record::shortened).
    pub fn pushed(&self, property: &str) -> Option<&serde_json::Value> {
        self.pushed.get(property)
    }

    /// What the destination made of the last confirmed push of a field, shortened as well.
    pub fn read_back(&self, field: &str) -> Option<&Value> {
        self.read_back.get(field)
    }

    /// Values of an object say nothing about another one. What was sent stays: it may still come back.
    pub(super) fn forget_object(&mut self) {
        self.seen.clear();
        self.pushed.clear();
        self.read_back.clear();
        self.unobserved.clear();
    }

    /// Notes what the object holds, unless something newer is known.
    pub(super) fn see(&mut self, field: &FieldName, value: &Value, stamp: Stamp) {
        match self.seen.get_mut(field) {
            Some(seen) if seen.stamp > stamp => {}
            Some(seen) => *seen = Seen { value: shorten(value), stamp },
            None => {
                self.seen.insert(field.clone(), Seen { value: shorten(value), stamp });
            }
        }
    }

    /// Remembers a value that is about to be sent.
    pub(super) fn intend(&mut self, field: &PushedField<'_>, now_ms: i64) {
        let value = field.value.cloned().unwrap_or(Value::Null);
        self.remember(field.name, Sent { value, stamp: None, intended_ms: now_ms });
    }

    fn remember(&mut self, field: &FieldName, sent: Sent) {
        let values = self.sent.entry(field.clone()).or_default();
        values.push(Sent { value: shorten(&sent.value), ..sent });
        values.drain(..values.len().saturating_sub(SENT_VALUES));
    }

    /// Forgets the values of a push that was not made.
    pub(super) fn forget_intended(&mut self) {
        self.sent.values_mut().for_each(forget_last_intended);
    }

    /// Forgets the value of a field that was left out of a push.
    pub(super) fn forget_intended_field(&mut self, field: &str) {
        self.sent.get_mut(field).into_iter().for_each(forget_last_intended);
    }

    /// Every value that was sent may come back with a new stamp: the destination is about to move them between objects.
    pub(super) fn expect_again(&mut self, now_ms: i64) {
        for sent in self.sent.values_mut().flatten() {
            *sent = Sent { stamp: None, intended_ms: now_ms, ..sent.clone() };
        }
    }

    /// True when a value of this time is a confirmed write of ours, by the destination's clock.
    pub(super) fn has_written(&self, field: &str, value: &Value, stamp: Stamp, tolerance_ms: i64) -> bool {
        let confirmed = |sent: &Sent| sent.stamp.is_some_and(|written| stamp.at_ms <= written.at_ms + tolerance_ms);
        self.sent.get(field).is_some_and(|values| values.iter().any(|sent| same(&sent.value, value) && confirmed(sent)))
    }

    /// When the last of the values was about to be sent of which it is not known what became, by our clock, in milliseconds.
    pub fn last_intended_ms(&self) -> Option<i64> {
        let unconfirmed = self.sent.values().filter_map(|values| values.last()).filter(|sent| sent.stamp.is_none());
        unconfirmed.map(|sent| sent.intended_ms).max()
    }

    /// True while it is not known what became of the last value that was sent for a field.
    pub(super) fn last_is_unconfirmed(&self, field: &str) -> bool {
        self.sent.get(field).and_then(|values| values.last()).is_some_and(|sent| sent.stamp.is_none())
    }

    /// Notes the values of an object that was found. A field that holds something that neither we have written nor any source
    /// has reported becomes unobserved. Returns true if it holds a write of ours of which nobody knew.
    pub(super) fn adopt(&mut self, values: Fields, stamp: Stamp) -> bool {
        let open = |sent: &BTreeMap<FieldName, Vec<Sent>>| sent.values().flatten().filter(|sent| sent.stamp.is_none()).count();
        let before = open(&self.sent);
        self.unobserved.clear();
        // A placeholder that only fills a required property is not a value, whatever the field held before.
        let emptied: Vec<FieldName> = self.seen.keys().filter(|field| !values.contains_key(*field)).cloned().collect();
        for field in emptied {
            self.see(&field, &Value::Null, stamp);
        }
        for (field, value) in values {
            let known = self.seen.get(&field).is_some_and(|seen| same(&seen.value, &value));
            if self.recognise_sent(&field, &value, stamp) || known || value.is_null() {
                self.see(&field, &value, stamp);
            } else {
                self.unobserved.insert(field, Seen { value: shorten(&value), stamp });
            }
        }
        open(&self.sent) < before
    }

    /// True if a value that was found is a write of ours. If nobody knew what became of that write, it is known now. An earlier one
    /// whose answer was lost may still take effect.
    fn recognise_sent(&mut self, field: &FieldName, value: &Value, stamp: Stamp) -> bool {
        let Some(sent) = self.sent.get_mut(field) else { return false };
        let ours = |s: &Sent| same(&s.value, value) || s.stamp.is_none() && may_be_made_of(value, &s.value);
        let Some(index) = sent.iter().rposition(ours) else { return false };
        if sent[index].stamp.is_some() {
            return true;
        }
        // From now on another value that may be made of what was sent is somebody else's.
        sent[index].stamp = Some(stamp);
        if !same(&sent[index].value, value) {
            let made = Sent { value: value.clone(), ..sent[index].clone() };
            self.remember(field, made);
        }
        self.read_back.remove(field);
        true
    }

    /// Notes what the destination made of a push. Returns false if a worker whose lease expired has undone some of it.
    pub(super) fn confirm(&mut self, read_back: &ReadBack<'_>, late_worker: bool) -> bool {
        let mut pushed: Map<_, _> = read_back.sent.iter().map(|(name, value)| (name.clone(), shorten_pushed(value))).collect();
        let mut intact = true;
        for field in read_back.fields {
            let value = read_back.values.get(field.name).or(field.value).cloned().unwrap_or(Value::Null);
            if late_worker && self.is_undone(field, &value) {
                for property in field.properties {
                    pushed.remove(property);
                    self.pushed.remove(property);
                }
                if let Some(sent) = self.sent.get_mut(field.name).and_then(|sent| sent.last_mut()) {
                    sent.stamp.get_or_insert(read_back.stamp);
                }
                intact = false;
            } else {
                self.confirm_sent(field.name, &value, read_back.stamp);
                self.read_back.insert(field.name.clone(), shorten(&value));
            }
            self.see(field.name, &value, read_back.stamp);
        }
        self.pushed.extend(pushed);
        intact
    }

    /// True when an earlier push explains the value better than this one: then it is a late worker's write, and not what the
    /// destination made of ours.
    fn is_undone(&self, field: &PushedField<'_>, value: &Value) -> bool {
        let earlier =
            self.sent.get(field.name).map_or(&[] as &[Sent], |sent| sent.split_last().map_or(&[], |(_, earlier)| earlier));
        field.value.is_none_or(|wanted| !may_be_made_of(value, wanted))
            && earlier.iter().any(|sent| may_be_made_of(value, &sent.value))
    }

    fn confirm_sent(&mut self, field: &FieldName, value: &Value, stamp: Stamp) {
        let Some(sent) = self.sent.get_mut(field).and_then(|sent| sent.last_mut()).filter(|sent| sent.stamp.is_none()) else {
            return;
        };
        sent.stamp = Some(stamp);
        if !same(&sent.value, value) {
            let intended_ms = sent.intended_ms;
            self.remember(field, Sent { value: value.clone(), stamp: Some(stamp), intended_ms });
        }
    }

    /// Notes that a source has reported what the object holds in a field. Returns true if the value was unobserved. An older
    /// report says nothing about what was found.
    pub(super) fn mark_observed(&mut self, field: &str, value: &Value, stamp: Stamp) -> bool {
        let observed = self.unobserved.get(field).is_some_and(|found| same(&found.value, value) || found.stamp <= stamp);
        observed && self.unobserved.remove(field).is_some()
    }

    /// A snapshot that does not mention a field any more says that its value is gone.
    pub(super) fn forget_unmentioned(&mut self, mentioned: impl Fn(&str) -> bool, at: Stamp) {
        self.unobserved.retain(|name, found| mentioned(name) || found.stamp > at);
    }

    /// Takes in what was sent under a link that is joined with this one: it still comes back as an echo.
    pub(super) fn expect_sent_of(&mut self, other: &mut Knowledge) {
        for (field, values) in std::mem::take(&mut other.sent) {
            let sent = self.sent.entry(field).or_default();
            sent.splice(0..0, values);
            // Both links remember what they sent; together they may hold twice as much, and no more.
            sent.drain(..sent.len().saturating_sub(2 * SENT_VALUES));
        }
    }

    /// Takes in what an event has reported since the link was `base`.
    pub(super) fn take_in_reports(&mut self, base: &Knowledge, stored: &Knowledge) {
        self.unobserved.retain(|field, found| {
            let seen = stored.seen.get(field).filter(|seen| base.seen.get(field) != Some(seen));
            let reported = seen.is_some_and(|seen| seen.value == found.value || seen.stamp >= found.stamp);
            !reported && (stored.unobserved.contains_key(field) || !base.unobserved.contains_key(field))
        });
        for (field, seen) in &stored.seen {
            self.see(field, &seen.value, seen.stamp);
        }
    }
}
