//! Records and rules that both stand-ins share.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::fault::Effects;
use crate::message::OutboundWebhook;
use crate::schema::{Kind, ObjectSchema, Refusal, Style};
use crate::state::{Link, Origin, Pending, Record, State, Written};
use crate::{Refused, Request, Response};

#[derive(Debug, Clone)]
pub(crate) struct Engine {
    pub(crate) seed: u64,
    pub(crate) style: Style,
    pub(crate) schema: BTreeMap<String, ObjectSchema>,
    /// Makes the id of an object from a number that rises.
    pub(crate) new_id: fn(&str, u64, u64) -> String,
    pub(crate) state: State,
}

/// A number that looks random and follows from both numbers.
pub(crate) fn mix(seed: u64, n: u64) -> u64 {
    let mut z = seed.wrapping_add(n.wrapping_mul(0x9E37_79B9_7F4A_7C15)).wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

impl Engine {
    pub(crate) fn count(&mut self, name: impl Into<String>) {
        *self.state.counters.entry(name.into()).or_default() += 1;
    }

    /// Counts a request and returns what the script of faults does to it.
    pub(crate) fn begin(&mut self, request: &Request, now_ms: i64) -> Effects {
        self.state.requests += 1;
        self.count("calls");
        let dice = mix(self.seed, self.state.requests);
        Effects::of(&mut self.state.faults, request, now_ms, dice)
    }

    /// Counts an answer and applies the script to it.
    pub(crate) fn end(&mut self, effects: &Effects, mut response: Response) -> Response {
        response.lost = effects.lose_answer || effects.lose_request;
        response.delay_ms = effects.delay_ms;
        self.count(if effects.lose_request { "status.none".to_owned() } else { format!("status.{}", response.status) });
        response
    }

    /// True if the script makes this row of the current request fail.
    pub(crate) fn row_fails(&self, effects: &Effects, row: usize) -> bool {
        let dice = || mix(self.seed ^ 0xFA11, self.state.requests.wrapping_mul(1_000).wrapping_add(row as u64));
        effects.fail_rows.is_some_and(|n| dice().is_multiple_of(u64::from(n)))
    }

    pub(crate) fn issue(&mut self) -> u64 {
        self.state.issued += 1;
        self.state.issued
    }

    pub(crate) fn records(&self, object: &str) -> impl Iterator<Item = &Record> {
        self.state.objects.get(object).into_iter().flat_map(|records| records.values())
    }

    pub(crate) fn record(&self, object: &str, id: &str) -> Option<&Record> {
        self.state.objects.get(object)?.get(id)
    }

    /// The live record with this id. The id of a merged record leads to its survivor.
    pub(crate) fn resolve(&self, object: &str, id: &str) -> Option<&Record> {
        let mut record = self.record(object, id)?;
        while let Some(next) = record.merged_into.as_deref() {
            record = self.record(object, next)?;
        }
        record.live().then_some(record)
    }

    /// The id of the live record on which a person acts; `None` for a record that is to be created.
    pub(crate) fn acted_on(&self, object: &str, id: Option<&str>) -> Result<Option<String>, Refused> {
        let found = id.map(|id| self.resolve(object, id).ok_or_else(|| Refused(format!("no such {object}"))));
        Ok(found.transpose()?.map(|record| record.id.clone()))
    }

    fn is_unique(&self, object: &str, property: &str) -> bool {
        self.schema.get(object).and_then(|s| s.properties.get(property)).is_some_and(|p| p.unique)
    }

    /// Remembers which record holds which unique value.
    pub(crate) fn remember(&mut self, object: &str, id: &str, values: &[(String, Value)]) {
        for (name, value) in values {
            if let (true, Some(text)) = (self.is_unique(object, name), value.as_str()) {
                let held = self.state.held.entry(format!("{object}/{name}")).or_default();
                held.insert((text.to_lowercase(), id.to_owned()));
            }
        }
    }

    /// The live records whose property has this value. Texts are compared as they are stored, without regard to case.
    pub(crate) fn find(&self, object: &str, property: &str, value: &str) -> Vec<&Record> {
        let wanted = value.trim().to_lowercase();
        let same = |v: &Value| match v {
            Value::String(text) => text.to_lowercase() == wanted,
            Value::Number(number) => number.to_string() == value,
            _ => false,
        };
        let fits = |r: &&Record| r.live() && same(r.get(property));
        if !self.is_unique(object, property) {
            return self.records(object).filter(fits).collect();
        }
        let held = self.state.held.get(&format!("{object}/{property}")).into_iter();
        let holders = held.flat_map(|held| held.range((wanted.clone(), String::new())..).take_while(|(text, _)| *text == wanted));
        holders.filter_map(|(_, id)| self.record(object, id)).filter(fits).collect()
    }

    pub(crate) fn locked(&self, object: &str, id: &str, now_ms: i64) -> bool {
        self.state.locks.get(&format!("{object}/{id}")).is_some_and(|until| now_ms < *until)
    }

    /// Checks properties and returns them as they will be stored, or everything that is wrong with them.
    fn accept(&self, object: &str, given: &Map<String, Value>) -> Result<Vec<(String, Value)>, Vec<Refusal>> {
        let (mut accepted, mut refused) = (Vec::new(), Vec::new());
        let Some(schema) = self.schema.get(object) else { return Err(vec![Refusal::Unknown(object.to_owned())]) };
        for (name, value) in given {
            let result = match schema.properties.get(name) {
                Some(property) => property.accept(name, value, self.style).map(|v| (name.clone(), v)),
                None => self.reference(schema, name, value),
            };
            match result {
                Ok(pair) => accepted.push(pair),
                Err(refusal) => refused.push(refusal),
            }
        }
        if refused.is_empty() { Ok(accepted) } else { Err(refused) }
    }

    /// `{"Account": {"Hub_Id__c": "…"}}`: a reference by a unique property of the other record.
    fn reference(&self, schema: &ObjectSchema, name: &str, value: &Value) -> Result<(String, Value), Refusal> {
        let unknown = || Refusal::Unknown(name.to_owned());
        let by_name = |(property, p): (&String, &crate::Property)| match &p.kind {
            Kind::Reference { object, relationship } if relationship == name => Some((property.clone(), object.clone())),
            _ => None,
        };
        let (property, object) = schema.properties.iter().find_map(by_name).ok_or_else(unknown)?;
        if value.is_null() {
            return Ok((property, Value::Null));
        }
        let members = value.as_object().ok_or_else(unknown)?;
        let (by, wanted) = members.iter().find(|(n, _)| *n != "attributes").ok_or_else(unknown)?;
        let wanted = wanted.as_str().unwrap_or_default();
        match self.find(&object, by, wanted).as_slice() {
            [one] => Ok((property, Value::String(one.id.clone()))),
            _ => Err(Refusal::NoReference { property: name.to_owned(), object, by: by.clone(), value: wanted.to_owned() }),
        }
    }

    /// The refusal if another live record holds the value of a unique property.
    fn duplicates(&self, object: &str, id: Option<&str>, values: &[(String, Value)]) -> Option<Refusal> {
        let schema = self.schema.get(object)?;
        let unique = values.iter().filter(|(name, _)| schema.properties.get(name).is_some_and(|p| p.unique));
        unique.filter_map(|(name, value)| Some((name, value.as_str()?))).find_map(|(name, value)| {
            let other = self.find(object, name, value).into_iter().find(|r| Some(r.id.as_str()) != id)?;
            Some(Refusal::Duplicate { property: name.clone(), id: other.id.clone() })
        })
    }

    /// Creates (`id` is none) or updates a record.
    pub(crate) fn write(
        &mut self,
        object: &str,
        id: Option<&str>,
        given: &Map<String, Value>,
        origin: Origin,
        now_ms: i64,
    ) -> Result<Written, Vec<Refusal>> {
        let values = self.accept(object, given)?;
        if let Some(refusal) = self.duplicates(object, id, &values) {
            return Err(vec![refusal]);
        }
        let missing = self.missing(object, id, &values);
        if !missing.is_empty() {
            return Err(vec![Refusal::Missing(missing)]);
        }
        let created = id.is_none();
        let id = match id {
            Some(id) => id.to_owned(),
            None => {
                let number = self.issue();
                (self.new_id)(object, self.seed, number)
            }
        };
        let records = self.state.objects.entry(object.to_owned()).or_default();
        let record = records.entry(id.clone()).or_insert_with(|| Record {
            id: id.clone(),
            created_ms: now_ms,
            updated_ms: now_ms,
            archived_ms: None,
            merged_into: None,
            fields: BTreeMap::new(),
        });
        let changed: Vec<_> =
            values.into_iter().filter(|(name, value)| record.set(name, value.clone(), origin, now_ms)).collect();
        if !changed.is_empty() {
            record.updated_ms = now_ms;
        }
        self.remember(object, &id, &changed);
        self.count(if created {
            "rows.created"
        } else if changed.is_empty() {
            "rows.unchanged"
        } else {
            "rows.updated"
        });
        Ok(Written { id, created, changed })
    }

    fn missing(&self, object: &str, id: Option<&str>, values: &[(String, Value)]) -> Vec<String> {
        let Some(schema) = self.schema.get(object) else { return Vec::new() };
        let record = id.and_then(|id| self.record(object, id));
        let given = |name: &str| values.iter().find(|(n, _)| n == name).map(|(_, v)| v);
        let empty = |name: &str| given(name).or_else(|| record.map(|r| r.get(name))).is_none_or(Value::is_null);
        schema.properties.iter().filter(|(name, p)| p.required && empty(name)).map(|(name, _)| name.clone()).collect()
    }

    pub(crate) fn archive(&mut self, object: &str, id: &str, now_ms: i64) -> bool {
        let record = self.state.objects.get_mut(object).and_then(|records| records.get_mut(id)).filter(|r| r.live());
        let Some(record) = record else { return false };
        record.archived_ms = Some(now_ms);
        record.updated_ms = now_ms;
        self.state.links.retain(|(a, ai, b, bi)| !((a == object && ai == id) || (b == object && bi == id)));
        self.count("rows.deleted");
        true
    }

    /// Merges two records: the survivor gets the values that it lacks, and the links of the other record.
    pub(crate) fn merge(&mut self, object: &str, primary: &str, other: &str, now_ms: i64) -> Result<Written, Refused> {
        let no_such = || Refused(format!("no such {object}"));
        let (winner, loser) =
            (self.resolve(object, primary).ok_or_else(no_such)?, self.resolve(object, other).ok_or_else(no_such)?);
        if winner.id == loser.id {
            return Err(Refused("a record cannot be merged into itself".to_owned()));
        }
        let (winner_id, loser_id) = (winner.id.clone(), loser.id.clone());
        let moved: Vec<(String, Value)> = loser
            .fields
            .keys()
            .filter(|name| winner.get(name).is_null() && !loser.get(name).is_null())
            .map(|name| (name.clone(), loser.get(name).clone()))
            .collect();
        let redirected: Vec<Link> =
            self.state.links.iter().filter(|(a, ai, _, _)| a == object && *ai == loser_id).cloned().collect();
        self.archive(object, &loser_id, now_ms);
        for (_, _, b, bi) in redirected {
            self.link(object, &winner_id, &b, &bi);
        }
        let records = self.state.objects.entry(object.to_owned()).or_default();
        if let Some(loser) = records.get_mut(&loser_id) {
            loser.merged_into = Some(winner_id.clone());
        }
        let mut changed = Vec::new();
        if let Some(winner) = records.get_mut(&winner_id) {
            winner.updated_ms = now_ms;
            changed = moved.into_iter().filter(|(name, value)| winner.set(name, value.clone(), Origin::Person, now_ms)).collect();
        }
        self.remember(object, &winner_id, &changed);
        Ok(Written { id: winner_id, created: false, changed })
    }

    /// Makes every reference to one record point to another.
    pub(crate) fn repoint(&mut self, object: &str, from: &str, to: &str, now_ms: i64) {
        for (name, schema) in &self.schema {
            let points = |kind: &Kind| matches!(kind, Kind::Reference { object: o, .. } if o == object);
            let references: Vec<&String> = schema.properties.iter().filter(|(_, p)| points(&p.kind)).map(|(n, _)| n).collect();
            for record in self.state.objects.get_mut(name).into_iter().flat_map(|records| records.values_mut()) {
                for property in &references {
                    if record.get(property).as_str() == Some(from) {
                        record.set(property, Value::String(to.to_owned()), Origin::Person, now_ms);
                        record.updated_ms = now_ms;
                    }
                }
            }
        }
    }

    pub(crate) fn link(&mut self, a: &str, a_id: &str, b: &str, b_id: &str) {
        self.state.links.insert((a.to_owned(), a_id.to_owned(), b.to_owned(), b_id.to_owned()));
        self.state.links.insert((b.to_owned(), b_id.to_owned(), a.to_owned(), a_id.to_owned()));
    }

    pub(crate) fn unlink(&mut self, a: &str, a_id: &str, b: &str, b_id: &str) {
        self.state.links.remove(&(a.to_owned(), a_id.to_owned(), b.to_owned(), b_id.to_owned()));
        self.state.links.remove(&(b.to_owned(), b_id.to_owned(), a.to_owned(), a_id.to_owned()));
    }

    /// Counts a call in a rolling window. Returns how many calls are left, or `None` when the window is full.
    pub(crate) fn admit(&mut self, limit: &str, max: u64, window_ms: i64, now_ms: i64) -> Option<u64> {
        let recent = self.state.recent.entry(limit.to_owned()).or_default();
        while recent.front().is_some_and(|at| *at <= now_ms - window_ms) {
            recent.pop_front();
        }
        if recent.len() as u64 >= max {
            return None;
        }
        recent.push_back(now_ms);
        Some(max - recent.len() as u64)
    }

    /// Counts a call of the day (UTC) and returns how many there were, with this one.
    pub(crate) fn count_day(&mut self, now_ms: i64) -> u64 {
        let day = now_ms.div_euclid(86_400_000);
        if self.state.daily.0 != day {
            self.state.daily = (day, 0);
        }
        self.state.daily.1 += 1;
        self.state.daily.1
    }

    pub(crate) fn token_state(&self, token: Option<&str>, now_ms: i64) -> TokenState {
        let issued = self.state.endpoint.as_ref().zip(token);
        match issued.and_then(|(endpoint, token)| endpoint.access_is_good(token, now_ms)) {
            Some(true) => return TokenState::Valid,
            Some(false) => return TokenState::Expired,
            None => {}
        }
        match token.and_then(|t| self.state.tokens.get(t)) {
            None => TokenState::Unknown,
            Some(Some(until)) if now_ms >= *until => TokenState::Expired,
            Some(_) => TokenState::Valid,
        }
    }

    /// The answer of the token endpoint; `None` for a request to another path.
    pub(crate) fn token_answer(&mut self, request: &Request, now_ms: i64) -> Option<Response> {
        let answer = self.state.endpoint.as_mut()?.handle(request, now_ms)?;
        self.count("calls.token");
        Some(answer)
    }

    pub(crate) fn take_due(&mut self, now_ms: i64) -> Vec<OutboundWebhook> {
        let (mut due, later): (Vec<_>, Vec<_>) = self.state.outbox.drain(..).partition(|p| p.due_ms <= now_ms);
        self.state.outbox = later;
        due.sort_by_key(|p| (p.attempt, p.due_ms));
        let mut webhooks = Vec::new();
        let runs = due
            .chunk_by(|a, b| a.attempt == b.attempt)
            .flat_map(|run| run.chunks(100))
            .map(<[Pending]>::to_vec)
            .collect::<Vec<_>>();
        for batch in runs {
            let id = self.issue();
            let attempt = batch.first().map_or(0, |p| p.attempt);
            let events: Vec<Value> = batch.iter().map(|p| with_attempt(&p.event, p.attempt)).collect();
            webhooks.push(OutboundWebhook {
                id,
                events: events.len(),
                body: Value::Array(events).to_string().into_bytes(),
                attempt,
            });
            self.state.in_flight.insert(id, batch);
            self.count("webhooks.sent");
        }
        webhooks
    }

    pub(crate) fn webhook_answered(&mut self, id: u64, accepted: bool, now_ms: i64) {
        const ATTEMPTS: u32 = 10;
        let Some(batch) = self.state.in_flight.remove(&id) else { return };
        self.count(if accepted { "webhooks.accepted" } else { "webhooks.refused" });
        for pending in batch.into_iter().filter(|_| !accepted) {
            let attempt = pending.attempt + 1;
            if attempt > ATTEMPTS {
                self.count("webhooks.given_up");
                continue;
            }
            let wait = 10_000_i64 << attempt.min(10);
            self.state.outbox.push(Pending { due_ms: now_ms + wait, attempt, event: pending.event });
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenState {
    Valid,
    Expired,
    Unknown,
}

fn with_attempt(event: &Value, attempt: u32) -> Value {
    let mut event = event.clone();
    event["attemptNumber"] = json!(attempt);
    event
}

/// The methods of [`crate::Sandbox`] that are the same for both stand-ins. Both have an `engine`, `options`, and the methods `object`
/// and `act`.
macro_rules! shared_methods {
    () => {
        fn due_webhooks(&mut self, now_ms: i64) -> Vec<$crate::OutboundWebhook> {
            self.engine.take_due(now_ms)
        }

        fn next_webhook_ms(&self) -> Option<i64> {
            self.engine.state.outbox.iter().map(|pending| pending.due_ms).min()
        }

        fn webhook_answered(&mut self, id: u64, accepted: bool, now_ms: i64) {
            self.engine.webhook_answered(id, accepted, now_ms);
        }

        fn seed(&mut self, object: &str, properties: &Map<String, Value>, now_ms: i64) -> Result<String, Refused> {
            self.act(object, None, properties, Origin::Import, now_ms)
        }

        fn create(&mut self, object: &str, properties: &Map<String, Value>, now_ms: i64) -> Result<String, Refused> {
            self.act(object, None, properties, Origin::Person, now_ms)
        }

        fn edit(&mut self, object: &str, id: &str, properties: &Map<String, Value>, now_ms: i64) -> Result<(), Refused> {
            self.act(object, Some(id), properties, Origin::Person, now_ms).map(drop)
        }

        fn lock(&mut self, object: &str, id: &str, until_ms: i64) {
            let object = self.object(object).unwrap_or_default();
            self.engine.state.locks.insert(format!("{object}/{id}"), until_ms);
        }

        fn fault(&mut self, fault: $crate::Fault) {
            self.engine.state.faults.push(fault);
        }

        fn clear_faults(&mut self) {
            self.engine.state.faults.clear();
        }

        fn allow_token(&mut self, token: &str, until_ms: Option<i64>) {
            self.engine.state.tokens.insert(token.to_owned(), until_ms);
        }

        fn revoke_token(&mut self, token: &str) {
            self.engine.state.tokens.remove(token);
        }

        fn endpoint(&mut self) -> Option<&mut $crate::TokenEndpoint> {
            self.engine.state.endpoint.as_mut()
        }

        fn stats(&self) -> BTreeMap<String, u64> {
            self.engine.state.counters.clone()
        }

        fn dump(&self) -> Value {
            self.engine.dump()
        }

        fn comparable(&self, ignore: &[&str]) -> Value {
            self.engine.comparable(ignore)
        }

        fn save(&self) -> Value {
            self.engine.save()
        }

        fn restore(&mut self, saved: &Value) -> Result<(), Refused> {
            self.engine.restore(saved)?;
            // A state that was saved before the stand-in got its token endpoint.
            if self.engine.state.endpoint.is_none() {
                self.engine.state.endpoint = self.options.endpoint.clone().map($crate::TokenEndpoint::new);
            }
            Ok(())
        }

        fn reset(&mut self) {
            self.engine.reset(&self.options.tokens, self.options.endpoint.as_ref());
        }
    };
}
pub(crate) use shared_methods;
