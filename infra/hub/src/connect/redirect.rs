//! The loopback redirect of an authorization (RFC 8252): the browser brings the code to a port of this machine.
//!
//! Only an answer with the right `state` counts, and only the first one. Everything else gets a page that says what is wrong, and
//! the command goes on waiting, so that another program on this machine cannot end it.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use subtle::ConstantTimeEq;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

use super::page::Page;
use crate::out::CommandError;

/// The port in a declared redirect that takes any.
const ANY_PORT: &str = "{port}";
/// The longest address that a browser brings, in bytes.
const ADDRESS_BYTES: usize = 16_384;

/// What a provider answered to the request for consent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Consent {
    /// The person agreed. Other parameters of the answer are beside the code.
    Code(String, BTreeMap<String, String>),
    /// The person or the provider refused: the error's code, and its description.
    Refused(String, String),
}

/// Why an address is no answer to this request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoAnswer {
    /// The state is missing or another one.
    WrongState,
    /// A parameter stands twice, or neither a code nor an error is there.
    Incomplete,
}

/// Reads the query of a redirect.
pub fn consent(query: &str, state: &str) -> Result<Consent, NoAnswer> {
    let mut values = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if values.insert(name.into_owned(), value.into_owned()).is_some() {
            return Err(NoAnswer::Incomplete);
        }
    }
    let given = values.remove("state").unwrap_or_default();
    if !bool::from(given.as_bytes().ct_eq(state.as_bytes())) {
        return Err(NoAnswer::WrongState);
    }
    match (values.remove("code"), values.remove("error")) {
        (Some(code), None) if !code.is_empty() => Ok(Consent::Code(code, values)),
        (None, Some(error)) => Ok(Consent::Refused(error, values.remove("error_description").unwrap_or_default())),
        _ => Err(NoAnswer::Incomplete),
    }
}

/// An answer that came by the browser, which waits for a page.
pub struct Arrival {
    /// What the provider answered.
    pub consent: Consent,
    page: oneshot::Sender<Page>,
}

impl Arrival {
    /// Shows a page in the browser.
    pub fn show(self, page: Page) {
        // A browser that was closed needs no page.
        let _ = self.page.send(page);
    }
}

/// A port of this machine that waits for an answer.
pub struct Redirect {
    listener: TcpListener,
    url: String,
    path: String,
}

impl Redirect {
    /// Listens on 127.0.0.1 at the port of the declared redirect, or at `port`, or at any free one.
    ///
    /// # Errors
    /// The port is taken, or is not the one that is registered at the provider.
    pub async fn bind(declared: &str, port: Option<u16>) -> Result<Redirect, CommandError> {
        let fault = || CommandError::Usage(format!("`{declared}` is not a loopback URL"));
        let (host, rest) = declared.strip_prefix("http://").and_then(|rest| rest.split_once(':')).ok_or_else(fault)?;
        let (own, path) = rest.split_once('/').ok_or_else(fault)?;
        let wanted = match port {
            Some(port) => port,
            None if own == ANY_PORT => 0,
            None => own.parse().map_err(|_| fault())?,
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, wanted)).await.map_err(|error| {
            let help = "end what listens there, or choose another one with --port and register it at the provider";
            CommandError::Backend(format!("port {wanted} cannot be used: {error}; {help}"))
        })?;
        let bound = listener.local_addr().map_err(|e| CommandError::backend("the port cannot be used", e))?.port();
        Ok(Redirect { listener, url: format!("http://{host}:{bound}/{path}"), path: format!("/{path}") })
    }

    /// The URL to which the provider sends the browser.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Waits for the answer with this state. Must run in a tokio runtime.
    ///
    /// # Errors
    /// None came in time.
    pub async fn wait(self, state: &str, limit: Duration) -> Result<Arrival, CommandError> {
        let (sender, mut arrivals) = mpsc::channel(1);
        let door = Arc::new(Door { state: state.to_owned(), path: self.path, arrivals: Mutex::new(Some(sender)) });
        let serving = tokio::spawn(serve(self.listener, door));
        let arrival = tokio::time::timeout(limit, arrivals.recv()).await.ok().flatten();
        let Some(arrival) = arrival else {
            serving.abort();
            return Err(CommandError::Backend(format!("nobody agreed within {} s: run the command again", limit.as_secs())));
        };
        Ok(arrival)
    }
}

struct Door {
    state: String,
    path: String,
    /// Taken by the first answer.
    arrivals: Mutex<Option<mpsc::Sender<Arrival>>>,
}

impl Door {
    fn take(&self) -> Option<mpsc::Sender<Arrival>> {
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    async fn answer(&self, request: hyper::Request<Incoming>) -> Page {
        let uri = request.uri();
        if request.method() != hyper::Method::GET || uri.path() != self.path {
            return Page::refusal(404, "There is nothing here", "This port only waits for a provider's answer.");
        }
        if uri.to_string().len() > ADDRESS_BYTES {
            return Page::refusal(414, "The answer is too long", "Run the command again.");
        }
        let consent = match consent(uri.query().unwrap_or_default(), &self.state) {
            Ok(consent) => consent,
            Err(NoAnswer::WrongState) => {
                let text = "It belongs to another run of the command, or did not come from the provider. Nothing was changed. Use the \
                            address that the command printed last.";
                return Page::refusal(400, "This answer is not for the running command", text);
            }
            Err(NoAnswer::Incomplete) => {
                return Page::refusal(
                    400,
                    "The answer is incomplete",
                    "The provider sent neither a code nor an error. Try again.",
                );
            }
        };
        let Some(arrivals) = self.take() else {
            return Page::refusal(409, "The answer was taken already", "The first answer counts. You can close this window.");
        };
        let (page, shown) = oneshot::channel();
        if arrivals.send(Arrival { consent, page }).await.is_err() {
            return Page::refusal(410, "The command has ended", "Run it again.");
        }
        shown.await.unwrap_or_else(|_| Page::refusal(500, "The command has ended", "See what it printed in the terminal."))
    }
}

async fn serve(listener: TcpListener, door: Arc<Door>) {
    while let Ok((stream, _)) = listener.accept().await {
        let door = door.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let door = door.clone();
                async move { Ok::<_, std::convert::Infallible>(respond(door.answer(request).await)) }
            });
            // A broken connection concerns its browser only.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// The page with headers that let no code leave it: not by a referrer, a cache or a script.
fn respond(page: Page) -> hyper::Response<Full<Bytes>> {
    let builder = hyper::Response::builder()
        .status(page.status)
        .header("content-type", "text/html; charset=utf-8")
        .header("cache-control", "no-store")
        .header("referrer-policy", "no-referrer")
        .header("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'")
        .header("connection", "close");
    builder.body(Full::new(Bytes::from(page.html()))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_complete_answer_with_the_right_state_counts() {
        let further = BTreeMap::from([("realmId".to_owned(), "9".to_owned())]);
        assert_eq!(consent("code=c%2F1&state=s&realmId=9", "s"), Ok(Consent::Code("c/1".to_owned(), further)));
        let refused = Consent::Refused("access_denied".to_owned(), "no thanks".to_owned());
        assert_eq!(consent("error=access_denied&error_description=no+thanks&state=s", "s"), Ok(refused));
        assert_eq!(consent("code=c&state=t", "s"), Err(NoAnswer::WrongState));
        assert_eq!(consent("code=c", "s"), Err(NoAnswer::WrongState));
        assert_eq!(consent("code=c&code=d&state=s", "s"), Err(NoAnswer::Incomplete));
        assert_eq!(consent("code=c&error=e&state=s", "s"), Err(NoAnswer::Incomplete));
        assert_eq!(consent("state=s", "s"), Err(NoAnswer::Incomplete));
        assert_eq!(consent("code=&state=s", "s"), Err(NoAnswer::Incomplete));
    }
}
