//! I12: fifty workers share an access token that ends, while answers are lost, requests arrive late, processes freeze and die, clocks
//! differ, and people withdraw what they granted. In the second scenario two environments hold the same grant by mistake.
//!
//! The handlers are those of `rotate`, `reconcile` and the client of every call. The witness sees what reaches the provider and what
//! becomes the current version of a secret.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use providers::api::{CallFailure, FailureKind, RowFailure, Target};
use sandbox::tokens::Options as EndpointOptions;
use sandbox::{HubSpot, Pair, Sandbox, TokenEndpoint, hubspot};
use serde_json::json;
use sync::batch::Invocation;
use sync::client::{CallError, Client};
use sync::config::Config;
use sync::credential::Credential;
use sync::failure::{Class, Failure};
use sync::pause::{pause_key, require_running};
use sync::ports::{HttpRequest, HttpResponse, Table};
use sync::reconcile::{Job as ReconcileJob, run_job as reconcile};
use sync::rotate::{Job as RotateJob, handle_batch, run_job as rotate};

use super::credential_ports::{HOST, Scene, TokenPorts};
use super::ports::{Faults, Shared, SimPorts};
use super::{Options, START_MS, Stats, Violation};
use crate::memory::QueueSettings;

/// How many workers there are, and how often each of them calls the provider.
const WORKERS: usize = 50;
const CALLS: usize = 10;
/// The calls begin within this time, in milliseconds.
const DAY_MS: i64 = 3 * 3_600_000;
/// Longest run, in milliseconds of virtual time.
const PATIENCE_MS: i64 = 12 * 3_600_000;
/// The time between two runs of the schedules, in milliseconds.
const PERIOD_MS: i64 = 300_000;
/// How long an invocation may take, in milliseconds.
const INVOCATION_MS: i64 = 60_000;
/// How long a frozen process runs on after that, in milliseconds.
const OVERSTAY_MS: i64 = 300_000;
const FAULTS: Faults = Faults { kill: 60, fail: 100, lose: 100, conflict: 150, stall: 40, late: 300, hang: 0 };

/// A scenario that is no script of webhooks.
pub type Scenario = fn(u64, Options) -> Result<Stats, Violation>;

/// The scenarios of this module.
pub const SCENARIOS: &[(&str, Scenario)] = &[
    ("credentials", |seed, options| run(seed, &["one"], options)),
    ("credentials-shared", |seed, options| run(seed, &["one", "other"], options)),
];

fn run(seed: u64, connections: &'static [&'static str], options: Options) -> Result<Stats, Violation> {
    sync::mutant::plant(options.mutant);
    let mut fleet = Fleet::new(seed, connections, options);
    let result = fleet.run();
    sync::mutant::plant(None);
    for line in fleet.shared.trace.iter().flat_map(RefCell::take) {
        println!("{line}");
    }
    result
}

/// What a task leaves behind.
enum Finished {
    /// A worker's call, by its number.
    Call(usize, Result<(), Failure>),
    /// A batch of requests: the receipts of the messages that are done.
    Requests(Vec<String>),
    /// A job of a schedule.
    Job,
}

struct Task {
    work: Pin<Box<dyn Future<Output = Finished>>>,
    wake: Rc<Cell<i64>>,
    deadline_ms: i64,
    /// The call that is to be made again if the task is killed.
    call: Option<usize>,
    requests: bool,
}

/// A call that a worker makes.
struct Call {
    due_ms: i64,
    connection: &'static str,
    running: bool,
    done: bool,
}

struct Fleet {
    shared: Rc<Shared>,
    scene: Rc<Scene>,
    config: Rc<Config>,
    connections: &'static [&'static str],
    calls: Vec<Call>,
    tasks: Vec<Task>,
    next_schedule_ms: i64,
    /// When a person withdraws the grants.
    revoke_ms: Option<i64>,
    stats: Stats,
}

impl Fleet {
    fn new(seed: u64, connections: &'static [&'static str], options: Options) -> Fleet {
        let shared = Shared { trace: options.trace.then(RefCell::default), ..Shared::new(seed, START_MS) };
        let mut rng = shared.rng.borrow_mut();
        let (lifetime_s, grace_s) = (*rng.pick(&[900, 1_800, 3_600]), *rng.pick(&[900, 1_800]));
        let calls = (0..WORKERS * CALLS)
            .map(|n| Call {
                due_ms: START_MS + rng.range(0, DAY_MS),
                connection: connections[n % connections.len()],
                running: false,
                done: false,
            })
            .collect();
        let revoke_ms = (rng.chance(4_000)).then(|| START_MS + rng.range(0, DAY_MS));
        drop(rng);
        let endpoint = EndpointOptions { lifetime_s, grace_s, ..EndpointOptions::default() };
        let account = HubSpot::new(hubspot::Options {
            seed,
            tokens: Vec::new(),
            endpoint: Some(endpoint),
            per_ten_seconds: 1_000_000,
            ..hubspot::Options::default()
        });
        shared.crms.borrow_mut().insert(HOST.to_owned(), Box::new(account));
        for name in ["refresh-dlq", "refresh"] {
            shared.queues.borrow_mut().create(name, QueueSettings { visibility_ms: 360_000, ..QueueSettings::default() });
        }
        shared.faults.set(if options.calm { Faults::NONE } else { FAULTS });
        let scene = Rc::new(Scene::default());
        let config = Rc::new(config(connections, grace_s));
        let fleet = Fleet {
            shared: Rc::new(shared),
            scene,
            config,
            connections,
            calls,
            tasks: Vec::new(),
            next_schedule_ms: START_MS + 60_000,
            revoke_ms,
            stats: Stats::default(),
        };
        // By mistake, the second environment was set up with a copy of the first one's secret.
        let pair = fleet.at_endpoint(|endpoint, now_ms| endpoint.connect(now_ms));
        connections.iter().for_each(|connection| fleet.store(connection, &pair));
        fleet
    }

    fn at_endpoint<T>(&self, act: impl FnOnce(&mut TokenEndpoint, i64) -> T) -> T {
        let now_ms = self.shared.now.get();
        let mut crms = self.shared.crms.borrow_mut();
        let account: &mut Box<dyn Sandbox> = crms.get_mut(HOST).unwrap_or_else(|| panic!("the account is there"));
        act(account.endpoint().unwrap_or_else(|| panic!("it has a token endpoint")), now_ms)
    }

    /// A person stores what `hub connect` stores.
    fn store(&self, connection: &str, pair: &Pair) {
        let options = EndpointOptions::default();
        let now_ms = self.shared.now.get();
        let credential = Credential {
            access_token: pair.access.clone(),
            refresh_token: Some(pair.refresh.clone()),
            client_id: Some(options.client_id),
            client_secret: Some(options.client_secret),
            granted_at: Some(now_ms),
            refreshed_at: Some(now_ms),
            ..Credential::default()
        };
        self.scene.store(&format!("{connection}/api"), &format!("person-{now_ms}"), &credential.to_secret());
    }

    fn run(&mut self) -> Result<Stats, Violation> {
        loop {
            self.begin_what_is_due();
            if let Some(violation) = self.scene.violation() {
                return Err(violation);
            }
            let idle = self.calls.iter().all(|call| call.done) && self.tasks.is_empty();
            if idle && self.shared.now.get() > START_MS + DAY_MS {
                break;
            }
            let next = self.next_time();
            if next > START_MS + PATIENCE_MS {
                let open = self.calls.iter().filter(|call| !call.done).count();
                return Err(Violation::new("I12", format!("{open} calls still wait for an access token")));
            }
            self.shared.now.set(self.shared.now.get().max(next));
            self.apply_late_requests();
            self.poll_tasks()?;
        }
        let lost = self.at_endpoint(|endpoint, _| endpoint.over().contains(&"reused"));
        if lost && self.connections.len() == 1 {
            return Err(Violation::new("I12", "a refresh token was used after its grace: the grant is lost"));
        }
        self.stats.steps = self.shared.steps.get();
        Ok(self.stats)
    }

    fn next_time(&self) -> i64 {
        let now = self.shared.now.get();
        let mut times: Vec<i64> = self.tasks.iter().map(|task| task.wake.get().min(task.deadline_ms)).collect();
        times.extend(self.calls.iter().filter(|call| !call.done && !call.running).map(|call| call.due_ms));
        times.extend(self.shared.late.borrow().iter().map(|(at, _, _)| *at));
        times.extend(self.revoke_ms);
        times.push(self.next_schedule_ms);
        if self.running_requests() < 2 {
            times.extend(self.shared.queues.borrow().next_visible("refresh"));
        }
        times.into_iter().min().unwrap_or(now).max(now)
    }

    fn running_requests(&self) -> usize {
        self.tasks.iter().filter(|task| task.requests).count()
    }

    fn begin_what_is_due(&mut self) {
        let now = self.shared.now.get();
        if self.revoke_ms.is_some_and(|at| at <= now) {
            self.revoke_ms = None;
            self.at_endpoint(|endpoint, _| endpoint.revoke());
        }
        for number in 0..self.calls.len() {
            let call = &mut self.calls[number];
            if call.due_ms <= now && !call.running && !call.done {
                call.running = true;
                let connection = call.connection;
                self.spawn(Some(number), false, move |ports, config, deadline_ms| async move {
                    Finished::Call(number, read(&ports, &config, connection, deadline_ms).await)
                });
            }
        }
        while self.running_requests() < 2 {
            let deliveries = self.shared.receive("refresh", 10);
            if deliveries.is_empty() {
                break;
            }
            self.spawn(None, true, move |ports, config, deadline_ms| async move {
                let receipts: Vec<(String, String)> = deliveries.iter().map(|d| (d.id.clone(), d.receipt.clone())).collect();
                let report = handle_batch(Invocation { ports: &ports, config: &config, deadline_ms }, deliveries).await;
                let done = receipts.into_iter().filter(|(id, _)| !report.failures.contains(id));
                Finished::Requests(done.map(|(_, receipt)| receipt).collect())
            });
        }
        if self.next_schedule_ms <= now {
            self.next_schedule_ms += PERIOD_MS;
            self.run_schedules();
        }
    }

    /// The two schedules, and a person who looks at the alarms.
    fn run_schedules(&mut self) {
        self.spawn(None, false, move |ports, config, deadline_ms| async move {
            rotate(Invocation { ports: &ports, config: &config, deadline_ms }, RotateJob::Refresh).await;
            Finished::Job
        });
        self.spawn(None, false, move |ports, config, deadline_ms| async move {
            let _ = reconcile(Invocation { ports: &ports, config: &config, deadline_ms }, ReconcileJob::Watch).await;
            Finished::Job
        });
        for connection in self.connections {
            let pause = self.shared.tables.borrow().get(Table::Control, &pause_key(connection));
            let current = self.scene.current(&format!("{connection}/api")).map(|(version, _)| version);
            // Whoever connects again does it once: after that the pause is about an older version.
            if pause.is_some_and(|pause| pause.s("version").map(str::to_owned) == current) {
                let pair = self.at_endpoint(|endpoint, now_ms| endpoint.connect(now_ms));
                self.store(connection, &pair);
            }
        }
    }

    fn spawn<F: Future<Output = Finished> + 'static>(
        &mut self,
        call: Option<usize>,
        requests: bool,
        work: impl FnOnce(TokenPorts, Rc<Config>, i64) -> F,
    ) {
        let now = self.shared.now.get();
        let skew = self.shared.rng.borrow_mut().range(-3_000, 3_000);
        let sim = SimPorts { shared: Rc::clone(&self.shared), wake: Rc::new(Cell::new(now)), skew };
        let wake = Rc::clone(&sim.wake);
        let process = call.map_or(0, |call| call % WORKERS);
        let ports = TokenPorts { sim, scene: Rc::clone(&self.scene), process };
        let work = Box::pin(work(ports, Rc::clone(&self.config), now + skew + INVOCATION_MS));
        self.stats.handlers += 1;
        self.tasks.push(Task { work, wake, deadline_ms: now + INVOCATION_MS + OVERSTAY_MS, call, requests });
    }

    fn apply_late_requests(&mut self) {
        let now = self.shared.now.get();
        let late = std::mem::take(&mut *self.shared.late.borrow_mut());
        let (due, rest) = late.into_iter().partition::<Vec<_>, _>(|(at, _, _)| *at <= now);
        *self.shared.late.borrow_mut() = rest;
        for (_, host, request) in due {
            self.shared.apply(&host, &request);
        }
    }

    fn poll_tasks(&mut self) -> Result<(), Violation> {
        let now = self.shared.now.get();
        let mut index = 0;
        while index < self.tasks.len() {
            let task = &mut self.tasks[index];
            if task.wake.get() > now && task.deadline_ms > now {
                index += 1;
                continue;
            }
            if task.deadline_ms <= now || self.shared.rng.borrow_mut().chance(self.shared.faults.get().kill) {
                let task = self.tasks.remove(index);
                self.stats.kills += 1;
                self.again(task.call, 5_000);
                continue;
            }
            task.wake.set(i64::MAX);
            match task.work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Pending => index += 1,
                Poll::Ready(result) => {
                    drop(self.tasks.remove(index));
                    self.finish(result)?;
                }
            }
        }
        Ok(())
    }

    fn finish(&mut self, result: Finished) -> Result<(), Violation> {
        match result {
            Finished::Call(number, Ok(())) => self.calls[number].done = true,
            Finished::Call(number, Err(failure)) => {
                let wait_ms = match failure.class {
                    Class::Throttled { after_ms } => i64::try_from(after_ms).unwrap_or(i64::MAX),
                    Class::Transient | Class::Conflict => 5_000,
                    Class::Auth => 60_000,
                    Class::Permanent | Class::Defect => {
                        return Err(Violation::new("I12", format!("{failure}: {}", failure.chain())));
                    }
                };
                self.again(Some(number), wait_ms);
            }
            Finished::Requests(receipts) => {
                let mut queues = self.shared.queues.borrow_mut();
                for receipt in &receipts {
                    queues.delete("refresh", receipt);
                }
            }
            Finished::Job => {}
        }
        Ok(())
    }

    fn again(&mut self, call: Option<usize>, wait_ms: i64) {
        let now = self.shared.now.get();
        if let Some(call) = call.map(|number| &mut self.calls[number]) {
            (call.running, call.due_ms) = (false, now + wait_ms);
        }
    }
}

/// Each connection calls the same account by a host of its own.
fn config(connections: &[&str], grace_s: i64) -> Config {
    let auth = json!({
        "form": "oauth2", "title": "app", "create": "Create one.", "url": "https://crm.test", "grants": ["refresh_token"],
        "token_url": "{base_url}/oauth/v1/token", "authorize_url": "https://crm.test/authorize", "lifetime_s": 1800,
        "rotates": true, "grace_s": grace_s,
    });
    let about = json!({ "name": "made-up", "title": "Made up" });
    let manifest = json!({ "provider": about, "webhook": { "scheme": { "form": "basic" } }, "api": { "auth": [auth] } });
    let packed = json!({ "manifest": manifest, "maps": [] }).to_string();
    let connection = |name: &str| {
        json!({ "provider": "made-up", "source": true, "lane": "urgent", "base_url": format!("https://{name}.{HOST}"),
            "api_secret": format!("{name}/api"), "owner": "simulator" })
    };
    let all: serde_json::Map<String, serde_json::Value> =
        connections.iter().map(|name| ((*name).to_owned(), connection(name))).collect();
    let hub = serde_json::from_value(json!({ "generation": 1, "connections": all }));
    let hub = hub.unwrap_or_else(|e| panic!("the scenario's configuration: {e}"));
    let providers: BTreeMap<String, String> = connections.iter().map(|name| ((*name).to_owned(), packed.clone())).collect();
    let pack = Config::pack(&hub, &providers).and_then(Config::open);
    pack.unwrap_or_else(|e| panic!("the scenario's configuration: {e}"))
}

/// What a worker does: one call with the connection's credentials.
async fn read(ports: &TokenPorts, config: &Config, connection: &str, deadline_ms: i64) -> Result<(), Failure> {
    require_running(ports, connection, "contacts").await?;
    let client = Client::open(ports, config, connection, deadline_ms)?;
    let request = |target: &Target| {
        let url = format!("{}/crm/v3/properties/contacts", target.base_url);
        Some(HttpRequest { method: "GET", url, headers: Vec::new(), body: Vec::new(), timeout_ms: 10_000 })
    };
    let answer = |_: &Target, response: &HttpResponse| -> Result<(), CallFailure> {
        match response.status {
            200..=299 => Ok(()),
            status => Err(RowFailure::new(FailureKind::of_status(response), format!("HTTP_{status}"), "")),
        }
    };
    client.call("contacts", request, answer).await.map_err(CallError::into_failure)
}
