//! What every function needs of Lambda: settings, logs, metrics, and the conversion between Lambda's events and the use cases.
//!
//! The functions are wiring on top of this. No decision about a webhook or a record is made here.
#![forbid(unsafe_code)]

mod events;
mod front;
mod observe;
mod serve;
pub mod settings;

use std::sync::{Arc, OnceLock};

use adapters::Aws;
use lambda_runtime::{Context, Diagnostic};
use sync::batch::{Invocation, Metric};
use sync::config::Config;
use sync::failure::Failure;
use sync::ports::Clock;
use sync::receive::Process;
use sync::seal::Vault;

pub use events::{Answer, SqsBatch, queue_of};
pub use front::{answer_of, request_of};
pub use observe::{metric_lines, start_logging};
pub use serve::serve_batches;
pub use settings::{Settings, SettingsError};

/// What a process holds from its init on.
pub struct Hub {
    /// The ports.
    pub ports: Aws,
    /// The configuration.
    pub config: Config,
    /// What `receive` remembers between requests.
    pub process: Process,
    /// The settings from the environment.
    pub settings: Settings,
    vault: OnceLock<Arc<Vault>>,
}

impl Hub {
    /// Reads the environment and the configuration, and opens the ports. It makes no call.
    ///
    /// # Errors
    /// A variable is missing, or the configuration cannot be read.
    pub fn open() -> Result<Hub, SettingsError> {
        let settings = Settings::read()?;
        let config = settings.config()?;
        let ports = Aws::open(settings.names(&config)).map_err(|e| SettingsError::Missing(e.0))?;
        Ok(Hub { ports, config, process: Process::default(), settings, vault: OnceLock::new() })
    }

    /// The vault, opened when it is first needed.
    pub async fn vault(&self) -> Result<Arc<Vault>, Failure> {
        if let Some(vault) = self.vault.get() {
            return Ok(Arc::clone(vault));
        }
        let vault = Arc::new(Vault::open(&self.ports).await?);
        Ok(Arc::clone(self.vault.get_or_init(|| vault)))
    }

    /// What an invocation works with.
    pub fn invocation(&self, context: &Context) -> Invocation<'_, Aws> {
        let deadline_ms = i64::try_from(context.deadline).unwrap_or(i64::MAX);
        Invocation { ports: &self.ports, config: &self.config, deadline_ms }
    }

    /// Writes the measurements of a function on standard output, where CloudWatch reads them.
    pub fn emit(&self, function: &str, metrics: &[Metric]) {
        for line in metric_lines(&self.settings.environment, function, self.ports.now_ms(), metrics) {
            println!("{line}");
        }
    }
}

/// The error of an invocation that fails as a whole, as Lambda reports it: the code, and the detail with its causes.
pub fn diagnose(failure: &Failure) -> Diagnostic {
    Diagnostic { error_type: failure.code.name().to_owned(), error_message: failure.chain() }
}
