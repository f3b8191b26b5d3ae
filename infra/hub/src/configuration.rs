//! The configuration and the providers that a command works with.

use std::path::PathBuf;

use clap::Args;
use providers::{Overrides, Provider, Registry};

use crate::config::suggestion;
use crate::config::{DEFAULT_PATH, Loaded};
use crate::files::{read_text, root, shown};
use crate::out::CommandError;

/// Which configuration a command uses.
#[derive(Debug, Clone, Default, Args)]
pub struct ConfigArgs {
    /// The configuration file [default: infra/config/hub.toml]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Which providers there are.
    #[command(flatten)]
    pub providers: ProviderArgs,
}

/// Which providers a command knows.
#[derive(Debug, Clone, Default, Args)]
pub struct ProviderArgs {
    /// Leave this provider out; may be repeated
    #[arg(long, value_name = "PROVIDER")]
    pub without: Vec<String>,
}

impl ConfigArgs {
    /// Reads and checks the configuration. Its findings are in the result.
    pub fn load(&self) -> Result<Loaded, CommandError> {
        let path = self.config.clone().unwrap_or_else(|| root().join(DEFAULT_PATH));
        Ok(Loaded::with(&self.providers.registry()?, &shown(&path), read_text(&path)?, path.parent()))
    }

    /// Reads and checks the configuration, and fails if it has errors.
    pub fn load_sound(&self) -> Result<Loaded, CommandError> {
        let loaded = self.load()?;
        loaded.sound()?;
        Ok(loaded)
    }
}

impl ProviderArgs {
    /// All providers except those that the arguments leave out.
    pub fn registry(&self) -> Result<Registry, CommandError> {
        Registry::default().without(&self.without).map_err(|e| CommandError::Usage(format!("--without: {e}")))
    }
}

/// A provider by its name.
pub fn provider(name: &str) -> Result<Provider, CommandError> {
    let known = Provider::builtin_names();
    if !known.contains(&name) {
        let help = suggestion(name, known.iter().copied());
        return Err(CommandError::Usage(format!("there is no provider `{name}`; {help}")));
    }
    Provider::builtin(name, &Overrides::default()).map_err(|e| CommandError::Usage(format!("provider `{name}`: {e}")))
}
