//! The hub on this machine: the functions' binaries, the local stack, the stand-ins of the destinations, secrets and configuration.
//! `hub up` and `hub demo` start it here.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use adapters::environment::{BUCKET, CONFIG, Environment, PUBLIC_URL, SECRET_PREFIX, queue_variable, table_variable};
use adapters::{Access, Aws, ResourceNames};
use local::{Observer, Options, Schedules, Stack};
use providers::Grant;
use sandbox::consent::Consent;
use sandbox::server::{Shared, now_ms};
use sandbox::{Request, hubspot, salesforce, tokens};
use sync::config::Hub;
use sync::credential::Credential;
use sync::ports::Table;
use tokio::task::JoinHandle;
use webhook::Scheme;

use crate::config::{Changes, Loaded};
use crate::files::{invalid, read_text, root, shown, write};
use crate::keys::Keys;
use crate::lock::FolderLock;
use crate::out::CommandError;
use crate::own_properties;
use crate::queues::{dead_letter_queues, work_queues};
use crate::sandboxes::{self, Route, Sandboxes, deliver_webhooks};
use crate::template::regenerate;

/// The packages of the functions.
pub const FUNCTIONS: &[&str] = &["receive", "transform", "upsert", "reconcile", "rotate"];
/// The prefix of the names of the local stack's secrets.
pub const LOCAL_SECRETS: &str = "crm-hub/local/";
/// The id of the hub as a client of the stand-ins' token endpoints.
const CLIENT: &str = "crm-hub-local";
/// The port of the function URL of `receive`, if it is free and the user names no other one.
const PORT: u16 = 8480;

/// How the hub is started.
#[derive(Clone)]
pub struct Setup {
    /// The folder of state, logs and secrets.
    pub folder: PathBuf,
    /// Delete the state of earlier runs.
    pub fresh: bool,
    /// The port of the function URL of `receive`; without one, a fixed one or, if that is taken, any free one.
    pub port: Option<u16>,
    /// Divides the hub's waiting times.
    pub speed: u32,
    /// Whether schedules run by themselves.
    pub schedules: Schedules,
    /// Receives what the functions print.
    pub observer: Option<Observer>,
    /// Base URLs of further APIs by connection.
    pub base_urls: BTreeMap<String, String>,
    /// Options of HubSpot's stand-in.
    pub hubspot: hubspot::Options,
    /// Options of Salesforce's stand-in.
    pub salesforce: salesforce::Options,
}

impl Setup {
    /// The default: state in `.hub`, and HubSpot's stand-in sends webhooks of all its events.
    pub fn new(loaded: &Loaded) -> Setup {
        let hub_id = |connection: &str, object: &str| {
            let destination = loaded.providers.get(connection).and_then(|p| p.destination(object));
            destination.map(|d| d.id_property.clone()).unwrap_or_default()
        };
        let kinds = ["contact", "company", "deal", "ticket"];
        let events = ["creation", "deletion", "merge", "propertyChange:*", "associationChange"];
        let subscriptions = kinds.iter().flat_map(|kind| events.map(|event| format!("{kind}.{event}"))).collect();
        let webhooks = hubspot::Webhooks { portal_id: 4_711, app_id: 42, subscriptions, delay_ms: (50, 500) };
        let mut hubspot =
            hubspot::Options { webhooks: Some(webhooks), ..hubspot::Options::with_hub_id(&hub_id("hubspot", "contacts")) };
        let mut salesforce = salesforce::Options::with_hub_id(&hub_id("salesforce", "Contact"));
        own_properties::add(loaded, "hubspot", &mut hubspot.objects);
        own_properties::add(loaded, "salesforce", &mut salesforce.objects);
        Setup {
            folder: root().join(".hub"),
            fresh: false,
            port: None,
            speed: 1,
            schedules: Schedules::Real,
            observer: None,
            base_urls: BTreeMap::new(),
            hubspot,
            salesforce,
        }
    }
}

/// The running hub. Dropping it kills the functions.
pub struct Running {
    /// The local stack.
    pub stack: Stack,
    /// The stand-ins.
    pub sandboxes: Sandboxes,
    /// The configuration.
    pub hub: Hub,
    /// The base URL of webhooks: `http://127.0.0.1:port`.
    pub url: String,
    keys: Keys,
    /// Signature schemes by connection.
    schemes: BTreeMap<String, Scheme>,
    /// The variables with which commands find this hub.
    environment: Environment,
    /// The file with the variables by which commands find this hub.
    pub env_file: PathBuf,
    delivery: Option<JoinHandle<()>>,
    /// Held as long as the hub runs.
    _lock: FolderLock,
}

/// Builds the functions in one run of cargo, which shows its progress. They are built apart from this program, because its planted
/// bugs and compilers must not get into them. Gives the folder of the binaries.
pub fn build(release: bool) -> Result<PathBuf, CommandError> {
    let root = root();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(&root).arg("build");
    without_variables_of_cargo_run(&mut command, std::env::vars_os().map(|(name, _)| name));
    if release {
        command.arg("--release");
    }
    for function in FUNCTIONS {
        command.args(["--package", function]);
    }
    let status = command.status().map_err(|e| CommandError::backend("cargo cannot be started", e))?;
    if !status.success() {
        return Err(CommandError::Backend("the functions do not build".to_owned()));
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    Ok(target.join(if release { "release" } else { "debug" }))
}

/// `cargo run` sets variables for this program that build scripts of dependencies look at. With them, the scripts would run again at
/// every change between this build and one from a shell, and everything above them would be compiled again.
fn without_variables_of_cargo_run(command: &mut Command, names: impl Iterator<Item = OsString>) {
    let of_cargo_run =
        |name: &OsString| name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"));
    for name in names.filter(of_cargo_run) {
        command.env_remove(name);
    }
}

/// Starts everything. Must run in a multi-threaded tokio runtime. `binaries` is the result of [`build`].
pub async fn start(setup: Setup, loaded: &Loaded, binaries: &Path) -> Result<Running, CommandError> {
    let hub = loaded.sound()?.hub.clone();
    let mut lock = FolderLock::take(&setup.folder)?;
    let schemes: BTreeMap<String, Scheme> =
        loaded.providers.iter().map(|(name, provider)| (name.clone(), provider.manifest().webhook.scheme.clone())).collect();
    let keys = Keys::open(&setup.folder.join("secrets"), &hub, &schemes, setup.fresh)?;
    let endpoint = |path: &str, name: &str, options: tokens::Options| {
        let (client_id, client_secret) = (CLIENT.to_owned(), keys.hub[name].clone());
        let consent = Some(consent(&path.replace("token", "authorize")));
        Some(tokens::Options { path: path.to_owned(), client_id, client_secret, consent, ..options })
    };
    let rotating = endpoint("/oauth/v3/token", "hubspot/api", tokens::Options::default());
    let hubspot = hubspot::Options { tokens: Vec::new(), endpoint: rotating, ..setup.hubspot.clone() };
    let lasting = tokens::Options { rotates: false, tells_lifetime: false, lifetime_s: 7_200, ..tokens::Options::default() };
    let lasting = endpoint("/services/oauth2/token", "salesforce/api", lasting);
    let salesforce = salesforce::Options { tokens: Vec::new(), endpoint: lasting, ..setup.salesforce.clone() };
    let sandboxes = sandboxes::start(hubspot, salesforce, &setup.folder.join("state"), setup.fresh).await;
    let sandboxes = sandboxes.map_err(|e| CommandError::backend("the stand-ins do not start", e))?;
    let pack = setup.folder.join("hub.pack");
    let base_urls: BTreeMap<_, _> = sandboxes.urls.clone().into_iter().chain(setup.base_urls.clone()).collect();
    let changes = Changes { auth_urls: base_urls.clone(), base_urls, speed: Some(setup.speed), generation: now_s() };
    write(&pack, &loaded.pack(&changes)?)?;
    let template = template(&setup.folder, loaded)?;
    let port = port(setup.port)?;
    let url = base_url(port);
    lock.describe(&url).map_err(|e| CommandError::Write(shown(&setup.folder.join("lock")), e))?;
    let credentials = sandboxes.servers.iter().filter_map(|(name, server)| {
        let secret = format!("{name}/api");
        let credential = agree(server, keys.hub.get(&secret).map(String::as_str).unwrap_or_default())?;
        Some((secret, credential.to_secret()))
    });
    let credentials: BTreeMap<String, String> = credentials.collect();
    let mut options = options(&setup, &template, binaries, &pack, port, &keys);
    options.secrets.extend(credentials.into_iter().map(|(name, value)| (format!("{LOCAL_SECRETS}{name}"), value)));
    let stack = Stack::start(options).await;
    let stack = stack.map_err(|e| CommandError::Backend(format!("the local stack does not start: {}", chain(&e))))?;
    let (environment, env_file) = (variables(&stack, &hub, &pack, &url), setup.folder.join("env"));
    let mut running = Running { stack, sandboxes, hub, url, keys, schemes, environment, env_file, delivery: None, _lock: lock };
    running.write_environment()?;
    if let (Some(server), Some(route)) = (running.sandboxes.servers.get("hubspot").cloned(), running.route("hubspot")) {
        running.delivery = Some(tokio::spawn(deliver_webhooks(server, route)));
    }
    Ok(running)
}

impl Running {
    /// The hub's tables, queues and secrets as operators see them. Nothing is cached from earlier calls.
    pub fn ports(&self) -> Aws {
        Aws::with(Access::local(self.stack.endpoint()), ResourceNames::from_environment(&self.environment))
    }

    /// Where the webhooks of a connection go, and how they are signed.
    pub fn route(&self, connection: &str) -> Option<Route> {
        let secret = self.hub.connections.get(connection)?.signing_secret.as_ref()?;
        Some(Route {
            url: format!("{}/hooks/{connection}", self.url),
            scheme: self.schemes.get(connection)?.clone(),
            secret: self.keys.sender(secret)?.clone(),
        })
    }

    /// The secret with which the hub proves itself at the token endpoint of a CRM's stand-in.
    pub fn client_secret(&self, connection: &str) -> &str {
        self.keys.hub.get(&format!("{connection}/api")).map(String::as_str).unwrap_or_default()
    }

    /// A curl command that delivers this body, signed now.
    pub fn curl(&self, connection: &str, body: &str) -> Option<String> {
        let route = self.route(connection)?;
        let signed = route.sign(body.as_bytes(), &format!("msg_{}", now_ms())).ok()?;
        let body = String::from_utf8_lossy(&signed.body);
        let headers: Vec<String> = signed.headers.iter().map(|(name, value)| format!("  -H '{name}: {value}' \\\n")).collect();
        Some(format!("curl -i {} -H 'content-type: application/json' \\\n{}  -d '{body}'", route.url, headers.concat()))
    }

    fn write_environment(&self) -> Result<(), CommandError> {
        let mut text =
            "# How commands reach the local stack. `hub up` writes this file, and removes it when it stops.\n".to_owned();
        self.environment.iter().for_each(|(name, value)| text += &format!("{name}={value}\n"));
        write(&self.env_file, text.as_bytes())
    }

    /// Stops the hub, unless other parts of the program still hold it. Then it stops when they drop it.
    pub async fn stop_shared(self: Arc<Self>) {
        if let Some(running) = Arc::into_inner(self) {
            running.stop().await;
        }
    }

    /// Stops everything in order, and removes the file with which commands find this hub.
    pub async fn stop(self) {
        self.delivery.iter().for_each(JoinHandle::abort);
        let _ = std::fs::remove_file(&self.env_file);
        self.stack.stop().await;
    }
}

/// The page on which a person agrees, so that `hub connect` can be tried without an account.
fn consent(path: &str) -> Consent {
    Consent::new(&path.replace("/v3", ""), &["http://localhost:8482/callback"])
}

/// A person agrees at a stand-in: what `hub connect` stores then. `None` for a stand-in without a token endpoint.
pub fn agree(server: &Shared, client_secret: &str) -> Option<Credential> {
    let now_ms = now_ms();
    // By the control path, so that the grant is in the stand-in's log.
    let answer = server.lock().answer(Request::new("POST", "/_sandbox/connect", &[], b""), now_ms).ok()?.value();
    let text = |member: &str| answer[member].as_str().map(str::to_owned);
    Some(Credential {
        access_token: text("access_token")?,
        refresh_token: text("refresh_token"),
        client_id: Some(CLIENT.to_owned()),
        client_secret: Some(client_secret.to_owned()),
        grant: Some(Grant::RefreshToken),
        granted_at: Some(now_ms),
        refreshed_at: Some(now_ms),
        ..Credential::default()
    })
}

/// The variables with which commands find a hub on this stack.
fn variables(stack: &Stack, hub: &Hub, pack: &Path, url: &str) -> Environment {
    let mut variables: Environment = [
        ("AWS_ENDPOINT_URL", stack.endpoint()),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "local"),
        ("AWS_SECRET_ACCESS_KEY", "local"),
        ("AWS_SESSION_TOKEN", "local"),
        (SECRET_PREFIX, LOCAL_SECRETS),
        (PUBLIC_URL, url),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into_iter()
    .collect();
    let outputs = stack.outputs();
    variables.extend([(CONFIG.to_owned(), pack.display().to_string())]);
    variables.extend(outputs.get("BucketName").map(|name| (BUCKET.to_owned(), name.clone())));
    for table in Table::ALL {
        let mut output = table.name().to_owned();
        output[..1].make_ascii_uppercase();
        let name = outputs.get(&format!("{output}TableName"));
        variables.extend(name.map(|name| (table_variable(*table).to_owned(), name.clone())));
    }
    for queue in work_queues(hub).into_iter().chain(dead_letter_queues(hub)) {
        variables.extend(stack.queue_url(&queue).ok().map(|url| (queue_variable(&queue), url)));
    }
    variables
}

/// An error with all its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text += &format!(": {source}");
        cause = source.source();
    }
    text
}

/// `template.yaml` as `hub template` writes it for this configuration.
fn template(folder: &Path, loaded: &Loaded) -> Result<PathBuf, CommandError> {
    let own = root().join("template.yaml");
    let text = regenerate(&read_text(&own)?, loaded.sound()?).map_err(|e| invalid(&own, e))?;
    let path = folder.join("template.yaml");
    write(&path, text.as_bytes())?;
    Ok(path)
}

/// The options of the local stack. `port` is the port of the function URL of `receive`.
fn options(setup: &Setup, template: &Path, binaries: &Path, pack: &Path, port: u16, keys: &Keys) -> Options {
    let stored = |name: &str, value: &str| {
        if name.ends_with("/api") { format!("{{\"access_token\":\"{value}\"}}") } else { value.to_owned() }
    };
    let mut options = Options::new(template, binaries);
    options.stack_name = "crm-hub-local".to_owned();
    options.parameters =
        [("Environment", "local"), ("SecretPrefix", LOCAL_SECRETS)].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    options.state_dir = Some(setup.folder.join("state"));
    options.log_dir = Some(setup.folder.join("logs"));
    options.fresh = setup.fresh;
    options.schedules = setup.schedules;
    options.observer.clone_from(&setup.observer);
    options.environment = [(CONFIG.to_owned(), pack.display().to_string())].into();
    // Providers sign the URL that they call. Here that is not the https URL of the template's function.
    options.extra_environment = [(PUBLIC_URL.to_owned(), base_url(port))].into();
    options.url_ports = [("Receive".to_owned(), port)].into();
    options.secrets = keys.hub.iter().map(|(name, value)| (format!("{LOCAL_SECRETS}{name}"), stored(name, value))).collect();
    options
}

/// The base URL of webhooks, which providers sign.
fn base_url(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

/// Seconds since 1970: the generation of a configuration that is packed now.
fn now_s() -> u64 {
    u64::try_from(now_ms() / 1_000).unwrap_or(1)
}

/// The port that is named, else the usual one or a free one.
///
/// # Errors
/// The named port is taken, or no port is free.
fn port(named: Option<u16>) -> Result<u16, CommandError> {
    let bound = match named {
        Some(port) => TcpListener::bind(("127.0.0.1", port))
            .map_err(|e| CommandError::Usage(format!("port {port} cannot be used: {e}; choose another one with --port")))?,
        None => TcpListener::bind(("127.0.0.1", PORT))
            .or_else(|_| TcpListener::bind(("127.0.0.1", 0)))
            .map_err(|e| CommandError::backend("no port is free", e))?,
    };
    Ok(bound.local_addr().map_err(|e| CommandError::backend("no port is free", e))?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nested_build_does_not_see_the_variables_of_cargo_run() {
        let mut command = Command::new("cargo");
        let names = ["CARGO_PKG_NAME", "CARGO_MANIFEST_DIR", "CARGO_HOME", "CARGO_TARGET_DIR", "PATH"].map(OsString::from);
        without_variables_of_cargo_run(&mut command, names.into_iter());
        let removed: Vec<_> = command.get_envs().filter(|(_, value)| value.is_none()).map(|(name, _)| name.to_owned()).collect();
        assert_eq!(removed, ["CARGO_MANIFEST_DIR", "CARGO_PKG_NAME"]);
    }
}
