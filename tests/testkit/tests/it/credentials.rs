//! Access tokens that end, are refused, or can no longer be renewed, on ports in memory and the stand-ins. Nothing is lost, and no
//! attempt is used up.

use canonical::{Dispatch, ObjectType, QueueName, RefreshRequest};
use providers::Grant;
use sandbox::tokens::Options;
use sandbox::{Fault, FaultKind, Pair, hubspot, salesforce};
use serde_json::json;
use sync::batch::Metric;
use sync::credential::Credential;
use sync::pause::paused;
use sync::ports::{Clock, SecretVersions, Secrets};
use sync::reconcile::{Job as Watch, run_job as watch};
use sync::rotate::{Job, Reason, Refreshed, handle_batch, refresh, run_job};
use testkit::memory::QueueSettings;
use testkit::twin::finish;

use crate::outbound::hub::{Hub, NOW_MS, hubspot_options, salesforce_options};

const MINUTE: u64 = 60_000;
const TOKEN_URL: &str = "POST /oauth/v3/token";

/// A hub whose connection to HubSpot has an access token that ends after 30 minutes.
struct Live(Hub);

impl Live {
    fn new() -> Live {
        Live::with(Options::default())
    }

    fn with(options: Options) -> Live {
        let at = |path: &str| Some(Options { path: path.to_owned(), ..options.clone() });
        let hubspot = hubspot::Options { tokens: Vec::new(), endpoint: at("/oauth/v3/token"), ..hubspot_options() };
        let salesforce =
            salesforce::Options { tokens: Vec::new(), endpoint: at("/services/oauth2/token"), ..salesforce_options() };
        let hub = Hub::with(hubspot, salesforce);
        for name in ["refresh", "refresh-dlq"] {
            hub.twin.queues.borrow_mut().create(name, QueueSettings::default());
        }
        let live = Live(hub);
        let pair = live.agree();
        live.0.twin.set_secret("crm/api", &live.credential(&pair).to_secret());
        live
    }

    /// A person agrees at HubSpot.
    fn agree(&self) -> Pair {
        let now_ms = self.0.twin.now_ms();
        self.0.at("hubspot", |crm| crm.endpoint().unwrap().connect(now_ms))
    }

    fn credential(&self, pair: &Pair) -> Credential {
        let now_ms = self.0.twin.now_ms();
        Credential {
            access_token: pair.access.clone(),
            refresh_token: Some(pair.refresh.clone()),
            grant: Some(Grant::RefreshToken),
            expires_at: Some(now_ms + 1_800_000),
            granted_at: Some(now_ms),
            ..client()
        }
    }

    /// Stores a new version, as `hub connect` does.
    fn store(&self, version: &str, credential: &Credential) {
        let twin = &self.0.twin;
        let from = finish(twin.current_version("crm/api")).unwrap();
        finish(twin.put_pending("crm/api", version, &credential.to_secret())).unwrap();
        finish(twin.promote("crm/api", version, from.as_deref())).unwrap();
    }

    fn stored(&self) -> Credential {
        Credential::parse(&finish(self.0.twin.secret("crm/api", true)).unwrap().current.unwrap()).unwrap()
    }

    fn version(&self) -> String {
        finish(self.0.twin.current_version("crm/api")).unwrap().unwrap()
    }

    fn wait(&self, ms: u64) {
        finish(self.0.twin.sleep(ms));
    }

    fn contact(&self, id: &str) -> Dispatch {
        self.0.store(ObjectType::Contact, id, &[("email", &format!("{id}@example.com")), ("last_name", id)])
    }

    fn requests(&self) -> Vec<RefreshRequest> {
        let queues = self.0.twin.queues.borrow();
        queues.peek("refresh").iter().map(|message| serde_json::from_str(&message.body).unwrap()).collect()
    }

    /// Runs `rotate` on what was requested.
    fn rotate(&self) {
        let queue = QueueName::refresh();
        let deliveries = self.0.twin.queues.borrow_mut().receive(&queue, 10, self.0.twin.now_ms());
        let receipts: Vec<String> = deliveries.iter().map(|delivery| delivery.receipt.clone()).collect();
        let report = finish(handle_batch(self.0.invocation(), deliveries));
        assert!(report.failures.is_empty(), "a request is met or given up");
        for receipt in &receipts {
            self.0.twin.queues.borrow_mut().delete(&queue, receipt);
        }
    }

    /// Runs `rotate` on its schedule.
    fn schedule(&self) -> Vec<Metric> {
        let report = finish(run_job(self.0.invocation(), Job::Refresh));
        assert_eq!(report.failed, None);
        report.metrics
    }

    fn refresh(&self, reason: Reason<'_>) -> Refreshed {
        finish(refresh(self.0.invocation(), "hubspot", reason)).unwrap()
    }

    /// How often the token endpoint was called.
    fn exchanges(&self) -> u64 {
        self.0.at("hubspot", |crm| crm.stats().get("calls.token").copied().unwrap_or(0))
    }

    fn contacts(&self) -> usize {
        self.0.records("hubspot", "contacts").len()
    }

    fn lost_nothing(&self) {
        assert_eq!(self.0.parked("hubspot"), Vec::<String>::new());
        assert!(self.0.control("t#").is_empty(), "an attempt was used up");
    }
}

/// The client, as a person stored it.
fn client() -> Credential {
    let Options { client_id, client_secret, .. } = Options::default();
    Credential { client_id: Some(client_id), client_secret: Some(client_secret), ..Credential::default() }
}

fn measured(metrics: &[Metric], name: &str) -> Vec<f64> {
    metrics.iter().filter(|metric| metric.name == name).map(|metric| metric.value).collect()
}

#[test]
fn work_waits_for_a_token_that_is_over_without_using_up_an_attempt() {
    let live = Live::new();
    live.wait(31 * MINUTE);
    let report = live.0.push("hubspot", &[live.contact("ada")]);
    assert_eq!((report.failures.len(), live.contacts(), live.exchanges()), (1, 0, 0));
    assert_eq!(live.requests(), [RefreshRequest { connection: "hubspot".into(), version: "first".into(), refused: false }]);
    live.rotate();
    live.0.run("hubspot", MINUTE);
    assert_eq!((live.contacts(), live.exchanges()), (1, 1));
    assert_eq!(finish(paused(&live.0.twin, "hubspot")).unwrap(), None);
    live.lost_nothing();
}

#[test]
fn a_token_that_is_refused_before_its_end_is_refreshed() {
    let live = Live::new();
    live.0.at("hubspot", |crm| crm.endpoint().unwrap().expire(NOW_MS));
    live.0.push("hubspot", &[live.contact("ada")]);
    assert!(live.requests()[0].refused);
    live.rotate();
    live.0.run("hubspot", MINUTE);
    assert_eq!((live.contacts(), live.exchanges()), (1, 1));
    assert_eq!(finish(paused(&live.0.twin, "hubspot")).unwrap(), None);
    live.lost_nothing();
}

#[test]
fn many_workers_send_one_request_and_the_next_one_only_after_a_while() {
    let live = Live::new();
    live.wait(31 * MINUTE);
    for id in ["a", "b", "c"] {
        live.0.push("hubspot", &[live.contact(id)]);
    }
    assert_eq!(live.requests().len(), 1);
    live.0.run("hubspot", MINUTE);
    assert!((2..=4).contains(&live.requests().len()), "the request that was lost is sent again");
    live.rotate();
    assert_eq!(live.exchanges(), 1, "the other requests name a version that is replaced by then");
    live.0.run("hubspot", 2 * MINUTE);
    assert_eq!(live.contacts(), 3);
    live.lost_nothing();
}

#[test]
fn what_is_left_of_a_token_is_used_while_a_new_one_is_on_its_way() {
    let live = Live::new();
    live.wait(29 * MINUTE + 30_000);
    live.0.push("hubspot", &[live.contact("ada")]);
    assert_eq!((live.contacts(), live.requests().len()), (1, 1));
}

#[test]
fn the_schedule_refreshes_ahead_of_the_end() {
    let live = Live::new();
    live.wait(10 * MINUTE);
    assert_eq!(measured(&live.schedule(), "credentials_refused"), [0.0, 0.0]);
    assert_eq!(live.exchanges(), 0, "20 minutes are left");
    live.wait(11 * MINUTE);
    let before = live.stored();
    live.schedule();
    let now = live.stored();
    assert_ne!((&now.access_token, &now.refresh_token), (&before.access_token, &before.refresh_token));
    assert_eq!(now.client_secret, before.client_secret);
    live.0.push("hubspot", &[live.contact("ada")]);
    assert_eq!((live.contacts(), live.requests().len()), (1, 0));
}

#[test]
fn a_lost_answer_is_followed_by_the_same_refresh_token() {
    let live = Live::new();
    live.0.at("hubspot", |crm| crm.fault(Fault::always(FaultKind::LoseAnswer).on(TOKEN_URL).times(1)));
    assert_eq!(live.refresh(Reason::Refused("first")), Refreshed::Stored);
    assert_eq!(live.exchanges(), 2);
    live.0.at("hubspot", |crm| assert!(crm.endpoint().unwrap().over().is_empty()));
    live.0.push("hubspot", &[live.contact("ada")]);
    assert_eq!(live.contacts(), 1);
}

#[test]
fn an_endpoint_out_of_order_is_tried_again_later_and_nothing_is_paused() {
    let live = Live::new();
    live.wait(31 * MINUTE);
    let outage = FaultKind::Status { status: 503, retry_after_s: None };
    live.0.at("hubspot", |crm| crm.fault(Fault::always(outage).on(TOKEN_URL)));
    live.0.push("hubspot", &[live.contact("ada")]);
    assert_eq!(measured(&live.schedule(), "credentials_refused"), [1.0, 1.0], "the alarm may go off: the token is over");
    assert_eq!(live.refresh(Reason::NearEnd("first")), Refreshed::Busy, "it first lets some time pass");
    live.0.run("hubspot", 10 * MINUTE);
    live.0.at("hubspot", |crm| crm.clear_faults());
    live.wait(6 * MINUTE);
    live.schedule();
    live.0.run("hubspot", 20 * MINUTE);
    assert_eq!(live.contacts(), 1);
    assert_eq!(finish(paused(&live.0.twin, "hubspot")).unwrap(), None);
    live.lost_nothing();
}

#[test]
fn a_pair_that_a_killed_worker_left_pending_becomes_the_current_one() {
    let live = Live::new();
    let refresh = live.stored().refresh_token.unwrap();
    let pair = live.0.at("hubspot", |crm| {
        let body = format!(
            "grant_type=refresh_token&client_id=sandbox-client&client_secret=sandbox-client-secret&refresh_token={refresh}"
        );
        let headers = [("content-type".to_owned(), "application/x-www-form-urlencoded".to_owned())];
        let answer = crm.handle(&sandbox::Request::new("POST", "/oauth/v3/token", &headers, body.as_bytes()), NOW_MS).value();
        let text = |name: &str| answer[name].as_str().unwrap().to_owned();
        Pair { access: text("access_token"), refresh: text("refresh_token") }
    });
    let left = Credential { replaces: Some("first".into()), made_as: Some("second".into()), ..live.credential(&pair) };
    finish(live.0.twin.put_pending("crm/api", "second", &left.to_secret())).unwrap();
    assert_eq!(live.refresh(Reason::Refused("first")), Refreshed::Newer);
    assert_eq!((live.version().as_str(), live.exchanges()), ("second", 1), "nobody else went to the endpoint");
    assert_eq!(live.refresh(Reason::Refused("second")), Refreshed::Stored);
    assert_eq!(live.exchanges(), 2, "what was promoted is not pending any more");
}

#[test]
fn a_grant_that_is_gone_pauses_until_a_person_connects_again() {
    let live = Live::new();
    live.0.at("hubspot", |crm| crm.endpoint().unwrap().revoke());
    live.0.push("hubspot", &[live.contact("ada")]);
    live.rotate();
    let pause = finish(paused(&live.0.twin, "hubspot")).unwrap().unwrap();
    assert!(pause.reason.contains("`invalid_grant`") && pause.reason.contains("`hub connect hubspot`"), "{}", pause.reason);
    assert_eq!(measured(&live.schedule(), "credentials_refused"), [1.0, 0.0]);
    let exchanges = live.exchanges();
    live.schedule();
    assert_eq!(live.exchanges(), exchanges, "nothing is tried while only a person can help");
    live.0.run("hubspot", MINUTE);
    assert_eq!(live.0.control("held#hubspot").len(), 1);
    finish(watch(live.0.invocation(), Watch::Watch)).unwrap();
    assert!(finish(paused(&live.0.twin, "hubspot")).unwrap().is_some());
    live.store("second", &live.credential(&live.agree()));
    finish(watch(live.0.invocation(), Watch::Watch)).unwrap();
    assert_eq!(finish(paused(&live.0.twin, "hubspot")).unwrap(), None);
    live.0.run("hubspot", MINUTE);
    assert_eq!((live.contacts(), live.0.control("held#").len()), (1, 0));
    assert_eq!(measured(&live.schedule(), "credentials_refused"), [0.0, 0.0]);
    live.lost_nothing();
}

#[test]
fn a_key_that_nothing_refreshes_pauses_until_another_one_is_stored() {
    let live = Live::new();
    live.store("key-1", &Credential { access_token: "unknown".into(), ..Credential::default() });
    live.0.push("hubspot", &[live.contact("ada")]);
    assert!(finish(paused(&live.0.twin, "hubspot")).unwrap().is_some());
    assert_eq!((live.requests().len(), live.exchanges()), (0, 0));
    live.0.run("hubspot", 2 * MINUTE);
    live.0.at("hubspot", |crm| crm.allow_token("good", None));
    live.store("key-2", &Credential { access_token: "good".into(), ..Credential::default() });
    finish(watch(live.0.invocation(), Watch::Watch)).unwrap();
    live.0.run("hubspot", MINUTE);
    assert_eq!(live.contacts(), 1);
}

#[test]
fn a_request_for_a_version_that_was_replaced_makes_no_call() {
    let live = Live::new();
    assert_eq!(live.refresh(Reason::Refused("first")), Refreshed::Stored);
    assert_eq!(live.refresh(Reason::Refused("first")), Refreshed::Newer);
    assert_eq!(live.exchanges(), 1);
}

#[test]
fn new_tokens_that_are_refused_as_well_end_in_a_pause() {
    let live = Live::new();
    for _ in 0..3 {
        assert_eq!(live.refresh(Reason::Refused(&live.version())), Refreshed::Stored);
        live.wait(MINUTE);
    }
    assert_eq!(live.refresh(Reason::Refused(&live.version())), Refreshed::Refused);
    assert_eq!(live.exchanges(), 3);
    let pause = finish(paused(&live.0.twin, "hubspot")).unwrap().unwrap();
    assert!(pause.reason.contains("not refused because of their age"), "{}", pause.reason);
}

#[test]
fn tokens_that_end_unannounced_every_quarter_of_an_hour_are_no_reason_for_a_pause() {
    let live = Live::new();
    for _ in 0..8 {
        assert_eq!(live.refresh(Reason::Refused(&live.version())), Refreshed::Stored);
        live.wait(15 * MINUTE);
    }
}

#[test]
fn client_credentials_are_enough_to_begin_with() {
    let live = Live::new();
    live.store("second", &Credential { grant: Some(Grant::ClientCredentials), ..client() });
    live.0.push("salesforce", &[live.contact("ada")]);
    live.rotate();
    live.0.run("salesforce", MINUTE);
    assert_eq!(live.0.records("salesforce", "Contact").len(), 1);
    assert_eq!(live.stored().expires_at.map(|at| at > NOW_MS), Some(true));
}

#[test]
fn the_end_of_a_grant_is_announced_30_and_7_days_ahead() {
    let live = Live::with(Options { lifetime_s: 400 * 86_400, ..Options::default() });
    let day = 24 * 60 * MINUTE;
    let ends = NOW_MS + 60 * 86_400_000;
    let credential = live.stored();
    live.store("second", &Credential { grant_ends_at: Some(ends), expires_at: Some(ends), ..credential });
    let mut near = Vec::new();
    for passed in 0..60 {
        if measured(&live.schedule(), "grant_ending")[0] > 0.0 {
            near.push(60 - passed);
        }
        live.wait(day);
    }
    assert_eq!(near, [30, 7, 6, 5, 4, 3, 2, 1]);
    assert_eq!(live.0.control("refresh#hubspot").iter().filter(|item| item.key.sk.starts_with("announced#")).count(), 2);
}

#[test]
fn nothing_of_a_secret_is_in_a_pause_or_a_request() {
    let live = Live::new();
    live.0.push("hubspot", &[live.contact("ada")]);
    live.wait(31 * MINUTE);
    live.0.push("hubspot", &[live.contact("bob")]);
    live.0.at("hubspot", |crm| crm.endpoint().unwrap().revoke());
    live.rotate();
    let mut text = format!("{:?}", live.0.control("")) + &json!(live.requests()).to_string();
    text += &finish(paused(&live.0.twin, "hubspot")).unwrap().unwrap().reason;
    let secrets = [live.stored().access_token, live.stored().refresh_token.unwrap(), Options::default().client_secret];
    secrets.iter().for_each(|secret| assert!(!text.contains(secret.as_str()), "{secret}"));
}
