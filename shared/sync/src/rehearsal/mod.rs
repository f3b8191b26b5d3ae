//! Rehearsing an import: the same handlers do the same work on a copy of the tables, read the providers for real, and write nothing.
//! So what a plan shows is what the import then does, unless somebody changes a record in between.

mod copy;

use std::collections::BTreeMap;

use canonical::{Lane, ObjectType, QueueName};

use crate::batch::{BatchReport, Invocation};
use crate::config::{Bucket, Config};
use crate::failure::{Code, Failure};
use crate::import::{Import, count_results, read_import, send_step, store_import};
use crate::ports::{Blob, Clock, Delivery, Http, Secrets, Store};
use crate::record::{Review, ReviewState, read_reviews};
use crate::seal::Vault;
use crate::write_log::{ObjectKey, PlannedObject};
use crate::{reconcile, transform, upsert};
use copy::CopiedPorts;

/// The ports that a rehearsal reads.
pub trait Ports: Store + Blob + Secrets + Http + Clock {}
impl<T: Store + Blob + Secrets + Http + Clock> Ports for T {}

/// Messages that a handler gets at once, as in `template.yaml`.
const BATCH: usize = 100;
/// Time for one batch, in milliseconds.
const BATCH_MS: i64 = 300_000;
/// How often a message is tried before the rehearsal goes on without it.
const MAX_RECEIVES: u32 = 200;

/// What an import would do.
#[derive(Debug, Clone, PartialEq)]
pub struct Rehearsal {
    /// The import at its end.
    pub import: Import,
    /// Its records by result: `new`, `joined`, `changed`, or the outcome.
    pub results: BTreeMap<String, u64>,
    /// The objects that would be created or changed, by connection, native object and id.
    pub objects: BTreeMap<ObjectKey, PlannedObject>,
    /// Objects that destinations would be told to merge, by connection.
    pub merges: BTreeMap<String, u64>,
    /// Pairs of records that may be the same, and that a person would have to decide about.
    pub reviews: u64,
    /// Messages that would be parked, by error code.
    pub parked: BTreeMap<String, u64>,
    /// API calls by connection.
    pub calls: BTreeMap<String, u64>,
    /// How long the import would take, in minutes: by its own rate, or by the rate of the slowest account.
    pub minutes: u64,
}

/// Rehearses an import.
///
/// # Errors
/// A provider or the store cannot be read.
pub async fn rehearse<P: Ports>(ports: &P, config: &Config, mut import: Import) -> Result<Rehearsal, Failure> {
    let copy = CopiedPorts::new(ports);
    // The copy has a vault of its own, since it makes data keys that nobody else may know.
    let vault = Vault::open(&copy).await?;
    import.version = read_import(&copy, &import.connection).await?.map_or(0, |earlier| earlier.version);
    store_import(&copy, &mut import).await?;
    send_step(&copy, &import, 0).await?;
    let rehearsed = Rehearsed { copy, vault, config };
    let queues = rehearsed.queues();
    while rehearsed.handle_next(&queues).await? {}
    rehearsed.result(&import.connection).await
}

struct Rehearsed<'a, P> {
    copy: CopiedPorts<'a, P>,
    vault: Vault,
    config: &'a Config,
}

impl<P: Ports> Rehearsed<'_, P> {
    /// The queues that have handlers, the last steps of a record first.
    fn queues(&self) -> Vec<QueueName> {
        let hub = self.config.hub();
        let destinations = hub.connections.iter().filter(|(_, connection)| connection.destination);
        let upserts = destinations.map(|(name, _)| QueueName::upsert(name));
        upserts.chain([QueueName::ingest(Lane::Urgent), QueueName::ingest(Lane::Bulk), QueueName::fetch()]).collect()
    }

    /// Handles one batch. Returns false when no message is left.
    async fn handle_next(&self, queues: &[QueueName]) -> Result<bool, Failure> {
        for queue in queues {
            let deliveries = self.copy.receive(queue, BATCH);
            if deliveries.is_empty() {
                continue;
            }
            let report = self.handle(queue, deliveries.clone()).await;
            for delivery in deliveries.into_iter().filter(|delivery| report.failures.contains(&delivery.id)) {
                if delivery.receive_count >= MAX_RECEIVES {
                    return Err(Failure::new(Code::Contention, format!("a message of `{queue}` never comes to an end")));
                }
                self.copy.put_back(queue, delivery);
            }
            return Ok(true);
        }
        let Some(at_ms) = self.copy.next_visible_ms(|queue| queues.contains(queue)) else { return Ok(false) };
        let wait_ms = at_ms - self.copy.now_ms();
        self.copy.sleep(u64::try_from(wait_ms.max(1)).unwrap_or(1)).await;
        Ok(true)
    }

    async fn handle(&self, queue: &QueueName, deliveries: Vec<Delivery>) -> BatchReport {
        let deadline_ms = self.copy.now_ms() + BATCH_MS;
        let invocation = Invocation { ports: &self.copy, config: self.config, deadline_ms };
        match queue.destination() {
            Some(destination) => upsert::handle_batch(invocation, &self.vault, destination, deliveries).await,
            None if *queue == QueueName::fetch() => reconcile::handle_batch(invocation, deliveries).await,
            None => transform::handle_batch(invocation, &self.vault, queue, deliveries).await,
        }
    }

    async fn result(&self, connection: &str) -> Result<Rehearsal, Failure> {
        let missing = || Failure::new(Code::Bug, "the copy lost its import");
        let import = read_import(&self.copy, connection).await?.ok_or_else(missing)?;
        let mut parked = BTreeMap::new();
        for attributes in self.copy.attributes(|queue| queue.ends_with("-dlq")) {
            *parked.entry(attributes.get("code").cloned().unwrap_or_default()).or_default() += 1;
        }
        let calls = self.copy.log.calls();
        Ok(Rehearsal {
            results: count_results(&self.copy, &import).await?,
            objects: self.copy.log.planned(),
            merges: self.copy.log.merges(),
            reviews: self.reviews_since(import.started_ms).await?,
            parked,
            minutes: self.minutes(&import, &calls),
            calls,
            import,
        })
    }

    async fn reviews_since(&self, started_ms: i64) -> Result<u64, Failure> {
        let mut count = 0;
        for object in ObjectType::ALL {
            let reviews = read_reviews(&self.copy, *object).await?;
            let is_new = |review: &&Review| review.state == ReviewState::Open && review.at_ms >= started_ms;
            count += reviews.iter().filter(is_new).count() as u64;
        }
        Ok(count)
    }

    fn minutes(&self, import: &Import, calls: &BTreeMap<String, u64>) -> u64 {
        let by_rate = import.taken.div_ceil(u64::from(import.per_minute.max(1)));
        let by_account = calls.iter().filter_map(|(name, calls)| {
            let buckets = &self.config.hub().connections.get(name.as_str())?.buckets;
            buckets.iter().filter(|bucket| bucket.path.is_empty()).map(|bucket| minutes_of(bucket, *calls)).max()
        });
        by_account.chain([by_rate]).max().unwrap_or(by_rate)
    }
}

/// How long a bucket takes to let so many calls pass, in minutes.
fn minutes_of(bucket: &Bucket, calls: u64) -> u64 {
    let waiting = calls.saturating_sub(u64::from(bucket.burst)) as f64;
    (waiting / bucket.per_second.max(0.001) / 60.0).ceil() as u64
}
