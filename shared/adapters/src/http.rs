//! Outbound HTTPS to providers: only to hosts of the configuration, no redirects, bounded answers.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use sync::ports::{Http, HttpError, HttpRequest, HttpResponse};

use crate::Aws;

/// Largest answer in bytes.
const MOST_BYTES: usize = 8_000_000;

/// The client for calls to providers.
pub struct Outbound {
    hosts: Vec<String>,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl Outbound {
    /// A client that may call these hosts.
    pub fn new(hosts: &[String]) -> Outbound {
        let builder = HttpsConnectorBuilder::new().with_provider_and_webpki_roots(rustls::crypto::ring::default_provider());
        let connector = match builder {
            Ok(builder) => builder.https_or_http().enable_http1().build(),
            // ring supports every protocol version that rustls requires. Otherwise no call would be possible.
            Err(error) => panic!("TLS cannot be set up: {error}"),
        };
        Outbound { hosts: hosts.to_vec(), client: Client::builder(TokioExecutor::new()).build(connector) }
    }

    /// Plain HTTP is for stand-ins on this machine only; everything else needs TLS.
    fn allowed(&self, uri: &http::Uri) -> Result<(), HttpError> {
        let refuse = |why: &str| Err(HttpError::NotSent(why.to_owned()));
        let Some(authority) = uri.authority() else { return refuse("the URL names no host") };
        if !self.hosts.iter().any(|host| host.eq_ignore_ascii_case(authority.as_str())) {
            return refuse("the host is not one of the configuration's");
        }
        let loopback = matches!(authority.host(), "127.0.0.1" | "localhost" | "[::1]");
        match uri.scheme_str() {
            Some("https") => Ok(()),
            Some("http") if loopback => Ok(()),
            _ => refuse("only https is allowed"),
        }
    }

    pub(crate) async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let uri: http::Uri = request.url.parse().map_err(|_| HttpError::NotSent("the URL cannot be read".into()))?;
        self.allowed(&uri)?;
        self.exchange(request, uri).await
    }

    /// Sends without asking whether the host is allowed; for endpoints that the environment names.
    pub(crate) async fn exchange(&self, request: HttpRequest, uri: http::Uri) -> Result<HttpResponse, HttpError> {
        let timeout = Duration::from_millis(request.timeout_ms);
        let mut builder = http::Request::builder().method(request.method).uri(uri);
        for (name, value) in &request.headers {
            builder = builder.header(name, value);
        }
        let outgoing = builder
            .body(Full::new(Bytes::from(request.body)))
            .map_err(|_| HttpError::NotSent("the request cannot be built".into()))?;
        let exchange = async {
            let answer = self.client.request(outgoing).await.map_err(|e| {
                if e.is_connect() {
                    HttpError::NotSent("no connection".into())
                } else {
                    HttpError::Unknown("the connection broke".into())
                }
            })?;
            let status = answer.status().as_u16();
            let headers = answer
                .headers()
                .iter()
                .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())))
                .collect();
            let body = Limited::new(answer.into_body(), MOST_BYTES).collect().await.map_err(|e| {
                let large = e.downcast_ref::<LengthLimitError>().is_some();
                HttpError::Unknown(if large { "the answer is too large" } else { "the answer broke off" }.into())
            })?;
            Ok(HttpResponse { status, headers, body: body.to_bytes().to_vec() })
        };
        match tokio::time::timeout(timeout, exchange).await {
            Ok(result) => result,
            Err(_) => Err(HttpError::Unknown("timed out".into())),
        }
    }
}

impl Http for Aws {
    async fn http(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        self.http.call(request).await
    }
}
