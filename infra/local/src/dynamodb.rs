//! DynamoDB: the engine `dynoxide` on a thread of its own, and conflicts of transactions, which the engine never reports itself.
//!
//! Known gaps, by name: a transaction never conflicts unless [`Conflicts`] requires it; the engine serves one request at a time.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use dynoxide::Database;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::start_error::StartError;

/// How often expired items are looked for.
const SWEEP: Duration = Duration::from_secs(5);

/// Transaction conflicts to raise, as DynamoDB does when two transactions meet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Conflicts {
    /// Share of write transactions that fail, 0.0 to 1.0.
    pub probability: f64,
    /// Start of the sequence that decides which ones.
    pub seed: u64,
}

impl Conflicts {
    /// Whether the next transaction fails.
    #[allow(clippy::cast_precision_loss)] // 53 bits are exact
    fn next(&mut self) -> bool {
        // xorshift64*, which must not start at zero.
        let mut x = self.seed | 1 << 63;
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.seed = x;
        let draw = (x.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11) as f64 / (1_u64 << 53) as f64;
        draw < self.probability
    }
}

/// The tables of a stack.
pub(crate) struct Tables {
    address: SocketAddr,
    client: Client<HttpConnector, Body>,
    conflicts: Mutex<Option<Conflicts>>,
    stop: Mutex<Option<oneshot::Sender<()>>>,
}

impl Tables {
    /// Opens the tables kept at `path`, or tables that live as long as the process.
    pub(crate) fn open(path: Option<&Path>, conflicts: Option<Conflicts>) -> Result<Self, StartError> {
        let failed = |e: dynoxide::DynoxideError| StartError::Tables(e.to_string());
        let database = match path {
            Some(path) => Database::new(&path.to_string_lossy()).map_err(failed)?,
            None => Database::memory().map_err(failed)?,
        };
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        // The engine works on the thread that serves it, which must not be one of ours.
        std::thread::Builder::new().name("dynamodb".into()).spawn(move || serve(listener, database, stopped))?;
        let client = Client::builder(TokioExecutor::new()).build(HttpConnector::new());
        Ok(Self { address, client, conflicts: Mutex::new(conflicts), stop: Mutex::new(Some(stop)) })
    }

    /// Sets which transactions conflict from now on.
    pub(crate) fn set_conflicts(&self, conflicts: Option<Conflicts>) {
        *self.conflicts.lock().unwrap_or_else(PoisonError::into_inner) = conflicts;
    }

    /// Answers one request of the JSON protocol.
    pub(crate) async fn handle(&self, operation: &str, headers: &HeaderMap, body: Bytes) -> Response {
        if operation == "TransactWriteItems"
            && self.conflicts.lock().unwrap_or_else(PoisonError::into_inner).as_mut().is_some_and(Conflicts::next)
        {
            return conflict(&body);
        }
        let mut request = axum::http::Request::post(format!("http://{}/", self.address));
        for name in ["x-amz-target", "content-type", "authorization", "x-amz-date"] {
            if let Some(value) = headers.get(name) {
                request = request.header(name, value);
            }
        }
        let request = match request.body(Body::from(body)) {
            Ok(request) => request,
            Err(_) => return StatusCode::BAD_REQUEST.into_response(),
        };
        match self.client.request(request).await {
            Ok(response) => {
                let (parts, body) = response.into_parts();
                Response::from_parts(parts, Body::new(body))
            }
            Err(_) => failure(
                StatusCode::SERVICE_UNAVAILABLE,
                &json!({ "__type": "com.amazonaws.dynamodb.v20120810#InternalServerError", "message": "the engine is not running" }),
            ),
        }
    }

    /// Makes one call from within the stack, and gives the error's type when it is refused.
    pub(crate) async fn call(&self, operation: &str, body: &Value) -> Result<Value, String> {
        let mut headers = HeaderMap::new();
        let target = HeaderValue::from_str(&format!("DynamoDB_20120810.{operation}")).map_err(|e| e.to_string())?;
        headers.insert("x-amz-target", target);
        headers.insert("content-type", HeaderValue::from_static("application/x-amz-json-1.0"));
        headers.insert("x-amz-date", HeaderValue::from_static("20250101T000000Z"));
        headers.insert("authorization", HeaderValue::from_static(
            "AWS4-HMAC-SHA256 Credential=local/20250101/us-east-1/dynamodb/aws4_request, SignedHeaders=host;x-amz-date, Signature=0",
        ));
        let response = self.handle(operation, &headers, Bytes::from(body.to_string())).await;
        let ok = response.status().is_success();
        let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.map_err(|e| e.to_string())?;
        let value: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        if ok { Ok(value) } else { Err(value["__type"].as_str().unwrap_or_default().to_owned()) }
    }

    /// Ends the engine's thread.
    pub(crate) fn stop(&self) {
        if let Some(stop) = self.stop.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // The thread may have ended already.
            let _ = stop.send(());
        }
    }
}

fn serve(listener: std::net::TcpListener, database: Database, mut stopped: oneshot::Receiver<()>) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return eprintln!("local: the DynamoDB engine has no runtime: {error}"),
    };
    runtime.block_on(async move {
        let listener = match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => listener,
            Err(error) => return eprintln!("local: the DynamoDB engine has no listener: {error}"),
        };
        let sweeping = database.clone();
        let server = dynoxide::server::serve_on(listener, database);
        tokio::pin!(server);
        loop {
            tokio::select! {
                () = &mut server => return,
                _ = &mut stopped => return,
                () = tokio::time::sleep(SWEEP) => {
                    if let Err(error) = sweeping.sweep_ttl() {
                        eprintln!("local: expired items could not be removed: {error}");
                    }
                }
            }
        }
    });
}

fn conflict(body: &[u8]) -> Response {
    let request: Value = serde_json::from_slice(body).unwrap_or_default();
    let items = request["TransactItems"].as_array().map_or(1, Vec::len);
    let mut reasons = vec![json!({ "Code": "None" }); items];
    let mut codes = vec!["None"; items];
    reasons[0] = json!({ "Code": "TransactionConflict", "Message": "Transaction is ongoing for the item" });
    codes[0] = "TransactionConflict";
    let message = format!("Transaction cancelled, please refer cancellation reasons for specific reasons [{}]", codes.join(", "));
    let body = json!({
        "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException", "Message": message, "CancellationReasons": reasons,
    });
    failure(StatusCode::BAD_REQUEST, &body)
}

fn failure(status: StatusCode, body: &Value) -> Response {
    (status, [("content-type", "application/x-amz-json-1.0")], body.to_string()).into_response()
}
