//! Reviews: two records that may be the same, which the hub does not join by itself. A person decides.

use std::collections::BTreeSet;

use canonical::{GoldenId, ObjectType};

use crate::ports::{Attr, Condition, Item, Key, Page, PortError, Store, Table, Write};
use crate::seal::Vault;

/// What became of a review.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReviewState {
    /// Nobody has decided yet.
    Open,
    /// They are the same, and were joined.
    Accepted,
    /// They are not the same, and are kept apart.
    Rejected,
}

impl ReviewState {
    const ALL: &'static [(&'static str, ReviewState)] =
        &[("open", ReviewState::Open), ("accepted", ReviewState::Accepted), ("rejected", ReviewState::Rejected)];

    /// Its name.
    pub fn name(self) -> &'static str {
        ReviewState::ALL.iter().find(|(_, state)| *state == self).map_or("", |(name, _)| name)
    }

    fn parse(name: &str) -> Option<ReviewState> {
        ReviewState::ALL.iter().find(|(known, _)| *known == name).map(|(_, state)| *state)
    }
}

/// The suggestion that two golden records are the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Review {
    /// Its id: the same for the same two records.
    pub id: String,
    /// The object type of the records.
    pub object: ObjectType,
    /// The two records, as they were called when it was suggested. Each may redirect since then.
    pub records: [GoldenId; 2],
    /// The names of the keys that they have in common.
    pub keys: BTreeSet<String>,
    /// What became of it.
    pub state: ReviewState,
    /// When that was, in milliseconds since 1970.
    pub at_ms: i64,
    /// Who decided; empty while nobody has.
    pub by: String,
}

impl Review {
    /// The review of two records, which is open.
    pub fn open(vault: &Vault, object: ObjectType, records: [GoldenId; 2], keys: BTreeSet<String>, at_ms: i64) -> Review {
        let mut records = records;
        records.sort();
        let id = vault.hash(&["review", object.name(), &records[0], &records[1]]);
        Review { id, object, records, keys, state: ReviewState::Open, at_ms, by: String::new() }
    }

    /// The key of its item.
    pub fn key(object: ObjectType, id: &str) -> Key {
        Key::new(format!("review#{object}"), id)
    }

    /// Builds the write that stores it. It holds no personal data.
    pub fn build_put(&self) -> Write {
        let keys: Vec<&str> = self.keys.iter().map(String::as_str).collect();
        let item = Item::new(Review::key(self.object, &self.id))
            .with("one", Attr::S(self.records[0].to_string()))
            .with("other", Attr::S(self.records[1].to_string()))
            .with("keys", Attr::S(keys.join(",")))
            .with("state", Attr::S(self.state.name().into()))
            .with("at", Attr::N(self.at_ms))
            .with("by", Attr::S(self.by.clone()));
        Write::Put { table: Table::Links, item, condition: Condition::Always }
    }

    /// Reads it.
    pub fn read(item: &Item) -> Option<Review> {
        let keys = item.s("keys").unwrap_or_default();
        Some(Review {
            id: item.key.sk.clone(),
            object: item.key.pk.strip_prefix("review#")?.parse().ok()?,
            records: [item.s("one")?.into(), item.s("other")?.into()],
            keys: keys.split(',').filter(|key| !key.is_empty()).map(str::to_owned).collect(),
            state: item.s("state").and_then(ReviewState::parse)?,
            at_ms: item.n("at")?,
            by: item.s("by").unwrap_or_default().to_owned(),
        })
    }
}

/// Reads every review of an object type.
pub async fn read_reviews<P: Store>(ports: &P, object: ObjectType) -> Result<Vec<Review>, PortError> {
    let (mut reviews, mut after) = (Vec::new(), None);
    loop {
        let page: Page = ports.query(Table::Links, &format!("review#{object}"), "", 200, after.as_ref()).await?;
        reviews.extend(page.items.iter().filter_map(Review::read));
        after = page.next;
        if after.is_none() {
            return Ok(reviews);
        }
    }
}
