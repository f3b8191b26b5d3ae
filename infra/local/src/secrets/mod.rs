//! Secrets Manager: the engine, its file, rotations, and the JSON protocol in front of it.
//!
//! Known gaps, by name:
//! - `AutomaticallyAfterDays` and `ScheduleExpression` are stored. A rotation runs only after `RotateSecret`.
//! - A failed rotation is not repeated automatically. The next `RotateSecret` continues it.
//! - Filters and pages of the list operations, resource policies, replication and encryption keys have no effect.
//! - A secret deleted with a recovery window stays until it is restored or deleted by force.

mod engine;
mod wire;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use serde_json::{Value, json};

pub use engine::SecretsError;
use engine::{Content, NewSecret, SecretEngine};

use crate::ids::{ACCOUNT, now_ms, random_text, uuid};
use crate::lambda::Host;

/// Steps of a rotation, in order.
pub(crate) const STEPS: [&str; 4] = ["createSecret", "setSecret", "testSecret", "finishSecret"];

/// The secrets of a stack.
#[derive(Debug)]
pub(crate) struct Secrets {
    engine: Mutex<SecretEngine>,
    path: Option<PathBuf>,
    region: String,
    host: OnceLock<Arc<Host>>,
}

impl Secrets {
    /// Opens the secrets kept at `path`, or secrets that live as long as the process.
    pub(crate) fn open(path: Option<PathBuf>, region: &str) -> std::io::Result<Self> {
        let engine = match &path {
            Some(path) if path.exists() => serde_json::from_slice(&std::fs::read(path)?)?,
            _ => SecretEngine::default(),
        };
        Ok(Self { engine: Mutex::new(engine), path, region: region.into(), host: OnceLock::new() })
    }

    /// Names the functions that can rotate.
    pub(crate) fn attach(&self, host: Arc<Host>) {
        // A second call would name the same host.
        let _ = self.host.set(host);
    }

    /// Runs one call on the engine and, when it may have changed something, stores everything.
    fn with<T>(&self, store: bool, call: impl FnOnce(&mut SecretEngine) -> T) -> T {
        let mut engine = self.engine.lock().unwrap_or_else(PoisonError::into_inner);
        let result = call(&mut engine);
        if let (true, Some(path)) = (store, &self.path)
            && let Err(error) = save(path, &engine)
        {
            eprintln!("local: the secrets could not be stored: {error}");
        }
        result
    }

    fn new_arn(&self, name: &str) -> String {
        let suffix = random_text(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", 6);
        format!("arn:aws:secretsmanager:{}:{}:secret:{name}-{suffix}", self.region, ACCOUNT)
    }

    /// Creates a secret with a text unless one of this name exists, and gives its ARN.
    pub(crate) fn ensure(&self, name: &str, text: impl FnOnce() -> String) -> Result<String, SecretsError> {
        let arn = self.new_arn(name);
        self.with(true, |engine| {
            if engine.find(name).is_err() {
                let content = Some(Content::Text(text()));
                let tags = std::collections::BTreeMap::new();
                let new = NewSecret { name: name.into(), arn, token: uuid(), content, description: None, kms: None, tags };
                engine.create(new, now_ms())?;
            }
            let name = engine.find(name)?;
            Ok(engine.secrets[&name].arn.clone())
        })
    }

    /// Notes which function rotates a secret, without rotating it.
    pub(crate) fn set_rotation(&self, id: &str, lambda: &str, mut rules: Value) -> Result<(), SecretsError> {
        // A parameter of the template is text; CloudFormation makes a number of it here.
        if let Some(days) = rules.get_mut("AutomaticallyAfterDays")
            && let Some(number) = days.as_str().and_then(|text| text.parse::<u32>().ok())
        {
            *days = Value::from(number);
        }
        self.with(true, |engine| {
            engine.live_mut(id)?.rotation = Some(engine::Rotation { lambda: lambda.into(), rules, enabled: true });
            Ok(())
        })
    }

    /// Starts a rotation and gives the version that it prepares. The steps run on after this returns.
    pub(crate) fn rotate(self: &Arc<Self>, id: &str, token: Option<&str>) -> Result<String, SecretsError> {
        let token = token.map_or_else(uuid, str::to_owned);
        let (lambda, arn) = self.with(false, |engine| {
            let secret = engine.live_mut(id)?;
            let rotation = secret.rotation.as_ref().filter(|r| r.enabled);
            let none = || SecretsError::InvalidRequest("No Lambda rotation function ARN is associated with this secret.".into());
            Ok((rotation.ok_or_else(none)?.lambda.clone(), secret.arn.clone()))
        })?;
        let host = self.host.get().filter(|host| host.knows(&lambda)).ok_or(SecretsError::AccessDenied)?.clone();
        let version = self.with(true, |engine| engine.begin_rotation(id, &token, now_ms()))?;
        let (secrets, running) = (self.clone(), version.clone());
        tokio::spawn(async move {
            if let Err(step) = run_steps(&host, &lambda, &arn, &running).await {
                host.note(&lambda, &format!("rotation of {arn} stopped at {step}"));
                return;
            }
            secrets.with(true, |engine| {
                if let Ok(secret) = engine.live_mut(&arn) {
                    secret.rotated = Some(now_ms());
                }
            });
        });
        Ok(version)
    }

    /// Answers one request of the JSON protocol: status and body.
    pub(crate) fn call(self: &Arc<Self>, operation: &str, body: &[u8]) -> (u16, Value) {
        match wire::dispatch(self, operation, body) {
            Ok(value) => (200, value),
            Err(error) => (400, json!({ "__type": error.shape(), "Message": error.to_string(), "message": error.to_string() })),
        }
    }
}

async fn run_steps(host: &Arc<Host>, lambda: &str, arn: &str, version: &str) -> Result<(), &'static str> {
    for step in STEPS {
        let event = json!({ "Step": step, "SecretId": arn, "ClientRequestToken": version, "RotationToken": uuid() });
        host.invoke(lambda, event.to_string().into()).await.map_err(|_| step)?;
    }
    Ok(())
}

fn save(path: &Path, engine: &SecretEngine) -> std::io::Result<()> {
    let fresh = path.with_extension("new");
    std::fs::write(&fresh, serde_json::to_vec(engine)?)?;
    std::fs::rename(fresh, path)
}
