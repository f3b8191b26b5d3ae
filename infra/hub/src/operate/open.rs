//! Opens the hub on which an operator's command works.

use std::path::{Path, PathBuf};

use adapters::environment::Environment;
use adapters::{Access, Aws, ResourceNames};
use clap::Args;
use sync::config::{Config, Hub};
use sync::ports::{Delivery, PortError, QueueName};

use super::DeadLetters;
use crate::config::{Changes, DEFAULT_PATH};
use crate::configuration::ConfigArgs;
use crate::env::{environment, pack};
use crate::files::{invalid, read};
use crate::out::CommandError;

/// Which hub a command works on.
#[derive(Debug, Clone, Default, Args)]
pub struct HubArgs {
    /// A file with the hub's tables, queues and endpoint as KEY=VALUE lines [default: the environment, else .hub/env]
    #[arg(long, value_name = "FILE")]
    pub env: Option<PathBuf>,
}

/// An open hub.
pub struct OpenHub {
    /// Its tables, queues and secrets.
    pub ports: Aws,
    /// Its configuration.
    pub config: Hub,
}

impl HubArgs {
    /// Opens the hub for a command that reads providers: with the whole configuration, and calls to its hosts. Makes no call.
    pub fn open_whole(&self) -> Result<(Aws, Config), CommandError> {
        let environment = environment(self.env.as_deref())?;
        let config = configuration(&environment)?;
        let access = Access::from_environment(&environment).map_err(|e| CommandError::Backend(e.to_string()))?;
        let names = ResourceNames { hosts: config.hub().hosts(), ..ResourceNames::from_environment(&environment) };
        Ok((Aws::with(access, names), config))
    }

    /// Opens the hub. Makes no call.
    pub fn open(&self) -> Result<OpenHub, CommandError> {
        let environment = environment(self.env.as_deref())?;
        let config = configuration(&environment)?.hub().clone();
        let access = Access::from_environment(&environment).map_err(|e| CommandError::Backend(e.to_string()))?;
        Ok(OpenHub { ports: Aws::with(access, ResourceNames::from_environment(&environment)), config })
    }
}

/// The configuration that these variables name as a pack, else that of `hub.toml`.
///
/// # Errors
/// It cannot be read, or has errors.
pub fn configuration(environment: &Environment) -> Result<Config, CommandError> {
    let own = Path::new(DEFAULT_PATH);
    let (bytes, path) = match pack(environment) {
        Some(path) => (read(path)?, path),
        None => (ConfigArgs::default().load_sound()?.pack(&Changes::default())?, own),
    };
    Config::open(bytes).map_err(|e| invalid(path, e))
}

impl DeadLetters for Aws {
    async fn receive(&self, queue: &QueueName, visibility_s: u32) -> Result<Vec<Delivery>, PortError> {
        Aws::receive(self, queue, visibility_s).await
    }

    async fn count(&self, queue: &QueueName) -> Result<(u64, u64), PortError> {
        Aws::count(self, queue).await
    }

    async fn delete(&self, queue: &QueueName, receipt: &str) -> Result<(), PortError> {
        Aws::delete(self, queue, receipt).await
    }
}
