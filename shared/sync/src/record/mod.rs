//! The records that the hub stores, and the keys of their items. `docs/architecture.md` has the table of keys.

pub mod audit;
pub mod golden;
pub mod identity;
pub mod journal;
pub mod link;
pub mod observation;
pub mod quarantined;
pub mod review;
pub mod shortened;
pub mod source;
pub mod split;
pub mod stored;
pub mod summary;

pub use golden::{GoldenRecord, Resolved, golden_by_id, read_golden};
pub use identity::{Claim, IdentityKey, IdentityKeys, REMOTE_KEY, add_keys, identity_key, remote_hash};
pub use link::{Link, LinkMap, Object, read_link};
pub use review::{Review, ReviewState, read_reviews};
pub use source::{SourceRecord, read_source};
pub use split::Split;
pub use stored::{build_put, build_put_as, unchanged, unchanged_since};
pub use summary::Summary;
