//! The Lambda host: real function binaries behind the real Runtime API, with deadlines, kills and respawns.
//!
//! Known gaps, by name:
//! - A caller beyond a function's concurrency waits. AWS throttles it.
//! - Idle processes are neither frozen nor retired; `/tmp` and memory are not limited.
//! - No extensions, no response streaming, no `OnFailure` destinations, no versions or aliases, no execution roles.

mod instance;
mod report;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use serde_json::json;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};

use crate::ids::{now_ms, uuid};
use instance::{Failure, Instance, Invocation};
pub use report::{Event, FunctionStats, InvokeError, Observer};

/// How long a process may take until it polls for its first event.
const INIT_TIMEOUT: Duration = Duration::from_secs(10);
/// The pause before a process whose init failed is started again. It doubles up to [`MAX_BACKOFF`].
const BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(10);
/// How long an event waits for a process that is about to be free, before another process is started.
const PATIENCE: Duration = Duration::from_millis(200);

/// A function as the template describes it.
#[derive(Debug, Clone)]
pub(crate) struct FunctionConfig {
    pub logical: String,
    pub name: String,
    pub arn: String,
    pub binary: PathBuf,
    pub timeout: Duration,
    pub memory: u32,
    pub concurrency: usize,
    pub environment: BTreeMap<String, String>,
    pub async_retries: u32,
    pub async_delay: Duration,
}

#[derive(Default)]
struct Numbers {
    invocations: AtomicU64,
    errors: AtomicU64,
    timeouts: AtomicU64,
    starts: AtomicU64,
    deaths: AtomicU64,
    failed_inits: AtomicU32,
}

/// One function with its processes.
pub(crate) struct Function {
    config: FunctionConfig,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Arc<Instance>>>,
    all: Mutex<HashMap<u64, Arc<Instance>>>,
    numbers: Numbers,
    log: Option<Mutex<File>>,
    observer: Option<Observer>,
    stopping: AtomicBool,
    warming: AtomicBool,
    /// Processes that are about to be free, and the news that one is.
    soon_free: AtomicUsize,
    freed: Notify,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Function {
    fn name(&self) -> &str {
        &self.config.name
    }

    fn emit(&self, event: Event) {
        if let Some(observer) = &self.observer {
            observer(&event);
        }
        match event {
            Event::Line { .. } => {}
            Event::Started { instance, .. } => self.log(&format!("-- process {instance} started")),
            Event::Exited { instance, status, .. } => self.log(&format!("-- process {instance} ended: {status}")),
            Event::TimedOut { request_id, .. } => self.log(&format!("-- {request_id} timed out")),
            Event::Note { text, .. } => self.log(&format!("-- {text}")),
        }
    }

    fn line(&self, instance: u64, text: &str) {
        let text = text.trim_end_matches('\r').to_owned();
        self.log(&text);
        self.emit(Event::Line { function: self.name().into(), instance, text });
    }

    fn log(&self, line: &str) {
        if let Some(file) = &self.log {
            // A full disk must not stop the function.
            let _ = writeln!(lock(file), "{line}");
        }
    }

    /// Called once for each process, when it has exited.
    fn note_exit(self: &Arc<Self>, instance: u64, was_ready: bool, expected: bool) {
        lock(&self.all).remove(&instance);
        lock(&self.idle).retain(|other| other.id != instance);
        if self.stopping.load(Ordering::SeqCst) {
            return;
        }
        self.numbers.deaths.fetch_add(1, Ordering::Relaxed);
        if was_ready {
            self.numbers.failed_inits.store(0, Ordering::Relaxed);
        } else {
            self.numbers.failed_inits.fetch_add(1, Ordering::Relaxed);
        }
        if !expected {
            self.warm();
        }
    }

    /// Makes sure, in the background, that a process is ready for the next event.
    fn warm(self: &Arc<Self>) {
        if self.warming.swap(true, Ordering::SeqCst) {
            return;
        }
        let function = self.clone();
        tokio::spawn(async move {
            let permit = function.permits.clone().acquire_owned().await;
            let wanted = permit.is_ok() && lock(&function.idle).iter().all(|instance| instance.is_dead());
            function.promise();
            let started = if wanted { function.start().await.ok() } else { None };
            function.free(started.clone());
            function.warming.store(false, Ordering::SeqCst);
            drop(permit);
            // It died while this task was still warming, so its own end did not start a successor.
            let gone = wanted && started.is_none_or(|instance| instance.is_dead());
            if gone && !function.stopping.load(Ordering::SeqCst) {
                function.warm();
            }
        });
    }

    /// Starts a process and waits until it polls for an event.
    async fn start(self: &Arc<Self>) -> Result<Arc<Instance>, String> {
        let failed = self.numbers.failed_inits.load(Ordering::Relaxed);
        if failed > 0 {
            let pause = BACKOFF.saturating_mul(2_u32.saturating_pow(failed - 1)).min(MAX_BACKOFF);
            tokio::time::sleep(pause).await;
        }
        if self.stopping.load(Ordering::SeqCst) {
            return Err("the stack is stopping".into());
        }
        let id = self.numbers.starts.fetch_add(1, Ordering::Relaxed) + 1;
        let instance = Instance::start(self, id).await.map_err(|e| {
            self.numbers.failed_inits.fetch_add(1, Ordering::Relaxed);
            format!("{} cannot be started: {e}", self.config.binary.display())
        })?;
        lock(&self.all).insert(id, instance.clone());
        match tokio::time::timeout(INIT_TIMEOUT, instance.wait_for_poll(0)).await {
            Ok(true) => {
                self.numbers.failed_inits.store(0, Ordering::Relaxed);
                Ok(instance)
            }
            Ok(false) => {
                lock(&self.all).remove(&id);
                Err("the process ended before it polled for an event".into())
            }
            Err(_) => {
                instance.kill(true);
                Err("the process did not poll for an event within 10 seconds".into())
            }
        }
    }

    async fn instance(self: &Arc<Self>) -> Result<Arc<Instance>, String> {
        let patience = tokio::time::sleep(PATIENCE);
        tokio::pin!(patience);
        loop {
            let freed = self.freed.notified();
            tokio::pin!(freed);
            // From here on no process that becomes free is missed.
            freed.as_mut().enable();
            let idle = lock(&self.idle).pop();
            match idle {
                Some(instance) if !instance.is_dead() => return Ok(instance),
                Some(_) => continue,
                None if self.soon_free.load(Ordering::SeqCst) == 0 => return self.start().await,
                None => {}
            }
            tokio::select! {
                () = &mut freed => {}
                () = &mut patience => return self.start().await,
            }
        }
    }

    /// Announces that a process will be free soon. [`Function::free`] must follow.
    fn promise(&self) {
        self.soon_free.fetch_add(1, Ordering::SeqCst);
    }

    /// Fulfils the announcement of [`Function::promise`]; without a process it withdraws it.
    fn free(&self, instance: Option<Arc<Instance>>) {
        lock(&self.idle).extend(instance);
        self.soon_free.fetch_sub(1, Ordering::SeqCst);
        self.freed.notify_waiters();
    }

    async fn invoke(self: &Arc<Self>, payload: Bytes) -> Result<Bytes, InvokeError> {
        let permit =
            self.permits.clone().acquire_owned().await.map_err(|_| self.failed("Sandbox.Stopped", "the stack is stopping"))?;
        self.numbers.invocations.fetch_add(1, Ordering::Relaxed);
        let result = self.run(permit, payload).await;
        if result.is_err() {
            self.numbers.errors.fetch_add(1, Ordering::Relaxed);
        }
        result
    }

    async fn run(self: &Arc<Self>, permit: OwnedSemaphorePermit, payload: Bytes) -> Result<Bytes, InvokeError> {
        let instance = self.instance().await.map_err(|reason| {
            self.emit(Event::Note { function: self.name().into(), text: reason.clone() });
            self.failed("Runtime.InitError", &reason)
        })?;
        let request_id = uuid();
        let (sender, receiver) = oneshot::channel();
        let polls = instance.polls();
        let timeout = self.config.timeout;
        let deadline_ms = now_ms() + i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX);
        let invocation = Invocation { request_id: request_id.clone(), payload, deadline_ms, sender };
        let exited = |why: &str| {
            self.failed("Runtime.ExitError", &format!("RequestId: {request_id} Error: Runtime exited with error: {why}"))
        };
        if !instance.give(invocation).await {
            return Err(exited("unknown"));
        }
        let result = tokio::select! {
            result = tokio::time::timeout(timeout, receiver) => result,
            // The process was killed after it was chosen and before it polled for the event.
            () = died_without_poll(&instance, polls) => return Err(exited("signal: killed")),
        };
        let Ok(result) = result else {
            self.numbers.timeouts.fetch_add(1, Ordering::Relaxed);
            self.emit(Event::TimedOut { function: self.name().into(), request_id: request_id.clone() });
            instance.kill(false);
            let text =
                format!("{} {request_id} Task timed out after {:.2} seconds", jiff::Timestamp::now(), timeout.as_secs_f64());
            return Err(self.failed("Sandbox.Timedout", &text));
        };
        self.give_back(instance, polls, permit);
        match result {
            Ok(Ok(payload)) => Ok(payload),
            Ok(Err(Failure::Function(payload))) => Err(InvokeError::Failed { payload }),
            Ok(Err(Failure::Exited(status))) => Err(exited(&status)),
            Ok(Err(Failure::TooLarge)) => Err(self.failed(
                "Function.ResponseSizeTooLarge",
                "Response payload size exceeded maximum allowed payload size (6291556 bytes).",
            )),
            Err(_) => Err(exited("unknown")),
        }
    }

    /// Makes the process available again as soon as it polls for its next event.
    fn give_back(self: &Arc<Self>, instance: Arc<Instance>, polls: u64, permit: OwnedSemaphorePermit) {
        let function = self.clone();
        function.promise();
        tokio::spawn(async move {
            let polled_again = instance.wait_for_poll(polls).await;
            function.free(polled_again.then_some(instance));
            drop(permit);
        });
    }

    fn failed(&self, kind: &str, message: &str) -> InvokeError {
        InvokeError::Failed { payload: json!({ "errorType": kind, "errorMessage": message }).to_string().into() }
    }

    fn kill(self: &Arc<Self>) -> usize {
        let running: Vec<Arc<Instance>> = lock(&self.all).values().cloned().collect();
        running.iter().for_each(|instance| instance.kill(false));
        running.len()
    }

    fn stats(&self) -> FunctionStats {
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        FunctionStats {
            invocations: read(&self.numbers.invocations),
            errors: read(&self.numbers.errors),
            timeouts: read(&self.numbers.timeouts),
            starts: read(&self.numbers.starts),
            deaths: read(&self.numbers.deaths),
        }
    }
}

/// Completes when the process has died before it polled again, and never completes otherwise.
async fn died_without_poll(instance: &Instance, polls: u64) {
    if !instance.wait_for_poll(polls).await {
        // The end of a process also ends the invocation that it held. Give that result the time to arrive.
        tokio::time::sleep(Duration::from_secs(1)).await;
        return;
    }
    std::future::pending().await
}

/// The functions of a stack.
pub(crate) struct Host {
    functions: BTreeMap<String, Arc<Function>>,
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("functions", &self.functions.keys()).finish_non_exhaustive()
    }
}

impl Host {
    /// A host of these functions. Log files are opened in `log_dir`, one per function.
    pub(crate) fn new(
        configs: Vec<FunctionConfig>,
        log_dir: Option<&PathBuf>,
        observer: Option<&Observer>,
    ) -> std::io::Result<Self> {
        let mut functions = BTreeMap::new();
        for config in configs {
            let log = match log_dir {
                Some(dir) => {
                    std::fs::create_dir_all(dir)?;
                    let path = dir.join(format!("{}.log", config.logical.to_lowercase()));
                    Some(Mutex::new(OpenOptions::new().create(true).append(true).open(path)?))
                }
                None => None,
            };
            let function = Function {
                permits: Arc::new(Semaphore::new(config.concurrency)),
                idle: Mutex::default(),
                all: Mutex::default(),
                numbers: Numbers::default(),
                log,
                observer: observer.cloned(),
                stopping: AtomicBool::new(false),
                warming: AtomicBool::new(false),
                soon_free: AtomicUsize::new(0),
                freed: Notify::new(),
                config,
            };
            functions.insert(function.config.name.clone(), Arc::new(function));
        }
        Ok(Self { functions })
    }

    /// Finds a function by its name, its ARN or its logical id in the template (in any case).
    fn find(&self, name: &str) -> Option<&Arc<Function>> {
        let short = name.strip_prefix("arn:aws:lambda:").and_then(|rest| rest.split(':').nth(3)).unwrap_or(name);
        let by_logical = || self.functions.values().find(|f| f.config.logical.eq_ignore_ascii_case(short));
        self.functions.get(short).or_else(by_logical)
    }

    /// True if there is such a function.
    pub(crate) fn knows(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// Starts one process of each function ahead of its first event.
    pub(crate) fn warm(&self) {
        self.functions.values().for_each(Function::warm);
    }

    /// Invokes a function and waits for its answer.
    pub(crate) async fn invoke(&self, name: &str, payload: Bytes) -> Result<Bytes, InvokeError> {
        let function = self.find(name).ok_or_else(|| InvokeError::Unknown(name.to_owned()))?.clone();
        function.invoke(payload).await
    }

    /// Accepts an event and invokes the function in the background. A failed invocation is repeated.
    pub(crate) fn invoke_async(&self, name: &str, payload: Bytes) -> Result<(), InvokeError> {
        let function = self.find(name).ok_or_else(|| InvokeError::Unknown(name.to_owned()))?.clone();
        tokio::spawn(async move {
            for attempt in 0..=function.config.async_retries {
                if attempt > 0 {
                    tokio::time::sleep(function.config.async_delay * attempt).await;
                }
                if function.invoke(payload.clone()).await.is_ok() || function.stopping.load(Ordering::SeqCst) {
                    return;
                }
            }
            let text = format!("an asynchronous event was dropped after {} attempts", function.config.async_retries + 1);
            function.emit(Event::Note { function: function.name().into(), text });
        });
        Ok(())
    }

    /// Kills all processes of a function with SIGKILL and starts one new process. Returns how many were killed.
    pub(crate) fn kill(&self, name: &str) -> Result<usize, InvokeError> {
        self.find(name).map(Function::kill).ok_or_else(|| InvokeError::Unknown(name.to_owned()))
    }

    /// Reports a note about a function to the observer and the log.
    pub(crate) fn note(&self, name: &str, text: &str) {
        if let Some(function) = self.find(name) {
            function.emit(Event::Note { function: function.name().into(), text: text.into() });
        }
    }

    /// How many invocations of a function can run at once.
    pub(crate) fn concurrency(&self, name: &str) -> usize {
        self.find(name).map_or(1, |f| f.config.concurrency)
    }

    /// Numbers of all functions, by logical id.
    pub(crate) fn stats(&self) -> BTreeMap<String, FunctionStats> {
        self.functions.values().map(|f| (f.config.logical.clone(), f.stats())).collect()
    }

    /// Begins to end all processes. No process is started after this.
    pub(crate) fn abandon(&self) {
        for function in self.functions.values() {
            function.stopping.store(true, Ordering::SeqCst);
            function.permits.close();
            lock(&function.all).values().for_each(|instance| instance.kill(true));
        }
    }

    /// Ends all processes and waits until they have exited.
    pub(crate) async fn stop(&self) {
        self.abandon();
        for _ in 0..200 {
            if self.functions.values().all(|f| lock(&f.all).is_empty()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
