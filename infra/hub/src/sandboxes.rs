//! The stand-ins of the destinations, and the delivery of their webhooks to the hub.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Duration;

use sandbox::server::{Shared, bind, now_ms, serve};
use sandbox::{HubSpot, OutboundWebhook, Salesforce, hubspot, salesforce};
use webhook::{Draft, Scheme, SignError, SignedRequest, sign};

use crate::http::post;

/// How often a stand-in is asked for webhooks that are due.
const POLL: Duration = Duration::from_millis(20);

/// The running stand-ins.
pub struct Sandboxes {
    /// The stand-ins by connection.
    pub servers: BTreeMap<String, Shared>,
    /// Their base URLs by connection.
    pub urls: BTreeMap<String, String>,
}

/// Starts the stand-ins for the connections `hubspot` and `salesforce` on free loopback ports. Their state is in `folder`, as the
/// tables' is, and is forgotten first when `fresh`.
///
/// # Errors
/// No port is free, or the state cannot be read or written.
pub async fn start(
    hubspot: hubspot::Options,
    salesforce: salesforce::Options,
    folder: &Path,
    fresh: bool,
) -> io::Result<Sandboxes> {
    let state = |name: &str| folder.join(format!("{name}.json"));
    let mut sandboxes = Sandboxes { servers: BTreeMap::new(), urls: BTreeMap::new() };
    if fresh {
        ["hubspot", "salesforce"].iter().try_for_each(|name| forget(&state(name)))?;
    }
    let servers = [
        ("hubspot", Shared::open(HubSpot::new(hubspot), &state("hubspot"))?),
        ("salesforce", Shared::open(Salesforce::new(salesforce), &state("salesforce"))?),
    ];
    for (name, server) in servers {
        let listener = bind(0).await?;
        sandboxes.urls.insert(name.to_owned(), format!("http://{}", listener.local_addr()?));
        sandboxes.servers.insert(name.to_owned(), server.clone());
        tokio::spawn(serve(listener, server));
    }
    Ok(sandboxes)
}

fn forget(state: &Path) -> io::Result<()> {
    match std::fs::remove_file(state) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Where the webhooks of a connection go, and how they are signed.
#[derive(Debug, Clone)]
pub struct Route {
    /// The absolute URL.
    pub url: String,
    /// The provider's signature scheme.
    pub scheme: Scheme,
    /// The signing secret.
    pub secret: String,
}

impl Route {
    /// Signs a body for this route with the secret of its connection. `id` is the id of the message.
    ///
    /// # Errors
    /// As for [`sign`].
    pub fn sign(&self, body: &[u8], id: &str) -> Result<SignedRequest, SignError> {
        let draft = Draft { method: "POST", url: &self.url, body, at_ms: now_ms(), id };
        sign(&self.scheme, &draft, &self.secret)
    }
}

/// Signs and delivers the webhooks of a stand-in until the future is dropped.
pub async fn deliver_webhooks(server: Shared, route: Route) {
    loop {
        let due = server.lock().due_webhooks(now_ms());
        for webhook in due {
            let (server, route) = (server.clone(), route.clone());
            tokio::spawn(async move {
                let accepted = deliver(&route, &webhook).await;
                server.lock().webhook_answered(webhook.id, accepted, now_ms());
            });
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn deliver(route: &Route, webhook: &OutboundWebhook) -> bool {
    let Ok(signed) = route.sign(&webhook.body, &webhook.id.to_string()) else { return false };
    let answer = post(&route.url, &signed.headers, signed.body).await;
    answer.is_ok_and(|(status, _)| (200..300).contains(&status))
}
