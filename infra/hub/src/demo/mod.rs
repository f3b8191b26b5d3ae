//! `hub demo`: the main job on this machine, end to end. Plays a day of webhooks and of people who work in their CRMs, with
//! duplicates, disorder, forgeries, a burst and an outage, and compares the CRMs with what must be in them.

mod apis;
mod day;
mod expect;
mod providers;
mod report;
mod send;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use canonical::Outcome;
use local::{Event, Observer, Schedules};
use sandbox::{Fault, FaultKind};
use serde_json::{Map, Value};
use sync::record::journal::{count_outcomes, day as day_of};
use testkit::sim::Rng;
use tokio::task::JoinSet;

use crate::check::registry;
use crate::cli::{ConfigArgs, DemoArgs};
use crate::config::Loaded;
use crate::operate::open::queues;
use crate::out::{CommandError, root};
use crate::stack::{FUNCTIONS, Running, Setup, build, configuration, start};
use day::{Act, Day, What};
use providers::Part;
use report::{Progress, Report};
use send::{Senders, copies, current_secret};

/// How many times faster than its script the day passes.
const PACE: i64 = 40;
/// How long everything has to be quiet before the day is over.
const QUIET: Duration = Duration::from_millis(1_500);
/// When the demo gives up waiting for the outcome of one webhook.
const OUTCOME: Duration = Duration::from_secs(60);
/// When the demo gives up waiting.
const PATIENCE: Duration = Duration::from_secs(300);
/// Properties that differ from run to run: ids and times.
const IGNORED: &[&str] = &[
    "crm_hub_id",
    "CrmHubId__c",
    "hs_object_id",
    "createdate",
    "lastmodifieddate",
    "hs_lastmodifieddate",
    "Id",
    "CreatedDate",
    "LastModifiedDate",
    "SystemModstamp",
    "IsDeleted",
];

/// Milliseconds from webhook to CRM write, by destination.
type Latencies = Arc<Mutex<BTreeMap<String, Vec<f64>>>>;

/// Runs the command.
pub fn run(args: &DemoArgs) -> Result<ExitCode, CommandError> {
    let registry = registry(&args.without)?;
    let default = configuration(&ConfigArgs { without: args.without.clone(), ..ConfigArgs::default() })?;
    let parts = providers::parts(&registry, &default.sound()?.hub)?;
    let sections: String = parts.iter().map(|part| format!("\n{}", part.section)).collect();
    let loaded = Loaded::with(&registry, &default.source.path, default.source.text + &sections, None);
    loaded.sound()?;
    eprintln!("building the functions …");
    let binaries = build(args.release)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|e| CommandError::Backend(format!("no runtime: {e}")))?;
    runtime.block_on(async {
        let latencies = Latencies::default();
        let mut setup = Setup::new(&loaded);
        setup.folder = root().join(".hub/demo");
        (setup.fresh, setup.speed, setup.schedules) = (true, args.speed, Schedules::Off);
        setup.observer = Some(observer(latencies.clone()));
        (setup.hubspot.seed, setup.salesforce.seed) = (args.seed, args.seed);
        setup.bases = bases(&parts).await.map_err(|e| CommandError::Backend(format!("no stand-in: {e}")))?;
        let running = start(setup, &loaded, &binaries).await?;
        let demo = Demo::new(running, parts, args, latencies);
        let sound = demo.play().await?;
        if args.keep {
            println!("the stack stays until Ctrl-C; ask it: cargo hub status --env .hub/demo/env");
            tokio::signal::ctrl_c().await.map_err(|e| CommandError::Backend(format!("no signals: {e}")))?;
        }
        demo.running.end().await;
        Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    })
}

/// Starts what stands for the APIs that are only read. Gives their base URLs by connection.
async fn bases(parts: &[Part]) -> std::io::Result<BTreeMap<String, String>> {
    let read: Vec<&Part> = parts.iter().filter(|part| part.section.contains("api_secret")).collect();
    let record = |part: &Part, path: &String, record: &String| (format!("/{}{path}", part.connection), record.clone());
    let all = read.iter().flat_map(|part| part.records.iter().map(|(path, text)| record(part, path, text)));
    let url = apis::serve(all.collect()).await?;
    Ok(read.iter().map(|part| (part.connection.clone(), format!("{url}/{}", part.connection))).collect())
}

/// Picks the measurements out of what `upsert` prints.
fn observer(latencies: Latencies) -> Observer {
    Arc::new(move |event| {
        let Event::Line { text, .. } = event else { return };
        if !text.contains("\"webhook_to_write\":[") {
            return;
        }
        let line: Value = serde_json::from_str(text).unwrap_or_default();
        let values = line["webhook_to_write"].as_array().into_iter().flatten().filter_map(Value::as_f64);
        let destination = line["connection"].as_str().unwrap_or_default().to_owned();
        latencies.lock().unwrap_or_else(PoisonError::into_inner).entry(destination).or_default().extend(values);
    })
}

/// The demo while it runs.
#[derive(Clone)]
struct Demo {
    running: Arc<Running>,
    senders: Arc<Senders>,
    parts: Arc<Vec<Part>>,
    latencies: Latencies,
    seed: u64,
    kills: u32,
    /// Deliveries and acts that are done.
    done: Arc<AtomicUsize>,
}

impl Demo {
    fn new(running: Running, parts: Vec<Part>, args: &DemoArgs, latencies: Latencies) -> Demo {
        let names = running.hub.connections.keys();
        let routes = names.filter_map(|name| Some((name.to_string(), running.route(name)?))).collect();
        Demo {
            running: Arc::new(running),
            senders: Arc::new(Senders::new(routes)),
            parts: Arc::new(parts),
            latencies,
            seed: args.seed,
            kills: args.kill,
            done: Arc::default(),
        }
    }

    /// Plays the day, reconciles, reports. True when everything is as it must be.
    async fn play(&self) -> Result<bool, CommandError> {
        let folder = root().join("infra/hub/demo");
        let begun = Instant::now();
        let begin_s = begin(sandbox::server::now_ms() / 1000);
        let day = Day::read(&folder, begin_s)?;
        self.before(&day, begin_s)?;
        let mut progress = Progress::new();
        let mut tasks = JoinSet::new();
        let total = self.schedule(&day, &mut tasks);
        let kills = tokio::spawn(self.clone().kill_often());
        while tasks.try_join_next().is_some() || !tasks.is_empty() {
            progress.show("the day", self.done.load(Ordering::Relaxed), total, &self.open());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let killed = kills.await.unwrap_or_default();
        self.quiet(&mut progress, "waiting for the queues", total).await?;
        let played = begun.elapsed();
        let mut jobs = Vec::new();
        for job in ["sweep", "full"] {
            jobs.push((job, self.reconcile(job).await?));
            self.quiet(&mut progress, "reconciling", total).await?;
        }
        let before = self.rows_written();
        let last = self.reconcile("full").await?;
        self.quiet(&mut progress, "reconciling", total).await?;
        let needless = self.rows_written() - before;
        progress.clear();
        let report = Report {
            accounts: self.accounts().await?,
            parked: self.parked().await?,
            parts: self.parts.to_vec(),
            seen: self.senders.seen(),
            wrong: self.senders.wrong(),
            crms: self.running.stands.shared.iter().map(|(name, stand)| (name.clone(), stand.lock().stats())).collect(),
            latencies: self.latencies.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            differences: self.differences(&folder, begin_s)?,
            broken: day.acts.iter().filter(|act| matches!(act.what, What::Broken(_))).count(),
            seconds: played.as_secs_f64(),
            jobs,
            last,
            needless,
            kills: killed,
            restarts: self.running.stack.stats().into_iter().map(|(name, stats)| (name, stats.errors)).collect(),
        };
        print!("{}", report.render());
        Ok(report.sound())
    }

    /// What the CRMs held before the hub came.
    fn before(&self, day: &Day, begin_s: i64) -> Result<(), CommandError> {
        for before in &day.before {
            let (connection, object) = before.place.split_once('/').unwrap_or((&before.place, ""));
            let Some(stand) = self.running.stands.shared.get(connection) else { continue };
            let seeded = stand.lock().seed(object, &before.set, (begin_s - 86_400) * 1000);
            seeded.map_err(|e| CommandError::Usage(format!("`{}` cannot be there before: {e}", before.place)))?;
        }
        Ok(())
    }

    /// Starts everything that happens at its time. Returns how many things that are.
    fn schedule(&self, day: &Day, tasks: &mut JoinSet<()>) -> usize {
        let mut rng = Rng::new(self.seed);
        let slow = i64::from(self.kills.max(10)) * 1_000 / 430;
        let mut total = 0;
        for Act { at, what } in &day.acts {
            let at_ms = u64::try_from(at * slow.max(1_000 / PACE)).unwrap_or_default();
            let times = if matches!(what, What::Send(_)) { copies(&mut rng) } else { vec![0] };
            for late in times {
                let (demo, what) = (self.clone(), what.clone());
                total += 1;
                tasks.spawn(async move {
                    tokio::time::sleep(Duration::from_millis(at_ms + late)).await;
                    demo.act(&what).await;
                    demo.done.fetch_add(1, Ordering::Relaxed);
                });
            }
        }
        for part in self.parts.iter() {
            total += part.sends.len();
            let (demo, part) = (self.clone(), part.clone());
            tasks.spawn(async move {
                if let Err(error) = demo.play_part(&part).await {
                    demo.senders.complain(format!("{}: {error}", part.connection));
                }
            });
        }
        total
    }

    /// A provider's part: each webhook when the one before has come to its end, so that the outcomes are those of the file.
    async fn play_part(&self, part: &Part) -> Result<(), CommandError> {
        let ports = self.running.ports()?;
        let mut events = 0;
        if let Some(first) = part.sends.first() {
            self.senders.forge(&first.delivery).await;
        }
        for send in &part.sends {
            let times = if send.again { 2 } else { 1 };
            for _ in 0..times {
                self.senders.deliver(&send.delivery).await;
                events += send.events / times;
                self.settled(&ports, &part.connection, events).await?;
            }
            self.done.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Until that many events of a connection have an outcome.
    async fn settled<P: crate::operate::Ports>(&self, ports: &P, connection: &str, events: u64) -> Result<(), CommandError> {
        let begun = Instant::now();
        while begun.elapsed() < OUTCOME {
            let mut ended = 0;
            for day in [day_of(ports.now_ms()), day_of(ports.now_ms()) - 1] {
                let totals = count_outcomes(ports, connection, day).await.map_err(|e| CommandError::Backend(e.to_string()))?;
                ended += totals.iter().filter(|(outcome, _)| *outcome != Outcome::InFlight).map(|(_, n)| n).sum::<u64>();
            }
            if ended >= events {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        Err(CommandError::Backend(format!("after its {events}. event the next one did not come to its end")))
    }

    async fn act(&self, what: &What) {
        match what {
            What::Send(delivery) | What::Broken(delivery) => self.senders.deliver(delivery).await,
            What::Refused { connection } => self.senders.knock(connection).await,
            What::Rotate { connection } => self.rotate(connection).await,
            What::Edit { connection, object, of, set } => self.edit(connection, object, of, set).await,
            What::Create { connection, object, set } => {
                if let Some(stand) = self.running.stands.shared.get(connection) {
                    let _ = stand.lock().create(object, set, sandbox::server::now_ms());
                }
            }
            What::Outage { connection, seconds } => {
                if let Some(stand) = self.running.stands.shared.get(connection) {
                    let now = sandbox::server::now_ms();
                    let down = Fault::always(FaultKind::Status { status: 503, retry_after_s: None });
                    stand.lock().fault(down.between(now, now + i64::from(*seconds) * 1_000));
                }
            }
        }
    }

    /// Somebody edits a record as soon as it is there.
    async fn edit(&self, connection: &str, object: &str, of: &Map<String, Value>, set: &Map<String, Value>) {
        let Some(stand) = self.running.stands.shared.get(connection) else { return };
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            let id = {
                let dump = stand.lock().dump();
                let rows = dump["objects"][object].as_array().cloned().unwrap_or_default();
                let fits = |row: &Value| row["archived"].is_null() && of.iter().all(|(name, v)| row["properties"][name] == *v);
                rows.iter().find(|row| fits(row)).and_then(|row| row["id"].as_str().map(str::to_owned))
            };
            if let Some(id) = id {
                let edited = stand.lock().edit(object, &id, set, sandbox::server::now_ms());
                if let Err(refused) = edited {
                    self.senders.complain(format!("{connection}: an edit of {object} was {refused}"));
                }
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Rotates a connection's signing secret; its sender learns the new one when it is current.
    async fn rotate(&self, connection: &str) {
        let Some(name) = self.running.hub.connections.get(connection).and_then(|c| c.signing_secret.clone()) else { return };
        let before = current_secret(&self.running, connection).await.ok().flatten();
        // Refused while another rotation is under way, which then is the one to wait for.
        let _ = self.running.stack.rotate(&format!("{}{name}", crate::stack::SECRET_PREFIX));
        for _ in 0..200 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            if let Ok(Some(secret)) = current_secret(&self.running, connection).await
                && Some(&secret) != before.as_ref()
            {
                return self.senders.learn(connection, &secret);
            }
        }
        if self.kills == 0 {
            self.senders.complain(format!("{connection}: the rotation of its signing secret did not come to an end"));
        }
    }

    /// Kills every function that many times while it works. Returns the number of killed processes by function.
    async fn kill_often(self) -> BTreeMap<String, usize> {
        let mut rng = Rng::new(self.seed ^ 0x6b69_6c6c);
        let span_ms = u64::from(self.kills) * 1_000;
        let mut plan: Vec<(u64, &str)> = Vec::new();
        for function in FUNCTIONS {
            plan.extend((0..self.kills).map(|_| (500 + rng.below(span_ms), *function)));
        }
        plan.sort_unstable();
        let begun = Instant::now();
        let mut killed: BTreeMap<String, usize> = BTreeMap::new();
        for (at_ms, function) in plan {
            tokio::time::sleep(Duration::from_millis(at_ms).saturating_sub(begun.elapsed())).await;
            self.give_work(function, &mut rng).await;
            *killed.entry(function.to_owned()).or_default() += self.running.stack.kill(function).unwrap_or(0);
        }
        killed
    }

    /// Functions that the day itself keeps busy need no more; the others are given something to be killed at.
    async fn give_work(&self, function: &str, rng: &mut Rng) {
        let demo = self.clone();
        match function {
            "reconcile" => drop(tokio::spawn(async move { demo.running.stack.trigger("reconcile", "sweep").await })),
            "rotate" => drop(tokio::spawn(async move { demo.rotate("form").await })),
            _ => return,
        }
        tokio::time::sleep(Duration::from_millis(10 + rng.below(60))).await;
    }

    /// Messages that wait, by queue.
    fn open(&self) -> Vec<(String, usize)> {
        let live = queues(&self.running.hub).into_iter().filter(|queue| !queue.ends_with("-dlq"));
        live.map(|queue| (self.running.stack.counts(&queue).map_or(0, |c| c.total()), queue)).map(|(n, q)| (q, n)).collect()
    }

    /// Until nothing moves any more: no message, no webhook of a CRM.
    async fn quiet(&self, progress: &mut Progress, what: &str, total: usize) -> Result<(), CommandError> {
        let begun = Instant::now();
        let mut since = Instant::now();
        while since.elapsed() < QUIET {
            let open = self.open();
            let webhooks = self.running.stands.shared.values().any(|stand| stand.lock().next_webhook_ms().is_some());
            if webhooks || open.iter().any(|(_, count)| *count > 0) {
                since = Instant::now();
            }
            if begun.elapsed() > PATIENCE {
                return Err(CommandError::Backend(format!("the queues do not get empty: {open:?}; see .hub/demo/logs")));
            }
            progress.show(what, self.done.load(Ordering::Relaxed), total, &open);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// Rows that the hub has written to the CRMs so far.
    fn rows_written(&self) -> u64 {
        let rows = |stats: BTreeMap<String, u64>| {
            stats.iter().filter(|(name, _)| name.starts_with("rows.")).map(|(_, n)| n).sum::<u64>()
        };
        self.running.stands.shared.values().map(|stand| rows(stand.lock().stats())).sum()
    }

    async fn reconcile(&self, job: &str) -> Result<Value, CommandError> {
        let answer = self.running.stack.trigger("reconcile", job).await;
        let answer = answer.map_err(|e| CommandError::Backend(format!("the {job} did not run: {e}")))?;
        serde_json::from_slice(&answer).map_err(|e| CommandError::Backend(format!("the {job} says nothing sensible: {e}")))
    }

    async fn accounts(&self) -> Result<Vec<crate::operate::status::Account>, CommandError> {
        let accounts = crate::operate::status::accounts(&self.running.ports()?, &self.running.hub, 2).await;
        accounts.map_err(|e| CommandError::Backend(e.to_string()))
    }

    /// The reasons of parked messages.
    async fn parked(&self) -> Result<BTreeMap<String, usize>, CommandError> {
        let (ports, mut codes) = (self.running.ports()?, BTreeMap::new());
        let parked = crate::operate::dlq::look(&ports, &crate::operate::dlq::queues(&self.running.hub)).await;
        for message in parked.map_err(|e| CommandError::Backend(e.to_string()))? {
            *codes.entry(message.code().to_owned()).or_default() += 1;
        }
        Ok(codes)
    }

    fn differences(&self, folder: &Path, begin_s: i64) -> Result<Vec<String>, CommandError> {
        let date = |seconds: i64| crate::operate::text::instant(seconds * 1000).chars().take(10).collect::<String>();
        let (day, today) = (date(begin_s), date(sandbox::server::now_ms() / 1000));
        let mut expected = expect::expected(folder, &day, &today)?;
        self.parts.iter().for_each(|part| expect::add(&part.expect, &day, &today, &mut expected));
        let mut found = expect::Records::new();
        for (name, stand) in &self.running.stands.shared {
            expect::found(name, &stand.lock().comparable(IGNORED), &mut found);
        }
        Ok(expect::differences(&expected, &found))
    }
}

/// The first second of the day: some hours ago, so that people's edits in the CRMs, which happen now, are later than all of it;
/// and all of it on one date.
fn begin(now_s: i64) -> i64 {
    let begin = now_s - 6 * 3_600;
    let into_day = begin.rem_euclid(86_400);
    if into_day > 85_000 { begin - 7_200 } else { begin }
}
