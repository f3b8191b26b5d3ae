//! The Lambda kit: settings, logs, metrics, and the way from Lambda's events to the use cases and back.
//!
//! Functions are wiring on top of this; no decision about a webhook or a record is made here.
#![forbid(unsafe_code)]

mod events;
mod front;
mod observe;
pub mod settings;

use std::sync::{Arc, OnceLock};

use adapters::Aws;
use lambda_runtime::{Context, Diagnostic};
use sync::config::Config;
use sync::failure::Failure;
use sync::ports::Clock;
use sync::receive::Instance;
use sync::seal::Vault;

pub use events::{Answer, SqsBatch, queue_of};
pub use front::{answer_of, request_of};
pub use observe::{emit, start_logging};
pub use settings::{Settings, SettingsError};

/// What a process holds from init on.
pub struct Hub {
    /// The ports.
    pub ports: Aws,
    /// The configuration.
    pub config: Config,
    /// This process, for gap detection.
    pub instance: Instance,
    /// What the environment says.
    pub settings: Settings,
    vault: OnceLock<Arc<Vault>>,
}

impl Hub {
    /// Reads the environment and the configuration, and opens the ports. Makes no call.
    pub fn open() -> Result<Hub, SettingsError> {
        let settings = Settings::read()?;
        let config = settings.config()?;
        let ports = Aws::open(settings.names(&config)).map_err(|e| SettingsError::Missing(e.0))?;
        let instance = Instance::new(&ports);
        Ok(Hub { ports, config, instance, settings, vault: OnceLock::new() })
    }

    /// The vault, opened when it is first needed.
    pub async fn vault(&self) -> Result<Arc<Vault>, Failure> {
        if let Some(vault) = self.vault.get() {
            return Ok(Arc::clone(vault));
        }
        let vault = Arc::new(Vault::open(&self.ports).await?);
        Ok(Arc::clone(self.vault.get_or_init(|| vault)))
    }

    /// Milliseconds since the epoch.
    pub fn now_ms(&self) -> i64 {
        self.ports.now_ms()
    }
}

/// When an invocation ends, in milliseconds since the epoch.
pub fn deadline_ms(context: &Context) -> i64 {
    i64::try_from(context.deadline).unwrap_or(i64::MAX)
}

/// The one error boundary: an invocation that fails as a whole tells Lambda its code and detail.
pub fn diagnose(failure: &Failure) -> Diagnostic {
    Diagnostic { error_type: failure.code.name().to_owned(), error_message: failure.detail.clone() }
}
