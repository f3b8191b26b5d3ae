//! Opens the hub on which an operator's command works.

use std::path::{Path, PathBuf};

use adapters::{Access, Aws, ResourceNames};
use clap::Args;
use sync::config::{Config, Hub};
use sync::ports::{Delivery, PortError, QueueName};

use super::DeadLetters;
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
    /// Opens the hub. Makes no call.
    pub fn open(&self) -> Result<OpenHub, CommandError> {
        let environment = environment(self.env.as_deref())?;
        let config = configuration(pack(&environment))?;
        let access = Access::from_environment(&environment).map_err(|e| CommandError::Backend(e.to_string()))?;
        Ok(OpenHub { ports: Aws::with(access, ResourceNames::from_environment(&environment)), config })
    }
}

fn configuration(pack: Option<&Path>) -> Result<Hub, CommandError> {
    let Some(path) = pack else { return Ok(ConfigArgs::default().load()?.sound()?.hub.clone()) };
    let config = Config::open(read(path)?).map_err(|e| invalid(path, e))?;
    Ok(config.hub().clone())
}

impl DeadLetters for Aws {
    async fn receive(&self, queue: &QueueName, visibility_s: u32) -> Result<Vec<Delivery>, PortError> {
        Aws::receive(self, queue, visibility_s).await
    }

    async fn delete(&self, queue: &QueueName, receipt: &str) -> Result<(), PortError> {
        Aws::delete(self, queue, receipt).await
    }
}
