//! `hub sandbox`: the stand-ins of the CRMs on ports of the caller's choice, without a hub. Tests of deployments use it.

use std::process::ExitCode;

use sandbox::server::{Shared, bind, serve};
use sandbox::{HubSpot, Salesforce};

use crate::cli::SandboxArgs;
use crate::out::CommandError;
use crate::stack::{Setup, configuration};

/// Runs the command: serves until a signal ends the process.
///
/// # Errors
/// No port was named, one cannot be had, or the configuration is not sound.
pub fn run(args: &SandboxArgs) -> Result<ExitCode, CommandError> {
    // The names of the properties that hold the hub's ids come from the configuration.
    let Setup { mut hubspot, salesforce, .. } = Setup::new(&configuration(&args.config)?);
    hubspot.webhooks = None;
    let stands = [
        ("hubspot", args.hubspot, Shared::new(HubSpot::new(hubspot))),
        ("salesforce", args.salesforce, Shared::new(Salesforce::new(salesforce))),
    ];
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.map_err(|e| CommandError::Backend(format!("no runtime: {e}")))?;
    runtime.block_on(async {
        let mut serving = Vec::new();
        for (name, port, stand) in stands {
            let Some(port) = port else { continue };
            let failed = |e| CommandError::Backend(format!("the stand-in of {name} cannot listen on port {port}: {e}"));
            let listener = bind(port).await.map_err(failed)?;
            let address = listener.local_addr().map_err(failed)?;
            println!("{name} stand-in: http://{address}/_sandbox/dump");
            serving.push(tokio::spawn(serve(listener, stand)));
        }
        if serving.is_empty() {
            return Err(CommandError::Usage("name at least one port: --hubspot PORT, --salesforce PORT".to_owned()));
        }
        tokio::signal::ctrl_c().await.map_err(|e| CommandError::Backend(format!("no signals: {e}")))?;
        Ok(ExitCode::SUCCESS)
    })
}
