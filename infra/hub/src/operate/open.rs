//! Which hub a command is about: the environment's variables say it, or a file of them.

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use adapters::{Aws, ResourceNames};
use sync::config::{Config, Hub};
use sync::ports::{Delivery, PortError, Table};

use super::DeadLetters;
use crate::check::load;
use crate::cli::{ConfigArgs, HubArgs};
use crate::out::{CommandError, root, shown};

/// Where the local stack writes how to reach it, from the repository's root.
pub const LOCAL_ENV: &str = ".hub/env";

/// Set for the second start of a command, which has the file's variables.
const LOADED: &str = "HUB_ENV_LOADED";

/// A hub that can be asked.
pub struct Opened {
    /// Its stores and queues.
    pub ports: Aws,
    /// Its configuration.
    pub hub: Hub,
}

impl DeadLetters for Aws {
    async fn receive(&self, queue: &str, visibility_s: u32) -> Result<Vec<Delivery>, PortError> {
        Aws::receive(self, queue, visibility_s).await
    }

    async fn delete(&self, queue: &str, receipt: &str) -> Result<(), PortError> {
        Aws::delete(self, queue, receipt).await
    }
}

/// Opens the hub that the environment, or the file, tells of.
pub fn open(args: &HubArgs) -> Result<Opened, CommandError> {
    if std::env::var_os(LOADED).is_none() {
        let local = root().join(LOCAL_ENV);
        let silent = std::env::var_os("HUB_TABLE_GOLDEN").is_none() && local.is_file();
        if let Some(file) = args.env.clone().or(silent.then_some(local)) {
            return Err(start_again(&file));
        }
    }
    let vars: BTreeMap<String, String> = std::env::vars().collect();
    if !vars.contains_key("HUB_TABLE_GOLDEN") {
        let text = "which hub? start one with `cargo hub up`, or name a file of its variables with --env (docs/deploy.md)";
        return Err(CommandError::Usage(text.to_owned()));
    }
    let hub = configuration(vars.get("HUB_CONFIG"))?;
    let ports = Aws::open(resource_names(&vars, &hub)).map_err(|e| CommandError::Backend(e.to_string()))?;
    Ok(Opened { ports, hub })
}

/// Starts this command again with the file's variables: the SDK reads its own from the environment. Returns only on failure.
fn start_again(file: &Path) -> CommandError {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) => return CommandError::Read(shown(file), error),
    };
    let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("hub"));
    let mut command = Command::new(program);
    command.args(std::env::args_os().skip(1)).envs(parse(&text)).env(LOADED, "yes");
    CommandError::Backend(format!("cannot start again with the variables of `{}`: {}", shown(file), command.exec()))
}

/// The variables of a file of `KEY=VALUE` lines; `#` begins a comment line.
pub fn parse(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once('=')).map(|(k, v)| (k.trim().to_owned(), v.trim().to_owned())).collect()
}

fn configuration(pack: Option<&String>) -> Result<Hub, CommandError> {
    match pack {
        Some(path) => {
            let bytes = std::fs::read(path).map_err(|e| CommandError::Read(path.clone(), e))?;
            let config = Config::open(bytes).map_err(|e| CommandError::Usage(format!("`{path}`: {e}")))?;
            Ok(config.hub().clone())
        }
        None => Ok(load(&ConfigArgs::default())?.sound()?.hub.clone()),
    }
}

/// The variable of a queue: `upsert-hubspot-dlq` → `HUB_QUEUE_UPSERT_HUBSPOT_DLQ`.
pub fn queue_variable(queue: &str) -> String {
    format!("HUB_QUEUE_{}", queue.to_ascii_uppercase().replace('-', "_"))
}

/// The variable of a table.
pub fn table_variable(table: Table) -> String {
    format!("HUB_TABLE_{}", table.name().to_ascii_uppercase())
}

/// Every queue of a configuration, by its logical name.
pub fn queues(hub: &Hub) -> Vec<String> {
    let dead = super::dlq::queues(hub);
    let live = dead.iter().filter_map(|queue| queue.strip_suffix("-dlq")).map(str::to_owned);
    live.chain(dead.iter().cloned()).collect()
}

/// Where the variables say that things are.
pub fn resource_names(vars: &BTreeMap<String, String>, hub: &Hub) -> ResourceNames {
    let tables = Table::ALL.iter().filter_map(|table| Some((*table, vars.get(&table_variable(*table))?.clone())));
    let queues = queues(hub).into_iter().filter_map(|queue| Some((queue.clone(), vars.get(&queue_variable(&queue))?.clone())));
    ResourceNames {
        tables: tables.collect(),
        queues: queues.collect(),
        bucket: vars.get("HUB_BUCKET").cloned(),
        secret_prefix: vars.get("HUB_SECRET_PREFIX").cloned().unwrap_or_default(),
        hosts: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_variables() {
        let vars = parse("# the local stack\nHUB_BUCKET=b\n\nAWS_ENDPOINT_URL = http://127.0.0.1:1?a=b\nnothing\n");
        assert_eq!(vars.len(), 2);
        assert_eq!(vars["AWS_ENDPOINT_URL"], "http://127.0.0.1:1?a=b");
    }
}
