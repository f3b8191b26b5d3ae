//! The stand-ins of the destinations, and the courier that brings their webhooks to the hub.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use sandbox::server::{Shared, bind, now_ms, serve};
use sandbox::{HubSpot, OutboundWebhook, Salesforce, hubspot, salesforce};
use tokio::net::TcpStream;
use webhook::{Draft, Scheme, sign};

/// How often the courier looks for webhooks.
const ROUND: Duration = Duration::from_millis(20);
/// When the courier gives up on an answer, as providers do.
const PATIENCE: Duration = Duration::from_secs(5);

/// The running stand-ins.
pub struct Stands {
    /// By connection: the stand-in.
    pub shared: BTreeMap<String, Shared>,
    /// By connection: its base URL.
    pub urls: BTreeMap<String, String>,
}

/// Starts the stand-ins for the connections `hubspot` and `salesforce` on free loopback ports.
///
/// # Errors
/// A port cannot be had.
pub async fn start(hubspot: hubspot::Options, salesforce: salesforce::Options) -> io::Result<Stands> {
    let mut stands = Stands { shared: BTreeMap::new(), urls: BTreeMap::new() };
    for (name, shared) in
        [("hubspot", Shared::new(HubSpot::new(hubspot))), ("salesforce", Shared::new(Salesforce::new(salesforce)))]
    {
        let listener = bind(0).await?;
        stands.urls.insert(name.to_owned(), format!("http://{}", listener.local_addr()?));
        stands.shared.insert(name.to_owned(), shared.clone());
        tokio::spawn(serve(listener, shared));
    }
    Ok(stands)
}

/// Where a stand-in's webhooks go, and how they are signed.
#[derive(Debug, Clone)]
pub struct Route {
    /// The absolute URL.
    pub url: String,
    /// The provider's scheme.
    pub scheme: Scheme,
    /// The signing secret.
    pub secret: String,
}

/// Signs and delivers the webhooks of a stand-in, until the future is dropped.
pub async fn courier(stand: Shared, route: Route) {
    loop {
        let due = stand.lock().due_webhooks(now_ms());
        for webhook in due {
            let (stand, route) = (stand.clone(), route.clone());
            tokio::spawn(async move {
                let accepted = deliver(&route, &webhook).await;
                stand.lock().webhook_answered(webhook.id, accepted, now_ms());
            });
        }
        tokio::time::sleep(ROUND).await;
    }
}

async fn deliver(route: &Route, webhook: &OutboundWebhook) -> bool {
    let id = webhook.id.to_string();
    let draft = Draft { method: "POST", url: &route.url, body: &webhook.body, at_ms: now_ms(), id: &id };
    let Ok(signed) = sign(&route.scheme, &draft, &route.secret) else { return false };
    let answer = post(&route.url, &signed.headers, signed.body).await;
    answer.is_ok_and(|(status, _)| (200..300).contains(&status))
}

/// Posts a body, JSON unless a header says otherwise, to a plain `http://host:port/…` URL. Gives the status and the answer's body.
///
/// # Errors
/// No connection, no answer in time, or no HTTP.
pub async fn post(url: &str, headers: &[(String, String)], body: Vec<u8>) -> io::Result<(u16, Vec<u8>)> {
    tokio::time::timeout(PATIENCE, exchange(url, headers, body)).await.map_err(|_| io::ErrorKind::TimedOut)?
}

async fn exchange(url: &str, headers: &[(String, String)], body: Vec<u8>) -> io::Result<(u16, Vec<u8>)> {
    let bad = || io::Error::new(io::ErrorKind::InvalidInput, "not a plain http URL");
    let rest = url.strip_prefix("http://").ok_or_else(bad)?;
    let (host, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
    let stream = TcpStream::connect(host).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    let pump = tokio::spawn(connection);
    let mut request = hyper::Request::post(path).header("host", host);
    if !headers.iter().any(|(name, _)| name == "content-type") {
        request = request.header("content-type", "application/json");
    }
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let request = request.body(Full::new(Bytes::from(body))).map_err(io::Error::other)?;
    let response = sender.send_request(request).await.map_err(io::Error::other)?;
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.map_err(io::Error::other)?.to_bytes();
    pump.abort();
    Ok((status, bytes.to_vec()))
}
