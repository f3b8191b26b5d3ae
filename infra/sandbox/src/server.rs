//! A loopback HTTP server around a stand-in, with [`crate::control`] under `/_sandbox/`. It does not deliver webhooks: the owner of
//! the [`Shared`] stand-in takes them, signs them and reports the result.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::durable::Logged;
use crate::{Request, Response, Sandbox};

/// The largest request body.
const BODY: usize = 16 * 1024 * 1024;

/// A stand-in that the server and its owner share. Do not hold it across an await.
#[derive(Clone)]
pub struct Shared(Arc<Mutex<Logged>>);

impl Shared {
    /// Wraps a stand-in, which forgets everything when the process ends.
    pub fn new(sandbox: impl Sandbox + 'static) -> Shared {
        Shared(Arc::new(Mutex::new(Logged::in_memory(sandbox))))
    }

    /// Wraps a stand-in whose state is in this file and in a log beside it. What was answered is still there when the process was killed.
    ///
    /// # Errors
    /// A file cannot be read or written, or it holds no state of this stand-in.
    pub fn open(sandbox: impl Sandbox + 'static, state: &Path) -> io::Result<Shared> {
        Ok(Shared(Arc::new(Mutex::new(Logged::open(sandbox, state)?))))
    }

    /// The stand-in.
    pub fn lock(&self) -> MutexGuard<'_, Logged> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The system's clock, in milliseconds since the epoch.
pub fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).ok().and_then(|d| i64::try_from(d.as_millis()).ok()).unwrap_or_default()
}

/// Listens on 127.0.0.1; port 0 takes any free one.
///
/// # Errors
/// The port cannot be used.
pub async fn bind(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await
}

/// Serves until the future is dropped.
///
/// # Errors
/// The listener is not on a loopback address, or it broke.
pub async fn serve(listener: TcpListener, sandbox: Shared) -> io::Result<()> {
    if !listener.local_addr()?.ip().is_loopback() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a stand-in listens on a loopback address only"));
    }
    loop {
        let (stream, _) = listener.accept().await?;
        let sandbox = sandbox.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(request, sandbox.clone()));
            // A broken connection concerns its client only. A lost answer breaks the connection on purpose.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// Ends the connection, because the answer must never arrive.
#[derive(Debug)]
struct Lost;

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the answer is lost, as the script of faults says")
    }
}

impl std::error::Error for Lost {}

async fn answer(request: hyper::Request<Incoming>, sandbox: Shared) -> Result<hyper::Response<Full<Bytes>>, Lost> {
    let (parts, body) = request.into_parts();
    let Ok(body) = Limited::new(body, BODY).collect().await else { return Ok(plain(413)) };
    let headers: Vec<(String, String)> = parts
        .headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    let target = parts.uri.path_and_query().map_or("/", |t| t.as_str());
    let request = Request::new(parts.method.as_str(), target, &headers, &body.to_bytes());
    let response = match sandbox.lock().answer(request, now_ms()) {
        Ok(response) => response,
        Err(error) => {
            eprintln!("the state of a stand-in cannot be written: {error}");
            return Ok(plain(507));
        }
    };
    if response.delay_ms > 0 {
        tokio::time::sleep(Duration::from_millis(response.delay_ms)).await;
    }
    if response.lost { Err(Lost) } else { Ok(render(response)) }
}

fn render(response: Response) -> hyper::Response<Full<Bytes>> {
    let mut builder = hyper::Response::builder().status(response.status);
    for (name, value) in &response.headers {
        builder = builder.header(name, value);
    }
    builder.body(Full::new(Bytes::from(response.body))).unwrap_or_else(|_| plain(500))
}

fn plain(status: u16) -> hyper::Response<Full<Bytes>> {
    let mut response = hyper::Response::new(Full::new(Bytes::new()));
    *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or(hyper::StatusCode::INTERNAL_SERVER_ERROR);
    response
}
