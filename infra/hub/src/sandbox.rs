//! `hub sandbox`: serves the stand-ins of the CRMs on ports of the caller's choice, without a hub. Tests of deployments use it.

use std::process::ExitCode;

use clap::Args;
use sandbox::server::{Shared, bind, serve};
use sandbox::{HubSpot, Salesforce};

use crate::configuration::ConfigArgs;
use crate::out::{CommandError, block_on, interrupted, print_line};
use crate::stack::Setup;

/// Arguments of `hub sandbox`.
#[derive(Debug, Args)]
pub struct SandboxArgs {
    /// The configuration.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// The port of HubSpot's stand-in; 0 takes a free one
    #[arg(long, value_name = "PORT")]
    pub hubspot: Option<u16>,
    /// The port of Salesforce's stand-in; 0 takes a free one
    #[arg(long, value_name = "PORT")]
    pub salesforce: Option<u16>,
}

/// Runs the command: serves until Ctrl-C.
///
/// # Errors
/// No port is named, a port is taken, or the configuration has errors.
pub fn run(args: &SandboxArgs) -> Result<ExitCode, CommandError> {
    // The configuration names the properties that hold the hub's ids.
    let Setup { mut hubspot, salesforce, .. } = Setup::new(&args.config.load_sound()?);
    hubspot.webhooks = None;
    let servers = [
        ("hubspot", args.hubspot, Shared::new(HubSpot::new(hubspot))),
        ("salesforce", args.salesforce, Shared::new(Salesforce::new(salesforce))),
    ];
    if servers.iter().all(|(_, port, _)| port.is_none()) {
        return Err(CommandError::Usage("name at least one port: --hubspot PORT, --salesforce PORT".to_owned()));
    }
    block_on(async {
        for (name, port, server) in servers {
            let Some(port) = port else { continue };
            let failed = |e| CommandError::backend(&format!("the stand-in of {name} cannot listen on port {port}"), e);
            let listener = bind(port).await.map_err(failed)?;
            let address = listener.local_addr().map_err(failed)?;
            print_line(format_args!("{name} stand-in: http://{address}/_sandbox/dump"))?;
            tokio::spawn(serve(listener, server));
        }
        interrupted().await?;
        Ok(ExitCode::SUCCESS)
    })
}
