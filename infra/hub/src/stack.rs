//! The hub on this machine: function binaries, local stack, stand-ins of the destinations, secrets, configuration. `hub up` and
//! `hub demo` both start it here.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use adapters::{Access, Aws};
use local::{Observer, Options, Schedules, Stack};
use providers::Provider;
use sandbox::{hubspot, salesforce};
use sync::config::Hub;
use tokio::task::JoinHandle;
use webhook::{Draft, Scheme, sign};

use crate::check::load;
use crate::cli::ConfigArgs;
use crate::config::{Changes, Loaded};
use crate::crm::{Route, Stands, courier, start as start_stands};
use crate::keys::Keys;
use crate::operate::open::{parse, queue_variable, queues, resource_names, table_variable};
use crate::out::{CommandError, root, shown, write};
use crate::template::regenerate;

/// The functions, as their packages are called.
pub const FUNCTIONS: &[&str] = &["receive", "transform", "upsert", "reconcile", "rotate"];
/// What precedes the names of the local stack's secrets.
pub const SECRET_PREFIX: &str = "crm-hub/local/";
/// The port of the front door, where it is free.
const PORT: u16 = 8480;

/// How the hub is started.
#[derive(Clone)]
pub struct Setup {
    /// The configuration file.
    pub config: ConfigArgs,
    /// The folder that keeps state, logs and secrets.
    pub folder: PathBuf,
    /// Forget what is in it.
    pub fresh: bool,
    /// Divides every wait that the hub chooses.
    pub speed: u32,
    /// Whether schedules run by themselves.
    pub schedules: Schedules,
    /// Told of what the functions print.
    pub observer: Option<Observer>,
    /// Where further APIs are, by connection.
    pub bases: BTreeMap<String, String>,
    /// The stand-in of HubSpot.
    pub hubspot: hubspot::Options,
    /// The stand-in of Salesforce.
    pub salesforce: salesforce::Options,
}

impl Setup {
    /// The default: both stand-ins, HubSpot's with webhooks for everything, state in `.hub`.
    pub fn new(loaded: &Loaded) -> Setup {
        let hub_id = |connection: &str, object: &str| {
            let destination = loaded.providers.get(connection).and_then(|p| p.destination(object));
            destination.map(|d| d.id_property.clone()).unwrap_or_default()
        };
        let kinds = ["contact", "company", "deal", "ticket"];
        let events = ["creation", "deletion", "merge", "propertyChange:*"];
        let subscriptions = kinds.iter().flat_map(|kind| events.map(|event| format!("{kind}.{event}"))).collect();
        let webhooks = hubspot::Webhooks { portal_id: 4_711, app_id: 42, subscriptions, delay_ms: (50, 500) };
        Setup {
            config: ConfigArgs::default(),
            folder: root().join(".hub"),
            fresh: false,
            speed: 1,
            schedules: Schedules::Real,
            observer: None,
            bases: BTreeMap::new(),
            hubspot: hubspot::Options {
                webhooks: Some(webhooks),
                ..hubspot::Options::with_hub_id(&hub_id("hubspot", "contacts"))
            },
            salesforce: salesforce::Options::with_hub_id(&hub_id("salesforce", "Contact")),
        }
    }
}

/// The running hub. Dropping it kills the functions.
pub struct Running {
    /// The local stack.
    pub stack: Stack,
    /// The stand-ins.
    pub stands: Stands,
    /// The configuration.
    pub hub: Hub,
    /// The front door: `http://127.0.0.1:port`.
    pub url: String,
    /// The secrets.
    pub keys: Keys,
    /// Signature schemes by connection.
    pub schemes: BTreeMap<String, Scheme>,
    /// The variables with which commands find this hub.
    pub env: PathBuf,
    couriers: Vec<JoinHandle<()>>,
}

fn failed(what: &str, error: impl std::fmt::Display) -> CommandError {
    CommandError::Backend(format!("{what}: {error}"))
}

/// Builds the functions in one go; cargo shows its progress. They are built apart from this program, whose planted bugs and
/// compilers they must not have. Gives the folder of the binaries.
pub fn build(release: bool) -> Result<PathBuf, CommandError> {
    let root = root();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(&root).arg("build");
    if release {
        command.arg("--release");
    }
    for function in FUNCTIONS {
        command.args(["--package", function]);
    }
    let status = command.status().map_err(|e| failed("cargo cannot be started", e))?;
    if !status.success() {
        return Err(CommandError::Backend("the functions do not build".to_owned()));
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    Ok(target.join(if release { "release" } else { "debug" }))
}

/// Starts everything. Has to be called within a multi-threaded tokio runtime; `binaries` is what [`build`] gave.
pub async fn start(setup: Setup, loaded: &Loaded, binaries: &Path) -> Result<Running, CommandError> {
    let hub = loaded.sound()?.hub.clone();
    let schemes: BTreeMap<String, Scheme> =
        loaded.providers.iter().map(|(name, p): (_, &Provider)| (name.clone(), p.manifest().webhook.scheme.clone())).collect();
    let keys = Keys::open(&setup.folder.join("secrets"), &hub, &schemes, setup.fresh)?;
    let hubspot = hubspot::Options { tokens: vec![keys.hub["hubspot/api"].clone()], ..setup.hubspot.clone() };
    let salesforce = salesforce::Options { tokens: vec![keys.hub["salesforce/api"].clone()], ..setup.salesforce.clone() };
    let stands = start_stands(hubspot, salesforce).await.map_err(|e| failed("the stand-ins do not start", e))?;
    let pack = setup.folder.join("hub.pack");
    let base_urls = stands.urls.clone().into_iter().chain(setup.bases.clone()).collect();
    write(&pack, &loaded.pack(&Changes { base_urls, speed: Some(setup.speed) })?)?;
    let template = template(&setup.folder, loaded)?;
    let port = free_port().map_err(|e| failed("no port is free", e))?;
    let url = format!("http://127.0.0.1:{port}");
    let mut options = options(&setup, &template, binaries, &pack, port, &keys.hub);
    (options.schedules, options.observer) = (setup.schedules, setup.observer.clone());
    let stack = Stack::start(options).await;
    let stack = stack.map_err(|e| failed("the local stack does not start", chain(&e)))?;
    let env = setup.folder.join("env");
    let mut running = Running { stack, stands, hub, url, keys, schemes, env, couriers: Vec::new() };
    write(&running.env, running.variables(&pack).as_bytes())?;
    if let (Some(stand), Some(route)) = (running.stands.shared.get("hubspot").cloned(), running.route("hubspot")) {
        running.couriers.push(tokio::spawn(courier(stand, route)));
    }
    Ok(running)
}

impl Running {
    /// The hub's stores, queues and secrets, as operators see them. Nothing is remembered from an earlier call.
    pub fn ports(&self) -> Result<Aws, CommandError> {
        let text = std::fs::read_to_string(&self.env).map_err(|e| CommandError::Read(shown(&self.env), e))?;
        Ok(Aws::with(Access::local(self.stack.endpoint()), resource_names(&parse(&text), &self.hub)))
    }

    /// Where webhooks of a connection go, and how they are signed.
    pub fn route(&self, connection: &str) -> Option<Route> {
        let secret = self.hub.connections.get(connection)?.signing_secret.as_ref()?;
        Some(Route {
            url: format!("{}/hooks/{connection}", self.url),
            scheme: self.schemes.get(connection)?.clone(),
            secret: self.keys.sender(secret)?.clone(),
        })
    }

    /// A curl command that delivers this body, signed now.
    pub fn curl(&self, connection: &str, body: &str) -> Option<String> {
        let route = self.route(connection)?;
        let now = sandbox::server::now_ms();
        let id = format!("msg_{now}");
        let draft = Draft { method: "POST", url: &route.url, body: body.as_bytes(), at_ms: now, id: &id };
        let signed = sign(&route.scheme, &draft, &route.secret).ok()?;
        let body = String::from_utf8_lossy(&signed.body);
        let headers: Vec<String> = signed.headers.iter().map(|(name, value)| format!("  -H '{name}: {value}' \\\n")).collect();
        Some(format!("curl -i {} -H 'content-type: application/json' \\\n{}  -d '{body}'", route.url, headers.concat()))
    }

    fn variables(&self, pack: &Path) -> String {
        let mut lines = vec![
            "# How commands reach the local stack; written by `hub up`, removed when it stops.".to_owned(),
            format!("AWS_ENDPOINT_URL={}", self.stack.endpoint()),
            "AWS_REGION=us-east-1\nAWS_ACCESS_KEY_ID=local\nAWS_SECRET_ACCESS_KEY=local\nAWS_SESSION_TOKEN=local".to_owned(),
            format!("HUB_CONFIG={}", pack.display()),
            format!("HUB_SECRET_PREFIX={SECRET_PREFIX}"),
        ];
        let outputs = self.stack.outputs();
        lines.extend(outputs.get("BucketName").map(|name| format!("HUB_BUCKET={name}")));
        for table in sync::ports::Table::ALL {
            let mut output = table.name().to_owned();
            output[..1].make_ascii_uppercase();
            lines.extend(outputs.get(&format!("{output}TableName")).map(|name| format!("{}={name}", table_variable(*table))));
        }
        for queue in queues(&self.hub) {
            lines.extend(self.stack.queue_url(&queue).ok().map(|url| format!("{}={url}", queue_variable(&queue))));
        }
        lines.join("\n") + "\n"
    }

    /// Stops what several parts of a program held; what they still hold is dropped later.
    pub async fn end(self: std::sync::Arc<Self>) {
        if let Ok(running) = std::sync::Arc::try_unwrap(self) {
            running.stop().await;
        }
    }

    /// Stops in order, and no longer tells commands of this hub.
    pub async fn stop(self) {
        self.couriers.iter().for_each(JoinHandle::abort);
        // Another `hub up` may have put its own there; then it stays.
        let ours = std::fs::read_to_string(&self.env).is_ok_and(|text| text.contains(self.stack.endpoint()));
        if ours {
            let _ = std::fs::remove_file(&self.env);
        }
        self.stack.stop().await;
    }
}

/// The configuration, ready for [`Setup::new`].
pub fn configuration(config: &ConfigArgs) -> Result<Loaded, CommandError> {
    let loaded = load(config)?;
    loaded.sound()?;
    Ok(loaded)
}

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
    let text = std::fs::read_to_string(&own).map_err(|e| CommandError::Read(shown(&own), e))?;
    let text = regenerate(&text, loaded.sound()?).map_err(|e| CommandError::Usage(format!("`{}`: {e}", shown(&own))))?;
    let path = folder.join("template.yaml");
    write(&path, text.as_bytes())?;
    Ok(path)
}

fn options(
    setup: &Setup,
    template: &Path,
    binaries: &Path,
    pack: &Path,
    port: u16,
    secrets: &BTreeMap<String, String>,
) -> Options {
    let api = |name: &str, value: &str| {
        if name.ends_with("/api") { format!("{{\"access_token\":\"{value}\"}}") } else { value.to_owned() }
    };
    let mut options = Options::new(template, binaries);
    options.stack_name = "crm-hub-local".to_owned();
    options.parameters =
        [("Environment", "local"), ("SecretPrefix", SECRET_PREFIX)].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    options.state_dir = Some(setup.folder.join("state"));
    options.log_dir = Some(setup.folder.join("logs"));
    options.fresh = setup.fresh;
    options.environment = [("HUB_CONFIG".to_owned(), pack.display().to_string())].into();
    // Providers sign the URL that they call, and here that is no https URL.
    options.extra_environment = [("HUB_PUBLIC_URL".to_owned(), format!("http://127.0.0.1:{port}"))].into();
    options.url_ports = [("Receive".to_owned(), port)].into();
    options.secrets = secrets.iter().map(|(name, value)| (format!("{SECRET_PREFIX}{name}"), api(name, value))).collect();
    options
}

fn free_port() -> std::io::Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", PORT)).or_else(|_| TcpListener::bind(("127.0.0.1", 0)))?;
    Ok(listener.local_addr()?.port())
}
