//! Plays the day on a running hub: sends, edits, outages, rotations and kills, each at its time; then waits, reconciles and reports.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use canonical::{Outcome, QueueName};
use sandbox::server::{Shared, now_ms};
use sandbox::{Fault, FaultKind, IDS_AND_TIMES};
use serde_json::{Map, Value};
use sync::failure::Failure;
use sync::ports::{SecretVersions, Secrets};
use sync::record::journal::{count_outcomes, day as day_of};
use testkit::sim::Rng;
use tokio::task::JoinSet;

use super::day::{Action, Day, Step};
use super::expect;
use super::import::{Imported, plan_and_import};
use super::providers::Script;
use super::report::{Progress, Report};
use super::send::{Senders, copies};
use crate::files::root;
use crate::latencies::Latencies;
use crate::operate::status::accounts;
use crate::operate::{Ports, dlq};
use crate::out::{CommandError, print};
use crate::queues::{dead_letter_queues, work_queues};
use crate::stack::{FUNCTIONS, LOCAL_SECRETS, Running, agree};
use crate::text::instant;

/// The day passes this many times faster than its script.
const PACE: i64 = 40;
/// How long the day lasts by its script, in seconds.
const DAY_S: i64 = 430;
/// How long nothing must move before the day is over.
const QUIET: Duration = Duration::from_millis(1_500);
/// How long the demo waits for the outcomes of one webhook.
const OUTCOME_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the demo waits for anything else.
const TIMEOUT: Duration = Duration::from_secs(300);
/// How often the demo looks again while it waits.
const POLL: Duration = Duration::from_millis(100);

/// How the day is played.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// The seed of order and duplicates.
    pub seed: u64,
    /// How often each function is killed.
    pub kills: u32,
}

/// Plays the day, reconciles and prints the report. True when the result is the expected one.
pub async fn play(
    running: &Arc<Running>,
    scripts: Vec<Script>,
    latencies: Latencies,
    options: Options,
) -> Result<bool, CommandError> {
    let names = running.hub.connections.keys();
    let routes = names.filter_map(|name| Some((name.to_string(), running.route(name)?))).collect();
    let demo = Demo {
        running: Arc::clone(running),
        senders: Arc::new(Senders::new(routes)),
        scripts: Arc::new(scripts),
        options,
        done: Arc::default(),
    };
    let report = demo.play(&latencies).await?;
    print(report.render())?;
    Ok(report.is_as_expected())
}

/// The demo while it runs. Its tasks share it.
#[derive(Clone)]
struct Demo {
    running: Arc<Running>,
    senders: Arc<Senders>,
    scripts: Arc<Vec<Script>>,
    options: Options,
    /// The number of deliveries and actions that are done.
    done: Arc<AtomicUsize>,
}

impl Demo {
    async fn play(&self, latencies: &Latencies) -> Result<Report, CommandError> {
        let folder = root().join("infra/hub/demo");
        let started = Instant::now();
        let begin_s = begin(now_ms() / 1000);
        let day = Day::read(&folder, begin_s)?;
        self.create_existing(&day, begin_s)?;
        // Sweeps begin with the connection: the records that exist already are taken in when somebody asks for them.
        let taken = self.reconcile("sweep").await?;
        if taken["read"] != 0 {
            self.senders.report(format!("the first sweep read {} old records", taken["read"]));
        }
        let mut progress = Progress::new();
        let mut tasks = JoinSet::new();
        let total = self.schedule(&day, &mut tasks);
        let kills = tokio::spawn(self.clone().kill_functions());
        while tasks.try_join_next().is_some() || !tasks.is_empty() {
            progress.show("the day", self.done.load(Ordering::Relaxed), total, &self.queued());
            tokio::time::sleep(POLL).await;
        }
        let kills = kills.await.unwrap_or_default();
        self.wait_until_quiet(&mut progress, "waiting for the queues", total).await?;
        let seconds = started.elapsed().as_secs_f64();
        let mut jobs = Vec::new();
        for job in ["sweep", "full"] {
            jobs.push((job, self.reconcile(job).await?));
            self.wait_until_quiet(&mut progress, "reconciling", total).await?;
        }
        let written = self.rows_written();
        let last = self.reconcile("full").await?;
        self.wait_until_quiet(&mut progress, "reconciling", total).await?;
        let needless = self.rows_written() - written;
        let before = self.rows_created();
        let imported = plan_and_import(&self.running).await?;
        self.wait_until_quiet(&mut progress, "importing", total).await?;
        self.compare_created(&before, &imported);
        progress.clear();
        let ports = self.running.ports();
        Ok(Report {
            accounts: accounts(&ports, &self.running.hub, 2).await?,
            parked: self.parked().await?,
            scripts: self.scripts.to_vec(),
            sent: self.senders.sent(),
            faults: self.senders.faults(),
            crms: self.crms().map(|(name, crm)| (name.clone(), crm.lock().stats())).collect(),
            latencies: latencies.take(),
            differences: self.differences(&folder, begin_s)?,
            broken: day.steps.iter().filter(|step| matches!(step.action, Action::Broken(_))).count(),
            seconds,
            jobs,
            last,
            needless,
            imported: imported.results,
            kills,
            failed_invocations: self.running.stack.stats().into_iter().map(|(name, stats)| (name, stats.errors)).collect(),
        })
    }

    /// The stand-ins of the CRMs by connection.
    fn crms(&self) -> impl Iterator<Item = (&String, &Shared)> {
        self.running.sandboxes.servers.iter()
    }

    fn crm(&self, connection: &str) -> Option<&Shared> {
        self.running.sandboxes.servers.get(connection)
    }

    /// Creates the records that the CRMs hold before the day begins.
    fn create_existing(&self, day: &Day, begin_s: i64) -> Result<(), CommandError> {
        for record in &day.before {
            let (connection, object) = record.object.split_once('/').unwrap_or((&record.object, ""));
            let Some(crm) = self.crm(connection) else { continue };
            let created = crm.lock().seed(object, &record.set, (begin_s - 86_400) * 1000);
            created.map_err(|e| CommandError::Usage(format!("a record of `{}` cannot be created: {e}", record.object)))?;
        }
        Ok(())
    }

    /// Starts a task for each delivery and action. Returns their number.
    fn schedule(&self, day: &Day, tasks: &mut JoinSet<()>) -> usize {
        let mut rng = Rng::new(self.options.seed);
        // The kills need a second each, and must fall into the day.
        let second_ms = (i64::from(self.options.kills.max(10)) * 1_000 / DAY_S).max(1_000 / PACE);
        let mut total = 0;
        for Step { at, action } in &day.steps {
            let at_ms = u64::try_from(at * second_ms).unwrap_or_default();
            let delays = if matches!(action, Action::Send(_)) { copies(&mut rng) } else { vec![0] };
            for delay in delays {
                let (demo, action) = (self.clone(), action.clone());
                total += 1;
                tasks.spawn(async move {
                    tokio::time::sleep(Duration::from_millis(at_ms + delay)).await;
                    demo.act(&action).await;
                    demo.done.fetch_add(1, Ordering::Relaxed);
                });
            }
        }
        for script in self.scripts.iter() {
            total += script.webhooks.len();
            let (demo, script) = (self.clone(), script.clone());
            tasks.spawn(async move {
                if let Err(error) = demo.play_script(&script).await {
                    demo.senders.report(format!("{}: {error}", script.connection));
                }
            });
        }
        total
    }

    /// Sends a script's webhooks, each after the events of the one before have their outcomes, so that the outcomes do not depend on
    /// the order of arrival.
    async fn play_script(&self, script: &Script) -> Result<(), CommandError> {
        let ports = self.running.ports();
        let mut events = 0;
        if let Some(first) = script.webhooks.first() {
            self.senders.send_unproven(&first.delivery).await;
        }
        for webhook in &script.webhooks {
            let times = if webhook.again { 2 } else { 1 };
            for _ in 0..times {
                self.senders.deliver(&webhook.delivery).await;
                events += webhook.events / times;
                wait_for_outcomes(&ports, &script.connection, events).await?;
            }
            self.done.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    async fn act(&self, action: &Action) {
        match action {
            Action::Send(delivery) | Action::Broken(delivery) => self.senders.deliver(delivery).await,
            Action::Refused { connection } => self.senders.send_forged(connection).await,
            Action::Rotate { connection } => self.rotate(connection).await,
            Action::Edit { connection, object, of, set } => self.edit(connection, object, of, set).await,
            Action::Create { connection, object, set } => {
                if let Some(crm) = self.crm(connection) {
                    let _ = crm.lock().create(object, set, now_ms());
                }
            }
            Action::Expire { connection } => self.expire(connection),
            Action::Revoke { connection, seconds } => {
                if let Err(error) = self.revoke(connection, *seconds).await {
                    self.senders.report(format!("{connection}: it cannot be connected again: {error}"));
                }
            }
            Action::Outage { connection, seconds } => {
                if let Some(crm) = self.crm(connection) {
                    let now = now_ms();
                    let down = Fault::always(FaultKind::Status { status: 503, retry_after_s: None });
                    crm.lock().fault(down.between(now, now + i64::from(*seconds) * 1_000));
                }
            }
        }
    }

    /// Edits a record as soon as it exists.
    async fn edit(&self, connection: &str, object: &str, of: &Map<String, Value>, set: &Map<String, Value>) {
        let Some(crm) = self.crm(connection) else { return };
        let started = Instant::now();
        while started.elapsed() < TIMEOUT {
            let id = find_record(&crm.lock().dump(), object, of);
            if let Some(id) = id {
                let edited = crm.lock().edit(object, &id, set, now_ms());
                if let Err(refused) = edited {
                    self.senders.report(format!("{connection}: an edit of {object} was refused: {refused}"));
                }
                return;
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Rotates a connection's signing secret. Its sender uses the new one as soon as it is current.
    async fn rotate(&self, connection: &str) {
        let Some(name) = self.running.hub.connections.get(connection).and_then(|c| c.signing_secret.clone()) else { return };
        let before = self.current_secret(&name).await;
        // Refused while another rotation runs. Then we wait for that one.
        let _ = self.running.stack.rotate(&format!("{LOCAL_SECRETS}{name}"));
        for _ in 0..200 {
            tokio::time::sleep(POLL).await;
            if let Some(secret) = self.current_secret(&name).await
                && Some(&secret) != before.as_ref()
            {
                return self.senders.use_secret(connection, &secret);
            }
        }
        if self.options.kills == 0 {
            self.senders.report(format!("{connection}: the rotation of its signing secret did not end"));
        }
    }

    /// Ends the access tokens of a CRM, and loses the answer to the next request of a new one.
    fn expire(&self, connection: &str) {
        let Some(crm) = self.crm(connection) else { return };
        let mut crm = crm.lock();
        crm.fault(Fault::always(FaultKind::LoseAnswer).on("/token").times(1));
        crm.endpoint().into_iter().for_each(|endpoint| endpoint.expire(now_ms()));
    }

    /// Withdraws the grants of a CRM. After some time a person connects it again: a new pair of tokens is stored, and the watch
    /// resumes the connection.
    async fn revoke(&self, connection: &str, seconds: u32) -> Result<(), CommandError> {
        let (Some(crm), ports) = (self.crm(connection), self.running.ports()) else { return Ok(()) };
        crm.lock().endpoint().into_iter().for_each(sandbox::TokenEndpoint::revoke);
        tokio::time::sleep(Duration::from_secs(u64::from(seconds))).await;
        let Some(credential) = agree(crm, self.running.client_secret(connection)) else { return Ok(()) };
        let secret = ports.secret_name(&format!("{connection}/api"));
        let (version, from) =
            (format!("connected-again-{:020}", now_ms()), ports.current_version(&secret).await.map_err(Failure::from)?);
        ports.put_pending(&secret, &version, &credential.to_secret()).await.map_err(Failure::from)?;
        ports.promote(&secret, &version, from.as_deref()).await.map_err(Failure::from)?;
        // The local stack's schedules are off in the demo.
        self.reconcile("watch").await.map(drop)
    }

    async fn current_secret(&self, name: &str) -> Option<String> {
        self.running.ports().secret(name, true).await.ok()?.current
    }

    /// Kills each function as often as the options say while it works. Returns the number of killed processes by function.
    async fn kill_functions(self) -> BTreeMap<String, usize> {
        let mut rng = Rng::new(self.options.seed ^ 0x6b69_6c6c);
        let span_ms = u64::from(self.options.kills) * 1_000;
        let mut plan: Vec<(u64, &str)> = Vec::new();
        for function in FUNCTIONS {
            plan.extend((0..self.options.kills).map(|_| (500 + rng.below(span_ms), *function)));
        }
        plan.sort_unstable();
        let started = Instant::now();
        let mut killed: BTreeMap<String, usize> = BTreeMap::new();
        for (at_ms, function) in plan {
            tokio::time::sleep(Duration::from_millis(at_ms).saturating_sub(started.elapsed())).await;
            self.give_work(function, &mut rng).await;
            *killed.entry(function.to_owned()).or_default() += self.running.stack.kill(function).unwrap_or(0);
        }
        killed
    }

    /// Starts work for a function that the day itself does not keep busy, so that the kill interrupts something.
    async fn give_work(&self, function: &str, rng: &mut Rng) {
        let demo = self.clone();
        match function {
            "reconcile" => drop(tokio::spawn(async move { demo.running.stack.trigger("reconcile", "sweep").await })),
            "rotate" => drop(tokio::spawn(async move { demo.rotate("form").await })),
            _ => return,
        }
        tokio::time::sleep(Duration::from_millis(10 + rng.below(60))).await;
    }

    /// The number of messages in each queue, dead letters apart.
    fn queued(&self) -> Vec<(QueueName, usize)> {
        let count = |queue: &QueueName| self.running.stack.counts(queue).map_or(0, |counts| counts.total());
        work_queues(&self.running.hub).into_iter().map(|queue| (queue.clone(), count(&queue))).collect()
    }

    /// Waits until no message is in a queue and no webhook of a CRM is due.
    async fn wait_until_quiet(&self, progress: &mut Progress, phase: &str, total: usize) -> Result<(), CommandError> {
        let started = Instant::now();
        let mut since = Instant::now();
        while since.elapsed() < QUIET {
            let queued = self.queued();
            let webhooks = self.crms().any(|(_, crm)| crm.lock().next_webhook_ms().is_some());
            if webhooks || queued.iter().any(|(_, count)| *count > 0) {
                since = Instant::now();
            }
            if started.elapsed() > TIMEOUT {
                return Err(CommandError::Backend(format!("the queues do not become empty: {queued:?}; see .hub/demo/logs")));
            }
            progress.show(phase, self.done.load(Ordering::Relaxed), total, &queued);
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// The number of records that the hub has created, by CRM.
    fn rows_created(&self) -> BTreeMap<String, u64> {
        let created = |crm: &Shared| crm.lock().stats().get("rows.created").copied().unwrap_or(0);
        self.crms().map(|(name, crm)| (name.clone(), created(crm))).collect()
    }

    /// Reports where an import differs from its plan.
    fn compare_created(&self, before: &BTreeMap<String, u64>, imported: &Imported) {
        imported.faults.iter().for_each(|fault| self.senders.report(fault.clone()));
        for (name, after) in self.rows_created() {
            let created = after - before.get(&name).copied().unwrap_or(0);
            let planned = imported.created.get(&name).copied().unwrap_or(0);
            if created != planned {
                self.senders.report(format!("the import created {created} records at {name}, and its plan said {planned}"));
            }
        }
    }

    /// The number of rows that the hub has written to the CRMs so far.
    fn rows_written(&self) -> u64 {
        let rows = |stats: BTreeMap<String, u64>| {
            stats.iter().filter(|(name, _)| name.starts_with("rows.")).map(|(_, n)| n).sum::<u64>()
        };
        self.crms().map(|(_, crm)| rows(crm.lock().stats())).sum()
    }

    /// Runs a job of `reconcile`. Gives its report.
    async fn reconcile(&self, job: &str) -> Result<Value, CommandError> {
        let answer = self.running.stack.trigger("reconcile", job).await;
        let answer = answer.map_err(|e| CommandError::backend(&format!("the job `{job}` failed"), e))?;
        serde_json::from_slice(&answer).map_err(|e| CommandError::backend(&format!("the report of `{job}` cannot be read"), e))
    }

    /// The number of parked messages by code.
    async fn parked(&self) -> Result<BTreeMap<String, usize>, Failure> {
        let mut codes = BTreeMap::new();
        for message in dlq::receive_all(&self.running.ports(), &dead_letter_queues(&self.running.hub)).await? {
            *codes.entry(message.code().to_owned()).or_default() += 1;
        }
        Ok(codes)
    }

    fn differences(&self, folder: &Path, begin_s: i64) -> Result<Vec<String>, CommandError> {
        let date = |seconds: i64| instant(seconds * 1000).chars().take(10).collect::<String>();
        let (day, today) = (date(begin_s), date(now_ms() / 1000));
        let mut expected = expect::expected(folder, &day, &today)?;
        self.scripts.iter().for_each(|script| expect::add(&script.expect, &day, &today, &mut expected));
        let mut found = expect::Records::new();
        for (name, crm) in self.crms() {
            expect::found(name, &crm.lock().comparable(IDS_AND_TIMES), &mut found);
        }
        Ok(expect::differences(&expected, &found))
    }
}

/// Waits until this many events of a connection have an outcome.
async fn wait_for_outcomes<P: Ports>(ports: &P, connection: &str, events: u64) -> Result<(), CommandError> {
    let started = Instant::now();
    let mut finished = 0;
    while started.elapsed() < OUTCOME_TIMEOUT {
        finished = 0;
        for day in [day_of(ports.now_ms()), day_of(ports.now_ms()) - 1] {
            let totals = count_outcomes(ports, connection, day).await.map_err(Failure::from)?;
            finished += totals.iter().filter(|(outcome, _)| *outcome != Outcome::InFlight).map(|(_, n)| n).sum::<u64>();
        }
        if finished >= events {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    Err(CommandError::Backend(format!("after {finished} of {events} events, the next one never reached an outcome")))
}

/// The id of the first record that is not archived and has these properties.
fn find_record(dump: &Value, object: &str, of: &Map<String, Value>) -> Option<String> {
    let fits = |row: &&Value| row["archived"].is_null() && of.iter().all(|(name, value)| row["properties"][name] == *value);
    let row = dump["objects"][object].as_array()?.iter().find(fits)?;
    row["id"].as_str().map(str::to_owned)
}

/// The first second of the day: some hours ago, so that people's edits in the CRMs, which happen now, are newer than all of it; and
/// such that the whole day has one date.
fn begin(now_s: i64) -> i64 {
    let begin = now_s - 6 * 3_600;
    let into_day = begin.rem_euclid(86_400);
    if into_day > 85_000 { begin - 7_200 } else { begin }
}
