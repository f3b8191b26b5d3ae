//! The Lambda host: real function binaries behind the real Runtime API, with deadlines, kills and respawns.
//!
//! Known gaps, by name:
//! - A caller beyond a function's concurrency waits; AWS throttles it.
//! - Idle processes are neither frozen nor retired; `/tmp` and memory are not limited.
//! - No extensions, no response streaming, no `OnFailure` destinations, no versions or aliases, no execution roles.

mod instance;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use serde::Serialize;
use serde_json::json;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};

use crate::ids::{now_ms, uuid};
use instance::{Failure, Instance, Job};

/// How long a process may take until it asks for its first event.
const INIT_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause before a process that did not get through its init is started again; doubles up to [`MAX_BACKOFF`].
const BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(10);
/// How long an event waits for a process that is about to be free before another one is started.
const PATIENCE: Duration = Duration::from_millis(200);

/// What happens in the host, for whoever shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A line that a function wrote to its standard output or error.
    Line {
        /// Function, by its name in AWS.
        function: String,
        /// Number of the process.
        instance: u64,
        /// The line without its end.
        text: String,
    },
    /// A process was started.
    Started {
        /// Function, by its name in AWS.
        function: String,
        /// Number of the process.
        instance: u64,
    },
    /// A process has ended.
    Exited {
        /// Function, by its name in AWS.
        function: String,
        /// Number of the process.
        instance: u64,
        /// Exit status or signal.
        status: String,
    },
    /// An invocation took longer than the function's timeout; its process is killed.
    TimedOut {
        /// Function, by its name in AWS.
        function: String,
        /// The invocation.
        request_id: String,
    },
    /// Something that the host itself has to say.
    Note {
        /// Function, by its name in AWS.
        function: String,
        /// What it is.
        text: String,
    },
}

/// Called for every [`Event`], from many threads.
pub type Observer = Arc<dyn Fn(&Event) + Send + Sync>;

/// Numbers of one function since the stack was started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct FunctionStats {
    /// Invocations begun.
    pub invocations: u64,
    /// Invocations that failed, whatever the reason.
    pub errors: u64,
    /// Invocations that ran into the timeout.
    pub timeouts: u64,
    /// Processes started.
    pub starts: u64,
    /// Processes that ended although nobody stopped the stack.
    pub deaths: u64,
}

/// Why an invocation has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvokeError {
    /// No function has this name.
    #[error("no function is named {0}")]
    Unknown(String),
    /// The function failed, ended or took too long. `payload` is the error document that AWS gives the caller.
    #[error("the function failed")]
    Failed {
        /// JSON with `errorType` and `errorMessage`.
        payload: Bytes,
    },
}

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

    /// Called once per process, when it has ended.
    fn ended(self: &Arc<Self>, instance: u64, was_ready: bool, expected: bool) {
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

    /// Sees to it, in the background, that there is a process to take the next event.
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
            // It died before this task was done, and was told that somebody sees to a successor already.
            let gone = wanted && started.is_none_or(|instance| instance.is_dead());
            if gone && !function.stopping.load(Ordering::SeqCst) {
                function.warm();
            }
        });
    }

    /// Starts a process and waits until it asks for an event.
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
        match tokio::time::timeout(INIT_TIMEOUT, instance.wait_asked(0)).await {
            Ok(true) => {
                self.numbers.failed_inits.store(0, Ordering::Relaxed);
                Ok(instance)
            }
            Ok(false) => {
                lock(&self.all).remove(&id);
                Err("the process ended before it asked for an event".into())
            }
            Err(_) => {
                instance.kill(true);
                Err("the process did not ask for an event within 10 seconds".into())
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

    /// Says that a process will be free before long, until [`Function::free`] says what came of it.
    fn promise(&self) {
        self.soon_free.fetch_add(1, Ordering::SeqCst);
    }

    /// Keeps a promise, or takes it back when there is no process after all.
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
        let (answer, receiver) = oneshot::channel();
        let asked = instance.asked();
        let timeout = self.config.timeout;
        let deadline_ms = now_ms() + i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX);
        let job = Job { request_id: request_id.clone(), payload, deadline_ms, answer };
        let exited = |why: &str| {
            self.failed("Runtime.ExitError", &format!("RequestId: {request_id} Error: Runtime exited with error: {why}"))
        };
        if !instance.give(job).await {
            return Err(exited("unknown"));
        }
        let answer = tokio::select! {
            answer = tokio::time::timeout(timeout, receiver) => answer,
            // Killed after it took its place here and before it fetched the event.
            () = died_unasked(&instance, asked) => return Err(exited("signal: killed")),
        };
        let Ok(answer) = answer else {
            self.numbers.timeouts.fetch_add(1, Ordering::Relaxed);
            self.emit(Event::TimedOut { function: self.name().into(), request_id: request_id.clone() });
            instance.kill(false);
            let text =
                format!("{} {request_id} Task timed out after {:.2} seconds", jiff::Timestamp::now(), timeout.as_secs_f64());
            return Err(self.failed("Sandbox.Timedout", &text));
        };
        self.give_back(instance, asked, permit);
        match answer {
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

    /// Makes the process available again as soon as it asks for its next event.
    fn give_back(self: &Arc<Self>, instance: Arc<Instance>, asked: u64, permit: OwnedSemaphorePermit) {
        let function = self.clone();
        function.promise();
        tokio::spawn(async move {
            let asked_again = instance.wait_asked(asked).await;
            function.free(asked_again.then_some(instance));
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

/// Ends when the process has died; never when it has not.
async fn died_unasked(instance: &Instance, asked: u64) {
    if !instance.wait_asked(asked).await {
        // The end of a process answers the event that it held; leave that answer the time to arrive.
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

    /// Whether there is such a function.
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

    /// Accepts an event and invokes the function in the background, again when it fails.
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

    /// Kills all processes of a function with SIGKILL; the first one is replaced at once. Gives how many there were.
    pub(crate) fn kill(&self, name: &str) -> Result<usize, InvokeError> {
        self.find(name).map(Function::kill).ok_or_else(|| InvokeError::Unknown(name.to_owned()))
    }

    /// Says something about a function to the observer and the log.
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

    /// Begins to end all processes. Nothing is started any more.
    pub(crate) fn abandon(&self) {
        for function in self.functions.values() {
            function.stopping.store(true, Ordering::SeqCst);
            function.permits.close();
            lock(&function.all).values().for_each(|instance| instance.kill(true));
        }
    }

    /// Ends all processes and waits for that.
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
