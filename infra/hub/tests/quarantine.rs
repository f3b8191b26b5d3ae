//! A field that no rule can normalise is set aside, kept, and drained after the mapping was corrected.

use canonical::{ObjectType, Outcome, QueueName, Value};
use hub::config::{Changes, DEFAULT, Loaded};
use hub::operate::quarantine::{as_json, drain, quarantined, render};
use sync::batch::Invocation;
use sync::config::Config;
use sync::ports::{Clock, Table};
use sync::receive::{Process, Request};
use sync::record::golden_by_id;
use sync::record::journal::{count_day, day};
use sync::record::quarantined::StoredEvent;
use sync::seal::Vault;
use testkit::memory::QueueSettings;
use testkit::twin::{Twin, finish};
use webhook::{Draft, sign};

const NOW_MS: i64 = 1_790_000_000_000;
const MASTER: &str = "cXVhcmFudGluZSBtYXN0ZXIgc2VjcmV0IG9mIDMyIGJ5dGVzIG9yIG1vcmU=";
const SECRET: &str = "whsec_test";
const URL: &str = "https://hub.example.org/hooks/stripe";
const QUEUE: &str = "ingest-urgent";
/// Her telephone number is national, and nothing says of which country.
const CUSTOMER: &str = r#"{"id":"evt_1","object":"event","type":"customer.created","created":1790000000,"livemode":true,"data":{"object":{"id":"cus_1","object":"customer","created":1790000000,"email":"ada@example.org","name":"Ada Example","phone":"030 901820","livemode":true}}}"#;

struct Hub {
    twin: Twin,
    vault: Vault,
}

impl Hub {
    fn new() -> Hub {
        let twin = Twin::at(NOW_MS);
        for queue in [QUEUE, "ingest-urgent-dlq", "fetch", "upsert-hubspot", "upsert-salesforce"] {
            twin.queues.borrow_mut().create(queue, QueueSettings::default());
        }
        twin.set_secret("master", MASTER);
        twin.set_secret("stripe/signing", SECRET);
        Hub { twin, vault: Vault::with_master(MASTER).expect("a vault") }
    }

    fn receive(&self, config: &Config) {
        let (_, provider) = config.connection("stripe").expect("stripe");
        let draft = Draft { method: "POST", url: URL, body: CUSTOMER.as_bytes(), at_ms: NOW_MS, id: "" };
        let signed = sign(&provider.manifest().webhook.scheme, &draft, SECRET).expect("signed");
        let request = Request {
            method: "POST".to_owned(),
            path: "/hooks/stripe".to_owned(),
            url: URL.to_owned(),
            headers: signed.headers.into_iter().collect(),
            body: signed.body,
        };
        let answer = finish(sync::receive::handle(&self.twin, config, &Process::default(), &request));
        assert_eq!(answer.status / 100, 2);
    }

    fn transform(&self, config: &Config) {
        let queue = QueueName::from(QUEUE);
        let deliveries = self.twin.queues.borrow_mut().receive(&queue, 10, self.twin.now_ms());
        assert_eq!(deliveries.len(), 1, "one message");
        let receipt = deliveries[0].receipt.clone();
        let invocation = Invocation { ports: &self.twin, config, deadline_ms: self.twin.now_ms() + 600_000 };
        let report = finish(sync::transform::handle_batch(invocation, &self.vault, &queue, deliveries));
        assert!(report.failures.is_empty(), "{report:?}");
        self.twin.queues.borrow_mut().delete(&queue, &receipt);
    }

    fn quarantined(&self, config: &Config) -> Vec<StoredEvent> {
        finish(quarantined(&self.twin, config.hub(), "stripe", 1)).expect("read")
    }

    fn count(&self, outcome: Outcome) -> u64 {
        let counted = finish(count_day(&self.twin, "stripe", day(NOW_MS))).expect("counted");
        counted.outcomes.iter().find(|(known, _)| *known == outcome).map_or(0, |(_, count)| *count)
    }

    fn phone(&self) -> Option<Value> {
        let id = {
            let tables = self.twin.tables.borrow();
            let key = tables.all(Table::Golden).find_map(|item| item.key.pk.strip_prefix("g#contact#").map(str::to_owned));
            key.expect("a contact")
        };
        let golden = finish(golden_by_id(&self.twin, &self.vault, ObjectType::Contact, &id)).expect("read").expect("golden");
        golden.fields.iter().find(|(name, _)| &***name == "phone").map(|(_, resolved)| resolved.value.clone())
    }
}

fn config(text: String, folder: &tempfile::TempDir) -> Config {
    let loaded = Loaded::new("hub.toml", text, Some(folder.path()));
    Config::open(loaded.pack(&Changes::default()).unwrap_or_else(|e| panic!("{e}"))).expect("a pack")
}

#[test]
fn a_field_that_was_set_aside_drains_after_the_fix_of_its_mapping() {
    let folder = tempfile::tempdir().expect("a folder");
    let before = config(DEFAULT.to_owned(), &folder);
    let hub = Hub::new();
    hub.receive(&before);
    hub.transform(&before);
    assert_eq!((hub.count(Outcome::Quarantined), hub.phone()), (1, None));
    let events = hub.quarantined(&before);
    let listed = render(&events);
    assert!(listed.contains("customer.created") && listed.contains("`phone` at `"), "{listed}");
    assert!(!listed.contains("901820") && !as_json(&events).to_string().contains("901820"), "no value is shown: {listed}");

    assert_eq!(finish(drain(&hub.twin, &events)), Ok(1));
    assert!(hub.quarantined(&before).is_empty(), "it is on its way");
    hub.transform(&before);
    let again = hub.quarantined(&before);
    assert_eq!((again.len(), hub.count(Outcome::Quarantined)), (1, 1), "without a fix it is set aside again");
    assert!(render(&again).contains("set aside again after 1 drain"), "{}", render(&again));

    let fix =
        "[contact.fields]\nphone = { from = \"phone\", region_default = \"DE\", why = \"most of our customers are German\" }\n";
    std::fs::write(folder.path().join("customer.map.toml"), fix).expect("written");
    let own = "signing_secret = \"stripe/signing\"\nmappings = { customer = \"customer.map.toml\" }";
    let after = config(DEFAULT.replace("signing_secret = \"stripe/signing\"", own), &folder);
    assert_eq!(finish(drain(&hub.twin, &again)), Ok(1));
    hub.transform(&after);
    assert_eq!(hub.phone(), Some(Value::text("+4930901820")));
    assert_eq!((hub.count(Outcome::Quarantined), hub.count(Outcome::Applied)), (0, 1), "the account follows");
    assert!(hub.quarantined(&after).is_empty());
}
