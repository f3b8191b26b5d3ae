//! What `receive` refuses is counted for `hub status`, and no flood of requests that anybody can send costs more than a message a
//! minute.

use std::collections::BTreeMap;

use canonical::{Outcome, QueueName};
use hub::config::{Changes, DEFAULT, Loaded};
use hub::operate::status;
use sync::batch::Invocation;
use sync::config::Config;
use sync::ports::{Clock, Table};
use sync::receive::{Process, Request, handle};
use sync::seal::Vault;
use testkit::memory::QueueSettings;
use testkit::twin::{Twin, finish};
use webhook::{Draft, sign};

const NOW_MS: i64 = 1_790_000_000_000;
const MASTER: &str = "cmVmdXNlZCBtYXN0ZXIgc2VjcmV0IG9mIDMyIGJ5dGVzIG9yIG1vcmU=";
const URL: &str = "https://hub.example.org/hooks/stripe";
/// Of an attacker who hopes to see it somewhere.
const FORGED: &[u8] = br#"{"id":"evt_forged","email":"mallory@example.org"}"#;

struct Door {
    twin: Twin,
    config: Config,
    process: Process,
}

impl Door {
    fn new() -> Door {
        let twin = Twin::at(NOW_MS);
        for name in ["ingest-urgent", "ingest-bulk"] {
            twin.queues.borrow_mut().create(name, QueueSettings::default());
        }
        twin.set_secret("stripe/signing", "whsec_ours");
        let loaded = Loaded::new("hub.toml", DEFAULT.to_owned(), None);
        let config = Config::open(loaded.pack(&Changes::default()).unwrap_or_else(|e| panic!("{e}"))).expect("a pack");
        Door { twin, config, process: Process::default() }
    }

    /// A request, as `functions/receive` handles it. Gives the status of the answer.
    fn post(&self, secret: Option<&str>, body: &[u8]) -> u16 {
        let (_, provider) = self.config.connection("stripe").expect("stripe");
        let draft = Draft { method: "POST", url: URL, body, at_ms: self.twin.now_ms(), id: "" };
        let headers = secret.map(|secret| sign(&provider.manifest().webhook.scheme, &draft, secret).expect("signed").headers);
        let request = Request {
            method: "POST".to_owned(),
            path: "/hooks/stripe".to_owned(),
            url: URL.to_owned(),
            headers: headers.unwrap_or_default().into_iter().collect(),
            body: body.to_vec(),
        };
        let answer = finish(handle(&self.twin, &self.config, &self.process, &request));
        finish(self.process.refusals.report(&self.twin, &self.config));
        answer.status
    }

    fn waiting(&self) -> usize {
        self.twin.queues.borrow().peek("ingest-bulk").len()
    }

    /// Lets `transform` handle what waits, each message twice, as queues may deliver it.
    fn transform(&self) {
        let vault = Vault::with_master(MASTER).expect("a vault");
        let queue = QueueName::from("ingest-bulk");
        for _ in 0..2 {
            let deliveries = self.twin.queues.borrow_mut().receive(&queue, 100, self.twin.now_ms());
            let invocation = Invocation { ports: &self.twin, config: &self.config, deadline_ms: self.twin.now_ms() + 600_000 };
            let report = finish(sync::transform::handle_batch(invocation, &vault, &queue, deliveries));
            assert!(report.failures.is_empty(), "{report:?}");
            finish(self.twin.sleep(31_000));
        }
    }

    fn account(&self) -> status::Account {
        let accounts = finish(status::accounts(&self.twin, self.config.hub(), 1)).expect("read");
        accounts.into_iter().find(|account| account.connection == "stripe").expect("stripe")
    }
}

#[test]
fn refused_webhooks_are_shown_with_their_reasons() {
    let door = Door::new();
    assert_eq!(door.post(None, FORGED), 401);
    assert_eq!(door.post(Some("whsec_theirs"), FORGED), 401);
    assert_eq!(door.post(Some("whsec_theirs"), FORGED), 401);
    finish(door.twin.sleep(61_000));
    assert_eq!(door.post(None, &vec![b'x'; door.config.hub().limits.body_bytes + 1]), 413);
    door.transform();
    let account = door.account();
    let counted = [("body-size", 1), ("mismatch", 2), ("missing-header", 1)].map(|(reason, n)| (reason.to_owned(), n));
    assert_eq!(account.refused_webhooks, BTreeMap::from(counted));
    assert_eq!((account.received(), account.count(Outcome::Dead)), (0, 0), "they are no events");
    let text = status::render(std::slice::from_ref(&account), &[]);
    assert!(text.contains("4 webhooks refused: 1 body-size, 2 mismatch, 1 missing-header\n"), "{text}");
    assert_eq!(status::as_json(&[account], &[], 1)["connections"][0]["refused_webhooks"]["mismatch"], 2);
    let tables = door.twin.tables.borrow();
    let stored: Vec<_> = Table::ALL.iter().flat_map(|table| tables.all(*table)).collect();
    assert!(stored.iter().all(|item| item.key.pk.starts_with("f#stripe#")), "nothing else is stored: {stored:?}");
    assert!(!format!("{stored:?}").contains("forged"), "and nothing of the requests: {stored:?}");
}

#[test]
fn a_flood_of_forged_requests_costs_one_message_a_minute() {
    let door = Door::new();
    for n in 1..=1_000 {
        assert_eq!(door.post(Some("whsec_theirs"), FORGED), 401);
        assert_eq!(door.waiting(), 1, "after {n} requests within a minute");
    }
    finish(door.twin.sleep(60_000));
    assert_eq!(door.post(Some("whsec_ours"), b"{}"), 202, "a good request reports as well");
    assert_eq!(door.waiting(), 2);
    door.transform();
    assert_eq!(door.account().refused_webhooks.values().sum::<u64>(), 1_000, "and none is lost");
}
