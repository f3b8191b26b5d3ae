//! One function process and the Runtime API that it talks to.

use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::{Notify, mpsc, oneshot, watch};

use super::{Event, Function};
use crate::ids::bytes;

/// The largest response of a function: 6 MB, and what the service adds itself.
const MAX_RESPONSE: usize = 6 * 1024 * 1024 + 1024;

/// Why an invocation has no result.
#[derive(Debug, Clone)]
pub(super) enum Failure {
    /// The function reported an error: its error document.
    Function(Bytes),
    /// The process ended.
    Exited(String),
    /// The response was larger than Lambda accepts.
    TooLarge,
}

type InvocationResult = Result<Bytes, Failure>;

/// One invocation on its way to the process.
pub(super) struct Invocation {
    pub request_id: String,
    pub payload: Bytes,
    pub deadline_ms: i64,
    /// Receives the result.
    pub sender: oneshot::Sender<InvocationResult>,
}

/// A running process.
pub(super) struct Instance {
    pub id: u64,
    invocations: mpsc::Sender<Invocation>,
    /// How often the process has polled for an event: 1 after its init.
    polls: watch::Receiver<u64>,
    kill: Notify,
    dead: AtomicBool,
    expected: AtomicBool,
}

struct Api {
    function: Arc<Function>,
    invocations: tokio::sync::Mutex<mpsc::Receiver<Invocation>>,
    polls: watch::Sender<u64>,
    current: Mutex<Option<(String, oneshot::Sender<InvocationResult>)>>,
    init_error: Mutex<Option<String>>,
}

impl Api {
    fn finish(&self, request_id: &str, result: InvocationResult) -> bool {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        match current.take() {
            Some((id, sender)) if id == request_id => {
                // The caller may have given up by now.
                let _ = sender.send(result);
                true
            }
            other => {
                *current = other;
                false
            }
        }
    }
}

impl Instance {
    /// Starts a process of the function. It is ready once [`Instance::wait_for_poll`] has returned true.
    pub(super) async fn start(function: &Arc<Function>, id: u64) -> std::io::Result<Arc<Self>> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let (invocations, receiver) = mpsc::channel(1);
        let (polls, polls_receiver) = watch::channel(0);
        let api = Arc::new(Api {
            function: function.clone(),
            invocations: tokio::sync::Mutex::new(receiver),
            polls,
            current: Mutex::default(),
            init_error: Mutex::default(),
        });
        let mut child = command(function, &address.to_string(), id).spawn()?;
        let server = tokio::spawn(axum::serve(listener, router(api.clone())).into_future());
        let mut readers = Vec::new();
        if let Some(out) = child.stdout.take() {
            readers.push(tokio::spawn(read_lines(function.clone(), id, out)));
        }
        if let Some(err) = child.stderr.take() {
            readers.push(tokio::spawn(read_lines(function.clone(), id, err)));
        }
        let instance = Arc::new(Self {
            id,
            invocations,
            polls: polls_receiver,
            kill: Notify::new(),
            dead: AtomicBool::new(false),
            expected: AtomicBool::new(false),
        });
        function.emit(Event::Started { function: function.name().into(), instance: id });
        let (watched, function) = (instance.clone(), function.clone());
        tokio::spawn(async move {
            let status = watched.supervise(child).await;
            server.abort();
            watched.dead.store(true, Ordering::SeqCst);
            for reader in readers {
                // The last lines of the process must be in the log before its end is reported.
                let _ = tokio::time::timeout(std::time::Duration::from_millis(200), reader).await;
            }
            watched.report_end(&function, &api, &status);
        });
        Ok(instance)
    }

    async fn supervise(&self, mut child: Child) -> String {
        let status = tokio::select! {
            status = child.wait() => status,
            () = self.kill.notified() => {
                // A process that has just exited cannot be killed. Waiting for it gives its status.
                let _ = child.start_kill();
                child.wait().await
            }
        };
        status.map_or_else(|e| e.to_string(), describe)
    }

    fn report_end(&self, function: &Arc<Function>, api: &Api, status: &str) {
        let init_error = api.init_error.lock().unwrap_or_else(PoisonError::into_inner).take();
        let reason = init_error.map_or_else(|| status.to_owned(), |error| format!("{status} after init error {error}"));
        if let Some((_, sender)) = api.current.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // The caller may have given up by now.
            let _ = sender.send(Err(Failure::Exited(reason.clone())));
        }
        let ready = *self.polls.borrow() > 0;
        function.emit(Event::Exited { function: function.name().into(), instance: self.id, status: reason });
        function.note_exit(self.id, ready, self.expected.load(Ordering::SeqCst));
    }

    /// Hands an invocation to the process, which sends the result to its `sender`. A sender that is dropped means that the process
    /// has died. Returns false if the process is dead already.
    pub(super) async fn give(&self, invocation: Invocation) -> bool {
        self.invocations.send(invocation).await.is_ok()
    }

    pub(super) fn polls(&self) -> u64 {
        *self.polls.borrow()
    }

    pub(super) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }

    /// Waits until the process has polled more than `times` times. Returns false if it exited first.
    pub(super) async fn wait_for_poll(&self, times: u64) -> bool {
        let mut polls = self.polls.clone();
        loop {
            if self.is_dead() {
                return false;
            }
            if *polls.borrow_and_update() > times {
                return true;
            }
            tokio::select! {
                changed = polls.changed() => {
                    if changed.is_err() {
                        return false;
                    }
                }
                () = tokio::time::sleep(std::time::Duration::from_millis(20)) => {}
            }
        }
    }

    /// Kills the process (SIGKILL). If its end is `expected`, no other process is started for it.
    pub(super) fn kill(&self, expected: bool) {
        self.expected.fetch_or(expected, Ordering::SeqCst);
        self.dead.store(true, Ordering::SeqCst);
        self.kill.notify_one();
    }
}

fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(9)) => "signal: killed".into(),
        (None, signal) => format!("signal: {}", signal.unwrap_or_default()),
    }
}

fn command(function: &Function, api: &str, id: u64) -> Command {
    let config = &function.config;
    let mut command = Command::new(&config.binary);
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command
        .env("AWS_LAMBDA_RUNTIME_API", api)
        .env("AWS_LAMBDA_FUNCTION_NAME", &config.name)
        .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", config.memory.to_string())
        .env("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{}", config.name))
        .env("AWS_LAMBDA_LOG_STREAM_NAME", format!("local/[$LATEST]{id:08x}"))
        .env("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand")
        .env("AWS_EXECUTION_ENV", "AWS_Lambda_provided.al2023")
        .env("_HANDLER", "bootstrap")
        .env("TZ", ":UTC")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .envs(&config.environment);
    command
}

async fn read_lines(function: Arc<Function>, instance: u64, stream: impl AsyncRead + Unpin) {
    let mut lines = BufReader::new(stream).split(b'\n');
    while let Ok(Some(line)) = lines.next_segment().await {
        function.line(instance, &String::from_utf8_lossy(&line));
    }
}

fn router(api: Arc<Api>) -> Router {
    Router::new()
        .route("/2018-06-01/runtime/invocation/next", get(next))
        .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
        .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
        .route("/2018-06-01/runtime/init/error", post(init_error))
        .layer(DefaultBodyLimit::max(64 * 1024 * 1024))
        .with_state(api)
}

async fn next(State(api): State<Arc<Api>>) -> Response {
    api.polls.send_modify(|times| *times += 1);
    let Some(invocation) = api.invocations.lock().await.recv().await else { return StatusCode::GONE.into_response() };
    *api.current.lock().unwrap_or_else(PoisonError::into_inner) = Some((invocation.request_id.clone(), invocation.sender));
    let [a, b, c, ..]: [u8; 3] = bytes();
    let trace = format!("Root=1-{:08x}-{a:02x}{b:02x}{c:02x}{};Sampled=0", invocation.deadline_ms / 1000, "0".repeat(18));
    let mut headers = HeaderMap::new();
    let fields = [
        ("lambda-runtime-aws-request-id", invocation.request_id),
        ("lambda-runtime-deadline-ms", invocation.deadline_ms.to_string()),
        ("lambda-runtime-invoked-function-arn", api.function.config.arn.clone()),
        ("lambda-runtime-trace-id", trace),
        ("content-type", "application/json".to_owned()),
    ];
    for (name, value) in fields {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    (headers, invocation.payload).into_response()
}

fn accepted(known: bool) -> Response {
    if known {
        (StatusCode::ACCEPTED, axum::Json(json!({ "status": "OK" }))).into_response()
    } else {
        let body = json!({ "errorType": "InvalidRequestID", "errorMessage": "Invalid request ID" });
        (StatusCode::BAD_REQUEST, axum::Json(body)).into_response()
    }
}

async fn response(State(api): State<Arc<Api>>, Path(id): Path<String>, body: Bytes) -> Response {
    if body.len() > MAX_RESPONSE {
        api.finish(&id, Err(Failure::TooLarge));
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    }
    accepted(api.finish(&id, Ok(body)))
}

async fn error(State(api): State<Arc<Api>>, Path(id): Path<String>, body: Bytes) -> Response {
    accepted(api.finish(&id, Err(Failure::Function(body))))
}

async fn init_error(State(api): State<Arc<Api>>, headers: HeaderMap) -> Response {
    let kind = headers.get("lambda-runtime-function-error-type").and_then(|v| v.to_str().ok()).unwrap_or("Runtime.Unknown");
    *api.init_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(kind.to_owned());
    accepted(true)
}
