//! A small HTTP client for the senders of webhooks on this machine.

use std::io;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// How long a sender waits for an answer, as providers do.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Posts a body to a plain `http://host:port/…` URL, as JSON unless a header says otherwise. Gives the status and the body of the
/// answer.
///
/// # Errors
/// There is no connection, no answer in time, or an answer that is not HTTP.
pub async fn post(url: &str, headers: &[(String, String)], body: Vec<u8>) -> io::Result<(u16, Vec<u8>)> {
    tokio::time::timeout(TIMEOUT, exchange(url, headers, body)).await.map_err(|_| io::ErrorKind::TimedOut)?
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
