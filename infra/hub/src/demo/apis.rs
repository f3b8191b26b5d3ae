//! Stand-ins for the APIs of sources: each answers with the records of its `demo.toml`, and with 404 for anything else.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;

/// Serves records by `/connection/path` on a free loopback port until the process ends. Gives the base URL.
///
/// # Errors
/// No port is free.
pub async fn serve(records: BTreeMap<String, String>) -> io::Result<String> {
    let listener = sandbox::server::bind(0).await?;
    let url = format!("http://{}", listener.local_addr()?);
    let records = Arc::new(records);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let records = records.clone();
            let service = service_fn(move |request| {
                let answer = answer(&request, &records);
                async move { Ok::<_, std::convert::Infallible>(answer) }
            });
            tokio::spawn(async move {
                // The client notices a connection that breaks.
                let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    Ok(url)
}

fn answer(request: &Request<Incoming>, records: &BTreeMap<String, String>) -> Response<Full<Bytes>> {
    let authorization = request.headers().get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (status, body) = match (authorization.strip_prefix("Bearer "), records.get(request.uri().path())) {
        (None | Some(""), _) => (StatusCode::UNAUTHORIZED, String::new()),
        (Some(_), None) => (StatusCode::NOT_FOUND, String::new()),
        (Some(_), Some(record)) => (StatusCode::OK, record.clone()),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response
}
