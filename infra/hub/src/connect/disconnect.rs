//! `hub disconnect`: removes the webhooks that the hub registered, and says what stays.

use std::collections::BTreeSet;
use std::process::ExitCode;

use adapters::environment::PUBLIC_URL;
use clap::Args;
use sync::credential::Credential;
use sync::failure::Failure;
use sync::ports::Secrets;

use super::guide::Plan;
use super::webhooks::Registration;
use crate::env::environment;
use crate::operate::open::HubArgs;
use crate::out::{CommandError, block_on, counted, print, print_line};
use crate::text::wrapped;

/// Arguments of `hub disconnect`.
#[derive(Debug, Args)]
pub struct DisconnectArgs {
    /// The hub.
    #[command(flatten)]
    pub hub: HubArgs,
    /// The connection
    pub connection: String,
}

/// Runs the command.
pub fn run(args: &DisconnectArgs) -> Result<ExitCode, CommandError> {
    let (ports, config) = args.hub.open_whole()?;
    let name = args.connection.as_str();
    crate::operate::check_connection(config.hub(), name)?;
    let (connection, provider) = config.connection(name)?;
    let public_url = environment(args.hub.env.as_deref())?.get(PUBLIC_URL).map(str::to_owned);
    let plan = Plan { name, connection, provider: &provider, auth: None, grant: None, scopes: BTreeSet::new(), public_url };
    let removed = block_on(remove(&ports, &plan))?;
    match removed {
        Some(removed) => {
            print_line(format_args!("{} removed at {}", counted(removed, "webhook"), provider.manifest().provider.title))?
        }
        None => print(wrapped("no webhook was registered by API; remove by hand what was entered by hand", 2))?,
    }
    print(what_stays(&plan))?;
    Ok(ExitCode::SUCCESS)
}

/// Removes the webhooks; `None` where none is registered by API.
///
/// # Errors
/// The hub's own URL is not known, or the provider refuses a call.
pub async fn remove<P: Secrets + sync::ports::Http>(ports: &P, plan: &Plan<'_>) -> Result<Option<usize>, CommandError> {
    let Some(secret) = &plan.connection.api_secret else { return Ok(None) };
    let stored = ports.secret(secret, true).await.map_err(Failure::from)?;
    let credential = stored.current.as_deref().and_then(Credential::parse).unwrap_or_default();
    let url = plan.webhook_url().unwrap_or_default();
    let Some(registration) = Registration::new(ports, plan, &credential, &url, "") else { return Ok(None) };
    if url.is_empty() {
        return Err(CommandError::Usage(format!("the hub's own URL is not known: set {PUBLIC_URL}")));
    }
    registration.remove().await.map(Some)
}

/// What a person still has to do.
fn what_stays(plan: &Plan<'_>) -> String {
    let name = plan.name;
    let mut text = "\nwhat stays:\n".to_owned();
    if let Some(secret) = &plan.connection.api_secret {
        text +=
            &wrapped(&format!("  the credentials in {secret}: revoke them at the provider, then delete the secret's value"), 4);
    }
    text += &wrapped(&format!("  what the hub knows from {name}, and what it wrote there"), 4);
    text += &wrapped(&format!("  the section [connections.{name}] of hub.toml: remove it, and deploy"), 4);
    if plan.connection.destination {
        text += &wrapped(&format!("  writing goes on until then; `hub pause {name}` stops it now"), 4);
    }
    text
}
